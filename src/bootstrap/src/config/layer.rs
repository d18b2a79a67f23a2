//! One text of configuration, taken apart into known keys and their values.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, Source, one_of};
use super::keys::{self, SECTIONS};
use super::value::Value;

/// What a key was set to, and where.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) source: Arc<Source>,
    key_span: Range<usize>,
}

impl Setting {
    /// The place of the name of the key.
    pub(super) fn key_place(&self) -> Place {
        Place::new(&self.source, self.key_span.clone())
    }

    /// The place of a part of the value.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::new(&self.source, span)
    }
}

/// The keys that a text sets; laid over those of a weaker text by [`BTreeMap::extend`].
pub(super) type Layer = BTreeMap<&'static str, Setting>;

/// Reads one text. What is wrong goes to `problems`, and the rest is read all the same.
pub(super) fn parse(source: Source, problems: &mut Vec<Diagnostic>) -> Layer {
    let mut reader = Reader {
        source: Arc::new(source),
        layer: Layer::new(),
        problems,
    };
    let source = Arc::clone(&reader.source);
    match DeTable::parse(&source.text) {
        Ok(table) => reader.document(table.get_ref()),
        Err(error) => {
            let place = Place::new(&source, error.span().unwrap_or_default());
            let message = format!("line {} is not valid TOML", place.line());
            reader
                .problems
                .push(Diagnostic::at(place, message, error.message()));
        }
    }
    reader.layer
}

struct Reader<'a> {
    source: Arc<Source>,
    layer: Layer,
    problems: &'a mut Vec<Diagnostic>,
}

type Name<'a> = Spanned<DeString<'a>>;

impl Reader<'_> {
    fn document(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            if !SECTIONS.contains(&name.get_ref().as_ref()) {
                self.key("", name, value);
            } else if let DeValue::Table(section) = value.get_ref() {
                for (key, value) in section {
                    self.key(name.get_ref(), key, value);
                }
            } else {
                let value = Value::of(value);
                let label = format!("expected a table, found {}", value.describe());
                let place = Place::new(&self.source, value.span);
                self.problems.push(Diagnostic::at(
                    place,
                    format!("bad value for `{}`", name.get_ref()),
                    label,
                ));
            }
        }
    }

    fn key(&mut self, section: &str, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        match keys::find(section, name.get_ref()) {
            Some(key) => {
                let source = Arc::clone(&self.source);
                self.layer.insert(
                    key,
                    Setting {
                        value: Value::of(value),
                        source,
                        key_span: name.span(),
                    },
                );
            }
            None => {
                let place = Place::new(&self.source, name.span());
                self.problems.push(keys::unknown(section, name.get_ref(), place));
            }
        }
    }
}

/// Reads what follows `--set`.
///
/// The value is taken as TOML where it is a single TOML value, and as a string otherwise:
/// `build.lock-mode=off` means `build.lock-mode = "off"`. What begins as TOML's strings, arrays and tables do
/// must be one.
pub(super) fn parse_set(argument: &str, problems: &mut Vec<Diagnostic>) -> Layer {
    let refuse = |why: &str| Diagnostic::new(format!("--set {argument}: {why}"));
    let Some((key, typed)) = argument.split_once('=') else {
        problems.push(refuse("expected SECTION.KEY=VALUE"));
        return Layer::new();
    };
    if !key.split('.').all(is_bare_key) {
        problems.push(refuse("expected a key such as build.jobs before the `=`"));
        return Layer::new();
    }
    if key.split('.').next() == Some("include") {
        problems.push(refuse(
            "`include` belongs in a file, whose folder its paths are relative to",
        ));
        return Layer::new();
    }
    let value = match single_value(typed.trim()) {
        Ok(()) => typed.trim().to_owned(),
        Err(error) if typed.trim().starts_with(['"', '\'', '[', '{']) => {
            problems.push(refuse(&format!("the value is not valid TOML: {error}")));
            return Layer::new();
        }
        Err(_) => toml::Value::from(typed).to_string(),
    };
    parse(
        Source {
            name: "--set".to_owned(),
            text: format!("{key} = {value}"),
        },
        problems,
    )
}

fn is_bare_key(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Checks that a text is one TOML value and no more: a second line could set another key.
fn single_value(text: &str) -> Result<(), String> {
    match DeTable::parse(&format!("v = {text}")) {
        Ok(table) if table.get_ref().len() == 1 => Ok(()),
        Ok(_) => Err("it holds more than one value".to_owned()),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// Refuses the keys that a profile has no business to set.
pub(super) fn refuse_in_profile(layer: &mut Layer, problems: &mut Vec<Diagnostic>) {
    const FORBIDDEN: [&str; 3] = ["include", "profile", "change-id"];
    for key in FORBIDDEN {
        if let Some(setting) = layer.remove(key) {
            let message = format!("a profile cannot set {}", one_of(FORBIDDEN));
            problems.push(Diagnostic::at(setting.key_place(), message, ""));
        }
    }
}
