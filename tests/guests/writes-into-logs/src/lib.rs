//! A decider whose diagnostics, or whose reasons, are made to look like lines of a log and to steer a terminal. Where it
//! writes them is the target that it is asked about.

use nephron_sdk::decider::{Attribute, Decider, Decision, Effect, Query, Reason, Value};
use nephron_sdk::diagnostics::{Level, log};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// A line break, a line that looks like the host's own, and what clears a terminal.
const FORGED: &str = "ok\n2026-11-22T00:03:22Z ERROR nephron: forged-by-a-guest\r\n{\"outcome\":\"forged-by-a-guest\"}\u{1b}[2J";

/// Forges.
pub struct WritesIntoLogs;

impl Plugin for WritesIntoLogs {
    type Settings = NoSettings;
    const NAME: &str = "writes-into-logs";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Decider for WritesIntoLogs {
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        let mut decision = Decision {
            effect: Effect::Permit,
            reasons: Vec::new(),
            obligations: Vec::new(),
        };
        if query.target == "reason" {
            decision.reasons.push(Reason {
                code: FORGED.to_owned(),
                text: Some(FORGED.to_owned()),
                policy: Some(FORGED.to_owned()),
            });
        } else {
            let attributes = [Attribute {
                name: FORGED.to_owned(),
                value: Value::Text(FORGED.to_owned()),
            }];
            log(Level::Error, FORGED, &attributes);
        }
        Ok(decision)
    }
}

nephron_sdk::export!(decider: WritesIntoLogs);
