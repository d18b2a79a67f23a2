//! What is wrong with a configuration, and where: file, line, column, and a caret under the place.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

/// A text that configuration was read from.
#[derive(Debug)]
pub(super) struct Source {
    /// What a user knows it by: a path, or `--set`.
    pub(super) name: String,
    pub(super) text: String,
}

/// A stretch of a [`Source`], in bytes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: Arc<Source>,
    pub(super) span: Range<usize>,
}

impl Place {
    pub(super) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            span,
        }
    }

    /// The line that it begins on, counted from 1.
    pub(super) fn line(&self) -> usize {
        excerpt(self).line
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Diagnostic {
    message: String,
    place: Option<(Place, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// Something wrong that has no place in a text.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            help: None,
        }
    }

    /// Something wrong at `place`; `label` stands beside the caret.
    pub(super) fn at(place: Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: Some((place, label.into())),
            help: None,
        }
    }

    fn position(&self) -> Option<(&str, usize)> {
        self.place
            .as_ref()
            .map(|(place, _)| (place.source.name.as_str(), place.span.start))
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some((place, label)) = &self.place else {
            return self
                .help
                .iter()
                .try_for_each(|help| write!(f, "\n  = help: {help}"));
        };
        let Excerpt {
            line,
            column,
            text,
            indent,
            carets,
        } = excerpt(place);
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "\n{gutter}--> {}:{line}:{column}", place.source.name)?;
        write!(f, "\n{gutter} |\n{number} | {text}\n{gutter} | {indent}{carets}")?;
        if !label.is_empty() {
            write!(f, " {label}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} |\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

/// The line that a place is on, ready to be printed with carets below it.
struct Excerpt<'a> {
    /// Counted from 1, like `column`, which counts characters.
    line: usize,
    column: usize,
    text: &'a str,
    /// As wide as what stands before the place. Tabs stay tabs, so that both lines are indented alike.
    indent: String,
    carets: String,
}

fn excerpt(place: &Place) -> Excerpt<'_> {
    let text = place.source.text.as_str();
    // A parser may point into the middle of a character that it did not expect.
    let start = text.floor_char_boundary(place.span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line_text = text[line_start..line_end].trim_end_matches('\r');
    let before = &text[line_start..start];
    // What spans several lines is marked on its first one.
    let end = text
        .floor_char_boundary(place.span.end)
        .clamp(start, line_start + line_text.len().max(before.len()));
    Excerpt {
        line: text[..line_start].matches('\n').count() + 1,
        column: before.chars().count() + 1,
        text: line_text,
        indent: before
            .chars()
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect(),
        carets: "^".repeat(text[start..end].chars().count().max(1)),
    }
}

/// The error of reading the configuration: everything that is wrong with it.
///
/// Its text is what a user should see after `error: `: a paragraph for each mistake, with file, line, column
/// and a caret.
#[derive(Debug)]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// Joins several, in the order in which they stand in their texts.
    pub(super) fn all(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| a.position().cmp(&b.position()));
        Self { diagnostics }
    }
}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostics: vec![diagnostic],
        }
    }
}

/// More mistakes than this are counted, not shown.
const SHOWN_MAX: usize = 20;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for diagnostic in self.diagnostics.iter().take(SHOWN_MAX) {
            write!(f, "{separator}{diagnostic}")?;
            separator = "\n\nerror: ";
        }
        match self.diagnostics.len().checked_sub(SHOWN_MAX) {
            Some(more @ 1..) => write!(f, "\n\nand {more} more"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Joins names for a sentence: `a, b or c`.
pub(super) fn one_of<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() {
        return last;
    }
    let mut text = names.join(", ");
    // Writing to a `String` cannot fail.
    let _ = write!(text, " or {last}");
    text
}

#[cfg(test)]
mod tests {
    use snapbox::{IntoData as _, str};

    use super::*;

    fn place(text: &str, part: &str) -> Place {
        let start = text.find(part).expect("the part is in the text");
        let source = Arc::new(Source {
            name: "bootstrap.toml".into(),
            text: text.into(),
        });
        Place {
            source,
            span: start..start + part.len(),
        }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let diagnostic = Diagnostic::at(
            place("[build]\njbos = 3\n", "jbos"),
            "unknown key",
            "did you mean `jobs`?",
        );
        snapbox::assert_data_eq!(
            diagnostic.help("see the example").to_string(),
            str![[r#"
unknown key
 --> bootstrap.toml:2:1
  |
2 | jbos = 3
  | ^^^^ did you mean `jobs`?
  |
  = help: see the example
"#]]
            .raw()
        );
    }

    #[test]
    fn columns_count_characters_and_tabs_stay() {
        let text = Diagnostic::at(place("\t\"ü\" = nonsense\r\n", "nonsense"), "bad value", "").to_string();
        assert_eq!(
            text,
            "bad value\n --> bootstrap.toml:1:8\n  |\n1 | \t\"ü\" = nonsense\n  | \t      ^^^^^^^^"
        );
    }

    #[test]
    fn a_place_at_the_end_or_over_several_lines_still_has_one_line() {
        for (text, part) in [("a = ", ""), ("a = [\n1,\n]", "[\n1,\n]"), ("", "")] {
            let mut at = place(text, part);
            if part.is_empty() {
                at.span = text.len()..text.len() + 7;
            }
            let shown = Diagnostic::at(at, "bad", "").to_string();
            assert_eq!(shown.lines().count(), 5, "{shown}");
            assert!(shown.ends_with('^'), "{shown}");
        }
    }

    #[test]
    fn many_mistakes_are_counted() {
        let error = ConfigError::all((0..25).map(|n| Diagnostic::new(format!("mistake {n}"))).collect());
        assert!(error.to_string().ends_with("mistake 19\n\nand 5 more"));
    }
}
