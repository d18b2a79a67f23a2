//! What a person sees while a toolchain is fetched.

use std::time::Duration;

use buildlock::CacheHolder;
use indicatif::{ProgressBar, ProgressStyle};

/// How long a step may take before it is worth a line.
const WORTH_A_LINE: Duration = Duration::from_millis(200);

/// Something that happens on the way to a toolchain.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Somebody else fills the cache; told again every second.
    Waiting(Option<&'a CacheHolder>),
    /// A file is coming.
    Downloading {
        /// Its name.
        name: &'a str,
        /// How many bytes are here.
        done: u64,
        /// How many there will be, where the server says so.
        total: Option<u64>,
    },
    /// The server did not deliver, and is asked again.
    Retrying {
        /// The file's name.
        name: &'a str,
        /// Why.
        why: &'a str,
    },
    /// An archive is unpacked.
    Unpacking {
        /// Its name.
        name: &'a str,
    },
    /// All is in place.
    Done,
}

/// Shows [`Event`]s on stderr: as a bar on a terminal, as a line for each step elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    step: String,
}

impl Progress {
    /// Shows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            step: String::new(),
        }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Waiting(holder) => {
                let whom = holder.map_or_else(|| "another ./x".to_owned(), ToString::to_string);
                self.step(&format!("waiting for {whom} to fill the cache"));
            }
            Event::Downloading { name, done, total } => {
                self.step(&format!("downloading {name}"));
                self.advance(*done, *total);
            }
            Event::Retrying { name, why } => self.line(&format!("downloading {name} again: {why}")),
            Event::Unpacking { name } => self.step(&format!("unpacking {name}")),
            Event::Done => self.bar.finish_and_clear(),
        }
    }

    /// A step's text. Elsewhere than on a terminal it is printed once; there, it is replaced by the next.
    fn step(&mut self, text: &str) {
        // What changes while one waits is how long, which is not worth a line each second in a log.
        let same = self.step.split(" (").next() == text.split(" (").next();
        if !same && self.bar.is_hidden() {
            anstream::eprintln!("{text}");
        }
        if self.step != text {
            text.clone_into(&mut self.step);
            self.bar.set_message(self.step.clone());
            self.bar.enable_steady_tick(WORTH_A_LINE);
        }
    }

    fn advance(&mut self, done: u64, total: Option<u64>) {
        let mib = |bytes: u64| bytes >> 20;
        let text = match total {
            Some(total) if total > 0 => {
                format!(
                    "{} ({} of {} MiB, {} %)",
                    self.step,
                    mib(done),
                    mib(total),
                    100 * done / total
                )
            }
            _ => format!("{} ({} MiB)", self.step, mib(done)),
        };
        self.bar.set_message(text);
    }

    fn line(&mut self, text: &str) {
        if self.bar.is_hidden() {
            anstream::eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
