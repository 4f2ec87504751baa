//! Our own API: what the gateway does for an application without a model. Each operation is a request like any other:
//! its caller is known, it has a tenant, a roster and an event id, the deciders are asked at the point that guards it, what
//! it does is recorded before it happens, and its answer goes out once the entry that closes it is durable.
//!
//! `docs/formats/http.md` describes it for people, `openapi.json` for machines.

mod decide;
mod fields;
mod texts;

use hyper::body::Incoming;
use hyper::{HeaderMap, Method, StatusCode};
use nephron_model::{Clock, Phi, Sensitivity};
use serde::Serialize;
use tracing::{Instrument as _, info_span};
use zeroize::Zeroizing;

use crate::Gateway;
use crate::admit::{Admitted, admit_operation};
use crate::authenticate::Called;
use crate::case::Case;
use crate::config::RequestLimits;
use crate::http::{GivenUp, Reaction, Service, failed, json, refused, with_event, wrong_method};
use crate::receive::{Malformed, Received, check_size};
use crate::refusal::Refusal;
use crate::reply::{Done, Reply, reply_done};
use crate::wire::Api;
use crate::wire::fields::{Fields, UnknownFields};
use crate::wire::json::Json;
use crate::wire::told::Told;

/// In whose shape our errors are.
const WORDS: Api = Api::Chat;

/// What a path and a method of our own API ask for.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    Operation(Name),
    /// Another method does.
    WrongMethod(&'static str),
}

/// The operations, by the names that the log has for them.
#[derive(Clone, Copy)]
pub(crate) enum Name {
    Deidentify,
    Reidentify,
    Decide,
    Seal,
    Open,
}

impl Asked {
    /// Nothing if the path is none of ours.
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        let post = |name| match *method {
            Method::POST => Self::Operation(name),
            _ => Self::WrongMethod("POST"),
        };
        match path {
            "/v1/deidentify" => Some(post(Name::Deidentify)),
            "/v1/reidentify" => Some(post(Name::Reidentify)),
            "/v1/decide" => Some(post(Name::Decide)),
            "/v1/fields/seal" => Some(post(Name::Seal)),
            "/v1/fields/open" => Some(post(Name::Open)),
            _ => None,
        }
    }
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Deidentify => "deidentify",
            Self::Reidentify => "reidentify",
            Self::Decide => "decide",
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }

    /// Reads what is asked, and in which conversation.
    fn read(self, body: &[u8]) -> Result<(Operation, Option<String>), Malformed> {
        let mut fields = Fields::of(Json::read(body)?, "", UnknownFields::Refuse)?;
        let read = match self {
            Self::Deidentify => {
                let (texts, conversation) = texts::read_deidentify(&mut fields)?;
                (Operation::Deidentify(texts), conversation)
            }
            Self::Reidentify => {
                let (tokens, conversation) = texts::read_reidentify(&mut fields)?;
                (Operation::Reidentify(tokens), Some(conversation))
            }
            Self::Decide => (Operation::Decide(decide::read(&mut fields)?), None),
            Self::Seal => (Operation::Seal(fields::read_seal(&mut fields)?), None),
            Self::Open => (Operation::Open(fields::read_open(&mut fields)?), None),
        };
        fields.finish(&[])?;
        Ok(read)
    }
}

/// An operation and what it is about.
enum Operation {
    Deidentify(crate::chain::deidentify::Texts),
    Reidentify(crate::chain::reidentify::Tokens),
    Decide(crate::chain::decide::Question),
    Seal(fields::Places<String>),
    Open(fields::Places<Vec<u8>>),
}

impl Operation {
    /// Does it, and gives the body of its answer.
    async fn perform(self, case: &Case) -> Result<Phi<String>, Refusal> {
        match self {
            Self::Deidentify(texts) => texts::deidentify(case, texts).await,
            Self::Reidentify(tokens) => texts::reidentify(case, tokens).await,
            Self::Decide(question) => decide::decide(case, question).await,
            Self::Seal(places) => fields::seal(case, places).await,
            Self::Open(places) => fields::open(case, places).await,
        }
    }
}

/// Answers one request of our own API.
pub(crate) async fn react(
    service: &Service,
    asked: Asked,
    headers: &HeaderMap,
    body: &mut Option<Incoming>,
) -> Reaction {
    let name = match asked {
        Asked::Operation(name) => name,
        Asked::WrongMethod(allowed) => return wrong_method(WORDS, allowed),
    };
    match answer(service, name, headers, body).await {
        Ok(Some(done)) => {
            let (event, body) = done.into_parts();
            with_event(json(StatusCode::OK, body), Some(event))
        }
        Ok(None) => failed(WORDS, &Told::internal()),
        Err(reply) => refused(WORDS, &reply),
    }
}

/// Nothing if a task of ours panicked.
async fn answer(
    service: &Service,
    name: Name,
    headers: &HeaderMap,
    body: &mut Option<Incoming>,
) -> Result<Option<Done>, Box<Reply>> {
    let identity = service.identify(headers).await?;
    let ticket = service.ticket(&identity.tenant);
    let ticket = ticket.map_err(|refusal| Box::new(Reply::unadmitted(refusal)))?;
    let gateway = service.gateway();
    let read = async {
        let body = match body.take() {
            Some(body) => service.body(body).await?,
            None => Zeroizing::default(),
        };
        Ok::<_, Refusal>(receive(name, &body, gateway.limits(), gateway.clock())?)
    };
    let received = match read.await {
        Ok(received) => received,
        Err(refusal) => return Err(Box::new(gateway.refuse(&identity, refusal).await)),
    };
    drop(gateway);
    let called = Called::new(received, identity);
    let work = |gateway, given_up| perform(gateway, name, called, given_up);
    service.attend(ticket, work).await.transpose()
}

fn receive(
    name: Name,
    body: &[u8],
    limits: &RequestLimits,
    clock: &dyn Clock,
) -> Result<Received<Operation>, Malformed> {
    check_size(body, limits)?;
    let (call, conversation) = name.read(body)?;
    Ok(Received {
        at: clock.now(),
        bytes: body.len(),
        conversation,
        sensitivity: Sensitivity::Phi,
        call,
    })
}

/// Takes an operation from its admission to the entry that closes it.
async fn perform(
    gateway: std::sync::Arc<Gateway>,
    name: Name,
    called: Called<Operation>,
    given_up: GivenUp,
) -> Result<Done, Box<Reply>> {
    let admitted = admit_operation(&gateway, called, name.as_str());
    let admitted = admitted.map_err(|refusal| Box::new(Reply::unadmitted(refusal)))?;
    let Admitted { case, call } = admitted;
    let span = info_span!("request", event = %case.id, tenant = %case.tenant.id());
    async {
        let outcome = tokio::select! {
            biased;
            outcome = call.perform(&case) => outcome,
            refusal = given_up => Err(refusal),
        };
        reply_done(&case, outcome).await
    }
    .instrument(span)
    .await
}

/// The body of an answer, written without a copy of what it holds.
fn written(answer: &impl Serialize) -> Phi<String> {
    Phi::new(serde_json::to_string(answer).unwrap_or_default())
}
