//! TOML values that know where they stand.
//!
//! The `toml` crate's own borrow from the text; these are kept while several texts are laid over each other.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

/// A value and the bytes that it is written in.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a value is, as far as any key cares.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text(String),
    Integer(i64),
    Float(f64),
    Array(Vec<Value>),
    /// Something that no key takes, by the name that a message gives it.
    Other(&'static str),
}

impl Value {
    pub(super) fn of(value: &Spanned<DeValue<'_>>) -> Self {
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.clone().into_owned()),
            DeValue::Integer(number) => integer(number),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or(Kind::Other("an odd number"), Kind::Float),
            DeValue::Boolean(_) => Kind::Other("a boolean"),
            DeValue::Datetime(_) => Kind::Other("a date"),
            DeValue::Array(items) => Kind::Array(items.iter().map(Self::of).collect()),
            DeValue::Table(_) => Kind::Other("a table"),
        };
        Self {
            kind,
            span: value.span(),
        }
    }

    /// Names what it is, for "found …".
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Array(_) => "an array",
            Kind::Other(name) => name,
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Kind {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or(Kind::Other("a number out of range"), Kind::Integer)
}
