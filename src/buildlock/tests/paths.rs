//! Lock folders in odd places.

use buildlock::{Ancestry, Mode, Registry, Request, Session};

fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "test").ancestry(Ancestry::default())
}

#[test]
fn a_folder_with_a_long_path_in_several_scripts_is_like_any_other() {
    let home = tempfile::tempdir().unwrap();
    let mut folder = home.path().to_owned();
    // Windows' own limit, without the prefix that the standard library puts before long paths, is 260 characters.
    while folder.as_os_str().len() < 400 {
        folder.push("Übersetzung 構築 сборка");
    }
    let registry = Registry::open(folder.join("session")).unwrap();
    let first = Session::acquire(&registry, request(Mode::Shared)).unwrap();
    let mut second = Session::acquire(&registry, request(Mode::Shared)).unwrap();
    assert!(!second.try_upgrade(request(Mode::Exclusive)).unwrap());
    first.release().unwrap();
    assert!(second.try_upgrade(request(Mode::Exclusive)).unwrap());
    second.downgrade().unwrap();
    second.release().unwrap();
    let left: Vec<_> = std::fs::read_dir(registry.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["gate"]);
}

#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_made_is_an_error_however_the_system_says_so() {
    let home = tempfile::tempdir().unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let mut folders = vec![link.join("session"), link.join("deep/session")];
    if cfg!(target_os = "linux") {
        // Who creates something in /proc is told that it is not there, although the folder is (mkdir(2) says ENOENT).
        folders.extend(["/proc/session".into(), "/proc/deep/session".into()]);
    }
    for folder in folders {
        let error = Registry::open(&folder).unwrap_err();
        assert_eq!(error.kind(), buildlock::ErrorKind::Io, "{error}");
    }
}
