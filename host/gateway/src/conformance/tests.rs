//! Cases as text; `tests/it/conformance.rs` runs them.

use expect_test::{Expect, expect};
use nephron_engine::contract::Event;
use nephron_engine::vet::World;
use nephron_engine::{Answer, Verdict};

use super::*;

#[test]
fn the_cases_of_every_plugin_can_be_read_and_expect_nothing_in_particular() {
    for world in World::ALL {
        let cases = every(world).unwrap();
        assert!(!cases.is_empty(), "{}", world.name());
        for case in cases {
            assert!(case.is_every_plugins(), "{}", case.place());
            let questions = case.questions(world);
            assert!(!questions.unwrap().is_empty(), "{}", case.place());
            let says = [
                "decision", "spans", "request", "events", "delivery", "refused",
            ];
            assert!(!says.iter().any(|said| case.rest.contains_key(*said)));
        }
    }
}

#[track_caller]
fn faulty(world: World, text: &str, expected: &Expect) {
    let said = match Case::parse("x", "x.json", text) {
        Ok(case) => case.questions(world).map(|_| ()).unwrap_err(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&said);
}

#[test]
fn a_faulty_case_says_what_is_wrong_with_it() {
    faulty(
        World::AccessPolicy,
        "{\"query\": {}}",
        &expect![
            "x.json: missing field `description` at line 1 column 13; docs/conformance.md says what a case holds"
        ],
    );
    faulty(
        World::AccessPolicy,
        r#"{"description": "", "query": {"point": "ingress", "action": "chat", "target": "x"}, "decision": {"effect": "allow"}}"#,
        &expect![
            "the case itself is faulty: unknown variant `allow`, expected one of `permit`, `deny`, `not-applicable`, `indeterminate`"
        ],
    );
    faulty(
        World::Deidentifier,
        r#"{"description": "", "messages": [], "spans": [], "found": []}"#,
        &expect![
            "the case itself is faulty: unknown field `found`, expected one of `info`, `messages`, `spans`, `refused`, `any`"
        ],
    );
    faulty(
        World::KeyedDeidentifier,
        r#"{"description": "", "messages": [{"parts": [{"text": "Zoë"}]}], "found": [{"start": 2, "text": "ë", "kind": "name"}, {"start": 3, "text": "x", "kind": "name"}]}"#,
        &expect!["the case itself is faulty: `x` does not stand at byte 3 of message 0, part 0"],
    );
}

#[test]
fn two_answers_to_one_question_or_two_amounts_of_fuel_are_a_fault() {
    // No guest can be made that differs so: the sandbox has no clock and no randomness of its own (I8).
    let verdict = |text: &str, fuel| Verdict {
        answer: Ok(Answer::Decoded(Ok(vec![Event::Text(text.to_owned())]))),
        fuel,
        elapsed: Duration::ZERO,
    };
    let first = verdict("yes", 7);
    assert_eq!(asking::agree(&first, &verdict("yes", 7)), Ok(()));
    let other = asking::agree(&first, &verdict("no", 7)).unwrap_err();
    assert!(other.contains("two answers"), "{other}");
    let slower = asking::agree(&first, &verdict("yes", 8)).unwrap_err();
    assert!(slower.contains("7 and 8 fuel"), "{slower}");
}
