//! Records: what a session says about itself, for the queue to decide by and for people to read.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::queue::Claim;
use crate::sys;

/// The most that is read of a record file, in bytes. What is larger is not a record.
pub(crate) const SIZE_MAX: usize = 64 * 1024;

/// The most that is kept of a command line, in bytes.
const COMMAND_BYTES_MAX: usize = 4096;

/// What a grant adds to a record, and the most digits that may follow.
const GRANTED: &str = r#","granted_unix_ms":"#;
const U64_DIGITS_MAX: usize = 20;

/// The most characters that are shown of one.
const COMMAND_LINE_MAX: usize = 60;

/// The most ancestors that a record may name; `BUILDLOCK_SESSION` with more is cut at the far end.
pub(crate) const ANCESTORS_MAX: usize = 64;

/// One claim of a session on the lock, as it stands in `<ticket>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the queue decides by.
    #[serde(flatten)]
    pub claim: Claim,
    /// Who asks.
    #[serde(flatten)]
    pub who: Who,
    /// What the session does, in the words of the tool that registered it: `build`, say.
    pub label: String,
    /// When it took its place in the queue, in milliseconds since the Unix epoch.
    pub asked_unix_ms: u64,
    /// When it was granted, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_unix_ms: Option<u64>,
    /// Whether the session steps aside when a mutator queues.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preemptible: bool,
    /// Shared things that the session uses and that must not be collected meanwhile: keys of toolchains, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// What the session holds of a token pool, where the registry is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// A session's part of a token pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The tokens that it holds.
    pub held: u32,
    /// The tokens that it could use now, those that it holds included.
    pub wanted: u32,
    /// The most that it will ever hold.
    pub cap: u32,
    /// Its share of the pool, relative to those of the others.
    pub weight: u32,
    /// The pool's capacity, as this session understood it when it joined.
    pub capacity: u32,
}

/// The process behind a record. For people and for `status`; liveness never depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The process id, in the process's own pid namespace.
    pub pid: u32,
    /// When the process started, in the system's own units, to tell it from a later one with the same pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_start: Option<u64>,
    /// Which pid namespace that is, where the system has such: in another one the pid is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
    /// The host's name.
    pub host: String,
    /// The user's name, or number.
    pub user: String,
    /// The command line, cut at a few kilobytes.
    pub command: Vec<String>,
    /// The working directory.
    pub directory: PathBuf,
}

impl Who {
    /// The calling process. Looked up once.
    #[must_use]
    pub fn this_process() -> &'static Self {
        static WHO: OnceLock<Who> = OnceLock::new();
        WHO.get_or_init(|| {
            let pid = std::process::id();
            Self {
                pid,
                pid_start: sys::process_start(pid),
                pid_namespace: sys::pid_namespace(),
                host: sys::host_name(),
                user: sys::user_name(),
                command: cut(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())),
                directory: std::env::current_dir().unwrap_or_default(),
            }
        })
    }
}

impl Who {
    /// The same process, with another command line to show.
    #[must_use]
    pub(crate) fn showing(self, command: Vec<String>) -> Self {
        Self {
            command: cut(command),
            ..self
        }
    }
}

/// As much of a command line as a record has room for.
fn cut(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut room = COMMAND_BYTES_MAX;
    let fits = |word: &String| {
        let fits = word.len() < room;
        room = room.saturating_sub(word.len());
        fits
    };
    words.into_iter().take_while(fits).collect()
}

impl Record {
    /// Reads a record, or nothing where the bytes are not one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (bytes.len() <= SIZE_MAX && record.claim.ancestors.len() <= ANCESTORS_MAX).then_some(record)
    }

    /// What stands in the file: as many bytes before a grant as after it, so that it can be overwritten in place.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            serde_json::to_vec(self).expect("a record has no maps with keys that are not strings");
        let granted = self
            .granted_unix_ms
            .map_or(0, |ms| GRANTED.len() + ms.to_string().len());
        bytes.resize(bytes.len() + (GRANTED.len() + U64_DIGITS_MAX - granted), b' ');
        bytes.push(b'\n');
        bytes
    }

    /// The command line as a person would type it, in one line of at most 60 characters: a program's long path is cut to its
    /// name. The whole is in [`Who::command`].
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut words = self.who.command.iter();
        let program = words.next().map_or("?", String::as_str);
        let program = if program.starts_with("./") {
            program
        } else {
            file_name(program)
        };
        one_line(&words.fold(program.to_owned(), |line, word| line + " " + word))
    }

    /// How long ago it asked; zero where the clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        since_unix_ms(self.granted_unix_ms.unwrap_or(self.asked_unix_ms))
    }
}

