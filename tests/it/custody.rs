//! Tenants and their keys as an operator handles them, beside a gateway that serves and without one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nephron_keys::Schedule;
use nephron_model::{Draft, EntryKind, Recorder as _};
use nephron_tests::{CANARY_NOTE, Received, Served, Setup, SoftHsm};
use serde_json::{Value, json};

/// A configuration file for this data folder, with this `[root-key]`.
pub(super) fn configuration(folder: &Path, data: &Path, root_key: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let text = std::fs::read_to_string(examples.join("quickstart/gateway.toml")).unwrap();
    let file = "provider = \"file\"\npassphrase = { environment = \"NEPHRON_PASSPHRASE\" }";
    assert!(text.contains(file) && text.contains("data = \"data\""));
    let text = text
        .replace(
            "data = \"data\"",
            &format!("data = {:?}", data.display().to_string()),
        )
        .replace(
            "\"../policies",
            &format!("\"{}/policies", examples.display()),
        )
        .replace(file, root_key);
    let path = folder.join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    path
}

pub(super) const FILE: &str =
    "provider = \"file\"\npassphrase = { environment = \"NEPHRON_PASSPHRASE\" }";

/// The command line, with a configuration.
pub(super) struct Operator {
    pub(super) configuration: PathBuf,
    pub(super) token: Option<SoftHsm>,
}

impl Operator {
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(super::nephron());
        command
            .args(arguments)
            .arg("--config")
            .arg(&self.configuration);
        command.env("NEPHRON_PASSPHRASE", "correct horse battery staple");
        if let Some(token) = &self.token {
            command.env("SOFTHSM2_CONF", &token.configuration);
        }
        command.output().unwrap()
    }

    /// What a command that must succeed printed, as JSON.
    pub(super) fn done(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit code and causes of a command that must fail.
    pub(super) fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }
}

fn state<'a>(done: &'a Value, tenant: &str) -> &'a Value {
    let tenants = done["tenants"].as_array().unwrap();
    let found = tenants.iter().find(|standing| standing["tenant"] == tenant);
    found.unwrap()
}

