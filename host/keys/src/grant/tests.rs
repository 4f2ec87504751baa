use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nephron_model::{Clock as _, FixedClock, NotRecorded, PluginRef};
use pollster::block_on;

use super::*;
use crate::ward::{Ward, kind};

fn with(ward: &Ward, change: impl FnOnce(&mut GrantRequest)) -> Grant {
    let mut request = ward.request();
    change(&mut request);
    ward.keys.mint(request).unwrap()
}

/// Every operation once, each on something that would succeed, as (name, outcome).
fn everything(ward: &Ward, grant: &Grant) -> Vec<(&'static str, Result<(), KeyError>)> {
    let fields = ward.grant();
    let sealed = block_on(fields.seal(b"note", "c")).unwrap();
    let payload = ward.keys.seal_payload(None, "prompt", b"note").unwrap();
    let tokens = block_on(fields.tokenize(&[(kind("name"), "Jane")])).unwrap();
    vec![
        ("seal", block_on(grant.seal(b"note", "c")).map(drop)),
        ("open", block_on(grant.open(&sealed, "c")).map(drop)),
        ("mac", block_on(grant.mac(b"data")).map(drop)),
        (
            "open-payload",
            block_on(grant.open_payload(&payload, None, "prompt")).map(drop),
        ),
        (
            "tokenize",
            block_on(grant.tokenize(&[(kind("name"), "Jane")])).map(drop),
        ),
        ("detokenize", block_on(grant.detokenize(&tokens)).map(drop)),
    ]
}

#[test]
fn what_is_sealed_opens_under_another_grant_for_the_same_place() {
    let ward = Ward::new("st-marys");
    let sealed = block_on(ward.grant().seal(b"note", "context")).unwrap();
    let opened = block_on(ward.grant().open(&sealed, "context")).unwrap();
    assert_eq!(opened.expose(), b"note");
}

#[test]
fn a_grant_with_a_providers_key_authenticates_under_that_and_names_it() {
    let ward = Ward::new("st-marys");
    let secret = Phi::new("secret".to_owned());
    let grant = with(&ward, |request| {
        let at = ward.clock.now();
        request.signing = Some(SigningKey::aws("AKIDEXAMPLE", &secret, at, "r", "bedrock"));
    });
    let scope = "AKIDEXAMPLE/20261122/r/bedrock/aws4_request";
    assert_eq!(grant.info().id, scope);
    let tag = block_on(grant.mac(b"data")).unwrap();
    assert_ne!(tag, block_on(ward.grant().mac(b"data")).unwrap());
    let key = SigningKey::aws("AKIDEXAMPLE", &secret, ward.clock.now(), "r", "bedrock");
    assert_eq!(tag, key.mac(b"data"));
    let used =
        ward.log.drafts().into_iter().find(|entry| {
            entry.kind == EntryKind::KeyUsed && entry.facts.contains_key("signing-key")
        });
    assert_eq!(used.unwrap().facts["signing-key"], scope);
}

#[test]
fn another_place_or_purpose_opens_nothing() {
    let ward = Ward::new("st-marys");
    let sealed = block_on(ward.grant().seal(b"note", "context")).unwrap();
    let elsewhere: [fn(&mut GrantRequest); 3] = [
        |request| request.purpose = "HRESCH".parse().unwrap(),
        |request| request.record = "r".to_owned(),
        |request| request.field = "f".to_owned(),
    ];
    for change in elsewhere {
        let refused = block_on(with(&ward, change).open(&sealed, "context"));
        assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    }
    let refused = block_on(ward.grant().open(&sealed, "other context"));
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
}

