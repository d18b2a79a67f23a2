//! Files of the registry that make no sense, and those of a version to come.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use buildlock::{ErrorKind, Mode, Registry, Request, Session, Timeout};
use tempfile::TempDir;

struct World {
    _home: TempDir,
    folder: PathBuf,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("session");
        let registry = Registry::open(&folder).unwrap();
        Self {
            _home: home,
            folder,
            registry,
        }
    }

    fn acquire(&self, mode: Mode) -> buildlock::Result<Option<Session>> {
        Session::try_acquire(&self.registry, Request::new(mode, "test"))
    }

    fn hold(&self, mode: Mode) -> Session {
        self.acquire(mode).unwrap().unwrap()
    }

    /// A reader, since whom a mutator came and gave up: else readers that come later would not look at it at all.
    fn reader(&self) -> Session {
        let reader = self.hold(Mode::Shared);
        let moment = Timeout::After(Duration::from_millis(1));
        let gave_up = Session::acquire(
            &self.registry,
            Request::new(Mode::Exclusive, "test").timeout(moment),
        );
        assert_eq!(gave_up.unwrap_err().kind(), ErrorKind::Timeout);
        reader
    }

    fn record(&self, session: &Session) -> PathBuf {
        self.folder.join(format!("{}.json", session.ticket()))
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_living_session_with_a_garbage_record_counts_as_an_exclusive_hold() {
    for garbage in ["", "{", "not a record", "{\"ticket\":1}", "[]", "\0\0\0\0"] {
        let world = World::new();
        let reader = world.reader();
        fs::write(world.record(&reader), garbage).unwrap();
        assert!(world.acquire(Mode::Shared).unwrap().is_none(), "{garbage:?}");
        let snapshot = world.registry.snapshot().unwrap();
        assert!(snapshot.entries[0].record.is_none(), "{garbage:?}");
        let request = Request::new(Mode::Shared, "test").timeout(Timeout::AtOnce);
        let text = Session::acquire(&world.registry, request)
            .unwrap_err()
            .to_string();
        assert!(text.contains("a session whose record cannot be read"), "{text}");
        drop(reader);
        drop(world.hold(Mode::Exclusive));
        assert_eq!(world.files(), ["gate"], "{garbage:?}");
    }
}

#[test]
fn a_living_session_without_a_record_counts_as_an_exclusive_hold() {
    let world = World::new();
    let reader = world.reader();
    fs::remove_file(world.record(&reader)).unwrap();
    assert!(world.acquire(Mode::Shared).unwrap().is_none());
    drop(reader);
    drop(world.hold(Mode::Exclusive));
}

#[test]
fn a_record_that_is_another_sessions_is_not_believed() {
    let world = World::new();
    let (first, second) = (world.reader(), world.hold(Mode::Shared));
    fs::copy(world.record(&second), world.record(&first)).unwrap();
    assert!(world.acquire(Mode::Shared).unwrap().is_none());
}

#[test]
fn a_record_that_is_too_long_is_not_read_to_its_end() {
    let world = World::new();
    let reader = world.reader();
    let file = fs::File::options()
        .append(true)
        .open(world.record(&reader))
        .unwrap();
    // A terabyte of nothing, if it were read.
    file.set_len(1 << 40).unwrap();
    assert!(world.acquire(Mode::Shared).unwrap().is_none());
}

#[test]
fn a_record_of_a_later_version_is_read_as_far_as_it_is_understood() {
    let world = World::new();
    let reader = world.hold(Mode::Shared);
    let text = fs::read_to_string(world.record(&reader)).unwrap();
    fs::write(
        world.record(&reader),
        text.replacen('{', "{\"later\":{\"addition\":[1]},", 1),
    )
    .unwrap();
    drop(world.acquire(Mode::Shared).unwrap().unwrap());
    assert!(world.registry.snapshot().unwrap().entries[0].record.is_some());
}

#[test]
fn a_mode_of_a_later_version_counts_as_exclusive() {
    let world = World::new();
    let reader = world.reader();
    let text = fs::read_to_string(world.record(&reader)).unwrap();
    fs::write(
        world.record(&reader),
        text.replace("\"shared\"", "\"intent-shared\""),
    )
    .unwrap();
    assert!(world.acquire(Mode::Shared).unwrap().is_none());
}

#[test]
fn a_gate_of_a_later_protocol_is_refused_and_left_alone() {
    let world = World::new();
    drop(world.hold(Mode::Shared));
    let later = "buildlock 2\nwhatever it says\n";
    fs::write(world.folder.join("gate"), later).unwrap();
    let error = world.acquire(Mode::Shared).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerProtocol);
    assert!(error.to_string().contains("version 2"), "{error}");
    assert!(error.to_string().contains("use the newer tool"), "{error}");
    assert_eq!(fs::read_to_string(world.folder.join("gate")).unwrap(), later);
    assert_eq!(world.files(), ["gate"]);
}

