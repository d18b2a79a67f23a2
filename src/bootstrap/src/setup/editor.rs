//! Editors: where each looks for the settings of a checkout, and what is written there.
//!
//! The texts are those in `src/bootstrap/editor`, with `@names@` filled in. A line with a name that has no value here is left
//! out: a toolchain without a proc-macro server has no setting for it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::written::sign;
use crate::config::{Config, EditorBuildDir};
use crate::error::{Error, Result};
use crate::flags::Editor;

/// Below the source root: the folder of the texts.
const TEXTS: &str = "src/bootstrap/editor";

/// The name that stands for the hash of the text itself.
const SUM: &str = "@sum@";

/// What `./x check` gets from an editor: to step aside for commands that write, and to end with the editor.
const FLAGS: [&str; 3] = ["--json-output", "--preemptible", "--exit-with-parent"];

impl Editor {
    /// Where the editor looks for its settings, relative to the source root.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Vscode => ".vscode/settings.json",
            Self::Vim => ".vim/coc-settings.json",
            Self::Neovim => ".nvim.lua",
            Self::Emacs => ".dir-locals.el",
            Self::Helix => ".helix/languages.toml",
            Self::Zed => ".zed/settings.json",
            Self::Kate => ".kateproject",
        }
    }

    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    fn text(self) -> &'static str {
        match self {
            Self::Vscode => "vscode.json",
            Self::Vim => "vim.json",
            Self::Neovim => "neovim.lua",
            Self::Emacs => "emacs.el",
            Self::Helix => "helix.toml",
            Self::Zed => "zed.json",
            Self::Kate => "kate.json",
        }
    }

    /// What stands between the words of a list.
    fn separator(self) -> &'static str {
        match self {
            Self::Emacs => " ",
            _ => ", ",
        }
    }
}

/// The settings of an editor, signed.
///
/// # Errors
/// Where their text is missing from the source tree, or uses a name that nobody knows.
pub fn settings(editor: Editor, config: &Config, rustc: &Path) -> Result<String> {
    let file = config.root.join(TEXTS).join(editor.text());
    let text = fs::read_to_string(&file).map_err(|e| Error::io("cannot read", &file, e))?;
    let values = values(config, rustc);
    let mut filled = String::with_capacity(2 * text.len());
    for line in text.lines() {
        if let Some(line) = fill(line, &values, editor.separator())
            .map_err(|name| Error::bug(format!("the name @{name}@ is unknown in")).at(&file))?
        {
            filled.push_str(&line);
            filled.push('\n');
        }
    }
    Ok(sign(&filled, SUM))
}

/// Where the editor builds if `build.editor-build-dir` is "separate". Not inside the other, whose `clean` would not know that
/// somebody uses it.
#[must_use]
pub fn separate_build_dir(build_dir: &Path) -> PathBuf {
    let mut name = build_dir.file_name().unwrap_or(OsStr::new("build")).to_owned();
    name.push("-editor");
    build_dir.with_file_name(name)
}

/// The values by their names: a list of words, or nothing where there is none on this machine.
type Values = BTreeMap<&'static str, Option<Vec<String>>>;

