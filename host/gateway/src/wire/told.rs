//! What a client is told when it gets no answer, before an API gives it its shape. No error repeats text of the request
//! or of the endpoint.

use nephron_keys::KeyError;
use nephron_model::EventId;
use serde_json::{Value, json};

use crate::associates::NoGround;
use crate::authenticate::{TokenFault, Unauthenticated};
use crate::egress::EgressError;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::serve::Fault;

/// One failure.
pub(crate) struct Told {
    /// HTTP status (RFC 9110).
    pub(crate) status: u16,
    pub(crate) class: Class,
    code: &'static str,
    message: String,
    /// The field at fault, by its path.
    param: Option<String>,
    event: Option<EventId>,
    reasons: Vec<String>,
}

/// Whose fault it is, in the classes that the APIs have names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    TooBusy,
    /// Something behind this host has too much to do, whoever asks.
    Overloaded,
    Failed,
}

impl Told {
    /// Of a reply that is a refusal; nothing else is told.
    pub(crate) fn of(reply: &Reply) -> Self {
        let Some(refusal) = reply.refusal() else {
            return Self::internal();
        };
        let param = refusal.place().map(str::to_owned);
        Self {
            status: reply.status(),
            class: class(refusal),
            code: refusal.code(),
            message: refusal.to_string(),
            param,
            event: reply.event(),
            reasons: refusal.reasons(),
        }
    }

    /// There is nothing to be had here in that way, whoever asks.
    pub(crate) fn nowhere(status: u16, message: &str) -> Self {
        Self::without_reply(status, Class::NotFound, "not-found", message)
    }

    /// The head of a request is refused, whoever asks.
    pub(crate) fn of_head(fault: Fault, code: &'static str, event: Option<EventId>) -> Self {
        let message = fault.message();
        Self {
            event,
            ..Self::without_reply(fault.status(), Class::Invalid, code, message)
        }
    }

    /// A task of ours ended without an answer; the panic hook has said where.
    pub(crate) fn internal() -> Self {
        let message = "the gateway failed; its own log says where";
        Self::without_reply(500, Class::Failed, "internal", message)
    }

    fn without_reply(status: u16, class: Class, code: &'static str, message: &str) -> Self {
        Self {
            status,
            class,
            code,
            message: message.to_owned(),
            param: None,
            event: None,
            reasons: Vec::new(),
        }
    }

    /// OpenAI's error, with our event id and reason codes beside its fields.
    pub(crate) fn as_openai(&self) -> Value {
        let kind = match self.class {
            Class::Invalid | Class::NotFound => "invalid_request_error",
            Class::Unauthenticated => "authentication_error",
            Class::Forbidden => "permission_error",
            Class::TooBusy => "rate_limit_error",
            Class::Overloaded | Class::Failed => "server_error",
        };
        json!({ "error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code, "event": self.event(),
            "reasons": self.reasons,
        } })
    }

    /// Anthropic's error, with the same beside its fields.
    pub(crate) fn as_anthropic(&self) -> Value {
        let kind = match (self.class, self.status) {
            (_, 413) => "request_too_large",
            (Class::Overloaded, _) | (Class::Failed, 503) => "overloaded_error",
            (Class::Invalid, _) => "invalid_request_error",
            (Class::Unauthenticated, _) => "authentication_error",
            (Class::Forbidden, _) => "permission_error",
            (Class::NotFound, _) => "not_found_error",
            (Class::TooBusy, _) => "rate_limit_error",
            (Class::Failed, _) => "api_error",
        };
        let event = self.event();
        json!({ "type": "error", "request_id": event, "error": {
            "type": kind, "message": self.message, "param": self.param, "code": self.code, "event": event,
            "reasons": self.reasons,
        } })
    }

    fn event(&self) -> Option<String> {
        self.event.map(|event| event.to_string())
    }
}

const fn class(refusal: &Refusal) -> Class {
    match refusal {
        Refusal::Malformed(_)
        | Refusal::NotOffered { .. }
        | Refusal::Unsearched {
            why: NoGround::NotForPhi,
            ..
        }
        | Refusal::NotAuthentic
        | Refusal::TooSlow
        | Refusal::CallerGone => Class::Invalid,
        Refusal::NoRoute
        | Refusal::NoTenant { .. }
        | Refusal::NoReview
        | Refusal::Key(KeyError::NotFound) => Class::NotFound,
        // The provider's fault, and not the caller's.
        Refusal::Unauthenticated(Unauthenticated::Token(TokenFault::NoKeys)) => Class::Failed,
        Refusal::Unauthenticated(_) => Class::Unauthenticated,
        Refusal::Denied { .. }
        | Refusal::OwnReview
        | Refusal::FieldRefused { .. }
        | Refusal::NoAgreement { .. }
        | Refusal::Unsearched { .. }
        | Refusal::UnknownObligation { .. }
        | Refusal::TooManyValues { .. }
        | Refusal::Key(KeyError::NotPermitted | KeyError::Expired | KeyError::BudgetExhausted) => {
            Class::Forbidden
        }
        Refusal::Upstream {
            source: EgressError::Unavailable { status: 429, .. },
            ..
        }
        | Refusal::TooBusy
        | Refusal::CallerTooBusy
        | Refusal::TooOften { .. } => Class::TooBusy,
        Refusal::Upstream {
            source: EgressError::Unavailable {
                status: 503 | 529, ..
            },
            ..
        } => Class::Overloaded,
        Refusal::Upstream {
            source: EgressError::Refused(status),
            ..
        } if EgressError::is_the_requests(*status) => Class::Invalid,
        Refusal::PluginFailed { .. }
        | Refusal::Key(_)
        | Refusal::Incomplete { .. }
        | Refusal::Upstream { .. }
        | Refusal::AnswerTooLarge { .. }
        | Refusal::NotRecorded(_)
        | Refusal::NotDelivered { .. }
        | Refusal::ReviewsUnreadable
        | Refusal::TenantUnavailable
        | Refusal::ClockWentBack { .. }
        | Refusal::Stopping => Class::Failed,
    }
}
