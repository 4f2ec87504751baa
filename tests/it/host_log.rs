//! The host's own log, and what an auditor can prove with the logs' signed states.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nephron_audit::faults::FaultyDisk;
use nephron_audit::{Header, Options, VerifyOptions};
use nephron_gateway::{OpenError, RECORD, Refusal, TenantError};
use nephron_model::EntryKind;
use nephron_tests::{MockModel, Received, Served, Setup};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The command line's exit code and what it printed.
pub(super) fn nephron(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(crate::nephron())
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Copies a folder as it is.
pub(super) fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_nobody_has_an_entry_or_is_counted() {
    const ASKED: usize = 50;
    let served = Setup::default().serve("").await;
    let mut smuggler = served.connect().await;
    let twice = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{";
    smuggler.write_all(twice.as_bytes()).await.unwrap();
    let mut answer = String::new();
    smuggler.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let mut events = 0;
    for _ in 0..ASKED {
        let refused = served
            .post(Some("nph_forged"), &[("user-agent", "probe/1")], "{}")
            .await;
        assert_eq!(refused.status, 401);
        events += usize::from(refused.header("x-request-id").is_some());
    }
    let rig = served.reopened().await;
    let host = rig.host_entries();
    let headers = || host.iter().map(|entry| &entry.header);
    let of = |outcome: &str| -> Vec<&Header> {
        let is_one = |header: &&Header| {
            header.kind == EntryKind::RequestRefused && header.outcome == outcome
        };
        headers().filter(is_one).collect()
    };
    assert_eq!(of("bad-http").len(), 1);
    let refused = of("unauthenticated");
    assert_eq!(refused.len(), events);
    let facts = &refused[0].facts;
    assert_eq!(
        (facts["source"].as_str(), facts["user-agent"].as_str()),
        ("127.0.0.1", "probe/1")
    );
    let counts = headers().filter(|header| header.kind == EntryKind::RequestsCounted);
    let counted: u64 = counts.map(|header| header.counts["unauthenticated"]).sum();
    assert!(counted > 0, "a flood has an entry for each");
    assert_eq!(events + usize::try_from(counted).unwrap(), ASKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_tenant_that_vanishes_or_is_put_back_does_not_serve_until_somebody_takes_it_back() {
    let setup = Setup::default();
    let folder = setup.open().await.close();
    let tenants = folder.path().join("tenants");
    let (own, older) = (tenants.join("st-marys"), folder.path().join("older"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let quickstart =
        std::fs::read_to_string(workspace.join("examples/quickstart/gateway.toml")).unwrap();
    let policies = workspace.join("examples/policies");
    let text = quickstart
        .replace("../policies", policies.to_str().unwrap())
        .replace("data = \"data\"", "data = \".\"");
    let config = folder.path().join("gateway.toml");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let verify = ["audit", "verify", "--config", &config];
    let readmit = [
        "audit", "readmit", "st-marys", "--by", "j.doe", "--config", &config,
    ];
    assert_eq!(nephron(&verify).0, Some(0));

    copy(&own, &older);
    let rig = setup.open_in(folder).await.unwrap();
    assert!(rig.ask("Hello.").await.text().is_some());
    let folder = rig.close();
    let (code, said) = nephron(&verify);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("its log committed to the first"), "{said}");

    // The older state is whole in itself, and signed.
    std::fs::rename(&own, folder.path().join("newer")).unwrap();
    copy(&older, &own);
    let log = own.join("log");
    assert_eq!(
        nephron(&["audit", "verify", log.to_str().unwrap()]).0,
        Some(0)
    );
    let (code, said) = nephron(&verify);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("log is shorter than its checkpoint"),
        "{said}"
    );
    let st_marys = "st-marys".parse().unwrap();
    let rig = setup.open_in(folder).await.unwrap();
    let refused = rig.ask("Hello.").await;
    let code = refused.refusal().map(Refusal::code);
    assert_eq!((code, refused.status()), (Some("tenant-unavailable"), 503));
    let why = rig.gateway.why_closed(&st_marys).unwrap();
    assert!(why.contains("no longer holds the"), "{why}");
    let folder = rig.close();

    std::fs::remove_dir_all(&own).unwrap();
    let rig = setup.open_in(folder).await.unwrap();
    let why = rig.gateway.why_closed(&st_marys).unwrap();
    assert!(why.contains("is gone"), "{why}");
    let folder = rig.close();
    assert!(!own.exists(), "no new tenant stands in its place");
    let (code, said) = nephron(&verify);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("sealed file is missing"), "{said}");

    copy(&older, &own);
    let (code, said) = nephron(&readmit);
    assert_eq!(code, Some(0), "{said}");
    let rig = setup.open_in(folder).await.unwrap();
    let entries = rig.host_entries();
    let taken_back = entries
        .iter()
        .find(|entry| entry.header.outcome == "readmitted")
        .unwrap();
    assert_eq!(taken_back.header.caller.as_deref(), Some("j.doe"));
    let folder = rig.close();
    let (code, said) = nephron(&verify);
    assert_eq!(code, Some(3), "what is lost stays lost: {said}");
    let (code, said) = nephron(&readmit);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = nephron(&readmit);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing of a tenant `st-marys`"), "{said}");

    // Nor can the host's own log be taken away, to make the others be forgotten.
    std::fs::remove_dir_all(folder.path().join(RECORD)).unwrap();
    let (code, said) = nephron(&verify);
    assert_eq!(code, Some(3), "{said}");
    let refused = setup.open_at(folder.path()).await.unwrap_err();
    let is_gone = matches!(refused, OpenError::Tenant(TenantError::HostGone { .. }));
    assert!(is_gone, "{refused}");
    let readmit = [
        "audit", "readmit", "host", "--by", "j.doe", "--config", &config,
    ];
    assert_eq!(nephron(&readmit).0, Some(0));
    let rig = setup.open_in(folder).await.unwrap();
    let entries = rig.host_entries();
    let begun = entries
        .iter()
        .find(|entry| entry.header.outcome == "readmitted");
    let header = &begun.unwrap().header;
    assert_eq!(
        (header.facts["tenant"].as_str(), header.caller.as_deref()),
        ("host", Some("j.doe"))
    );
    assert_eq!(nephron(&readmit).0, Some(1), "it is there");
    drop(rig.close());
}

/// Asks until the answer has this status; whoever does not get there in a minute, fails.
async fn ask_until(served: &Served, key: &str, status: u16) -> Received {
    let asking = async {
        loop {
            let answer = served.post(Some(key), &[], &asked()).await;
            if answer.status == status {
                return answer;
            }
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), asking).await;
    asked.unwrap_or_else(|_| panic!("never {status}"))
}

fn asked() -> String {
    json!({ "model": "clinical", "messages": [{ "role": "user", "content": "Hello." }] })
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_damaged_tenant_keeps_no_other_from_serving_and_serves_again_once_mended() {
    let served = Setup::default().serve("").await;
    let segment = |data: &Path| data.join("tenants/lakeside/log/journal/00000000.wal");
    let sound = std::fs::read(segment(served.data())).unwrap();
    let mut damaged = sound.clone();
    damaged[400] ^= 1;
    let served = served
        .restarted_after(|data| std::fs::write(segment(data), &damaged).unwrap())
        .await;
    let [physician, lakeside] = [&served.physician, &served.lakeside].map(Clone::clone);
    let refused = served.post(Some(&lakeside), &[], &asked()).await;
    let code = refused.json()["error"]["code"].clone();
    assert_eq!((refused.status, code), (503, "tenant-unavailable".into()));
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(served.get("/readyz").await.status, 503);
    assert_eq!(
        served.post(Some(&physician), &[], &asked()).await.status,
        200
    );

    std::fs::write(segment(served.data()), &sound).unwrap();
    ask_until(&served, &lakeside, 200).await;
    assert_eq!(served.get("/readyz").await.status, 200);
    let host = served.reopened().await.host_entries();
    let counted = |header: &Header| header.counts.get("tenant-unavailable").copied();
    assert!(
        host.iter()
            .filter_map(|entry| counted(&entry.header))
            .sum::<u64>()
            >= 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_when_no_log_can_be_written_nothing_is_served_until_one_can_without_a_restart() {
    let disk = Arc::new(FaultyDisk::new());
    let options = Options {
        disk: Arc::<FaultyDisk>::clone(&disk),
        ..Options::default()
    };
    let model = MockModel::start(200, "ok").await;
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let setup = Setup::default()
        .upstream(&model.url(), "", cleared)
        .log(options);
    let served = setup.serve("").await;
    let physician = served.physician.clone();
    assert_eq!(
        served.post(Some(&physician), &[], &asked()).await.status,
        200
    );
    let sent = model.seen().len();
    disk.fail_now();
    for _ in 0..3 {
        let refused = served.post(Some(&physician), &[], &asked()).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
    }
    assert_eq!(
        served.post(Some("nph_forged"), &[], &asked()).await.status,
        401
    );
    assert_eq!(
        model.seen().len(),
        sent,
        "nothing is sent that is not recorded"
    );
    ask_until(&served, &physician, 503).await;
    assert_eq!(served.get("/readyz").await.status, 503);
    disk.heal();
    ask_until(&served, &physician, 200).await;
    let ready = async { while served.get("/readyz").await.status != 200 {} };
    let ready = tokio::time::timeout(Duration::from_secs(60), ready).await;
    assert!(ready.is_ok(), "the other logs are opened again too");
    let rig = served.reopened().await;
    let log = rig.log_folder();
    let folder = rig.close();
    let verdict = nephron_audit::verify(&log, VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_checkpoint_and_a_key_hold_a_log_to_its_word() {
    let setup = Setup::default();
    let rig = setup.open().await;
    assert!(rig.ask("Hello.").await.text().is_some());
    let log = rig.log_folder();
    let folder = rig.close();
    let log = log.to_str().unwrap();
    let [kept, entry, growth] = ["kept", "entry.tlog-proof", "growth"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let (code, key) = nephron(&["audit", "vkey", log]);
    assert_eq!(code, Some(0), "{key}");
    let key = key.trim().to_owned();
    assert!(key.starts_with("nephron/st-marys/"), "{key}");
    let (code, note) = nephron(&["audit", "checkpoint", log]);
    assert_eq!(code, Some(0), "{note}");
    std::fs::write(&kept, note).unwrap();

    let rig = setup.open_in(folder).await.unwrap();
    assert!(rig.ask("And again.").await.text().is_some());
    let folder = rig.close();
    for arguments in [
        ["--entry", "3", "--out", &entry],
        ["--since", &kept, "--out", &growth],
    ] {
        let (code, said) = nephron(&[&["audit", "prove", log][..], &arguments].concat());
        assert_eq!(code, Some(0), "{said}");
    }
    let held = [
        "audit",
        "verify",
        log,
        "--vkey",
        &key,
        "--checkpoint",
        &kept,
    ];
    let (code, said) = nephron(&held);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the given key signed the first"), "{said}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let key: nephron_audit::VerifierKey = key.parse().unwrap();
    let old = nephron_audit::SignedCheckpoint::open(&read(&kept), &key).unwrap();
    let growth = nephron_audit::GrowthProof::parse(&read(&growth)).unwrap();
    assert!(growth.verify(&old.checkpoint, &key).is_ok());
    let entry = nephron_audit::EntryProof::parse(&read(&entry)).unwrap();
    assert_eq!(entry.verify(&key).unwrap().header.sequence, 3);

    // Another tenant's key vouches for nothing here.
    let other = folder.path().join("tenants/lakeside/log");
    let (_, other) = nephron(&["audit", "vkey", other.to_str().unwrap()]);
    let (code, said) = nephron(&["audit", "verify", log, "--vkey", other.trim()]);
    assert_eq!(code, Some(3), "{said}");
    let (code, said) = nephron(&["audit", "prove", log, "--entry", "100000"]);
    assert_eq!(code, Some(1), "{said}");
}
