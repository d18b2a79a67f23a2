//! What is different on Windows: job objects instead of inherited locks, and Python's locks. Ctrl-C is typed by
//! the suite `windows` of `./x test`.
#![cfg(windows)]

use std::ffi::c_int;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use buildlock::{CacheHolder, CacheLock, Cancel, Timeout};

/// A file opened and locked as Python's `msvcrt.locking` does it.
struct OfTheCRuntime(c_int);

mod crt {
    use std::ffi::{c_int, c_long};

    pub(super) const O_RDWR: c_int = 0x2;
    pub(super) const O_CREAT: c_int = 0x100;
    /// As Python opens all files.
    pub(super) const O_NOINHERIT: c_int = 0x80;
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
        let descriptor = unsafe {
            crt::_wopen(
                path.as_ptr(),
                crt::O_RDWR | crt::O_CREAT | crt::O_NOINHERIT,
                crt::S_IREAD_IWRITE,
            )
        };
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

/// A process that lives until its input ends.
fn another() -> Child {
    Command::new("cmd")
        .args(["/c", "set", "/p", "line="])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn the_process_that_started_this_one_is_found() {
    const CHILD: &str = "STARTED_BY_A_TEST";
    if std::env::var_os(CHILD).is_some() {
        assert!(buildlock::Parent::find().unwrap().is_some());
        return;
    }
    let me = std::env::current_exe().unwrap();
    let child = Command::new(me)
        .args(["--exact", "the_process_that_started_this_one_is_found"])
        .env(CHILD, "")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
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
