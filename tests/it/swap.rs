//! The roster is exchanged while requests are in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nephron_gateway::{LOG, Manifest, OpenError, RECORD};
use nephron_model::{Digest, EntryKind};
use nephron_tests::{MockModel, PASSPHRASE, Served, Setup, compiled_into, component};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::trust::{Bench, USUAL};

/// Requests that are in flight through all changes of a wave.
const IN_FLIGHT: usize = 512;
const WAVES: usize = 4;
/// Changes of the roster, tried and made, in each wave.
const CHANGES: usize = 50;

/// For how long a process may say nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a gateway under load allows.
const LISTEN: &str = "requests-per-tenant = 1024\nrequests-per-caller = 1024\nrequests-per-second-per-caller = 100000\nconnections-per-source = 1024";

/// A gateway whose model says which configuration it serves from.
pub(crate) fn setup(answer: &str) -> Setup {
    Setup::default()
        .decider("does-nothing", "")
        .connector("shouts-tokens", &format!("answer = {answer:?}"))
}

/// What an operator has of a gateway: its configuration, and its control socket.
struct Operator<'s> {
    served: &'s Served,
    file: PathBuf,
}

impl<'s> Operator<'s> {
    fn new(served: &'s Served) -> Self {
        let file = served.data().join("gateway.toml");
        Self { served, file }
    }

    /// Writes the configuration with each `from` replaced by `to`.
    fn write(&self, changes: &[(&str, &str)]) {
        let mut text = self.served.setup().toml();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} in {text}");
            text = text.replace(from, to);
        }
        let data = self.served.data().display();
        std::fs::write(&self.file, format!("data = \"{data}\"\n{text}")).unwrap();
    }

    async fn ask(&self, asked: Value) -> Result<Value, String> {
        let socket = self.served.data().join("host/control");
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream
            .write_all(format!("{asked}\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        match answer.get("plugins") {
            Some(standing) => Ok(standing.clone()),
            None => Err(answer["failed"].to_string()),
        }
    }

    async fn stage(&self, by: &str) -> Result<Value, String> {
        let stage = json!({ "file": self.file, "by": by, "reason": "a test" });
        self.ask(json!({ "plugins": { "stage": stage } })).await
    }

    async fn activate(&self, by: &str) -> Result<Value, String> {
        let standing = self.ask(json!({ "plugins": "look" })).await?;
        let staged = &standing["staged"]["generation"];
        let activate = json!({ "generation": staged, "by": by, "reason": "a test" });
        self.ask(json!({ "plugins": { "activate": activate } }))
            .await
    }

    async fn rollback(&self) -> Result<Value, String> {
        let rollback = json!({ "by": "dana", "reason": "a test" });
        self.ask(json!({ "plugins": { "rollback": rollback } }))
            .await
    }

    async fn canary(
        &self,
        percent: u64,
        generation: Digest,
        divergence: Option<u8>,
    ) -> Result<Value, String> {
        let bounds = json!({ "failures": 5, "time": 10_000, "divergence": divergence });
        let canary = json!({ "generation": generation, "percent": percent, "bounds": bounds, "by": "dana", "reason": "a test" });
        self.ask(json!({ "plugins": { "canary": canary } })).await
    }

    async fn shadow(&self, percent: u8) -> Result<Value, String> {
        let shadow = json!({ "percent": percent, "by": "dana", "reason": "a test" });
        self.ask(json!({ "plugins": { "shadow": shadow } })).await
    }

    /// Stages a candidate of which a canary would find the physician neither first nor last.
    async fn stage_one(&self, replaced: &str, by: impl Fn(u64) -> String) -> (u64, Digest) {
        for number in 1..9 {
            self.write(&[(replaced, &by(number))]);
            let staged = self.stage("dana").await.unwrap();
            let staged = generation(&staged["staged"]);
            if (1..=98).contains(&hundredth(staged)) {
                return (number, staged);
            }
        }
        panic!("eight digests in a row end on the same two hundredths")
    }

    /// How it stands, as soon as that is so.
    async fn stands(&self, so: impl Fn(&Value) -> bool) -> Value {
        // A shadow gives way to whoever asks without a pause.
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let stands = async {
            loop {
                looks.tick().await;
                let standing = self.ask(json!({ "plugins": "look" })).await.unwrap();
                if so(&standing) {
                    return standing;
                }
            }
        };
        tokio::time::timeout(PATIENCE, stands).await.unwrap()
    }
}

fn generation(of: &Value) -> Digest {
    of["generation"].as_str().unwrap().parse().unwrap()
}

fn kept(data: &Path, generation: Digest) -> Manifest {
    let name = format!("host/kept/{}.roster.json", generation.hex());
    let manifest = std::fs::read(data.join(name)).unwrap();
    assert_eq!(Digest::of(&manifest), generation);
    serde_json::from_slice(&manifest).unwrap()
}

/// The answer that a generation gives, as its manifest and what is kept of its settings say.
fn answer_of(data: &Path, generation: Digest) -> String {
    let manifest = kept(data, generation);
    let settings = manifest.connectors.first().unwrap().plugin.settings;
    let settings = std::fs::read(data.join(format!("host/kept/{}.json", settings.hex()))).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    settings["answer"].as_str().unwrap().to_owned()
}

/// The code with which a generation refuses, if it does: by what its decider is, and by what its detector looks for. Where that is
/// less than Safe Harbor, nothing may leave without an agreement (I10).
fn refuses(data: &Path, generation: Digest) -> Option<&'static str> {
    let manifest = kept(data, generation);
    let decider = manifest.deciders.first().unwrap().plugin.digest;
    let permitting = std::fs::read(component("does-nothing")).unwrap();
    (decider != Digest::of(&permitting)).then_some("unknown-obligation")
}

fn numbers() -> impl Iterator<Item = usize> {
    // Numerical Recipes' generator: any order will do, and the same in each run.
    let mut state = 7_u64;
    std::iter::from_fn(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).ok()
    })
}

const DECIDER: &str = "component = \"does-nothing\"\n";

/// What a decider may take, however many are asked on however few cores.
const PATIENT: &str = "deadline = \"59s\"\n";

/// The same of the detector, and of the connector.
const PATIENT_TOO: &str = "deadline = \"60s\"\n";

