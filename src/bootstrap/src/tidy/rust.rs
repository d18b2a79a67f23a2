//! Rules for Rust sources: each says what it is for, none is left unfinished, none is too long.

use super::code::without_comments_and_literals;
use super::text::numbered;
use super::{Finding, Rules, Source};

/// How many lines a file may have, without the unit tests at its end.
const LINES_MAX: usize = 600;

/// Macros that mark what is not finished, written in parts only to be read as a list.
const UNFINISHED: [&str; 3] = ["todo!", "dbg!", "unimplemented!"];

/// Through what the system is called.
const SYSTEM: [&str; 4] = ["fs4::", "libc::", "rustix::", "windows_sys::"];

/// The folders and files that may do so.
const PLATFORMS: [&str; 4] = ["sys", "unix.rs", "linux.rs", "windows.rs"];

pub(super) fn look(source: &Source<'_>, rules: Rules, findings: &mut Vec<Finding>) {
    if rules == Rules::Generic {
        return;
    }
    module_docs(source, findings);
    length(source, findings);
    let code = without_comments_and_literals(source.content);
    system_calls(source, &code, findings);
    for (number, line) in numbered(&code) {
        for name in UNFINISHED {
            if is_named(line, name) {
                findings.push(source.finding(
                    number,
                    "unfinished",
                    format!("`{name}` marks what is not finished"),
                ));
            }
        }
    }
    for (at, _) in code
        .match_indices("[allow(")
        .filter(|(at, _)| code[..*at].ends_with(['#', '!']))
    {
        let attribute = code[at..].split(']').next().unwrap_or("");
        if !attribute.contains("reason") {
            let number = code[..at].matches('\n').count() + 1;
            let what = "a lint is switched off without a reason; `#[expect(…, reason = \"…\")]` also says when it is over";
            findings.push(source.finding(number, "allow", what));
        }
    }
}

fn module_docs(source: &Source<'_>, findings: &mut Vec<Finding>) {
    if !source.content.starts_with("//! ") {
        findings.push(source.finding(
            1,
            "module-docs",
            "the file does not begin by saying what it is for (`//! …`)",
        ));
    }
}

/// What runs on every system must be readable without knowing any, and compiled for all where it is compiled for one.
fn system_calls(source: &Source<'_>, code: &str, findings: &mut Vec<Finding>) {
    let is_ours =
        source.file.starts_with("src") && source.file.iter().nth(2).is_some_and(|part| part == "src");
    let is_a_platforms = source
        .file
        .iter()
        .any(|part| PLATFORMS.iter().any(|name| part == *name));
    if !is_ours || is_a_platforms {
        return;
    }
    for (number, line) in numbered(code) {
        if let Some(name) = SYSTEM.iter().find(|name| is_named(line, name)) {
            let what = format!("`{name}` calls the system, which only files do that are named after one");
            findings.push(source.finding(number, "system-call", what));
        }
    }
}

fn length(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let code = source
        .content
        .find("\n#[cfg(test)]\nmod ")
        .map_or(source.content, |at| &source.content[..at]);
    let lines = code.lines().count();
    if lines > LINES_MAX {
        let what = format!(
            "the file has {lines} lines before its tests, more than {LINES_MAX}: it has more than one job"
        );
        findings.push(source.finding(0, "long-file", what));
    }
}

/// Whether a macro or a crate is named, and not another whose name ends like it.
fn is_named(line: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(is_part))
}
