//! Two cargos in a pool of two: cargo keeps its tokens while it has work for them, so its compilers stop at a turnstile.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use process_tests::script::make_named_pipe;
use process_tests::tokens::{Build, Site};

use crate::site;

const CRATES: usize = 8;

/// A cargo whose compilers can be held back: each notes its start, waits until the gate is opened for it, and notes its end.
struct Held<'a> {
    site: &'a Site,
    root: PathBuf,
    name: &'static str,
}

impl<'a> Held<'a> {
    fn new(site: &'a Site, name: &'static str) -> Self {
        let root = site.path().join(name);
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            std::fs::write(path, text).expect("room");
        };
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"part*\"]\n",
        );
        for n in 0..CRATES {
            let manifest =
                format!("[package]\nname = \"part{n}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
            write(&format!("part{n}/Cargo.toml"), &manifest);
            write(&format!("part{n}/src/lib.rs"), "");
        }
        let (log, gate) = (site.path().join(format!("log.{name}")), root.join("gate"));
        make_named_pipe(&gate);
        // cargo asks the compiler about itself first, and not for any crate of ours. A line of the log is one write.
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *'--crate-name part'*) ;; *) exec \"$@\" ;; esac\n\
             say() {{ echo \"$(date +%s%N) {name} $1\" >>{}; }}\n\
             echo \"/proc/$$/fd/${{BUILDLOCK_TURNSTILE%%:*}}\" >{}\n\
             say +1\nread x <{}\n\"$@\"; status=$?\nsay -1\nexit $status\n",
            log.display(),
            root.join("calls").display(),
            gate.display()
        );
        write("wrapper", &script);
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(root.join("wrapper"), executable).expect("a mode");
        Self { site, root, name }
    }

    /// Both ways, so that neither opening nor writing waits.
    fn gate(&self) -> File {
        let mut options = File::options();
        let gate = options.read(true).write(true).open(self.root.join("gate"));
        gate.expect("a gate")
    }

    fn start(&self, options: &[&str]) -> Build {
        let mut command: Command = self.site.pooled(options);
        command
            .args(["cargo", "build", "--offline", "--quiet"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env("RUSTC_WRAPPER", self.root.join("wrapper"))
            .stdin(Stdio::null());
        Build::start(&mut command)
    }

    fn started(&self) -> usize {
        self.site.log().starts_of(self.name)
    }

    /// Waits until the broker has called for a compiler: who comes next to the turnstile stops.
    fn is_called(&self) {
        let calls = std::fs::read_to_string(self.root.join("calls")).expect("a compiler waits");
        let calls = File::open(calls.trim()).expect("the compiler inherited it");
        let unread = || rustix::io::ioctl_fionread(&calls).expect("a number");
        self.site.until("a compiler is called", || unread() > 0);
    }

    /// Lets one compiler go on that waits at the gate.
    fn let_one_go(&self) {
        let gate = self.gate();
        (&gate).write_all(b"\n").expect("room in the fifo");
        // What nobody has read is gone when the last that has the fifo open closes it.
        let unread = || rustix::io::ioctl_fionread(&gate).expect("a number");
        self.site.until("a compiler goes on", || unread() == 0);
    }

    /// Lets all go on, to the end.
    fn finish(&self, build: Build) {
        let gate = self.gate();
        (&gate).write_all(&[b'\n'; CRATES]).expect("room in the fifo");
        assert!(build.wait().success());
    }
}

/// How many compilers of a cargo that has the whole pool end before another cargo gets its first token; nothing if none of
/// those that it can do without is enough.
fn ends_until_a_second_cargo_joins(options: &[&str]) -> Option<usize> {
    let site = site(2);
    let (old, new) = (Held::new(&site, "old"), Held::new(&site, "new"));
    let first = old.start(options);
    site.until("it has both tokens", || old.started() == 2);
    let mut second = new.start(options);
    site.until("the other waits", || site.snapshot().entries.len() == 2);
    if !options.is_empty() {
        old.is_called();
    }
    let has_joined = || site.snapshot().entries[1].lease.held > 0;
    let mut ends = None;
    for n in 1..=CRATES - 3 {
        let before = old.started();
        old.let_one_go();
        site.until("the token is used again", || {
            has_joined() || old.started() > before
        });
        if has_joined() {
            ends = Some(n);
            break;
        }
    }
    if ends.is_some() {
        second.expect("joined");
        site.until("it compiles", || new.started() == 1);
    }
    old.finish(first);
    new.finish(second);
    let log = site.log();
    assert_eq!(log.most_at_once(), 2, "{options:?}");
    assert_eq!((old.started(), new.started()), (CRATES, CRATES));
    ends
}

#[test]
fn a_second_cargo_gets_its_first_token_when_one_compiler_of_the_first_ends() {
    for style in [&["--stop-compilers"][..], &["--stop-compilers", "--fifo"]] {
        assert_eq!(ends_until_a_second_cargo_joins(style), Some(1), "{style:?}");
    }
}

#[test]
fn without_a_turnstile_cargo_keeps_its_token_while_it_has_work() {
    assert_eq!(ends_until_a_second_cargo_joins(&[]), None);
}
