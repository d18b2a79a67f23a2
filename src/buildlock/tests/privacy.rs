//! Folders and files that another user could have planted, and those that root leaves to a user.
//!
//! As root the tests also play the other user, in a child that gives its rights up; others skip those.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use buildlock::{CacheHolder, CacheLock, Cancel, ErrorKind, Mode, Registry, Request, Session, Timeout};
use tempfile::TempDir;

/// `nobody`, on most systems.
const OTHER: u32 = 65534;

const PART: &str = "PART";
const FOLDER: &str = "FOLDER";

fn home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    // Others can reach the lock folder, unless its own mode keeps them out.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = home.path().join("session");
    (home, folder)
}

fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "test")
}

#[track_caller]
fn expect_refused(folder: &Path, reason: &str) {
    let error = Registry::open(folder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPrivate, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(
        error.to_string().contains(&folder.display().to_string()),
        "{error}"
    );
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        drop(writeln!(
            std::io::stdout(),
            "skipped: only root can play another user"
        ));
    }
    root
}

/// Runs this very test again as another user, who is to play `part` in this folder.
#[track_caller]
fn as_other(test: &str, part: &str, folder: &Path) {
    // The test program may lie where others cannot reach it.
    let stage = tempfile::tempdir().unwrap();
    fs::set_permissions(stage.path(), Permissions::from_mode(0o755)).unwrap();
    let program = stage.path().join("privacy");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]);
    command.env(PART, part).env(FOLDER, folder);
    command.current_dir(stage.path()).uid(OTHER).gid(OTHER);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn take_cache_lock(folder: &Path) {
    let me = CacheHolder::me("test", "looking");
    drop(CacheLock::acquire(folder, me, Timeout::AtOnce, |_| {}, &Cancel::new()).unwrap());
}

/// What part to play, and in which folder, if this process is to play the other user.
fn part() -> Option<(String, PathBuf)> {
    Some((std::env::var(PART).ok()?, std::env::var_os(FOLDER)?.into()))
}

#[test]
fn the_folder_and_its_files_are_for_this_user_alone_to_write() {
    let (_home, folder) = home();
    let session = Session::acquire(&Registry::open(&folder).unwrap(), request(Mode::Shared)).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode & 0o022, 0, "{} has mode {mode:o}", entry.path().display());
    }
    drop(session);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        let (_home, folder) = home();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        expect_refused(&folder, "others may write to it");
    }
}

#[test]
fn a_link_in_place_of_the_folder_is_refused() {
    let (home, folder) = home();
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    symlink(home.path().join("elsewhere"), &folder).unwrap();
    expect_refused(&folder, "it is a symbolic link");
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let (_home, folder) = home();
    fs::write(&folder, "").unwrap();
    expect_refused(&folder, "it is not a folder");
}

#[test]
fn a_link_in_place_of_the_gate_is_not_followed() {
    let (home, folder) = home();
    let registry = Registry::open(&folder).unwrap();
    let precious = home.path().join("precious");
    fs::write(&precious, "content").unwrap();
    symlink(&precious, folder.join("gate")).unwrap();
    let error = Session::acquire(&registry, request(Mode::Exclusive)).unwrap_err();
    assert!(
        error.to_string().contains("cannot open the lock folder's gate"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&precious).unwrap(), "content");
}

#[test]
fn links_in_place_of_a_sessions_files_are_not_followed() {
    let (home, folder) = home();
    let registry = Registry::open(&folder).unwrap();
    drop(Session::acquire(&registry, request(Mode::Exclusive)).unwrap());
    let precious = home.path().join("precious");
    fs::write(&precious, "content").unwrap();
    for kind in ["lock", "json", "new"] {
        symlink(&precious, folder.join(format!("2.{kind}"))).unwrap();
        // Either it is in nobody's way and removed, or the error says which file it is.
        if let Err(error) = Session::acquire(&registry, request(Mode::Exclusive)) {
            assert!(error.path().unwrap().starts_with(&folder), "{error}");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "content", "{kind}");
        drop(fs::remove_file(folder.join(format!("2.{kind}"))));
    }
}

