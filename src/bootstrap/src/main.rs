//! The driver behind `./x`: parses, takes the session, runs the command, and maps its end to an exit code.

use std::env;
use std::panic;
use std::process::ExitCode;

use bootstrap::class;
use bootstrap::config::{Config, Surroundings, change_tracker};
use bootstrap::context::Context;
use bootstrap::error::{Error, Result};
use bootstrap::exit::Exit;
use bootstrap::flags::Cli;
use bootstrap::hold::Hold;
use bootstrap::interrupt::{self, Interrupts};
use bootstrap::launch::Launch;
use bootstrap::repeats::Repeats;
use bootstrap::shell::Shell;
use bootstrap::{launch, log, parent, preempt, recover, relaunch};
use buildlock::tokens::Outer;

fn main() -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    if let Some(error) = launch::stand_before_compiler() {
        Shell::new(Default::default(), 0).error(&error);
        return error.exit().into();
    }
    let exit = match Cli::from_args(env::args_os()) {
        Ok(cli) => drive(&cli),
        Err(error) => help_or_usage(&error),
    };
    if let Exit::Signal(signal) = exit {
        interrupt::die_of(signal);
    }
    exit.into()
}

fn drive(cli: &Cli) -> Exit {
    // Until the configuration is read, only the flag says how to color.
    let mut shell = Shell::new(cli.global.color.unwrap_or_default(), cli.global.verbose);
    run(cli, &mut shell).unwrap_or_else(|error| {
        // Who ended the driver by a signal knows why it ended.
        if !matches!(error.exit(), Exit::Signal(_)) {
            shell.error(&error);
        }
        error.exit()
    })
}

fn run(cli: &Cli, shell: &mut Shell) -> Result<Exit> {
    // Before any file is opened that could be taken for one of its descriptors.
    let outer = Outer::from_environment();
    log::start()?;
    let launch = Launch::from_environment()?;
    let config = Config::load(&surroundings(&launch)?, &cli.global)?;
    *shell = Shell::new(config.build.color, config.build.verbose);
    launch.must_agree_with(&config)?;
    let interrupts = Interrupts::listen()?;
    if cli.global.exit_with_parent {
        parent::end_with_it(&interrupts)?;
    }
    let mut ctx = Context {
        config,
        flags: cli.global.clone(),
        launch,
        shell: *shell,
        hold: Hold::nothing(),
        interrupts,
        outer,
        repeats: Repeats::default(),
    };
    // The one place where a command takes its session: before it, nothing that is shared has been touched.
    ctx.hold = Hold::take(&ctx, cli)?;
    if let Some(why) = relaunch::stale_under(&ctx)? {
        ctx.hold.end()?;
        return relaunch::again(&ctx.launch, why, env::args_os().skip(1)).map(Exit::Program);
    }
    if let Outer::Broken(why) = &ctx.outer {
        ctx.shell.warn(format_args!("{why}; it is not used"));
    }
    tell_changes(&ctx, cli);
    recover::after_a_crash(&ctx)?;
    let exit = preempt::run(&mut ctx, cli);
    let ended = ctx.hold.end();
    spare_daemons();
    let exit = exit?;
    ended.map(|()| exit)
}

/// Tells the user once what changed in the configuration since the `change-id` that is written there.
fn tell_changes(ctx: &Context, cli: &Cli) {
    let Some(change_id) = ctx.config.change_id.filter(|_| !class::touches_nothing(cli)) else {
        return;
    };
    let build_dir = &ctx.config.build.build_dir;
    if let Some(news) = change_tracker::news(Some(change_id), change_tracker::told(build_dir)) {
        ctx.shell.plain(news);
        if let Err(error) = change_tracker::note_told(build_dir, change_id) {
            tracing::debug!(%error, "the next command tells it again");
        }
    }
}

/// A compiler cache's server, say, that a build has started serves the next one, too.
fn spare_daemons() {
    if let Err(error) = buildlock::spare_descendants() {
        tracing::debug!(%error, "what the build left running ends with the driver");
    }
}

fn surroundings(launch: &Launch) -> Result<Surroundings> {
    Ok(Surroundings {
        root: launch.root.clone(),
        cwd: env::current_dir()
            .map_err(|e| Error::environment("cannot tell the working directory").because(e))?,
        config_env: env::var_os("RUST_BOOTSTRAP_CONFIG"),
    })
}

/// Prints what clap has to say: help on stdout, and mistakes on stderr.
fn help_or_usage(said: &clap::Error) -> Exit {
    // A closed pipe, of `./x --help | head` say, is no failure.
    drop(said.print());
    if said.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whatever prints messages may be what panicked"
)]
fn report_bug(panic: &panic::PanicHookInfo<'_>) {
    eprintln!("{panic}\nThis is a bug in ./x. Please report it, with the command line and the lines above.");
    if env::var_os("RUST_BACKTRACE").is_some() {
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
    }
}
