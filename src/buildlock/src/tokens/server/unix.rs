//! Pipes and fifos.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::collector::{Collector, Queue};
use super::{Style, auth_words, failed, one_word};
use crate::error::Result;
use crate::sys;
use crate::tokens::turnstile::Turnstile;

/// The byte that stands for a token. Clients give back what they took, or this.
const TOKEN: u8 = b'+';

/// A private jobserver.
#[derive(Debug)]
pub(crate) struct Server {
    lines: Lines,
    turnstile: Turnstile,
    /// Wakes whoever waits: a byte to the second is read from the first.
    woken: File,
    waker: File,
}

/// The files that children hold an end of.
#[derive(Debug)]
enum Lines {
    Pipes(Pipes),
    Fifo(Fifo),
}

#[derive(Debug)]
struct Pipes {
    /// Where children read tokens, and where we write them.
    out_read: File,
    out_write: File,
    /// Where children write them back, and where we read them.
    back_read: File,
    back_write: File,
    /// Our own way to take back what lies in the first pipe, without blocking and without making children's reads fail.
    out_again: File,
}

#[derive(Debug)]
struct Fifo {
    path: PathBuf,
    /// Does not block.
    file: File,
    collector: Arc<Collector<Waiting>>,
}

impl Server {
    /// Makes one without tokens. `at` is where a fifo would be.
    pub(crate) fn new(style: Style, at: &Path, _tokens_max: u32) -> Result<Self> {
        let make = || {
            let (woken, waker) = pipe()?;
            nonblocking(&woken)?;
            Ok::<_, io::Error>((woken, waker, Turnstile::new()?))
        };
        let (woken, waker, turnstile) = make().map_err(failed(at))?;
        let lines = match style {
            Style::Auto | Style::Pipe => Lines::Pipes(Pipes::new().map_err(failed(at))?),
            Style::Fifo => {
                one_word(at)?;
                Lines::Fifo(Fifo::new(at, &waker).map_err(failed(at))?)
            }
        };
        Ok(Self {
            lines,
            turnstile,
            woken,
            waker,
        })
    }

    /// What stands in `--jobserver-auth=`.
    fn auth(&self) -> String {
        match &self.lines {
            Lines::Pipes(p) => format!("{},{}", p.out_read.as_raw_fd(), p.back_write.as_raw_fd()),
            Lines::Fifo(f) => format!("fifo:{}", f.path.display()),
        }
    }

    /// The words for `MAKEFLAGS`.
    pub(crate) fn words(&self) -> String {
        auth_words(&self.auth())
    }

    /// Lets a command's process inherit what it needs.
    pub(crate) fn lend(&self, command: &mut Command) {
        if let Lines::Pipes(p) = &self.lines {
            sys::lend(command, &[&p.out_read, &p.back_write]);
        }
    }

    pub(crate) fn lying(&self) -> io::Result<u32> {
        let file = match &self.lines {
            Lines::Pipes(p) => &p.out_read,
            Lines::Fifo(f) => &f.file,
        };
        Ok(u32::try_from(rustix::io::ioctl_fionread(file)?).unwrap_or(u32::MAX))
    }

    pub(crate) fn put(&self, count: u32) -> io::Result<()> {
        let mut file = match &self.lines {
            Lines::Pipes(p) => &p.out_write,
            Lines::Fifo(f) => &f.file,
        };
        file.write_all(&vec![TOKEN; count as usize])
    }

    pub(crate) fn take(&self, count: u32) -> io::Result<u32> {
        match &self.lines {
            Lines::Pipes(p) => read_some(&p.out_again, count),
            Lines::Fifo(f) => read_some(&f.file, count),
        }
    }

    pub(crate) fn returned(&self) -> io::Result<u32> {
        match &self.lines {
            Lines::Pipes(p) => read_some(&p.back_read, u32::MAX),
            Lines::Fifo(f) => Ok(f.collector.got()),
        }
    }

    pub(crate) fn stop_compilers(&self, command: &mut Command, program: &Path) -> io::Result<()> {
        self.turnstile.install(command, program)
    }

    pub(crate) fn call_compilers(&self, count: u32) -> io::Result<()> {
        self.turnstile.call(count)
    }

    pub(crate) fn stopped(&self) -> io::Result<u32> {
        self.turnstile.stopped()
    }

    pub(crate) fn let_pass(&self, count: u32) -> io::Result<()> {
        self.turnstile.let_pass(count)
    }

    pub(crate) fn call_in(&self, count: u32) -> io::Result<()> {
        match &self.lines {
            Lines::Pipes(_) => Ok(()),
            Lines::Fifo(f) => f.collector.call_in(count),
        }
    }