#[test]
fn a_fifo_in_place_of_a_record_blocks_nobody() {
    let (_home, folder) = home();
    let registry = Registry::open(&folder).unwrap();
    let session = Session::acquire(&registry, request(Mode::Exclusive)).unwrap();
    let record = folder.join(format!("{}.json", session.ticket()));
    fs::remove_file(&record).unwrap();
    let made = Command::new("mkfifo").arg(&record).status().unwrap();
    assert!(made.success());
    assert!(
        Session::try_acquire(&registry, request(Mode::Shared))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if let Some((_, folder)) = part() {
        return expect_refused(&folder, "it belongs to user 0");
    }
    if !is_root() {
        return;
    }
    // As in a shared temporary place, where anybody can be first to make a folder of any name.
    let (_home, folder) = home();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    as_other("a_folder_of_another_user_is_refused", "newcomer", &folder);
}

#[test]
fn a_folder_that_may_not_be_looked_into_is_not_taken_for_one_that_nobody_has_used() {
    if let Some((_, folder)) = part() {
        let error = Registry::existing(&folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        return assert!(
            error.to_string().contains("cannot look at the lock folder `"),
            "{error}"
        );
    }
    let (_home, folder) = home();
    assert!(Registry::existing(&folder).unwrap().is_none());
    if !is_root() {
        return;
    }
    drop(Session::acquire(&Registry::open(&folder).unwrap(), request(Mode::Shared)).unwrap());
    let test = "a_folder_that_may_not_be_looked_into_is_not_taken_for_one_that_nobody_has_used";
    as_other(test, "passer-by", &folder);
}

#[test]
fn a_record_of_another_user_that_cannot_be_read_counts_as_an_exclusive_hold() {
    if let Some((_, folder)) = part() {
        let registry = Registry::open(folder).unwrap();
        assert!(
            Session::try_acquire(&registry, request(Mode::Shared))
                .unwrap()
                .is_none()
        );
        let snapshot = registry.snapshot().unwrap();
        return assert!(snapshot.entries[0].record.is_none());
    }
    if !is_root() {
        return;
    }
    let (_home, folder) = home();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    chown(&folder, Some(OTHER), Some(OTHER)).unwrap();
    // Root works in the user's folder, and an umask or an access list hides its record.
    let registry = Registry::open(&folder).unwrap();
    let session = Session::acquire(&registry, request(Mode::Exclusive)).unwrap();
    let record = folder.join(format!("{}.json", session.ticket()));
    chown(&record, Some(0), Some(0)).unwrap();
    fs::set_permissions(&record, Permissions::from_mode(0o600)).unwrap();
    as_other(
        "a_record_of_another_user_that_cannot_be_read_counts_as_an_exclusive_hold",
        "user",
        &folder,
    );
}

#[test]
fn what_root_leaves_in_a_users_folder_the_user_can_use() {
    if let Some((part, folder)) = part() {
        let registry = Registry::open(&folder).unwrap();
        let tried = Session::try_acquire(&registry, request(Mode::Exclusive)).unwrap();
        assert_eq!(tried.is_some(), part == "finds it free");
        take_cache_lock(&folder);
        if tried.is_none() {
            let snapshot = registry.snapshot().unwrap();
            assert_eq!(snapshot.entries[0].record.as_ref().unwrap().label, "test");
            assert_eq!(snapshot.entries[0].process, buildlock::Process::Running);
        }
        return;
    }
    if !is_root() {
        return;
    }
    // `sudo ./x install`, and nobody had built before.
    let (home, _) = home();
    let checkout = home.path().join("checkout");
    fs::create_dir(&checkout).unwrap();
    chown(&checkout, Some(OTHER), Some(OTHER)).unwrap();
    let build = checkout.join("build");
    let folder = build.join("session");
    let registry = Registry::open(&folder).unwrap();
    let session = Session::acquire(&registry, request(Mode::Exclusive)).unwrap();
    take_cache_lock(&folder);
    for path in fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .chain([folder.clone(), build])
    {
        let owner = fs::metadata(&path).unwrap().uid();
        assert_eq!(owner, OTHER, "{} belongs to user {owner}", path.display());
    }
    // What a holder of the cache leaves that is killed.
    for left in ["cache.holder.json", "cache.holder.new"] {
        fs::write(folder.join(left), "root's").unwrap();
    }
    let test = "what_root_leaves_in_a_users_folder_the_user_can_use";
    as_other(test, "finds it held", &folder);
    drop(session);
    as_other(test, "finds it free", &folder);
}
