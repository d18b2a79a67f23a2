//! A build that takes part in a token pool: what a driver does, and nothing else.
//!
//! `pooled POOL CAPACITY [OPTION]... -- PROGRAM [ARGUMENT]...` joins, says `joined` on stdout, runs the program as a client of
//! its jobserver, and ends as that does. Under a jobserver that works it joins nothing. In front of a cargo's compilers it is
//! the turnstile.
//!
//! Options: `--fifo`, `--weight N`, `--jobs-max N`, `--stop-compilers`, `--min-free-memory BYTES`, `--max-stall PERCENT`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "that is how it talks to the test"
)]

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::str::FromStr;

use buildlock::tokens::{Joining, MemoryLimits, Outer, Style, TokenPool, Weight};

fn main() -> ExitCode {
    #[cfg(unix)]
    if let Some(error) = buildlock::tokens::stand_before_compiler() {
        panic!("cannot start the compiler: {error}");
    }
    let mut arguments = std::env::args_os().skip(1);
    let pool = arguments.next().expect("a pool");
    let capacity = number(arguments.next());
    let (mut joining, mut memory) = (Joining::new("pooled"), MemoryLimits::OFF);
    let (mut style, mut stops_compilers) = (Style::Auto, false);
    loop {
        let option = arguments.next().expect("options, `--`, and a program");
        match option.to_str() {
            Some("--fifo") => style = Style::Fifo,
            Some("--stop-compilers") => stops_compilers = true,
            Some("--weight") => joining = joining.weight(Weight::new(number(arguments.next()))),
            Some("--jobs-max") => joining = joining.jobs_max(number(arguments.next())),
            Some("--min-free-memory") => memory.available_bytes_min = Some(number(arguments.next())),
            Some("--max-stall") => memory.stall_percent_max = Some(number(arguments.next())),
            Some("--") => break,
            _ => panic!("what is {option:?}?"),
        }
    }
    let mut command = Command::new(arguments.next().expect("a program"));
    command.args(arguments);
    buildlock::die_with_parent(&mut command);
    let server = match Outer::from_environment() {
        Outer::Served(_) => None,
        outer => {
            if let Outer::Broken(why) = outer {
                eprintln!("broken: {why}");
            }
            let pool = TokenPool::open(pool, capacity).expect("a pool");
            let member = pool.join(joining.memory_limits(memory)).expect("a first token");
            if let Some(other) = member.other_capacity() {
                println!("capacity {other}");
            }
            Some(member.serve(style).expect("a jobserver"))
        }
    };
    if let Some(server) = &server {
        server.configure(&mut command);
        if stops_compilers {
            let me = std::env::current_exe().expect("a path");
            server
                .stop_compilers_with(&me, &mut command)
                .expect("a turnstile");
        }
    }
    println!("joined");
    let status = command.status().expect("a program that starts");
    if let Some(server) = server {
        server.end().expect("a clean end");
    }
    ExitCode::from(u8::try_from(status.code().unwrap_or(128)).unwrap_or(1))
}

fn number<N: FromStr>(text: Option<OsString>) -> N {
    let text = text.expect("a number");
    text.to_str().and_then(|t| t.parse().ok()).expect("a number")
}
