//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::rules::Jobserver;

/// Runs commands under a session lock, and shows who holds it
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command under a session
    Run(RunArgs),
    /// Show who holds a lock folder's lock, and who waits
    Status(StatusArgs),
    /// Show the status again whenever it changes, until Ctrl-C
    Watch(StatusArgs),
    /// Take a session out of the queue although its lock is held
    Break(BreakArgs),
    /// Say whether a folder's file system locks as it must
    Doctor(DoctorArgs),
    /// Look at rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Stand in for programs that cannot be changed, where their callers find them
    #[command(subcommand)]
    Shim(ShimCommand),
    /// What `doctor` starts as another process
    #[command(hide = true)]
    Hold(FolderArgs),
}

/// Whether a word is what a command line of ours begins with.
#[cfg(unix)]
pub(crate) fn is_subcommand(word: Option<OsString>) -> bool {
    use clap::CommandFactory;
    word.is_some_and(|word| Cli::command().find_subcommand(word).is_some())
}

#[derive(Args, Debug)]
pub(crate) struct FolderArgs {
    /// The lock folder
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The lock folder, or where one is to be
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Print JSON; `watch`, a line for each change
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BreakArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// The session's ticket, as `status` shows it
    pub ticket: u64,
}

const RUN_CODES: &str = "\
Exit codes: the command's own (128+N if signal N ended it); 75 if the wait for the lock, a turn or a token timed out; 125 if \
buildlock itself failed; 126 if the command could not be started; 127 if it was not found.";

#[derive(Args, Debug)]
#[command(after_help = RUN_CODES)]
pub(crate) struct RunArgs {
    /// The lock folder; needed unless the rules name one
    #[arg(long, value_name = "DIR", required_unless_present = "rules")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub mode: ModeArgs,
    /// Wait at most this long, in seconds, for the lock; and as long for a turn of --builds and a first token
    #[arg(long, value_name = "SECS", conflicts_with = "no_wait")]
    pub timeout: Option<f64>,
    /// Fail at once with exit code 75 if the lock cannot be had now
    #[arg(long)]
    pub no_wait: bool,
    /// When a mutator waits, kill the command, let the mutator pass, and start over: for a command that may be killed at any time
    #[arg(long)]
    pub preemptible: bool,
    /// When the process that started this one ends, kill the command
    #[arg(long)]
    pub exit_with_parent: bool,
    #[command(flatten)]
    pub share: ShareArgs,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
}

/// How the command shares the machine with other builds.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sharing the machine")]
pub(crate) struct ShareArgs {
    /// Serve the command a jobserver, whose tokens come from a pool that all builds share; as the rules say unless given,
    /// else off.
    /// pipe is for cargo and any make; fifo for ninja, make 4.4, and what is behind Python. Under a jobserver that there is
    /// already, the command uses that
    #[arg(long, value_name = "KIND")]
    pub jobserver: Option<Jobserver>,
    /// The folder of the pool, instead of this user's
    #[arg(long, value_name = "DIR")]
    pub job_pool: Option<PathBuf>,
    /// Let at most N heavy builds of this user run at once; the others wait in the order in which they came. With --rules,
    /// those are heavy that the rules call so, and else every command. While builds of another N run, theirs counts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub builds: Option<u32>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ModeArgs {
    /// Beside other readers
    #[arg(long)]
    pub shared: bool,
    /// Alone
    #[arg(long)]
    pub exclusive: bool,
    /// As these rules say: the name of a shipped set (cargo, rust-lang-rust, rustup) or a file
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Explain which rule matches a command, and what it gets
    Test(RulesTestArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RulesTestArgs {
    /// The name of a shipped set, or a file
    pub rules: PathBuf,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShimCommand {
    /// Put shims in the place of the programs that the rules are about
    Install(ShimInstallArgs),
    /// Put the real programs back
    Remove(ShimFolderArgs),
    /// Say whether the shims still stand; exit code 1 if not
    Status(ShimFolderArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ShimInstallArgs {
    /// The name of a shipped set, or a file
    #[arg(long, value_name = "FILE")]
    pub rules: PathBuf,
    /// The folder in which the programs are
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The lock folder; the one that the rules name unless given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ShimFolderArgs {
    /// The folder in which the shims are
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
}