#[test]
fn a_garbage_gate_is_refused_while_anybody_is_alive_and_rebuilt_afterwards() {
    for garbage in ["garbage", "", "buildlock 1\n", &"x".repeat(100_000)] {
        let world = World::new();
        let session = world.hold(Mode::Shared);
        let before = world.registry.snapshot().unwrap().registry;
        fs::write(world.folder.join("gate"), garbage).unwrap();
        let error = world.acquire(Mode::Shared).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("session {} is", session.ticket())),
            "{error}"
        );
        drop(session);
        let next = world.hold(Mode::Exclusive);
        let after = world.registry.snapshot().unwrap().registry;
        assert_ne!(
            before, after,
            "no old name may fit the registry that was made anew"
        );
        drop(next);
        assert_eq!(world.files(), ["gate"]);
        assert_eq!(fs::metadata(world.folder.join("gate")).unwrap().len(), 178);
    }
}

#[test]
fn a_rebuilt_gate_hands_out_no_ticket_whose_files_are_there() {
    let world = World::new();
    drop(world.hold(Mode::Shared));
    for name in ["7.lock", "7.json", "41.lock"] {
        fs::write(world.folder.join(name), "").unwrap();
    }
    fs::write(world.folder.join("gate"), "garbage").unwrap();
    let session = world.hold(Mode::Exclusive);
    assert_eq!(session.ticket().0, 42);
    drop(session);
    assert_eq!(world.files(), ["gate"]);
}

#[test]
fn what_is_not_ours_in_the_folder_is_left_alone() {
    let world = World::new();
    let strange = [
        "README",
        "notes.txt",
        "007.lock",
        "+1.json",
        "x.lock",
        "99999999999999999999.lock",
        "cache.lock",
    ];
    for name in strange {
        fs::write(world.folder.join(name), "").unwrap();
    }
    fs::create_dir(world.folder.join("folder")).unwrap();
    world.hold(Mode::Exclusive).release().unwrap();
    let files = world.files();
    for name in strange {
        assert!(files.iter().any(|f| f == name), "{name} is gone: {files:?}");
    }
}

#[test]
fn a_ticket_that_is_taken_is_not_taken_from_its_owner() {
    let world = World::new();
    let session = world.hold(Mode::Shared);
    // A gate from a backup would hand out the same ticket again.
    let gate = world.folder.join("gate");
    let text = fs::read_to_string(&gate).unwrap();
    let past = text.replace("next 00000000000000000002", "next 00000000000000000001");
    let past = past.replace("granted 00000000000000000001", "granted 00000000000000000000");
    fs::write(&gate, past).unwrap();
    let error = world.acquire(Mode::Shared).unwrap_err();
    assert!(
        error.to_string().contains("cannot create the lock file"),
        "{error}"
    );
    assert_eq!(
        world.registry.snapshot().unwrap().entries[0].ticket,
        session.ticket()
    );
}
