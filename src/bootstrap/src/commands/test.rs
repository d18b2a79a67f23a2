//! `test`: builds and runs cargo's tests, then the suites that the workspaces declare.
//!
//! Building holds the build directory exclusively, running shares it. What ran is counted, a suite as one test.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Instant;

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::TestArgs;
use crate::suites::Suite;
use crate::tally::Tally;
use crate::workspace::{self, Chosen, Workspace};

pub(super) fn run(ctx: &mut Context, args: &TestArgs) -> Result<Exit> {
    let suites = Suite::all(&Workspace::all(&ctx.config))?;
    if args.list {
        return list(&suites);
    }
    let names: Vec<_> = suites.iter().map(|suite| suite.name.as_str()).collect();
    let (chosen, picked) = workspace::choose_with(ctx, &args.names, &names)?;
    let suites: Vec<_> = suites
        .iter()
        .filter(|suite| args.names.is_empty() || picked.contains(&suite.name))
        .collect();

    let built = on_each(ctx, &chosen, |one| {
        Cargo::building(ctx, "test", one)
            .in_configured_profile()
            .with_messages()
            .arg("--no-run")
            .run()
    })?;
    if built != Exit::Done && !ctx.keeps_going() {
        return Ok(built);
    }
    ctx.hold.built()?;

    let mut total = Tally::default();
    let mut exit = on_each(ctx, &chosen, |one| {
        let (exit, tally) = run_tests(ctx, args, one)?;
        total = total.plus(tally);
        Ok(exit)
    })?;
    for suite in suites {
        if exit != Exit::Done && !ctx.keeps_going() {
            break;
        }
        let ended = suite.run(ctx, &args.rest)?;
        total = total.plus(one_test(ended));
        exit = exit.or(ended);
    }
    if !ctx.flags.dry_run {
        ctx.shell.status("Total", total);
    }
    Ok(built.or(exit))
}

/// Runs the tests of a workspace's packages.
fn run_tests(ctx: &Context, args: &TestArgs, one: &Chosen) -> Result<(Exit, Tally)> {
    let start = Instant::now();
    let cargo = Cargo::building(ctx, "test", one)
        .in_configured_profile()
        .args_for_the_program(&args.rest);
    let (exit, mut tally) = cargo.run_counting()?;
    if exit != Exit::Done && tally.failed == 0 {
        // A program that crashed, or could not be built, prints no result.
        tally.failed = 1;
    }
    if !ctx.flags.dry_run {
        let seconds = start.elapsed().as_secs_f64();
        let folder = one.workspace.folder.display();
        ctx.shell.status(
            "Finished",
            format_args!("cargo's tests of {folder}: {tally} in {seconds:.2}s"),
        );
    }
    Ok((exit, tally))
}

fn one_test(exit: Exit) -> Tally {
    let failed = u64::from(exit != Exit::Done);
    Tally {
        passed: 1 - failed,
        failed,
        ignored: 0,
    }
}

fn list(suites: &[Suite]) -> Result<Exit> {
    let width = suites.iter().map(|suite| suite.name.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for suite in suites {
        let (name, about) = (&suite.name, &suite.declared.about);
        // Writing to a `String` cannot fail.
        let _ = writeln!(lines, "{name:width$}  {about}");
    }
    io::stdout()
        .write_all(lines.as_bytes())
        .map_err(|e| Error::environment("cannot write the list to stdout").because(e))?;
    Ok(Exit::Done)
}
