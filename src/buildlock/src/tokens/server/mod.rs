//! The private jobserver that one build serves to its children: where the tokens are that it leases.
//!
//! `unix.rs` and `semaphore.rs` implement one set of names. What they must give the broker:
//!
//! * `put` and `take` move tokens into it and out of it, and never block; `take` gets what lies there, at most.
//! * `lying` says how many tokens lie in it, cheaply.
//! * `returned` hands over the tokens that children gave back *and that do not lie in it*: with a pipe, all of them. The
//!   children write to another pipe than the one that they read from, which the protocol allows (they are told the two
//!   descriptors), so that the broker decides about each token that comes back, before a hungry sibling takes it.
//! * `call_in` asks for that many tokens where children compete for them: with a fifo or a semaphore, which they take from
//!   and return to, a thread stands in the same queue as the children.
//! * `stop_compilers`, `call_compilers`, `stopped` and `let_pass` are those of the turnstile, which holds back the jobs of
//!   clients that do not give their tokens back.
//! * `wait` sleeps until a token has been returned or a job has stopped that way, `wake` is called, or the time is over; where
//!   it was the last, neither `returned` nor `stopped` needs to be asked.

use std::path::Path;

use crate::error::Error;

mod collector;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::{Server, Token, nonblocking, pipe, read_some};

#[cfg(not(unix))]
mod semaphore;
#[cfg(not(unix))]
pub(super) use semaphore::{Server, Token};

/// What kind of jobserver to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// What most programs know: a pipe on Unix, a semaphore on Windows.
    Auto,
    /// A pair of pipes, inherited by descriptor. Known to cargo, rustc and every GNU make; not to ninja, and lost behind
    /// programs that close what they inherit, as Python's `subprocess` does.
    Pipe,
    /// A named fifo in the pool's folder. Known to cargo, rustc, ninja from 1.13 and GNU make from 4.4; an earlier GNU make
    /// takes it for an error.
    Fifo,
}

fn failed(folder: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| Error::io("cannot serve a jobserver for the token pool", folder, e)
}

/// The words that tell children of a jobserver, as GNU make writes them.
pub(super) fn auth_words(auth: &str) -> String {
    if auth.starts_with("fifo:") {
        return format!("-j --jobserver-auth={auth}");
    }
    // The second is what make before 4.2 reads. Such a make knows no fifo, and some ninja takes the word for a pipe's.
    format!("-j --jobserver-auth={auth} --jobserver-fds={auth}")
}

/// A fifo's path stands in a list of words, so it must not fall apart into several.
#[cfg(unix)]
fn one_word(path: &Path) -> crate::error::Result<&str> {
    use crate::error::ErrorKind;
    path.to_str()
        .filter(|p| !p.contains(char::is_whitespace) && !p.contains(['\\', '$', '#']))
        .ok_or_else(|| {
            Error::new(ErrorKind::Misuse, "a jobserver's fifo cannot have the path")
                .at(path)
                .advice("MAKEFLAGS is a list of words; put the pool into a folder whose path has no space, or use pipes")
        })
}
