//! Exporters and what they ship to: an OpenTelemetry collector, Splunk's event collector, a FHIR server, rsyslog over TLS, files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nephron_audit::Entry;
use nephron_model::EntryKind;
use nephron_tests::{Background, CANARIES, CANARY_NOTE, MockModel, Rig, Rsyslog, Setup, sdk};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
const CHANNEL: &str = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba";

/// Servers that take entries over HTTP.
struct Receivers(Background);

impl Receivers {
    async fn start() -> Self {
        let started = tokio::task::spawn_blocking(Background::receivers);
        Self(started.await.unwrap())
    }

    fn url(&self) -> &str {
        self.0.url()
    }

    async fn get(&self, path: &str) -> Value {
        let address = self.url().strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

fn exporter(name: &str, component: &str, settings: &str) -> String {
    format!(
        "[[plugin]]\nname = \"{name}\"\nkind = \"exporter\"\ncomponent = \"{component}\"\nsettings = {{ {settings} }}\n"
    )
}

fn export(plugin: &str, more: &str) -> String {
    format!("[[export]]\nplugin = \"{plugin}\"\ntenants = [\"st-marys\"]\n{more}\n")
}

/// An authority in `ca.pem`, and what it issues for `localhost`.
fn certificates(folder: &Path) -> PathBuf {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    write(
        "server.pem",
        params.signed_by(&key, &authority).unwrap().pem(),
    );
    write("server.key", key.serialize_pem());
    write("ca.pem", authority.pem());
    folder.join("ca.pem")
}

fn log(rig: &Rig) -> Vec<Entry> {
    let (tenant, head) = (rig.tenant(), rig.tenant().log().head().entries);
    tenant
        .log()
        .entries(0..head)
        .map(|entry| entry.unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_gets_the_log_in_its_own_form_and_none_waits_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let ca = certificates(folder.path()).display().to_string();
    let home = folder.path().to_owned();
    let rsyslog = tokio::task::spawn_blocking(move || Rsyslog::start(&home));
    let (receivers, rsyslog) = (Receivers::start().await, rsyslog.await.unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, "1c5e6ddf-8a0b-4a3e-9d7a-nephron").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, private).unwrap();
    let model = MockModel::start(200, "About {user} - done.").await;
    let url = receivers.url();
    let more = [
        "[emergency]\npurposes = [\"ETREAT\"]\n".to_owned(),
        exporter("fhir", "fhir-audit-event", ""),
        exporter(
            "hec",
            "splunk-hec",
            &format!("credential = \"splunk\", channel = \"{CHANNEL}\""),
        ),
        exporter("otlp", "otlp-logs", ""),
        exporter("syslog", "syslog", "longest = 65536"),
        exporter("ocsf", "ocsf", ""),
        export("otlp", "name = \"dead\"\nurl = \"http://127.0.0.1:1\""),
        export("fhir", &format!("url = \"{url}/fhir\"")),
        export(
            "hec",
            &format!(
                "url = \"{url}\"\ncredential = {{ name = \"splunk\", prefix = \"Splunk \", secret = {{ file = \"{}\" }} }}",
                token.display()
            ),
        ),
        export("otlp", &format!("url = \"{url}\"\nbatch = 7")),
        export(
            "syslog",
            &format!(
                "stream = \"tls://localhost:{}\"\ntls = {{ ca = \"{ca}\" }}",
                rsyslog.port()
            ),
        ),
        export("ocsf", "file = \"ocsf.jsonl\""),
    ];
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let rig = setup.and(&more.concat()).open().await;
    assert_eq!(rig.ask(CANARY_NOTE).await.status(), 200);
    let denied = rig.ask_as(
        "st-marys",
        "r.ashgrove",
        "nobody",
        "TREAT",
        None,
        CANARY_NOTE,
    );
    assert_eq!(denied.await.status(), 403);
    let emergency = rig.ask_as(
        "st-marys",
        "dr.okafor",
        "physician",
        "ETREAT",
        None,
        CANARY_NOTE,
    );
    assert_eq!(emergency.await.status(), 200);

    // One entry that the event collector never takes, and a collector that is away for a moment.
    let poisoned = 5_u64;
    receivers.get(&format!("/poison?{poisoned}=1")).await;
    receivers.get("/fail?otlp=1").await;
    let until = rig.tenant().log().head().entries;
    for _ in 0..5 {
        // The one whose server is not there fails each time, and holds up nobody.
        assert!(rig.gateway.export().await.is_err());
    }

    let entries = log(&rig);
    let received = receivers.get("/received").await;
    let all: BTreeSet<u64> = (0..until).collect();
    let sequences = |values: &[Value], of: &dyn Fn(&Value) -> u64| -> BTreeSet<u64> {
        values
            .iter()
            .map(of)
            .filter(|sequence| *sequence < until)
            .collect()
    };
    let entry = |sequence: u64| {
        entries
            .iter()
            .find(|entry| entry.header.sequence == sequence)
            .unwrap()
    };
    let header = |sequence| String::from_utf8(entry(sequence).header_bytes.clone()).unwrap();

    let otlp = received["otlp"].as_array().unwrap();
    let at = |record: &Value| {
        record["attributes"]["nephron.log.sequence"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(sequences(otlp, &at), all);
    for record in otlp {
        let one = entry(at(record));
        assert_eq!(record["body"], header(at(record)).as_str());
        assert_eq!(record["attributes"]["nephron.log.hash"], hex(&one.hash.0));
        assert_eq!(record["resource"]["nephron.tenant"], "st-marys");
    }
    // Refused once, it came again after that.
    assert!(received["attempts"]["otlp"].as_u64().unwrap() > until.div_ceil(7));

    let hec = received["hec"].as_array().unwrap();
    let at = |event: &Value| event["event"]["header"]["sequence"].as_u64().unwrap();
    let mut but_one = all.clone();
    but_one.remove(&poisoned);
    assert_eq!(sequences(hec, &at), but_one);
    let set_aside: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.header.outcome == "set-aside")
        .collect();
    let [one] = set_aside[..] else {
        panic!("one entry is set aside")
    };
    assert_eq!(one.header.kind, EntryKind::Exported);
    let fact = |name: &str| one.header.facts[name].as_str();
    assert_eq!(
        (fact("exporter"), fact("first"), fact("last")),
        ("hec", "5", "5")
    );
    assert_eq!(one.header.reasons, ["hec-6"]);

    let fhir = received["fhir"].as_array().unwrap();
    let at = |event: &Value| {
        let details = event["entity"].as_array().unwrap().iter();
        let mut details =
            details.flat_map(|entity| entity["detail"].as_array().into_iter().flatten());
        let sequence = details.find(|detail| detail["type"] == "sequence").unwrap();
        sequence["valueString"].as_str().unwrap().parse().unwrap()
    };
    assert_eq!(sequences(fhir, &at), all);
    let events = folder.path().join("fhir.json");
    std::fs::write(&events, received["fhir"].to_string()).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let constraints = fixtures.join("balp/constraints.json").display().to_string();
    let ocsf = rig
        .folder
        .path()
        .join("tenants/st-marys/exports/ocsf.jsonl");
    let ocsf_text = std::fs::read_to_string(&ocsf).unwrap();
    let (events, ocsf) = (events.display().to_string(), ocsf.display().to_string());
    let definitions = fixtures.join("ocsf").display().to_string();
    let held = tokio::task::spawn_blocking(move || {
        let environment = [("EVENTS", events.as_str()), ("CONSTRAINTS", &constraints)];
        let fhir = sdk("fhir_audit_events.mjs", &environment);
        let environment = [("EVENTS", ocsf.as_str()), ("FIXTURES", &definitions)];
        fhir + &sdk("ocsf_events.py", &environment)
    });
    let held = held.await.unwrap();
    for profile in [
        "AuthZconsent",
        "PatientRead",
        "PrivacyDisclosure.Source",
        "no profile",
        "ai_operation",
    ] {
        assert!(held.contains(profile), "{profile}: {held}");
    }
    let events: Vec<Value> = ocsf_text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let at = |event: &Value| event["metadata"]["sequence"].as_u64().unwrap();
    assert_eq!(sequences(&events, &at), all);

    // What it has written so far may lag behind what it has read.
    let at = |message: &Value| {
        let data = message["structured-data"].as_str().unwrap();
        let (_, rest) = data.split_once("sequence=\"").unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    let waiting = async {
        while sequences(&rsyslog.messages(), &at) != all {
            receivers.get("/received").await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    assert!(
        waited.is_ok(),
        "rsyslog has {:?}",
        sequences(&rsyslog.messages(), &at)
    );
    for message in rsyslog.messages() {
        let text = message["msg"]
            .as_str()
            .unwrap()
            .trim_start_matches('\u{feff}');
        assert_eq!(text, header(at(&message)));
        assert_eq!(message["app-name"], "nephron");
    }

    let failed = entries
        .iter()
        .filter(|entry| entry.header.outcome == "failed");
    let dead = |entry: &&Entry| entry.header.facts["exporter"] == "dead";
    assert_eq!(failed.filter(dead).count(), 5);
    let shipped = [
        received.to_string(),
        ocsf_text,
        format!("{:?}", rsyslog.messages()),
    ];
    for canary in CANARIES {
        assert!(
            shipped.iter().all(|text| !text.contains(canary)),
            "{canary}"
        );
    }
}

/// A server that takes a request and never answers, or answers without end.
async fn never_done(is_endless: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if is_endless && stream.read(&mut buffer).await.is_ok() {
                    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice();
                    let mut bytes = head.to_vec();
                    while stream.write_all(&bytes).await.is_ok() {
                        bytes = vec![b'x'; 1 << 16];
                    }
                }
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_never_ends_holds_up_nobody_and_operators_see_it() {
    let of = |name: &str, url: &str| {
        export(
            "otlp",
            &format!("name = \"{name}\"\nurl = \"{url}\"\ntimeout = \"500ms\""),
        )
    };
    let more = [
        exporter("otlp", "otlp-logs", ""),
        exporter("jsonl", "jsonl-export", ""),
        of("hangs", &never_done(false).await),
        of("endless", &never_done(true).await),
        export("jsonl", "file = \"audit.jsonl\""),
        "[status]\naddress = \"127.0.0.1:0\"\n".to_owned(),
    ];
    let served = Setup::default().and(&more.concat()).serve("").await;
    let tenant = served.data().join("tenants/st-marys");
    let exported = |of: &str| -> Vec<String> {
        let reader = nephron_audit::Reader::open(&tenant.join("log")).unwrap();
        let entries = reader.entries(0..reader.head().entries);
        let headers = entries.map(|entry| entry.unwrap().header);
        let failed = headers.filter(|header| {
            header.outcome == "failed" && header.facts.get("exporter").is_some_and(|it| it == of)
        });
        failed.flat_map(|header| header.reasons).collect()
    };
    let waiting = async {
        loop {
            let (hangs, endless) = (exported("hangs"), exported("endless"));
            let file = std::fs::read_to_string(tenant.join("exports/audit.jsonl"));
            let is_there = file.is_ok_and(|text| text.contains("roster-activated"));
            if is_there && !hangs.is_empty() && !endless.is_empty() {
                return (hangs, endless);
            }
            // Anything that waits for the server; it has its own threads.
            let _alive = served.get("/livez").await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await;
    let (hangs, endless) = waited.unwrap();
    assert!(hangs.iter().all(|why| why == "timed-out"), "{hangs:?}");
    assert!(
        endless.iter().all(|why| why == "response-too-large"),
        "{endless:?}"
    );

    served.clock.advance(std::time::Duration::from_secs(1_200));
    let status = served.status("/status").await.json();
    let of = |name: &str| {
        let exports = status["exports"].as_array().unwrap();
        exports
            .iter()
            .find(|one| one["name"] == name)
            .unwrap()
            .clone()
    };
    let (late, in_time) = (of("hangs"), of("jsonl"));
    assert_eq!(late["late"], serde_json::json!(["st-marys"]));
    let failing = serde_json::json!([{ "tenant": "st-marys", "code": "timed-out" }]);
    assert_eq!(late["failing"], failing);
    assert!(late["lag"].as_u64().unwrap() > 0 && late["oldest-seconds"].as_u64().unwrap() >= 1_200);
    assert_eq!(
        (&in_time["lag"], &in_time["late"]),
        (&serde_json::json!(0), &serde_json::json!([]))
    );
    let metrics = served.status("/metrics").await.text;
    for line in [
        "nephron_export_late{export=\"hangs\"} 1",
        "nephron_export_failing{export=\"endless\"} 1",
        "nephron_export_lag{export=\"jsonl\"} 0",
    ] {
        assert!(
            metrics.lines().any(|there| there == line),
            "{line}\n{metrics}"
        );
    }
    // Nor does it keep the process from stopping; and what was given up then is told, so that the story has its end.
    let rig = served.reopened().await;
    let folder = rig.log_folder();
    let _data = rig.close();
    let verdict = nephron_audit::verify(&folder, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(
        verdict.is_whole(),
        "{:?} {:?}",
        verdict.faults,
        verdict.gaps
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_given_up_before_it_came_to_anything_is_told_so() {
    let more = exporter("otlp", "otlp-logs", "")
        + &export(
            "otlp",
            &format!(
                "url = \"{}\"\ntimeout = \"50s\"\nbefore-reply = true\nbefore-reply-time = \"1s\"",
                never_done(false).await
            ),
        );
    let rig = Setup::default().and(&more).open().await;
    let refused = rig.ask(CANARY_NOTE).await;
    assert_eq!(refused.refusal().unwrap().code(), "not-delivered");
    let exported = log(&rig).into_iter().map(|entry| entry.header);
    let exported = exported.filter(|header| header.kind == EntryKind::Exported);
    let exported: Vec<_> = exported.collect();
    let outcomes: Vec<_> = exported.iter().map(|header| &*header.outcome).collect();
    assert_eq!(outcomes, ["delivering", "outcome-unknown"]);
    // It says of which entries, as the intent does.
    assert_eq!(exported[0].facts, exported[1].facts);
    let folder = rig.log_folder();
    let _data = rig.close();
    let verdict = nephron_audit::verify(&folder, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.is_whole(), "{:?}", verdict.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_until_it_is_delivered_and_is_not_given_where_it_is_not() {
    let receivers = Receivers::start().await;
    let more = exporter("otlp", "otlp-logs", "")
        + &export(
            "otlp",
            &format!(
                "url = \"{}\"\nbefore-reply = true\nbefore-reply-time = \"3s\"",
                receivers.url()
            ),
        );
    let rig = Setup::default().and(&more).open().await;
    receivers.get("/fail?otlp=1000").await;
    let refused = rig.ask(CANARY_NOTE).await;
    assert_eq!(
        (refused.status(), refused.refusal().unwrap().code()),
        (503, "not-delivered")
    );
    assert!(refused.text().is_none());
    let story = rig.story(refused.event());
    let closed = (EntryKind::RequestClosed, "not-delivered".to_owned());
    assert_eq!(story.last(), Some(&closed));
    // Whoever is not told to wait does not.
    let other = rig.ask_as(
        "lakeside",
        "dr.okafor",
        "physician",
        "TREAT",
        None,
        CANARY_NOTE,
    );
    assert_eq!(other.await.status(), 200);
    // A refusal shows nothing, and waits for nobody.
    let denied = rig.ask_as(
        "st-marys",
        "r.ashgrove",
        "nobody",
        "TREAT",
        None,
        CANARY_NOTE,
    );
    assert_eq!(denied.await.refusal().unwrap().code(), "denied");

    receivers.get("/fail?otlp=0").await;
    let answered = rig.ask(CANARY_NOTE).await;
    assert_eq!(answered.status(), 200);
    let event = answered.event().unwrap().to_string();
    let received = receivers.get("/received").await;
    let records = received["otlp"].as_array().unwrap().iter();
    let of_request =
        records.filter(|record| record["attributes"]["nephron.request"] == event.as_str());
    let kinds: BTreeSet<&str> = of_request
        .map(|record| record["event"].as_str().unwrap())
        .collect();
    for kind in ["request-opened", "decision", "sending", "reidentified"] {
        assert!(
            kinds.contains(format!("nephron.audit.{kind}").as_str()),
            "{kinds:?}"
        );
    }
}
