//! Every call of the operating system fails in turn, with every error that it is likely to fail with.
//!
//! Whatever fails: the error says what was being done, to which file, and why; nobody believes in a hold that others can
//! walk over; and the registry is usable afterwards, and comes back to empty. Run with `--features fault-injection`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use buildlock::faults::{calls_made, fail_call};
use buildlock::{Ancestry, ErrorKind, Mode, Registry, Request, SESSION_VARIABLE, Session, Ticket, Timeout};
use rustix::io::Errno;
use tempfile::TempDir;

const ERRORS: [Errno; 6] = [
    Errno::NOSPC,
    Errno::IO,
    Errno::ACCESS,
    Errno::MFILE,
    Errno::NOLCK,
    Errno::INTR,
];

/// A registry, and what the failing calls left of the session that made them.
struct World {
    home: TempDir,
    registry: Registry,
    session: Option<Session>,
    other: Option<Session>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path().join("session")).unwrap();
        // The first transition also makes the gate; those after it are what is usual.
        Session::acquire(&registry, request(Mode::Exclusive))
            .unwrap()
            .release()
            .unwrap();
        Self {
            home,
            registry,
            session: None,
            other: None,
        }
    }

    fn holding(mode: Mode) -> Self {
        let mut world = Self::new();
        world.session = Some(world.acquire(mode));
        world
    }

    fn beside(mut self, mode: Mode) -> Self {
        self.other = Some(self.acquire(mode));
        self
    }

    fn acquire(&self, mode: Mode) -> Session {
        Session::try_acquire(&self.registry, request(mode))
            .unwrap()
            .unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("session")
    }

    /// Leaves the files of a mutator that was killed.
    fn with_remains(self) -> Self {
        let victim = self.acquire(Mode::Exclusive);
        let names = ["lock", "json"].map(|kind| self.folder().join(format!("{}.{kind}", victim.ticket())));
        let contents = names.each_ref().map(|name| std::fs::read(name).unwrap());
        victim.release().unwrap();
        for (name, content) in names.iter().zip(contents) {
            std::fs::write(name, content).unwrap();
        }
        self
    }

    /// Nobody holds what others can take, and others can take what nobody holds.
    fn expect_truth(&self, what: &str) {
        let held = [&self.session, &self.other]
            .into_iter()
            .flatten()
            .map(Session::mode)
            .max();
        let reader = Session::try_acquire(&self.registry, request(Mode::Shared)).unwrap();
        assert_eq!(
            reader.is_some(),
            held != Some(Mode::Exclusive),
            "{what}: a reader beside {held:?}"
        );
        drop(reader);
        let mutator = Session::try_acquire(&self.registry, request(Mode::Exclusive)).unwrap();
        assert_eq!(
            mutator.is_some(),
            held.is_none(),
            "{what}: a mutator beside {held:?}"
        );
    }

    /// Everybody ends, and the folder is as new.
    fn expect_clean_end(mut self, what: &str) {
        drop((self.session.take(), self.other.take()));
        self.acquire(Mode::Exclusive).release().unwrap();
        assert_eq!(files(&self.folder()), ["gate"], "{what}");
    }
}

fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "test")
}

/// The request of a process that `parent` started.
fn under<'a>(parent: &Session, request: Request<'a>) -> Request<'a> {
    let mut command = Command::new("child");
    parent.name(&mut command);
    let name = command.get_envs().find(|(key, _)| *key == SESSION_VARIABLE);
    let name = name.unwrap().1.unwrap().to_str().unwrap();
    request.ancestry(Ancestry::parse(name))
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Makes every call of `act` fail in turn. `act` keeps in the world what it was granted.
#[track_caller]
fn fails_well<T: Debug>(prepare: impl Fn() -> World, act: impl Fn(&mut World) -> buildlock::Result<T>) {
    let calls = {
        let mut world = prepare();
        fail_call(None);
        act(&mut world).unwrap();
        let calls = calls_made();
        fail_call(None);
        world.expect_truth("no fault");
        world.expect_clean_end("no fault");
        calls
    };
    assert!(!calls.is_empty());
    for error in ERRORS {
        for (nth, call) in calls.iter().enumerate() {
            let what = format!("call {nth} of {}, `{call}`, failing with {error:?}", calls.len());
            let mut world = prepare();
            fail_call(Some((nth, error.raw_os_error())));
            let outcome = act(&mut world);
            fail_call(None);
            if let Err(e) = outcome {
                expect_clear(&e, call, error, &what);
            }
            world.expect_truth(&what);
            world.expect_clean_end(&what);
        }
    }
}

