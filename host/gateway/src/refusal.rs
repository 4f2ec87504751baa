//! Why a request ends without its answer (I6).

use nephron_engine::PluginFailure;
use nephron_keys::KeyError;
use nephron_model::{NotRecorded, Point, Timestamp};

use crate::associates::NoGround;
use crate::authenticate::Unauthenticated;
use crate::classification::NotAdmitted;
use crate::egress::EgressError;
use crate::receive::Malformed;

/// A refusal. Holds codes, names and places, never text of the request or of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nobody knows who asks.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Its bytes did not come in time.
    #[error("the request did not arrive in time (`listen.body-time`)")]
    TooSlow,
    /// The tenant has as many requests in flight as it may.
    #[error(
        "this tenant has as many requests in flight as it may (`listen.requests-per-tenant`); try again"
    )]
    TooBusy,
    /// The caller has as many requests in flight as it may.
    #[error(
        "this caller has as many requests in flight as it may (`listen.requests-per-caller`); try again"
    )]
    CallerTooBusy,
    /// The caller asks more often than it may.
    #[error(
        "this caller asks more often than it may (`listen.requests-per-second-per-caller`); try again in {seconds} s"
    )]
    TooOften {
        /// Whole seconds until it may ask again, at least 1.
        seconds: u64,
    },
    /// The gateway is about to stop.
    #[error("the gateway is stopping; try again")]
    Stopping,
    /// Whoever was to be answered has gone.
    #[error("the caller has disconnected")]
    CallerGone,
    /// The gateway serves no such tenant.
    #[error(
        "no tenant `{tenant}` is configured here; add a `[[tenant]]`, or correct the request's `tenant`"
    )]
    NoTenant {
        /// What the request named.
        tenant: String,
    },
    /// The tenant's log or keys cannot be used now. They are tried again by themselves.
    #[error("this tenant cannot be served now; the operator's log says why; try again")]
    TenantUnavailable,
    /// A decider denied, or none permitted.
    #[error("denied at `{}`: {}", .point.as_str(), .reasons.join(", "))]
    Denied {
        /// Where.
        point: Point,
        /// Reason codes.
        reasons: Vec<String>,
    },
    /// A decider attached a duty that this host cannot carry out.
    #[error("the decision at `{}` carries the obligation `{obligation}`, which this host does not know", .point.as_str())]
    UnknownObligation {
        /// Where.
        point: Point,
        /// Its id, or `withheld`.
        obligation: String,
    },
    /// A plugin did not answer.
    #[error("plugin `{plugin}` {failure}")]
    PluginFailed {
        /// Where.
        point: Point,
        /// The operator's name for it.
        plugin: String,
        /// How.
        failure: PluginFailure,
    },
    /// The connector cannot say to its endpoint what the request asks for.
    #[error(
        "endpoint `{endpoint}` cannot be asked for this: `{}`{}; leave it out, or ask for another model",
        .code, concerning(.about.as_deref(), .place.as_deref())
    )]
    NotOffered {
        /// The endpoint.
        endpoint: String,
        /// Which case of the contract's `error`.
        code: &'static str,
        /// What cannot be said, in the host's own word for it.
        about: Option<String>,
        /// Where in the request it stands, if that is known.
        place: Option<String>,
    },
    /// No route leads to a model of that name.
    #[error(
        "no route serves the model that the request names; add a `[[route]]`, or one for `*`, which needs an `upstream-model` for each endpoint with a `url`"
    )]
    NoRoute,
    /// No live agreement covers the endpoint and all who stand behind it, or it is in the wrong place, and policy does not
    /// let cleared text go there (I10).
    #[error(
        "nothing may go to endpoint `{endpoint}`: {why}; and `egress.cleared-without-baa` does not let it go by the \
         de-identification method that was used"
    )]
    NoAgreement {
        /// The endpoint.
        endpoint: String,
        /// What is lacking.
        why: NoGround,
    },
    /// The request holds what cannot be searched, and the endpoint may not see it (I10).
    #[error(
        "`{place}` cannot be searched for identifiers, so that nothing goes to endpoint `{endpoint}`: {why}"
    )]
    Unsearched {
        /// Where the first of it stands in the request.
        place: String,
        /// The endpoint.
        endpoint: String,
        /// What is lacking.
        why: NoGround,
    },
    /// The endpoint could not be reached, broke off, is busy, or refused.
    #[error("endpoint `{endpoint}` {}", .source.told())]
    Upstream {
        /// The endpoint.
        endpoint: String,
        /// Why.
        #[source]
        source: EgressError,
    },
    /// What the log says of the answer did not reach those who are to have it first.
    #[error(
        "export `{export}` did not take what the log says of this answer in time (`export.before-reply-time`), so it is not given; try again"
    )]
    NotDelivered {
        /// The export.
        export: String,
    },
    /// A key could not be used.
    #[error("a key could not be used: `{}`", .0.code())]
    Key(#[source] KeyError),
    /// The caller's grant covers fewer values in one use.
    #[error(
        "the grant covers {most} values in one use (`values`); ask for fewer at once, or for a grant of more"
    )]
    TooManyValues {
        /// As many as it covers.
        most: u32,
    },
    /// The machine's clock went back.
    #[error(
        "the clock of the gateway's machine went back: it reads {reads} and has read {latest}, so that no grant is given; its operator sets it right, or takes it as it is with `nephron tenant clock`; then try again"
    )]
    ClockWentBack {
        /// What it reads.
        reads: Timestamp,
        /// The latest that it has read.
        latest: Timestamp,
    },
    /// A sealed field does not open. Why is not told.
    #[error(
        "a sealed field was altered, or is not of this tenant, record, field, kind and purpose of use"
    )]
    NotAuthentic,
    /// The tenant's classification does not let a field be sealed or opened so.
    #[error("`{place}` {why}")]
    FieldRefused {
        /// Where it stands in the request.
        place: String,
        /// Why not.
        why: NotAdmitted,
    },
    /// The log could not be written, so nothing more may happen (I1).
    #[error("nothing can be recorded, so nothing is done")]
    NotRecorded(#[from] NotRecorded),
    /// The answer is larger than the host restores.
    #[error("the answer has more than {limit} bytes once identities are restored")]
    AnswerTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// There is no such review, or somebody closed it.
    #[error("no review of that event is open")]
    NoReview,
    /// It is the caller's own access that is reviewed.
    #[error("nobody closes the review of their own access")]
    OwnReview,
    /// What is kept of reviews cannot be read.
    #[error("the reviews cannot be read")]
    ReviewsUnreadable,
    /// The roster cannot serve this.
    #[error("the roster lacks `{missing}`")]
    Incomplete {
        /// What is missing.
        missing: String,
    },
}

