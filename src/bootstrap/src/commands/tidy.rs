//! `tidy`: holds the sources to the rules of this repository, and other workspaces to those that nobody objects to.

use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::tidy::{self, Rules};
use crate::workspace::Workspace;

pub(super) fn run(ctx: &Context) -> Result<Exit> {
    let mut exit = Exit::Done;
    for workspace in Workspace::all(&ctx.config) {
        ctx.interrupts.check()?;
        let rules = if workspace.folder == ctx.config.root {
            Rules::Own
        } else {
            Rules::Generic
        };
        let report = tidy::look(&workspace.folder, &ctx.config.build.build_dir, rules)?;
        for finding in &report.findings {
            ctx.shell.plain(finding);
        }
        let files = report.files;
        match report.findings.len() {
            0 => ctx.shell.status(
                "Tidy",
                format_args!("{files} files in {}", workspace.folder.display()),
            ),
            count => {
                ctx.shell.warn(format_args!(
                    "{count} findings in {files} files of {}",
                    workspace.folder.display()
                ));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}
