//! What the program prints: of a folder, by `doctor`, and where nobody reads it.
#![cfg(all(target_os = "linux", feature = "cli"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use buildlock::Registry;

fn buildlock(words: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buildlock"));
    command.args(words).arg(folder);
    // Whatever this user's builds are doing, they do it elsewhere.
    if let Some(home) = folder.parent().filter(|home| home.is_absolute()) {
        command.env("XDG_RUNTIME_DIR", home);
    }
    command
}

fn doctor(folder: &Path) -> (Option<i32>, String) {
    let output = buildlock(&["doctor"], folder).output().unwrap();
    (output.status.code(), text(&output))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn doctor_refuses_what_run_refuses() {
    let home = tempfile::tempdir().unwrap();
    let [open, link] = ["open", "link"].map(|name| home.path().join(name));
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    symlink(home.path(), &link).unwrap();
    for (folder, why) in [
        (&open, "others may write to it"),
        (&link, "it is a symbolic link"),
    ] {
        let (code, said) = doctor(folder);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("FAILED  the folder is this user's alone") && said.contains(why),
            "{said}"
        );
        // That it locks is true of it all the same.
        assert!(said.contains("ok      a lock excludes other processes"), "{said}");
        assert!(Registry::open(folder).unwrap_err().to_string().contains(why));
    }
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0, "it leaves nothing");
}

#[test]
fn doctor_makes_a_missing_folder_as_run_does() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("deep/session");
    let (code, said) = doctor(&folder);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn doctor_says_once_that_no_file_can_be_made() {
    // Nobody can make a file there, not even root.
    let (code, said) = doctor(Path::new("/proc/sys"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED  files can be made in it"), "{said}");
    assert!(!said.contains("second process"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_reason_to_panic() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("session");
    Registry::open(&folder).unwrap().snapshot().unwrap();
    for verb in ["status", "watch"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = buildlock(&[verb, "--dir"], &folder)
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(
            (output.status.code(), text(&output)),
            (Some(141), String::new()),
            "{verb}"
        );
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_that_says_why() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let test = ["rules", "test", "cargo", "--"];
    let output = buildlock(&test, Path::new("cargo"))
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(
        text(&output).contains("cannot print the result"),
        "{}",
        text(&output)
    );
    let missing = buildlock(&["status", "--dir"], Path::new("missing"))
        .stderr(full())
        .status();
    assert_eq!(
        missing.unwrap().code(),
        Some(1),
        "who cannot say why still says that"
    );
}

#[test]
fn turns_that_cannot_be_read_hide_no_session() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("session");
    Registry::open(&folder).unwrap().snapshot().unwrap();
    let turns = home.path().join("buildlock/builds");
    fs::create_dir_all(&turns).unwrap();
    fs::write(turns.join("gate"), "buildlock 99\n").unwrap();
    let faces: [(&[&str], &str); 2] = [
        (&["status", "--dir"], "turns: unknown: "),
        (&["status", "--json", "--dir"], "\"turns_unknown\": \""),
    ];
    for (words, wanted) in faces {
        let output = buildlock(words, &folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).contains(wanted), "{}", text(&output));
        assert!(text(&output).contains("99"), "{}", text(&output));
    }
}
