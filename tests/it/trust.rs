//! Who vouches for plugins: signed and certified through the command line, and asked for by a gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nephron_gateway::OpenError;
use nephron_model::{Digest, EntryKind};
use nephron_tests::{MockModel, Rig, Setup, component};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const AGREEMENT: &str = "[associate.agreement]\nstatus = \"signed\"\nid = \"BAA-2026-014\"\nservices = [\"there\"]\nfrom = \"2026-01-01\"\nuntil = \"2027-01-01\"";

/// What a statement says unless a test says otherwise: it holds at [`nephron_tests::NOW`] and on the day of the test.
pub(super) const USUAL: [&str; 4] = ["--from", "2026-11-01T00:00:00Z", "--days", "3000"];

const EXPIRED: [&str; 4] = ["--from", "2026-01-01T00:00:00Z", "--days", "30"];
const LATER: [&str; 4] = ["--from", "2026-12-24T00:00:00Z", "--days", "30"];

/// Runs the command line. Gives its exit code, and what it wrote to both streams.
pub(super) fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(super::nephron())
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

/// A folder of keys, components and their statements.
pub(super) struct Bench(TempDir);

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for name in ["acme", "lab", "stranger"] {
            let (code, said) = run(&["plugin", "keygen", &bench.at(name)]);
            assert_eq!(code, 0, "{said}");
        }
        bench
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Puts a component of ours here, unsigned.
    pub(super) fn put(&self, name: &str) -> String {
        let to = self.path(&format!("{name}.wasm"));
        std::fs::copy(component(name), &to).unwrap();
        to.to_str().unwrap().to_owned()
    }

    pub(super) fn statements(component: &str) -> String {
        format!("{component}.statements.jsonl")
    }

    /// Signs a component with `key`, in place of what was stated of it.
    pub(super) fn sign(&self, component: &str, key: &str, counter: &str, how: &[&str]) {
        drop(std::fs::remove_file(Self::statements(component)));
        let key = self.at(key);
        let said = [
            "plugin",
            "sign",
            component,
            "--key",
            &key,
            "--name",
            "gate",
            "--plugin-version",
            "1.0.0",
            "--counter",
            counter,
        ];
        let (code, said) = run(&[&said[..], how].concat());
        assert_eq!(code, 0, "{said}");
    }

    pub(super) fn trust(&self, more: &str) -> String {
        let kinds = "kinds = [\"decider\", \"detector\", \"connector\"]";
        let party = |role: &str, name: &str| {
            let key = self.at(&format!("{name}.pub"));
            format!("[[trust.{role}]]\nname = \"{name}\"\npublic-keys = [{key:?}]\n{kinds}\n")
        };
        format!(
            "[trust]\n{more}\n{}{}",
            party("vendor", "acme"),
            party("certifier", "lab")
        )
    }

    fn fingerprint(&self, name: &str) -> Digest {
        let text = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, base64).unwrap();
        Digest::of(&der)
    }

    /// A gateway whose three plugins lie here, signed.
    fn setup(&self, more: &str) -> (Setup, String) {
        let decider = self.put("does-nothing");
        for one in [&decider, &self.put("safe-harbor"), &self.put("echoes")] {
            self.sign(one, "acme", "7", &USUAL);
        }
        let setup = Setup::default()
            .decider(&decider, "")
            .detector(&self.at("safe-harbor.wasm"), "")
            .connector(&self.at("echoes.wasm"), "")
            .and(&self.trust(more));
        (setup, decider)
    }
}

fn code_of(refused: &OpenError) -> (&str, &'static str, String) {
    let OpenError::Trust { name, source } = refused else {
        panic!("{refused}")
    };
    (name, source.code(), source.to_string())
}

/// Changes the payload of an envelope, and leaves its signature.
fn tamper(statements: &str) {
    let text = std::fs::read_to_string(statements).unwrap();
    let mut envelope: Value = serde_json::from_str(text.trim()).unwrap();
    let engine = base64::prelude::BASE64_STANDARD;
    let payload = envelope["payload"].as_str().unwrap();
    let payload = base64::Engine::decode(&engine, payload).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let changed = payload.replace("\"counter\":7", "\"counter\":9");
    assert_ne!(changed, payload);
    envelope["payload"] = base64::Engine::encode(&engine, changed).into();
    std::fs::write(statements, envelope.to_string()).unwrap();
}

