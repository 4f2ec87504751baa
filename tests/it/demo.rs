//! The binary, as a user runs it: the demo, and what it says to bad input.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use nephron_tests::MockModel;
use serde_json::Value;
use tempfile::TempDir;

use crate::nephron;

pub(super) fn run(arguments: &[&str]) -> Output {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(nephron())
        .args(arguments)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// One demo with its data folder, made once: it holds the compiled plugins, and compiling is most of what a demo costs.
static DEMO: LazyLock<(TempDir, Value)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let report = json(&run(&[
        "demo",
        "--json",
        "--data",
        folder.path().to_str().unwrap(),
    ]));
    (folder, report)
});

/// A copy of the first demo's data folder.
pub(super) fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = DEMO.0.path().join(".");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(copied.success());
    folder
}

fn json(output: &Output) -> Value {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(super) fn words(output: &Output) -> (i32, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

#[test]
fn the_demo_proves_what_it_shows() {
    let report = &DEMO.1;
    let text = |field: &str| report[field].as_str().unwrap().to_owned();
    let (sent, seen, restored) = (text("sent"), text("seen_by_model"), text("restored"));
    let spans = report["spans"].as_array().unwrap();
    assert!(spans.len() > 20, "{} spans", spans.len());
    for span in spans {
        let (start, end) = (
            span["start"].as_u64().unwrap() as usize,
            span["end"].as_u64().unwrap() as usize,
        );
        let value = &sent[start..end];
        // A short value, such as a two-letter state, may stand elsewhere as a part of a word.
        assert!(
            value.len() < 5 || !seen.contains(value),
            "the model saw `{value}`"
        );
        assert!(!span["kind"].as_str().unwrap().is_empty());
    }
    assert!(
        text("answered").contains("[NAME_") && !restored.contains("[NAME_"),
        "{restored}"
    );
    assert!(restored.contains("Marlowe"), "{restored}");
    for decision in report["decisions"].as_array().unwrap() {
        assert!(
            decision["digest"].as_str().unwrap().starts_with("sha256:"),
            "{decision}"
        );
        assert!(
            decision["fuel"].as_u64().unwrap() > 0 && decision["micros"].as_u64().is_some(),
            "{decision}"
        );
        for field in ["point", "plugin", "version", "outcome"] {
            assert!(!decision[field].as_str().unwrap().is_empty(), "{decision}");
        }
    }
    assert_eq!(report["log"]["verified"], true);
    assert!(report["log"]["entries"].as_u64().unwrap() > 15);
    assert!(
        report["log"]["head"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    assert_eq!(report["tampered"]["verified"], false);
    assert!(report["tampered"]["entry"].as_u64().unwrap() > 0);
}

#[test]
fn every_quickstart_note_goes_through() {
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart/notes");
    let folder = data();
    let data = folder.path().to_str().unwrap();
    let mut count = 0;
    for note in std::fs::read_dir(notes).unwrap() {
        let path = note.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let report = json(&run(&[
                "demo",
                "--json",
                "--data",
                data,
                "--note",
                path.to_str().unwrap(),
            ]));
            assert_eq!(report["log"]["verified"], true, "{}", path.display());
            assert!(
                !report["spans"].as_array().unwrap().is_empty(),
                "{}",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count >= 6, "{count} notes");
}

#[test]
fn a_note_may_come_from_standard_input_and_the_data_may_stay() {
    let folder = data();
    let data = folder.path();
    for entries in [2, 3] {
        let mut child = Command::new(nephron())
            .args([
                "demo",
                "--json",
                "--note",
                "-",
                "--data",
                data.to_str().unwrap(),
            ])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"Patient: Alma Thistlewood has asthma.")
            .unwrap();
        let report = json(&child.wait_with_output().unwrap());
        assert!(report["log"]["entries"].as_u64().unwrap() > entries * 15);
    }
    let log = data.join("tenants/st-marys/log");
    let verified = run(&["audit", "verify", log.to_str().unwrap(), "--json"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let shown = run(&["audit", "show", log.to_str().unwrap(), "--json"]);
    let lines = String::from_utf8(shown.stdout).unwrap();
    assert!(lines.lines().count() > 30 && !lines.contains("Thistlewood"));
    // One byte of the journal: named, and exit code 3.
    let journal = log.join("journal/00000000.wal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    assert_eq!(
        run(&["audit", "verify", log.to_str().unwrap()])
            .status
            .code(),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cleared_text_goes_to_a_real_server() {
    let server = MockModel::start(200, "Summary: {user}").await;
    let url = server.url();
    let folder = data();
    let path = folder.path().to_str().unwrap();
    let arguments = [
        "demo",
        "--json",
        "--data",
        path,
        "--upstream",
        &url,
        "--model",
        "llama3",
    ]
    .map(str::to_owned);
    let demo = move || json(&run(&arguments.each_ref().map(String::as_str)));
    let report = tokio::task::spawn_blocking(demo).await.unwrap();
    let sent = server.seen();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        report["seen_by_model"].as_str().unwrap().as_bytes(),
        sent[0]
    );
    assert!(
        !report["seen_by_model"]
            .as_str()
            .unwrap()
            .contains("Marlowe")
    );
    let restored = report["restored"].as_str().unwrap();
    assert_eq!(
        restored,
        format!("Summary: {}", report["sent"].as_str().unwrap())
    );
}

#[test]
fn bad_input_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("latin1.txt"), b"caf\xe9").unwrap();
    std::fs::write(path("empty.txt"), b" \n").unwrap();
    std::fs::write(path("bad.toml"), "data = 3\n[nonsense]\n").unwrap();
    for (arguments, code, expected) in [
        (
            vec!["demo", "--note", &path("missing.txt")],
            1,
            "missing.txt",
        ),
        (vec!["demo", "--note", &path("latin1.txt")], 1, "UTF-8"),
        (vec!["demo", "--note", &path("empty.txt")], 1, "empty"),
        (
            vec!["demo", "--upstream", "http://127.0.0.1:1"],
            2,
            "--model",
        ),
        (
            vec!["demo", "--upstream", "nonsense", "--model", "m"],
            2,
            "url",
        ),
        (
            vec!["demo", "--upstream", "http://127.0.0.1:1", "--model", "m"],
            4,
            "did not answer",
        ),
        (
            vec!["run", "--config", &path("missing.toml"), "x.json"],
            3,
            "missing.toml",
        ),
        (
            vec!["check", "--config", &path("missing.toml")],
            3,
            "missing.toml",
        ),
        (
            vec!["plugin", "inspect", &path("missing.wasm")],
            1,
            "missing.wasm",
        ),
        (vec!["audit", "verify", &path("nowhere")], 1, "nowhere"),
    ] {
        let output = run(&arguments);
        let (status, mut shown) = words(&output);
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
        assert_eq!(status, code, "{arguments:?}: {shown}");
        assert!(shown.contains(expected), "{arguments:?}: {shown}");
        assert!(
            !shown.contains('\u{1b}'),
            "colour without a terminal: {shown}"
        );
    }
    // Every fault at once, each with its place.
    let output = run(&["check", "--config", &path("bad.toml")]);
    let faults = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        faults.contains("bad.toml:1:8:") && faults.contains("bad.toml:2:"),
        "{faults}"
    );
}

#[test]
fn a_missing_data_folder_is_named_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(workspace.join("examples/quickstart/gateway.toml")).unwrap();
    let text = text.replace(
        "../policies",
        workspace.join("examples/policies").to_str().unwrap(),
    );
    std::fs::write(
        folder.path().join("gateway.toml"),
        format!("data = \"nowhere\"\n{}", strip_data(&text)),
    )
    .unwrap();
    std::fs::write(folder.path().join("request.json"), REQUEST).unwrap();
    let config = folder.path().join("gateway.toml");
    let request = folder.path().join("request.json");
    let output = Command::new(nephron())
        .args([
            "run",
            "--config",
            config.to_str().unwrap(),
            request.to_str().unwrap(),
        ])
        .env("NEPHRON_PASSPHRASE", "correct horse battery staple")
        .output()
        .unwrap();
    let (status, shown) = words(&output);
    assert_eq!(status, 1, "{shown}");
    assert!(
        shown.contains("nowhere") && shown.contains("mkdir"),
        "{shown}"
    );
    assert!(!folder.path().join("nowhere").exists());

    // The demo's root key and compiled plugins, under the demo's passphrase, and no tenant yet.
    let made = data();
    std::fs::create_dir(folder.path().join("nowhere")).unwrap();
    let host = folder.path().join("nowhere/host");
    std::fs::rename(made.path().join("host"), &host).unwrap();
    std::fs::remove_dir_all(host.join("record")).unwrap();
    let passphrase = std::fs::read_to_string(made.path().join("passphrase-of-the-demo")).unwrap();
    let output = Command::new(nephron())
        .args([
            "run",
            "--json",
            "--config",
            config.to_str().unwrap(),
            request.to_str().unwrap(),
        ])
        .env("NEPHRON_PASSPHRASE", &passphrase)
        .output()
        .unwrap();
    let reply = json(&output);
    assert!(
        reply["text"].as_str().unwrap().contains("Thistlewood"),
        "{reply}"
    );
    // Another passphrase opens nothing, says so, and harms nothing.
    let output = Command::new(nephron())
        .args([
            "run",
            "--config",
            config.to_str().unwrap(),
            request.to_str().unwrap(),
        ])
        .env("NEPHRON_PASSPHRASE", "correct horse battery stable")
        .output()
        .unwrap();
    let (status, shown) = words(&output);
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("root key"), "{shown}");
}

fn strip_data(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("data ="))
        .collect::<Vec<_>>()
        .join("\n")
}

const REQUEST: &str = r#"{"tenant":"st-marys","caller":{"id":"dr.okafor","roles":["physician"]},"purpose":"TREAT",
"model":"any","messages":[{"role":"user","content":"Patient: Alma Thistlewood has asthma and needs an inhaler."}]}"#;
