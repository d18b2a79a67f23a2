//! What `./x setup` writes for a person: an editor's settings, a git hook, a first `bootstrap.toml`.
//!
//! All of it lies in files that the person may edit, and then they are the person's: see [`written`].

pub mod editor;
pub mod hook;
pub mod profile;
pub mod question;
pub mod written;
