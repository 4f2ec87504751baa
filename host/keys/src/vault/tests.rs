use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use nephron_model::Draft;
use pollster::block_on;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::Grant;
use crate::ward::{Ward, kind};

fn tokenize(grant: &Grant, values: &[(&str, &str)]) -> Vec<Token> {
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (kind(name), *value))
        .collect();
    block_on(grant.tokenize(&values)).unwrap()
}

fn detokenize(grant: &Grant, tokens: &[Token]) -> Vec<Option<String>> {
    let values = block_on(grant.detokenize(tokens)).unwrap();
    values
        .into_iter()
        .map(|value| value.map(Phi::into_inner))
        .collect()
}

fn grant_in(ward: &Ward, conversation: &str) -> Grant {
    let mut request = ward.request();
    request.conversation = Some(ward.conversation(conversation));
    ward.keys.mint(request).unwrap()
}

/// The vector was written by another implementation, from the document alone.
#[test]
fn lookups_are_as_the_document_says() {
    let text = include_str!("../../../../tests/fixtures/vectors/envelope/lookup.json");
    let vector: Value = serde_json::from_str(text).unwrap();
    let field = |name: &str| vector[name].as_str().unwrap();
    let key = Key::from_slice(&hex::decode(field("token-key")).unwrap()).unwrap();
    let ward = Ward::new(field("tenant"));
    let conversation = key.mac(&[
        b"conversation",
        field("tenant").as_bytes(),
        field("name").as_bytes(),
    ]);
    assert_eq!(hex::encode(&conversation), field("conversation"));
    let lookup = lookup(
        &key,
        Conversation(conversation),
        &kind(field("kind")),
        field("value"),
    );
    assert_eq!(hex::encode(&lookup), field("lookup"));
    let issued = issued_mac(&key, &lookup, field("token"));
    assert_eq!(hex::encode(&issued), field("issued"));
    // And the functions that use a tenant's own key agree with these.
    let own = ward.keys.inner().with_rings(|rings| {
        Ok(rings
            .lookup()
            .token
            .mac(&[b"conversation", field("tenant").as_bytes(), b"n"]))
    });
    assert_eq!(ward.conversation("n"), Conversation(own.unwrap()));
}

#[test]
fn a_value_keeps_its_token_across_calls_and_restarts() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let tokens = tokenize(
        &grant,
        &[
            ("name", "Jane Example"),
            ("phone", "555-0134"),
            ("name", "Jane Example"),
        ],
    );
    assert_eq!(tokens[0], tokens[2]);
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(ward.last().counts["tokens/new"], 2);

    assert_eq!(tokenize(&grant, &[("name", "Jane Example")])[0], tokens[0]);
    assert!(ward.last().records.is_empty());
    let restarted = Ward {
        keys: ward.reopen().unwrap(),
        ..ward
    };
    assert_eq!(
        tokenize(&restarted.grant(), &[("name", "Jane Example")])[0],
        tokens[0]
    );
    assert_eq!(
        detokenize(&restarted.grant(), &tokens),
        ["Jane Example", "555-0134", "Jane Example"].map(|value| Some(value.to_owned()))
    );
}

#[test]
fn every_spelling_comes_back_as_it_was_written() {
    let ward = Ward::new("st-marys");
    let spellings = [
        "John Smith",
        "JOHN SMITH",
        "John  Smith",
        " John Smith",
        "Jöhn",
        "Jo\u{308}hn",
        "",
    ];
    let values: Vec<_> = spellings.iter().map(|value| ("name", *value)).collect();
    let tokens = tokenize(&ward.grant(), &values);
    let restored = detokenize(&ward.grant(), &tokens);
    assert_eq!(restored, spellings.map(|value| Some(value.to_owned())));
}