/// What is done to a bench whose decider is signed.
type Change<'a> = &'a dyn Fn(&Bench, &str);

#[tokio::test]
async fn each_plugin_that_is_not_vouched_for_is_refused_with_its_code_and_the_log_says_so() {
    let bench = Bench::new();
    let revoked = bench.path("revoked.txt");
    std::fs::write(&revoked, "# none\n").unwrap();
    let more = format!("revoked-file = {:?}", revoked.to_str().unwrap());
    let (setup, decider) = bench.setup(&more);
    let rig = setup.open().await;
    assert_eq!(rig.ask("Chest pain.").await.status(), 200);
    let manifest = rig.gateway.roster().manifest();
    for seat in manifest.seats() {
        let [vouch] = seat.vouched.as_slice() else {
            panic!("{seat:?}")
        };
        assert_eq!((vouch.by.as_str(), vouch.counter), ("acme", 7));
        assert_eq!(vouch.key, bench.fingerprint("acme"));
        let kept = format!("host/kept/{}.dsse.json", vouch.statement.hex());
        let kept = std::fs::read(rig.folder.path().join(kept)).unwrap();
        assert_eq!(Digest::of(&kept), vouch.statement);
    }
    let Rig {
        folder, gateway, ..
    } = rig;
    gateway.close().unwrap();

    let sign = |counter: &'static str, how: &'static [&'static str]| {
        move |bench: &Bench, decider: &str| bench.sign(decider, "acme", counter, how)
    };
    let statements = Bench::statements(&decider);
    let other = bench.put("unknown-obligation");
    let certify = |bench: &Bench, decider: &str, key: &str, how: &[&str]| {
        bench.sign(decider, "acme", "7", &USUAL);
        let key = bench.at(key);
        let said = [
            "plugin",
            "certify",
            decider,
            "--key",
            &key,
            "--name",
            "gate",
            "--plugin-version",
            "1.0.0",
            "--counter",
            "1",
        ];
        let (code, said) = run(&[&said[..], how].concat());
        assert_eq!(code, 0, "{said}");
    };
    let cases: [(Change<'_>, &str); 13] = [
        (
            &|_, _| std::fs::remove_file(&statements).unwrap(),
            "unsigned",
        ),
        (
            &|_, _| std::fs::write(&statements, "{}\n").unwrap(),
            "statement-malformed",
        ),
        (&|_, _| tamper(&statements), "statement-tampered"),
        (&sign("6", &USUAL), "older-counter"),
        (&sign("7", &EXPIRED), "statement-expired"),
        (&sign("7", &LATER), "statement-not-yet-valid"),
        (
            &|bench, it| bench.sign(it, "stranger", "7", &USUAL),
            "unknown-vendor",
        ),
        (
            &|bench, it| certify(bench, it, "stranger", &USUAL),
            "unknown-certifier",
        ),
        (
            &|bench, it| certify(bench, it, "lab", &EXPIRED),
            "statement-expired",
        ),
        (
            &|bench, _| {
                bench.sign(&other, "acme", "7", &USUAL);
                std::fs::copy(Bench::statements(&other), &statements).unwrap();
            },
            "statement-of-another-component",
        ),
        (
            &|bench, _| {
                let connector = bench.at("echoes.wasm");
                std::fs::copy(Bench::statements(&connector), &statements).unwrap();
            },
            "statement-of-another-component",
        ),
        (
            &|bench, _| {
                let key = bench.fingerprint("acme");
                std::fs::write(&revoked, format!("{key} # lost\n")).unwrap();
            },
            "key-revoked",
        ),
        (
            &|_, it| {
                let component = Digest::of(&std::fs::read(it).unwrap());
                std::fs::write(&revoked, component.to_string()).unwrap();
            },
            "component-revoked",
        ),
    ];
    for (change, code) in cases {
        bench.sign(&decider, "acme", "7", &USUAL);
        std::fs::write(&revoked, "").unwrap();
        change(&bench, &decider);
        let refused = setup.open_at(folder.path()).await.unwrap_err();
        let (name, found, said) = code_of(&refused);
        assert_eq!((name, found), ("access", code), "{said}");
        assert!(said.contains(';'), "it says what to do: {said}");
    }
    bench.sign(&decider, "acme", "7", &USUAL);
    std::fs::write(&revoked, "").unwrap();
    let rig = setup.open_in(folder).await.unwrap();
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX);
    let entries: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
    let refused: Vec<_> = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::PluginRefused)
        .map(|entry| {
            assert_eq!(entry.header.facts["plugin"], "access");
            entry.header.reasons.concat()
        })
        .collect();
    assert_eq!(refused, cases.map(|(_, code)| code.to_owned()));
}