fn concerning(about: Option<&str>, place: Option<&str>) -> String {
    let about = about.map_or_else(String::new, |word| format!(", about `{word}`"));
    let place = place.map_or_else(String::new, |place| format!(" at `{place}`"));
    about + &place
}

impl From<KeyError> for Refusal {
    /// A key that does not open because its use cannot be recorded is the log's refusal.
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotRecorded(error) => Self::NotRecorded(error),
            KeyError::ClockWentBack { reads, latest } => Self::ClockWentBack { reads, latest },
            error @ (KeyError::NotPermitted
            | KeyError::Expired
            | KeyError::Destroyed
            | KeyError::BudgetExhausted
            | KeyError::AuthenticationFailed
            | KeyError::NotFound
            | KeyError::Unavailable(_)) => Self::Key(error),
        }
    }
}

impl Refusal {
    /// A permit under which nothing may be shown, where there is nothing to give but that.
    pub(crate) fn withheld(point: Point) -> Self {
        Self::Denied {
            point,
            reasons: vec!["withhold-identities".to_owned()],
        }
    }

    /// The outcome code that stands in the log and in the reply.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::TooSlow => "too-slow",
            Self::TooBusy => "too-busy",
            Self::CallerTooBusy => "caller-too-busy",
            Self::TooOften { .. } => "too-often",
            Self::Stopping => "stopping",
            Self::CallerGone => "client-disconnected",
            Self::NoTenant { .. } => "no-tenant",
            Self::TenantUnavailable => "tenant-unavailable",
            Self::Denied { .. } => "denied",
            Self::UnknownObligation { .. } => "unknown-obligation",
            Self::PluginFailed { .. } => "plugin-failed",
            Self::NotOffered { .. } => "not-offered",
            Self::NoRoute => "no-route",
            Self::AnswerTooLarge { .. } => "answer-too-large",
            Self::NoAgreement { .. } => "no-agreement",
            Self::Unsearched {
                why: NoGround::NotForPhi,
                ..
            } => "unsearched",
            Self::Unsearched { .. } => "no-agreement",
            Self::Upstream {
                source:
                    EgressError::Unavailable {
                        status: 429 | 503 | 529,
                        ..
                    },
                ..
            } => "upstream-busy",
            Self::Upstream {
                source: EgressError::Refused(_),
                ..
            } => "upstream-refused",
            Self::Upstream { .. } => "upstream-failed",
            Self::NotDelivered { .. } => "not-delivered",
            Self::Key(_) | Self::TooManyValues { .. } | Self::ClockWentBack { .. } => "key-refused",
            Self::NotAuthentic => "not-authentic",
            Self::FieldRefused { .. } => "field-refused",
            Self::NotRecorded(_) => "not-recorded",
            Self::NoReview => "no-review",
            Self::OwnReview => "own-review",
            Self::ReviewsUnreadable => "reviews-unreadable",
            Self::Incomplete { .. } => "incomplete-roster",
        }
    }

    /// The field of the request that is at fault, by its path, or by the word that connectors are handed for it.
    pub(crate) fn place(&self) -> Option<&str> {
        match self {
            Self::Malformed(Malformed::Field { field, .. }) => Some(field),
            Self::NoRoute => Some("model"),
            Self::Unsearched { place, .. } | Self::FieldRefused { place, .. } => Some(place),
            Self::NotOffered { place, about, .. } => place.as_deref().or(about.as_deref()),
            Self::Malformed(_)
            | Self::Unauthenticated(_)
            | Self::TooSlow
            | Self::TooBusy
            | Self::CallerTooBusy
            | Self::TooOften { .. }
            | Self::Stopping
            | Self::CallerGone
            | Self::NoTenant { .. }
            | Self::TenantUnavailable
            | Self::Denied { .. }
            | Self::UnknownObligation { .. }
            | Self::PluginFailed { .. }
            | Self::NoAgreement { .. }
            | Self::Upstream { .. }
            | Self::NotDelivered { .. }
            | Self::Key(_)
            | Self::TooManyValues { .. }
            | Self::ClockWentBack { .. }
            | Self::NotAuthentic
            | Self::NotRecorded(_)
            | Self::AnswerTooLarge { .. }
            | Self::NoReview
            | Self::OwnReview
            | Self::ReviewsUnreadable
            | Self::Incomplete { .. } => None,
        }
    }

    /// Codes that say more.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Denied { reasons, .. } => reasons.clone(),
            Self::UnknownObligation { obligation, .. } => vec![obligation.clone()],
            Self::PluginFailed { failure, .. } => [Some(failure.code()), failure.detail()]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
            Self::NotOffered { code, about, .. } => {
                let code = (*code).to_owned();
                std::iter::once(code).chain(about.clone()).collect()
            }
            Self::FieldRefused { why, .. } => vec![why.code().to_owned()],
            Self::Key(error) => vec![error.code().to_owned()],
            Self::TooManyValues { .. } => {
                vec![
                    KeyError::NotPermitted.code().to_owned(),
                    "values".to_owned(),
                ]
            }
            Self::ClockWentBack { reads, latest } => {
                let (reads, latest) = (*reads, *latest);
                let error = KeyError::ClockWentBack { reads, latest };
                vec![error.code().to_owned()]
            }
            Self::NoAgreement { why, .. } | Self::Unsearched { why, .. } => why.reasons(),
            Self::Upstream { source, .. } => vec![source.code().to_owned()],
            Self::Unauthenticated(why) => vec![why.code().to_owned()],
            Self::TooSlow
            | Self::TooBusy
            | Self::CallerTooBusy
            | Self::TooOften { .. }
            | Self::Stopping
            | Self::CallerGone
            | Self::Malformed(_)
            | Self::NoTenant { .. }
            | Self::TenantUnavailable
            | Self::NoRoute
            | Self::AnswerTooLarge { .. }
            | Self::NotDelivered { .. }
            | Self::NotAuthentic
            | Self::NotRecorded(_)
            | Self::NoReview
            | Self::OwnReview
            | Self::ReviewsUnreadable
            | Self::Incomplete { .. } => Vec::new(),
        }
    }
}
