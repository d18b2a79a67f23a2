//! What the command line accepts, refuses and prints.

use std::ffi::OsString;

use super::*;

#[track_caller]
fn parse(line: &str) -> Cli {
    Cli::from_args(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refuse(line: &str) -> String {
    match Cli::from_args(line.split_whitespace()) {
        Ok(cli) => panic!("{line} was accepted: {cli:?}"),
        Err(error) => error.to_string(),
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn the_definition_is_consistent() {
    Cli::definition().debug_assert();
}

#[test]
fn global_flags_are_read_before_and_after_the_command() {
    for line in [
        "x -j 3 --build-dir out check",
        "x check -j 3 --build-dir out",
        "x -j3 check --build-dir=out",
    ] {
        let cli = parse(line);
        assert_eq!(cli.global.jobs.map(NonZeroU32::get), Some(3), "{line}");
        assert_eq!(cli.global.build_dir.as_deref(), Some("out".as_ref()), "{line}");
    }
}

#[test]
fn set_is_kept_in_order_from_both_sides_of_the_command() {
    assert_eq!(
        parse("x --set a.b=1 check --set a.b=2").global.set,
        ["a.b=1", "a.b=2"]
    );
}

#[test]
fn aliases_are_cargos() {
    let name = |line: String| {
        format!("{:?}", parse(&line).command)
            .split('(')
            .next()
            .map(str::to_owned)
    };
    for (alias, command) in [
        ("b", "Build"),
        ("c", "Check"),
        ("t", "Test"),
        ("d", "Doc"),
        ("r", "Run"),
    ] {
        assert_eq!(name(format!("x {alias}")).as_deref(), Some(command));
    }
}

#[test]
fn what_follows_two_dashes_is_kept_as_it_is() {
    let Command::Test(args) = parse("x test buildlock -- --nocapture -j 2 -- --set").command else {
        panic!("not a test")
    };
    assert_eq!(args.names, words("buildlock"));
    assert_eq!(args.rest, words("--nocapture -j 2 -- --set"));
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "x check --no-wait --lock-timeout 3",
        "x clean --all --stage0",
        "x setup editor vim --print --check",
        "x bump-stage0",
        "x bump-stage0 1.95.0 --manifest channel.toml",
        "x check -j 0",
        "x check --lock-timeout=-1",
        "x lock",
        "x lock break seven",
        "x setup editor notepad",
    ] {
        refuse(line);
    }
}

#[test]
fn an_unknown_command_gets_a_suggestion() {
    assert!(refuse("x chekc").contains("'check'"));
}

#[test]
fn help_is_as_it_was_last_read() {
    let mut definition = Cli::definition().term_width(100);
    definition.build();
    let mut text = definition.render_help().to_string();
    append_help_below(&mut definition, &mut text);
    snapbox::assert_data_eq!(text, snapbox::file!["help.txt"]);
}

/// Appends the help of all commands below one, without the global options, which are the same everywhere.
fn append_help_below(command: &mut clap::Command, text: &mut String) {
    // `help` itself is clap's, and has every command below it once more.
    for inner in command
        .get_subcommands_mut()
        .filter(|inner| inner.get_name() != "help")
    {
        let help = inner.clone().term_width(100).render_help().to_string();
        let (own, global) = help.split_once("Global options:\n").unwrap_or((&help, ""));
        let examples = global.split_once("\n\n").map_or("", |(_, examples)| examples);
        *text += &format!("\n{}\n\n{own}{examples}", "-".repeat(100));
        text.truncate(text.trim_end().len());
        text.push('\n');
        append_help_below(inner, text);
    }
}
