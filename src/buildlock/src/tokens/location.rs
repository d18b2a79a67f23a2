//! Where a user's pool is: the same folder for all checkouts, worktrees and terminals of the user.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// The folder of the pool that all builds of this user share: `$XDG_RUNTIME_DIR/buildlock/pool`, or one in the system's
/// folder for temporary files where the session manager made no runtime folder for this user.
///
/// # Errors
/// [`ErrorKind::NotPrivate`] where somebody else made the folder that is to be ours, [`ErrorKind::Io`] where none can be
/// made.
pub fn user_pool_folder() -> Result<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    pool_folder_in(runtime.as_deref(), &std::env::temp_dir())
}

fn pool_folder_in(runtime: Option<&Path>, temporary: &Path) -> Result<PathBuf> {
    // `sudo` may leave the variable of the user that we no longer are: such a folder is not ours to use.
    let ours = |path: &&Path| path.is_absolute() && matches!(sys::not_mine(path), Ok(None));
    let home = match runtime.filter(ours) {
        Some(runtime) => runtime.join("buildlock"),
        None => temporary.join(format!("buildlock-{}", sys::user_number())),
    };
    // Whoever owns a folder can put another in the place of what is in it, so this one is checked as strictly.
    sys::create_private_folder(&home)
        .map_err(|e| Error::io("cannot create the folder of the token pool", &home, e))?;
    match sys::not_mine(&home) {
        Ok(None) => Ok(home.join("pool")),
        Ok(Some(why)) => Err(
            Error::new(ErrorKind::NotPrivate, "refusing to use the token pool in")
                .at(&home)
                .advice(format!("{why}; choose another folder for the pool")),
        ),
        Err(e) => Err(Error::io("cannot look at the folder of the token pool", &home, e)),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_runtime_folder_is_preferred_and_a_folder_of_ones_own_is_made_elsewhere() {
        let (runtime, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let within = |path: Option<&Path>| pool_folder_in(path, temporary.path()).unwrap();
        assert_eq!(
            within(Some(runtime.path())),
            runtime.path().join("buildlock/pool")
        );
        let fallback = within(None);
        assert!(fallback.starts_with(temporary.path()));
        assert_eq!(within(Some(Path::new("relative"))), fallback);
        assert_eq!(within(Some(&runtime.path().join("missing"))), fallback);
        let mode = std::fs::metadata(fallback.parent().unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[test]
    fn a_folder_that_others_may_write_to_or_that_is_a_link_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let planted = temporary.path().join(format!("buildlock-{}", sys::user_number()));
        let refused = || pool_folder_in(None, temporary.path()).unwrap_err().kind();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), &planted).unwrap();
        assert_eq!(refused(), ErrorKind::NotPrivate);
        std::fs::remove_file(&planted).unwrap();
        std::fs::create_dir(&planted).unwrap();
        std::fs::set_permissions(&planted, PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(refused(), ErrorKind::NotPrivate);
    }
}
