//! Our own API: what the gateway does for an application without a model. Each operation is a request like any other:
//! its caller is known, it has a tenant, a roster and an event id, the deciders are asked at the point that guards it, what
//! it does is recorded before it happens, and its answer goes out once the entry that closes it is durable.
//!
//! `docs/formats/http.md` describes it for people, `openapi.json` for machines.

mod decide;
mod fields;
mod grants;
mod models;
mod reviews;
mod texts;

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use nephron_keys::is_grant_id;
use nephron_model::{Clock, EventId, Phi, Sensitivity};
use serde::Serialize;
use tracing::{Instrument as _, info_span};

use crate::Gateway;
use crate::admit::{Admitted, admit_operation};
use crate::authenticate::{Called, Identity};
use crate::case::Case;
use crate::config::RequestLimits;
use crate::http::{
    GivenUp, Reaction, Service, Ticket, failed, json, refused, with_event, wrong_method,
};
use crate::receive::{Malformed, Received, check_size};
use crate::refusal::Refusal;
use crate::reply::{ANSWERED, Done, Reply, reply_done};
use crate::wire::Api;
use crate::wire::fields::{Fields, UnknownFields, wrong};
use crate::wire::json::Json;
use crate::wire::known::Known;
use crate::wire::told::Told;

/// In whose shape our errors are.
const WORDS: Api = Api::Chat;

/// What a path and a method ask for that no model answers.
pub(crate) enum Asked {
    Operation(Name),
    /// Another method does.
    WrongMethod(Api, &'static str),
}

/// The operations, by the names that the log has for them.
pub(crate) enum Name {
    Deidentify,
    Reidentify,
    Decide,
    Seal,
    Open,
    MintGrant,
    ListGrants,
    /// By its id, which is yet to be looked at.
    RevokeGrant(String),
    ListModels(Api),
    ShowModel(Api, String),
    ListReviews,
    CloseReview(EventId),
}

impl Asked {
    /// Nothing if the path is none of these. Models are listed in the words of `api`.
    pub(crate) fn of(method: &Method, path: &str, api: Api) -> Option<Self> {
        let post = |name| match *method {
            Method::POST => Self::Operation(name),
            _ => Self::WrongMethod(WORDS, "POST"),
        };
        let get = |words, name| match *method {
            Method::GET | Method::HEAD => Self::Operation(name),
            _ => Self::WrongMethod(words, "GET, HEAD"),
        };
        if let Some(id) = path.strip_prefix("/v1/models/") {
            return Some(get(api, Name::ShowModel(api, models::id(id))));
        }
        if let Some(id) = path.strip_prefix("/v1/grants/") {
            return Some(match *method {
                Method::DELETE => Self::Operation(Name::RevokeGrant(id.to_owned())),
                _ => Self::WrongMethod(WORDS, "DELETE"),
            });
        }
        match path {
            "/v1/deidentify" => Some(post(Name::Deidentify)),
            "/v1/reidentify" => Some(post(Name::Reidentify)),
            "/v1/decide" => Some(post(Name::Decide)),
            "/v1/fields/seal" => Some(post(Name::Seal)),
            "/v1/fields/open" => Some(post(Name::Open)),
            "/v1/grants" => Some(match *method {
                Method::POST => Self::Operation(Name::MintGrant),
                Method::GET | Method::HEAD => Self::Operation(Name::ListGrants),
                _ => Self::WrongMethod(WORDS, "GET, HEAD, POST"),
            }),
            "/v1/models" => Some(get(api, Name::ListModels(api))),
            "/v1/reviews" => Some(get(WORDS, Name::ListReviews)),
            _ => {
                let event = reviews::to_close(path.strip_prefix("/v1/reviews")?)?;
                Some(post(Name::CloseReview(event)))
            }
        }
    }
}

impl Name {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Deidentify => "deidentify",
            Self::Reidentify => "reidentify",
            Self::Decide => "decide",
            Self::Seal => "seal",
            Self::Open => "open",
            Self::MintGrant => "mint-grant",
            Self::ListGrants => "list-grants",
            Self::RevokeGrant(_) => "revoke-grant",
            Self::ListModels(_) => "list-models",
            Self::ShowModel(..) => "show-model",
            Self::ListReviews => "review-list",
            Self::CloseReview(_) => "review-close",
        }
    }

    /// In whose shape its errors are.
    const fn words(&self) -> Api {
        match self {
            Self::ListModels(api) | Self::ShowModel(api, _) => *api,
            Self::Deidentify
            | Self::Reidentify
            | Self::Decide
            | Self::Seal
            | Self::Open
            | Self::MintGrant
            | Self::ListGrants
            | Self::RevokeGrant(_)
            | Self::ListReviews
            | Self::CloseReview(_) => WORDS,
        }
    }

    /// Reads what is asked.
    fn read(&self, body: &[u8]) -> Result<Read, Malformed> {
        let plain = |operation| Read {
            operation,
            conversation: None,
            known: Known::default(),
            lent: None,
        };
        let fields = || Fields::of(Json::read(body)?, "", UnknownFields::Refuse);
        let under_grant = |fields: &mut Fields| fields.text_that("grant", GRANT, is_grant_id);
        let (read, fields) = match self {
            Self::Deidentify => {
                let mut fields = fields()?;
                let (texts, conversation) = texts::read_deidentify(&mut fields)?;
                let known = Known::of_member(&mut fields)?;
                let read = plain(Operation::Deidentify(texts));
                (
                    Read {
                        conversation,
                        known,
                        ..read
                    },
                    fields,
                )
            }
            Self::Reidentify => {
                let mut fields = fields()?;
                let lent = under_grant(&mut fields)?;
                let read = texts::read_reidentify(&mut fields, lent.is_some())?;
                let (operation, conversation) = (Operation::Reidentify(read.0), read.1);
                (
                    Read {
                        conversation,
                        lent,
                        ..plain(operation)
                    },
                    fields,
                )
            }
            Self::Decide => {
                let mut fields = fields()?;
                (plain(Operation::Decide(decide::read(&mut fields)?)), fields)
            }
            Self::Seal => {
                let mut fields = fields()?;
                let lent = under_grant(&mut fields)?;
                let read = plain(Operation::Seal(fields::read_seal(&mut fields)?));
                (Read { lent, ..read }, fields)
            }
            Self::Open => {
                let mut fields = fields()?;
                let lent = under_grant(&mut fields)?;
                let read = plain(Operation::Open(fields::read_open(&mut fields)?));
                (Read { lent, ..read }, fields)
            }
            Self::MintGrant => {
                let mut fields = fields()?;
                let (to_mint, conversation) = grants::read_mint(&mut fields)?;
                let read = plain(Operation::MintGrant(to_mint));
                (
                    Read {
                        conversation,
                        ..read
                    },
                    fields,
                )
            }
            Self::CloseReview(event) => {
                let mut fields = fields()?;
                let reason = reviews::read_reason(&mut fields)?;
                (plain(Operation::CloseReview(*event, reason)), fields)
            }
            // Nothing in a body could say more.
            Self::ListGrants => return Ok(plain(Operation::ListGrants)),
            Self::ListModels(api) => return Ok(plain(Operation::ListModels(*api))),
            Self::ShowModel(api, id) => return Ok(plain(Operation::ShowModel(*api, id.clone()))),
            Self::ListReviews => return Ok(plain(Operation::ListReviews)),
            Self::RevokeGrant(id) if is_grant_id(id) => {
                return Ok(plain(Operation::RevokeGrant(id.clone())));
            }
            Self::RevokeGrant(_) => return Err(wrong("id", GRANT)),
        };
        fields.finish(&[])?;
        Ok(read)
    }
}

