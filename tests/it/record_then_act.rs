//! Record, then act (I1): the log's disk dies at every point of a request, and no effect is ever without its entry.

use std::sync::Arc;

use nephron_audit::Reader;
use nephron_audit::faults::FaultyDisk;
use nephron_model::EntryKind;
use nephron_tests::{CANARY_NOTE, MockModel, Setup};

fn setup(server: &MockModel, disk: &Arc<FaultyDisk>) -> Setup {
    let log = nephron_audit::Options {
        disk: disk.clone(),
        ..nephron_audit::Options::default()
    };
    Setup::default()
        .upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"")
        .log(log)
}

#[tokio::test]
async fn i1_no_effect_exists_without_its_entry_wherever_the_writer_dies() {
    let server = MockModel::start(200, "About {user} - done.").await;
    // How many calls a request makes differs with what the writer finds queued: the disk dies ever later, until a
    // request gets by.
    let (mut refused, mut sent, mut answered) = (0, 0, 0);
    for n in 0_u64.. {
        let disk = Arc::new(FaultyDisk::new());
        let rig = setup(&server, &disk).open().await;
        let log = rig.log_folder();
        let seen_before = server.seen().len();
        disk.fail_from(disk.calls() + n);
        let reply = rig.ask(CANARY_NOTE).await;
        let seen = server.seen().split_off(seen_before);
        // What survived is what is on the disk now.
        let survived = Reader::open(&log).unwrap();
        let entries: Vec<_> = survived
            .entries(0..survived.head().entries)
            .collect::<Result<_, _>>()
            .expect("what survived is whole");
        let has = |kind: EntryKind, fact: &str, value: &str| {
            entries.iter().any(|entry| {
                entry.header.kind == kind
                    && (fact.is_empty() || entry.header.facts.get(fact).is_some_and(|v| v == value))
            })
        };
        if !seen.is_empty() {
            sent += 1;
            assert!(
                has(EntryKind::Sending, "endpoint", "there"),
                "call {n}: bytes left without an intent"
            );
            assert!(
                has(EntryKind::KeyUsed, "", ""),
                "call {n}: tokens were drawn without an entry"
            );
            assert!(
                has(EntryKind::Deidentified, "", ""),
                "call {n}: text was cleared without an entry"
            );
        }
        match reply.text() {
            Some(text) => {
                answered += 1;
                assert_eq!(text.expose(), &format!("About {CANARY_NOTE} - done."));
                assert!(
                    has(EntryKind::RequestClosed, "", ""),
                    "call {n}: a reply without its entry"
                );
                let uses = entries
                    .iter()
                    .filter(|entry| entry.header.kind == EntryKind::KeyUsed)
                    .count();
                assert_eq!(uses, 2, "call {n}: identities came back without an entry");
                break;
            }
            None => {
                refused += 1;
                assert!(n < 1_000, "no request ever gets by");
                let code = reply.refusal().unwrap().code();
                assert_eq!(code, "not-recorded", "call {n}");
            }
        }
    }
    // A request waits three times: to send, to open values, to answer. Each is a write and a sync.
    assert!(
        refused >= 6 && sent > 0 && answered == 1,
        "{refused} refused, {sent} sent, {answered} answered"
    );
}

#[tokio::test]
async fn i1_in_the_sandbox_too_no_answer_exists_without_its_entry() {
    let mut refused = 0;
    for n in 0_u64.. {
        let disk = Arc::new(FaultyDisk::new());
        let log = nephron_audit::Options {
            disk: disk.clone(),
            ..nephron_audit::Options::default()
        };
        let rig = Setup::default().log(log).open().await;
        let log = rig.log_folder();
        disk.fail_from(disk.calls() + n);
        let reply = rig.ask(CANARY_NOTE).await;
        let survived = Reader::open(&log).unwrap();
        let kinds: Vec<_> = survived
            .entries(0..survived.head().entries)
            .map(|entry| entry.unwrap().header.kind)
            .collect();
        let closed = kinds.contains(&EntryKind::RequestClosed);
        match reply.text() {
            Some(_) => {
                assert!(closed, "call {n}: a reply without its entry");
                let uses = kinds.iter().filter(|kind| **kind == EntryKind::KeyUsed);
                assert_eq!(uses.count(), 2, "call {n}: a key opened without its entry");
                assert!(kinds.contains(&EntryKind::Sending), "call {n}");
                break;
            }
            None => {
                refused += 1;
                assert!(n < 1_000, "no request ever gets by");
            }
        }
    }
    assert!(refused >= 4, "{refused} refused");
}

#[tokio::test]
async fn i1_an_entry_that_is_too_large_for_the_log_stops_the_request() {
    let server = MockModel::start(200, "ok").await;
    let log = nephron_audit::Options {
        frame_limit: 8 << 10,
        ..nephron_audit::Options::default()
    };
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    for setup in [
        Setup::default(),
        Setup::default().upstream(&server.url(), "", cleared),
    ] {
        let rig = setup.log(log.clone()).open().await;
        let seen = server.seen().len();
        assert_eq!(rig.ask("Chest pain.").await.status(), 200);
        assert!(server.seen().len() <= seen + 1);
        let seen = server.seen().len();
        // The judgement about each of these notes does not fit, so nothing may follow from it: no token is drawn, no
        // byte leaves, and the log does not say that the caller was answered.
        for line in ["Chest pain. ", "Seen by Dr. Alma Thistlewood. "] {
            let reply = rig.ask(&line.repeat(1_000)).await;
            assert_eq!(
                (reply.status(), reply.refusal().unwrap().code()),
                (503, "not-recorded")
            );
            assert_eq!(server.seen().len(), seen);
            let story = rig.story(reply.event());
            assert!(
                story
                    .iter()
                    .all(|(kind, _)| *kind != EntryKind::Sending && *kind != EntryKind::KeyUsed),
                "{story:?}"
            );
            let closed = (EntryKind::RequestClosed, "not-recorded".to_owned());
            assert_eq!(story.last(), Some(&closed), "{story:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_when_the_process_ended_is_told_when_the_log_opens_again() {
    let server = MockModel::start(200, "About {user} - done.").await;
    let setup =
        Setup::default().upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"");
    let rig = Arc::new(setup.open().await);
    let held = server.hold().await;
    let asking = Arc::clone(&rig);
    let asked = tokio::spawn(async move { asking.ask("Chest pain.").await.status() });
    server.is_sent(1).await;
    // What a process that is killed now leaves behind.
    let left = tempfile::tempdir().unwrap();
    super::host_log::copy(&rig.folder.path().join("."), left.path());
    drop(held);
    assert_eq!(asked.await.unwrap(), 200);

    let after = setup.open_in(left).await.unwrap();
    let entries = after.all_entries();
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.header.outcome == "outcome-unknown")
        .map(|entry| (entry.header.kind, entry.header.request))
        .collect();
    let sending = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Sending)
        .unwrap();
    let event = sending.header.request;
    assert!(event.is_some());
    assert_eq!(
        told,
        [
            (EntryKind::Received, event),
            (EntryKind::RequestClosed, event)
        ]
    );
    let log = after.log_folder();
    let folder = after.close();
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.is_whole(), "{verdict:?}");
    // Told once: what was closed has no open end.
    let again = setup.open_in(folder).await.unwrap();
    let unknown = again.all_entries().into_iter();
    let unknown = unknown.filter(|entry| entry.header.outcome == "outcome-unknown");
    assert_eq!(unknown.count(), 2);
}
