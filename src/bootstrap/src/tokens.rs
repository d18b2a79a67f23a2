//! Job tokens: how many jobs a child may run at once, and who counts them.
//!
//! * A jobserver around us (we run under a make, a cargo, or another `./x`) is passed on as it is. It counts us, too.
//! * Otherwise the child is served a jobserver with tokens from the pool that `build.job-pool` names.
//! * With `build.jobserver = "off"` nobody counts: the child is told a number, and that is all.

use std::path::PathBuf;
use std::process::Command;

use buildlock::ErrorKind;
use buildlock::tokens::{
    JobServer, Joining, MemoryLimits, Outer, Style, TokenPool, Weight, capacity_of_this_process, make_flags,
    user_pool_folder,
};

use crate::config::{Build, JobPool, Jobs, Jobserver, MinFreeMemory};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::hold;
use crate::waiting::WaitLine;

/// What a child has of tokens. To be kept until it has ended.
#[derive(Debug)]
#[must_use = "the child's tokens go with it"]
pub(crate) struct Tokens {
    /// Nothing where somebody else counts, or nobody.
    _server: Option<JobServer>,
}

/// Says to a command how many jobs it may run: by its environment, or by what [`jobs_argument`] says. Waits for the first
/// token.
///
/// # Errors
/// Where the pool cannot be used, a signal came, or a mutator for which the command steps aside.
pub(crate) fn provide(ctx: &Context, command: &mut Command) -> Result<Tokens> {
    let nobody = Tokens { _server: None };
    if matches!(ctx.outer, Outer::Served(_)) || ctx.flags.dry_run {
        return Ok(nobody);
    }
    let style = match ctx.config.build.jobserver {
        Jobserver::Auto => Style::Auto,
        Jobserver::Pipe => Style::Pipe,
        Jobserver::Fifo => Style::Fifo,
        Jobserver::Off => {
            disown(&ctx.outer, command);
            return Ok(nobody);
        }
    };
    match serve(ctx, style, command) {
        Ok(server) => Ok(Tokens {
            _server: Some(server),
        }),
        Err(e) if e.kind() == ErrorKind::Cancelled => {
            ctx.interrupts.check()?;
            Err(Error::bug(e.to_string()))
        }
        Err(e) => Err(Error::from(e).advice(
            "`build.job-pool` chooses another place for the pool, and `build.jobserver = \"off\"` does without one",
        )),
    }
}

/// The number that a command should be told on its command line; nothing where it gets a jobserver, beside which it must not
/// be told any.
pub(crate) fn jobs_argument(ctx: &Context) -> Option<u32> {
    if ctx.config.build.jobserver != Jobserver::Off || matches!(ctx.outer, Outer::Served(_)) {
        return None;
    }
    let configured = match ctx.config.build.jobs {
        Jobs::Auto => None,
        Jobs::Count(jobs) => Some(jobs),
    };
    ctx.flags.jobs.or(configured).map(std::num::NonZero::get)
}

/// The folder of the pool that `build.job-pool` names.
///
/// # Errors
/// Where there is no place for the user's.
pub(crate) fn pool_folder(build: &Build) -> buildlock::Result<PathBuf> {
    match &build.job_pool {
        JobPool::User => user_pool_folder(),
        JobPool::BuildDir => Ok(build.lock_dir.join("pool")),
        JobPool::Path(path) => Ok(path.clone()),
    }
}

/// How many jobs the pool should run.
pub(crate) fn capacity(build: &Build) -> u32 {
    match build.jobs {
        Jobs::Auto => capacity_of_this_process(),
        Jobs::Count(jobs) => jobs.get(),
    }
}

/// When no further token is leased.
pub(crate) fn memory_limits(build: &Build) -> MemoryLimits {
    match build.min_free_memory {
        MinFreeMemory::Off => MemoryLimits::OFF,
        MinFreeMemory::Bytes(bytes) => MemoryLimits::default().with_available_bytes_min(bytes),
    }
}

fn serve(ctx: &Context, style: Style, command: &mut Command) -> buildlock::Result<JobServer> {
    let build = &ctx.config.build;
    let folder = pool_folder(build)?;
    let pool = TokenPool::open(folder, capacity(build))?;
    let mut line = WaitLine::new(ctx.shell);
    let label = command.get_args().next().unwrap_or_default();
    let mut joining = Joining::new(label.to_string_lossy())
        .command(hold::command_line())
        .memory_limits(memory_limits(build))
        .cancel(&ctx.interrupts.stop())
        .on_wait(|waiting| line.update(waiting));
    if let Some(jobs) = ctx.flags.jobs {
        joining = joining.jobs_max(jobs.get());
    }
    // Nobody looks at what steps aside.
    if ctx.flags.preemptible {
        joining = joining.weight(Weight::BACKGROUND);
    }
    let member = pool.join(joining)?;
    drop(line);
    if let Some(other) = member.other_capacity() {
        ctx.shell.note(format_args!(
            "the job pool has {other} tokens, as the build that opened it chose"
        ));
    }
    let server = member.serve(style)?;
    server.configure(command);
    Ok(server)
}

/// Keeps a jobserver that does not work from a command.
fn disown(outer: &Outer, command: &mut Command) {
    if !matches!(outer, Outer::Broken(_)) {
        return;
    }
    let inherited = std::env::var("MAKEFLAGS").unwrap_or_default();
    command
        .env("MAKEFLAGS", make_flags(&inherited, ""))
        .env_remove("CARGO_MAKEFLAGS")
        .env_remove("MFLAGS");
}