const GRANT: &str = "the id of a grant: `grant-` and 26 characters";

/// What was asked.
struct Read {
    operation: Operation,
    conversation: Option<String>,
    known: Known,
    /// The grant under which it is asked.
    lent: Option<String>,
}

/// An operation and what it is about.
enum Operation {
    Deidentify(crate::chain::deidentify::Texts),
    Reidentify(crate::chain::reidentify::Tokens),
    Decide(crate::chain::decide::Question),
    Seal(fields::Places<String>),
    Open(fields::Places<Vec<u8>>),
    MintGrant(grants::ToMint),
    ListGrants,
    RevokeGrant(String),
    ListModels(Api),
    ShowModel(Api, String),
    ListReviews,
    CloseReview(EventId, Phi<String>),
}

impl Operation {
    /// Does it, and gives the body of its answer.
    async fn perform(self, gateway: &Gateway, case: &Case) -> Result<Phi<String>, Refusal> {
        match self {
            Self::Deidentify(texts) => texts::deidentify(case, texts).await,
            Self::Reidentify(tokens) => texts::reidentify(case, tokens).await,
            Self::Decide(question) => decide::decide(case, question).await,
            Self::Seal(places) => fields::seal(gateway, case, places).await,
            Self::Open(places) => fields::open(gateway, case, places).await,
            Self::MintGrant(to_mint) => grants::mint(case, to_mint).await,
            Self::ListGrants => grants::list(case).await,
            Self::RevokeGrant(id) => grants::revoke(case, id).await,
            Self::ListModels(api) => Ok(models::list(gateway, api)),
            Self::ShowModel(api, id) => models::show(gateway, api, &id),
            Self::ListReviews => reviews::list(case).await,
            Self::CloseReview(event, reason) => reviews::close(case, event, &reason).await,
        }
    }
}

