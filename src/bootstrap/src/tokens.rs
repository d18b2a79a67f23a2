//! Job tokens: how many jobs a child may run at once, and who counts them.
//!
//! * A jobserver around us (we run under a make, a cargo, or another `./x`) is passed on as it is. It counts us, too.
//! * Otherwise the child is served a jobserver with tokens from the pool that `build.job-pool` names.
//! * With `build.jobserver = "off"` nobody counts: the child is told a number, and that is all.
//!
//! What the driver itself does (unpacking, compressing, copying) costs tokens like what a child does.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use buildlock::tokens::{
    JobServer, Joining, Member, MemoryLimits, Outer, Style, TokenPool, Weight, capacity_of_this_process,
    make_flags, user_pool_folder,
};
use buildlock::{ErrorKind, Timeout};

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
    let label = command.get_args().next().unwrap_or_default().to_owned();
    let member = join(ctx, &label, Timeout::Never)?;
    Ok(Tokens {
        _server: Some(serve(member, style, command).map_err(unusable)?),
    })
}

/// Tokens for the driver's own work. Dropping them gives them back.
#[derive(Debug)]
#[must_use = "its tokens go with it"]
pub(crate) struct OwnWork {
    /// Nothing where nobody counts, or the job that this process is itself to whoever does.
    member: Option<Member>,
    outer: Vec<jobserver::Acquired>,
    /// As many threads as nobody counts.
    uncounted: u32,
}

impl OwnWork {
    /// Takes the token for one job, and waits for it.
    ///
    /// # Errors
    /// As [`provide`].
    pub(crate) fn start(ctx: &Context, label: &str) -> Result<Self> {
        Self::within(ctx, label, Timeout::Never)
    }

    /// Takes the token for one job, if it can be had at once.
    ///
    /// # Errors
    /// Where the pool cannot be used.
    pub(crate) fn try_start(ctx: &Context, label: &str) -> Result<Option<Self>> {
        match Self::within(ctx, label, Timeout::AtOnce) {
            Err(e) if e.kind() == crate::error::ErrorKind::LockTimeout => Ok(None),
            work => work.map(Some),
        }
    }

    fn within(ctx: &Context, label: &str, timeout: Timeout) -> Result<Self> {
        let mut work = Self {
            member: None,
            outer: Vec::new(),
            uncounted: 1,
        };
        if ctx.flags.dry_run || matches!(ctx.outer, Outer::Served(_)) {
            return Ok(work);
        }
        if ctx.config.build.jobserver == Jobserver::Off {
            work.uncounted = jobs_argument(ctx).unwrap_or_else(capacity_of_this_process);
            return Ok(work);
        }
        work.member = Some(join(ctx, OsStr::new(label), timeout)?);
        Ok(work)
    }

    /// Takes the tokens for up to `most` threads in all, as far as they can be had at once; returns for how many.
    ///
    /// # Errors
    /// Where the pool cannot be used.
    pub(crate) fn threads(&mut self, ctx: &Context, most: u32) -> Result<u32> {
        if let Some(member) = &mut self.member {
            return member.lease_up_to(most).map_err(unusable);
        }
        if let Outer::Served(client) = &ctx.outer {
            // Where it cannot be asked without waiting, one thread must do.
            while self.outer.len() + 1 < most as usize
                && let Ok(Some(token)) = client.try_acquire()
            {
                self.outer.push(token);
            }
            return Ok(u32::try_from(self.outer.len() + 1).unwrap_or(most));
        }
        Ok(self.uncounted.min(most))
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

/// Joins the pool, and waits for the first token.
fn join(ctx: &Context, label: &OsStr, timeout: Timeout) -> Result<Member> {
    let build = &ctx.config.build;
    let pool = pool_folder(build).and_then(|folder| TokenPool::open(folder, capacity(build)));
    let pool = pool.map_err(unusable)?;
    let mut line = WaitLine::new(ctx.shell);
    let mut joining = Joining::new(label.to_string_lossy())
        .command(hold::command_line())
        .memory_limits(memory_limits(build))
        .timeout(timeout)
        .cancel(&ctx.interrupts.stop())
        .on_wait(|waiting| line.update(waiting));
    if let Some(jobs) = ctx.flags.jobs {
        joining = joining.jobs_max(jobs.get());
    }
    // Nobody looks at what steps aside.
    if ctx.flags.preemptible {
        joining = joining.weight(Weight::BACKGROUND);
    }
    let member = match pool.join(joining) {
        Err(e) if e.kind() == ErrorKind::Cancelled => {
            ctx.interrupts.check()?;
            return Err(Error::bug(e.to_string()));
        }
        Err(e) if e.kind() == ErrorKind::Timeout => return Err(e.into()),
        joined => joined.map_err(unusable)?,
    };
    drop(line);
    if let Some(other) = member.other_capacity() {
        ctx.shell.note(format_args!(
            "the job pool has {other} tokens, as the build that opened it chose"
        ));
    }
    Ok(member)
}

fn serve(member: Member, style: Style, command: &mut Command) -> buildlock::Result<JobServer> {
    let server = member.serve(style)?;
    server.configure(command);
    let driver = std::env::current_exe();
    match driver {
        Ok(driver) => server.stop_compilers_with(&driver, command)?,
        Err(error) => tracing::warn!(%error, "cargo's compilers do not stop for other builds"),
    }
    Ok(server)
}

fn unusable(error: buildlock::Error) -> Error {
    Error::from(error).advice(
        "`build.job-pool` chooses another place for the pool, and `build.jobserver = \"off\"` does without one",
    )
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
