//! The outer jobserver: the one that our own environment names, served by a make, a cargo, or a build of ours around us.

use std::ffi::OsStr;

use jobserver::{Client, FromEnvErrorKind};

use crate::sys;

/// What the environment says about a jobserver around this process.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outer {
    /// None is named, or it says itself that it is not for us.
    None,
    /// One is there. Take nothing from a pool, pass the environment on unchanged, and it divides the work: it also counts
    /// the job that this process is.
    Served(Client),
    /// One is named, but is not there: why, for people to read. Whoever obeyed it would run one job at a time, or fail.
    Broken(String),
}

impl Outer {
    /// Looks at `CARGO_MAKEFLAGS` and `MAKEFLAGS`.
    ///
    /// Call this early: descriptors that the environment names are taken for what they were when this process started.
    #[must_use]
    pub fn from_environment() -> Self {
        // SAFETY: the descriptors are the environment's, and the client makes its own of them. That they are pipes is
        // checked, and whoever calls this early has opened none of their numbers himself.
        let found = unsafe { Client::from_env_ext(true) };
        let name = found.var.as_ref().map_or("MAKEFLAGS", |(name, _)| name);
        match found.client {
            Ok(client) => match deserted(found.var.as_ref().map(|(_, value)| value.as_os_str())) {
                Some(why) => Self::Broken(format!("the jobserver in {name} is gone: {why}")),
                None => Self::Served(client),
            },
            Err(e) => match e.kind() {
                FromEnvErrorKind::NoEnvVar
                | FromEnvErrorKind::NoJobserver
                // What make writes for a recipe that it does not take for a make ("Job Slots" in its manual).
                | FromEnvErrorKind::NegativeFd
                | FromEnvErrorKind::Unsupported => Self::None,
                _ => Self::Broken(format!("the jobserver in {name} cannot be used: {e}")),
            },
        }
    }
}

/// Why nobody serves what is named, where that can be seen: a pipe that no process could write to is at its end.
fn deserted(flags: Option<&OsStr>) -> Option<String> {
    let auth = flags?.to_str()?.rsplit("--jobserver-auth=").next()?;
    let descriptor = auth.split(',').next()?.parse().ok()?;
    sys::pipe_has_ended(descriptor).then(|| "no process serves its pipe any more".to_owned())
}

/// `MAKEFLAGS` for a child that is to use the jobserver that `words` name: what the user set besides is kept, what spoke of
/// jobs is not.
///
/// GNU make's form: letters without a dash first, then options, then `--` and assignments ("Options/Recursion" in its
/// manual).
#[must_use]
pub fn make_flags(inherited: &str, words: &str) -> String {
    let (options, assignments) = match inherited.split_once(" -- ") {
        Some((options, assignments)) => (options, Some(assignments)),
        None => (inherited, None),
    };
    let about_jobs = |word: &&str| {
        word.starts_with("--jobserver")
            || word.starts_with("--jobs")
            || (word.starts_with("-j") && *word != "-")
    };
    let mut flags: Vec<_> = options
        .split_ascii_whitespace()
        .filter(|w| !about_jobs(w))
        .collect();
    flags.push(words);
    let flags = flags.join(" ");
    match assignments {
        Some(assignments) => format!("{flags} -- {assignments}"),
        None => flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_set_is_kept_and_what_spoke_of_jobs_is_replaced() {
        let ours = "-j --jobserver-auth=3,4";
        assert_eq!(make_flags("", ours), ours);
        assert_eq!(make_flags("-j8", ours), ours);
        assert_eq!(
            make_flags("ks -j8 --jobserver-auth=fifo:/x", ours),
            format!("ks {ours}")
        );
        assert_eq!(
            make_flags("k --trace -- CC=gcc -j", ours),
            format!("k --trace {ours} -- CC=gcc -j")
        );
        assert_eq!(make_flags("--jobs=3 -k", ours), format!("-k {ours}"));
    }
}
