//! The hostile-plugin kit (`tests/guests/kit.toml`): each case on this host.

use std::collections::BTreeSet;
use std::path::Path;

use nephron_engine::compile::Compiler;
use nephron_engine::contract::Effect;
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Answer, Engine, Judgement, Limits};
use nephron_keys::Operations;
use nephron_model::EntryKind;
use nephron_tests::{MockModel, Setup, component};
use serde::Deserialize;

use super::keys::{deidentify, lender};
use super::{decide, detect, info};
use crate::tidy::sources;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kit {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    component: Option<String>,
    settings: Option<serde_json::Value>,
    question: String,
    ask: Option<String>,
    grant: Option<String>,
    tries: String,
    allowed: String,
    code: Option<String>,
    held: Option<String>,
}

fn guests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/guests"))
}

fn kit() -> Vec<Case> {
    let text = std::fs::read_to_string(guests().join("kit.toml")).unwrap();
    toml::from_str::<Kit>(&text).unwrap().case
}

fn bytes(component_name: &str) -> Vec<u8> {
    nephron_made_guests::component(component_name)
        .unwrap_or_else(|| std::fs::read(component(component_name)).unwrap())
}

/// What comes of a case that takes a plugin and one question: a code of this host's, `permit`, or `answered`.
async fn outcome(engine: &Engine, case: &Case) -> String {
    let granted = Grants {
        keys: true,
        null_wasi: false,
    };
    let limits = Limits {
        configure_fuel: 1_000_000_000,
        // The fuel is what ends a case, however busy the machine is.
        deadline: std::time::Duration::from_secs(60),
        ..Limits::default()
    };
    let bytes = bytes(case.component.as_ref().unwrap());
    let vetted = match vet(bytes, None, None, granted, &limits) {
        Ok(vetted) => vetted,
        Err(error) => return error.code().to_owned(),
    };
    // Settings of the question stand beside the plugin's.
    let chunks = case
        .settings
        .as_ref()
        .and_then(|settings| settings["chunks"].as_u64());
    let settings = match (&case.settings, chunks) {
        (Some(settings), None) => settings.to_string(),
        (Some(_), Some(_)) | (None, _) => "{}".to_owned(),
    };
    let compiler = &Compiler::InProcess;
    let loaded = engine.load("guest", &vetted, &settings, &limits, compiler, None);
    let plugin = match loaded.await {
        Ok(plugin) => plugin,
        Err(error) => return error.code().to_owned(),
    };
    let judgement = match case.question.as_str() {
        "load" => return "loaded".to_owned(),
        "decide" => decide(),
        "detect" => detect(),
        "deidentify" => deidentify("Café 555-0187"),
        "decode" => Judgement::Decode {
            info: info(),
            status: 200,
            headers: vec![],
            chunks: vec![b"x".to_vec(); chunks.unwrap().try_into().unwrap()],
            is_cut_off: false,
        },
        other => panic!("{}: `{other}` is no question of a plugin alone", case.name),
    };
    let mut outcomes = BTreeSet::new();
    for _ in 0..2 {
        let lender = match case.question.as_str() {
            "deidentify" => Some(lender("st-marys").await),
            _ => None,
        };
        let operations = match case.grant.as_deref() {
            None | Some("all") => Operations::ALL,
            Some("seal") => Operations::SEAL,
            Some("mac") => Operations::MAC,
            Some(other) => panic!("{}: no operation `{other}`", case.name),
        };
        let key = lender
            .as_ref()
            .map(|lender| lender.lend_for(operations, Some(5)));
        let answer = engine.call(&plugin, &judgement, key).await.answer;
        let drafts = lender.map_or_else(Vec::new, |lender| lender.log.drafts());
        let refused = drafts
            .into_iter()
            .find(|draft| draft.kind == EntryKind::KeyRefused);
        outcomes.insert(match (answer, refused) {
            (Err(_), Some(refused)) => refused.reasons[0].clone(),
            (Err(failure), None) => failure.code().to_owned(),
            (Ok(Answer::Decided(Ok(decision))), _) => match decision.effect {
                Effect::Permit => "permit".to_owned(),
                Effect::Deny | Effect::NotApplicable | Effect::Indeterminate => "denied".to_owned(),
            },
            (Ok(Answer::Transformed(Ok(outcome))), _) if outcome.residual_risk == Some(1.0) => {
                "learned".to_owned()
            }
            (Ok(Answer::Transformed(Ok(outcome))), _) if outcome.residual_risk == Some(0.5) => {
                "not-found".to_owned()
            }
            (Ok(_), _) => "answered".to_owned(),
        });
    }
    outcomes.into_iter().collect::<Vec<_>>().join(", then ")
}