/// Answers one such request.
pub(crate) async fn react(
    service: &Service,
    asked: Asked,
    head: &Parts,
    body: &mut Option<Incoming>,
) -> Reaction {
    let name = match asked {
        Asked::Operation(name) => name,
        Asked::WrongMethod(words, allowed) => return wrong_method(words, allowed),
    };
    let (began, label, words) = (Instant::now(), name.as_str(), name.words());
    let count = move |gateway: &Gateway, outcome| {
        gateway.metrics().request(label, outcome, began.elapsed());
    };
    let (called, ticket) = match admit(service, &name, head, body).await {
        Ok(admitted) => admitted,
        Err(reply) => {
            count(&service.gateway(), reply.outcome());
            return refused(words, &reply);
        }
    };
    let work = |gateway: Arc<Gateway>, given_up| async move {
        let done = perform(&gateway, &name, called, given_up).await;
        let outcome = done
            .as_ref()
            .map_or_else(|reply| reply.outcome(), |_| ANSWERED);
        count(&gateway, outcome);
        done
    };
    match service.attend(ticket, work).await {
        Some((Ok(done), ticket)) => {
            let (event, body) = done.into_parts();
            let response = json(StatusCode::OK, body);
            let response = response.map(|body| body.held_by(Arc::new(ticket)));
            with_event(response, Some(event))
        }
        Some((Err(reply), _)) => refused(words, &reply),
        None => failed(words, &Told::internal()),
    }
}

/// Who asks, and for what.
async fn admit(
    service: &Service,
    name: &Name,
    head: &Parts,
    body: &mut Option<Incoming>,
) -> Result<(Called<Read>, Ticket), Box<Reply>> {
    let (identity, ticket) = service.enter(head).await?;
    let gateway = service.gateway();
    let read = async {
        let body = service.body(body).await?;
        Ok::<_, Refusal>(receive(name, &body, gateway.limits(), gateway.clock())?)
    };
    match read.await {
        Ok(received) => Ok((Called::new(received, identity), ticket)),
        Err(refusal) => Err(Box::new(gateway.refuse(&identity, refusal).await)),
    }
}

fn receive(
    name: &Name,
    body: &[u8],
    limits: &RequestLimits,
    clock: &dyn Clock,
) -> Result<Received<Read>, Malformed> {
    check_size(body, limits)?;
    let mut read = name.read(body)?;
    Ok(Received {
        at: clock.now(),
        bytes: body.len(),
        conversation: read.conversation.take(),
        known: std::mem::take(&mut read.known),
        sensitivity: Sensitivity::Phi,
        call: read,
    })
}

/// Takes an operation from its admission to the entry that closes it.
async fn perform(
    gateway: &Gateway,
    name: &Name,
    called: Called<Read>,
    given_up: GivenUp,
) -> Result<Done, Box<Reply>> {
    let admitted = admit_operation(gateway, called, name.as_str());
    let admitted = admitted.map_err(|refusal| Box::new(gateway.counted(refusal)))?;
    let Admitted { mut case, call } = admitted;
    let Read {
        operation, lent, ..
    } = call;
    case.lent = lent;
    let span = info_span!("request", event = %case.id, tenant = %case.tenant.id());
    async {
        let outcome = tokio::select! {
            biased;
            outcome = operation.perform(gateway, &case) => outcome,
            refusal = given_up => Err(refusal),
        };
        reply_done(&case, outcome).await
    }
    .instrument(span)
    .await
}

/// Does what an operator asks for, who sends nothing over HTTP; `body` is what a request would have.
pub(crate) async fn answer_operator(
    gateway: &Gateway,
    identity: Identity,
    name: &Name,
    body: &[u8],
) -> Result<Done, Box<Reply>> {
    let began = Instant::now();
    let done = match receive(name, body, gateway.limits(), gateway.clock()) {
        Ok(received) => {
            let called = Called::new(received, identity);
            perform(gateway, name, called, Box::pin(std::future::pending())).await
        }
        Err(malformed) => Err(Box::new(gateway.refuse(&identity, malformed.into()).await)),
    };
    let outcome = done
        .as_ref()
        .map_or_else(|reply| reply.outcome(), |_| ANSWERED);
    gateway
        .metrics()
        .request(name.as_str(), outcome, began.elapsed());
    done
}

/// The body of an answer, written without a copy of what it holds.
fn written(answer: &impl Serialize) -> Phi<String> {
    Phi::new(serde_json::to_string(answer).unwrap_or_default())
}