#[test]
fn i4_i5_a_grant_of_one_tenant_opens_nothing_of_another() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let sealed = block_on(there.grant().seal(b"note", "c")).unwrap();
    let payload = there.keys.seal_payload(None, "prompt", b"note").unwrap();
    let refused = block_on(here.grant().open(&sealed, "c"));
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    let refused = block_on(here.grant().open_payload(&payload, None, "prompt"));
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    let last = here.last();
    assert_eq!(
        (last.kind, last.outcome.as_str()),
        (EntryKind::KeyRefused, "deny")
    );
    assert_eq!(last.reasons, ["authentication-failed"]);
}

#[test]
fn a_payload_opens_for_its_request_and_name_alone() {
    let ward = Ward::new("st-marys");
    let request = random::event_id(&*ward.clock).unwrap();
    let sealed = ward
        .keys
        .seal_payload(Some(request), "prompt", b"note")
        .unwrap();
    let grant = ward.grant();
    let opened = block_on(grant.open_payload(&sealed, Some(request), "prompt")).unwrap();
    assert_eq!(opened.expose(), b"note");
    assert_eq!(ward.last().facts["payload-of"], request.to_string());
    for (request, what) in [(None, "prompt"), (Some(request), "answer")] {
        let refused = block_on(grant.open_payload(&sealed, request, what));
        assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    }
    // A field's envelope is no payload, whatever the grant may do.
    let field = block_on(grant.seal(b"note", "")).unwrap();
    assert!(block_on(grant.open_payload(&field, None, "")).is_err());
}

#[test]
fn a_mac_is_stable_and_belongs_to_its_place() {
    let ward = Ward::new("st-marys");
    let mac = |change: fn(&mut GrantRequest), data: &[u8]| {
        block_on(with(&ward, change).mac(data)).unwrap()
    };
    let plain = mac(|_| (), b"data");
    assert_eq!(mac(|_| (), b"data"), plain);
    assert_ne!(mac(|_| (), b"date"), plain);
    assert_ne!(
        mac(|request| request.record = "r".to_owned(), b"data"),
        plain
    );
    assert_ne!(
        mac(
            |request| request.purpose = "HRESCH".parse().unwrap(),
            b"data"
        ),
        plain
    );
    let elsewhere = block_on(Ward::new("general").grant().mac(b"data")).unwrap();
    assert_ne!(elsewhere, plain);
}

#[test]
fn an_operation_that_was_not_granted_is_refused_and_recorded() {
    let ward = Ward::new("st-marys");
    for (operation, name) in Operations::NAMES {
        let grant = with(&ward, |request| request.operations = operation);
        for (tried, result) in everything(&ward, &grant) {
            assert_eq!(
                result.is_ok(),
                tried == name,
                "{tried} under a grant for {name}"
            );
        }
        let refused = ward.log.drafts().into_iter().filter(|draft| {
            draft.kind == EntryKind::KeyRefused && draft.facts["grant"] == grant.info().id
        });
        let reasons: Vec<_> = refused.map(|draft| draft.reasons).collect();
        assert_eq!(reasons, vec![["not-permitted", "operation"]; 5], "{name}");
    }
}

#[test]
fn an_expired_grant_does_nothing() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    ward.clock.advance(Duration::from_secs(59));
    assert!(
        everything(&ward, &grant)
            .iter()
            .all(|(_, result)| result.is_ok())
    );
    ward.clock.advance(Duration::from_secs(1));
    for (tried, result) in everything(&ward, &grant) {
        assert!(matches!(result, Err(KeyError::Expired)), "{tried}");
    }
    assert_eq!(ward.last().reasons, ["expired"]);
}

#[test]
fn uses_are_counted_across_operations_and_threads() {
    let ward = Ward::new("st-marys");
    let grant = with(&ward, |request| request.uses = Some(20));
    let allowed: usize = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..5).filter(|_| block_on(grant.mac(b"x")).is_ok()).count()))
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).sum()
    });
    assert_eq!(allowed, 20);
    assert_eq!(grant.info().remaining_uses, Some(0));
    for (tried, result) in everything(&ward, &grant) {
        assert!(matches!(result, Err(KeyError::BudgetExhausted)), "{tried}");
    }
}

