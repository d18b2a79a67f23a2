//! Downloads: resumed where they broke off, tried again a few times, and checked against the pin whenever they are used.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::pin::{Archive, hex};
use super::{Event, cancelled};
use crate::error::Error;
use crate::interrupt::Interrupts;

/// How large an archive may be, in bytes.
const ARCHIVE_MAX: u64 = 2 << 30;
/// How often to ask for a file before giving up; the pauses between double, from the first.
const TRIES_MAX: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 300 });
/// How long a server may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// How long a server may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often to look whether the download was cancelled while nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CHUNK: usize = 64 * 1024;

/// Gets files from one server.
pub(super) struct Downloader<'a> {
    pub(super) server: &'a str,
    pub(super) interrupts: &'a Interrupts,
    pub(super) say: &'a mut dyn FnMut(&Event<'_>),
}

impl Downloader<'_> {
    /// Returns an archive, open at its start, with the pinned sum: that in `folder` if there is one, else a new one that
    /// is put there. Nobody else may write to the folder.
    pub(super) fn archive(&mut self, archive: &Archive, folder: &Path) -> Result<(PathBuf, File), Error> {
        fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
        let path = folder.join(archive.file_name());
        if let Some(mut file) = open_if_there(&path)? {
            let sum = hash(&mut file, &path, self.interrupts)?;
            if hex(&sum.finalize()) == archive.sha256 {
                file.rewind().map_err(|e| Error::io("cannot read", &path, e))?;
                return Ok((path, file));
            }
            (self.say)(&Event::Retrying {
                name: archive.file_name(),
                why: "the one in the cache was changed or damaged",
            });
            drop(file);
            fs::remove_file(&path).map_err(|e| Error::io("cannot remove the damaged", &path, e))?;
        }
        let part = folder.join(format!("{}.part", archive.file_name()));
        let mut file = self.complete(archive, &part)?;
        file.sync_all().map_err(|e| Error::io("cannot write", &part, e))?;
        fs::rename(&part, &path).map_err(|e| Error::io("cannot rename to", &path, e))?;
        file.rewind().map_err(|e| Error::io("cannot read", &path, e))?;
        Ok((path, file))
    }

    /// Returns a short file of the server's.
    pub(super) fn text(&mut self, key: &str, size_max: u64) -> Result<String, Error> {
        let mut bytes = Vec::new();
        self.persist(key, |this| {
            bytes.clear();
            let mut answer = this.ask(key, 0)?;
            while let Some(chunk) = answer.next(this.interrupts)? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > size_max {
                    return Err(Failure::Final(format!("it is longer than {size_max} bytes")));
                }
            }
            Ok(())
        })?;
        String::from_utf8(bytes)
            .map_err(|e| Error::environment(format!("`{}` is no text", self.address(key))).because(e))
    }

    fn address(&self, key: &str) -> String {
        format!("{}/{key}", self.server.trim_end_matches('/'))
    }

    /// Completes a partial download and returns it with the pinned sum.
    fn complete(&mut self, archive: &Archive, part: &Path) -> Result<File, Error> {
        let io = |e| Error::io("cannot write", part, e);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)
            .map_err(io)?;
        let mut sum = hash(&mut file, part, self.interrupts)?;
        if hex(&sum.clone().finalize()) == archive.sha256 {
            return Ok(file);
        }
        // Not by a try before this one but by an earlier run, so it may be part of another file.
        let mut inherited = file.metadata().map_err(io)?.len() > 0;
        loop {
            self.persist(&archive.key, |this| this.go_on(archive, &mut file, &mut sum))?;
            let found = hex(&sum.clone().finalize());
            if found == archive.sha256 {
                return Ok(file);
            }
            start_over(&mut file, &mut sum).map_err(io)?;
            if !inherited {
                drop(fs::remove_file(part));
                let (address, pinned) = (self.address(&archive.key), &archive.sha256);
                return Err(Error::environment(format!(
                    "`{address}` has the SHA-256 {found}, src/stage0 pins {pinned}"
                ))
                .advice(
                    "the server, or somebody on the way, serves another file; try another build.dist-server",
                ));
            }
            inherited = false;
            (self.say)(&Event::Retrying {
                name: archive.file_name(),
                why: "what an earlier run had left of it does not fit",
            });
        }
    }

    /// Appends what is missing of a file, as far as the server delivers.
    fn go_on(&mut self, archive: &Archive, file: &mut File, sum: &mut Sha256) -> Result<(), Failure> {
        let mut done = file.seek(SeekFrom::End(0))?;
        let mut answer = self.ask(&archive.key, done)?;
        if answer.from != done {
            start_over(file, sum)?;
            done = 0;
        }
        let total = answer.length.map(|length| done + length);
        let name = archive.file_name();
        while let Some(chunk) = answer.next(self.interrupts)? {
            file.write_all(&chunk)?;
            sum.update(&chunk);
            done += chunk.len() as u64;
            if done > ARCHIVE_MAX {
                return Err(Failure::Final(format!("it is larger than {ARCHIVE_MAX} bytes")));
            }
            (self.say)(&Event::Downloading { name, done, total });
        }
        match total {
            Some(total) if done < total => Err(Failure::Again(format!(
                "it broke off after {done} of {total} bytes"
            ))),
            _ => Ok(()),
        }
    }

    /// Does something until it succeeds, fails for good, or has failed too often.
    fn persist(
        &mut self,
        key: &str,
        mut attempt: impl FnMut(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        let mut pause = PAUSE_FIRST;
        for tries in 1.. {
            let why = match attempt(self) {
                Ok(()) => return Ok(()),
                Err(Failure::Cancelled) => return Err(cancelled(self.interrupts)),
                Err(Failure::Again(why)) if tries < TRIES_MAX => why,
                Err(Failure::Again(why)) => {
                    return Err(self.failed(key, &format!("{why}, in {tries} tries")).advice(
                        "check the network and the proxy, or set build.dist-server; what came so far is kept",
                    ));
                }
                Err(Failure::Final(why)) => return Err(self.failed(key, &why)),
                Err(Failure::Io(e)) => {
                    return Err(Error::io("cannot write the download of", self.address(key), e));
                }
            };
            let name = key.rsplit('/').next().unwrap_or(key);
            (self.say)(&Event::Retrying { name, why: &why });
            if self.interrupts.cancel().pause(pause) {
                break;
            }
            pause *= 2;
        }
        Err(cancelled(self.interrupts))
    }

    fn failed(&self, key: &str, why: &str) -> Error {
        Error::environment(format!("cannot download `{}`: {why}", self.address(key)))
    }

    /// Asks for a file from a byte on.
    fn ask(&mut self, key: &str, from: u64) -> Result<Answer, Failure> {
        let (send, pieces) = mpsc::sync_channel(4);
        let address = self.address(key);
        // The server may keep silent for as long as it likes: who waits must be able to give up meanwhile.
        thread::Builder::new()
            .name("download".to_owned())
            .spawn(move || {
                let piece = deliver(&address, from, &send);
                // Nobody listens any more when the download was cancelled.
                drop(send.send(piece.map(|()| Piece::End)));
            })?;
        let mut answer = Answer {
            pieces,
            from: 0,
            length: None,
        };
        match answer.receive(self.interrupts)? {
            Piece::Head { from, length } => Ok(Answer {
                from,
                length,
                ..answer
            }),
            _ => Err(Failure::Final("the answer has no head".to_owned())),
        }
    }
}

