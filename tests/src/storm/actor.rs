//! One process of a storm: rounds of asking, holding and letting go, with children now and then.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use buildlock::{Mode, Registry, Request, SESSION_VARIABLE, Session, Timeout};
use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::journal::{Journal, Note};
use crate::clock::now_ns;

/// How deep sessions nest.
const DEPTH_MAX: u32 = 3;

/// What a process of the storm is to do, as it stands on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its name, which its children's names begin with.
    pub name: String,
    /// Where its chance starts.
    pub seed: u64,
    /// The lock folder.
    pub folder: PathBuf,
    /// The folder of the journals.
    pub journals: PathBuf,
    /// When it should begin no more rounds.
    pub ends_ns: u64,
    /// How many rounds it plays at most.
    pub rounds: u32,
    /// How many sessions it is nested in.
    pub depth: u32,
    /// Whether it locks.
    pub locks: bool,
    /// The session that it was lent and works for, if that is all that it does.
    pub works_for: Option<u64>,
}

impl Part {
    /// The command that plays this part.
    ///
    /// # Errors
    /// Where the path of this program cannot be found.
    pub fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("actor")
            .arg(serde_json::to_string(self)?)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Plays this part.
    ///
    /// # Errors
    /// Where the journal cannot be written or a child not be started. What the lock refuses is noted and judged later.
    pub fn play(self) -> io::Result<()> {
        let mut journal = Journal::start(&self.journals, &self.name)?;
        let mut chance = Chance::new(self.seed);
        if let Some(session) = self.works_for {
            journal.note(Note::Works { session })?;
            work(chance.time(14));
            // Noted again, so that the journal's last line says until when it surely worked.
            return journal.note(Note::Works { session });
        }
        let registry = Registry::open(&self.folder).map_err(io::Error::other)?;
        let mut actor = Actor {
            ancestors: ancestors(),
            part: self,
            registry,
            journal,
            chance,
            claims: 0,
            born: 0,
            children: Vec::new(),
        };
        let mut rounds = 0;
        while rounds < actor.part.rounds && now_ns() < actor.part.ends_ns {
            rounds += 1;
            actor.round()?;
        }
        for mut child in actor.children {
            child.wait()?;
        }
        Ok(())
    }
}

/// The sessions that the environment names. A storm has one registry only.
fn ancestors() -> Vec<u64> {
    let text = std::env::var(SESSION_VARIABLE).unwrap_or_default();
    let (_, sessions) = text.split_once('=').unwrap_or_default();
    sessions.split(',').filter_map(|s| s.parse().ok()).collect()
}

struct Actor {
    part: Part,
    registry: Registry,
    journal: Journal,
    chance: Chance,
    ancestors: Vec<u64>,
    claims: u32,
    born: u32,
    children: Vec<Child>,
}

/// What an actor holds.
struct Hold {
    /// Nothing in a storm without locks.
    session: Option<Session>,
    name: u64,
    /// The claims, by number, and their modes.
    claims: Vec<(u32, Mode)>,
}

impl Hold {
    fn mode(&self) -> Mode {
        self.claims
            .iter()
            .map(|&(_, mode)| mode)
            .max()
            .unwrap_or(Mode::Shared)
    }
}

impl Actor {
    fn round(&mut self) -> io::Result<()> {
        let mode = if self.chance.percent(40) {
            Mode::Exclusive
        } else {
            Mode::Shared
        };
        let Some(mut hold) = self.acquire(mode)? else {
            return Ok(());
        };
        for _ in 0..=self.chance.below(3) {
            work(self.chance.time(10));
            match (self.chance.below(100), hold.mode()) {
                (0..25, Mode::Shared) => self.upgrade(&mut hold)?,
                (0..25, Mode::Exclusive) => self.downgrade(&mut hold)?,
                (25..33, _) if self.part.depth < DEPTH_MAX => self.nest(&hold)?,
                (33..37, _) => self.lend(&hold)?,
                (37..39, _) => self.die()?,
                _ => {}
            }
        }
        self.release(hold)
    }

    fn acquire(&mut self, mode: Mode) -> io::Result<Option<Hold>> {
        let claim = self.ask(mode, None)?;
        let request = self.request(mode);
        if !self.part.locks {
            let name = now_ns();
            self.granted(claim, name, name)?;
            let claims = vec![(claim, mode)];
            return Ok(Some(Hold {
                session: None,
                name,
                claims,
            }));
        }
        match Session::acquire(&self.registry, request) {
            Ok(session) => {
                let name = session.id().0;
                self.granted(claim, name, session.ticket().0)?;
                let claims = vec![(claim, mode)];
                Ok(Some(Hold {
                    session: Some(session),
                    name,
                    claims,
                }))
            }
            Err(e) => self.refused(claim, &e).map(|()| None),
        }
    }

    fn upgrade(&mut self, hold: &mut Hold) -> io::Result<()> {
        let claim = self.ask(Mode::Exclusive, Some(hold.name))?;
        let request = self.request(Mode::Exclusive);
        let ticket = match &mut hold.session {
            None => now_ns(),
            Some(session) => match session.upgrade(request) {
                Ok(()) => session.ticket().0,
                Err(e) => return self.refused(claim, &e),
            },
        };
        hold.claims.push((claim, Mode::Exclusive));
        self.granted(claim, hold.name, ticket)
    }

