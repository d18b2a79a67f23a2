//! Rules for every text: line ends, blanks at the end of lines, long lines, marks of a merge, paths of one machine.

use super::{Finding, Rules, Source};

/// How long a line may be, in characters. rustfmt breaks code much earlier; this is for what no formatter breaks: comments,
/// texts and tables of data.
const LENGTH_MAX: usize = 130;

/// Where people's home folders lie. Written in parts, so that this file keeps its own rule.
const HOMES: [&str; 3] = [
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("C:\\Use", "rs\\"),
];
/// The users in examples.
const NOBODY: [&str; 4] = ["me", "you", "user", "USER"];

pub(super) fn look(source: &Source<'_>, rules: Rules, findings: &mut Vec<Finding>) {
    merge_marks(source, findings);
    if rules == Rules::Own {
        if is_written_by_people(source) {
            lines(source, findings);
            last_line(source, findings);
        }
    } else if source.has_extension("rs") {
        // What is not Rust may be data in which such things mean something.
        mixed_line_ends(source, findings);
    }
}

/// Whether a file is a source or a text, and not data of which every byte may matter.
fn is_written_by_people(source: &Source<'_>) -> bool {
    const EXTENSIONS: [&str; 13] = [
        "el", "json", "lua", "md", "nix", "ps1", "py", "rs", "sh", "toml", "txt", "yaml", "yml",
    ];
    match source.file.extension() {
        Some(_) => EXTENSIONS.iter().any(|extension| source.has_extension(extension)),
        // Scripts, and the pin.
        None => source.content.starts_with('#'),
    }
}

fn merge_marks(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let is_mark = |line: &str, mark: &str| line.strip_prefix(mark).is_some_and(|rest| rest.starts_with(' '));
    let (ours, theirs) = ("<".repeat(7), ">".repeat(7));
    let mut open = false;
    for (number, line) in numbered(source.content) {
        // A row of one sign may underline a heading; a pair of marks is a merge.
        if is_mark(line, &ours) {
            open = true;
        } else if open && is_mark(line, &theirs) {
            findings.push(source.finding(number, "merge", "the marks of an unfinished merge end here"));
            open = false;
        }
    }
}

fn mixed_line_ends(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let ends = source.content.matches('\n').count();
    let with_return = source.content.matches("\r\n").count();
    if with_return != 0 && with_return != ends {
        let what = format!("{with_return} of {ends} lines end with a carriage return, the others do not");
        findings.push(source.finding(0, "line-end", what));
    }
}

fn lines(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let mut fenced = false;
    for (number, line) in numbered(source.content) {
        if line.ends_with('\r') {
            findings.push(source.finding(number, "line-end", "the line ends with a carriage return"));
        } else if line.ends_with([' ', '\t']) {
            findings.push(source.finding(number, "trailing-blank", "the line ends with a blank"));
        }
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let length = line.chars().count();
        let is_kept = || source.has_extension("md") && is_paragraph(source.content, number);
        if length > LENGTH_MAX && is_breakable(source, line, fenced) && !is_kept() {
            let what = format!("the line has {length} characters, more than {LENGTH_MAX}");
            findings.push(source.finding(number, "long-line", what));
        }
        if let Some(path) = someones_path(line) {
            findings.push(source.finding(
                number,
                "machine-path",
                format!("`{path}` is a path of one machine"),
            ));
        }
    }
}

fn last_line(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let what = if source.content.is_empty() || source.content.ends_with("\n\n") {
        (source.content.len() > 1).then_some("the file ends with an empty line")
    } else {
        (!source.content.ends_with('\n')).then_some("the last line has no end")
    };
    if let Some(what) = what {
        findings.push(source.finding(source.content.lines().count(), "last-line", what));
    }
}

/// Whether the line with this number is a paragraph of its own: to break none is a style, too.
fn is_paragraph(text: &str, number: usize) -> bool {
    let mut around = text.lines().skip(number.saturating_sub(2)).take(3);
    let before = if number > 1 { around.next() } else { None };
    let after = around.nth(1);
    before.is_none_or(str::is_empty) && after.is_none_or(str::is_empty)
}

/// Whether a line could be shorter. An address, a table's row and a block of code cannot be broken.
fn is_breakable(source: &Source<'_>, line: &str, fenced: bool) -> bool {
    let texts = ["rs", "py", "sh", "toml", "md"];
    let is_text = texts.iter().any(|extension| source.has_extension(extension));
    is_text && !fenced && !line.contains("://") && !line.trim_start().starts_with('|')
}

fn someones_path(line: &str) -> Option<&str> {
    HOMES.iter().find_map(|home| {
        let (at, _) = line.match_indices(home).find(|(at, _)| {
            let before = line[..*at].chars().next_back();
            let user = line[at + home.len()..].split(['/', '\\']).next().unwrap_or("");
            // Within a longer path it is a folder like any other, and braces are filled in later.
            let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"}.-_".contains(c));
            starts && !NOBODY.contains(&user) && user.starts_with(|c: char| c.is_ascii_alphanumeric())
        })?;
        line[at..].split([' ', '"', '\'', '`', ')', ',']).next()
    })
}

/// The lines, counted from 1. A carriage return stays at the end of its line.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split_terminator('\n').enumerate();
    lines.map(|(index, line)| (index + 1, line))
}
