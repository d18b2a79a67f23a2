//! What a wrapper costs: `cargo bench -p process-tests --bench wrappers`.
//!
//! Prints how long a program takes that does nothing, alone and behind `buildlock run` and a shim, played in turn so that a
//! busy moment meets all of them; and what each of a hundred adds that wait for one lock. Run it on an idle machine.
//! `ROUNDS=n` sets how often; 300 unless set.

#![cfg_attr(unix, expect(clippy::print_stdout, reason = "it prints what it measured"))]

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    measured::starts(folder.path());
    measured::queue(folder.path());
}

#[cfg(unix)]
mod measured {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use buildlock::{Mode, Registry, Request, Session};
    use process_tests::in_turn;

    const QUEUED: u32 = 100;

    /// The optimized program, which is what people install.
    fn buildlock() -> PathBuf {
        let target = Path::new(env!("CARGO_BIN_EXE_pooled"))
            .parent()
            .expect("a folder");
        target.join(format!("buildlock{}", std::env::consts::EXE_SUFFIX))
    }

    fn command(program: &Path, words: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_RUNTIME_DIR", folder);
        command
    }

    pub(super) fn starts(folder: &Path) {
        let (program, session) = (buildlock(), folder.join("session"));
        let dir = session.to_str().expect("a plain path");
        let run = |words: &[&str]| {
            command(
                &program,
                &[&["run", "--dir", dir], words, &["--", "/bin/true"]].concat(),
                folder,
            )
        };
        let mut commands = [
            ("true", command("/bin/true".as_ref(), &[], folder)),
            ("run --shared", run(&["--shared"])),
            ("run --exclusive", run(&["--exclusive"])),
            ("run --rules cargo, no lock", run(&["--rules", "cargo"])),
            ("run --shared --builds 2", run(&["--shared", "--builds", "2"])),
            (
                "run --shared --jobserver pipe",
                run(&["--shared", "--jobserver", "pipe"]),
            ),
            ("a shim", shim(&program, folder)),
        ];
        in_turn::print(&mut commands, 300);
    }

    /// A shim in front of a link to `true`.
    fn shim(program: &Path, folder: &Path) -> Command {
        let bin = folder.join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        std::os::unix::fs::symlink("/bin/true", bin.join("tool")).expect("a link");
        let rules = "about = \"a tool\"\ndefault = \"shared\"\n\
                     [[rule]]\nname = \"looks\"\nprograms = [\"tool\"]\nhold = \"shared\"\n";
        std::fs::write(folder.join("rules.toml"), rules).expect("a file");
        let mut install = command(program, &["shim", "install", "--rules"], folder);
        install
            .arg(folder.join("rules.toml"))
            .arg("--into")
            .arg(&bin)
            .arg("--dir")
            .arg(folder.join("session"));
        in_turn::time(install.stdout(Stdio::null()));
        command(&bin.join("tool"), &[], folder)
    }

    /// A hundred that wait, and then run one after the other.
    pub(super) fn queue(folder: &Path) {
        let queue = folder.join("queue");
        let registry = Registry::open(&queue).expect("a registry");
        let holder = Session::acquire(&registry, Request::new(Mode::Exclusive, "bench")).expect("a lock");
        let words = [
            "run",
            "--exclusive",
            "--dir",
            queue.to_str().expect("a plain path"),
            "--",
            "/bin/true",
        ];
        let start = |_| {
            let mut command = command(&buildlock(), &words, folder);
            command.stderr(Stdio::null()).spawn().expect("it starts")
        };
        let mut waiters: Vec<_> = (0..QUEUED).map(start).collect();
        while registry.snapshot().expect("a status").entries.len() <= waiters.len() {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Until the last has gone to sleep.
        std::thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        holder.release().expect("a clean end");
        for waiter in &mut waiters {
            assert!(waiter.wait().expect("its end").success());
        }
        let each = start.elapsed().as_secs_f64() * 1e3 / f64::from(QUEUED);
        println!("\n{QUEUED} queued `run --exclusive -- true`: {each:.2} ms each, the command included");
    }
}