fn expect_clear(error: &buildlock::Error, call: &str, cause: Errno, what: &str) {
    let text = error.to_string();
    let kind = if cause == Errno::NOLCK && call.starts_with("lock") {
        ErrorKind::Unsupported
    } else {
        ErrorKind::Io
    };
    assert_eq!(error.kind(), kind, "{what}: {text}");
    let path = error
        .path()
        .unwrap_or_else(|| panic!("{what}: no path in {text:?}"));
    assert!(text.contains(&format!("`{}`", path.display())), "{what}: {text}");
    let source = std::error::Error::source(error).unwrap_or_else(|| panic!("{what}: no source of {text:?}"));
    assert!(text.contains(&source.to_string()), "{what}: {text}");
    assert!(text.starts_with("cannot "), "{what}: {text}");
}

/// Acquires while the lock is held, and has the holder let go as soon as the wait has begun.
fn acquire_after_wait(
    world: &mut World,
    get: impl FnOnce(&mut World, Request<'_>) -> buildlock::Result<()>,
    mode: Mode,
) -> buildlock::Result<()> {
    let holder = world.other.take().unwrap();
    let (begin, begun) = mpsc::channel::<()>();
    let (end, ended) = mpsc::channel::<()>();
    // In a thread of its own, for which no call is to fail.
    let holder = std::thread::spawn(move || {
        let waits = begun.recv().is_ok();
        let left = if waits {
            holder.release().unwrap();
            None
        } else {
            Some(holder)
        };
        drop(end);
        left
    });
    let told = begin.clone();
    let request = request(mode).notice_after(Duration::ZERO).on_wait(move |_| {
        if told.send(()).is_ok() {
            assert!(ended.recv().is_err(), "the holder has let go");
        }
    });
    let outcome = get(world, request);
    drop(begin);
    world.other = holder.join().unwrap();
    outcome
}

fn acquire_into(world: &mut World, request: Request<'_>) -> buildlock::Result<()> {
    world.session = Some(Session::acquire(&world.registry, request)?);
    Ok(())
}

#[test]
fn whether_a_folder_can_lock_is_tried_when_it_is_made_and_not_again() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path().join("session")).unwrap();
    let locks = || {
        fail_call(None);
        drop(Session::acquire(&registry, request(Mode::Exclusive)).unwrap());
        calls_made().iter().filter(|call| **call == "lock").count()
    };
    let (first, second) = (locks(), locks());
    assert_eq!(
        first,
        second + 1,
        "the gate is locked a second time, which must fail"
    );
    assert_eq!(locks(), second);
}

#[test]
fn a_waiter_for_whom_nothing_changes_keeps_out_of_the_gate_and_blocks_one_thread() {
    let mut world = World::new().beside(Mode::Exclusive);
    let mut holder = world.other.take();
    let mut looks = 0;
    fail_call(None);
    let request = request(Mode::Shared).notice_after(Duration::ZERO).on_wait(|_| {
        looks += 1;
        if looks == 2 {
            holder.take().unwrap().release().unwrap();
        }
    });
    let session = Session::acquire(&world.registry, request).unwrap();
    let calls = calls_made();
    let count = |what| calls.iter().filter(|call| **call == what).count();
    assert!(looks >= 2);
    assert_eq!(count("start to wait"), 1);
    // To register, and to be granted.
    assert_eq!(count("read gate"), 2);
    drop(session);
}

#[test]
fn opening() {
    fails_well(World::new, |world| Registry::open(world.folder()));
}

#[test]
fn making_a_new_registry() {
    let untouched = || {
        let world = World::new();
        std::fs::remove_file(world.folder().join("gate")).unwrap();
        world
    };
    fails_well(untouched, |world| acquire_into(world, request(Mode::Exclusive)));
}

#[test]
fn acquiring() {
    fails_well(World::new, |world| acquire_into(world, request(Mode::Shared)));
    fails_well(World::new, |world| acquire_into(world, request(Mode::Exclusive)));
}

#[test]
fn acquiring_beside_a_reader() {
    fails_well(
        || World::new().beside(Mode::Shared),
        |world| acquire_into(world, request(Mode::Shared)),
    );
}

#[test]
fn acquiring_more_than_a_parent_holds() {
    fails_well(
        || World::new().beside(Mode::Shared),
        |world| {
            let request = under(world.other.as_ref().unwrap(), request(Mode::Exclusive));
            acquire_into(world, request)
        },
    );
}

#[test]
fn waiting_for_more_than_a_parent_holds() {
    let acquire_and_release = |world: &mut World, request: Request<'_>| {
        let request = under(world.session.as_ref().unwrap(), request);
        Session::acquire(&world.registry, request)?.release()
    };
    fails_well(
        || World::holding(Mode::Shared).beside(Mode::Shared),
        |world| acquire_after_wait(world, acquire_and_release, Mode::Exclusive),
    );
}