#[test]
fn a_refused_use_costs_none() {
    let ward = Ward::new("st-marys");
    let grant = with(&ward, |request| {
        request.uses = Some(1);
        request.kinds = Kinds::Only([kind("date")].into());
    });
    assert!(block_on(grant.tokenize(&[(kind("name"), "Jane")])).is_err());
    assert_eq!(ward.last().reasons, ["not-permitted", "kind"]);
    assert_eq!(grant.info().remaining_uses, Some(1));
    assert!(block_on(grant.tokenize(&[(kind("date"), "3 May")])).is_ok());
}

#[test]
fn kinds_that_are_never_restored_stay_tokens() {
    let ward = Ward::new("st-marys");
    let values = [(kind("name"), "Jane"), (kind("ssn"), "000-12-3456")];
    let tokens = block_on(ward.grant().tokenize(&values)).unwrap();
    let grant = with(&ward, |request| {
        request.kinds = Kinds::Except([kind("ssn")].into())
    });
    let values = block_on(grant.detokenize(&tokens)).unwrap();
    assert_eq!(values[0].as_ref().unwrap().expose(), "Jane");
    assert!(values[1].is_none());
    let counts = ward.last().counts;
    assert_eq!((counts["name"], counts["tokens/withheld"]), (1, 1));
    assert!(!counts.contains_key("ssn"));
}

#[test]
fn without_a_conversation_there_are_no_tokens() {
    let ward = Ward::new("st-marys");
    let grant = with(&ward, |request| request.conversation = None);
    assert!(matches!(
        block_on(grant.tokenize(&[])),
        Err(KeyError::NotPermitted)
    ));
    assert!(matches!(
        block_on(grant.detokenize(&[])),
        Err(KeyError::NotPermitted)
    ));
    assert_eq!(ward.last().reasons, ["not-permitted", "conversation"]);
}

#[test]
fn i1_nothing_opens_before_its_entry_is_durable() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let sealed = block_on(grant.seal(b"note", "c")).unwrap();
    let before = ward.log.drafts().len();
    ward.log.hold();
    let mut opening = pin!(grant.open(&sealed, "c"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(opening.as_mut().poll(&mut context).is_pending());
    assert!(opening.as_mut().poll(&mut context).is_pending());
    assert_eq!((ward.log.waiting(), ward.log.drafts().len()), (1, before));
    ward.log.release();
    assert!(matches!(
        opening.as_mut().poll(&mut context),
        Poll::Ready(Ok(_))
    ));
    let last = ward.last();
    assert_eq!(
        (last.kind, last.outcome.as_str()),
        (EntryKind::KeyUsed, "permit")
    );
}

#[test]
fn i1_tokens_drawn_ahead_stand_for_nothing_until_their_entry_is_durable() {
    let ward = Ward::new("st-marys");
    let (one, other) = (ward.grant(), ward.grant());
    let values = [(kind("name"), "Jane")];
    let before = ward.log.records();
    ward.log.hold();
    let (tokens, mut underway) = block_on(one.tokenize_ahead(&values)).unwrap();
    assert!(underway.resolved().is_none());
    // Who asks meanwhile is given the same, and waits for an entry of its own.
    let (again, waiting) = block_on(other.tokenize_ahead(&values)).unwrap();
    assert_eq!((&again, ward.log.waiting()), (&tokens, 2));
    assert_eq!(ward.log.records(), before);
    ward.log.release();
    assert!(matches!(underway.resolved(), Some(Ok(_))));
    drop(underway);
    let _recorded = block_on(waiting.durable()).unwrap();
    let values = block_on(one.detokenize(&tokens)).unwrap();
    assert_eq!(values[0].as_ref().unwrap().expose(), "Jane");
}

#[test]
fn i1_tokens_drawn_ahead_of_an_entry_that_fails_were_never_issued() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let values = [(kind("name"), "Jane")];
    ward.log.refuse_from(0);
    let (_, underway) = block_on(grant.tokenize_ahead(&values)).unwrap();
    assert!(matches!(
        block_on(underway.durable()),
        Err(NotRecorded::Storage(_))
    ));
    ward.log.accept();
    block_on(grant.tokenize(&values)).unwrap();
    assert_eq!(ward.last().counts["tokens/new"], 1);
}

