//! What is to be done for a command: as flags or rules say.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::child;
use super::share::Share;
use crate::Failure;
use crate::flags::ModeArgs;
use crate::rules::{self, Hold, Rule, Rules, Words};
use crate::shim::Shims;

/// What is to be done for a command.
pub(crate) struct Plan {
    pub hold: Hold,
    rule: Option<Rule>,
    preparation: Option<rules::Preparation>,
    share: Share,
    /// The lock folder that the rules name, or why they name none.
    folder: Result<PathBuf, String>,
    command: Vec<OsString>,
    words: Words,
    /// Where the programs are that this process stands in for.
    shims: Option<Shims>,
}

/// Names the variables that were set by rules, not by people, in the environment of a command and of what it starts.
const SET_VARIABLE: &str = "BUILDLOCK_SET";

fn set_by_rules() -> Vec<String> {
    let names = std::env::var(SET_VARIABLE).unwrap_or_default();
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Plan {
    pub(crate) fn of(mode: &ModeArgs, command: &[OsString]) -> Result<Self, Failure> {
        let hold = match (&mode.rules, mode.exclusive) {
            (Some(file), _) => return Ok(Self::by_rules(&Rules::load(file)?, command.to_vec())),
            (None, true) => Hold::Exclusive,
            (None, false) => Hold::Shared,
        };
        Ok(Self {
            hold,
            rule: None,
            preparation: None,
            share: Share::without_rules(),
            folder: Err("without rules there is no lock folder".to_owned()),
            words: Words::plain(command),
            command: command.to_vec(),
            shims: None,
        })
    }

    pub(crate) fn by_rules(rules: &Rules, command: Vec<OsString>) -> Self {
        let words = Words::of(&command, rules);
        let rule = rules.find(&words).cloned();
        let preparation = rule
            .as_ref()
            .and_then(|rule| rules.preparation.get(rule.prepare.as_ref()?));
        Self {
            hold: rule.as_ref().map_or(rules.default, |rule| rule.hold),
            preparation: preparation.cloned(),
            share: rule.as_ref().map_or_else(Share::default, Share::by_rule),
            rule,
            folder: rules.folder(),
            command,
            words,
            shims: None,
        }
    }

    /// Runs the real programs, where these are shims.
    pub(crate) fn with_shims(mut self, shims: Shims) -> Self {
        self.shims = Some(shims);
        self
    }

    pub(crate) fn shims(&self) -> Option<&Shims> {
        self.shims.as_ref()
    }

    /// How the command shares the machine, as far as the rules say.
    pub(crate) fn share(&self) -> Share {
        self.share.clone()
    }

    /// Becomes a program with our own arguments.
    pub(crate) fn become_program(program: PathBuf) -> Result<ExitCode, Failure> {
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1));
        child::become_the_command(command)
    }

    pub(crate) fn folder(&self) -> Result<PathBuf, String> {
        self.folder.clone()
    }

    /// The command line, for people.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.command
            .iter()
            .map(|w| w.to_string_lossy().into_owned())
            .collect()
    }

    /// The command, with the environment that the rule asks for.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.start(&self.command);
        if let Some(rule) = &self.rule {
            command.envs(&rule.env);
            let ours = set_by_rules();
            let differs = |(name, value): &(&String, &String)| {
                ours.contains(name) || std::env::var_os(name).is_none_or(|v| v != value.as_str())
            };
            let ours: Vec<_> = rule
                .env
                .iter()
                .filter(differs)
                .map(|(name, _)| name.as_str())
                .collect();
            if !ours.is_empty() {
                command.env(SET_VARIABLE, ours.join(","));
            }
        }
        command
    }

    /// What is to be done before the command.
    pub(crate) fn preparation(&self) -> Option<&rules::Preparation> {
        self.preparation.as_ref()
    }

    /// The command that does it. It runs without the rule's environment: what that forbids the command, this is here to do.
    pub(crate) fn prepare(&self, preparation: &rules::Preparation) -> Command {
        let mut command = self.start(&self.filled(&preparation.command));
        for name in set_by_rules() {
            command.env_remove(name);
        }
        command
    }

    /// The command that tells, by its success, that there is nothing to do.
    pub(crate) fn probe(&self, preparation: &rules::Preparation) -> Option<Command> {
        if preparation.probe.is_empty() {
            return None;
        }
        let mut command = self.start(&self.filled(&preparation.probe));
        for name in set_by_rules() {
            command.env_remove(name);
        }
        command.envs(&preparation.probe_env);
        Some(command)
    }

    fn start(&self, words: &[OsString]) -> Command {
        let (program, arguments) = words
            .split_first()
            .map_or((OsString::new(), &[][..]), |(p, a)| (p.clone(), a));
        let real = self.shims.as_ref().filter(|shims| shims.has(&program));
        let mut command =
            Command::new(real.map_or_else(|| program.clone(), |shims| shims.real(&program).into()));
        command.args(arguments);
        command
    }

    /// A rule's own command: `{program}` is the command's, and the word `{+toolchain}` is its `+toolchain`, or nothing.
    fn filled(&self, words: &[String]) -> Vec<OsString> {
        words
            .iter()
            .filter_map(|word| match word.as_str() {
                "{+toolchain}" => self.words.toolchain().map(OsString::from),
                word => Some(word.replace("{program}", &self.words.program).into()),
            })
            .collect()
    }
}
