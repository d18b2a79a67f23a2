//! What stands in a registry's folder, and what is made of files that somebody else put there.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use buildlock::{Ancestry, ErrorKind, Mode, Registry, Request, Session, Ticket, Timeout};
use tempfile::TempDir;

/// A registry of its own.
struct Place {
    _temporary: TempDir,
    folder: PathBuf,
    registry: Registry,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = temporary.path().join("session");
        let registry = Registry::open(&folder).expect("a registry can be made in a new folder");
        Self {
            _temporary: temporary,
            folder,
            registry,
        }
    }

    fn hold(&self, mode: Mode) -> buildlock::Result<Session> {
        Session::acquire(&self.registry, request(mode))
    }

    fn is_busy_for(&self, mode: Mode) -> bool {
        let tried = Session::try_acquire(&self.registry, request(mode));
        tried.expect("that the lock is busy is no error").is_none()
    }
}

/// Whatever lock the tests themselves run under.
fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "test").ancestry(Ancestry::default())
}

/// Windows lets nobody move a folder in which a file is open.
#[cfg(unix)]
#[test]
fn a_gate_that_was_moved_away_is_not_taken_for_the_one_in_its_place() {
    let place = Place::new();
    drop(place.hold(Mode::Exclusive).unwrap());
    fs::rename(&place.folder, place.folder.with_extension("moved")).unwrap();
    let anew = Registry::open(&place.folder).unwrap();
    let holder = Session::acquire(&anew, request(Mode::Exclusive)).unwrap();
    let of = |registry: &Registry| registry.snapshot().unwrap().registry;
    assert_eq!(of(&place.registry), of(&anew));
    assert!(place.is_busy_for(Mode::Shared));
    drop(holder);
    assert!(!place.is_busy_for(Mode::Exclusive));
}

#[test]
fn files_that_are_not_the_registrys_are_left_alone() {
    let place = Place::new();
    let others = [
        "note.txt",
        "cache.lock",
        "007.lock",
        "01.json",
        "7.txt",
        "+3.lock",
        "x.json",
        ".new",
    ];
    for name in others {
        fs::write(place.folder.join(name), "mine").unwrap();
    }
    drop(place.hold(Mode::Exclusive).unwrap());
    assert_eq!(place.registry.snapshot().unwrap().entries.len(), 0);
    for name in others {
        assert_eq!(
            fs::read_to_string(place.folder.join(name)).unwrap(),
            "mine",
            "{name}"
        );
    }
}

#[test]
fn leftovers_of_tickets_that_are_not_registered_are_removed() {
    let place = Place::new();
    drop(place.hold(Mode::Shared).unwrap());
    for name in ["7.json", "7.new"] {
        fs::write(place.folder.join(name), "half").unwrap();
    }
    drop(place.hold(Mode::Exclusive).unwrap());
    let names: Vec<_> = fs::read_dir(&place.folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["gate"]);
}

#[test]
fn the_fields_of_a_record_are_those_of_the_protocol() {
    let place = Place::new();
    let session = place.hold(Mode::Exclusive).unwrap();
    let path = place.folder.join(format!("{}.json", session.ticket()));
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with('{') && text.ends_with(" \n"));
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["ticket"], 1);
    assert_eq!(record["session"], 1);
    assert_eq!(record["ancestors"], serde_json::json!([]));
    assert_eq!(record["mode"], "exclusive");
    assert_eq!(record["state"], "granted");
    let optional = [
        "pid_namespace",
        "pid_start",
        "granted_unix_ms",
        "preemptible",
        "uses",
        "lease",
    ];
    let mut names: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| !optional.contains(name));
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "ancestors",
            "asked_unix_ms",
            "command",
            "directory",
            "host",
            "label",
            "mode",
            "pid",
            "session",
            "state",
            "ticket",
            "user"
        ]
    );
}

