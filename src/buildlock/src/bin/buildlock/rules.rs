//! Rules: which hold a command needs, said in TOML by whoever knows the tool.
//!
//! A rule matches a program by its file name, and its arguments by words. The first that matches decides.

mod explain;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{EXIT_OURS, Failure};

pub(crate) use explain::explain;

/// A set of rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Rules {
    /// What the set is for.
    pub about: String,
    /// Programs whose first argument that is no flag is the program that counts; by `python3`, `python3.11` is meant, too.
    #[serde(default)]
    pub interpreters: Vec<String>,
    /// Flags whose value is the next word, so that it is not taken for a subcommand or, behind an interpreter, a program.
    #[serde(default)]
    pub value_flags: Vec<String>,
    /// The lock folder where none is given: the first of these [places] that there is one for.
    #[serde(default)]
    pub folder: Vec<String>,
    /// What a command gets that no rule matches.
    pub default: Hold,
    /// What rules may want to be done first, by name.
    #[serde(default)]
    pub preparation: BTreeMap<String, Preparation>,
    /// The rules, in order.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Rule {
    /// What a command that matches does, as the end of a sentence.
    pub name: String,
    /// The programs that it is about, by file name without `.exe`.
    pub programs: Vec<String>,
    /// If given, the first word that is neither a flag nor a `+toolchain` must be one of these.
    #[serde(default)]
    pub subcommands: Vec<String>,
    /// If given, one of the arguments before `--` must be one of these.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// None of the arguments before `--` may be one of these.
    #[serde(default)]
    pub unless_words: Vec<String>,
    /// All these environment variables must be set.
    #[serde(default)]
    pub when_set: Vec<String>,
    /// What the command gets.
    pub hold: Hold,
    /// Environment variables to set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The name of what is to be done first.
    #[serde(default)]
    pub prepare: Option<String>,
    /// What jobserver the command is served.
    #[serde(default)]
    pub jobserver: Jobserver,
    /// Whether the command counts among those of which `--builds` lets only so many run at once.
    #[serde(default)]
    pub heavy: bool,
}

/// What is to be done before a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Preparation {
    /// A command that is run exclusively.
    pub command: Vec<String>,
    /// A command that needs only a shared hold; if it succeeds, nothing has to be prepared.
    #[serde(default)]
    pub probe: Vec<String>,
    /// Environment variables to set for the probe.
    #[serde(default)]
    pub probe_env: BTreeMap<String, String>,
    /// On what the probe's success depends, so that it need not be asked every time.
    #[serde(default)]
    pub probe_inputs: Option<ProbeInputs>,
}

/// On what a probe's success depends, besides what an exclusive hold may change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ProbeInputs {
    /// Environment variables.
    #[serde(default)]
    pub env: Vec<String>,
    /// Files and folders, as [places].
    #[serde(default)]
    pub files: Vec<String>,
    /// Names of files in the working directory, and in all folders above it.
    #[serde(default)]
    pub above: Vec<String>,
}

/// What a command holds while it runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub(crate) enum Hold {
    /// Nothing.
    None,
    /// The lock, beside others that read.
    Shared,
    /// The lock, alone.
    Exclusive,
}

impl TryFrom<String> for Hold {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "none" => Ok(Self::None),
            "shared" => Ok(Self::Shared),
            "exclusive" => Ok(Self::Exclusive),
            // Who looks for a fourth wants to do something exclusively first.
            _ => Err(format!(
                "`{word}` is none of `none`, `shared` and `exclusive`; exclusively first, and then one of the first two, is \
                 written as that one and `prepare = \"NAME\"`, with a `[preparation.NAME]`"
            )),
        }
    }
}

/// What jobserver a command is served, fed from a token pool.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Jobserver {
    /// None.
    #[default]
    Off,
    /// A pair of pipes, which the command inherits.
    Pipe,
    /// A named pipe, which also reaches what stands behind programs that close what they inherit.
    Fifo,
}

/// The sets that come with this program.
const SHIPPED: [(&str, &str); 3] = [
    ("cargo", include_str!("../../../rules/cargo.toml")),
    (
        "rust-lang-rust",
        include_str!("../../../rules/rust-lang-rust.toml"),
    ),
    ("rustup", include_str!("../../../rules/rustup.toml")),
];