#[test]
fn i1_a_use_that_cannot_be_recorded_is_refused() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let sealed = block_on(grant.seal(b"note", "c")).unwrap();
    let tokens = block_on(grant.tokenize(&[(kind("name"), "Jane")])).unwrap();
    ward.log.refuse_from(0);
    let results = [
        block_on(grant.seal(b"note", "c")).map(drop),
        block_on(grant.open(&sealed, "c")).map(drop),
        block_on(grant.mac(b"data")).map(drop),
        block_on(grant.tokenize(&[(kind("name"), "John")])).map(drop),
        block_on(grant.detokenize(&tokens)).map(drop),
    ];
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(KeyError::NotRecorded(_))))
    );
    // The token that was never recorded was never issued.
    ward.log.accept();
    block_on(grant.tokenize(&[(kind("name"), "John")])).unwrap();
    assert_eq!(ward.last().counts["tokens/new"], 1);
}

#[test]
fn a_refusal_that_cannot_be_recorded_is_still_a_refusal() {
    let ward = Ward::new("st-marys");
    let grant = with(&ward, |request| request.operations = Operations::NONE);
    ward.log.refuse_from(0);
    assert!(matches!(
        block_on(grant.mac(b"x")),
        Err(KeyError::NotRecorded(_))
    ));
}

/// The log stalls; meanwhile the grant's time runs out, or the key is destroyed.
#[test]
fn what_ends_while_the_entry_is_written_opens_nothing() {
    let ward = Ward::new("st-marys");
    let sealed = block_on(ward.grant().seal(b"note", "c")).unwrap();
    let mut context = Context::from_waker(Waker::noop());

    let grant = ward.grant();
    ward.log.hold();
    let mut opening = pin!(grant.open(&sealed, "c"));
    assert!(opening.as_mut().poll(&mut context).is_pending());
    ward.clock.advance(Duration::from_secs(60));
    ward.log.release();
    assert!(matches!(
        opening.as_mut().poll(&mut context),
        Poll::Ready(Err(KeyError::Expired))
    ));

    let grant = ward.grant();
    ward.log.hold();
    let mut opening = pin!(grant.open(&sealed, "c"));
    let mut destroying = pin!(ward.keys.destroy("test"));
    assert!(opening.as_mut().poll(&mut context).is_pending());
    assert!(destroying.as_mut().poll(&mut context).is_pending());
    ward.log.release();
    assert!(matches!(
        destroying.as_mut().poll(&mut context),
        Poll::Ready(Ok(_))
    ));
    assert!(matches!(
        opening.as_mut().poll(&mut context),
        Poll::Ready(Err(KeyError::Destroyed))
    ));
    let kinds: Vec<_> = ward
        .log
        .drafts()
        .iter()
        .rev()
        .take(3)
        .map(|draft| draft.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            EntryKind::KeyRefused,
            EntryKind::KeyChanged,
            EntryKind::KeyUsed
        ]
    );
}