#[tokio::test]
async fn each_case_of_a_plugin_and_a_question_has_its_one_allowed_result() {
    let engine = Engine::new().unwrap();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for case in kit() {
        let Some(code) = &case.code else { continue };
        if case.question == "send" {
            continue;
        }
        let outcome = outcome(&engine, &case).await;
        if &outcome != code {
            wrong.push(format!("{}: {outcome}, not {code}", case.name));
        }
        tried += 1;
        // The host goes on, and so does the engine that it ran on.
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 80, "{tried}");
}

#[tokio::test]
async fn no_request_goes_where_it_may_not_or_carries_what_is_the_hosts() {
    let server = MockModel::start(200, "You said: {user}").await;
    let folder = tempfile::tempdir().unwrap();
    let credential = super::upstream::credential(folder.path());
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let rig = Setup::default()
        .spoken("misdirects", "", &server.url(), &credential, cleared)
        .open()
        .await;
    let mut wrong = Vec::new();
    let mut tried = 0;
    for case in kit().into_iter().filter(|case| case.question == "send") {
        let reply = rig.ask(case.ask.as_ref().unwrap()).await;
        let entries = rig.entries(reply.event());
        let of = |kind: EntryKind| {
            entries
                .iter()
                .filter(move |entry| entry.header.kind == kind)
        };
        let closed = of(EntryKind::RequestClosed).next().unwrap();
        let mut told: Vec<&String> = entries
            .iter()
            .flat_map(|entry| &entry.header.reasons)
            .collect();
        told.retain(|reason| Some(*reason) == case.code.as_ref());
        if reply.status() == 200 || told.is_empty() || of(EntryKind::Sending).next().is_some() {
            wrong.push(format!(
                "{}: {} {:?}",
                case.name, closed.header.outcome, closed.header.reasons
            ));
        }
        tried += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 20 && server.seen().is_empty(), "{tried}");
    // Plainly, it arrives.
    let _reply = rig.ask("plainly").await;
    assert_eq!(server.seen(), [b"{}"]);
}

#[test]
fn every_guest_is_in_the_kit_and_every_case_says_who_holds_it() {
    let cases = kit();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "a name is there twice");
    let sources = ["tests/it", "host"].into_iter().flat_map(sources);
    let tests: String = sources.map(|(_, text)| text).collect();
    for case in &cases {
        assert!(
            !case.tries.is_empty() && !case.allowed.is_empty(),
            "{}",
            case.name
        );
        match (&case.code, &case.held) {
            (Some(_), None) => {}
            (None, Some(held)) => {
                let place = tests.find(&format!("fn {held}("));
                let before = place.and_then(|place| tests.get(place - 60..place));
                let is_test = before.is_some_and(|before| before.contains("test"));
                assert!(is_test, "{}: there is no test `{held}`", case.name);
            }
            (Some(_), Some(_)) | (None, None) => panic!("{}: a code, or who holds it", case.name),
        }
    }
    let used: BTreeSet<&str> = cases
        .iter()
        .filter_map(|case| case.component.as_deref())
        .map(|name| name.split_once('/').map_or(name, |(folder, _)| folder))
        .collect();
    let behave = ["does-nothing", "echoes", "sums-with-key", "whole-cedar"];
    for folder in ["guests", "made"] {
        for item in std::fs::read_dir(guests().join("..").join(folder)).unwrap() {
            let item = item.unwrap();
            let name = item.file_name().into_string().unwrap();
            if item.path().is_dir() && !behave.contains(&name.as_str()) {
                assert!(used.contains(name.as_str()), "{name} is in no case");
            }
        }
    }
}
