//! A client of a jobserver whose jobs do nothing but take their time.
//!
//! `jobs LOG NAME WORKERS MILLISECONDS COUNT`: one worker runs the implicit job, each other one takes a token for each of
//! its jobs; together they run COUNT jobs, or go on until they are killed if it is 0. Each start and end is a line in
//! `LOG.<pid>`: `<nanoseconds> <name> <+1 or -1>`, written while the token is held.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use process_tests::clock::now_ns;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("LOG NAME WORKERS MILLISECONDS COUNT");
    let (path, name) = (next(), next());
    let mut number = || next().parse::<u64>().expect("a number");
    let (workers, length, count) = (number(), Duration::from_millis(number()), number());
    // One for each process and one writer at a time: in wine, those that append to a file overwrite each other.
    let log = File::create_new(format!("{path}.{}", std::process::id())).expect("a log");
    let log = Mutex::new(log);
    // SAFETY: nothing else has opened a descriptor yet whose number the environment could name.
    let client = unsafe { jobserver::Client::from_env() };
    let left = AtomicU64::new(if count == 0 { u64::MAX } else { count });
    let note = |step: &str| {
        let line = format!("{} {name} {step}\n", now_ns());
        let mut log = log.lock().expect("nobody panicked");
        // One write, so that a kill leaves whole lines, or cuts the last.
        log.write_all(line.as_bytes()).expect("a line in the log");
    };
    let next_job = || {
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
    };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (client, note, next_job) = (client.as_ref(), &note, &next_job);
            scope.spawn(move || {
                while next_job() {
                    let token = match client {
                        Some(client) if worker > 0 => Some(client.acquire().expect("a token")),
                        _ => None,
                    };
                    note("+1");
                    std::thread::sleep(length);
                    note("-1");
                    drop(token);
                }
            });
        }
    });
}