#[test]
fn entries_name_who_for_what_and_under_which_grant() {
    let ward = Ward::new("st-marys");
    let plugin = PluginRef {
        digest: Digest::of(b"component"),
        name: "date-shift".to_owned(),
        settings: Digest::of(b"settings"),
        version: "0.1.0".to_owned(),
    };
    let id = random::event_id(&*ward.clock).unwrap();
    let grant = with(&ward, |request| {
        request.subject = Subject::Plugin(plugin.clone());
        request.operations = Operations::MAC | Operations::SEAL;
        request.uses = Some(1);
        request.kinds = Kinds::Only([kind("date"), kind("age")].into());
        request.request = Some(id);
        request.point = Some(Point::Egress);
        request.caller = Some("clinician-7".to_owned());
        request.generation = Some(Digest::of(b"roster"));
    });
    let minted = ward.last();
    assert_eq!(
        (minted.kind, minted.outcome.as_str()),
        (EntryKind::GrantMinted, "minted")
    );
    let facts = [
        "grant",
        "key-version",
        "operations",
        "kinds",
        "uses",
        "expires",
    ]
    .map(|name| &*minted.facts[name]);
    let id_text = grant.info().id;
    assert_eq!(
        facts,
        [
            &*id_text,
            "1",
            "seal,mac",
            "age,date",
            "1",
            "2026-11-22T00:04:22.000000000Z"
        ]
    );

    let permitted = block_on(grant.mac(b"x")).map(drop);
    let exhausted = block_on(grant.mac(b"x")).map(drop);
    assert!(permitted.is_ok() && exhausted.is_err());
    for entry in &ward.log.drafts()[1..] {
        assert_eq!(entry.facts["grant"], id_text);
        assert_eq!(
            (entry.request, entry.point),
            (Some(id), Some(Point::Egress))
        );
        assert_eq!(entry.purpose.as_ref().unwrap().as_str(), "TREAT");
        assert_eq!(entry.caller.as_deref(), Some("clinician-7"));
        assert_eq!(entry.plugin.as_ref(), Some(&plugin));
        assert_eq!(entry.generation, Some(Digest::of(b"roster")));
        assert!(entry.kind == EntryKind::GrantMinted || entry.facts["operation"] == "mac");
    }
}

#[test]
fn unreadable_records_are_a_recorded_refusal() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let tokens = block_on(grant.tokenize(&[(kind("name"), "Jane")])).unwrap();
    ward.log.set_unreadable(true);
    let results = [
        block_on(grant.tokenize(&[(kind("name"), "Jane")])).map(drop),
        block_on(grant.detokenize(&tokens)).map(drop),
    ];
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(KeyError::Unavailable(_))))
    );
    assert_eq!(
        (ward.last().kind, ward.last().reasons),
        (EntryKind::KeyRefused, vec!["unavailable".to_owned()])
    );
}

#[test]
fn a_future_of_every_use_can_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let ward = Ward::new("st-marys");
    let grant = Arc::new(ward.grant());
    moves(&grant.seal(b"", ""));
    moves(&grant.open(b"", ""));
    moves(&grant.mac(b""));
    moves(&grant.open_payload(b"", None, ""));
    moves(&grant.tokenize(&[]));
    moves(&grant.detokenize(&[]));
    moves(&ward.keys.destroy("test"));
}