    fn downgrade(&mut self, hold: &mut Hold) -> io::Result<()> {
        let Some(at) = hold.claims.iter().position(|&(_, mode)| mode == Mode::Exclusive) else {
            return Ok(());
        };
        let (exclusive, _) = hold.claims.remove(at);
        if hold.claims.is_empty() {
            // The shared claim begins before the exclusive one ends. Its ticket is not one that was queued for.
            let shared = self.ask(Mode::Shared, Some(hold.name))?;
            hold.claims.push((shared, Mode::Shared));
            self.granted(shared, hold.name, u64::MAX)?;
        }
        self.journal.note(Note::LetsGo { claim: exclusive })?;
        hold.session
            .as_mut()
            .map_or(Ok(()), Session::downgrade)
            .map_err(io::Error::other)
    }

    fn release(&mut self, hold: Hold) -> io::Result<()> {
        for (claim, _) in hold.claims {
            self.journal.note(Note::LetsGo { claim })?;
        }
        hold.session
            .map_or(Ok(()), Session::release)
            .map_err(io::Error::other)
    }

    /// Starts a child that plays some rounds of its own under this session; waits for it, kills it, or goes on without it.
    fn nest(&mut self, hold: &Hold) -> io::Result<()> {
        let part = Part {
            rounds: 1 + self.chance.below(3) as u32,
            depth: self.part.depth + 1,
            ..self.child_part()
        };
        let mut command = part.command()?;
        end_with_us(&mut command);
        match &hold.session {
            Some(session) if self.chance.percent(50) => session.lend(&mut command),
            Some(session) => session.name(&mut command),
            None => self.name_without_locks(hold, &mut command),
        }
        let mut child = command.spawn()?;
        match self.chance.below(4) {
            0 => {
                work(self.chance.time(14));
                self.journal.note(Note::Kills { actor: part.name })?;
                child.kill()?;
                child.wait()?;
            }
            1 => self.children.push(child),
            _ => {
                child.wait()?;
            }
        }
        Ok(())
    }

    /// Starts a child that works for this session, and now and then dies before it has ended.
    fn lend(&mut self, hold: &Hold) -> io::Result<()> {
        let part = Part {
            works_for: Some(hold.name),
            ..self.child_part()
        };
        let mut command = part.command()?;
        end_with_us(&mut command);
        if let Some(session) = &hold.session {
            session.lend(&mut command);
        }
        let mut child = command.spawn()?;
        if self.chance.percent(30) {
            self.die()?;
        }
        child.wait().map(drop)
    }

    /// Ends this process without a chance for any of its code.
    fn die(&mut self) -> io::Result<()> {
        self.journal.note(Note::Dies)?;
        #[cfg(unix)]
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        // Windows has no such signal, and the first process of a pid namespace is immune to its own (pid_namespaces(7)). Nothing
        // is dropped here, either.
        std::process::exit(137)
    }

    fn child_part(&mut self) -> Part {
        self.born += 1;
        Part {
            name: format!("{}.{}", self.part.name, self.born),
            seed: self.chance.number(),
            ..self.part.clone()
        }
    }

    /// Without a session to be named by, a child learns all the same whose child it is.
    fn name_without_locks(&self, hold: &Hold, command: &mut Command) {
        let mut names: Vec<_> = self.ancestors.iter().map(u64::to_string).collect();
        names.push(hold.name.to_string());
        command.env(SESSION_VARIABLE, format!("1={}", names.join(",")));
    }

    fn request(&mut self, mode: Mode) -> Request<'static> {
        let timeout = match self.chance.below(100) {
            0..60 => Timeout::Never,
            60..75 => Timeout::AtOnce,
            _ => Timeout::After(self.chance.time(19)),
        };
        Request::new(mode, self.part.name.clone()).timeout(timeout)
    }

    fn ask(&mut self, mode: Mode, session: Option<u64>) -> io::Result<u32> {
        self.claims += 1;
        self.journal.note(Note::Asks {
            claim: self.claims,
            mode,
            ancestors: self.ancestors.clone(),
            session,
        })?;
        Ok(self.claims)
    }

    fn granted(&mut self, claim: u32, session: u64, ticket: u64) -> io::Result<()> {
        self.journal.note(Note::Granted {
            claim,
            session,
            ticket,
        })
    }

    fn refused(&mut self, claim: u32, error: &buildlock::Error) -> io::Result<()> {
        let expected = error.kind() == buildlock::ErrorKind::Timeout;
        let error = (!expected).then(|| error.to_string());
        self.journal.note(Note::Refused { claim, error })
    }
}

/// On Windows nothing else keeps a killed session from being followed by another while its children still work. Elsewhere they
/// are to outlive us, and to keep the session alive.
fn end_with_us(command: &mut Command) {
    if cfg!(windows) {
        buildlock::die_with_parent(command);
    }
}

/// What a build would do meanwhile.
fn work(time: Duration) {
    std::thread::sleep(time);
}
