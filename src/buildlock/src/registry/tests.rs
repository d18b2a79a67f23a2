//! The registry on a real folder, where no session is needed to see what it does.

use tempfile::TempDir;

use super::*;
use crate::queue::Mode;
use crate::record::tests::sample;
use crate::session::{Request, Session};

fn registry() -> (TempDir, Registry) {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path().join("session")).unwrap();
    (home, registry)
}

fn names(registry: &Registry) -> Vec<String> {
    let files = std::fs::read_dir(registry.path()).unwrap();
    let mut names: Vec<_> = files
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Leaves the files of a mutator that was killed, and a record that has lost its lock file.
fn leave_remains(registry: &Registry) {
    for ticket in [Ticket(1), Ticket(2)] {
        let record = sample(ticket.0).to_bytes();
        std::fs::write(registry.folder().record_path(ticket), record).unwrap();
    }
    std::fs::write(registry.folder().lock_path(Ticket(1)), "").unwrap();
}

#[test]
fn a_look_without_the_gate_removes_nothing() {
    let (_home, registry) = registry();
    leave_remains(&registry);
    let before = names(&registry);
    assert!(scan::living(&mut registry.glance()).unwrap().is_empty());
    assert!(scan::probe(&mut registry.glance(), Ticket(1)).unwrap().is_none());
    assert_eq!(names(&registry), before);
    // Who holds the gate does.
    assert!(registry.snapshot().unwrap().entries.is_empty());
    assert_eq!(names(&registry), ["gate", "unfinished.json"]);
}

#[test]
fn a_look_without_the_gate_sees_who_is_there() {
    let (_home, registry) = registry();
    let session = Session::acquire(&registry, Request::new(Mode::Shared, "reader")).unwrap();
    let living = scan::living(&mut registry.glance()).unwrap();
    assert_eq!(living.len(), 1);
    assert_eq!(living[0].claim.ticket, session.ticket());
    assert_eq!(living[0].record.as_ref().unwrap().label, "reader");
}

#[test]
fn a_new_lock_file_is_not_probed_without_the_gate() {
    let (_home, registry) = registry();
    // Made, and not locked yet: whoever asked for its lock would get it, and take its session for dead.
    std::fs::write(registry.folder().lock_path(Ticket(1)), "").unwrap();
    let seen = scan::probe(&mut registry.glance(), Ticket(1)).unwrap().unwrap();
    assert!(seen.record.is_none());
    assert_eq!(seen.claim.mode, Mode::Exclusive, "it may become one");
    assert!(scan::probe(&mut registry.glance(), Ticket(2)).unwrap().is_none());
}

/// What becomes of one who cannot have the gate, and how often it was tried for.
fn turned_away(registry: &Registry, patience: &Patience<'_>) -> (ErrorKind, usize) {
    #[cfg(feature = "fault-injection")]
    crate::faults::fail_call(None);
    let kind = registry.enter(patience).unwrap_err().kind();
    #[cfg(feature = "fault-injection")]
    return (
        kind,
        crate::faults::calls_made()
            .iter()
            .filter(|c| **c == "lock")
            .count(),
    );
    #[cfg(not(feature = "fault-injection"))]
    (kind, 1)
}

#[test]
fn who_gives_up_waiting_for_the_gate_does_so_at_once_and_is_told_why() {
    let (_home, registry) = registry();
    let gate = registry.folder().open_gate().unwrap();
    assert!(sys::try_lock_exclusive(&gate).unwrap());
    let cancel = Cancel::new();
    let hurried = Patience {
        deadline: Some(Instant::now()),
        cancel: &cancel,
    };
    assert_eq!(turned_away(&registry, &hurried), (ErrorKind::Timeout, 1));
    cancel.cancel();
    let cancelled = Patience {
        deadline: None,
        cancel: &cancel,
    };
    assert_eq!(turned_away(&registry, &cancelled), (ErrorKind::Cancelled, 1));
}

/// Whether a thread of this process is blocked, by its name (proc(5), cut to fifteen letters).
#[cfg(target_os = "linux")]
fn somebody_waits_in_the_kernel() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.any(|name| name.trim_end() == "buildlock waits")
}

#[cfg(target_os = "linux")]
#[test]
fn the_gate_of_a_stopped_holder_is_had_once_it_goes_on() {
    let (_home, registry) = registry();
    let gate = registry.folder().open_gate().unwrap();
    assert!(sys::try_lock_exclusive(&gate).unwrap());
    let cancel = Cancel::new();
    let patience = Patience {
        deadline: None,
        cancel: &cancel,
    };
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| registry.enter(&patience).map(drop));
        while !somebody_waits_in_the_kernel() {
            std::thread::yield_now();
        }
        sys::unlock(&gate).unwrap();
        entered.join().unwrap().unwrap();
    });
}

// Windows tells that an open file has lost its name, wine does not.
#[cfg(unix)]
#[test]
fn what_has_lost_its_name_is_given_back_to_nobody() {
    let (_home, registry) = registry();
    let mut gate = registry
        .enter(&Patience {
            deadline: None,
            cancel: &Cancel::new(),
        })
        .unwrap();
    let mut locks = Locks::new();
    gate.apply(protocol::register(gate.gate, sample(1)), &mut locks)
        .unwrap();
    let mut record = sample(1);
    record.label = "later".to_owned();
    registry
        .give_back(protocol::lease(record.clone()), &mut locks)
        .unwrap();
    let written = || registry.folder().read_record(Ticket(1)).unwrap();
    assert_eq!(written(), Some(record.clone()));
    std::fs::remove_file(registry.folder().lock_path(Ticket(1))).unwrap();
    std::fs::remove_file(registry.folder().record_path(Ticket(1))).unwrap();
    let error = registry
        .give_back(protocol::lease(record), &mut locks)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert_eq!(written(), None);
}

#[test]
fn a_registry_is_there_once_it_has_a_gate() {
    let (home, made) = registry();
    let found = || Registry::existing(home.path().join("session")).unwrap();
    assert!(found().is_none(), "an empty folder is no registry yet");
    made.snapshot().unwrap();
    assert_eq!(found().unwrap().path(), made.path());
    assert!(Registry::existing(home.path().join("nowhere")).unwrap().is_none());
}
