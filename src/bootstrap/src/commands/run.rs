//! `run`: builds a program, lets go of the build directory, and becomes the program.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::cargo::Cargo;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::RunArgs;
use crate::launch;
use crate::messages::{self, Forward};
use crate::workspace::{self, Chosen, Member, Packages, Workspace};

pub(super) fn run(ctx: &mut Context, args: &RunArgs) -> Result<Exit> {
    let workspaces = Workspace::all(&ctx.config);
    let (member, program) = choose(ctx, &workspaces, args.name.as_deref())?;
    let one = Chosen {
        workspace: workspaces[member.workspace].clone(),
        packages: Packages::Only(vec![member.package]),
    };
    let cargo = Cargo::building(ctx, "build", &one)
        .in_configured_profile()
        .arg("--bin")
        .arg(&program);
    let mut executable = None;
    let exit = messages::read(ctx, cargo, Forward::Never, |artifact| {
        if artifact.target.is_bin() && artifact.target.name == program {
            executable = artifact.executable.map(PathBuf::from);
        }
    })?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    ctx.hold.built()?;
    match executable {
        Some(executable) => become_program(ctx, Command::new(executable).args(&args.rest)),
        None if ctx.flags.dry_run => {
            ctx.announce(Command::new(program).args(&args.rest));
            Ok(Exit::Done)
        }
        None => Err(Error::bug(format!(
            "cargo built `{program}` and does not say where"
        ))),
    }
}

fn choose(ctx: &Context, workspaces: &[Workspace], name: Option<&OsStr>) -> Result<(Member, String)> {
    let members = workspace::members(ctx, workspaces)?;
    if let Some(name) = name.and_then(OsStr::to_str) {
        let mut of_that_name = members
            .iter()
            .filter(|member| member.programs.iter().any(|program| program == name));
        if let (Some(member), None) = (of_that_name.next(), of_that_name.next()) {
            return Ok((member.clone(), name.to_owned()));
        }
    }
    let candidates = match name {
        None => members,
        Some(name) => workspace::pick_members(name, members)?,
    };
    only_program(candidates)
}

/// The program to run if nobody names one: the only one there is, or the one that a package says is meant.
fn only_program(members: Vec<Member>) -> Result<(Member, String)> {
    let programs: Vec<_> = members
        .iter()
        .flat_map(|member| member.programs.iter().map(move |program| (member, program)))
        .collect();
    let meant: Vec<_> = programs
        .iter()
        .copied()
        .filter(|(member, program)| member.default_run.as_ref() == Some(*program))
        .collect();
    match (programs.as_slice(), meant.as_slice()) {
        ([(member, program)], _) | (_, [(member, program)]) => Ok(((*member).clone(), (*program).clone())),
        ([], _) => Err(Error::usage("there is no program to run")),
        (several, _) => {
            let names: Vec<_> = several
                .iter()
                .map(|(_, program)| format!("`{program}`"))
                .collect();
            Err(Error::usage("there are several programs to run")
                .advice(format!("name one of {}", names.join(", "))))
        }
    }
}

#[cfg(unix)]
fn become_program(ctx: &Context, command: &mut Command) -> Result<Exit> {
    use std::os::unix::process::CommandExt as _;

    if ctx.shell.is_verbose() {
        ctx.announce(command);
    }
    launch::forget_launch(command);
    ctx.interrupts.check()?;
    let refused = command.exec();
    Err(Error::environment("cannot become")
        .at(command.get_program())
        .because(refused))
}

/// Without `exec`, the driver stays as the program's parent, and ends as the program does.
#[cfg(not(unix))]
fn become_program(ctx: &Context, command: &mut Command) -> Result<Exit> {
    if ctx.shell.is_verbose() {
        ctx.announce(command);
    }
    launch::forget_launch(command);
    let status = command
        .status()
        .map_err(|e| crate::interrupt::cannot_start(command, e))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(Exit::Failed, Exit::Program))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn member(name: &str, programs: &[&str], default_run: Option<&str>) -> Member {
        Member {
            workspace: 0,
            id: String::new(),
            package: Package {
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
            },
            folder: name.into(),
            programs: programs.iter().map(|&program| program.to_owned()).collect(),
            default_run: default_run.map(str::to_owned),
            is_handed_out: true,
        }
    }

    #[test]
    fn the_only_program_or_the_one_that_is_meant_by_default_is_run() {
        let one = only_program(vec![member("a", &[], None), member("b", &["p"], None)]).unwrap();
        assert_eq!(one.1, "p");
        let meant = only_program(vec![
            member("a", &["p", "q"], Some("q")),
            member("b", &["r"], None),
        ])
        .unwrap();
        assert_eq!((meant.0.package.name.as_str(), meant.1.as_str()), ("a", "q"));
    }

    #[test]
    fn several_programs_are_named_and_none_is_said() {
        let several = only_program(vec![member("a", &["p", "q"], None)]).unwrap_err();
        assert_eq!(several.help(), Some("name one of `p`, `q`"));
        let none = only_program(vec![member("a", &[], None)]).unwrap_err();
        assert_eq!(none.to_string(), "there is no program to run");
    }
}
