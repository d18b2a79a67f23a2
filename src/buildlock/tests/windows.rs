//! What is different on Windows: job objects instead of inherited locks, the console instead of signals, and Python's locks.
#![cfg(all(windows, feature = "cli"))]

use std::ffi::c_int;
use std::io::Read;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use buildlock::{Ancestry, CacheHolder, CacheLock, Cancel, Mode, Registry, Request, Session, Timeout};
use windows_sys::Win32::Foundation::STATUS_CONTROL_C_EXIT;
use windows_sys::Win32::System::Console::{AllocConsole, CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

/// After this long a test gives up. Nothing waits for it in a test that passes.
const STUCK: Duration = Duration::from_secs(60);

/// A file opened and locked as Python's `msvcrt.locking` does it.
struct OfTheCRuntime(c_int);

mod crt {
    use std::ffi::{c_int, c_long};

    pub(super) const O_RDWR: c_int = 0x2;
    pub(super) const O_CREAT: c_int = 0x100;
    pub(super) const S_IREAD_IWRITE: c_int = 0o600;
    pub(super) const LK_NBLCK: c_int = 2;

    unsafe extern "C" {
        pub(super) fn _wopen(path: *const u16, flags: c_int, mode: c_int) -> c_int;
        pub(super) fn _locking(descriptor: c_int, mode: c_int, bytes: c_long) -> c_int;
        pub(super) fn _close(descriptor: c_int) -> c_int;
    }
}

impl OfTheCRuntime {
    fn open(path: &Path) -> Self {
        let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
        // SAFETY: the path is a live string that ends with a null.
        let descriptor =
            unsafe { crt::_wopen(path.as_ptr(), crt::O_RDWR | crt::O_CREAT, crt::S_IREAD_IWRITE) };
        assert!(descriptor >= 0, "the C runtime cannot open it");
        Self(descriptor)
    }

    /// Locks the first byte, as the launcher does; false where somebody else has it.
    fn lock(&self) -> bool {
        // SAFETY: the descriptor is open.
        unsafe { crt::_locking(self.0, crt::LK_NBLCK, 1) == 0 }
    }
}

impl Drop for OfTheCRuntime {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open, and is not used again.
        unsafe { crt::_close(self.0) };
    }
}

fn cache_lock(folder: &Path) -> buildlock::Result<CacheLock> {
    let me = CacheHolder::me("test", "testing");
    CacheLock::acquire(folder, me, Timeout::AtOnce, |_| {}, &Cancel::new())
}

#[test]
fn the_cache_lock_and_the_launchers_exclude_each_other_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let driver = cache_lock(folder.path()).unwrap();
    let launcher = OfTheCRuntime::open(&folder.path().join("cache.lock"));
    assert!(!launcher.lock(), "the launcher walks over the driver");
    drop(driver);
    assert!(launcher.lock(), "the driver let go of it");
    let error = cache_lock(folder.path()).unwrap_err();
    assert_eq!(error.kind(), buildlock::ErrorKind::Timeout, "{error}");
    drop(launcher);
    cache_lock(folder.path()).unwrap();
}

/// Another process of this program, which lives until its input ends.
fn another() -> Child {
    Command::new(std::env::current_exe().expect("the path of this program"))
        .args([
            "--exact",
            "the_part_of_another_process",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[test]
#[ignore = "it is played by a child of the other tests"]
fn the_part_of_another_process() {
    assert!(buildlock::Parent::find().unwrap().is_some());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn descendants_are_ended_and_this_process_is_not() {
    buildlock::adopt_orphans().unwrap();
    let mut children = [another(), another()];
    buildlock::end_descendants().unwrap();
    for child in &mut children {
        assert!(child.try_wait().unwrap().is_some(), "it lives on");
    }
    buildlock::spare_descendants().unwrap();
}

#[test]
fn ctrl_break_gives_up_a_wait_and_leaves_nothing() {
    // SAFETY: no pointers are passed. It fails where this process has a console already.
    unsafe { AllocConsole() };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("session");
    let registry = Registry::open(&folder).unwrap();
    let request = Request::new(Mode::Exclusive, "test").ancestry(Ancestry::default());
    let session = Session::acquire(&registry, request).unwrap();
    let mut waiter = Command::new(env!("CARGO_BIN_EXE_buildlock"))
        .args(["run", "--shared", "--dir"])
        .arg(&folder)
        .args(["--", "cmd", "/c", "exit"])
        .creation_flags(CREATE_NEW_PROCESS_GROUP)
        .spawn()
        .unwrap();
    let give_up = Instant::now() + STUCK;
    let waits = || {
        registry
            .snapshot()
            .unwrap()
            .entries
            .iter()
            .any(|e| e.waits_for.is_some())
    };
    while !waits() {
        assert!(Instant::now() < give_up, "it does not wait");
        std::thread::yield_now();
    }
    // SAFETY: no pointers are passed.
    if unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, waiter.id()) } == 0 {
        let why = std::io::Error::last_os_error();
        waiter.kill().unwrap();
        println!("skipped: no console here: {why}");
        return;
    }
    assert_eq!(waiter.wait().unwrap().code(), Some(STATUS_CONTROL_C_EXIT));
    assert_eq!(registry.snapshot().unwrap().entries.len(), 1);
    session.release().unwrap();
}
