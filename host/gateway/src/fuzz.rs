//! What holds for any answer of a plugin once the host acts on it. Each function is a target of `cargo fuzz` (`tests/fuzz`), and
//! panics where its property does not hold; the tests replay the corpus.

#![expect(
    clippy::missing_panics_doc,
    reason = "each panics where its property does not hold, and is there for that"
)]

#[path = "../../../tests/fuzz/bytes.rs"]
pub mod bytes;

pub use crate::chain::deidentify::fuzz::spans;
pub use crate::chain::reidentify::fuzz::stream;
pub use crate::egress::fuzz::requests;

use nephron_engine::PluginFailure;
use nephron_engine::contract::{Decision, Effect, Obligation, Reason};
use nephron_model::Point;

use crate::chain::decide::combine;
use crate::refusal::Refusal;
use bytes::Bytes;

/// Stands in every word that a decider chooses, and comes out nowhere.
const SECRET: &str = "Quackenbush";

/// Decisions: permitted is what somebody permits and nobody denies, with duties that the host knows; in whatever order they
/// come, and no refusal says a decider's own words.
pub fn decisions(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let said: Vec<Option<Decision>> = (0..bytes.below(5))
        .map(|_| (bytes.below(8) > 0).then(|| decision(&mut bytes)))
        .collect();
    let each = |decision: &Option<Decision>| {
        decision.clone().ok_or_else(|| Refusal::PluginFailed {
            point: Point::Egress,
            plugin: "policy".to_owned(),
            failure: PluginFailure::TimedOut,
        })
    };
    let permits = || {
        let decided = said.iter().flatten();
        decided.filter(|decision| decision.effect == Effect::Permit)
    };
    let duties: Vec<&str> = permits()
        .flat_map(|decision| &decision.obligations)
        .map(|obligation| obligation.id.as_str())
        .collect();
    let known = ["withhold-identities", "require-agreement"];
    let is_against = |decision: &Decision| match decision.effect {
        Effect::Deny | Effect::Indeterminate => true,
        Effect::Permit | Effect::NotApplicable => false,
    };
    let is_permitted = permits().count() > 0
        && said.iter().all(Option::is_some)
        && !said.iter().flatten().any(is_against)
        && duties.iter().all(|duty| known.contains(duty));
    let there = combine(Point::Egress, said.iter().map(each));
    let back = combine(Point::Egress, said.iter().rev().map(each));
    for combined in [there, back] {
        assert_eq!(combined.is_ok(), is_permitted);
        match combined {
            Ok(taken_on) => {
                let held = (taken_on.withhold_identities, taken_on.require_agreement);
                let owed = known.map(|duty| duties.contains(&duty));
                assert_eq!([held.0, held.1], owed);
            }
            Err(refusal) => {
                let is_of_decisions = matches!(refusal, Refusal::Denied { .. });
                assert!(!is_of_decisions || said.iter().all(Option::is_some));
                let told = format!("{refusal} {:?} {}", refusal.reasons(), refusal.code());
                assert!(!told.contains(SECRET), "{told}");
            }
        }
    }
}

fn decision(bytes: &mut Bytes<'_>) -> Decision {
    let own = |bytes: &mut Bytes<'_>| format!("{SECRET}{}", bytes.text());
    let effects = [
        Effect::Permit,
        Effect::Permit,
        Effect::NotApplicable,
        Effect::Deny,
        Effect::Indeterminate,
    ];
    let effect = effects.get(bytes.below(effects.len())).copied();
    Decision {
        effect: effect.unwrap_or(Effect::Deny),
        reasons: (0..bytes.below(3))
            .map(|_| Reason {
                code: match bytes.flag() {
                    true => "role".to_owned(),
                    false => own(bytes),
                },
                text: Some(own(bytes)),
                policy: Some(own(bytes)),
            })
            .collect(),
        obligations: (0..bytes.below(3))
            .map(|_| Obligation {
                id: match bytes.below(4) {
                    0 => own(bytes),
                    1 => "require-agreement".to_owned(),
                    _ => "withhold-identities".to_owned(),
                },
                arguments: Vec::new(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::replay;

    #[test]
    fn the_corpus_holds_what_decisions_must() {
        replay("decisions", super::decisions);
    }

    #[test]
    fn the_corpus_holds_what_requests_must() {
        replay("requests", super::requests);
    }

    #[test]
    fn the_corpus_holds_what_spans_must() {
        replay("spans", super::spans);
    }

    #[test]
    fn the_corpus_holds_what_streams_must() {
        replay("stream", super::stream);
    }
}
