//! Stage 8: the end of a request. The only place that turns a refusal into a status, and the only way out: a reply is
//! made after the entry that closes its request is durable (I1).

use nephron_model::{EntryKind, EventId, Phi};
use serde_json::json;

use crate::case::Case;
use crate::chain::reidentify::Restored;
use crate::refusal::Refusal;

/// What the caller gets.
pub struct Reply {
    event: Option<EventId>,
    outcome: Result<Restored, Refusal>,
}

impl Reply {
    /// A refusal of something that was never admitted, and so has no event.
    pub(crate) const fn unadmitted(refusal: Refusal) -> Self {
        Self {
            event: None,
            outcome: Err(refusal),
        }
    }

    /// The request's event id: what to look for in the log.
    #[must_use]
    pub const fn event(&self) -> Option<EventId> {
        self.event
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.outcome.as_ref().err()
    }

    /// The answer's text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&Phi<String>> {
        self.outcome.as_ref().ok().map(|restored| &restored.text)
    }

    /// HTTP status (RFC 9110) that says the same.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match &self.outcome {
            Ok(_) => 200,
            Err(refusal) => match refusal {
                Refusal::Malformed(_) => 400,
                Refusal::NoTenant { .. } | Refusal::NoRoute => 404,
                Refusal::Denied { .. }
                | Refusal::NoAgreement { .. }
                | Refusal::UnknownObligation { .. } => 403,
                Refusal::PluginFailed { .. } | Refusal::Key(_) | Refusal::Incomplete { .. } => 500,
                Refusal::Upstream { .. } | Refusal::AnswerTooLarge { .. } => 502,
                Refusal::NotRecorded(_) => 503,
            },
        }
    }

    /// The body: JSON, with the event id, and the text or the codes of the refusal.
    #[must_use]
    pub fn body(&self) -> Phi<String> {
        let event = self.event.map(|event| event.to_string());
        let body = match &self.outcome {
            Ok(restored) => json!({
                "event": event,
                "text": restored.text.expose(),
                "stopped": restored.stopped,
            }),
            Err(refusal) => json!({
                "event": event,
                "error": { "code": refusal.code(), "message": message(refusal), "reasons": refusal.reasons() },
            }),
        };
        Phi::new(body.to_string())
    }
}

/// What the caller is told. A malformed request's cause names a place in it and quotes nothing.
fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Malformed(malformed) => malformed.to_string(),
        Refusal::NoTenant { .. }
        | Refusal::Denied { .. }
        | Refusal::UnknownObligation { .. }
        | Refusal::PluginFailed { .. }
        | Refusal::NoRoute
        | Refusal::AnswerTooLarge { .. }
        | Refusal::NoAgreement { .. }
        | Refusal::Upstream { .. }
        | Refusal::Key(_)
        | Refusal::NotRecorded(_)
        | Refusal::Incomplete { .. } => refusal.to_string(),
    }
}

/// Closes the request in the log, then lets the answer go. What cannot be closed is refused.
pub(crate) async fn reply(case: Case, outcome: Result<Restored, Refusal>) -> Reply {
    // What was refused for its size, say, is known at once; then the entry must not say that the caller was answered.
    let outcome = match (outcome, case.unrefused()) {
        (Ok(restored), Ok(())) => Ok(restored),
        (Ok(_), Err(error)) => Err(Refusal::NotRecorded(error)),
        (Err(refusal), Ok(()) | Err(_)) => Err(refusal),
    };
    let mut closed = match &outcome {
        Ok(_) => case.draft(EntryKind::RequestClosed, "answered"),
        Err(refusal) => case.draft(EntryKind::RequestClosed, refusal.code()),
    };
    if let Err(refusal) = &outcome {
        closed.reasons = refusal.reasons();
    }
    let recorded = case.record(closed).await;
    let outcome = match (recorded, outcome) {
        (Ok(_), outcome) => outcome,
        // The first reason is the one to tell.
        (Err(_), Err(refusal)) => Err(refusal),
        (Err(error), Ok(_)) => Err(Refusal::NotRecorded(error)),
    };
    Reply {
        event: Some(case.id),
        outcome,
    }
}
