//! Kin among processes: orphans are adopted and ended, a parent's end is noticed, a mutator that queues is seen.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use buildlock::{Ancestry, ErrorKind, Mode, Registry, Request, Session, Ticket};

fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "test").ancestry(Ancestry::default())
}

/// One test, because adopting orphans concerns the whole process.
#[test]
fn descendants_are_ended_also_those_whose_parent_is_gone() {
    buildlock::adopt_orphans().unwrap();
    // A shell that starts a grandchild, says its pid, and ends: the grandchild is an orphan.
    let script = "sleep 1000 >/dev/null & echo $!; sh -c 'sleep 1000 & echo $!; wait' & wait";
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let orphan: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    let deep: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    buildlock::end_descendants().unwrap();
    for pid in [orphan, deep] {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| ") Z".to_owned());
        assert!(state.contains(") Z"), "process {pid} lives on: {state}");
    }
}

#[test]
fn the_parent_of_a_test_is_there() {
    assert!(buildlock::Parent::find().unwrap().is_some());
}

#[test]
fn a_watch_sees_a_mutator_that_queues_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("session")).unwrap();
    let reader = Session::acquire(&registry, request(Mode::Shared)).unwrap();
    let mut watch = reader.watch();
    assert_eq!(watch.wanted_by().unwrap(), None);
    let other = Session::acquire(&registry, request(Mode::Shared)).unwrap();
    assert_eq!(
        watch.wanted_by().unwrap(),
        None,
        "a reader is no reason to step aside"
    );
    std::thread::scope(|scope| {
        let mutator = scope.spawn(|| Session::acquire(&registry, request(Mode::Exclusive)).unwrap());
        let seen = loop {
            if let Some(record) = watch.wanted_by().unwrap() {
                break record;
            }
            std::thread::yield_now();
        };
        assert_eq!(seen.claim.mode, Mode::Exclusive);
        drop((reader, other));
        mutator.join().unwrap().release().unwrap();
    });
}

#[test]
fn a_waiter_that_was_removed_gives_up_with_an_error_and_is_never_granted() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("session")).unwrap();
    let holder = Session::acquire(&registry, request(Mode::Exclusive)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| Session::acquire(&registry, request(Mode::Exclusive)));
        let ticket = loop {
            let entries = registry.snapshot().unwrap().entries;
            if let Some(entry) = entries.iter().find(|e| e.waits_for.is_some()) {
                break entry.ticket;
            }
            std::thread::yield_now();
        };
        registry.break_session(ticket).unwrap().unwrap();
        holder.release().unwrap();
        let error = waiter.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        assert!(error.to_string().contains("was removed by somebody"), "{error}");
    });
    assert!(registry.break_session(Ticket(7)).unwrap().is_none());
}
