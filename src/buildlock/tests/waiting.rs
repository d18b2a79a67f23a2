//! Waiting for one's turn, as seen by the one who waits.

use std::sync::mpsc;
use std::time::Duration;

use buildlock::{Ancestry, Cancel, ErrorKind, Mode, Registry, Request, Session, Timeout};

fn request(mode: Mode, label: &str) -> Request<'static> {
    Request::new(mode, label)
        .ancestry(Ancestry::default())
        .notice_after(Duration::ZERO)
}

#[test]
fn a_waiter_is_told_how_many_are_ahead_and_who_holds() {
    let folder = tempfile::tempdir().unwrap();
    let registry = &Registry::open(folder.path().join("session")).unwrap();
    let holder = Session::acquire(registry, request(Mode::Exclusive, "holder")).unwrap();
    std::thread::scope(|scope| {
        let (queued, is_queued) = mpsc::channel();
        let first = scope.spawn(move || {
            let first = request(Mode::Exclusive, "first").on_wait(move |_| queued.send(()).unwrap());
            Session::acquire(registry, first).unwrap().release()
        });
        is_queued.recv().unwrap();
        let mut holder = Some(holder);
        let second = request(Mode::Exclusive, "second").on_wait(|waiting| {
            if let Some(holder) = holder.take() {
                assert_eq!(waiting.ahead, 2);
                assert_eq!(waiting.mode, Mode::Exclusive);
                assert_eq!(waiting.holder.as_ref().unwrap().label, "holder");
                holder.release().unwrap();
            }
        });
        Session::acquire(registry, second).unwrap().release().unwrap();
        first.join().unwrap().unwrap();
    });
}

#[test]
fn who_gives_up_is_told_whether_the_one_ahead_holds_or_waits() {
    let folder = tempfile::tempdir().unwrap();
    let registry = &Registry::open(folder.path().join("session")).unwrap();
    let refused = |mode| {
        let request = request(mode, "refused").timeout(Timeout::AtOnce);
        Session::acquire(registry, request).unwrap_err().to_string()
    };
    let holder = Session::acquire(registry, request(Mode::Shared, "holder")).unwrap();
    let said = refused(Mode::Exclusive);
    assert!(said.contains("could not be had: held by "), "{said}");
    std::thread::scope(|scope| {
        let (queued, is_queued) = mpsc::channel();
        let writer = scope.spawn(move || {
            let writer = request(Mode::Exclusive, "writer").on_wait(move |_| queued.send(()).unwrap());
            Session::acquire(registry, writer).unwrap().release()
        });
        is_queued.recv().unwrap();
        let said = refused(Mode::Shared);
        holder.release().unwrap();
        writer.join().unwrap().unwrap();
        assert!(said.contains("could not be had: behind "), "{said}");
    });
}

#[test]
fn a_wait_that_is_cancelled_ends_although_the_lock_stays_held() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("session")).unwrap();
    let holder = Session::acquire(&registry, request(Mode::Exclusive, "holder")).unwrap();
    let cancel = Cancel::new();
    let used = cancel.clone();
    let waiter = request(Mode::Shared, "waiter")
        .cancel(&cancel)
        .on_wait(move |_| used.cancel());
    let error = Session::acquire(&registry, waiter).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(
        registry.snapshot().unwrap().entries.len(),
        1,
        "it leaves the queue"
    );
    holder.release().unwrap();
}

#[test]
fn a_waiter_whose_record_somebody_removed_is_granted_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path().join("session")).unwrap();
    let mut holder = Some(Session::acquire(&registry, request(Mode::Exclusive, "holder")).unwrap());
    let record = home.path().join("session/2.json");
    let waiter = request(Mode::Exclusive, "waiter")
        .notice_after(Duration::ZERO)
        .on_wait(|_| {
            std::fs::remove_file(&record).unwrap();
            holder.take().unwrap().release().unwrap();
        });
    let session = Session::acquire(&registry, waiter).unwrap();
    let snapshot = registry.snapshot().unwrap();
    let entry = snapshot.entries.first().unwrap();
    assert_eq!(entry.ticket, session.ticket());
    assert_eq!(entry.record.as_ref().unwrap().label, "waiter");
}
