//! Stage 8: the end of a request. The only place that turns a refusal into a status, and the only way out: a reply is
//! made after the entry that closes its request is durable (I1).

use std::time::Duration;

use nephron_engine::PluginFailure;
use nephron_keys::KeyError;
use nephron_model::{EntryKind, EventId, Phi, Recorded};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::error;

use crate::associates::NoGround;
use crate::authenticate::{TokenFault, Unauthenticated};
use crate::breaker::NotAsked;
use crate::case::Case;
use crate::chain::reidentify::{Restored, Streamed};
use crate::egress::EgressError;
use crate::refusal::Refusal;
use crate::said::{Channel, Said};

/// What comes of a request that is not refused.
pub(crate) const ANSWERED: &str = "answered";

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

    /// A refusal that a log speaks of.
    pub(crate) const fn refused(event: EventId, refusal: Refusal) -> Self {
        Self {
            event: Some(event),
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

    /// What came of the request, as the log says it: [`ANSWERED`], or the refusal's code.
    pub(crate) fn outcome(&self) -> &'static str {
        self.refusal().map_or(ANSWERED, Refusal::code)
    }

    /// The answer's text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<Phi<String>> {
        self.said().map(|said| Phi::new(said.expose().text.clone()))
    }

    /// The whole answer, if there is one.
    pub(crate) fn said(&self) -> Option<&Phi<Said>> {
        self.outcome.as_ref().ok().map(|restored| &restored.said)
    }

    /// HTTP status (RFC 9110) that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match &self.outcome {
            Ok(_) => 200,
            Err(refusal) => match refusal {
                Refusal::Malformed(crate::receive::Malformed::TooLarge { .. }) => 413,
                Refusal::Malformed(_)
                | Refusal::NotOffered { .. }
                | Refusal::Unsearched {
                    why: NoGround::NotForPhi,
                    ..
                }
                | Refusal::NotAuthentic => 400,
                // The provider's fault, and not the caller's.
                Refusal::Unauthenticated(Unauthenticated::Token(TokenFault::NoKeys)) => 503,
                Refusal::Unauthenticated(_) => 401,
                Refusal::NoTenant { .. }
                | Refusal::NoRoute
                | Refusal::NoReview
                | Refusal::Key(KeyError::NotFound) => 404,
                Refusal::Denied { .. }
                | Refusal::OwnReview
                | Refusal::FieldRefused { .. }
                | Refusal::NoAgreement { .. }
                | Refusal::Unsearched { .. }
                | Refusal::UnknownObligation { .. }
                | Refusal::TooManyValues { .. }
                | Refusal::Key(
                    KeyError::NotPermitted | KeyError::Expired | KeyError::BudgetExhausted,
                ) => 403,
                Refusal::TooSlow => 408,
                Refusal::Key(KeyError::Destroyed) => 410,
                Refusal::TooBusy | Refusal::CallerTooBusy | Refusal::TooOften { .. } => 429,
                // Nobody reads it: the client has gone.
                Refusal::CallerGone => 499,
                Refusal::PluginFailed { failure, .. } if is_resting(failure) => 503,
                Refusal::PluginFailed { .. }
                | Refusal::Key(_)
                | Refusal::ReviewsUnreadable
                | Refusal::Incomplete { .. } => 500,
                Refusal::Upstream { source, .. } => upstream_status(source),
                Refusal::AnswerTooLarge { .. } => 502,
                Refusal::NotRecorded(_)
                | Refusal::NotDelivered { .. }
                | Refusal::TenantUnavailable
                | Refusal::ClockWentBack { .. }
                | Refusal::Stopping => 503,
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
                "text": restored.said.expose().text,
                "stopped": restored.said.expose().stopped,
            }),
            Err(refusal) => json!({
                "event": event,
                "error": { "code": refusal.code(), "message": refusal.to_string(), "reasons": refusal.reasons() },
            }),
        };
        Phi::new(body.to_string())
    }
}

/// The status that says to this host's client what an endpoint's said to this host. What is about the operator's account there
/// is no client's to mend.
const fn upstream_status(source: &EgressError) -> u16 {
    match source {
        EgressError::Unavailable { status: 429, .. } => 429,
        EgressError::Unavailable {
            status: 503 | 529, ..
        } => 503,
        EgressError::Refused(status) if EgressError::is_the_requests(*status) => 400,
        EgressError::Unavailable { .. }
        | EgressError::Refused(_)
        | EgressError::NoUrl
        | EgressError::BadRequest(_)
        | EgressError::NoCredential
        | EgressError::CredentialUnused
        | EgressError::Credential
        | EgressError::Authority
        | EgressError::Connection(_)
        | EgressError::PrivateAddress
        | EgressError::BrokenAnswer
        | EgressError::TimedOut(_)
        | EgressError::CredentialEchoed
        | EgressError::TooLarge => 502,
    }
}

/// Whether the plugin is not asked for a while, so that asking again is of use later.
pub(crate) fn is_resting(failure: &PluginFailure) -> bool {
    *failure == PluginFailure::NotRun(NotAsked::Resting.code())
}