/// The canary goes in wherever text goes in, and every way to fail is tried.
#[test]
fn i9_no_error_and_no_entry_holds_what_was_sealed() {
    const CANARY: &str = "CANARY-Jane-Example-555-0134";
    let ward = Ward::new("st-marys");
    let clock: Arc<FixedClock> = Arc::clone(&ward.clock);
    let canary = |request: &mut GrantRequest| {
        request.record = CANARY.to_owned();
        request.field = CANARY.to_owned();
        request.conversation = Some(ward.conversation(CANARY));
    };
    let values = [(kind("name"), CANARY)];
    let sealed = block_on(with(&ward, canary).seal(CANARY.as_bytes(), CANARY)).unwrap();
    let tokens = block_on(with(&ward, canary).tokenize(&values)).unwrap();
    let spent = with(&ward, |request| request.uses = Some(0));
    let powerless = with(&ward, |request| request.operations = Operations::NONE);
    let elsewhere = with(&ward, |_| ());
    let good = with(&ward, canary);

    let mut errors = Vec::new();
    let mut fail = |grant: &Grant| {
        errors.extend(block_on(grant.seal(CANARY.as_bytes(), CANARY)).err());
        errors.extend(block_on(grant.open(&sealed, CANARY)).err());
        errors.extend(block_on(grant.open(CANARY.as_bytes(), CANARY)).err());
        errors.extend(block_on(grant.mac(CANARY.as_bytes())).err());
        errors.extend(block_on(grant.open_payload(CANARY.as_bytes(), None, CANARY)).err());
        errors.extend(block_on(grant.tokenize(&values)).err());
        errors.extend(block_on(grant.detokenize(&tokens)).err());
    };
    fail(&spent);
    fail(&powerless);
    fail(&elsewhere);
    ward.log.set_unreadable(true);
    fail(&good);
    ward.log.set_unreadable(false);
    ward.log.refuse_from(0);
    fail(&good);
    ward.log.accept();
    clock.advance(Duration::from_secs(61));
    fail(&good);
    let late = with(&ward, canary);
    block_on(ward.keys.destroy("test")).unwrap();
    fail(&late);

    let seen: BTreeSet<_> = errors.iter().map(KeyError::code).collect();
    let expected = [
        "authentication-failed",
        "budget-exhausted",
        "destroyed",
        "expired",
        "not-permitted",
        "not-recorded",
        "unavailable",
    ];
    assert_eq!(seen, expected.into());
    for error in &errors {
        let mut text = format!("{error} {error:?}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text += &format!(" {cause} {cause:?}");
            source = cause.source();
        }
        assert!(
            !text.contains("CANARY") && !text.contains("Example"),
            "{text}"
        );
    }
    for entry in ward.log.drafts() {
        let text = format!("{entry:?}");
        assert!(
            !text.contains("CANARY") && !text.contains("Example"),
            "{text}"
        );
        for record in entry.records {
            let bytes = [record.key, record.value].concat();
            assert!(!String::from_utf8_lossy(&bytes).contains("CANARY"));
        }
    }
    assert!(!format!("{good:?}").contains("CANARY"));
}

#[test]
fn a_sealed_field_opens_only_in_its_place() {
    let ward = Ward::new("st-marys");
    let (mrn, name) = (kind("mrn"), kind("name"));
    let field = |record, name, kind| Field { record, name, kind };
    let here = field("patient/4711", "number", &mrn);
    let fields = [(here, "90210557"), (here, "90210557")];
    let sealed = block_on(ward.grant().seal_fields(&fields)).unwrap();
    assert_ne!(sealed[0], sealed[1], "each has a salt of its own");
    let used = ward.last();
    assert_eq!((used.kind, used.counts["mrn"]), (EntryKind::KeyUsed, 2));
    let listed = ward.keys.mint(ward.request()).unwrap();
    let listed =
        block_on(listed.open_payload(used.payload.as_ref().unwrap(), used.request, FIELDS));
    let listed: serde_json::Value = serde_json::from_slice(listed.unwrap().expose()).unwrap();
    assert_eq!(listed[1]["record"], "patient/4711");

    let sealed = sealed[0].as_slice();
    let opened = block_on(ward.grant().open_fields(&[(here, sealed)])).unwrap();
    assert_eq!(opened[0].expose(), "90210557");
    for elsewhere in [
        field("patient/4712", "number", &mrn),
        field("patient/4711", "other", &mrn),
        field("patient/4711", "number", &name),
    ] {
        // One that does not belong keeps the others closed.
        let refused = block_on(
            ward.grant()
                .open_fields(&[(here, sealed), (elsewhere, sealed)]),
        );
        assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
        assert_eq!(ward.last().reasons, ["authentication-failed"]);
    }
    let only_names = with(&ward, |request| {
        request.kinds = Kinds::Only([name.clone()].into())
    });
    let refused = block_on(only_names.open_fields(&[(here, sealed)]));
    assert!(matches!(refused, Err(KeyError::NotPermitted)));
    assert_eq!(ward.last().reasons, ["not-permitted", "kind"]);
}
