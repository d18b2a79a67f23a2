//! The command line of `./x`.
//!
//! Everything here is data: what was asked for, not what it means. [`crate::class`] says which hold a command
//! needs and [`crate::config`] joins the flags with `bootstrap.toml`.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::LockTimeout;

mod parse;

/// The whole command line. [`Cli::from_args`] reads it.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "x",
    bin_name = "./x",
    version,
    about = "Build, check and test the workspaces of this repository",
    after_help = EXAMPLES,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ./x check                       type-check every package of every workspace
  ./x test src/buildlock          test the packages below a folder
  ./x test buildlock -- queue::   test one package, and only what matches `queue::`
  ./x lock status                 who holds the build directory, and who waits

Any number of ./x can work in one build directory: those that only read run side by side, one that
writes waits its turn and then runs alone.

Exit codes:
      0  done
      1  a build, a test or a check failed
      2  wrong usage or configuration
      4  the environment lacks something: a toolchain, disk space, a permission
     75  waiting for the lock took too long
    101  a bug in ./x
  128+N  ended by signal N";

/// Flags that mean the same before and after every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Run at most this many jobs [default: `build.jobs`]
    #[arg(short, long, value_name = "N", global = true)]
    pub jobs: Option<NonZeroU32>,

    /// Build in this directory [default: `build.build-dir`]
    #[arg(long, value_name = "DIR", global = true)]
    pub build_dir: Option<PathBuf>,

    /// Read this configuration instead of bootstrap.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Set one configuration key, over the file; may be repeated
    // Not `global`: clap would forget those before the command when there are some after it. `parse` sees to
    // it.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Print cargo's messages as JSON, and nothing else, on stdout; but `run` only the program's output, and `bench` both
    #[arg(long, global = true)]
    pub json_output: bool,

    /// Go on with what does not depend on a failure
    #[arg(long, global = true)]
    pub keep_going: bool,

    /// Say what would be done, touch nothing, take no lock
    #[arg(long, global = true)]
    pub dry_run: bool,

    /// Say more; twice also passes -v on to cargo
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,

    /// When to use color [default: `build.color`]
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        hide_possible_values = true,
        global = true
    )]
    #[arg(help = "When to use color: auto, always or never [default: `build.color`]")]
    pub color: Option<ColorChoice>,

    /// Wait at most so long for the lock, or for ever: `never`; cargo's own locks are not meant [default: `build.lock-timeout`]
    #[arg(long, value_name = "SECS", conflicts_with = "no_wait", global = true)]
    pub lock_timeout: Option<LockTimeout>,

    /// Fail with exit code 75 instead of waiting for the lock; cargo's own locks are not meant
    #[arg(long, global = true)]
    pub no_wait: bool,

    /// Take no lock; what runs beside this may break
    #[arg(long, global = true)]
    pub bypass_bootstrap_lock: bool,

    /// Step aside when a command that writes arrives, then start over (for editors)
    #[arg(long, global = true)]
    pub preemptible: bool,

    /// End when the process that started this one is gone (for editors)
    #[arg(long, global = true)]
    pub exit_with_parent: bool,
}

/// One command with its own arguments.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Type-check packages
    #[command(visible_alias = "c", after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Lint packages
    Clippy(ClippyArgs),
    /// Build packages and copy what they make to host/bin in the build directory
    #[command(visible_alias = "b")]
    Build(CargoArgs),
    /// Build and run tests
    #[command(visible_alias = "t", after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Build and run benchmarks
    Bench(BenchArgs),
    /// Build documentation
    #[command(visible_alias = "d")]
    Doc(CargoArgs),
    /// Format sources
    Fmt(FmtArgs),
    /// Apply the compiler's own suggestions to the sources
    Fix(CargoArgs),
    /// Build a program, let go of the lock, and become the program
    #[command(visible_alias = "r", after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Check this repository's own rules
    Tidy,
    /// Remove outputs; the cache and the lock folder stay
    Clean(CleanArgs),
    /// Make a versioned archive with checksums in dist, in the build directory
    Dist(Selection),
    /// Build, then install below `install.prefix` (and DESTDIR)
    Install(Selection),
    /// Set up a checkout: a profile, an editor, a git hook; asks when run alone
    Setup(SetupArgs),
    /// Look at the queue for the build directory
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Lock(LockArgs),
    /// Print a completion script
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Move the pin in src/stage0 to another toolchain
    BumpStage0(BumpStage0Args),
}

