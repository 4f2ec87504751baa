//! Hostile guests, one test each: a named refusal within the limits, the host goes on serving, and the log says what
//! happened.

use nephron_engine::compile::{Compiler, PrepareError};
use nephron_engine::vet::{Grants, VetError, read, vet};
use nephron_engine::{Engine, Limits, LoadError};
use nephron_model::EntryKind;
use nephron_tests::{Setup, component};

use crate::nephron;

/// With a scalar of two bytes, for the guest that splits one.
const TEXT: &str = "Café: Patient: Zebulon Quackenbush.";

/// Puts the guest into the chain, sends a request, and holds the refusal, the log and the next request to what must be.
async fn refused(setup: Setup, code: &str, detail: Option<&str>) {
    let rig = setup.open().await;
    let reply = rig.ask(TEXT).await;
    assert_eq!(
        reply.refusal().map(|refusal| refusal.code()),
        Some("plugin-failed")
    );
    let entries = rig.entries(reply.event());
    let decision = entries.iter().find(|entry| {
        let name = entry
            .header
            .plugin
            .as_ref()
            .map(|plugin| plugin.name.as_str());
        entry.header.kind == EntryKind::Decision
            && (name == Some("access") || name == Some("finder"))
            && entry.header.outcome == code
    });
    let outcomes: Vec<_> = entries.iter().map(|entry| &entry.header.outcome).collect();
    let decision = decision.unwrap_or_else(|| panic!("no decision `{code}` among {outcomes:?}"));
    if let Some(detail) = detail {
        assert_eq!(decision.header.reasons, [detail]);
    }
    let closed = entries.last().unwrap();
    assert_eq!(
        (closed.header.kind, closed.header.outcome.as_str()),
        (EntryKind::RequestClosed, "plugin-failed")
    );
    assert_eq!(
        closed.header.reasons.first().map(String::as_str),
        Some(code)
    );
    // The host goes on: the same guest misbehaves again and is refused again, and the log still verifies.
    assert_eq!(
        rig.ask(TEXT).await.refusal().map(|refusal| refusal.code()),
        Some("plugin-failed")
    );
    let folder = rig.close();
    let log = folder.path().join("tenants/st-marys/log");
    assert!(
        nephron_audit::verify(&log, nephron_audit::VerifyOptions::default())
            .unwrap()
            .verified
    );
}

/// A decider that misbehaves, beside a good chain.
macro_rules! decider {
    ($name:ident, $guest:literal, $settings:literal => $code:literal $(, $detail:literal)?) => {
        #[tokio::test]
        async fn $name() {
            let detail: Option<&str> = None $(.or(Some($detail)))?;
            refused(Setup::default().decider($guest, $settings), $code, detail).await;
        }
    };
}

/// A detector that misbehaves; the decider does nothing, so that the detector is reached.
macro_rules! detector {
    ($name:ident, $guest:literal, $settings:literal => $code:literal $(, $detail:literal)?) => {
        #[tokio::test]
        async fn $name() {
            let detail: Option<&str> = None $(.or(Some($detail)))?;
            let setup = Setup::default().decider("does-nothing", "").detector($guest, $settings);
            refused(setup, $code, detail).await;
        }
    };
}

decider!(i6_loops_forever, "loops-forever", "" => "out-of-fuel");
decider!(i6_allocates_without_end, "allocates-without-end", "" => "out-of-memory");
decider!(i6_recurses, "recurses", "" => "trapped", "stack-overflow");
decider!(i6_traps, "traps", "" => "trapped", "unreachable");
decider!(i6_returns_a_gigabyte, "returns-a-gigabyte", "" => "out-of-memory");
decider!(i6_returns_more_than_is_copied, "returns-a-gigabyte", "bytes = 33554432" => "too-large");
decider!(i6_floods_host_calls, "floods-host-calls", "" => "too-many-host-calls");
detector!(i6_spans_out_of_range, "spans-out-of-range", "place = \"end\"" => "bad-answer", "span-out-of-range");
detector!(i6_spans_reversed, "spans-out-of-range", "place = \"reversed\"" => "bad-answer", "span-out-of-range");
detector!(i6_spans_in_no_part, "spans-out-of-range", "place = \"part\"" => "bad-answer", "span-names-no-text");
detector!(i6_spans_inside_a_scalar, "spans-inside-a-scalar", "" => "bad-answer", "span-inside-a-scalar");
detector!(i6_spans_overlapping, "spans-overlapping", "" => "bad-answer", "spans-overlap");
detector!(i6_ten_million_spans, "ten-million-spans", "" => "out-of-memory");
detector!(i6_half_a_million_spans, "ten-million-spans", "count = 500000" => "too-large");
detector!(i6_nan_confidence, "nan-confidence", "confidence = \"nan\"" => "bad-answer", "confidence-out-of-range");

