//! Storms over other file systems, and across pid namespaces.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::{alone, expect_calm, storm};

#[test]
fn storms_pass_over_tmpfs() {
    let _alone = alone();
    let folder = match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folder,
        Err(e) => return skip("tmpfs", &e.to_string()),
    };
    expect_calm(&mut calm_in(folder.path(), "2"));
}

#[test]
fn storms_pass_over_overlayfs() {
    let _alone = alone();
    let home = tempfile::tempdir().expect("a temporary folder");
    // The layers are on a tmpfs of their own: an overlay cannot have another overlay, as in a container, below it.
    let mount = "mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir lower upper work merged && \
                 mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged";
    mounted(home.path(), mount, "overlayfs");
}

#[test]
fn storms_pass_over_ext4() {
    let _alone = alone();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mount = "cd \"$0\" && truncate -s 64M image && mkfs.ext4 -q image && mkdir merged && mount -o loop image merged";
    mounted(home.path(), mount, "ext4 on a loop device");
}

#[test]
fn storms_pass_across_pid_namespaces() {
    let _alone = alone();
    let mut probe = Command::new("unshare");
    if let Some(why) = refused(probe.args(["--pid", "--fork", "--kill-child", "true"])) {
        return skip("pid namespace", &why);
    }
    expect_calm(&mut storm(&[
        "--processes",
        "40",
        "--seconds",
        "2",
        "--seed",
        "4",
        "--pid-namespaces",
    ]));
}

fn calm_in(folder: &Path, seconds: &str) -> Command {
    let mut command = storm(&["--processes", "60", "--seed", "2", "--seconds", seconds]);
    command.arg("--folder").arg(folder.join("session"));
    command
}

/// Makes a storm over `home/merged`, which `mount` mounts in a mount namespace of its own.
#[track_caller]
fn mounted(home: &Path, mount: &str, what: &str) {
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(home);
        command
    };
    if let Some(why) = refused(&mut in_namespace(&format!("{mount} && umount \"$0\"/merged"))) {
        return skip(what, &why);
    }
    let storm = calm_in(&home.join("merged"), "2");
    let mut command = in_namespace(&format!("rm -rf \"$0\"/* && {mount} && exec \"$@\""));
    command.arg(storm.get_program()).args(storm.get_args());
    expect_calm(&mut command);
}

/// Why a mount or a namespace cannot be had, where it cannot: in a container, or without being root.
fn refused(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Some(e.to_string()),
    }
}

fn skip(what: &str, why: &str) {
    drop(writeln!(std::io::stdout(), "skipped: no {what} here: {why}"));
}
