//! Accesses in an emergency that somebody has to look at.

use nephron_model::{EventId, Phi};
use serde::Serialize;

use super::written;
use crate::case::Case;
use crate::emergency::{self, Review};
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::wire::fields::{Fields, wrong};

/// The event of `/v1/reviews/{event}/close`, from what stands after `/v1/reviews`.
pub(super) fn to_close(rest: &str) -> Option<EventId> {
    let event = rest.strip_prefix('/')?.strip_suffix("/close")?;
    event.parse().ok()
}

/// Reads why a review is closed.
pub(super) fn read_reason(fields: &mut Fields) -> Result<Phi<String>, Malformed> {
    const RULE: &str = "1 to 4000 characters that say why";
    let reason = fields.text_that("reason", RULE, |text| {
        !text.trim().is_empty() && text.chars().count() <= 4_000
    })?;
    reason.map(Phi::new).ok_or_else(|| wrong("reason", RULE))
}

#[derive(Serialize)]
struct Listed {
    reviews: Vec<Review>,
}

/// Lists those that are open.
pub(super) async fn list(case: &Case) -> Result<Phi<String>, Refusal> {
    let reviews = emergency::list(case).await?;
    Ok(written(&Listed { reviews }))
}

#[derive(Serialize)]
struct Closed {
    closed: EventId,
}

/// Closes one.
pub(super) async fn close(
    case: &Case,
    event: EventId,
    reason: &Phi<String>,
) -> Result<Phi<String>, Refusal> {
    emergency::close(case, event, reason).await?;
    Ok(written(&Closed { closed: event }))
}