#[test]
fn acquiring_over_the_remains_of_a_killed_mutator() {
    fails_well(
        || World::new().with_remains(),
        |world| acquire_into(world, request(Mode::Exclusive)),
    );
}

#[test]
fn trying_while_another_holds() {
    fails_well(
        || World::new().beside(Mode::Exclusive),
        |world| {
            let tried = Session::try_acquire(&world.registry, request(Mode::Shared))?;
            assert!(tried.is_none(), "it was held");
            Ok(())
        },
    );
}

#[test]
fn timing_out() {
    fails_well(
        || World::new().beside(Mode::Exclusive),
        |world| {
            let brief = request(Mode::Shared).timeout(Timeout::After(Duration::from_millis(1)));
            match Session::acquire(&world.registry, brief) {
                Err(e) if e.kind() == ErrorKind::Timeout => Ok(()),
                Err(e) => Err(e),
                Ok(session) => panic!("it was held, and granted to {session:?}"),
            }
        },
    );
}

#[test]
fn waiting_and_being_granted() {
    for mode in [Mode::Shared, Mode::Exclusive] {
        fails_well(
            || World::new().beside(Mode::Exclusive),
            |world| acquire_after_wait(world, acquire_into, mode),
        );
    }
}

#[test]
fn a_grant_makes_no_file() {
    let mut world = World::new().beside(Mode::Exclusive);
    let mut holder = world.other.take();
    let mut before = 0;
    fail_call(None);
    let request = request(Mode::Exclusive)
        .notice_after(Duration::ZERO)
        .on_wait(|_| {
            holder.take().unwrap().release().unwrap();
            before = calls_made().len();
        });
    let session = Session::acquire(&world.registry, request).unwrap();
    let calls = calls_made();
    let after = &calls[before..];
    assert!(after.contains(&"rewrite record"));
    assert!(!after.iter().any(|call| call.starts_with("create")), "{after:?}");
    drop(session);
}

#[test]
fn upgrading() {
    fails_well(
        || World::holding(Mode::Shared),
        |world| world.session.as_mut().unwrap().upgrade(request(Mode::Exclusive)),
    );
}

#[test]
fn upgrading_after_another_reader_has_gone() {
    fails_well(
        || World::holding(Mode::Shared).beside(Mode::Shared),
        |world| {
            let upgrade =
                |world: &mut World, request: Request<'_>| world.session.as_mut().unwrap().upgrade(request);
            acquire_after_wait(world, upgrade, Mode::Exclusive)
        },
    );
}

#[test]
fn downgrading() {
    fails_well(
        || World::holding(Mode::Exclusive),
        |world| world.session.as_mut().unwrap().downgrade(),
    );
}

#[test]
fn taking_back_an_upgrade() {
    fails_well(
        || {
            let mut world = World::holding(Mode::Shared);
            world
                .session
                .as_mut()
                .unwrap()
                .upgrade(request(Mode::Exclusive))
                .unwrap();
            world
        },
        |world| world.session.as_mut().unwrap().downgrade(),
    );
}

#[test]
fn releasing() {
    for mode in [Mode::Shared, Mode::Exclusive] {
        fails_well(
            || World::holding(mode),
            |world| world.session.take().unwrap().release(),
        );
    }
}

#[test]
fn looking() {
    fails_well(
        || World::holding(Mode::Shared).beside(Mode::Shared),
        |world| {
            world.session.as_ref().unwrap().watch().wanted_by()?;
            world.registry.snapshot().map(drop)
        },
    );
}

#[test]
fn breaking() {
    // What is broken is taken for ended; that its holder does not know is what the documentation warns of.
    fails_well(
        || World::new().with_remains(),
        |world| {
            let ticket = Ticket(2);
            world.registry.break_session(ticket).map(drop)
        },
    );
}

#[test]
fn a_claim_that_fails_after_its_grant_leaves_the_mark_of_an_earlier_mutator() {
    let mut world = World::new().with_remains();
    fail_call(None);
    acquire_into(&mut world, request(Mode::Exclusive)).unwrap();
    let last = calls_made().len() - 2;
    assert_eq!(
        calls_made()[last..],
        ["read record", "unlock"],
        "the mark is read last, in the gate"
    );
    let mut world = World::new().with_remains();
    fail_call(Some((last, Errno::IO.raw_os_error())));
    acquire_into(&mut world, request(Mode::Exclusive)).unwrap_err();
    fail_call(None);
    assert!(world.acquire(Mode::Exclusive).unfinished().is_some());
}
