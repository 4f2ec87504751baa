//! PHI has no shadow (I9): a note with unmistakable identifiers goes through every mode and every error path, and no log
//! line, error, debug output or file in clear holds one.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nephron_audit::faults::FaultyDisk;
use nephron_tests::{CANARIES, CANARY_NOTE, MockModel, Rig, Setup};

/// Keeps every line that `tracing` writes, at its most talkative.
#[derive(Clone, Default)]
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this thread's code says from now on, for as long as the second value is there. The runtime of `#[tokio::test]` runs
/// everything on the test's own thread.
pub(super) fn heard() -> (Lines, impl Sized) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // With one subscriber alone, `tracing` asks the thread that meets a line first whether anybody wants it, and that may
    // be another test's. A second one makes it ask both.
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    (lines, (guard, second))
}

pub(super) fn assert_clean(what: &str, bytes: &[u8]) {
    // Compiled plugins are many megabytes: what searches them is compiled with optimisation, as this file is not.
    let bytes = bytes.to_ascii_lowercase();
    for canary in CANARIES {
        let holds = memchr::memmem::find(&bytes, canary.to_ascii_lowercase().as_bytes()).is_some();
        assert!(!holds, "{what} holds `{canary}`");
    }
}

pub(super) fn assert_files_clean(folder: &Path) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        assert_clean("a file name", path.to_string_lossy().as_bytes());
        if path.is_dir() {
            assert_files_clean(&path);
        } else if path.is_file() {
            // The control socket of a gateway that serves is none.
            assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
}

/// Everything an operator or a caller who was refused could see.
async fn assert_refusal_clean(rig: &Rig, text: &str, expected: &str) {
    let reply = rig.ask(text).await;
    let refusal = reply
        .refusal()
        .unwrap_or_else(|| panic!("{expected}: was not refused"));
    assert_eq!(refusal.code(), expected);
    let mut shown = format!("{refusal} {refusal:?} {}", reply.body().expose());
    let mut cause = std::error::Error::source(refusal);
    while let Some(error) = cause {
        shown.push_str(&format!("{error} {error:?}"));
        cause = error.source();
    }
    assert_clean(expected, shown.as_bytes());
}

#[tokio::test]
async fn i9_no_identifier_is_seen_outside_the_vault() {
    let (lines, _hearing) = heard();

    let server = MockModel::start(200, "About {user} - done.").await;
    let broken = MockModel::start(503, "About {user} - done.").await;
    let cleared = "cleared-without-baa = \"safe-harbor\"";

    // Modes: in the sandbox, over HTTP, withheld, and the exporter's file.
    let more = "[[plugin]]\nname = \"jsonl\"\nkind = \"exporter\"\ncomponent = \"jsonl-export\"\n\
        [[export]]\nplugin = \"jsonl\"\nfile = \"audit.jsonl\"\n";
    for setup in [
        Setup::default().and(more),
        Setup::default().connector("extractive", "").and(more),
        Setup::default()
            .upstream(&server.url(), "", cleared)
            .and(more),
    ] {
        let rig = setup.open().await;
        assert_eq!(rig.ask(CANARY_NOTE).await.status(), 200);
        let withheld = rig
            .ask_as(
                "st-marys",
                "r.ashgrove",
                "researcher",
                "HRESCH",
                None,
                CANARY_NOTE,
            )
            .await;
        assert_clean(
            "an answer without identities",
            withheld.text().unwrap().expose().as_bytes(),
        );
        rig.gateway.export().await.unwrap();
        let folder = rig.close();
        assert_files_clean(folder.path());
    }
    for body in server.seen() {
        assert_clean("a body that left", &body);
    }

    // Error paths: every stage that can refuse.
    for (setup, code) in [
        (Setup::default().decider("traps", ""), "plugin-failed"),
        (
            Setup::default().decider("unknown-obligation", ""),
            "unknown-obligation",
        ),
        (
            Setup::default().detector("spans-out-of-range", "place = \"end\""),
            "plugin-failed",
        ),
        (
            Setup::default().detector("spans-overlapping", ""),
            "plugin-failed",
        ),
        (
            Setup::default().upstream(&server.url(), "", ""),
            "no-agreement",
        ),
        (
            Setup::default().upstream(&broken.url(), "", cleared),
            "upstream-busy",
        ),
        (
            Setup::default().upstream("http://127.0.0.1:1", "", cleared),
            "upstream-failed",
        ),
    ] {
        let rig = setup.open().await;
        assert_refusal_clean(&rig, CANARY_NOTE, code).await;
        assert_files_clean(rig.close().path());
    }
    let disk = Arc::new(FaultyDisk::new());
    let log = nephron_audit::Options {
        disk: disk.clone(),
        ..nephron_audit::Options::default()
    };
    let rig = Setup::default().log(log).open().await;
    disk.fail_now();
    assert_refusal_clean(&rig, CANARY_NOTE, "not-recorded").await;
    assert_files_clean(rig.folder.path());

    let seen = lines.0.lock().unwrap().clone();
    assert!(
        !seen.is_empty(),
        "nothing was traced, so nothing was proved"
    );
    assert_clean("a line of the process's log", &seen);
}