#[test]
fn one_text_of_two_kinds_has_two_tokens() {
    let ward = Ward::new("st-marys");
    let tokens = tokenize(&ward.grant(), &[("name", "May"), ("date", "May")]);
    assert_eq!(
        [tokens[0].kind().as_str(), tokens[1].kind().as_str()],
        ["name", "date"]
    );
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn a_token_is_worth_nothing_in_another_conversation() {
    let ward = Ward::new("st-marys");
    let tokens = tokenize(&grant_in(&ward, "one"), &[("name", "Jane Example")]);
    assert_eq!(detokenize(&grant_in(&ward, "two"), &tokens), [None]);
    assert_eq!(ward.last().counts["tokens/unknown"], 1);
    assert_eq!(
        detokenize(&grant_in(&ward, "one"), &tokens),
        [Some("Jane Example".to_owned())]
    );
}

#[test]
fn i5_a_token_is_worth_nothing_at_another_tenant() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let tokens = tokenize(&here.grant(), &[("name", "Jane Example")]);
    assert_eq!(detokenize(&there.grant(), &tokens), [None]);
}

/// Not even when the one tenant's record is put into the other's store, under the place that the token looks up.
#[test]
fn i5_a_record_carried_to_another_tenant_does_not_open() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let tokens = tokenize(&here.grant(), &[("name", "Jane Example")]);
    let sealed = here.log.read(
        Space::VaultValue,
        &value_key(here.conversation("c"), &tokens[0]),
    );
    let place = value_key(there.conversation("c"), &tokens[0]);
    there
        .log
        .forge(Space::VaultValue, &place, &sealed.unwrap().unwrap());
    let refused = block_on(there.grant().detokenize(&tokens));
    assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    assert_eq!(there.last().reasons, ["authentication-failed"]);
}

#[test]
fn a_forged_or_unknown_token_is_left_alone_and_counted() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let issued = tokenize(&grant, &[("name", "Jane Example")]).remove(0);
    let other_kind: Token = issued.to_string().replace("NAME", "MRN").parse().unwrap();
    let tokens = ["[NAME_00000]".parse().unwrap(), issued, other_kind];
    let values = detokenize(&grant, &tokens);
    assert_eq!(values, [None, Some("Jane Example".to_owned()), None]);
    let counts = ward.last().counts;
    assert_eq!((counts["tokens/unknown"], counts["name"]), (2, 1));
}

/// Who can write to the store cannot make one patient's name come back for another's.
#[test]
fn swapped_records_do_not_swap_patients() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let tokens = tokenize(&grant, &[("name", "Jane Example"), ("name", "John Sample")]);
    let [jane, john] = [0, 1].map(|i| value_key(ward.conversation("c"), &tokens[i]));
    let sealed = ward.log.read(Space::VaultValue, &john).unwrap().unwrap();
    ward.log.forge(Space::VaultValue, &jane, &sealed);
    assert!(matches!(
        block_on(grant.detokenize(&tokens)),
        Err(KeyError::AuthenticationFailed)
    ));

    // The same one step earlier: John's lookup answers with Jane's token.
    let lookups: Vec<_> = ward
        .log
        .records()
        .into_iter()
        .filter(|((space, _), _)| *space == Space::VaultToken)
        .collect();
    let [((_, one), kept), ((_, other), _)] = lookups.as_slice() else {
        panic!()
    };
    ward.log.forge(Space::VaultToken, other, kept);
    assert_ne!(one, other);
    let values = [
        (kind("name"), "Jane Example"),
        (kind("name"), "John Sample"),
    ];
    assert!(matches!(
        block_on(grant.tokenize(&values)),
        Err(KeyError::AuthenticationFailed)
    ));
    assert_eq!(ward.last().reasons, ["authentication-failed"]);
}

#[test]
fn a_value_that_is_no_longer_there_is_unknown() {
    let ward = Ward::new("st-marys");
    let tokens = tokenize(&ward.grant(), &[("name", "Jane Example")]);
    ward.log.forge(
        Space::VaultValue,
        &value_key(ward.conversation("c"), &tokens[0]),
        b"",
    );
    assert_eq!(detokenize(&ward.grant(), &tokens), [None]);
}

