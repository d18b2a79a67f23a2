//! `setup`: a profile, an editor's settings, a git hook. Shows what it would change, and never touches what is not its own.
//! Who thinks about a question keeps nobody waiting: only a write is done under the session.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum as _;

use crate::aside;
use crate::components;
use crate::config::profile_names;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::{Editor, SetupArgs, SetupCommand, SetupEditorArgs};
use crate::hold::Hold;
use crate::recover;
use crate::setup::question::{can_ask, choose, confirm};
use crate::setup::written::{Found, diff, look};
use crate::setup::{editor, hook, profile};
use crate::stage0::Component;
use crate::suggest::closest;

pub(super) fn run(ctx: &mut Context, args: &SetupArgs) -> Result<Exit> {
    match &args.what {
        Some(SetupCommand::Editor(args)) => set_up_editor(ctx, args),
        Some(SetupCommand::Hook) => set_up_hook(ctx),
        Some(SetupCommand::Profile(args)) => set_up_profile(ctx, args.name.as_deref()),
        None if can_ask(ctx) => set_up_all(ctx),
        None => Err(Error::usage("there is nobody to ask what to set up")
            .advice("say `setup profile NAME`, `setup editor NAME` or `setup hook`")),
    }
}

fn set_up_all(ctx: &mut Context) -> Result<Exit> {
    let profile = set_up_profile(ctx, None)?;
    let editor = set_up_editor(ctx, &SetupEditorArgs::default())?;
    let hook = if confirm(ctx, "Run `./x tidy` before each push, by a git hook?")? {
        set_up_hook(ctx)?
    } else {
        Exit::Done
    };
    Ok(profile.or(editor).or(hook))
}

fn set_up_profile(ctx: &mut Context, name: Option<&str>) -> Result<Exit> {
    let root = &ctx.config.root;
    let file = root.join(profile::FILE);
    let Some(names) = profiles_to_choose(root, name)? else {
        ctx.shell.note(format_args!(
            "`{}` is there already and stays as it is; `profile = \"NAME\"` in it chooses a profile",
            file.display()
        ));
        return Ok(Exit::Done);
    };
    let name = match name {
        Some(name) => name.to_owned(),
        None if can_ask(ctx) => {
            let choices: Vec<_> = names
                .iter()
                .map(|name| (name.clone(), profile::purpose(root, name)))
                .collect();
            match choose(ctx, "Which profile should bootstrap.toml start from?", &choices)? {
                Some(chosen) => choices[chosen].0.clone(),
                None => return Ok(Exit::Done),
            }
        }
        None => return Err(Error::usage("say which profile, such as `setup profile dev`")),
    };
    put(ctx, &file, "", &profile::text(&name)).map(|_| Exit::Done)
}

/// The profiles that there are; nothing where a `bootstrap.toml` stands already. A name of none of them is an error in
/// either case.
fn profiles_to_choose(root: &Path, name: Option<&str>) -> Result<Option<BTreeSet<String>>> {
    let names = profile_names(root).map_err(|e| Error::io("cannot list the profiles below", root, e))?;
    if let Some(name) = name.filter(|&name| !names.contains(name)) {
        let known: Vec<_> = names.iter().map(String::as_str).collect();
        let advice = closest(name, known.iter().copied()).map_or_else(
            || format!("known are {}", known.join(", ")),
            |close| format!("did you mean `{close}`?"),
        );
        return Err(Error::usage(format!("there is no profile `{name}`")).advice(advice));
    }
    Ok((!root.join(profile::FILE).exists()).then_some(names))
}

fn set_up_editor(ctx: &mut Context, args: &SetupEditorArgs) -> Result<Exit> {
    let editor = match args.name {
        Some(editor) => editor,
        None if can_ask(ctx) && !args.print && !args.check => {
            let editors = Editor::value_variants();
            let choices: Vec<_> = editors
                .iter()
                .map(|editor| (editor.name(), format!("writes {}", editor.file())))
                .collect();
            match choose(ctx, "Which editor's settings should go through ./x?", &choices)? {
                Some(chosen) => editors[chosen],
                None => return Ok(Exit::Done),
            }
        }
        None => return Err(Error::usage("say which editor, such as `setup editor vscode`")),
    };
    // The settings name rustfmt by its path. Who only wants to see them gets nothing downloaded for it.
    let rustfmt = if args.print || args.check {
        components::find(ctx, Component::Rustfmt).and_then(|found| {
            let missing = || Error::environment("it is not there; `./x fmt` fetches it");
            found.then_some(()).ok_or_else(missing)
        })
    } else {
        components::provide(ctx, Component::Rustfmt)
    };
    if let Err(e) = rustfmt {
        ctx.interrupts.check()?;
        ctx.shell
            .warn(format_args!("the settings leave out rustfmt: {e}"));
    }
    let text = editor::settings(editor, &ctx.config, &ctx.launch.rustc)?;
    if args.print {
        return io::stdout()
            .write_all(text.as_bytes())
            .map(|()| Exit::Done)
            .map_err(|e| Error::environment("cannot write the settings to stdout").because(e));
    }
    let path = ctx.config.root.join(editor.file());
    let command = format!("setup editor {}", editor.name());
    if args.check {
        return check(ctx, &path, &text, &command);
    }
    let exit = update(
        ctx,
        &path,
        &text,
        &format!("`./x {command} --print` shows what to put there"),
    )?;
    if editor == Editor::Neovim && exit == Exit::Done {
        ctx.shell
            .note("Neovim reads it after `:set exrc` and, once, `:trust`");
    }
    Ok(exit)
}