/// Closes the request in the log, then lets the answer go. What cannot be closed is refused, and so is what an export is to
/// have first and does not.
pub(crate) async fn reply(case: &Case, outcome: Result<Restored, Refusal>) -> Reply {
    Reply {
        event: Some(case.id),
        outcome: conclude(case, delivered(case, outcome).await).await,
    }
}

/// Waits for the exports that are to have what the log says of an answer before it is given. A refusal waits for nobody.
async fn delivered<T>(case: &Case, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    let answer = outcome?;
    case.delivered().await.map(|()| answer)
}

/// What came of an operation without a model: the body of its answer.
pub(crate) struct Done {
    event: EventId,
    body: Phi<String>,
}

impl Done {
    /// The request's event id, and the body.
    pub(crate) fn into_parts(self) -> (EventId, Phi<String>) {
        (self.event, self.body)
    }
}

/// The same for an operation without a model.
pub(crate) async fn reply_done(
    case: &Case,
    outcome: Result<Phi<String>, Refusal>,
) -> Result<Done, Box<Reply>> {
    let event = case.id;
    match conclude(case, delivered(case, outcome).await).await {
        Ok(body) => Ok(Done { event, body }),
        Err(refusal) => Err(Box::new(Reply::refused(event, refusal))),
    }
}

/// The same for an answer that was streamed: what was sent is recorded, then the request is closed.
pub(crate) async fn reply_streamed(
    case: &Case,
    streamed: &Streamed,
    outcome: Result<(), Refusal>,
) -> Result<(), Reply> {
    let outcome = match &outcome {
        Ok(()) => streamed.note(case, true),
        Err(_) => streamed.note(case, false).and(outcome),
    };
    let concluded = conclude(case, outcome).await;
    concluded.map_err(|refusal| Reply::refused(case.id, refusal))
}

/// Closes the request, and lets its outcome go only then.
async fn conclude<T>(case: &Case, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    let closed = close(case, outcome.as_ref().err()).await;
    match (outcome, closed) {
        (outcome, Ok(())) => outcome,
        // The first reason is the one to tell.
        (Err(refusal), Err(_)) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Records how the request ends, and waits until that is durable.
pub(crate) async fn close(case: &Case, refusal: Option<&Refusal>) -> Result<(), Refusal> {
    // What was refused for its size, say, is known at once; then the entry must not say that the caller was answered.
    let unrefused = case.unrefused().map_err(Refusal::NotRecorded);
    let refusal = refusal.or_else(|| unrefused.as_ref().err());
    let mut closed = match refusal {
        None => case.draft(EntryKind::RequestClosed, ANSWERED),
        Some(refusal) => case.draft(EntryKind::RequestClosed, refusal.code()),
    };
    if let Some(refusal) = refusal {
        closed.reasons = refusal.reasons();
        if let Refusal::ClockWentBack { .. } = refusal {
            error!(tenant = %case.tenant.id(), "{refusal}");
        }
    }
    let recorded = case.record(closed).await;
    unrefused?;
    recorded.map(drop)?;
    Ok(())
}

/// Where a streamed answer goes. Bounded: a model that is faster than the caller waits.
pub struct Outlet {
    pieces: mpsc::Sender<Piece>,
    patience: Duration,
}

/// What comes out of an [`Outlet`].
pub(crate) enum Piece {
    /// The answer begins; before this nothing was sent.
    Opened(EventId),
    /// What is new about a tool call.
    Call {
        index: u32,
        id: Option<String>,
        name: Option<String>,
    },
    /// Text for one channel.
    Text(Channel, Phi<String>),
    /// The answer has ended as it should: why the model stopped and what it counted, and no text.
    Done(Said),
    /// There is no answer, or it broke off.
    Refused(Box<Reply>),
}

impl Outlet {
    /// Pieces that may wait for the caller.
    const WAITING: usize = 16;

    /// An outlet and where its pieces arrive. A caller who takes none for as long as `patience` is given up.
    pub(crate) fn new(patience: Duration) -> (Self, mpsc::Receiver<Piece>) {
        let (pieces, receiver) = mpsc::channel(Self::WAITING);
        (Self { pieces, patience }, receiver)
    }

    /// Waits until the caller has gone.
    pub(crate) async fn closed(&self) {
        self.pieces.closed().await;
    }

    /// The answer begins. That it may is recorded.
    pub(crate) async fn open(&self, recorded: Recorded, event: EventId) -> Result<(), Refusal> {
        let _proof = recorded;
        self.send(Piece::Opened(event)).await
    }

    pub(crate) async fn call(
        &self,
        index: u32,
        id: Option<String>,
        name: Option<String>,
    ) -> Result<(), Refusal> {
        self.send(Piece::Call { index, id, name }).await
    }

    pub(crate) async fn text(&self, channel: Channel, text: Phi<String>) -> Result<(), Refusal> {
        self.send(Piece::Text(channel, text)).await
    }

    pub(crate) async fn send(&self, piece: Piece) -> Result<(), Refusal> {
        match tokio::time::timeout(self.patience, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::CallerGone),
        }
    }
}