    /// Returns whether something came before the time was over.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<bool> {
        let bell = self.turnstile.bell();
        let mut files = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&bell, PollFlags::IN),
        ];
        if let Lines::Pipes(p) = &self.lines {
            files.push(PollFd::new(&p.back_read, PollFlags::IN));
        }
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut files, Some(&time)) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        read_some(&self.woken, u32::MAX)?;
        Ok(true)
    }

    pub(crate) fn wake(&self) {
        ring(&self.waker);
    }

    /// Takes a token for this process's own work, as a child would; nothing where none lies there.
    pub(crate) fn try_token(&self) -> io::Result<Option<Token>> {
        if self.take(1)? == 0 {
            return Ok(None);
        }
        let way_back = match &self.lines {
            Lines::Pipes(p) => &p.back_write,
            Lines::Fifo(f) => &f.file,
        };
        way_back.try_clone().map(Token).map(Some)
    }
}

/// The right to run one job. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Token(File);

impl Drop for Token {
    fn drop(&mut self) {
        // Where the jobserver is gone, so is the lease.
        drop(self.0.write_all(&[TOKEN]));
    }
}

impl Pipes {
    fn new() -> io::Result<Self> {
        let (out_read, out_write) = pipe()?;
        let (back_read, back_write) = pipe()?;
        nonblocking(&back_read)?;
        // A description of its own: `O_NONBLOCK` on the children's would be seen by all of them. Where there is no such
        // way to get one (it is Linux's), they must bear with it, as they must with GNU make's, which sets it, too.
        let own = format!("/proc/self/fd/{}", out_read.as_raw_fd());
        let out_again = match File::options().read(true).open(own) {
            Ok(again) => again,
            Err(_) => out_read.try_clone()?,
        };
        nonblocking(&out_again)?;
        Ok(Self {
            out_read,
            out_write,
            back_read,
            back_write,
            out_again,
        })
    }
}

impl Fifo {
    fn new(path: &Path, waker: &File) -> io::Result<Self> {
        sys::make_fifo(path)?;
        // Both ways, so that opening does not wait for the other end (fifo(7)).
        let open = || File::options().read(true).write(true).open(path);
        let file = open()?;
        nonblocking(&file)?;
        let collector = Collector::new(Waiting {
            fifo: open()?,
            #[cfg(target_os = "linux")]
            drain: pipe()?,
            waker: waker.try_clone()?,
        });
        Ok(Self {
            path: path.to_owned(),
            file,
            collector,
        })
    }
}

/// The fifo, as one more that waits for tokens sees it.
#[derive(Debug)]
struct Waiting {
    /// Reading it blocks.
    fifo: File,
    #[cfg(target_os = "linux")]
    drain: (File, File),
    waker: File,
}

impl Queue for Waiting {
    /// Four get three of four tokens that come back (measured, see `wait_for_one`), eight hardly more.
    const THREADS: u32 = if cfg!(target_os = "linux") { 4 } else { 1 };

    /// Linux serves blocked `read`s in the order in which they came, and many children may wait. A blocked `splice` is woken
    /// beside the first of them (it waits non-exclusively), however many there are: it gets two of five tokens that come
    /// back, where a `read` behind fifteen others gets one of sixteen (measured).
    #[cfg(target_os = "linux")]
    fn wait_for_one(&self) -> io::Result<bool> {
        let flags = rustix::pipe::SpliceFlags::empty();
        rustix::pipe::splice(&self.fifo, None, &self.drain.1, None, 1, flags)?;
        Ok((&self.drain.0).read(&mut [0])? == 1)
    }

    #[cfg(not(target_os = "linux"))]
    fn wait_for_one(&self) -> io::Result<bool> {
        Ok((&self.fifo).read(&mut [0])? == 1)
    }

    fn put_one(&self) {
        ring(&self.fifo);
    }

    fn tell(&self) {
        ring(&self.waker);
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        // Whoever scans the pool removes what a build leaves behind.
        drop(std::fs::remove_file(&self.path));
        self.collector.dismiss();
    }
}

pub(crate) fn pipe() -> io::Result<(File, File)> {
    let (read, write) = io::pipe()?;
    Ok((File::from(OwnedFd::from(read)), File::from(OwnedFd::from(write))))
}

pub(crate) fn nonblocking(file: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    Ok(rustix::fs::fcntl_setfl(&file, flags | OFlags::NONBLOCK)?)
}

/// Writes one byte to a pipe that is read by somebody who is alive, or whose death makes it not matter.
fn ring(mut pipe: &File) {
    drop(pipe.write(&[TOKEN]));
}

/// Reads at most `count` bytes of those that are there.
pub(crate) fn read_some(mut file: &File, count: u32) -> io::Result<u32> {
    let mut bytes = [0; 256];
    let mut read = 0;
    while read < count {
        let room = bytes.len().min((count - read) as usize);
        match file.read(&mut bytes[..room]) {
            Ok(0) => break,
            Ok(n) => read += u32::try_from(n).unwrap_or(u32::MAX),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}
