//! Which words stand for which packages.

use super::*;

fn member(workspace: usize, name: &str, folder: &str) -> Member {
    Member {
        workspace,
        id: format!("path+file://{folder}#{name}@1.0.0"),
        package: Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
        },
        folder: folder.into(),
        programs: vec![format!("{name}-program")],
        default_run: None,
        is_handed_out: true,
    }
}

fn members(root: &Path) -> Vec<Member> {
    let at = |folder: &str| root.join(folder).display().to_string();
    vec![
        member(0, "outer", &at("a/outer")),
        member(0, "inner", &at("a/outer/inner")),
        member(0, "other", &at("a/other")),
        member(1, "second", &at("b")),
    ]
}

/// A folder with the files of [`members`].
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["a/outer/src", "a/outer/inner/src", "a/other", "b", "c"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    std::fs::write(root.path().join("a/outer/inner/src/lib.rs"), "").unwrap();
    root
}

#[track_caller]
fn picked(word: &str) -> Vec<String> {
    let root = tree();
    let members = members(root.path());
    match pick(word.as_ref(), root.path(), &members, &["suite"]).unwrap() {
        Pick::Members(found) => found.iter().map(|&at| members[at].package.name.clone()).collect(),
        Pick::Other(name) => vec![format!("({name})")],
    }
}

#[test]
fn a_name_picks_its_package() {
    assert_eq!(picked("inner"), ["inner"]);
    assert_eq!(picked("suite"), ["(suite)"]);
}

#[test]
fn a_file_picks_the_package_that_owns_it() {
    assert_eq!(picked("a/outer/inner/src/lib.rs"), ["inner"]);
    assert_eq!(picked("a/outer/src"), ["outer"]);
}

#[test]
fn a_folder_picks_all_packages_below_it() {
    assert_eq!(picked("a"), ["outer", "inner", "other"]);
    assert_eq!(picked("a/outer/"), ["outer", "inner"]);
    assert_eq!(picked("a/../."), ["outer", "inner", "other", "second"]);
}

#[test]
fn what_is_unknown_is_refused_with_the_name_that_was_probably_meant() {
    let root = tree();
    let refused =
        |word: &str| pick(word.as_ref(), root.path(), &members(root.path()), &["suite"]).unwrap_err();
    assert_eq!(refused("iner").to_string(), "there is no package or path `iner`");
    assert_eq!(refused("iner").help(), Some("did you mean `inner`?"));
    assert_eq!(refused("./iner/").help(), Some("did you mean `inner`?"));
    assert_eq!(refused("siute").help(), Some("did you mean `suite`?"));
    assert_eq!(refused("nothing-like-it").help(), None);
    assert!(
        refused("c")
            .to_string()
            .starts_with("there is no package at, above or below")
    );
}

#[test]
fn picks_are_gathered_by_workspace() {
    let root = tree();
    let workspace = |name: &str| Workspace {
        folder: root.path().join(name),
        target: root.path().join("target").join(name),
    };
    let picks = [
        Pick::Members(vec![1]),
        Pick::Other("suite".into()),
        Pick::Members(vec![3]),
    ];
    let (chosen, others) = gather(
        vec![workspace("a"), workspace("b")],
        &members(root.path()),
        &picks,
    );
    assert_eq!(others, ["suite"]);
    assert_eq!(chosen.len(), 2);
    assert!(matches!(&chosen[0].packages, Packages::Only(only) if only[0].spec() == "inner@1.0.0"));
    assert_eq!(chosen[1].packages, Packages::All, "all that there is was picked");
}

#[test]
fn target_directories_are_told_apart_and_survive_a_move_of_the_checkout() {
    let name = |root: &str, folder: &str| target_name(root.as_ref(), folder.as_ref());
    assert_eq!(name("/src", "/src"), "root");
    assert_eq!(name("/src", "/src/tools"), name("/elsewhere", "/elsewhere/tools"));
    assert_ne!(name("/src", "/a/tools"), name("/src", "/b/tools"));
    assert!(name("/src", "/a/tools").starts_with("tools-"));
}
