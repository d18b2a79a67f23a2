//! The git hook: `./x tidy` before a push.

use super::written::sign;

/// How long the hook waits for whoever holds the build directory, in seconds. A push is not worth a longer wait, and
/// `git push --no-verify` does without.
pub const LOCK_TIMEOUT_SECS: u32 = 60;

/// The hook's text.
#[must_use]
pub fn text() -> String {
    let text = format!(
        "#!/bin/sh\n\
         # Written by `./x setup hook`, which updates it as long as nobody edits it. sha256:@sum@\n\
         # Holds the sources to the repository's own rules before a push; `git push --no-verify` goes without.\n\
         # Git tells hooks about its repository in the environment, which is of no use to what ./x runs.\n\
         unset $(git rev-parse --local-env-vars)\n\
         exec ./x tidy --lock-timeout {LOCK_TIMEOUT_SECS}\n"
    );
    sign(&text, "@sum@")
}