/// Why a download did not succeed.
enum Failure {
    /// It may the next time.
    Again(String),
    /// It will not.
    Final(String),
    /// It is not the server's fault.
    Io(io::Error),
    Cancelled,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A part of what a server sends.
enum Piece {
    Head { from: u64, length: Option<u64> },
    Bytes(Vec<u8>),
    End,
}

/// What a server sends, as it comes.
struct Answer {
    pieces: Receiver<Result<Piece, Failure>>,
    /// At which byte of the file it begins.
    from: u64,
    /// How many bytes it has.
    length: Option<u64>,
}

impl Answer {
    fn next(&mut self, interrupts: &Interrupts) -> Result<Option<Vec<u8>>, Failure> {
        match self.receive(interrupts)? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    fn receive(&mut self, interrupts: &Interrupts) -> Result<Piece, Failure> {
        let start = Instant::now();
        loop {
            if interrupts.cancel().is_cancelled() {
                return Err(Failure::Cancelled);
            }
            match self.pieces.recv_timeout(LOOK_EVERY) {
                Ok(piece) => return piece,
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Again("it broke off".to_owned())),
                Err(RecvTimeoutError::Timeout) if start.elapsed() > CONNECT_MAX + SILENCE_MAX => {
                    let silence = start.elapsed().as_secs();
                    return Err(Failure::Again(format!("the server sent nothing for {silence} s")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Reads a file from an address, and sends it on.
fn deliver(address: &str, from: u64, send: &SyncSender<Result<Piece, Failure>>) -> Result<(), Failure> {
    let (head, mut body): (_, Box<dyn Read>) = match address.strip_prefix("file://") {
        Some(path) => open_file(path, from)?,
        None => open_http(address, from)?,
    };
    if send.send(Ok(head)).is_err() {
        return Ok(());
    }
    loop {
        let mut chunk = vec![0; CHUNK];
        let length = match body.read(&mut chunk) {
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Again(e.to_string())),
        };
        chunk.truncate(length);
        if length == 0 || send.send(Ok(Piece::Bytes(chunk))).is_err() {
            return Ok(());
        }
    }
}

type Opened = (Piece, Box<dyn Read>);

fn open_file(path: &str, from: u64) -> Result<Opened, Failure> {
    // `file:///C:/dist` is `C:/dist`.
    let path = if cfg!(windows) {
        path.trim_start_matches('/')
    } else {
        path
    };
    let open = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // What is longer than the file is not a part of it.
        let from = if from <= length { from } else { 0 };
        file.seek(SeekFrom::Start(from))?;
        let head = Piece::Head {
            from,
            length: Some(length - from),
        };
        io::Result::Ok((head, Box::new(file) as Box<dyn Read>))
    };
    open().map_err(|e| Failure::Final(e.to_string()))
}

fn open_http(address: &str, from: u64) -> Result<Opened, Failure> {
    let mut request = agent().get(address);
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let response = request.call().map_err(|e| match e {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Failure::Final(e.to_string())
        }
        _ => Failure::Again(e.to_string()),
    })?;
    let status = response.status().as_u16();
    let begins = match status {
        200 => 0,
        206 if first_byte(&response) == Some(from) => from,
        // Another range than was asked for, or one behind the file's end: then all of it.
        206 | 416 if from > 0 => return open_http(address, 0),
        408 | 429 | 500..=599 => {
            return Err(Failure::Again(format!(
                "the server answers {}",
                response.status()
            )));
        }
        _ => {
            return Err(Failure::Final(format!(
                "the server answers {}",
                response.status()
            )));
        }
    };
    let length = response.body().content_length();
    let head = Piece::Head { from: begins, length };
    Ok((head, Box::new(response.into_body().into_reader())))
}

fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Proxies are those of the environment, certificates those of the system, as with other programs here.
fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_recv_response(Some(SILENCE_MAX))
        .http_status_as_error(false)
        .user_agent(concat!("bootstrap/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn open_if_there(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("cannot open", path, e)),
    }
}

/// Hashes all of a file.
fn hash(file: &mut File, path: &Path, interrupts: &Interrupts) -> Result<Sha256, Error> {
    let failed = |e| Error::io("cannot read", path, e);
    let mut sum = Sha256::new();
    let mut chunk = vec![0; 16 * CHUNK];
    file.rewind().map_err(failed)?;
    loop {
        if interrupts.cancel().is_cancelled() {
            return Err(cancelled(interrupts));
        }
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(sum),
            length => sum.update(&chunk[..length]),
        }
    }
}

fn start_over(file: &mut File, sum: &mut Sha256) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    *sum = Sha256::new();
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