#[tokio::test]
async fn i6_a_guest_that_loops_is_cut_by_the_clock_while_others_run_on() {
    let engine = Engine::new().unwrap();
    let limits = Limits {
        fuel: u64::MAX / 2,
        deadline: std::time::Duration::from_millis(300),
        ..Limits::default()
    };
    let plugin = load(
        &engine,
        std::fs::read(component("loops-forever")).unwrap(),
        "{}",
        &limits,
    )
    .await
    .unwrap();
    let query = decide();
    // On one thread: if the guest did not yield, the other task would not run before it ends.
    let other = tokio::spawn(async { 7 });
    let verdict = engine.call(&plugin, &query, None).await;
    assert_eq!(verdict.answer.err().unwrap().code(), "timed-out");
    assert!(other.is_finished());
}

#[tokio::test]
async fn i6_settings_that_a_plugin_refuses_are_told_in_full() {
    let engine = Engine::new().unwrap();
    let error = load_guest(&engine, "fails-to-configure").await;
    let LoadError::Prepare {
        source: PrepareError::Settings(problems),
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 2);
}

#[test]
fn i3_is_two_hundred_megabytes_of_padding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("padded.wasm");
    let size = nephron_made_guests::is_padding::write(&path).unwrap();
    let error = read(&path, &Limits::default()).err().unwrap();
    assert!(
        matches!(error, VetError::TooLarge { size: found, .. } if found == size),
        "{error}"
    );
}

