//! Real clients in one pool: cargo with rustc, GNU make 4.3 over pipes, GNU make 4.4 and ninja over fifos.

#![expect(clippy::print_stdout, reason = "a test tells what took part, and its figures")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use process_tests::tokens::Site;

use crate::site;

/// How many crates, and how many steps of make and ninja, there are to run.
const JOBS: usize = 12;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
    std::fs::write(path, text).expect("room");
}

/// A workspace of crates that can all be compiled at once.
fn cargo(site: &Site) -> Command {
    let root = site.path().join("crates");
    let names = (0..JOBS).map(|n| format!("part{n}"));
    write(
        &root.join("Cargo.toml"),
        "[workspace]\nresolver = \"3\"\nmembers = [\"part*\"]\n",
    );
    for name in names {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
        write(&root.join(&name).join("Cargo.toml"), &manifest);
        let functions = (0..40).map(|n| {
            format!("pub fn f{n}(x: &[u32]) -> String {{ x.iter().map(|x| format!(\"{{x}}\")).collect() }}\n")
        });
        write(
            &root.join(&name).join("src/lib.rs"),
            &functions.collect::<String>(),
        );
    }
    let mut command = site.pooled(&[]);
    command
        .args(["cargo", "build", "--offline"])
        .env("CARGO_TARGET_DIR", root.join("target"));
    command.current_dir(root);
    command
}

/// A command line that the sampler knows by its program's name, and that goes on when the site's gate opens: so that as
/// many run at once as may, however slow the machine. Only what the shell itself can do: what it started would bear its name
/// for a moment, and be counted.
fn step(site: &Site, folder: &str) -> String {
    let program = site.path().join(folder).join("poolstep");
    std::fs::create_dir_all(program.parent().expect("a folder")).expect("room");
    std::fs::copy("/bin/sh", &program).expect("room");
    if !gate(site).exists() {
        rustix::fs::mkfifoat(rustix::fs::CWD, gate(site), rustix::fs::Mode::RWXU).expect("a gate");
    }
    let (go, gate) = (site.path().join("go"), gate(site));
    // To open a fifo is to wait for the other end.
    let script = format!("[ -e {} ] || read x <{}", go.display(), gate.display());
    format!("{} -c '{script} || :'", program.display())
}

fn gate(site: &Site) -> PathBuf {
    site.path().join("gate")
}

/// Lets those go on that wait at the gate now.
fn open_gate(site: &Site) {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    // Where nobody waits this fails, and need not be done.
    drop(
        std::fs::File::options()
            .write(true)
            .custom_flags(nonblocking)
            .open(gate(site)),
    );
}

/// A make with half of its steps under a second make, which must take part, too.
fn make(site: &Site, program: &Path, name: &str, options: &[&str]) -> Command {
    let step = step(site, name);
    let targets: Vec<_> = (0..JOBS).map(|n| format!("t{n}")).collect();
    let (own, nested) = targets.split_at(JOBS / 2);
    let text = format!(
        "all: {} sub\nsub:\n\t+$(MAKE) {}\n{}:\n\t{step}\n.PHONY: all sub {}\n",
        own.join(" "),
        nested.join(" "),
        targets.join(" "),
        targets.join(" ")
    );
    write(&site.path().join(name).join("Makefile"), &text);
    let mut command = site.pooled(options);
    command.arg(program).current_dir(site.path().join(name));
    command
}

fn systems_make(site: &Site) -> Command {
    make(site, Path::new("make"), "make", &[])
}

/// A GNU make that knows fifos: that of the system, or the one that `.ci/run` puts beside it.
fn make_of_fifos() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/clients/bin/make");
    [PathBuf::from("make"), beside]
        .into_iter()
        .find(|make| version(make) >= (4, 4))
}

fn ninja(site: &Site) -> Command {
    let step = step(site, "ninja");
    let steps = (0..JOBS).map(|n| format!("build t{n}: step\n"));
    let text = format!(
        "rule step\n  command = exec {step}\n{}",
        steps.collect::<String>()
    );
    write(&site.path().join("ninja/build.ninja"), &text);
    let mut command = site.pooled(&["--fifo"]);
    command.arg("ninja").current_dir(site.path().join("ninja"));
    command
}

/// Earlier versions are no jobserver clients.
fn has_ninja() -> bool {
    version(Path::new("ninja")) >= (1, 13)
}

