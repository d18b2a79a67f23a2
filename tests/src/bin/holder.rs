//! A process that takes and leaves the lock as it is told: a double for every tool that uses `buildlock`.
//!
//! `holder ADDRESS FOLDER NAME [--no-lock]`: connects to the test that listens at ADDRESS and does what it is told there,
//! until the connection ends. With `--no-lock` it claims to hold whatever it is told to acquire: the negative control.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use buildlock::{Cancel, Mode, Registry, Request, SESSION_VARIABLE, Session, Timeout};
use process_tests::holder::{Bond, Grant, Order, Patience, Report};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            drop(writeln!(io::stderr(), "holder: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, folder, name, options @ ..] = arguments.as_slice() else {
        return Err("usage: holder ADDRESS FOLDER NAME [--no-lock]".into());
    };
    let stream = TcpStream::connect(address.as_str())?;
    let mut holder = Holder {
        registry: Registry::open(folder)?,
        name,
        locking: !options.iter().any(|o| o == "--no-lock"),
        to_test: stream.try_clone()?,
        session: None,
    };
    holder.say(&Report::Here {
        name: name.clone(),
        pid: std::process::id(),
    });
    let (send, orders) = mpsc::channel();
    std::thread::spawn(move || listen(stream, &send));
    for (order, cancel) in orders {
        holder.obey(order, &cancel)?;
    }
    Ok(())
}

/// Passes orders on, each with the means to cancel it, until the test hangs up: then whatever still waits is cancelled.
fn listen(stream: TcpStream, orders: &mpsc::Sender<(Order, Cancel)>) {
    let mut current = Cancel::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Order::Cancel) => current.cancel(),
            Ok(order) => {
                current = Cancel::new();
                if orders.send((order, current.clone())).is_err() {
                    return;
                }
            }
            Err(_) => break,
        }
    }
    current.cancel();
}

struct Holder<'a> {
    registry: Registry,
    name: &'a str,
    locking: bool,
    to_test: TcpStream,
    session: Option<Session>,
}

impl Holder<'_> {
    fn obey(&mut self, order: Order, cancel: &Cancel) -> io::Result<()> {
        match order {
            Order::Acquire(mode, patience) => self.acquire(mode, patience, cancel),
            Order::Upgrade(patience) => self.acquire(Mode::Exclusive, patience, cancel),
            Order::Downgrade => {
                let done = self.session.as_mut().map_or(Ok(()), Session::downgrade);
                self.say_outcome(done);
            }
            Order::Release => {
                let done = self.session.take().map_or(Ok(()), Session::release);
                self.say_outcome(done);
            }
            Order::Cancel => unreachable!("heard by the listener"),
            Order::Start(name, bond) => self.start(&name, bond)?,
            Order::WantedBy => {
                let wanted = self
                    .session
                    .as_ref()
                    .map_or(Ok(None), |session| session.watch().wanted_by());
                match wanted {
                    Ok(records) => {
                        self.say(&Report::Wanted(records.into_iter().map(|r| r.label).collect()));
                    }
                    Err(e) => self.say_refused(&e),
                }
            }
        }
        Ok(())
    }

    fn acquire(&mut self, mode: Mode, patience: Patience, cancel: &Cancel) {
        if !self.locking {
            self.say(&Report::Granted(Grant {
                session: 0,
                ticket: 0,
                epoch: 0,
                unfinished: None,
            }));
            return;
        }
        let to_test = &self.to_test;
        let mut told = false;
        let request = Request::new(mode, self.name)
            .cancel(cancel)
            .timeout(match patience {
                Patience::Endless => Timeout::Never,
                Patience::None => Timeout::AtOnce,
                Patience::Millis(ms) => Timeout::After(Duration::from_millis(ms)),
            })
            .notice_after(Duration::ZERO)
            .on_wait(|waiting| {
                if !std::mem::replace(&mut told, true) {
                    let on = waiting.holder.as_ref().map(|h| h.claim.ticket.0);
                    let ahead = waiting.ahead;
                    say(to_test, &Report::Waiting { on, ahead });
                }
            });
        let acquired = match &mut self.session {
            Some(session) => session.upgrade(request),
            None => Session::acquire(&self.registry, request).map(|s| self.session = Some(s)),
        };
        match (acquired, &self.session) {
            (Ok(()), Some(session)) => self.say(&Report::Granted(Grant {
                session: session.id().0,
                ticket: session.ticket().0,
                epoch: session.epoch(),
                unfinished: session.unfinished().map(|r| r.label.clone()),
            })),
            (Ok(()), None) => unreachable!("what was acquired is kept"),
            (Err(e), _) => self.say_refused(&e),
        }
    }

    fn start(&self, name: &str, bond: Bond) -> io::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        let inherited = std::env::args().skip(1).enumerate();
        command.args(inherited.map(|(i, argument)| if i == 2 { name.to_owned() } else { argument }));
        command.stdin(Stdio::null());
        match (bond, &self.session) {
            (Bond::Environment(text), _) => {
                command.env(SESSION_VARIABLE, text);
            }
            (Bond::Lent, Some(session)) => {
                session.lend(&mut command);
                // The other half of what a driver does; elsewhere the tests want to see what the loan alone is worth.
                if cfg!(windows) {
                    buildlock::die_with_parent(&mut command);
                }
            }
            (Bond::Named, Some(session)) => session.name(&mut command),
            (Bond::Lent | Bond::Named, None) => {}
        }
        command.spawn().map(drop)
    }

    fn say(&self, report: &Report) {
        say(&self.to_test, report);
    }

    fn say_outcome(&self, outcome: buildlock::Result<()>) {
        match outcome {
            Ok(()) => self.say(&Report::Done),
            Err(e) => self.say_refused(&e),
        }
    }

    fn say_refused(&self, error: &buildlock::Error) {
        self.say(&Report::Refused {
            kind: format!("{:?}", error.kind()),
            text: error.to_string(),
        });
    }
}

/// Says one line. If the test has hung up nobody needs to know, and the listener ends this process.
fn say(mut to_test: &TcpStream, report: &Report) {
    let line = serde_json::to_string(report).expect("reports are plain data") + "\n";
    drop(to_test.write_all(line.as_bytes()));
}