/// What vetting refuses never runs, and so no request can meet it: the log of each tenant says that it was refused.
#[tokio::test]
async fn i3_a_plugin_that_is_refused_stands_in_the_log_and_the_host_serves_again() {
    let mut folder = Setup::default().open().await.close();
    let bad = tempfile::tempdir().unwrap();
    let padded = bad.path().join("too-large.wasm");
    nephron_made_guests::is_padding::write(&padded).unwrap();
    let mut cases = vec![(padded, "too-large")];
    for (bytes, code) in [
        (
            nephron_made_guests::imports_sockets::component(),
            "import-not-granted",
        ),
        (
            nephron_made_guests::is_a_core_module::component(),
            "core-module",
        ),
        (nephron_made_guests::is_truncated::component(), "malformed"),
        (
            std::fs::read(component("fails-to-configure")).unwrap(),
            "settings-refused",
        ),
    ] {
        let path = bad.path().join(format!("{code}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        cases.push((path, code));
    }
    for (path, code) in cases {
        let data = folder.path().to_owned();
        let newcomer = Setup::default().decider(path.to_str().unwrap(), "");
        let refused = newcomer.open_at(&data).await;
        assert!(refused.is_err(), "{code}");
        let rig = Setup::default().open_in(folder).await.unwrap();
        assert_eq!(rig.ask("Chest pain.").await.status(), 200, "{code}");
        folder = rig.close();
        let log = nephron_audit::Reader::open(&data.join("tenants/st-marys/log")).unwrap();
        let entries = log.entries(0..log.head().entries).map(Result::unwrap);
        let last = entries
            .filter(|entry| entry.header.kind == EntryKind::PluginRefused)
            .last()
            .unwrap();
        assert_eq!(last.header.reasons, [code]);
        assert_eq!(last.header.facts["plugin"], "access");
    }
}

#[tokio::test]
async fn i3_is_a_compile_bomb() {
    let engine = Engine::new().unwrap();
    let limits = Limits {
        compile_seconds: 5,
        ..Limits::default()
    };
    let vetted = vet(
        nephron_made_guests::is_a_compile_bomb::component(),
        None,
        None,
        Grants::default(),
        &limits,
    );
    // It is small and valid: only the compiling process, at its limits, finds out.
    let vetted = vetted.unwrap();
    let compiler = Compiler::Process {
        program: nephron().to_owned(),
        arguments: vec!["compile-worker".to_owned()],
    };
    let error = engine
        .load("bomb", &vetted, "{}", &limits, &compiler, None)
        .await
        .err()
        .unwrap();
    let LoadError::Prepare {
        source: PrepareError::Limits { seconds: 5, .. },
        ..
    } = error
    else {
        panic!("{error}")
    };
}

#[tokio::test]
async fn i3_a_guest_that_needs_wasi_gets_one_that_grants_nothing_and_only_if_granted() {
    let bytes = std::fs::read(component("needs-wasi")).unwrap();
    let limits = Limits::default();
    let error = vet(bytes.clone(), None, None, Grants::default(), &limits)
        .err()
        .unwrap();
    assert!(error.to_string().contains("grant.null-wasi"), "{error}");

    let granted = Grants {
        keys: false,
        null_wasi: true,
    };
    let vetted = vet(bytes, None, None, granted, &limits).unwrap();
    let engine = Engine::new().unwrap();
    let plugin = engine
        .load("guest", &vetted, "{}", &limits, &Compiler::InProcess, None)
        .await
        .unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        let decision = engine
            .call(&plugin, &decide(), None)
            .await
            .answer
            .unwrap()
            .decision()
            .unwrap();
        told.push(
            decision
                .reasons
                .into_iter()
                .map(|reason| reason.code)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(
        told[0][..2],
        [
            format!("clock-{}", nephron_tests::NOW),
            "environment-0".to_owned()
        ]
    );
    assert_eq!(told[0], told[1], "randomness is a function of the request");
}

#[path = "hostile/keys.rs"]
mod keys;
#[path = "hostile/kit.rs"]
mod kit;
#[path = "hostile/upstream.rs"]
mod upstream;

async fn load(
    engine: &Engine,
    bytes: Vec<u8>,
    settings: &str,
    limits: &Limits,
) -> Result<nephron_engine::Plugin, LoadError> {
    let granted = Grants {
        keys: true,
        null_wasi: false,
    };
    let vetted = vet(bytes, None, None, granted, limits).unwrap();
    engine
        .load(
            "guest",
            &vetted,
            settings,
            limits,
            &Compiler::InProcess,
            None,
        )
        .await
}

async fn load_guest(engine: &Engine, name: &str) -> LoadError {
    let bytes = std::fs::read(component(name)).unwrap();
    load(engine, bytes, "{}", &Limits::default())
        .await
        .err()
        .unwrap()
}

fn info() -> nephron_engine::contract::RequestInfo {
    use nephron_engine::contract::{Caller, Instant, RequestInfo, Sensitivity};
    RequestInfo {
        id: "01JD0000000000000000000000".to_owned(),
        tenant: "st-marys".to_owned(),
        received_at: Instant {
            seconds: nephron_tests::NOW,
            nanoseconds: 0,
        },
        caller: Caller {
            id: "dr.okafor".to_owned(),
            roles: vec!["physician".to_owned()],
            attributes: vec![],
        },
        purpose: "TREAT".to_owned(),
        sensitivity: Sensitivity::Phi,
        attributes: vec![],
    }
}

fn decide() -> nephron_engine::Judgement {
    nephron_engine::Judgement::Decide(nephron_engine::contract::Query {
        info: info(),
        point: "ingress".to_owned(),
        action: "chat".to_owned(),
        target: "any".to_owned(),
        facts: vec![],
    })
}

fn detect() -> nephron_engine::Judgement {
    nephron_engine::Judgement::Detect {
        info: info(),
        messages: messages("Café 555-0187"),
    }
}

fn messages(text: &str) -> Vec<nephron_engine::contract::Message> {
    use nephron_engine::contract::{Message, Part};
    vec![Message {
        role: "user".to_owned(),
        name: None,
        parts: vec![Part::Text(text.to_owned())],
    }]
}
