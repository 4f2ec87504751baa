//! Guests that are lent a key.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_engine::contract::Part;
use nephron_engine::{Answer, Engine, Judgement, Limits};
use nephron_keys::testing::MemoryLog;
use nephron_keys::{
    Cost, Grant, GrantRequest, Operations, Passphrase, RootKey, Subject, TenantKeys,
};
use nephron_model::{EntryKind, FixedClock};
use nephron_tests::{NOW, component};

use super::{info, load, messages};

pub(super) struct Lender {
    keys: TenantKeys,
    pub(super) log: Arc<MemoryLog>,
    _folder: tempfile::TempDir,
}

pub(super) async fn lender(tenant: &str) -> Lender {
    let folder = tempfile::tempdir().unwrap();
    let dir = || Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    let passphrase = Passphrase::new("correct horse battery staple".to_owned());
    let root = RootKey::create(&dir(), &passphrase, Cost::MINIMUM).unwrap();
    let root = Arc::new(root);
    let log = Arc::new(MemoryLog::new());
    let clock = Arc::new(FixedClock::at(NOW));
    let tenant = tenant.parse().unwrap();
    let keys = TenantKeys::create(dir(), tenant, &root, clock, log.clone(), log.clone())
        .await
        .unwrap();
    Lender {
        keys,
        log,
        _folder: folder,
    }
}

impl Lender {
    fn lend(&self, operations: Operations) -> Grant {
        self.lend_for(operations, None)
    }

    pub(super) fn lend_for(&self, operations: Operations, uses: Option<u64>) -> Grant {
        let subject = Subject::Caller("dr.okafor".to_owned());
        let lifetime = Duration::from_secs(60);
        self.keys
            .mint(GrantRequest {
                conversation: Some(self.keys.conversation("ward-7").unwrap()),
                uses,
                ..GrantRequest::new(subject, operations, "TREAT".parse().unwrap(), lifetime)
            })
            .unwrap()
    }

    fn kinds(&self) -> Vec<EntryKind> {
        self.log.drafts().iter().map(|draft| draft.kind).collect()
    }
}

async fn ask(
    bytes: Vec<u8>,
    settings: &str,
    judgement: &Judgement,
    key: Grant,
) -> Result<Answer, &'static str> {
    let engine = Engine::new().unwrap();
    let plugin = load(&engine, bytes, settings, &Limits::default())
        .await
        .unwrap();
    engine
        .call(&plugin, judgement, Some(key))
        .await
        .answer
        .map_err(|failure| failure.code())
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(component(name)).unwrap()
}

pub(super) fn deidentify(text: &str) -> Judgement {
    Judgement::Deidentify {
        info: info(),
        messages: messages(text),
        found: vec![],
    }
}

#[tokio::test]
async fn i4_keeps_a_borrowed_key() {
    let lender = lender("st-marys").await;
    let key = lender.lend(Operations::ALL);
    let answer = ask(
        guest("keeps-a-borrowed-key"),
        "{}",
        &deidentify("text"),
        key,
    )
    .await;
    assert_eq!(answer.err(), Some("kept-key"));
}

#[tokio::test]
async fn i4_forges_a_key_handle() {
    let lender = lender("st-marys").await;
    let key = lender.lend(Operations::ALL);
    let bytes = nephron_made_guests::forges_a_key_handle::component();
    let code = ask(bytes, "{}", &deidentify("text"), key)
        .await
        .err()
        .unwrap();
    assert!(["trapped", "bad-answer"].contains(&code), "{code}");
    assert!(!lender.kinds().contains(&EntryKind::KeyUsed));
}

