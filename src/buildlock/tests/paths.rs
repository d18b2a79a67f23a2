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