/// What fits into a line beside other things. What a terminal would obey is left out.
fn one_line(text: &str) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = characters.by_ref().take(COMMAND_LINE_MAX).collect();
    if characters.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn since_unix_ms(then: u64) -> Duration {
    Duration::from_millis(now_unix_ms().saturating_sub(then))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::queue::{Mode, SessionId, State, Ticket};

    pub(crate) fn sample(ticket: u64) -> Record {
        Record {
            claim: Claim {
                ticket: Ticket(ticket),
                session: SessionId(ticket),
                ancestors: vec![],
                mode: Mode::Exclusive,
                state: State::Granted,
            },
            who: Who {
                pid: 4242,
                pid_start: Some(7),
                pid_namespace: None,
                host: "host".into(),
                user: "user".into(),
                command: vec!["/src/x.py".into(), "build".into()],
                directory: "/src".into(),
            },
            label: "build".into(),
            asked_unix_ms: 1,
            granted_unix_ms: Some(2),
            preemptible: false,
            uses: vec![],
            lease: None,
        }
    }

    #[test]
    fn a_record_survives_a_round_trip() {
        let record = sample(17);
        assert_eq!(Record::parse(&record.to_bytes()), Some(record));
    }

    #[test]
    fn a_grant_does_not_change_the_length() {
        let lengths = [None, Some(0), Some(1_790_000_000_000), Some(u64::MAX)].map(|granted_unix_ms| {
            let mut record = sample(17);
            record.claim.state = match granted_unix_ms {
                Some(_) => State::Granted,
                None => State::Waiting,
            };
            record.granted_unix_ms = granted_unix_ms;
            record.uses = vec!["stage0".into()];
            assert_eq!(Record::parse(&record.to_bytes()), Some(record.clone()));
            record.to_bytes().len()
        });
        assert!(lengths.iter().all(|l| *l == lengths[0]), "{lengths:?}");
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let mut value: serde_json::Value = serde_json::from_slice(&sample(1).to_bytes()).unwrap();
        value["later"] = "addition".into();
        assert_eq!(Record::parse(value.to_string().as_bytes()), Some(sample(1)));
    }

    #[test]
    fn truncated_and_oversized_records_are_refused() {
        let bytes = sample(1).to_bytes();
        let end = bytes.trim_ascii_end().len();
        for length in 0..end {
            assert_eq!(Record::parse(&bytes[..length]), None);
        }
        let mut padded = bytes;
        padded.resize(SIZE_MAX + 1, b' ');
        assert_eq!(Record::parse(&padded), None);
        let mut kin = sample(1);
        kin.claim.ancestors = vec![SessionId(9); ANCESTORS_MAX + 1];
        assert_eq!(Record::parse(&kin.to_bytes()), None);
    }

    #[test]
    fn the_command_line_shows_the_program_without_its_folder() {
        assert_eq!(sample(1).command_line(), "x.py build");
    }

    #[test]
    fn the_command_line_is_one_short_line_that_no_terminal_obeys() {
        let shown = |argument: &str| {
            let mut record = sample(1);
            record.who.command[1] = argument.into();
            record.command_line()
        };
        assert_eq!(shown("a\nb\x1b[2Jc"), "x.py a b [2Jc");
        assert_eq!(shown(&"ä".repeat(55)), format!("x.py {}", "ä".repeat(55)));
        assert_eq!(shown(&"ä".repeat(56)), format!("x.py {}…", "ä".repeat(54)));
    }
}