#[test]
fn a_record_under_another_name_is_not_believed() {
    let place = Place::new();
    let reader = place.hold(Mode::Shared).unwrap();
    // A reader looks at those that came before a mutator: here one that gave up.
    let moment = Timeout::After(Duration::from_millis(1));
    let mutator = request(Mode::Exclusive).timeout(moment);
    assert_eq!(
        Session::acquire(&place.registry, mutator).unwrap_err().kind(),
        ErrorKind::Timeout
    );
    assert!(!place.is_busy_for(Mode::Shared));
    let path = place.folder.join(format!("{}.json", reader.ticket()));
    let record = fs::read_to_string(&path).unwrap();
    fs::write(&path, record.replace(r#""ticket":1,"#, r#""ticket":9,"#)).unwrap();
    assert!(place.is_busy_for(Mode::Shared), "it may be a mutator's");
    drop(reader);
    assert!(!place.is_busy_for(Mode::Exclusive));
}

#[test]
fn a_damaged_gate_is_made_anew_once_nobody_is_alive() {
    let place = Place::new();
    let session = place.hold(Mode::Shared).unwrap();
    let before = place.registry.snapshot().unwrap().registry;
    fs::write(place.folder.join("gate"), "garbage").unwrap();
    let error = place.hold(Mode::Shared).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    // A session that was killed would leave its files; they count for the next ticket.
    let lock = place.folder.join(format!("{}.lock", session.ticket()));
    drop(session);
    fs::write(&lock, "").unwrap();
    let session = place.hold(Mode::Shared).unwrap();
    assert_eq!(session.ticket(), Ticket(2));
    assert_ne!(place.registry.snapshot().unwrap().registry, before);
}

#[test]
fn a_mutator_that_panics_leaves_the_mark() {
    let place = Place::new();
    let session = place.hold(Mode::Exclusive).unwrap();
    let ticket = session.ticket();
    let panicking = std::thread::spawn(move || {
        let _held = session;
        std::panic::resume_unwind(Box::new("a bug"));
    });
    assert!(panicking.join().is_err());
    let next = place.hold(Mode::Exclusive).unwrap();
    assert_eq!(next.unfinished().map(|mark| mark.claim.ticket), Some(ticket));
    next.release().unwrap();
    assert!(place.registry.snapshot().unwrap().unfinished.is_none());
}

// On Windows a folder with open files cannot be removed.
#[cfg(unix)]
#[test]
fn a_hold_in_a_folder_that_was_made_anew_is_not_turned_into_one_in_the_new() {
    let place = Place::new();
    let mut session = place.hold(Mode::Exclusive).unwrap();
    fs::remove_dir_all(&place.folder).unwrap();
    let anew = Registry::open(&place.folder).unwrap();
    anew.snapshot().unwrap();
    let error = session.downgrade().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert_eq!(anew.snapshot().unwrap().entries.len(), 0);
}

#[cfg(unix)]
#[test]
fn files_can_be_read_by_all_who_can_enter_the_folder() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    let _session = place.hold(Mode::Shared).unwrap();
    for name in ["gate", "1.lock", "1.json"] {
        let mode = fs::metadata(place.folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o022, 0, "{name} can be written by others");
        assert_eq!(mode & 0o400, 0o400, "{name} cannot be read");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    assert_eq!(
        fs::metadata(&place.folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    fs::set_permissions(&place.folder, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Registry::open(&place.folder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPrivate);
    let file = place.folder.join("file");
    fs::write(&file, "").unwrap();
    assert!(Registry::open(&file).is_err(), "a file is no folder");
}

#[cfg(unix)]
#[test]
fn a_link_that_somebody_planted_is_not_followed() {
    use std::os::unix::fs::symlink;

    for planted in ["gate", "1.lock", "1.json", "unfinished.json"] {
        let place = Place::new();
        let victim = place.folder.with_file_name("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, place.folder.join(planted)).unwrap();
        // It may be refused, or replaced; what it points to is neither read nor written.
        drop(place.hold(Mode::Exclusive));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{planted}");
    }
}
