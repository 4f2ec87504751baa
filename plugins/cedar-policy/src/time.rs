//! When the request came: whether any policy asks, and as Cedar's `datetime`.

use std::time::{Duration, SystemTime};

use cedar_policy::PolicySet;
use nephron_sdk::types::Instant;
use serde_json::Value as Json;

/// Whether a decision of `policies` can depend on `context.received`.
///
/// Cedar reads a `datetime` from text. So it is only made for policies that read it, or that take the context as a
/// whole.
pub(crate) fn is_read_by(policies: &PolicySet) -> bool {
    // The JSON form is parsed from the text again, so the word is looked for first; no escape spells a variable.
    policies
        .policies()
        .filter(|policy| policy.to_string().contains("context"))
        .any(|policy| policy.to_json().map_or(true, |json| reads(&json)))
}

/// Whether a part of a policy in Cedar's JSON form reads `received` of the context, or the context as a whole.
fn reads(part: &Json) -> bool {
    match part {
        Json::Array(items) => items.iter().any(reads),
        Json::Object(members) => {
            is_context(part)
                || members.iter().any(|(operator, operands)| {
                    match operator.as_str() {
                        "." | "has" if is_context(&operands["left"]) => {
                            // `has` takes a path too, as an array. A shape that is not known may read anything.
                            let attribute = &operands["attr"];
                            let first = attribute.get(0).unwrap_or(attribute);
                            first.as_str().is_none_or(|name| name == "received")
                        }
                        _ => reads(operands),
                    }
                })
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn is_context(part: &Json) -> bool {
    part.get("Var").is_some_and(|name| name == "context")
}

/// ISO 8601 in UTC with milliseconds, as Cedar's `datetime` takes it; `None` after the year 9999.
pub(crate) fn iso_8601(at: Instant) -> Option<String> {
    /// 10000-01-01T00:00:00Z.
    const YEAR_10000: u64 = 253_402_300_800;
    let since_epoch = Duration::new(at.seconds, at.nanoseconds.min(999_999_999));
    (at.seconds < YEAR_10000)
        .then(|| humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_made_for_policies_that_can_tell() {
        for (condition, expected) in [
            ("true", false),
            (
                "context.purpose in Purpose::\"TREAT\" && context.facts.cleared",
                false,
            ),
            (
                "context.facts has received && context.facts.received == 1",
                false,
            ),
            (
                "principal has received && principal.received == \"context\"",
                false,
            ),
            ("context.received > datetime(\"2026-11-22\")", true),
            ("context[\"rec\\u{65}ived\"] == principal.received", true),
            ("if context has received then true else false", true),
            ("context has received.deep", true),
            ("context has facts.received", false),
            ("context == principal.context", true),
            ("[1, context].contains(2)", true),
            ("{a: {b: context}}.a.b.tenant == \"\"", true),
            ("(if principal.x then context else {}).received == 1", true),
        ] {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            assert_eq!(is_read_by(&text.parse().unwrap()), expected, "{condition}");
        }
        // An extended `has`, a scope and an `unless` are looked through too.
        let unless = "permit (principal, action, resource) unless { -1 < context.received.toDate().toTime().toDays() };";
        assert!(is_read_by(&unless.parse().unwrap()));
    }

    #[test]
    fn times_are_iso_8601_up_to_the_year_9999() {
        let at = |seconds, nanoseconds| {
            iso_8601(Instant {
                seconds,
                nanoseconds,
            })
        };
        // `date -u -d @…`
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_795_305_802, "2026-11-22T00:03:22.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(at(seconds, 0).as_deref(), Some(expected));
        }
        assert_eq!(
            at(0, 5_999_999).as_deref(),
            Some("1970-01-01T00:00:00.005Z")
        );
        assert_eq!(at(253_402_300_800, 0), None);
        assert_eq!(at(u64::MAX, u32::MAX), None);
    }
}
