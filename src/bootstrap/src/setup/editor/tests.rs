//! The settings of every editor, read back as far as a parser is at hand here.

use serde_json::Value;

use super::*;
use crate::config::Surroundings;
use crate::flags::Global;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn config(sets: &[&str]) -> Config {
    let around = Surroundings {
        root: root(),
        cwd: root(),
        config_env: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.toml");
    fs::write(&empty, "").unwrap();
    let set = sets.iter().map(|&set| set.to_owned()).collect();
    Config::load(
        &around,
        &Global {
            config: Some(empty),
            set,
            ..Global::default()
        },
    )
    .unwrap()
}

/// A toolchain with all that is looked for, and the path of its compiler.
fn toolchain() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let exe = std::env::consts::EXE_SUFFIX;
    let programs = [
        format!("bin/rustc{exe}"),
        format!("bin/rustfmt{exe}"),
        format!("libexec/rust-analyzer-proc-macro-srv{exe}"),
    ];
    for file in programs
        .iter()
        .map(String::as_str)
        .chain(["lib/rustlib/components"])
    {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let rustc = folder.path().join(&programs[0]);
    (folder, rustc)
}

/// JSON without the lines that are comments.
fn json(text: &str) -> Value {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    serde_json::from_str(&lines.join("\n")).unwrap_or_else(|e| panic!("{e} in {text}"))
}

fn words(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

#[test]
fn every_name_of_every_text_is_filled_in() {
    let (folder, rustc) = toolchain();
    for editor in Editor::value_variants() {
        let text = settings(*editor, &config(&[]), &rustc).unwrap();
        assert_eq!(next_name(&text, 0), None, "{text}");
        for part in [
            "--compile-time-deps",
            "--preemptible",
            "--exit-with-parent",
            "rustfmt",
        ] {
            assert!(text.contains(part), "{editor:?} lacks {part}: {text}");
        }
        let path = folder.path().to_string_lossy().replace('\\', "\\\\");
        assert!(text.contains(&path), "{text}");
    }
}

#[test]
fn the_check_goes_through_x_and_so_do_build_scripts() {
    let (_folder, rustc) = toolchain();
    let x = root().join("x").to_string_lossy().into_owned();
    for editor in [Editor::Vscode, Editor::Vim] {
        let settings = json(&settings(editor, &config(&[]), &rustc).unwrap());
        let expected = [
            x.as_str(),
            "check",
            "Cargo.toml",
            "--all-targets",
            "--json-output",
            "--preemptible",
            "--exit-with-parent",
        ];
        if cfg!(unix) {
            assert_eq!(words(&settings["rust-analyzer.check.overrideCommand"]), expected);
        }
        let scripts = words(&settings["rust-analyzer.cargo.buildScripts.overrideCommand"]);
        assert!(scripts.contains(&"--compile-time-deps"), "{scripts:?}");
        assert_eq!(
            words(&settings["rust-analyzer.rustfmt.overrideCommand"])[1..],
            ["--edition", "2024"]
        );
    }
    for (editor, at) in [
        (Editor::Zed, "/lsp/rust-analyzer/initialization_options"),
        (Editor::Kate, "/lspclient/servers/rust/initializationOptions"),
    ] {
        let settings = json(&settings(editor, &config(&[]), &rustc).unwrap());
        let options = settings.pointer(at).unwrap();
        assert!(words(&options["check"]["overrideCommand"]).contains(&"--json-output"));
    }
    let helix: toml::Table = settings(Editor::Helix, &config(&[]), &rustc)
        .unwrap()
        .parse()
        .unwrap();
    let server = &helix["language-server"]["rust-analyzer"]["config"];
    assert!(server["check"]["overrideCommand"].as_array().is_some());
    assert_eq!(server["files"]["excludeDirs"][0].as_str(), Some("build"));
}

#[test]
fn what_a_toolchain_lacks_is_left_out_and_the_rest_is_still_well_formed() {
    for editor in [Editor::Vscode, Editor::Vim, Editor::Zed, Editor::Kate] {
        let text = settings(editor, &config(&[]), Path::new("/nonexistent/bin/rustc")).unwrap();
        json(&text);
        assert!(
            !text.contains("sysroot") && !text.contains("proc-macro-srv"),
            "{text}"
        );
    }
    let text = settings(Editor::Helix, &config(&[]), Path::new("/nonexistent/bin/rustc")).unwrap();
    text.parse::<toml::Table>().unwrap();
}

#[test]
fn a_separate_build_directory_is_named_to_every_command() {
    let (_folder, rustc) = toolchain();
    let config = config(&["build.editor-build-dir=separate"]);
    let settings = json(&settings(Editor::Vscode, &config, &rustc).unwrap());
    let command = words(&settings["rust-analyzer.check.overrideCommand"]);
    assert_eq!(command[command.len() - 2], "--build-dir");
    assert!(
        command[command.len() - 1].ends_with("build-editor"),
        "{command:?}"
    );
}

#[test]
fn words_are_quoted_and_names_that_look_alike_are_left_alone() {
    let values = Values::from([
        ("a", Some(vec!["x\"y\\".to_owned(), "@b@".to_owned()])),
        ("none", None),
    ]);
    assert_eq!(
        fill("[@a@] me@example.org @", &values, " ").unwrap().unwrap(),
        r#"["x\"y\\" "@b@"] me@example.org @"#
    );
    assert_eq!(fill("k: @none@,", &values, ", ").unwrap(), None);
    assert_eq!(fill("@other@", &values, ", ").unwrap_err(), "other");
    assert_eq!(
        fill("sha256:@sum@", &values, ", ").unwrap().unwrap(),
        "sha256:@sum@"
    );
}