impl Command {
    /// Returns the command's name, as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Clippy(_) => "clippy",
            Self::Build(_) => "build",
            Self::Test(_) => "test",
            Self::Bench(_) => "bench",
            Self::Doc(_) => "doc",
            Self::Fmt(_) => "fmt",
            Self::Fix(_) => "fix",
            Self::Run(_) => "run",
            Self::Tidy => "tidy",
            Self::Clean(_) => "clean",
            Self::Dist(_) => "dist",
            Self::Install(_) => "install",
            Self::Setup(_) => "setup",
            Self::Lock(_) => "lock",
            Self::Completions(_) => "completions",
            Self::BumpStage0(_) => "bump-stage0",
        }
    }
}

const CHECK_EXAMPLES: &str = "\
Examples:
  ./x check                                    every package
  ./x check src/buildlock/src/lib.rs           the package that owns a file
  ./x check buildlock -- --all-features        one package, with a flag of cargo's";

const TEST_EXAMPLES: &str = "\
Examples:
  ./x test                                     every package
  ./x test buildlock -- --nocapture            one package, with a flag of its test programs";

const RUN_EXAMPLES: &str = "\
Examples:
  ./x run buildlock -- status                  what follows `--` is the program's";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ./x completions bash > ~/.local/share/bash-completion/completions/x";

/// Which packages a command is about.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Packages, by name or by a path in or above them; a workspace by its Cargo.toml [default: all]
    #[arg(value_name = "PATH|PACKAGE")]
    pub names: Vec<OsString>,
}

/// Arguments of commands that only run cargo on packages.
#[derive(Args, Clone, Debug, Default)]
pub struct CargoArgs {
    /// Which packages.
    #[command(flatten)]
    pub selection: Selection,
    /// What follows `--`: flags for cargo itself
    #[arg(last = true, value_name = "CARGO ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// Build only what is needed at compile time: build scripts and proc macros (for editors)
    #[arg(long)]
    pub compile_time_deps: bool,
    /// Tests, examples and benchmarks as well
    #[arg(long)]
    pub all_targets: bool,
    /// Which packages, and flags for cargo.
    #[command(flatten)]
    pub cargo: CargoArgs,
}