#[test]
fn i1_no_token_is_handed_out_before_its_entry_is_durable() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    ward.log.hold();
    let values = [(kind("name"), "Jane Example")];
    let mut tokenizing = pin!(grant.tokenize(&values));
    let mut context = Context::from_waker(Waker::noop());
    assert!(tokenizing.as_mut().poll(&mut context).is_pending());
    ward.log.release();
    let Poll::Ready(Ok(tokens)) = tokenizing.as_mut().poll(&mut context) else {
        panic!()
    };
    let Draft {
        records, counts, ..
    } = ward.last();
    assert_eq!(records.len(), 2);
    assert_eq!((counts["name"], counts["tokens/new"]), (1, 1));
    assert_eq!(
        detokenize(&grant, &tokens),
        [Some("Jane Example".to_owned())]
    );
}

#[test]
fn two_tasks_that_ask_at_once_are_given_one_token() {
    let ward = Ward::new("st-marys");
    let grants = [ward.grant(), ward.grant()];
    let values = [(kind("name"), "Jane Example"), (kind("mrn"), "17")];
    ward.log.hold();
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pin!(grants[0].tokenize(&values));
    let mut second = pin!(grants[1].tokenize(&values));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    ward.log.release();
    let Poll::Ready(Ok(one)) = first.as_mut().poll(&mut context) else {
        panic!()
    };
    let Poll::Ready(Ok(other)) = second.as_mut().poll(&mut context) else {
        panic!()
    };
    assert_eq!(one, other);
    let flights = ward.keys.inner().in_flight.lock();
    assert!(flights.tokens.is_empty() && flights.taken.is_empty());
}

/// The first task's entry is never written; the second's token must not depend on it.
#[test]
fn a_shared_token_outlives_the_task_that_chose_it() {
    let ward = Ward::new("st-marys");
    let grants = [ward.grant(), ward.grant()];
    let values = [(kind("name"), "Jane Example")];
    ward.log.hold();
    let mut context = Context::from_waker(Waker::noop());
    let mut second = pin!(grants[1].tokenize(&values));
    {
        let mut first = pin!(grants[0].tokenize(&values));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        ward.log.lose_waiting(0);
        // Cancelled: dropped while it waits.
    }
    ward.log.release();
    let Poll::Ready(Ok(tokens)) = second.as_mut().poll(&mut context) else {
        panic!()
    };
    assert_eq!(
        detokenize(&grants[1], &tokens),
        [Some("Jane Example".to_owned())]
    );
    assert_eq!(tokenize(&grants[1], &[("name", "Jane Example")]), tokens);
}

#[test]
fn a_token_that_is_taken_is_drawn_again() {
    let ward = Ward::new("st-marys");
    let conversation = ward.conversation("c");
    let [durable, on_its_way, gone, free, other]: [Token; 5] = [
        "[NAME_00001]",
        "[NAME_00002]",
        "[NAME_00003]",
        "[NAME_00004]",
        "[NAME_00005]",
    ]
    .map(|text| text.parse().unwrap());
    let mut flights = Flights::default();
    flights.taken.insert(value_key(conversation, &on_its_way));
    let place = |token: &Token| value_key(conversation, token);
    ward.log
        .forge(Space::VaultValue, &place(&durable), b"sealed");
    ward.log.forge(Space::VaultValue, &place(&gone), b"");

    let name = kind("name");
    let records: Option<&dyn Records> = Some(&ward.log);
    let mut draws = [&durable, &on_its_way, &gone, &free].into_iter().cloned();
    let chosen = flights.free_tokens(records, conversation, &[&name], |_| {
        Ok(draws.next().unwrap())
    });
    assert_eq!(chosen.unwrap(), std::slice::from_ref(&free));
    // Nor may two values that ask at once get the one that is left.
    let mut draws = [&free, &free, &durable, &other].into_iter().cloned();
    let chosen = flights.free_tokens(records, conversation, &[&name, &name], |_| {
        Ok(draws.next().unwrap())
    });
    assert_eq!(chosen.unwrap(), [free.clone(), other.clone()]);
    let elsewhere = ward.conversation("other");
    let chosen = flights.free_tokens(records, elsewhere, &[&name], |_| Ok(durable.clone()));
    assert_eq!(chosen.unwrap(), std::slice::from_ref(&durable));

    let exhausted = flights.free_tokens(records, conversation, &[&name], |_| Ok(durable.clone()));
    assert!(matches!(
        exhausted,
        Err(KeyError::Unavailable(Unavailability::TokensExhausted))
    ));
}

