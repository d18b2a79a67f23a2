//! Makes a storm over a lock folder, and tells whether the lock kept its promises.
//!
//! `storm [--seed N] [--processes N] [--seconds N] [--folder PATH] [--journals PATH] [--no-locks] [--pid-namespaces]`
//!
//! Ends with 0 if nothing is wrong, with 1 if something is, with 2 where the storm could not be made. With `--no-locks`
//! everybody takes what they want: then something must be wrong, or the storm proves nothing.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use process_tests::storm::actor::Part;
use process_tests::storm::director::{Outcome, Storm};

/// More violations than this are counted only.
const SHOWN_MAX: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(e) => {
            drop(writeln!(io::stderr(), "storm: {e}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|a| a == "actor").is_some() {
        let part: Part = serde_json::from_str(&arguments.next().ok_or("a part is missing")?)?;
        part.play()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut storm = Storm {
        seed: 1,
        processes: 200,
        time: Duration::from_secs(10),
        folder: PathBuf::new(),
        journals: PathBuf::new(),
        locks: true,
        pid_namespaces: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => storm.seed = value()?.parse()?,
            "--processes" => storm.processes = value()?.parse()?,
            "--seconds" => storm.time = Duration::from_secs_f64(value()?.parse()?),
            "--folder" => storm.folder = value()?.into(),
            "--journals" => storm.journals = value()?.into(),
            "--no-locks" => storm.locks = false,
            "--pid-namespaces" => storm.pid_namespaces = true,
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let home = tempfile::tempdir()?;
    for (folder, name) in [(&mut storm.folder, "session"), (&mut storm.journals, "journals")] {
        if folder.as_os_str().is_empty() {
            *folder = home.path().join(name);
        }
    }
    std::fs::create_dir_all(&storm.journals)?;
    let outcome = storm.rage()?;
    report(&storm, &outcome)?;
    Ok(ExitCode::from(u8::from(!outcome.findings.violations.is_empty())))
}

fn report(storm: &Storm, outcome: &Outcome) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let found = &outcome.findings;
    writeln!(
        out,
        "{} processes at a time for {:.1} s, {} in all with seed {}: {} kills, {} stops; {} grants ({} exclusive, \
         {} nested, {} past a shared hold), {} refusals; {} violations",
        storm.processes,
        storm.time.as_secs_f64(),
        outcome.started,
        storm.seed,
        outcome.kills,
        outcome.stops,
        found.grants,
        found.exclusive,
        found.nested,
        found.passed,
        found.refusals,
        found.violations.len()
    )?;
    for violation in found.violations.iter().take(SHOWN_MAX) {
        writeln!(out, "  {violation}")?;
    }
    Ok(())
}