/// Arguments of `clippy`.
#[derive(Args, Clone, Debug, Default)]
pub struct ClippyArgs {
    /// Which packages.
    #[command(flatten)]
    pub selection: Selection,
    /// Tests, examples and benchmarks as well
    #[arg(long)]
    pub all_targets: bool,
    /// Apply clippy's suggestions to the sources
    #[arg(long)]
    pub fix: bool,
    /// What follows `--`: flags for clippy, such as `-D warnings`
    #[arg(last = true, value_name = "CLIPPY ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `test`.
#[derive(Args, Clone, Debug, Default)]
pub struct TestArgs {
    /// Packages, by name or by a path in or above them, and suites, by name [default: all]
    #[arg(value_name = "PATH|PACKAGE|SUITE")]
    pub names: Vec<OsString>,
    /// List the suites instead of running anything
    #[arg(long)]
    pub list: bool,
    /// What follows `--`: filters and flags for the programs that are run
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `bench`.
#[derive(Args, Clone, Debug, Default)]
pub struct BenchArgs {
    /// Which packages.
    #[command(flatten)]
    pub selection: Selection,
    /// What follows `--`: filters and flags for the programs that are run
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `fmt`.
#[derive(Args, Clone, Debug, Default)]
pub struct FmtArgs {
    /// Which packages.
    #[command(flatten)]
    pub selection: Selection,
    /// Change nothing; fail when something is not formatted
    #[arg(long)]
    pub check: bool,
    /// What follows `--`: flags for rustfmt
    #[arg(last = true, value_name = "RUSTFMT ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// The program's name, its package, or a path in it [default: the only program there is]
    #[arg(value_name = "PATH|PACKAGE|PROGRAM")]
    pub name: Option<OsString>,
    /// What follows `--`: arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    pub rest: Vec<OsString>,
}

/// Arguments of `clean`.
#[derive(Args, Clone, Debug, Default)]
pub struct CleanArgs {
    /// Remove the cache too; only the lock folder stays
    #[arg(long)]
    pub all: bool,
    /// Remove only toolchains that nothing uses, and say what that frees
    #[arg(long, conflicts_with = "all")]
    pub stage0: bool,
}

/// Arguments of `setup`.
#[derive(Args, Clone, Debug, Default)]
pub struct SetupArgs {
    /// What to set up; without it, all in turn, with questions.
    #[command(subcommand)]
    pub what: Option<SetupCommand>,
}

/// What `setup` can set up.
#[derive(Subcommand, Clone, Debug)]
pub enum SetupCommand {
    /// Write an editor's settings so that its checks go through ./x
    Editor(SetupEditorArgs),
    /// Install a git hook that runs `./x tidy` before a push
    Hook,
    /// Write a bootstrap.toml that starts from a profile
    Profile(SetupProfileArgs),
}

/// Arguments of `setup editor`.
#[derive(Args, Clone, Debug, Default)]
pub struct SetupEditorArgs {
    /// vscode, vim, neovim, emacs, helix, zed or kate; asks when it is left out
    #[arg(value_enum, value_name = "EDITOR", hide_possible_values = true)]
    pub name: Option<Editor>,
    /// Print the settings instead of writing them
    #[arg(long)]
    pub print: bool,
    /// Say whether the settings are current; fail when they are not
    #[arg(long, conflicts_with = "print")]
    pub check: bool,
}

/// An editor that `setup editor` knows.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Editor {
    /// Visual Studio Code
    Vscode,
    /// Vim with coc.nvim
    Vim,
    /// Neovim
    Neovim,
    /// Emacs with eglot or lsp-mode
    Emacs,
    /// Helix
    Helix,
    /// Zed
    Zed,
    /// Kate
    Kate,
}

/// Arguments of `setup profile`.
#[derive(Args, Clone, Debug, Default)]
pub struct SetupProfileArgs {
    /// The profile, a file in src/bootstrap/defaults; asks when it is left out
    pub name: Option<String>,
}

/// Arguments of `lock`.
#[derive(Args, Clone, Debug)]
pub struct LockArgs {
    /// What to do with the queue.
    #[command(subcommand)]
    pub what: LockCommand,
}

/// What `lock` can do.
#[derive(Subcommand, Clone, Debug)]
pub enum LockCommand {
    /// Show who holds the build directory, who waits, and the job tokens
    Status(LockStatusArgs),
    /// End the session that has a ticket
    Break(LockBreakArgs),
}

/// Arguments of `lock status`.
#[derive(Args, Clone, Debug, Default)]
pub struct LockStatusArgs {
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
    /// Show it again and again until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `lock break`.
#[derive(Args, Clone, Debug)]
pub struct LockBreakArgs {
    /// The ticket, as `lock status` shows it
    pub ticket: u64,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true)]
    pub shell: Shell,
}

/// Arguments of `bump-stage0`.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct BumpStage0Args {
    /// The version to take from the dist server, such as 1.95.0
    pub version: Option<String>,
    /// Take everything from this channel manifest instead
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
