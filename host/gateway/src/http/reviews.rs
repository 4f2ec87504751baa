//! `GET /v1/reviews` and `POST /v1/reviews/{event}/close`: accesses in an emergency that somebody has to look at.

use std::time::Instant;

use nephron_model::{EventId, Phi};

use super::{
    Arc, Identity, Incoming, Method, Parts, Reaction, Service, StatusCode, Told, failed, json,
    refused, with_event, wrong_method,
};
use crate::Gateway;
use crate::admit::open_case;
use crate::case::Case;
use crate::emergency;
use crate::refusal::Refusal;
use crate::reply::{ANSWERED, Reply, close};
use crate::wire::Api;
use crate::wire::fields::{Fields, UnknownFields, wrong};
use crate::wire::json::Json;

/// What is asked for.
pub(super) enum Asked {
    List,
    Close(EventId),
}

const PATH: &str = "/v1/reviews";

impl Asked {
    /// What stands at this path.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path.strip_prefix(PATH)? {
            "" => Some(Self::List),
            rest => {
                let event = rest.strip_prefix('/')?.strip_suffix("/close")?;
                event.parse().ok().map(Self::Close)
            }
        }
    }

    const fn operation(&self) -> &'static str {
        match self {
            Self::List => "review-list",
            Self::Close(_) => "review-close",
        }
    }
}

impl Service {
    pub(super) async fn review(
        &self,
        asked: Asked,
        head: &Parts,
        body: &mut Option<Incoming>,
    ) -> Reaction {
        const API: Api = Api::Chat;
        let (allowed, is_right) = match asked {
            Asked::List => (
                "GET, HEAD",
                matches!(head.method, Method::GET | Method::HEAD),
            ),
            Asked::Close(_) => ("POST", head.method == Method::POST),
        };
        if !is_right {
            return wrong_method(API, allowed);
        }
        let began = Instant::now();
        let (identity, ticket) = match self.enter(head).await {
            Ok(entered) => entered,
            Err(reply) => return refused(API, &reply),
        };
        let reason = match asked {
            Asked::List => Ok(Phi::default()),
            Asked::Close(_) => self.reason(body).await,
        };
        let reason = match reason {
            Ok(reason) => reason,
            Err(refusal) => return refused(API, &self.gateway.refuse(&identity, refusal).await),
        };
        // What is begun is seen to its end, if its client leaves too.
        let gateway = self.gateway();
        let answering = tokio::spawn(async move {
            let _ticket = ticket;
            answer(&gateway, identity, asked, reason).await
        });
        let answered = answering.await;
        if let Ok(answered) = &answered {
            let outcome = answered
                .as_ref()
                .map_or_else(|reply| reply.outcome(), |_| ANSWERED);
            let metrics = self.gateway.metrics();
            metrics.request("reviews", outcome, began.elapsed());
        }
        match answered {
            Ok(Ok((event, body))) => with_event(json(StatusCode::OK, body), Some(event)),
            Ok(Err(reply)) => refused(API, &reply),
            Err(_) => failed(API, &Told::internal()),
        }
    }

    async fn reason(&self, body: &mut Option<Incoming>) -> Result<Phi<String>, Refusal> {
        let body = match body.take() {
            Some(body) => self.body(body).await?,
            None => zeroize::Zeroizing::default(),
        };
        let mut fields = Fields::of(Json::read(&body)?, "", UnknownFields::Refuse)?;
        const RULE: &str = "1 to 4000 characters that say why";
        let reason = fields.text_that("reason", RULE, |text| {
            !text.trim().is_empty() && text.chars().count() <= 4_000
        })?;
        fields.finish(&[])?;
        reason
            .map(Phi::new)
            .ok_or_else(|| Refusal::Malformed(wrong("reason", RULE)))
    }
}

async fn answer(
    gateway: &Arc<Gateway>,
    identity: Identity,
    asked: Asked,
    reason: Phi<String>,
) -> Result<(EventId, Phi<String>), Box<Reply>> {
    let opened = open_case(gateway, identity, gateway.clock().now());
    let (case, opened) = opened.map_err(|refusal| Box::new(Reply::unadmitted(refusal)))?;
    case.note(opened.fact("operation", asked.operation()));
    let outcome = perform(&case, asked, &reason).await;
    let closed = close(&case, outcome.as_ref().err()).await;
    match (outcome, closed) {
        (Ok(body), Ok(())) => Ok((case.id, body)),
        (Err(refusal), _) | (Ok(_), Err(refusal)) => {
            Err(Box::new(Reply::refused(case.id, refusal)))
        }
    }
}

async fn perform(case: &Case, asked: Asked, reason: &Phi<String>) -> Result<Phi<String>, Refusal> {
    let body = match asked {
        Asked::List => serde_json::json!({ "reviews": emergency::list(case).await? }),
        Asked::Close(event) => {
            emergency::close(case, event, reason).await?;
            serde_json::json!({ "closed": event })
        }
    };
    Ok(Phi::new(body.to_string()))
}