/// Asks the control socket of a gateway that serves.
async fn ask(data: &Path, asked: Value) -> Result<Value, String> {
    let mut stream = UnixStream::connect(data.join("host/control"))
        .await
        .unwrap();
    let asked = format!("{asked}\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let standing = answer.get("plugins").cloned();
    standing.ok_or_else(|| answer["failed"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_held_to_trust_and_its_counter_outlives_the_process() {
    let bench = Bench::new();
    let (setup, decider) = bench.setup("");
    let setup = setup.and("[status]\naddress = \"127.0.0.1:0\"\n");
    let served = setup.serve("").await;
    let data = served.data().to_owned();
    let file = data.join("gateway.toml");
    let text = format!("data = \"{}\"\n{}", data.display(), served.setup().toml());
    std::fs::write(&file, &text).unwrap();
    let stage = || {
        let stage = json!({ "file": file, "by": "dana", "reason": "a test" });
        ask(&data, json!({ "plugins": { "stage": stage } }))
    };
    let act = |verb: &'static str| {
        let act = match verb {
            "activate" => json!({ "generation": null, "by": "dana", "reason": "a test" }),
            _ => json!({ "by": "dana", "reason": "a test" }),
        };
        ask(&data, json!({ "plugins": { verb: act } }))
    };

    std::fs::remove_file(Bench::statements(&decider)).unwrap();
    let refused = stage().await.unwrap_err();
    assert!(refused.contains("no vendor's signature"), "{refused}");
    // A newer signature of the same component is another generation, though nothing else of it differs.
    bench.sign(&decider, "acme", "9", &USUAL);
    stage().await.unwrap();
    // What is revoked since it was staged counts, whatever else is wrong with the file; where that cannot be read, nothing serves.
    let component = Digest::of(&std::fs::read(&decider).unwrap());
    let revoking = format!("[trust]\nrevoked = [\"{component}\"]");
    let revoking = format!("unknown = 1\n{}", text.replace("[trust]", &revoking));
    let absent = text.replace("[trust]", "[trust]\nrevoked-file = \"absent.txt\"");
    let status = async |path: &str| served.status(path).await;
    let distrusted =
        async || status("/status").await.json()["plugins"]["deciders"][0]["distrusted"].clone();
    assert_eq!(distrusted().await, Value::Null);
    std::fs::write(&file, &revoking).unwrap();
    let shadow = json!({ "percent": 100, "by": "dana", "reason": "a test" });
    let refused = ask(&data, json!({ "plugins": { "shadow": shadow } })).await;
    assert!(refused.unwrap_err().contains("is revoked"));
    // What serves goes on, and whoever looks is told.
    assert_eq!(distrusted().await, "component-revoked");
    let told = "nephron_plugin_distrusted{plugin=\"access\",code=\"component-revoked\"} 1";
    assert!(status("/metrics").await.text.contains(told));
    for (text, why) in [
        (revoking, "is revoked; take another version"),
        (absent, "what is revoked cannot be read"),
        (format!("{text}["), "what is revoked cannot be read"),
        (String::new(), "`[trust]` changed too"),
    ] {
        std::fs::write(&file, text).unwrap();
        let refused = act("activate").await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    std::fs::write(&file, &text).unwrap();
    act("activate").await.unwrap();
    bench.sign(&decider, "acme", "8", &USUAL);
    let refused = stage().await.unwrap_err();
    assert!(refused.contains("counter 8, and 9 has served"), "{refused}");

    // A person's rollback puts the counter back, and a start takes what it goes back to.
    act("rollback").await.unwrap();
    let served = served.restarted().await;
    bench.sign(&decider, "acme", "10", &USUAL);
    stage().await.unwrap();
    act("activate").await.unwrap();
    let rig = served.reopened().await;
    let counters = rig.host_entries();
    let Rig {
        folder, gateway, ..
    } = rig;
    gateway.close().unwrap();
    let counters: Vec<_> = counters
        .iter()
        .filter(|entry| entry.header.outcome == "counters")
        .filter_map(|entry| entry.header.counts.get("vendor/acme/decider/gate").copied())
        .collect();
    assert_eq!(counters, [7, 9, 7, 8, 10]);

    bench.sign(&decider, "acme", "9", &USUAL);
    let mut again = Setup::default()
        .decider(&decider, "")
        .detector(&bench.at("safe-harbor.wasm"), "")
        .connector(&bench.at("echoes.wasm"), "");
    again = again.and(&bench.trust(""));
    let refused = again.open_at(folder.path()).await.unwrap_err();
    assert_eq!(code_of(&refused).1, "older-counter");
}

#[tokio::test]
async fn i10_a_connector_without_a_live_certificate_carries_no_identifiable_text() {
    let bench = Bench::new();
    let server = MockModel::start(200, "ok").await;
    let connector = bench.put("openai-compatible");
    let all =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/llm-connector/openai-compatible");
    // A few exchanges will do here: each is cut in every way, on an unoptimised host.
    let cases = bench.path("cases");
    std::fs::create_dir(&cases).unwrap();
    for name in [
        "openai-rate-limit.json",
        "llama-cpp-top-k.json",
        "azure-filtered.json",
    ] {
        std::fs::copy(all.join(name), cases.join(name)).unwrap();
    }
    let certify = |more: &[&str], days: &str| {
        let (key, cases) = (bench.at("lab"), cases.to_str().unwrap());
        let said = [
            "plugin",
            "certify",
            &connector,
            "--key",
            &key,
            "--name",
            "chat",
            "--plugin-version",
            "1.0.0",
            "--counter",
            "1",
            "--cases",
            cases,
            "--from",
            "2026-11-01T00:00:00Z",
            "--days",
            days,
        ];
        run(&[&said[..], more].concat())
    };
    let named = [
        "--associate",
        "lab",
        "--agreement",
        "BAA-2026-014",
        "--carries",
        "identifiable",
    ];
    let rows: [(&[&str], &str, &str, u16); 4] = [
        (&[], "", "", 403),
        (
            &[
                "--associate",
                "lab",
                "--agreement",
                "BAA-1",
                "--carries",
                "identifiable",
            ],
            "3000",
            "",
            403,
        ),
        (&named, "3000", "", 200),
        // It ends while the gateway serves.
        (&named, "30", "later", 403),
    ];
    for (how, days, when, status) in rows {
        for one in [
            &connector,
            &bench.put("does-nothing"),
            &bench.put("safe-harbor"),
        ] {
            bench.sign(one, "acme", "7", &USUAL);
        }
        if !days.is_empty() {
            let (code, said) = certify(how, days);
            assert_eq!(code, 0, "{said}");
            assert!(said.contains("certify/"), "{said}");
            report_is_whole(&connector, &cases);
        }
        let rig = Setup::default()
            .decider(&bench.at("does-nothing.wasm"), "")
            .detector(&bench.at("safe-harbor.wasm"), "kinds = [\"date\"]")
            .upstream(&server.url(), AGREEMENT, "")
            .replacing("\"openai-compatible\"", &format!("{connector:?}"))
            .and(&bench.trust(""))
            .open()
            .await;
        if when == "later" {
            rig.clock.advance(Duration::from_secs(10 * 86_400));
        }
        let before = server.seen().len();
        let reply = rig.ask("Chest pain.").await;
        assert_eq!(reply.status(), status, "{how:?} {days}");
        assert_eq!(server.seen().len() - before, usize::from(status == 200));
        if status == 403 {
            let refusal = reply.refusal().unwrap();
            assert_eq!(refusal.code(), "no-agreement");
            assert_eq!(refusal.reasons(), ["connector-not-certified"]);
        }
    }
}

/// Whoever has the certificate can tell which report it is about, and whoever has the report, which cases were asked.
fn report_is_whole(component: &str, cases: &Path) {
    let report = std::fs::read(format!("{component}.conformance.json")).unwrap();
    let stated = std::fs::read_to_string(Bench::statements(component)).unwrap();
    let last: Value = serde_json::from_str(stated.lines().last().unwrap()).unwrap();
    let payload = last["payload"].as_str().unwrap();
    let payload = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, payload).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let named = format!("\"report\":\"{}\"", Digest::of(&report));
    assert!(payload.contains(&named), "{named} in {payload}");
    let report: Value = serde_json::from_slice(&report).unwrap();
    let listed = report["cases"].as_array().unwrap();
    let mut own = 0;
    for item in std::fs::read_dir(cases).unwrap() {
        let path = item.unwrap().path();
        let digest = Digest::of(&std::fs::read(&path).unwrap()).to_string();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for name in [name.clone(), format!("certify/{name}")] {
            let case = listed.iter().find(|case| case["name"] == name).unwrap();
            assert_eq!(case["case"], digest, "{name}");
            assert!(case["settings"].as_str().unwrap().starts_with("sha256:"));
            assert!(case["microseconds"].is_null(), "no times: {case}");
            own += 1;
        }
    }
    assert_eq!(own, 6);
}

#[test]
fn what_fails_a_case_is_not_certified_and_keys_of_openssl_sign_as_well() {
    let bench = Bench::new();
    let decider = bench.put("does-nothing");
    let cases = bench.path("cases");
    std::fs::create_dir(&cases).unwrap();
    let case = json!({
        "description": "Nobody is let in.",
        "query": { "point": "ingress", "action": "chat", "target": "any" },
        "decision": { "effect": "deny" },
    });
    std::fs::write(cases.join("denies.json"), case.to_string()).unwrap();
    let key = bench.at("lab");
    let certify = [
        "plugin",
        "certify",
        &decider,
        "--key",
        &key,
        "--name",
        "gate",
        "--plugin-version",
        "1",
        "--counter",
        "1",
        "--cases",
        cases.to_str().unwrap(),
    ];
    let (code, said) = run(&certify);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("1 case not kept"), "{said}");
    assert!(!Path::new(&Bench::statements(&decider)).exists());

    let openssl = |arguments: &[&str]| {
        let ran = Command::new("openssl").args(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    let (secret, public) = (bench.at("acme"), bench.at("acme.pub"));
    std::fs::remove_file(&secret).unwrap();
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &secret]);
    openssl(&["pkey", "-in", &secret, "-pubout", "-out", &public]);
    bench.sign(&decider, "acme", "1", &USUAL);
    let config = bench.path("gateway.toml");
    let text = Setup::default()
        .decider(&decider, "")
        .and(&bench.trust(""))
        .toml();
    std::fs::write(&config, text).unwrap();
    let verify = [
        "plugin",
        "verify",
        &decider,
        "--config",
        config.to_str().unwrap(),
    ];
    let (code, said) = run(&verify);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("signed by acme: gate 1.0.0, counter 1"),
        "{said}"
    );
    tamper_with_component(&decider);
    let (code, said) = run(&verify);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("statement-of-another-component"), "{said}");
}

/// Appends an empty custom section: another component that does the same.
fn tamper_with_component(component: &str) {
    let mut bytes = std::fs::read(component).unwrap();
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    std::fs::write(component, bytes).unwrap();
}