fn values(config: &Config, rustc: &Path) -> Values {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let x = |words: &[&str]| {
        let mut command = launcher(&config.root);
        command.extend(words.iter().chain(&FLAGS).map(|&word| word.to_owned()));
        if config.build.editor_build_dir == EditorBuildDir::Separate {
            command.extend([
                "--build-dir".to_owned(),
                text(&separate_build_dir(&config.build.build_dir)),
            ]);
        }
        Some(command)
    };
    let bin = rustc.parent();
    let sysroot = bin.and_then(Path::parent);
    let there = |path: PathBuf| path.is_file().then_some(path);
    let program = |name: &str| format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let rustfmt = bin.and_then(|bin| there(bin.join(program("rustfmt"))));
    let server =
        sysroot.and_then(|top| there(top.join("libexec").join(program("rust-analyzer-proc-macro-srv"))));
    let manifests = config
        .build
        .workspaces
        .iter()
        .map(|folder| text(&folder.join("Cargo.toml")));
    // An editor names a folder within the checkout by its path in it.
    let build_dir = text(
        config
            .build
            .build_dir
            .strip_prefix(&config.root)
            .unwrap_or(&config.build.build_dir),
    );
    let name = config
        .root
        .file_name()
        .unwrap_or(OsStr::new("workspace"))
        .to_string_lossy()
        .into_owned();
    BTreeMap::from([
        // As rust-analyzer would have cargo do it. It starts the check in the workspace that it wants checked, and cargo's
        // messages name files by their paths from there.
        ("check", x(&["check", "Cargo.toml", "--all-targets"])),
        (
            "build-scripts",
            x(&["check", "--all-targets", "--compile-time-deps"]),
        ),
        ("linked", Some(manifests.collect())),
        (
            "rustfmt",
            rustfmt.map(|path| vec![text(&path), "--edition".to_owned(), edition(config)]),
        ),
        ("proc-macro-server", server.map(|path| vec![text(&path)])),
        // A compiler that lies alone, such as a wrapper, has no sysroot around it.
        (
            "sysroot",
            sysroot
                .filter(|top| top.join("lib/rustlib").is_dir())
                .map(|top| vec![text(top)]),
        ),
        ("excluded", Some(vec![build_dir.clone()])),
        ("watcher-excluded", Some(vec![format!("**/{build_dir}/**")])),
        ("root", Some(vec![text(&config.root)])),
        ("name", Some(vec![name])),
    ])
}

/// How a program starts `./x`, from whichever folder.
fn launcher(root: &Path) -> Vec<String> {
    let path = |name| root.join(name).to_string_lossy().into_owned();
    if cfg!(windows) {
        vec!["python".to_owned(), path("x.py")]
    } else {
        vec![path("x")]
    }
}

/// The edition of the first workspace, which rustfmt must be told: what an editor sends it has no manifest.
fn edition(config: &Config) -> String {
    const OLDEST_COMMON: &str = "2021";
    let manifest = config
        .build
        .workspaces
        .first()
        .map(|folder| folder.join("Cargo.toml"));
    let text = manifest
        .and_then(|file| fs::read_to_string(file).ok())
        .unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let of_workspace = || table.get("workspace")?.get("package")?.get("edition")?.as_str();
    let of_package = || table.get("package")?.get("edition")?.as_str();
    of_workspace()
        .or_else(of_package)
        .unwrap_or(OLDEST_COMMON)
        .to_owned()
}

/// Fills in a line; nothing where it has a name without a value. An unknown name is returned as the error.
fn fill(line: &str, values: &Values, separator: &str) -> Result<Option<String>, String> {
    let mut filled = line.to_owned();
    let mut from = 0;
    while let Some((start, end)) = next_name(&filled, from) {
        let name = &filled[start + 1..end - 1];
        if &filled[start..end] == SUM {
            from = end;
            continue;
        }
        let Some(value) = values.get(name) else {
            return Err(name.to_owned());
        };
        let Some(words) = value else { return Ok(None) };
        // JSON's quotes are those of Lua, TOML and Emacs Lisp, too, as far as paths need any.
        let words: Vec<_> = words
            .iter()
            .map(|word| serde_json::Value::from(word.as_str()).to_string())
            .collect();
        let words = words.join(separator);
        from = start + words.len();
        filled.replace_range(start..end, &words);
    }
    Ok(Some(filled))
}

/// Where the next `@name@` is, from `from` on.
fn next_name(text: &str, from: usize) -> Option<(usize, usize)> {
    let start = from + text[from..].find('@')?;
    let length = text[start + 1..].find(|c: char| !c.is_ascii_lowercase() && c != '-')?;
    let end = start + 1 + length;
    if length > 0 && text[end..].starts_with('@') {
        Some((start, end + 1))
    } else {
        next_name(text, start + 1)
    }
}

#[cfg(test)]
mod tests;