#[test]
fn many_threads_agree_on_every_token() {
    let ward = Ward::new("st-marys");
    let values: Vec<String> = (0..40).map(|n| format!("Person {n}")).collect();
    let ask = || {
        let values: Vec<_> = values
            .iter()
            .map(|value| ("name", value.as_str()))
            .collect();
        tokenize(&ward.grant(), &values)
    };
    let answers: Vec<Vec<Token>> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(answers[0].iter().collect::<BTreeSet<_>>().len(), 40);
    assert_eq!(
        detokenize(&ward.grant(), &answers[0]),
        values.into_iter().map(Some).collect::<Vec<_>>()
    );
}

#[test]
fn i9_records_hold_no_value_and_no_conversation_name() {
    let ward = Ward::new("st-marys");
    tokenize(
        &grant_in(&ward, "CANARY-conversation"),
        &[("name", "CANARY-value")],
    );
    for ((space, key), value) in ward.log.records() {
        let text = String::from_utf8_lossy(&[key, value].concat()).into_owned();
        assert!(!text.contains("CANARY"), "{space:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn values_come_back_and_no_two_share_a_token(
        values in prop::collection::vec(("[a-z]{1,4}", "\\PC{0,12}"), 1..30),
    ) {
        thread_local!(static WARD: Ward = Ward::new("st-marys"));
        WARD.with(|ward| {
            let grant = ward.grant();
            let asked: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let tokens = tokenize(&grant, &asked);
            let mut by_token = BTreeMap::new();
            for (token, value) in tokens.iter().zip(&values) {
                assert_eq!(by_token.entry(token.clone()).or_insert_with(|| value.clone()), value);
            }
            assert_eq!(by_token.len(), values.iter().collect::<BTreeSet<_>>().len());
            let restored = detokenize(&grant, &tokens);
            let expected: Vec<_> = values.iter().map(|(_, value)| Some(value.clone())).collect();
            assert_eq!(restored, expected);
        });
    }
}

#[test]
fn tokens_of_a_new_conversation_are_found_when_it_goes_on() {
    let ward = Ward::new("st-marys");
    let mut request = ward.request();
    request.conversation = Some(ward.conversation("just drawn"));
    request.is_new_conversation = true;
    // Nothing can be read, and nothing need be.
    ward.log.set_unreadable(true);
    let first = ward.keys.mint(request).unwrap();
    let values = [
        ("name", "Jane Example"),
        ("name", "John Sample"),
        ("name", "Jane Example"),
    ];
    let tokens = tokenize(&first, &values);
    assert_eq!(tokens[0], tokens[2]);
    assert_ne!(tokens[0], tokens[1]);
    ward.log.set_unreadable(false);
    let second = grant_in(&ward, "just drawn");
    assert_eq!(tokenize(&second, &values), tokens);
    assert_eq!(
        detokenize(&second, &tokens[..2]),
        ["Jane Example", "John Sample"].map(|value| Some(value.to_owned()))
    );
}

#[test]
fn a_task_that_is_dropped_leaves_its_tokens_to_the_next() {
    let ward = Ward::new("st-marys");
    let grant = ward.grant();
    let values = [(kind("name"), "Jane Example")];
    ward.log.hold();
    {
        let mut dropped = pin!(grant.tokenize(&values));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
    }
    // Its entry becomes durable though nobody waits for it any more; another asks before, and one after.
    let mut before = pin!(grant.tokenize(&values));
    let mut context = Context::from_waker(Waker::noop());
    assert!(before.as_mut().poll(&mut context).is_pending());
    ward.log.release();
    let before = block_on(before).unwrap();
    assert_eq!(block_on(grant.tokenize(&values)).unwrap(), before);
    let tokens: BTreeSet<_> = ward
        .log
        .records()
        .into_keys()
        .filter(|(space, _)| *space == Space::VaultValue)
        .collect();
    assert_eq!(tokens.len(), 1, "one value, one token");
}
