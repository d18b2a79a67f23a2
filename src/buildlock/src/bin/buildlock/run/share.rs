//! How a command shares the machine with other builds: a turn among the heavy ones, and tokens for its jobs.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use buildlock::tokens::{
    JobServer, Joining, Member, Outer, PoolWait, Style, TokenPool, Weight, capacity_of_this_process,
    user_pool_folder,
};
use buildlock::{Cancel, Error, HumanDuration, Timeout};

use crate::flags::ShareArgs;
use crate::print;
use crate::rules::{Jobserver, Rule};

/// The pool whose tokens are turns, beside that of the jobs.
const TURNS_FOLDER: &str = "builds";

/// What a command is to be given of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// Whether it is one of those of which only so many may run at once.
    heavy: bool,
    /// How many that is.
    builds: Option<u32>,
    jobserver: Jobserver,
    /// The pool of tokens, if not the user's.
    pool: Option<PathBuf>,
    weight: Weight,
}

/// What a command was given. Dropping it gives it back.
pub(crate) struct Part {
    turn: Option<Member>,
    server: Option<JobServer>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            heavy: false,
            builds: None,
            jobserver: Jobserver::Off,
            pool: None,
            weight: Weight::FOREGROUND,
        }
    }
}

impl Share {
    /// What a command gets that no rules are asked about: whoever says `--builds` for it calls it heavy.
    pub(crate) fn without_rules() -> Self {
        Self {
            heavy: true,
            ..Self::default()
        }
    }

    pub(crate) fn by_rule(rule: &Rule) -> Self {
        Self {
            heavy: rule.heavy,
            jobserver: rule.jobserver,
            ..Self::default()
        }
    }

    /// Flags decide over rules.
    pub(crate) fn with_flags(self, args: &ShareArgs, preemptible: bool) -> Self {
        Self {
            builds: args.builds.filter(|_| self.heavy),
            jobserver: args.jobserver.unwrap_or(self.jobserver),
            pool: args.job_pool.clone(),
            // Nobody waits for what may be started over at any time.
            weight: if preemptible {
                Weight::BACKGROUND
            } else {
                Weight::FOREGROUND
            },
            ..self
        }
    }

    /// Leaves the jobs to a jobserver that is around us already.
    pub(crate) fn look_around(&mut self) {
        if self.jobserver == Jobserver::Off {
            return;
        }
        match Outer::from_environment() {
            Outer::Served(_) => self.jobserver = Jobserver::Off,
            Outer::Broken(why) => print::note(&format!("{why}; the command is served another")),
            _ => {}
        }
    }

    pub(crate) fn wants_anything(&self) -> bool {
        self.builds.is_some() || self.jobserver != Jobserver::Off
    }

    /// Waits for a turn, and then for a first token: whoever waits for a turn needs none.
    pub(crate) fn take(&self, shown: &[String], timeout: Timeout, cancel: &Cancel) -> Result<Part, Error> {
        let joining = |label: &str| {
            Joining::new(label)
                .command(shown.to_vec())
                .weight(self.weight)
                .timeout(timeout)
                .notice_every(Duration::MAX)
                .cancel(cancel)
        };
        let turn = match self.builds {
            None => None,
            Some(builds) => {
                let joining = joining("turn")
                    .jobs_max(1)
                    .wait_text(turn_text)
                    .on_wait(say_once(turn_text));
                Some(TokenPool::open(turns_folder()?, builds)?.join(joining)?)
            }
        };
        let style = match self.jobserver {
            Jobserver::Off => return Ok(Part { turn, server: None }),
            // A semaphore there, which is found by its name: it reaches what a fifo would.
            Jobserver::Fifo if !cfg!(windows) => Style::Fifo,
            Jobserver::Pipe | Jobserver::Fifo => Style::Auto,
        };
        let folder = self.pool.clone().map_or_else(user_pool_folder, Ok)?;
        let joining = joining("run").on_wait(say_once(PoolWait::to_string));
        let member = TokenPool::open(folder, capacity_of_this_process())?.join(joining)?;
        let server = Some(member.serve(style)?);
        Ok(Part { turn, server })
    }
}

impl Part {
    pub(crate) fn configure(&self, command: &mut Command) {
        if let Some(turn) = &self.turn {
            turn.name(command);
        }
        if let Some(server) = &self.server {
            server.configure(command);
            stop_compilers(server, command);
        }
        if self.turn.is_some() || self.server.is_some() {
            // What is leased goes back when we are killed; it must not be in use then.
            buildlock::die_with_parent(command);
        }
    }

    pub(crate) fn give_back(self) -> Result<(), Error> {
        let served = self.server.map_or(Ok(()), JobServer::end);
        let turned = self.turn.map_or(Ok(()), Member::leave);
        served.and(turned)
    }
}

fn turns_folder() -> Result<PathBuf, Error> {
    Ok(user_pool_folder()?.with_file_name(TURNS_FOLDER))
}

/// The user's turns, if somebody has ever asked for one.
pub(crate) fn turns() -> Result<Option<TokenPool>, Error> {
    TokenPool::existing(turns_folder()?, 1)
}

/// Has a cargo give tokens back to other builds, although it would rather keep them.
fn stop_compilers(server: &JobServer, command: &mut Command) {
    // A shim is known by its name, and so cannot be started as something else.
    let this = std::env::current_exe().ok();
    let Some(this) = this.filter(|this| this.file_stem() == Some(OsStr::new("buildlock"))) else {
        return;
    };
    if let Err(e) = server.stop_compilers_with(&this, command) {
        print::note(&e.to_string());
    }
}

/// `a turn: all 2 are taken by cargo build (pid 4242, 3m12s), and another; 1 ahead`.
fn turn_text(wait: &PoolWait) -> String {
    let holder = |record: &buildlock::Record| {
        let age = HumanDuration(record.age());
        format!("{} (pid {}, {age})", record.command_line(), record.who.pid)
    };
    let holders: Vec<_> = wait.holders.iter().map(holder).collect();
    let (all, by, ahead) = (wait.capacity, holders.join(", "), wait.ahead);
    format!("a turn: all {all} are taken by {by}; {ahead} ahead")
}

fn say_once(text: impl Fn(&PoolWait) -> String) -> impl FnMut(&PoolWait) {
    let mut said = false;
    move |wait| {
        if !std::mem::replace(&mut said, true) {
            print::note(&format!("waiting for {}. Ctrl-C gives up", text(wait)));
        }
    }
}
