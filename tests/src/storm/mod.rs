//! A storm: some hundred processes that take, upgrade, downgrade, nest, give up, are stopped and are killed, at random but
//! from a seed; and a replay of what they noted, that tells whether the lock kept its promises.
//!
//! * [`director`] starts the processes, kills and stops them, and waits for the last to end.
//! * [`actor`] is what one of them does.
//! * [`journal`] is how each notes it, in a file of its own: a grant after it happened, a release before it happens.
//! * [`checker`] replays the union of the journals.

pub mod actor;
pub mod chance;
pub mod checker;
pub mod director;
pub mod journal;
mod processes;