/// The first two numbers that a program gives for its version; zeros where there is none.
fn version(program: &Path) -> (u32, u32) {
    let said = Command::new(program).arg("--version").output();
    let said = said
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let mut numbers = said
        .lines()
        .next()
        .unwrap_or_default()
        .split([' ', '.'])
        .filter_map(|word| word.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// How long more jobs may be seen than there are tokens: a compiler that starts a linker is seen twice until the second has
/// become one, and a sampler that is itself kept from the processor sees late what has ended.
const HAND_OVER: Duration = Duration::from_millis(20);

/// Counts the jobs of a site, as the kernel sees them.
struct Sampler<'a> {
    site: &'a Site,
    jobs: usize,
    most: usize,
    /// Since when more are seen than there should be.
    over_since: Option<Instant>,
    samples: usize,
}

impl<'a> Sampler<'a> {
    fn new(site: &'a Site, jobs: usize) -> Self {
        Self {
            site,
            jobs,
            most: 0,
            over_since: None,
            samples: 0,
        }
    }

    #[track_caller]
    fn sample(&mut self) -> usize {
        let now = Instant::now();
        let running = self.running();
        self.samples += 1;
        if running <= self.jobs {
            self.over_since = None;
            self.most = self.most.max(running);
        } else {
            let since = *self.over_since.get_or_insert(now);
            assert!(now.duration_since(since) <= HAND_OVER, "{running} run at once");
        }
        running
    }

    /// Those that belong to the site name it in their command line.
    fn running(&self) -> usize {
        let ours = self.site.path().as_os_str().as_encoded_bytes();
        let processes = std::fs::read_dir("/proc").expect("a proc file system").flatten();
        let is_job = |process: &std::fs::DirEntry| {
            let path = process.path();
            // Whatever cannot be read has ended meanwhile, or is no process.
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            ["rustc", "poolstep"].contains(&name.trim_end())
                && std::fs::read(path.join("cmdline"))
                    .is_ok_and(|line| line.windows(ours.len()).any(|part| part == ours))
        };
        processes.filter(is_job).count()
    }
}

/// Runs all at once, until `jobs` jobs run, and then to their end. Returns what the builds said.
#[track_caller]
fn run(site: &Site, jobs: usize, commands: Vec<Command>) -> Vec<Output> {
    run_past(jobs, site, jobs, commands)
}

/// Like [`run`], but lets them go on as soon as `enough` jobs run.
#[track_caller]
fn run_past(enough: usize, site: &Site, jobs: usize, commands: Vec<Command>) -> Vec<Output> {
    let start = |mut c: Command| {
        c.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program")
    };
    let mut builds: Vec<_> = commands.into_iter().map(start).collect();
    let mut sampler = Sampler::new(site, jobs);
    site.until("as many run as are asked for", || sampler.sample() >= enough);
    write(&site.path().join("go"), "");
    while builds
        .iter_mut()
        .any(|b| b.try_wait().expect("an answer").is_none())
    {
        sampler.sample();
        open_gate(site);
        std::thread::sleep(Duration::from_millis(2));
    }
    let (samples, most) = (sampler.samples, sampler.most);
    println!("at most {most} of {jobs} at once, in {samples} samples");
    let outputs = builds
        .into_iter()
        .map(|b| b.wait_with_output().expect("its words"));
    outputs.collect()
}

/// All kinds of clients, with a cargo.
fn all_clients(site: &Site, cargo: Command) -> Vec<Command> {
    let mut commands = vec![cargo, systems_make(site)];
    match make_of_fifos() {
        Some(program) => commands.push(make(site, &program, "make44", &["--fifo"])),
        None => println!("GNU make 4.4 is not there and takes no part: see .ci/run"),
    }
    if has_ninja() {
        commands.push(ninja(site));
    } else {
        println!("ninja 1.13 is not there and takes no part: pip install -r tests/requirements.txt");
    }
    commands
}

#[track_caller]
fn run_all_clients(site: &Site, jobs: usize, cargo: Command) {
    for output in run(site, jobs, all_clients(site, cargo)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        // There is a crate of that name, which cargo says that it compiles.
        let mut lines = said.lines().filter(|line| !line.contains("Compiling"));
        let complains = lines.any(|line| line.contains("jobserver") || line.contains("warning: "));
        assert!(!complains, "{said}");
    }
    assert!(site.snapshot().entries.is_empty());
}

#[test]
fn cargo_both_makes_and_ninja_together_run_as_many_jobs_as_the_pool_has_tokens() {
    let site = site(4);
    run_all_clients(&site, 4, cargo(&site));
}

/// This repository's own driver, with all that it uses of crates.io.
#[test]
#[ignore = "compiles for a minute: cargo test -p process-tests --test tokens -- --ignored --nocapture"]
fn a_real_workspace_beside_the_other_clients_runs_as_many_jobs_as_the_pool_has_tokens() {
    let site = site(4);
    let mut command = site.pooled(&["--stop-compilers"]);
    command
        .args([
            "cargo",
            "build",
            "--offline",
            "--locked",
            "--package",
            "bootstrap",
            "--profile",
            "driver",
        ])
        .current_dir(process_tests::project::root())
        .env("CARGO_TARGET_DIR", site.path().join("target"));
    let start = Instant::now();
    run_all_clients(&site, 4, command);
    let took = start.elapsed();
    println!("compiled for {:.0} s", took.as_secs_f64());
    assert!(
        took >= Duration::from_secs(30),
        "that was no real workspace: {took:?}"
    );
}

#[test]
fn make_is_told_of_the_pool_and_so_is_the_make_below_it() {
    let site = site(4);
    assert!(run(&site, 4, vec![systems_make(&site)])[0].status.success());
}

#[test]
fn a_make_of_fifos_is_told_of_the_pool() {
    let Some(program) = make_of_fifos() else {
        println!("GNU make 4.4 is not there: see .ci/run");
        return;
    };
    let site = site(4);
    let command = make(&site, &program, "make44", &["--fifo"]);
    assert!(run(&site, 4, vec![command])[0].status.success());
}

#[test]
fn ninja_is_told_of_the_pool() {
    if !has_ninja() {
        println!("ninja 1.13 is not there: pip install -r tests/requirements.txt");
        return;
    }
    let site = site(4);
    // It looks for tokens when it starts and when one of its jobs ends, and does not wait for them in between. No job ends
    // here until as many run as are asked for, so it can only be asked for what was surely there when it started.
    assert!(run_past(2, &site, 4, vec![ninja(&site)])[0].status.success());
}