async fn chat(served: &Served) -> Received {
    let message = json!({ "role": "user", "content": CANARY_NOTE });
    let body = json!({ "model": "clinical", "messages": [message] }).to_string();
    let conversation = [("x-conversation", "c")];
    served
        .post(Some(&served.physician), &conversation, &body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_a_tenant_ends_while_the_gateway_serves() {
    let served = Setup::default().serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator {
        configuration: configuration(folder.path(), served.data(), FILE),
        token: None,
    };
    let before = chat(&served).await;
    assert_eq!(before.status, 200, "{}", before.text);

    // Requests go on while the keys change under them.
    let rotate = || operator.done(&["key", "rotate", "st-marys"]);
    let (rotated, answers) = tokio::join!(
        async { tokio::task::block_in_place(rotate) },
        futures_util::future::join_all((0..8).map(|_| chat(&served)))
    );
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let versions = state(&rotated, "st-marys")["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(
        versions[1]["seals"],
        json!(["vault", "audit-payload", "field"])
    );
    assert_eq!(versions[0]["seals"], json!([]));
    // What is known from before is still known.
    assert_eq!(chat(&served).await.status, 200);

    let table = operator.run(&["key", "status"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("opens only") && table.contains("lakeside"),
        "{table}"
    );

    let terminate = ["tenant", "terminate", "st-marys"];
    let (code, said) = operator.refused(&terminate);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--confirm st-marys"), "{said}");
    let wrong = [&terminate[..], &["--confirm", "lakeside"]].concat();
    let (code, said) = operator.refused(&wrong);
    assert_eq!(code, Some(4), "{said}");
    assert_eq!(chat(&served).await.status, 200);

    let right = [&terminate[..], &["--confirm", "st-marys"]].concat();
    let export = folder.path().join("export");
    let out = export.to_str().unwrap();
    operator.done(&["tenant", "export", "st-marys", "--out", out]);
    let ended = operator.done(&right);
    assert_eq!(state(&ended, "st-marys")["state"], "destroyed");
    let gone = |answer: Received| {
        assert_eq!(answer.status, 410, "{}", answer.text);
        assert!(answer.text.contains("destroyed"), "{}", answer.text);
    };
    gone(chat(&served).await);
    let field = json!({ "fields": [{ "record": "r", "name": "n", "kind": "name", "value": "v" }] });
    let seal = field.to_string();
    gone(
        served
            .post_to("/v1/fields/seal", Some(&served.physician), &[], &seal)
            .await,
    );
    let detokenize = json!({ "conversation": "c", "texts": ["[NAME_7KQ2M]"] }).to_string();
    gone(
        served
            .post_to("/v1/reidentify", Some(&served.physician), &[], &detokenize)
            .await,
    );

    // Its neighbour noticed nothing.
    let other =
        json!({ "model": "clinical", "messages": [{ "role": "user", "content": "hello" }] });
    let other = served
        .post(Some(&served.lakeside), &[], &other.to_string())
        .await;
    assert_eq!(other.status, 200, "{}", other.text);

    // Nor does a restart bring anything back.
    let socket = served.data().join("host/control");
    assert!(socket.exists());
    let served = served.restarted().await;
    gone(chat(&served).await);
    let rig = served.reopened().await;
    assert!(!socket.exists());
    let (tenant, log) = (rig.tenant(), rig.log_folder());
    let entries =
        (0..tenant.log().head().entries).map(|at| tenant.log().entry(at).unwrap().unwrap());
    let entries: Vec<_> = entries.collect();
    let changes = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::KeyChanged);
    let changes: Vec<_> = changes.map(|entry| entry.header.outcome.as_str()).collect();
    assert_eq!(
        changes,
        [
            "created",
            // The key of the checkpoints, which outlives the others.
            "created",
            "rotating",
            "created",
            "destroyed",
            "tenant-terminated"
        ]
    );
    let refused = entries.last().unwrap();
    assert_eq!(
        (refused.header.kind, refused.header.outcome.as_str()),
        (EntryKind::RosterActivated, "ok")
    );
    let closed = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::RequestClosed);
    let refused = closed.filter(|entry| entry.header.reasons == ["destroyed"]);
    assert!(refused.count() >= 4, "each refusal is in the log");
    drop(tenant);
    let _folder = rig.close();
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_rotates_what_is_due_and_nothing_else() {
    let rig = Setup::default().open().await;
    let versions = || rig.tenant().keys().status().unwrap().versions.len();
    rig.gateway.keep_keys().await;
    assert_eq!(versions(), 1);
    rig.clock
        .advance(Schedule::QUARTER - Duration::from_secs(1));
    rig.gateway.keep_keys().await;
    assert_eq!(versions(), 1);
    rig.clock.advance(Duration::from_secs(1));
    rig.gateway.keep_keys().await;
    rig.gateway.keep_keys().await;
    assert_eq!(versions(), 2);
    let head = rig.tenant().log().head().entries;
    let last = rig.tenant().log().entry(head - 1).unwrap().unwrap().header;
    assert_eq!(
        (last.outcome.as_str(), &*last.facts["by"]),
        ("created", "schedule")
    );
}

#[test]
fn a_tenant_lives_and_ends_in_a_hardware_module_by_the_command_line() {
    let token = SoftHsm::new();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let root_key = format!(
        "provider = \"pkcs11\"\nmodule = {:?}\ntoken-label = \"{}\"\npin = {{ file = \"pin\" }}",
        token.module.display().to_string(),
        SoftHsm::LABEL
    );
    let pin = folder.path().join("pin");
    std::fs::write(&pin, SoftHsm::PIN).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
    let operator = Operator {
        configuration: configuration(folder.path(), &data, &root_key),
        token: Some(token),
    };

    let made = operator.done(&["tenant", "create", "st-marys"]);
    assert_eq!(state(&made, "st-marys")["provider"], "pkcs11");
    let (code, said) = operator.refused(&["tenant", "create", "st-marys"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is there already"), "{said}");
    operator.done(&["tenant", "create", "hillside"]);
    operator.done(&["key", "rotate", "st-marys", "--boundary", "field"]);
    let listed = operator.done(&["tenant", "list"]);
    assert_eq!(listed["tenants"].as_array().unwrap().len(), 2);
    let standing = state(&listed, "st-marys");
    let keks = standing["keks"].as_array().unwrap();
    let newest = &keks[1]["name"];
    assert!(keks[0]["retired"].is_string() && keks[1]["retired"].is_null());
    for version in standing["versions"].as_array().unwrap() {
        assert_eq!(version["kek"], *newest);
    }

    let export = folder.path().join("export");
    let out = export.to_str().unwrap();
    let copied = operator.done(&["tenant", "export", "st-marys", "--out", out]);
    let files = copied["files"].as_array().unwrap();
    assert!(!files.is_empty());
    assert!(
        files
            .iter()
            .all(|file| file["path"].as_str().unwrap().starts_with("log/"))
    );
    let (code, _) = operator.refused(&["tenant", "export", "st-marys", "--out", out]);
    assert_eq!(code, Some(2));
    let (code, said) = operator.refused(&["key", "destroy", "nobody", "--confirm", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no tenant `nobody`"), "{said}");

    let ended = operator.done(&["tenant", "terminate", "st-marys", "--confirm", "st-marys"]);
    let answers = ended["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(
            answer["answer"].as_str().unwrap().contains("CKR_OK"),
            "{answer}"
        );
    }
    let listed = operator.done(&["key", "status"]);
    assert_eq!(state(&listed, "st-marys")["state"], "destroyed");
    assert_eq!(state(&listed, "hillside")["state"], "live");
    for log in [export.join("log"), data.join("tenants/st-marys/log")] {
        let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default());
        assert!(verdict.unwrap().verified);
    }

    // The same data with another provider.
    let other = Operator {
        configuration: configuration(folder.path(), &data, FILE),
        token: None,
    };
    let (_, said) = other.refused(&["key", "status"]);
    assert!(said.contains("made with the provider `pkcs11`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_without_a_gateway_is_known_to_the_host_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    nephron_tests::compiled_into(&data);
    let operator = Operator {
        configuration: configuration(folder.path(), &data, FILE),
        token: None,
    };
    let (_, said) = operator.refused(&["tenant", "create", "host"]);
    assert!(said.contains("the host's own log"), "{said}");
    operator.done(&["tenant", "create", "st-marys"]);
    // The gateway opens what was made without it.
    let setup = Setup::default();
    setup.open_at(&data).await.unwrap();

    let (own, older) = (data.join("tenants/st-marys"), folder.path().join("older"));
    super::host_log::copy(&own, &older);
    operator.done(&["tenant", "terminate", "st-marys", "--confirm", "st-marys"]);
    // Nobody brings back a tenant that has ended by putting back what was before.
    std::fs::remove_dir_all(&own).unwrap();
    super::host_log::copy(&older, &own);
    let listed = operator.done(&["tenant", "list"]);
    let standing = state(&listed, "st-marys");
    assert_eq!(standing["state"], "unreadable");
    let problem = standing["problem"].as_str().unwrap();
    assert!(problem.contains("no longer holds the"), "{problem}");
    let (_, said) = operator.refused(&["key", "rotate", "st-marys"]);
    assert!(said.contains("no longer holds the"), "{said}");

    // A root key that is lost is not replaced by another.
    std::fs::rename(data.join("host/root.key"), folder.path().join("root.key")).unwrap();
    let (_, said) = operator.refused(&["tenant", "list"]);
    assert!(said.contains("root.key` is gone"), "{said}");
    assert!(!data.join("host/root.key").exists());
}

/// Everything in the tenant's log.
fn all_entries(rig: &nephron_tests::Rig) -> Vec<nephron_audit::Entry> {
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX);
    entries.map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_long_enough_goes_by_the_schedule_unless_it_is_on_hold() {
    let rig = Setup::default()
        .and("[log]\nretention = \"6y\"\n")
        .open()
        .await;
    drop(rig.ask(CANARY_NOTE).await);
    let texts = |rig: &nephron_tests::Rig| {
        let entries = all_entries(rig);
        entries.iter().filter(|it| it.payload.is_some()).count()
    };
    let sealed = texts(&rig);
    assert!(sealed > 3, "{sealed}");
    rig.gateway.keep_keys().await;
    assert_eq!(texts(&rig), sealed, "nothing of it is six years old");

    // A log in use has an entry now and then; one that has none for years has a clock that was put wrong, most likely.
    for _ in 0..7 * 13 {
        rig.clock.advance(Duration::from_secs(30 * 86_400));
        let counted = Draft::new(EntryKind::RequestsCounted, "refused");
        let _durable = rig.tenant().log().record(counted).await.unwrap();
    }
    rig.tenant().log().hold("counsel", "matter 12-77").unwrap();
    rig.gateway.keep_keys().await;
    assert!(texts(&rig) >= sealed, "it is on hold");
    rig.tenant().log().release("counsel", "settled").unwrap();
    rig.gateway.keep_keys().await;
    let entries = all_entries(&rig);
    let pruned = entries.iter().filter(|entry| entry.is_pruned).count();
    assert_eq!(pruned, sealed);
    let said = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::PayloadsPruned);
    let said: Vec<_> = said
        .map(|entry| entry.header.facts["by"].as_str())
        .collect();
    assert_eq!(said, ["schedule"]);
    let log = rig.log_folder();
    let _folder = rig.close();
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
    assert_eq!(verdict.pruned, sealed as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_on_hold_keeps_its_keys_and_a_person_answers_for_it() {
    let served = Setup::default().serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator {
        configuration: configuration(folder.path(), served.data(), FILE),
        token: None,
    };
    let ground = ["--by", "Counsel", "--reason", "matter 12-77"];
    let prune = [&["audit", "prune", "--dry-run"][..], &ground].concat();
    let (code, said) = operator.refused(&prune);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`retention`"), "{said}");

    let act = |what: &'static str| [&["tenant", what, "st-marys"][..], &ground].concat();
    let (_, said) = operator.refused(&["tenant", "hold", "st-marys", "--by", "", "--reason", "x"]);
    assert!(said.contains("person"), "{said}");
    let held = operator.done(&act("hold"));
    let hold = &state(&held, "st-marys")["hold"];
    assert!(
        hold["by"].as_str().unwrap().starts_with("Counsel ("),
        "{hold}"
    );
    let (_, said) = operator.refused(&act("hold"));
    assert!(said.contains("on hold since"), "{said}");
    let listed = operator.run(&["tenant", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("st-marys: on legal hold since"), "{listed}");

    let terminate = ["tenant", "terminate", "st-marys", "--confirm", "st-marys"];
    let (_, said) = operator.refused(&terminate);
    assert!(said.contains("matter 12-77"), "{said}");
    assert_eq!(chat(&served).await.status, 200);
    let released = operator.done(&act("release"));
    assert_eq!(state(&released, "st-marys")["hold"], Value::Null);
    operator.done(&terminate);
    let rig = served.reopened().await;
    let entries = all_entries(&rig);
    let holds = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::LegalHold);
    let holds: Vec<_> = holds
        .map(|entry| {
            (
                entry.header.outcome.as_str(),
                entry.header.facts["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        holds,
        [("held", "matter 12-77"), ("released", "matter 12-77")]
    );
}
