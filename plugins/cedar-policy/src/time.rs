//! When the request came, as Cedar's `datetime`.

use std::time::{Duration, SystemTime};

use cedar_policy::{Context, EntityUid, RestrictedExpression, Schema};
use nephron_sdk::types::Instant;
use serde_json::json;

/// A schema that has a `datetime` in it, through which one is made.
///
/// `RestrictedExpression::new_datetime` runs Cedar's grammar over the word `datetime` on each call, which was two
/// fifths of a decision; a schema knows the constructor by its type.
pub(crate) struct DateTimes {
    schema: Schema,
    action: EntityUid,
}

const SCHEMA: &str =
    "entity E; action a appliesTo { principal: E, resource: E, context: { at: datetime } };";

impl DateTimes {
    pub(crate) fn parse() -> Option<Self> {
        Some(Self {
            schema: Schema::from_cedarschema_str(SCHEMA).ok()?.0,
            action: r#"Action::"a""#.parse().ok()?,
        })
    }

    /// The instant to the millisecond; `None` after the year 9999.
    pub(crate) fn expression(&self, at: Instant) -> Option<RestrictedExpression> {
        let json = json!({ "at": iso_8601(at)? });
        let context = Context::from_json_value(json, Some((&self.schema, &self.action))).ok()?;
        context.into_iter().next().map(|(_, value)| value)
    }
}

/// ISO 8601 in UTC, as Cedar's `datetime` takes it.
fn iso_8601(at: Instant) -> Option<String> {
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