#[tokio::test]
async fn i5_asks_for_another_tenants_key() {
    let (ours, theirs) = (lender("st-marys").await, lender("lakeside").await);
    let stolen = theirs
        .lend(Operations::SEAL)
        .seal(b"Zebulon Quackenbush", "note")
        .await
        .unwrap();
    let hex: String = stolen.iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = serde_json::json!({ "stolen": hex, "context": "note" }).to_string();
    let answer = ask(
        guest("asks-for-another-tenant"),
        &settings,
        &deidentify("text"),
        ours.lend(Operations::ALL),
    )
    .await;
    assert_eq!(answer.err(), Some("reported-error"));
    let refusals: Vec<_> = ours
        .log
        .drafts()
        .into_iter()
        .filter(|draft| draft.kind == EntryKind::KeyRefused)
        .collect();
    assert_eq!(refusals.len(), 1, "{:?}", ours.kinds());
    assert_eq!(refusals[0].outcome, "deny");
    assert_eq!(refusals[0].reasons[0], "authentication-failed");
    assert!(!theirs.kinds().contains(&EntryKind::KeyRefused));
}

#[tokio::test]
async fn i4_a_transformer_uses_its_lent_key_and_every_use_is_recorded() {
    let lender = lender("st-marys").await;
    let text = "call 5550187 now";
    let engine = Engine::new().unwrap();
    let plugin = load(&engine, guest("sums-with-key"), "{}", &Limits::default())
        .await
        .unwrap();
    let detect = Judgement::Detect {
        info: info(),
        messages: messages(text),
    };
    let found = engine
        .call(&plugin, &detect, None)
        .await
        .answer
        .unwrap()
        .spans()
        .unwrap();
    let deidentify = Judgement::Deidentify {
        info: info(),
        messages: messages(text),
        found,
    };
    let answer = engine
        .call(&plugin, &deidentify, Some(lender.lend(Operations::ALL)))
        .await
        .answer
        .unwrap();
    let Answer::Transformed(Ok(outcome)) = answer else {
        panic!("no outcome")
    };
    assert!(outcome.replaced == 1 && outcome.messages != messages(text));
    let reidentify = Judgement::Reidentify {
        info: info(),
        messages: outcome.messages,
    };
    let answer = engine
        .call(&plugin, &reidentify, Some(lender.lend(Operations::ALL)))
        .await
        .answer
        .unwrap();
    let Answer::Transformed(Ok(outcome)) = answer else {
        panic!("no outcome")
    };
    assert!(outcome.messages == messages(text));
    let uses = lender
        .kinds()
        .iter()
        .filter(|kind| **kind == EntryKind::KeyUsed)
        .count();
    assert!(uses >= 5, "{uses}");
}

#[tokio::test]
async fn a_transformer_takes_the_identifiers_out_of_fhir_with_its_lent_key() {
    let lender = lender("st-marys").await;
    let golden = |name: &str| {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/deid-fhir/tests/golden");
        std::fs::read_to_string(folder.join(name)).unwrap()
    };
    let mut given = messages("");
    given[0].parts = vec![Part::Json(golden("patient-basic.json"))];
    let judgement = Judgement::Deidentify {
        info: info(),
        messages: given,
        found: vec![],
    };
    let key = lender.lend(Operations::MAC);
    let settings = golden("configuration-sample.json");
    let answer = ask(guest("deid-fhir"), &settings, &judgement, key).await;
    let Ok(Answer::Transformed(Ok(outcome))) = answer else {
        panic!("no outcome: {:?}", answer.err())
    };
    let parts: Vec<&str> = outcome
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .map(|part| match part {
            Part::Json(json) => json.as_str(),
            Part::Text(_) | Part::Blob(_) => panic!("no JSON"),
        })
        .collect();
    let [patient, manifest] = parts.as_slice() else {
        panic!("{} parts", parts.len())
    };
    for told in [
        "GivenFirst",
        "\"Family\"",
        "2000-01-01",
        "1234 5678",
        "\"example\"",
    ] {
        assert!(!patient.contains(told), "{told} in {patient}");
    }
    assert!(
        patient.contains("CRYTOHASH") && patient.contains("\"gender\":\"male\""),
        "{patient}"
    );
    let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
    assert_eq!(manifest["resources"]["Patient"], 1);
    assert!(
        manifest["unexamined"].as_u64().unwrap() > 0 && outcome.replaced > 10,
        "{manifest}"
    );
    assert!(lender.kinds().contains(&EntryKind::KeyUsed));
}