/// How a configuration names a decider of the bench.
fn decided_by(bench: &Bench, name: &str) -> String {
    format!("component = {:?}\n", bench.at(&format!("{name}.wasm")))
}

/// What is tried beside candidates that are as they should be, and why each is refused.
fn bad(bench: &Bench) -> [(Vec<(String, String)>, &'static str); 8] {
    let was = decided_by(bench, "does-nothing");
    let another = |name: &str| vec![(was.clone(), decided_by(bench, name))];
    let other = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let refused = "the candidate is refused";
    let endless = other(PATIENT, "configure-fuel = 1_000_000\n");
    [
        (
            another("traps"),
            "does not keep the conformance case `every/",
        ),
        // It never answers while it serves, and is found out before.
        (
            another("loops-forever"),
            "does not keep the conformance case `every/",
        ),
        (another("fails-to-configure"), refused),
        (another("nowhere"), refused),
        (
            [another("loops-in-configure"), vec![endless]].concat(),
            refused,
        ),
        (another("unsigned"), "no vendor's signature"),
        (
            vec![other("[chain]", "[chain]\nunknown = 1")],
            "the configuration is refused",
        ),
        (
            vec![other(
                "requests-per-tenant = 1024",
                "requests-per-tenant = 1025",
            )],
            "takes a restart",
        ),
    ]
}

/// How often each thing was done.
#[derive(Default)]
struct Done {
    staged: usize,
    activated: usize,
    refused: usize,
}

impl Operator<'_> {
    /// Tries one change, good or bad. Gives the generation that serves afterwards, if that is another one.
    async fn change_somehow(
        &self,
        bench: &Bench,
        number: usize,
        done: &mut Done,
    ) -> Option<Digest> {
        if number % 4 == 3 {
            let bad = bad(bench);
            let at = number / 4 % bad.len();
            let (changes, why) = &bad[at];
            let changes = changes
                .iter()
                .map(|(from, to)| (from.as_str(), to.as_str()));
            self.write(&changes.collect::<Vec<_>>());
            let said = self.stage("dana").await.unwrap_err();
            assert!(said.contains(*why), "{said}");
            done.refused += 1;
            return None;
        }
        let decider = match number % 3 {
            0 => "unknown-obligation",
            _ => "does-nothing",
        };
        // Another fuel is another generation, and more of it widens what the plugin may do.
        let fuel = 1_000_000_000 + number % 8;
        let limits = format!("{PATIENT}fuel = {fuel}\n");
        let (was, is) = (
            decided_by(bench, "does-nothing"),
            decided_by(bench, decider),
        );
        self.write(&[(&was, &is), (PATIENT, &limits)]);
        let standing = match self.stage("dana").await {
            Ok(standing) => standing,
            Err(said) => {
                assert!(said.contains("serves already"), "{said}");
                done.refused += 1;
                return None;
            }
        };
        done.staged += 1;
        let differences = standing["staged"]["differences"].as_array().unwrap();
        let by = match differences.iter().any(|one| one["widens"] == true) {
            true => {
                let alone = self.activate(" DANA").await.unwrap_err();
                assert!(alone.contains("another person"), "{alone}");
                done.refused += 1;
                "noor"
            }
            false => "dana",
        };
        let mut standing = self.activate(by).await.unwrap();
        assert_eq!(
            generation(&standing["serving"]).to_string(),
            standing["serving"]["generation"]
        );
        done.activated += 1;
        if number.is_multiple_of(8) {
            standing = self.rollback().await.unwrap();
            done.activated += 1;
            let again = self.rollback().await.unwrap_err();
            assert!(again.contains("nothing served before"), "{again}");
            done.refused += 1;
        }
        Some(generation(&standing["serving"]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_requests_in_flight_have_one_generation_each_while_the_roster_is_exchanged() {
    let model = MockModel::start(200, "About {user} - done.").await;
    // All are judged and searched at the same time, on however few cores.
    let bench = Bench::new();
    for name in [
        "does-nothing",
        "unknown-obligation",
        "traps",
        "loops-forever",
        "fails-to-configure",
        "loops-in-configure",
        "safe-harbor",
        "openai-compatible",
    ] {
        bench.sign(&bench.put(name), "acme", "7", &USUAL);
    }
    std::fs::copy(bench.path("does-nothing.wasm"), bench.path("unsigned.wasm")).unwrap();
    let decider = format!("[plugin.limits]\n{PATIENT}");
    let setup = Setup::default().decider(&bench.at("does-nothing.wasm"), &decider);
    let patient = format!("[plugin.limits]\n{PATIENT_TOO}");
    let setup = setup.detector("safe-harbor", &patient);
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let setup = setup.spoken("openai-compatible", &patient, &model.url(), "", cleared);
    let stated = |setup: Setup, name: &str| {
        let statements = Bench::statements(&bench.at(&format!("{name}.wasm")));
        let component = format!("component = {name:?}\n");
        setup.replacing(
            &component,
            &format!("{component}statements = {statements:?}\n"),
        )
    };
    let setup = stated(stated(setup, "safe-harbor"), "openai-compatible");
    let setup = setup.and(&bench.trust(""));
    let served = Arc::new(setup.serve(LISTEN).await);
    let operator = Operator::new(&served);
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let ask = || {
        let (served, answered) = (Arc::clone(&served), answered.clone());
        let message = json!({ "role": "user", "content": "Chest pain." });
        let body = json!({ "model": "clinical", "messages": [message] });
        tokio::spawn(async move {
            let answer = served.chat(&body).await;
            drop(served);
            answered.send(answer)
        });
    };
    let (mut numbers, mut done, mut received) = (numbers(), Done::default(), Vec::new());
    let mut serving = None;
    for _ in 0..WAVES {
        if serving.is_some_and(|serving| refuses(served.data(), serving).is_some()) {
            operator.write(&[]);
            operator.stage("dana").await.unwrap();
            let standing = operator.activate("noor").await.unwrap();
            serving = Some(generation(&standing["serving"]));
            (done.staged, done.activated) = (done.staged + 1, done.activated + 1);
        }
        let held = model.hold().await;
        let before = model.seen().len();
        (0..IN_FLIGHT).for_each(|_| ask());
        let mut asked = IN_FLIGHT;
        tokio::select! {
            () = model.is_sent(before + IN_FLIGHT) => {}
            early = answers.recv() => panic!("none is answered yet, but: {}", early.unwrap().text),
        }
        for _ in 0..CHANGES {
            let number = numbers.next().unwrap();
            if let Some(now) = operator.change_somehow(&bench, number, &mut done).await {
                serving = Some(now);
                // One that begins now has this generation, and not what those before it have.
                ask();
                asked += 1;
            }
        }
        drop(held);
        for _ in 0..asked {
            received.push(answers.recv().await.unwrap());
        }
    }
    let standing = operator.ask(json!({ "plugins": "look" })).await.unwrap();
    assert_eq!(
        standing["draining"], 0,
        "what no request holds is freed: {standing}"
    );

    drop(operator);
    let rig = Arc::into_inner(served).unwrap().reopened().await;
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX);
    let entries: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
    drop(tenant);
    let mut of_request: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    for entry in &entries {
        if let (Some(request), Some(generation)) = (entry.header.request, entry.header.generation) {
            let of_it = of_request.entry(request.to_string()).or_default();
            of_it.insert(generation);
        }
    }
    let (mut generations, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for one in &received {
        let event = one.header("x-request-id").unwrap();
        let of_it = of_request
            .get(event)
            .unwrap_or_else(|| panic!("{event}: {} {}", one.status, one.text));
        assert_eq!(of_it.len(), 1, "{event}: one request, one generation");
        let generation = *of_it.first().unwrap();
        let refuses = *generations
            .entry(generation)
            .or_insert_with(|| refuses(rig.folder.path(), generation));
        let answer = one.json();
        let (answered, code) = (
            &answer["choices"][0]["message"]["content"],
            &answer["error"]["code"],
        );
        match refuses {
            Some(refuses) => {
                assert_eq!(
                    (one.status, code),
                    (403, &json!(refuses)),
                    "{event}: {}",
                    one.text
                );
                *refused.entry(refuses).or_insert(0) += 1;
            }
            None => {
                let said = json!("About Chest pain. - done.");
                assert_eq!(
                    (one.status, answered),
                    (200, &said),
                    "{event}: {}",
                    one.text
                );
            }
        }
    }
    assert!(received.len() > WAVES * IN_FLIGHT, "{}", received.len());
    assert!(refused["unknown-obligation"] > 10, "{refused:?}");
    assert!(generations.len() > 10, "{}", generations.len());
    let count = |kind| {
        let of_kind = entries.iter().filter(|entry| entry.header.kind == kind);
        let by = of_kind.filter_map(|entry| entry.header.facts.get("by"));
        by.filter(|by| {
            ["dana", "DANA", "noor"]
                .iter()
                .any(|name| by.starts_with(name))
        })
        .count()
    };
    assert_eq!(count(EntryKind::RosterStaged), done.staged);
    assert_eq!(count(EntryKind::RosterActivated), done.activated);
    assert_eq!(count(EntryKind::PluginRefused), done.refused);
    let folder = rig.close();
    let log = folder.path().join("tenants/st-marys").join(LOG);
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{verdict:?}");
}

/// The command line beside a gateway that serves.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_stages_activates_and_rolls_back() {
    let served = setup("answer 0").serve(LISTEN).await;
    let operator = Operator::new(&served);
    operator.write(&[("answer = \"answer 0\"", "answer = \"answer 1\"")]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(super::nephron());
        let output = command
            .arg("plugin")
            .args(arguments)
            .arg("--config")
            .arg(&operator.file)
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        (output.status.code().unwrap(), out + &err)
    };
    let warrant = ["--by", "Dana Reyes", "--reason", "ticket 7"];
    let with = |verb: &'static str| [&[verb][..], &warrant].concat();

    let (code, said) = run(&with("rollback"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing served before"), "{said}");
    let (code, said) = run(&with("stage"));
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("changes plugin `model` has another digest of its settings"),
        "{said}"
    );
    let (code, said) = run(&with("activate"));
    assert_eq!(code, 0, "{said}");
    let message = json!({ "role": "user", "content": "which one serves?" });
    let body = json!({ "model": "clinical", "messages": [message] });
    assert!(served.chat(&body).await.text.contains("answer 1"));
    let (code, said) = run(&with("rollback"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("by Dana Reyes (operator uid="), "{said}");
    assert!(served.chat(&body).await.text.contains("answer 0"));
    let received = served.chat(&body).await;
    let event = received.header("x-request-id").unwrap();
    let audit = |arguments: &[&str]| {
        let mut command = Command::new(super::nephron());
        let configuration = ["--json", "--config"];
        command.args(arguments).args(warrant).args(configuration);
        let output = command.arg(&operator.file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ran: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), ran, said)
    };
    let (code, ran, said) = audit(&["audit", "replay", event]);
    assert_eq!(code, 0, "{said}");
    assert!(ran["judgements"].as_u64().unwrap() >= 5, "{ran}");
    assert_eq!(ran["judgements"], ran["same"], "{ran}");
    let candidate = served.data().join("candidate.toml");
    let configured = std::fs::read_to_string(&operator.file).unwrap();
    let traps = configured.replace("\"does-nothing\"", "\"traps\"");
    std::fs::write(&candidate, traps).unwrap();
    let candidate = candidate.to_str().unwrap();
    let (code, ran, said) = audit(&["what-if", "--candidate", candidate]);
    assert_eq!(code, 0, "{said}");
    assert!(
        ran["differences"]["permit-to-failed"].as_u64().unwrap() >= 6,
        "{ran}"
    );
    let first = ran["differing"].as_array().unwrap().first().unwrap();
    assert_eq!(first["differences"], json!(["permit-to-failed"]), "{ran}");
    assert!(
        served.chat(&body).await.text.contains("answer 0"),
        "nothing that serves is touched"
    );
    let later = [
        "what-if",
        "--candidate",
        candidate,
        "--since",
        "2100-01-01T00:00:00Z",
    ];
    let (code, ran, said) = audit(&later);
    assert_eq!((code, &ran["judgements"]), (0, &json!(0)), "{said}");

    let (code, said) = run(&with("retire"));
    assert_eq!((code, said.contains("before")), (0, false), "{said}");
    let (code, said) = run(&["status", "--json"]);
    assert_eq!(code, 0, "{said}");
    let standing: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        answer_of(served.data(), generation(&standing["serving"])),
        "answer 0"
    );
}

/// In which hundredth of all callers a canary of this generation finds the physician.
fn hundredth(generation: Digest) -> u64 {
    let digest = Digest::of(format!("{generation}\nst-marys\ndr.okafor").as_bytes());
    let number = digest.0.iter().take(8);
    number.fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)) % 100
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_serves_the_same_callers_and_stops_when_it_fails() {
    let served = setup("answer 0").serve(LISTEN).await;
    let operator = Operator::new(&served);
    let message = json!({ "role": "user", "content": "which one serves?" });
    let body = json!({ "model": "clinical", "messages": [message] });
    let says = async || {
        let received = served.chat(&body).await;
        (
            received.status,
            received.json()["choices"][0]["message"]["content"].clone(),
        )
    };
    let another = |number| format!("answer = \"answer {number}\"");
    let (number, staged) = operator.stage_one("answer = \"answer 0\"", another).await;
    let at = hundredth(staged);
    let nobody = operator.canary(0, staged, None).await.unwrap_err();
    assert!(nobody.contains("1 to 99 percent"), "{nobody}");
    operator.canary(at, staged, None).await.unwrap();
    assert_eq!(says().await, (200, json!("answer 0")));
    let busy = operator.stage("dana").await.unwrap_err();
    assert!(busy.contains("a canary runs"), "{busy}");
    operator.rollback().await.unwrap();
    operator.canary(at + 1, staged, None).await.unwrap();
    assert_eq!(says().await, (200, json!(format!("answer {number}"))));
    let standing = operator.activate("dana").await.unwrap();
    assert_eq!(standing["canary"], Value::Null);
    assert_eq!(generation(&standing["serving"]), staged);

    // One that fails serves nobody after its twentieth judgement, and the log says why.
    let failing = |number| {
        let fuel = 1_000_000 + number;
        format!(
            "component = \"traps\"\nlimits = {{ fuel = {fuel} }}\n[plugin.settings]\ntarget = \"clinical\"\n"
        )
    };
    let replaced = format!("{DECIDER}[plugin.settings]\n");
    let (_, failing) = operator.stage_one(&replaced, failing).await;
    let all = hundredth(failing) + 1;
    operator.canary(all, failing, None).await.unwrap();
    let mut refused = 0;
    while says().await.0 != 200 {
        refused += 1;
        assert!(refused <= 20, "it is not stopped");
    }
    assert!(refused > 0);
    assert_eq!(says().await.1, format!("answer {number}"));
    let is_told = |one: &Value| !one["refused"].is_null() && one["draining"] == 0;
    let standing = operator.stands(is_told).await;
    assert!(standing["canary"].is_null(), "{standing}");
    let refused = standing["refused"].as_str().unwrap();
    assert!(
        refused.contains("beyond its bound: failures of `access` (decide)"),
        "{refused}"
    );
    drop(operator);
    let rig = served.reopened().await;
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX);
    let entries: Vec<_> = entries.map(|entry| entry.unwrap().header).collect();
    for (kind, code, times) in [
        (EntryKind::RosterActivated, "canary", 3),
        (EntryKind::RosterStaged, "canary-ended", 1),
        (EntryKind::RosterStaged, "canary-stopped", 1),
    ] {
        let such = entries
            .iter()
            .filter(|entry| entry.kind == kind && entry.outcome == code);
        assert_eq!(such.count(), times, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_shown_what_came_back_too() {
    let model = MockModel::start(200, "Rest.").await;
    let setup = Setup::default().decider("does-nothing", "");
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let served = setup
        .upstream(&model.url(), "", cleared)
        .serve(LISTEN)
        .await;
    let operator = Operator::new(&served);
    operator.write(&[("\"openai-compatible\"", "\"minds-the-cut\"")]);
    let _staged = operator.stage("dana").await.unwrap();
    let _standing = operator.shadow(100).await.unwrap();
    let message = json!({ "role": "user", "content": "which one serves?" });
    let body = json!({ "model": "clinical", "messages": [message] });
    let answered = served.chat(&body).await;
    assert!(answered.text.contains("Rest."), "{}", answered.text);
    let standing = operator
        .stands(|one| one["shadow"]["findings"]["compared"] == 2)
        .await;
    let findings = &standing["shadow"]["findings"];
    assert_eq!(
        findings["differences"],
        json!({ "other-call": 1, "other-events": 1 }),
        "{findings}"
    );
    assert_eq!(findings["cost-of-serving"]["calls"], 2, "{findings}");
    assert_eq!(model.seen().len(), 1, "nothing is sent beside");
    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let beside = entries.iter().map(|entry| &entry.header);
    let beside = beside.filter(|header| header.kind == EntryKind::ShadowJudged);
    assert!(beside.clone().all(|header| header.outcome == "differs"));
    assert_eq!(beside.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_import_and_another_connector_take_two_persons() {
    // What it would import was granted before, and nobody asked for it.
    let setup = setup("answer 0").decider("does-nothing", "[plugin.grant]\nnull-wasi = true");
    let served = setup.serve(LISTEN).await;
    let operator = Operator::new(&served);
    let connector = "component = \"shouts-tokens\"\n[plugin.settings]\nanswer = \"answer 0\"\n";
    for (from, to, what) in [
        (
            DECIDER,
            "component = \"needs-wasi\"\n",
            "plugin `access` now imports `wasi:clocks/wall-clock`",
        ),
        (
            connector,
            "component = \"echoes\"\n[plugin.settings]\n",
            "plugin `model` has another digest of its component: was ",
        ),
    ] {
        operator.write(&[(from, to)]);
        let standing = operator.stage("dana").await.unwrap();
        let differences = standing["staged"]["differences"].as_array().unwrap();
        let one = differences
            .iter()
            .find(|one| one["what"].as_str().unwrap().starts_with(what))
            .unwrap_or_else(|| panic!("{what}: {standing}"));
        assert_eq!(one["widens"], true, "{standing}");
        let alone = operator.activate("dana").await.unwrap_err();
        assert!(alone.contains("another person"), "{alone}");
        let standing = operator.activate("noor").await.unwrap();
        assert_eq!(standing["staged"], Value::Null, "{standing}");
        let _back = operator.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_asked_beside_and_decides_nothing() {
    let setup = setup("answer 0").detector("safe-harbor", "");
    let served = setup.serve(LISTEN).await;
    let operator = Operator::new(&served);
    let text = "Patient: Alma Thistlewood, seen on 03/04/2026, has asthma.";
    let body = json!({ "model": "clinical", "messages": [{ "role": "user", "content": text }] });
    let nothing = operator.shadow(100).await.unwrap_err();
    assert!(nothing.contains("nothing is staged"), "{nothing}");

    let detector = "component = \"safe-harbor\"\n[plugin.settings]\n";
    let narrow = format!("{detector}kinds = [\"date\"]\n");
    operator.write(&[
        (DECIDER, "component = \"unknown-obligation\"\n"),
        (detector, &narrow),
    ]);
    let staged = operator.stage("dana").await.unwrap();
    let share = operator.shadow(0).await.unwrap_err();
    assert!(share.contains("1 to 100 percent"), "{share}");
    let standing = operator.shadow(100).await.unwrap();
    assert_eq!(
        generation(&standing["shadow"]),
        generation(&staged["staged"])
    );
    for _ in 0..2 {
        let answered = served.chat(&body).await;
        assert_eq!(answered.status, 200, "{}", answered.text);
    }
    // Whatever one decider and one detector were asked, theirs beside were asked too.
    let standing = operator
        .stands(|one| {
            let findings = &one["shadow"]["findings"];
            findings["compared"] == findings["cost-of-serving"]["calls"]
        })
        .await;
    let findings = &standing["shadow"]["findings"];
    let compared = findings["compared"].as_u64().unwrap();
    assert!(compared >= 8, "{findings}");
    // The detectors see what came in and what was answered, of two requests.
    let decided = compared - 4;
    assert_eq!(
        findings["differences"],
        json!({ "permit-to-failed": decided, "lost-name": 2 }),
        "{findings}"
    );
    assert_eq!(findings["differing"], decided + 2, "{findings}");
    assert_eq!(findings["cost"]["calls"], compared, "{findings}");
    let refused = operator.activate("dana").await.unwrap_err();
    assert!(refused.contains("another person"), "{refused}");
    let standing = operator.activate("noor").await.unwrap();
    assert!(standing["shadow"].is_null(), "{standing}");
    assert_eq!(served.chat(&body).await.status, 403);
    let standing = operator.rollback().await.unwrap();
    assert!(standing["shadow"].is_null(), "{standing}");
    operator.stands(|one| one["draining"] == 0).await;

    drop(operator);
    let rig = served.reopened().await;
    let entries = rig.all_entries();
    let beside: Vec<_> = entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::ShadowJudged)
        .collect();
    assert_eq!(u64::try_from(beside.len()).unwrap(), compared);
    let serving = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::RequestOpened)
        .unwrap();
    for entry in &beside {
        assert_eq!(entry.header.generation, serving.header.generation);
        assert_eq!(
            entry.header.facts["beside"],
            staged["staged"]["generation"].as_str().unwrap()
        );
    }
    let lost = beside
        .iter()
        .find(|entry| entry.header.counts.contains_key("lost-name"))
        .unwrap();
    let answers = rig.payload(lost, "answers").await;
    let answers: Value = serde_json::from_slice(&answers).unwrap();
    let spans = answers[0]["output"]["detected"]["Ok"].as_array().unwrap();
    assert_eq!(spans.len(), 1, "{answers}");
    assert_eq!(spans[0]["kind"], "date", "{answers}");
    let ended = entries
        .iter()
        .find(|entry| entry.header.outcome == "shadow-ended")
        .unwrap();
    assert_eq!(ended.header.counts["compared"], compared);
    assert_eq!(ended.header.counts["permit-to-failed"], decided);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_stops_when_one_of_its_plugins_takes_too_long() {
    let served = setup("answer 0").serve(LISTEN).await;
    let operator = Operator::new(&served);
    let message = json!({ "role": "user", "content": "which one serves?" });
    let body = json!({ "model": "clinical", "messages": [message] });
    let another = |number| format!("answer = \"answer {number}\"");
    let (_, staged) = operator.stage_one("answer = \"answer 0\"", another).await;
    // Nothing is made elsewhere, and no judgement takes no time.
    let bounds = json!({ "failures": 5, "time": 10_000, "longest": 0, "divergence": null });
    let percent = hundredth(staged) + 1;
    let canary = json!({ "generation": staged, "percent": percent, "bounds": bounds, "by": "dana", "reason": "a test" });
    let canary = json!({ "plugins": { "canary": canary } });
    operator.ask(canary).await.unwrap();
    let mut served_by_it = 0;
    while !served.chat(&body).await.text.contains("answer 0") {
        served_by_it += 1;
        assert!(served_by_it <= 20, "it is not stopped");
    }
    assert!(served_by_it > 0);
    let standing = operator.stands(|one| !one["refused"].is_null()).await;
    let why = standing["refused"].as_str().unwrap();
    assert!(why.contains("beyond its bound: time of `"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_stops_when_it_comes_to_something_else() {
    let served = setup("answer 0").serve(LISTEN).await;
    let operator = Operator::new(&served);
    let message = json!({ "role": "user", "content": "Chest pain." });
    let body = json!({ "model": "clinical", "messages": [message] });
    let other = |number| {
        let fuel = 1_000_000 + number;
        format!("component = \"unknown-obligation\"\nlimits = {{ fuel = {fuel} }}\n")
    };
    let (_, staged) = operator.stage_one(DECIDER, other).await;
    let all = hundredth(staged) + 1;
    operator.canary(all, staged, Some(10)).await.unwrap();
    let mut refused = 0;
    while served.chat(&body).await.status != 200 {
        refused += 1;
        assert!(refused < 2_000, "it is not stopped");
    }
    assert!(refused >= 20, "{refused}");
    let standing = operator.stands(|one| !one["refused"].is_null()).await;
    let why = standing["refused"].as_str().unwrap();
    assert!(why.contains("beyond its bound: divergence"), "{why}");
}

/// A gateway in a process of its own, which ends with it.
pub(crate) struct Process {
    child: Child,
    said: Receiver<String>,
}

/// The path as people name it, from where they are.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up = here.components().skip(1).map(|_| Path::new(".."));
    up.collect::<PathBuf>()
        .join(path.strip_prefix("/").unwrap())
}

impl Process {
    pub(crate) fn start(configuration: &Path) -> Self {
        let mut child = Command::new(super::nephron())
            .args(["--log-level", "info", "serve", "--config"])
            .arg(from_here(configuration))
            .env("UNUSED", PASSPHRASE)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok);
            while lines.next().is_some_and(|line| sender.send(line).is_ok()) {}
        });
        Self { child, said }
    }

    /// Waits until it says so, and gives the line.
    pub(crate) fn says(&self, what: &str) -> String {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(what) => return line,
                Ok(_) => {}
                Err(error) => panic!("it does not say `{what}`: {error}"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_configuration_that_is_watched_is_taken_over_unless_it_widens() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    compiled_into(&data);
    let file = folder.path().join("gateway.toml");
    let text = setup("answer 0")
        .and("[listen]\naddress = \"127.0.0.1:0\"\n[reload]\nwatch = true\n")
        .toml();
    let answer = "answer = \"answer 0\"\n";
    // Put in its place whole, as editors and mounts do.
    let write = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let new = folder.path().join("new");
        std::fs::write(&new, text.replace(from, to)).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    write(answer, answer);
    let process = Process::start(&file);
    process.says("serving http://");
    // What cannot be read is told, though nothing was looked at before, and so is the next.
    write("[reload]", "[reload");
    process.says("the configuration was not taken over: the configuration is refused");
    write("[reload]", "[reload]\nunknown = 1");
    process.says("the configuration was not taken over: the configuration is refused");
    write(answer, "answer = \"answer 1\"\n");
    process.says("the configuration was taken over");
    let beside = |arguments: &[&str]| {
        let output = Command::new(super::nephron())
            .arg("plugin")
            .args(arguments)
            .args(["--by", "dana", "--reason", "a test", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
    };
    beside(&["rollback"]);
    write(answer, "# As it was.\nanswer = \"answer 1\"\n");
    process.says("was rolled back or ended as a canary");
    let status = Command::new(super::nephron())
        .args(["plugin", "status", "--json", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let standing: Value = serde_json::from_slice(&status.stdout).unwrap();
    let refused = standing["refused"].as_str().unwrap();
    assert!(refused.contains("was rolled back or"), "{standing}");
    // Nor beside another change, and nothing else that is taken over lets it.
    write(
        answer,
        "answer = \"answer 1\"\n[plugin.limits]\nfuel = 1_000_000_000\n",
    );
    process.says("was rolled back or ended as a canary");
    write(answer, "answer = \"answer 3\"\n");
    process.says("the configuration was taken over");
    beside(&["rollback"]);
    write(answer, "# Once more.\nanswer = \"answer 1\"\n");
    process.says("was rolled back or ended as a canary");
    write("[reload]", "[egress]\nregions = [\"us\"]\n[reload]");
    process.says("`[egress]` changed too, which takes a restart");
    write(
        answer,
        "answer = \"answer 2\"\n[plugin.limits]\nfuel = 3_000_000_000\n",
    );
    process.says("nobody staged it but the configuration");
    beside(&["stage"]);
    drop(process);
    let headers = Disk(&data).headers("st-marys");
    let refused = headers
        .iter()
        .filter(|header| header.kind == EntryKind::PluginRefused);
    let refused: Vec<_> = refused
        .map(|header| {
            assert_eq!(header.facts["act"], "take-over");
            let is_made = header.generation.is_some();
            (header.reasons.concat(), is_made)
        })
        .collect();
    for expected in [
        ("bad-configuration", false),
        ("rolled-back", true),
        ("takes-a-restart", false),
        ("nobody-staged-it", true),
    ] {
        let is_told = |(code, is_made): &(String, bool)| (code.as_str(), *is_made) == expected;
        assert!(refused.iter().any(is_told), "{expected:?}: {refused:?}");
    }
    let kept = std::fs::read_dir(data.join("host/kept")).unwrap();
    let rosters = kept.filter(|item| {
        let name = item.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".roster.json")
    });
    assert!(rosters.count() >= 3);
}

#[test]
fn what_ended_as_a_canary_does_not_come_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    compiled_into(&data);
    let file = folder.path().join("gateway.toml");
    let text = setup("answer 0").and("[listen]\naddress = \"127.0.0.1:0\"\n");
    let text = text.toml();
    std::fs::write(&file, &text).unwrap();
    let process = Process::start(&file);
    process.says("serving http://");
    std::fs::write(&file, text.replace("answer 0", "answer 1")).unwrap();
    let warrant = json!({ "by": "dana", "reason": "a test" });
    let bounds = json!({ "failures": 5, "time": 200, "divergence": null });
    for change in [
        json!({ "stage": { "file": file, "by": "dana", "reason": "a test" } }),
        json!({ "canary": { "percent": 50, "bounds": bounds, "by": "dana", "reason": "a test" } }),
        json!({ "rollback": warrant }),
        json!({ "retire": warrant }),
    ] {
        answer(begin(&data, &change));
    }
    let id = process.child.id().to_string();
    let told = Command::new("kill").args(["-HUP", &id]).status().unwrap();
    assert!(told.success());
    process.says("was rolled back or ended as a canary");
}

/// What an operator does, and what of it can be seen on the disk.
#[derive(Clone, Copy, Debug)]
enum Act {
    Stage,
    Activate,
    Rollback,
    Shadow,
    Retire,
    Canary,
    /// A rollback while a canary runs.
    EndCanary,
}

#[derive(Clone, Copy, Debug)]
enum Trace {
    /// It was asked for, and nothing of it may have begun.
    Asked,
    /// So many files of a kind are kept beyond those that were.
    Kept(&'static str),
    /// It stands in the log of the tenant.
    In(&'static str, EntryKind),
    /// It was answered.
    Answered,
}

/// Every step of a swap, in order.
const STEPS: [(Act, Trace); 22] = [
    (Act::Stage, Trace::Asked),
    (Act::Stage, Trace::Kept(".json")),
    (Act::Stage, Trace::Kept(".roster.json")),
    (Act::Stage, Trace::In("st-marys", EntryKind::RosterStaged)),
    (Act::Stage, Trace::Answered),
    (Act::Activate, Trace::Asked),
    (
        Act::Activate,
        Trace::In("lakeside", EntryKind::RosterActivated),
    ),
    (
        Act::Activate,
        Trace::In("st-marys", EntryKind::RosterActivated),
    ),
    (Act::Activate, Trace::Answered),
    (Act::Rollback, Trace::Asked),
    (
        Act::Rollback,
        Trace::In("st-marys", EntryKind::RosterActivated),
    ),
    (Act::Rollback, Trace::In("host", EntryKind::RosterActivated)),
    (Act::Rollback, Trace::Answered),
    (Act::Shadow, Trace::In("st-marys", EntryKind::RosterStaged)),
    (Act::Shadow, Trace::Answered),
    (Act::Retire, Trace::In("st-marys", EntryKind::RosterStaged)),
    (Act::Retire, Trace::Answered),
    (Act::Canary, Trace::Asked),
    (
        Act::Canary,
        Trace::In("st-marys", EntryKind::RosterActivated),
    ),
    (Act::Canary, Trace::Answered),
    (
        Act::EndCanary,
        Trace::In("st-marys", EntryKind::RosterStaged),
    ),
    (Act::EndCanary, Trace::Answered),
];

/// What lies in a data folder.
struct Disk<'d>(&'d Path);

impl Disk<'_> {
    fn headers(&self, tenant: &str) -> Vec<nephron_audit::Header> {
        let folder = match tenant {
            "host" => self.0.join(RECORD),
            tenant => self.0.join("tenants").join(tenant),
        };
        let log = folder.join(LOG);
        let reader = nephron_audit::Reader::open(&log).unwrap();
        let entries = reader.entries(0..reader.head().entries);
        entries.map(|entry| entry.unwrap().header).collect()
    }

    fn traces(&self, trace: Trace) -> usize {
        match trace {
            Trace::Kept(end) => std::fs::read_dir(self.0.join("host/kept"))
                .unwrap()
                .filter(|item| {
                    let name = item.as_ref().unwrap().file_name();
                    name.to_string_lossy().ends_with(end)
                })
                .count(),
            Trace::In(tenant, kind) => {
                let headers = self.headers(tenant);
                headers.iter().filter(|header| header.kind == kind).count()
            }
            Trace::Asked | Trace::Answered => 0,
        }
    }
}

/// Asks through the control socket, and gives where the answer comes.
fn begin(data: &Path, change: &Value) -> BufReader<std::os::unix::net::UnixStream> {
    use std::io::Write as _;
    let socket = data.join("host/control");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let asked = json!({ "plugins": change });
    stream.write_all(format!("{asked}\n").as_bytes()).unwrap();
    BufReader::new(stream)
}

fn answer(mut stream: impl std::io::BufRead) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains("\"plugins\""), "{line}");
}

#[test]
fn i7_killed_at_every_step_of_a_swap_exactly_one_generation_serves_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    compiled_into(&data);
    let file = folder.path().join("gateway.toml");
    let text = setup("answer 0").and("[listen]\naddress = \"127.0.0.1:0\"\n");
    let text = text.toml();
    let write = |number: usize| {
        // Of the first, every second has another decider; what a rollback takes back is told by the answer alone.
        let decider = match number < 8 && number.is_multiple_of(2) {
            true => "component = \"unknown-obligation\"\n",
            false => DECIDER,
        };
        let text = text.replace(DECIDER, decider);
        std::fs::write(&file, text.replace("answer 0", &format!("answer {number}"))).unwrap();
    };
    let disk = Disk(&data);
    write(1);
    for (number, (act, trace)) in STEPS.into_iter().enumerate() {
        let mut process = Process::start(&file);
        process.says("serving http://");
        let of_host_before = disk.headers("host").len();
        write(number + 2);
        let warrant = json!({ "by": "dana", "reason": "a test" });
        let stage = json!({ "stage": { "file": file, "by": "dana", "reason": "a test" } });
        let activate = json!({ "activate": warrant });
        let rollback = json!({ "rollback": warrant });
        let shadow = json!({ "shadow": { "percent": 100, "by": "dana", "reason": "a test" } });
        let retire = json!({ "retire": warrant });
        let bounds = json!({ "failures": 5, "time": 200, "divergence": null });
        let canary = json!({ "percent": 50, "bounds": bounds, "by": "dana", "reason": "a test" });
        let canary = json!({ "canary": canary });
        let (before, last) = match act {
            Act::Stage => (vec![], stage),
            Act::Activate => (vec![stage], activate),
            Act::Rollback => (vec![stage, activate], rollback),
            Act::Shadow => (vec![stage], shadow),
            Act::Retire => (vec![stage], retire),
            Act::Canary => (vec![stage], canary),
            Act::EndCanary => (vec![stage, canary], rollback),
        };
        before
            .iter()
            .for_each(|change| answer(begin(&data, change)));
        let seen = disk.traces(trace);
        let asked = begin(&data, &last);
        match trace {
            Trace::Asked => {}
            Trace::Answered => answer(asked),
            Trace::Kept(_) | Trace::In(..) => {
                let patience = std::time::Instant::now() + PATIENCE;
                while disk.traces(trace) == seen {
                    assert!(std::time::Instant::now() < patience, "{act:?} {trace:?}");
                    std::thread::yield_now();
                }
            }
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        drop(process);

        // The next start follows the configuration, unless the log has by then that it was taken back or only tried.
        let of_host = disk.headers("host");
        let served = |header: &&nephron_audit::Header| {
            let is_one = ["ok", "rolled-back"].contains(&header.outcome.as_str());
            header.kind == EntryKind::RosterActivated && is_one
        };
        let is_held = of_host.iter().skip(of_host_before).any(|header| {
            let outcome = header.outcome.as_str();
            ["rolled-back", "canary", "canary-ended"].contains(&outcome)
        });
        let served = of_host.iter().rev().find(served);
        let answers = match served.filter(|_| is_held) {
            Some(served) => answer_of(&data, served.generation.unwrap()),
            None => format!("answer {}", number + 2),
        };
        let permits = number + 2 >= 8 || (number + 2) % 2 == 1;
        let (status, said) = run(&file);
        assert_eq!(
            status,
            if permits { 0 } else { 4 },
            "{act:?} {trace:?}: {said}"
        );
        assert_eq!(
            said.contains(&answers),
            permits,
            "{act:?} {trace:?}: {said}"
        );
        let mut serving = BTreeSet::new();
        for tenant in ["st-marys", "lakeside"] {
            let headers = disk.headers(tenant);
            let mut activated = headers.iter().rev();
            let activated = activated.find(|one| one.kind == EntryKind::RosterActivated);
            serving.insert(activated.unwrap().generation.unwrap());
        }
        assert_eq!(serving.len(), 1, "{act:?} {trace:?}: {serving:?}");
        let generation = *serving.first().unwrap();
        assert_eq!(answer_of(&data, generation), answers, "{act:?} {trace:?}");
        let headers = disk.headers("st-marys");
        let event = headers.iter().rev().find_map(|header| header.request);
        let of_it = headers.iter().filter(|header| header.request == event);
        let generations: BTreeSet<_> = of_it.filter_map(|header| header.generation).collect();
        assert_eq!(generations, serving, "{act:?} {trace:?}");
    }
    let verified = Command::new(super::nephron())
        .args(["audit", "verify", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

/// Between the entry that a roster serves and the one that has its counters, too, a start has one answer.
#[test]
fn i7_killed_between_an_activation_and_its_counters_the_start_goes_on_from_the_activation() {
    let bench = Bench::new();
    let signed = |name: &str| {
        let component = bench.put(name);
        bench.sign(&component, "acme", "7", &USUAL);
        component
    };
    let decider = signed("does-nothing");
    let setup = Setup::default()
        .decider(&decider, "")
        .detector(&signed("safe-harbor"), "")
        .connector(&signed("shouts-tokens"), "answer = \"answer 0\"")
        .and(&bench.trust(""))
        .and("[listen]\naddress = \"127.0.0.1:0\"\n");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    compiled_into(&data);
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, setup.toml()).unwrap();
    let disk = Disk(&data);
    let counters = || -> Vec<u64> {
        let headers = disk.headers("host").into_iter();
        let kept = headers.filter(|header| header.outcome == "counters");
        kept.filter_map(|header| header.counts.get("vendor/acme/decider/gate").copied())
            .collect()
    };
    for counter in [8, 9, 10] {
        let mut process = Process::start(&file);
        process.says("serving http://");
        bench.sign(&decider, "acme", &counter.to_string(), &USUAL);
        let warrant = json!({ "by": "dana", "reason": "a test" });
        let stage = json!({ "stage": { "file": file, "by": "dana", "reason": "a test" } });
        answer(begin(&data, &stage));
        let trace = Trace::In("host", EntryKind::RosterActivated);
        let seen = disk.traces(trace);
        let _asked = begin(&data, &json!({ "activate": warrant }));
        let patience = std::time::Instant::now() + PATIENCE;
        while disk.traces(trace) == seen {
            assert!(std::time::Instant::now() < patience, "{counter}");
            std::thread::yield_now();
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        drop(process);
        let (status, said) = run(&file);
        assert_eq!(status, 0, "{said}");
        assert_eq!(counters().last(), Some(&counter));
        let activated = |tenant: &str| {
            let headers = disk.headers(tenant).into_iter().rev();
            let mut activated = headers.filter(|one| one.kind == EntryKind::RosterActivated);
            activated.find_map(|one| one.generation)
        };
        assert_eq!(activated("st-marys"), activated("host"));
        assert_eq!(activated("lakeside"), activated("host"));
    }
}

/// A start is no way around whoever must let a roster serve.
#[tokio::test]
async fn i7_a_start_holds_the_configuration_to_what_served_last() {
    let usual = setup("answer 0").detector("safe-harbor", "");
    let narrowed = setup("answer 0").detector("safe-harbor", "kinds = [\"date\"]");
    let fuel = "[plugin.limits]\nfuel = 1_000_000\n";
    let mended = usual.clone().decider("does-nothing", fuel);
    let broken = mended.clone().decider("traps", "");
    let started = async |setup: &Setup, folder| {
        let rig = setup.open_in(folder).await.unwrap();
        let serving = rig.gateway.roster().generation();
        let headers: Vec<_> = rig
            .all_entries()
            .into_iter()
            .map(|entry| entry.header)
            .collect();
        (rig.close(), serving, headers)
    };
    let told = |headers: &[nephron_audit::Header], code: &str| {
        let refused = headers
            .iter()
            .rev()
            .find(|header| header.kind == EntryKind::PluginRefused)
            .unwrap();
        assert_eq!(refused.reasons, [code]);
        assert_eq!(refused.facts["act"], "start");
        refused.facts.clone()
    };
    let last = |headers: &[nephron_audit::Header]| {
        let mut activated = headers.iter().rev();
        let activated = activated.find(|header| header.kind == EntryKind::RosterActivated);
        activated.unwrap().facts.clone()
    };

    let (folder, first, headers) = started(&usual, tempfile::tempdir().unwrap()).await;
    assert!(!last(&headers).contains_key("changes/0"));
    // What looks at less waits for a person.
    let (folder, serving, headers) = started(&narrowed, folder).await;
    assert_eq!(serving, first);
    let facts = told(&headers, "nobody-staged-it");
    assert!(
        facts["widens/0"].contains("another digest of its settings"),
        "{facts:?}"
    );
    // What does not, serves, and the log has what is other.
    let (folder, second, headers) = started(&mended, folder).await;
    assert_ne!(second, first);
    let changed = &last(&headers)["changes/0"];
    assert!(changed.contains("`limits.fuel` was"), "{changed}");
    // What keeps no case does not.
    let (folder, serving, headers) = started(&broken, folder).await;
    assert_eq!(serving, second);
    assert_eq!(told(&headers, "case-not-kept")["plugin"], "access");
    // Where what served last is gone, there is nothing to hold it to but its cases.
    let manifest = format!("host/kept/{}.roster.json", second.hex());
    std::fs::remove_file(folder.path().join(manifest)).unwrap();
    let refused = broken.open_in(folder).await.err().unwrap();
    let is_unfit = matches!(refused, OpenError::Unfit { code, .. } if code == "case-not-kept");
    assert!(is_unfit, "{refused}");
}

/// One request to the configuration as it is.
fn run(file: &Path) -> (i32, String) {
    use std::io::Write as _;
    let mut child = Command::new(super::nephron())
        .args(["run", "-", "--config"])
        .arg(file)
        .env("UNUSED", PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({
        "tenant": "st-marys", "caller": { "id": "dr.okafor", "roles": ["physician"] }, "purpose": "TREAT",
        "model": "clinical", "messages": [{ "role": "user", "content": "which one serves?" }],
    });
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}