fn set_up_hook(ctx: &mut Context) -> Result<Exit> {
    let path = hook_path(&ctx.config.root)?;
    let exit = update(
        ctx,
        &path,
        &hook::text(),
        "call `./x tidy --lock-timeout 60` in it",
    )?;
    #[cfg(unix)]
    if path.exists() && exit == Exit::Done {
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, executable).map_err(|e| Error::io("cannot make executable", &path, e))?;
    }
    Ok(exit)
}

/// Where git looks for the hook of this repository.
fn hook_path(root: &Path) -> Result<PathBuf> {
    let ask = |words: &[&str]| {
        let said = Command::new("git")
            .arg("rev-parse")
            .args(words)
            .current_dir(root)
            .output()
            .ok()?;
        let path = String::from_utf8(said.stdout)
            .ok()
            .filter(|_| said.status.success())?;
        Some(root.join(path.trim_end_matches(['\r', '\n'])))
    };
    let none = || Error::environment("git knows no repository at").at(root);
    let hook = ask(&["--git-path", "hooks/pre-push"]).ok_or_else(none)?;
    let repository = ask(&["--git-common-dir"]).ok_or_else(none)?;
    if hook.starts_with(&repository) {
        return Ok(hook);
    }
    Err(
        Error::usage("refusing to write a hook outside of the repository, as")
            .at(hook)
            .advice("git's `core.hooksPath` leads there, and other repositories may use it, too"),
    )
}

/// Says whether a file is what would be written.
fn check(ctx: &Context, path: &Path, text: &str, command: &str) -> Result<Exit> {
    let found = look(path, text).map_err(|e| Error::io("cannot read", path, e))?;
    let what = match found {
        Found::Current => {
            ctx.shell.status("Current", path.display());
            return Ok(Exit::Done);
        }
        Found::Nothing => "is not there",
        Found::Outdated(_) => "is out of date",
        Found::Theirs(_) => "was written or edited by somebody else, so ./x does not keep it current",
    };
    ctx.shell
        .warn(format_args!("`{}` {what}; see `./x {command}`", path.display()));
    Ok(Exit::Failed)
}

/// Brings a file up to date that is ours, or not there yet.
fn update(ctx: &mut Context, path: &Path, text: &str, otherwise: &str) -> Result<Exit> {
    match look(path, text).map_err(|e| Error::io("cannot read", path, e))? {
        Found::Current => {
            ctx.shell.status("Current", path.display());
            Ok(Exit::Done)
        }
        Found::Nothing => put(ctx, path, "", text),
        Found::Outdated(old) => put(ctx, path, &old, text),
        Found::Theirs(_) => {
            ctx.shell.warn(format_args!(
                "`{}` was written or edited by somebody else and stays as it is; {otherwise}",
                path.display()
            ));
            Ok(Exit::Failed)
        }
    }
}

/// Shows the difference, asks if somebody is there, and writes.
fn put(ctx: &mut Context, path: &Path, old: &str, new: &str) -> Result<Exit> {
    let name = path
        .strip_prefix(&ctx.config.root)
        .unwrap_or(path)
        .display()
        .to_string();
    ctx.shell.plain(diff(old, new, &name).trim_end());
    if ctx.flags.dry_run {
        return Ok(Exit::Done);
    }
    if can_ask(ctx) && !confirm(ctx, &format!("Write {name}?"))? {
        return Ok(Exit::Done);
    }
    ctx.hold = Hold::take_to_write(ctx, "setup")?;
    recover::after_a_crash(ctx)?;
    // Somebody may have written it while the question stood.
    if fs::read_to_string(path).unwrap_or_default() != old {
        return Err(Error::environment("somebody changed meanwhile")
            .at(path)
            .advice("try again"));
    }
    aside::write(path, new.as_bytes()).map_err(|e| Error::io("cannot write", path, e))?;
    ctx.hold.let_go()?;
    ctx.shell.status("Wrote", path.display());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let status = Command::new("git")
            .args(words)
            .current_dir(folder)
            .status()
            .unwrap();
        assert!(status.success(), "git {words:?}");
    }

    #[test]
    fn a_profile_that_there_is_not_is_told_where_a_bootstrap_toml_stands_too() {
        let root = tempfile::tempdir().unwrap();
        let defaults = root.path().join("src/bootstrap/defaults");
        fs::create_dir_all(&defaults).unwrap();
        fs::write(defaults.join("bootstrap.dev.toml"), "").unwrap();
        let choose = |name| profiles_to_choose(root.path(), Some(name));
        assert!(choose("dev").unwrap().is_some());
        fs::write(root.path().join(profile::FILE), "").unwrap();
        assert!(choose("dev").unwrap().is_none());
        let error = choose("nosuch").unwrap_err();
        assert_eq!(error.to_string(), "there is no profile `nosuch`");
    }

    #[test]
    #[cfg_attr(windows, ignore = "there is no git in wine")]
    fn the_hook_lies_in_the_repository_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(hook_path(folder.path()).unwrap_err().exit(), Exit::Environment);
        git(folder.path(), &["init", "-q"]);
        assert_eq!(
            hook_path(folder.path()).unwrap(),
            folder.path().join(".git/hooks/pre-push")
        );
        git(folder.path(), &["config", "core.hooksPath", "/somewhere/else"]);
        let error = hook_path(folder.path()).unwrap_err();
        assert!(error.help().unwrap().contains("core.hooksPath"), "{error}");
    }
}
