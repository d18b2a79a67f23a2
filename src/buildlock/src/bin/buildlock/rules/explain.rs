//! `rules test`: why a command gets what it gets.

use std::fmt::Write as _;

use super::{Hold, Jobserver, Rule, Rules, Words};

/// Explains the match of a command, rule by rule.
pub(crate) fn explain(rules: &Rules, command: &Words) -> String {
    let mut text = format!("{}: program `{}`", rules.about, command.program);
    if let Some(subcommand) = &command.subcommand {
        // Writing to a string cannot fail.
        let _ = write!(text, ", subcommand `{subcommand}`");
    }
    text.push('\n');
    for rule in &rules.rules {
        match rule.mismatch(command) {
            Some(why) => {
                let _ = writeln!(text, "  no   \"{}\": {why}", rule.name);
            }
            None => {
                let _ = writeln!(text, "  yes  \"{}\": {}", rule.name, consequences(rules, rule));
                return text;
            }
        }
    }
    let _ = writeln!(text, "  no rule matches: {}", hold(rules.default));
    text
}

fn consequences(rules: &Rules, rule: &Rule) -> String {
    let mut text = hold(rule.hold).to_owned();
    if let Some(preparation) = rule.prepare.as_ref().and_then(|name| rules.preparation.get(name)) {
        let _ = write!(text, "; first, exclusively, `{}`", preparation.command.join(" "));
        let set = preparation
            .probe_env
            .iter()
            .map(|(name, value)| format!("{name}={value} "));
        let probe = set.collect::<String>() + &preparation.probe.join(" ");
        if !preparation.probe.is_empty() {
            let _ = write!(text, ", unless `{probe}` succeeds");
        }
    }
    match rule.jobserver {
        Jobserver::Off => {}
        Jobserver::Pipe => text.push_str("; is served a jobserver (pipe)"),
        Jobserver::Fifo => text.push_str("; is served a jobserver (fifo)"),
    }
    if rule.heavy {
        text.push_str("; counts for --builds");
    }
    for (name, value) in &rule.env {
        let _ = write!(text, "; with {name}={value}");
    }
    text
}

fn hold(hold: Hold) -> &'static str {
    match hold {
        Hold::None => "takes no lock",
        Hold::Shared => "takes the lock, shared",
        Hold::Exclusive => "takes the lock, exclusively",
    }
}