impl Rules {
    /// Loads a shipped set by its name, or any by its path.
    pub(crate) fn load(name_or_path: &Path) -> Result<Self, Failure> {
        let shipped = SHIPPED.iter().find(|(name, _)| Path::new(name) == name_or_path);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name_or_path).map_err(|e| {
                let names: Vec<_> = SHIPPED.iter().map(|(name, _)| *name).collect();
                let (file, names) = (name_or_path.display(), names.join(", "));
                ours(format!(
                    "cannot read the rules `{file}`: {e} (shipped sets: {names})"
                ))
            })?,
        };
        Self::parse(&text).map_err(|e| ours(format!("`{}`: {e}", name_or_path.display())))
    }

    /// All programs that the rules are about.
    pub(crate) fn programs(&self) -> Vec<String> {
        let mut programs: Vec<_> = self.rules.iter().flat_map(|r| r.programs.clone()).collect();
        programs.sort();
        programs.dedup();
        programs
    }

    /// The lock folder where none is given, or why there is none.
    pub(crate) fn folder(&self) -> Result<PathBuf, String> {
        places(&self.folder).next().ok_or_else(|| {
            let variables: Vec<_> = self.folder.iter().filter_map(|text| variable(text)).collect();
            let names: Vec<_> = variables.into_iter().map(|(name, _)| name).collect();
            if names.is_empty() {
                return "these rules name no lock folder of their own".to_owned();
            }
            format!(
                "the lock folder of these rules needs {} to be set",
                names.join(" or ")
            )
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let rules: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if let Some((name, _)) = rules.preparation.iter().find(|(_, p)| p.command.is_empty()) {
            return Err(format!("[preparation.{name}]: its `command` is empty"));
        }
        for rule in &rules.rules {
            let mistake = match &rule.prepare {
                Some(_) if rule.hold == Hold::Exclusive => {
                    "what holds exclusively needs no `prepare`: it can do it itself"
                }
                Some(name) if !rules.preparation.contains_key(name) => "its `prepare` names no [preparation]",
                _ => continue,
            };
            return Err(format!("rule \"{}\": {mistake}", rule.name));
        }
        Ok(rules)
    }

    /// The first rule that matches a command.
    pub(crate) fn find(&self, command: &Words) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.mismatch(command).is_none())
    }
}

impl Rule {
    /// Why this rule does not match, or nothing where it does.
    pub(crate) fn mismatch(&self, command: &Words) -> Option<String> {
        let listed = |list: &[String], word: &str| list.iter().any(|l| l == word);
        if !listed(&self.programs, &command.program) {
            return Some(format!("the program is `{}`", command.program));
        }
        if !self.subcommands.is_empty()
            && !command
                .subcommand
                .as_deref()
                .is_some_and(|s| listed(&self.subcommands, s))
        {
            let found = command
                .subcommand
                .as_deref()
                .map_or_else(|| "none".to_owned(), |s| format!("`{s}`"));
            return Some(format!("the subcommand is {found}"));
        }
        if !self.arguments.is_empty() && !command.arguments.iter().any(|a| listed(&self.arguments, a)) {
            return Some(format!(
                "none of {} is among the arguments",
                self.arguments.join(", ")
            ));
        }
        if let Some(word) = command.arguments.iter().find(|a| listed(&self.unless_words, a)) {
            return Some(format!("`{word}` is among the arguments"));
        }
        self.when_set
            .iter()
            .find(|v| std::env::var_os(v).is_none())
            .map(|v| format!("{v} is not set"))
    }
}

/// A command line, as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// The program's file name, without `.exe`.
    pub program: String,
    /// The first argument that is neither a flag, nor a flag's value, nor a `+toolchain`.
    pub subcommand: Option<String>,
    /// The arguments before `--`.
    pub arguments: Vec<String>,
}

impl Words {
    /// The `+toolchain` that a proxy of rustup's is called with.
    pub(crate) fn toolchain(&self) -> Option<&str> {
        let first = self.arguments.first()?;
        first.starts_with('+').then_some(first)
    }

    /// As the words of a command line are, where no rules say more.
    pub(crate) fn plain(command: &[OsString]) -> Self {
        Self::read(command, &[], &[])
    }

    pub(crate) fn of(command: &[OsString], rules: &Rules) -> Self {
        Self::read(command, &rules.interpreters, &rules.value_flags)
    }

    fn read(command: &[OsString], interpreters: &[String], value_flags: &[String]) -> Self {
        let mut words = command.iter().map(|w| w.to_string_lossy());
        let mut program = words.next().map(|w| file_name(&w)).unwrap_or_default();
        let mut rest: Vec<_> = words
            .map(std::borrow::Cow::into_owned)
            .take_while(|w| w != "--")
            .collect();
        let first = |rest: &[String], starts: &[char]| {
            let is_value = |at: usize| at > 0 && value_flags.contains(&rest[at - 1]);
            (0..rest.len()).find(|&at| !rest[at].starts_with(starts) && !is_value(at))
        };
        if interpreters.iter().any(|name| is_version_of(&program, name))
            && let Some(at) = first(&rest, &['-'])
        {
            program = file_name(&rest[at]);
            rest.drain(..=at);
        }
        let subcommand = first(&rest, &['-', '+']).map(|at| rest[at].clone());
        Self {
            program,
            subcommand,
            arguments: rest,
        }
    }
}

/// Places in the file system that begin with `$NAME/` or `~/`, as far as these are set.
pub(crate) fn places(texts: &[String]) -> impl Iterator<Item = PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    texts.iter().filter_map(move |text| match variable(text) {
        Some((name, rest)) => Some(PathBuf::from(set(name)?).join(rest)),
        None => Some(text.into()),
    })
}

/// The environment variable that a place begins with, and what follows.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (start, rest) = text.split_once('/')?;
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let name = if start == "~" {
        home
    } else {
        start.strip_prefix('$')?
    };
    Some((name, rest))
}

/// `python3.11` is one of `python3`, and of `python`.
fn is_version_of(program: &str, name: &str) -> bool {
    program
        .strip_prefix(name)
        .is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn file_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".exe").unwrap_or(name).to_owned()
}

fn ours(text: String) -> Failure {
    Failure {
        text,
        code: EXIT_OURS,
    }
}

#[cfg(test)]
mod tests;
