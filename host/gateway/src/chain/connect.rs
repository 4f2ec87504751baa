//! Stage 6: [`Cleared`] → [`Answered`]. The connector encodes and decodes; the host finds the ground for sending,
//! records exactly what is about to leave, dials, and records exactly what came back.

use std::sync::Arc;

use nephron_engine::contract::{ChatCall, Event, Plan, Value};
use nephron_engine::{Answer, Judgement, Messages, Plugin, PluginFailure};
use nephron_model::{EntryKind, Phi, Point};

use crate::associates::Ground;
use crate::case::Case;
use crate::chain::decide::{Duties, ask_deciders};
use crate::chain::deidentify::Cleared;
use crate::config::Endpoint;
use crate::egress::{EgressError, Outgoing};
use crate::gateway::Gateway;
use crate::refusal::Refusal;

/// What the model answered, still with its tokens.
pub struct Answered {
    text: Phi<String>,
    stopped: Option<String>,
    duties: Duties,
}

impl Answered {
    pub(super) fn into_parts(self) -> (Phi<String>, Option<String>, Duties) {
        (self.text, self.stopped, self.duties)
    }
}

/// Name of the payload of a `sending` entry: exactly the bytes that leave, or the text that a connector answers to.
pub const SENT: &str = "sent";
/// Name of the payload of a `received` entry: exactly the bytes that came back, or the connector's own text.
pub const RECEIVED: &str = "received";

/// Takes cleared text to the model that the route names, and brings back what it says.
///
/// # Errors
/// [`Refusal`]: no route, no ground, a denial, a plugin's or the upstream's failure, or a log that cannot be written.
pub async fn connect(
    gateway: &Gateway,
    case: &Case,
    cleared: Cleared,
) -> Result<Answered, Refusal> {
    let (call, duties, identifiers) = cleared.into_parts();
    let (endpoint, upstream_model) = gateway.endpoint(&call.model).ok_or(Refusal::NoRoute)?;
    let connector = case.roster.connector(&endpoint.connector)?;
    let method = case.roster.method();
    let no_agreement = || Refusal::NoAgreement {
        endpoint: endpoint.name.clone(),
    };
    let ground = gateway.ground(endpoint).ok_or_else(no_agreement)?;
    let at_egress = ask_deciders(
        case,
        Point::Egress,
        "send",
        &endpoint.name,
        [
            (
                "associate",
                Value::Text(endpoint.associate.clone().unwrap_or_default()),
            ),
            (
                "baa",
                Value::Boolean(matches!(ground, Ground::Agreement { .. })),
            ),
            ("cleared", Value::Boolean(method.is_some())),
            (
                "identifiers",
                Value::Number(i64::try_from(identifiers).unwrap_or(i64::MAX)),
            ),
            (
                "in-sandbox",
                Value::Boolean(matches!(ground, Ground::InSandbox)),
            ),
            ("method", Value::Text(method.unwrap_or("none").to_owned())),
        ],
    )
    .await?;
    let duties = duties.and(at_egress);
    if duties.require_agreement && ground == Ground::Cleared {
        return Err(no_agreement());
    }

    let chat = Phi::new(Encode(Judgement::Encode {
        info: case.info_for_connectors(),
        call: ChatCall {
            model: upstream_model.to_owned(),
            messages: call.messages.expose().0.clone(),
            max_tokens: call.max_tokens,
            temperature: call.temperature,
            stop: Vec::new(),
            want_stream: true,
            options: Vec::new(),
        },
    }));
    let plan = case
        .ask(Point::Egress, connector, &chat.expose().0, Answer::plan)
        .await?;
    let exchange = Exchange {
        gateway,
        case,
        endpoint,
        connector,
        ground,
    };
    let events = match plan {
        Plan::Answer(events) => exchange.in_sandbox(call.messages.expose(), events)?,
        Plan::Call(request) => {
            let outgoing =
                Outgoing::new(request, endpoint).map_err(|source| exchange.failed(source))?;
            exchange.over_http(outgoing).await?
        }
    };
    let (text, stopped) = read(events);
    Ok(Answered {
        text,
        stopped,
        duties,
    })
}

/// A question to a connector, overwritten when it was asked.
struct Encode(Judgement);

impl zeroize::Zeroize for Encode {
    fn zeroize(&mut self) {
        if let Judgement::Encode { call, .. } = &mut self.0 {
            Messages(std::mem::take(&mut call.messages)).zeroize();
        }
    }
}

/// One exchange with one endpoint.
struct Exchange<'a> {
    gateway: &'a Gateway,
    case: &'a Case,
    endpoint: &'a Endpoint,
    connector: &'a Arc<Plugin>,
    ground: Ground,
}

impl Exchange<'_> {
    fn draft(&self, kind: EntryKind, outcome: &str) -> nephron_model::Draft {
        let mut draft = self
            .case
            .draft(kind, outcome)
            .fact("endpoint", self.endpoint.name.as_str())
            .fact("ground", self.ground.as_str());
        if let Some(associate) = &self.endpoint.associate {
            draft = draft.fact("associate", associate.as_str());
        }
        if let Ground::Agreement { id } = &self.ground {
            draft = draft.fact("agreement", id.as_str());
        }
        draft.point = Some(Point::Egress);
        draft
    }

    /// The connector has answered by itself. What it was shown is recorded all the same; nothing left the process, so
    /// nothing waits for that.
    fn in_sandbox(&self, shown: &Messages, events: Vec<Event>) -> Result<Vec<Event>, Refusal> {
        let text = |message: &nephron_engine::contract::Message| -> String {
            let part = |part: &nephron_engine::contract::Part| match part {
                nephron_engine::contract::Part::Text(text)
                | nephron_engine::contract::Part::Json(text) => text.clone(),
                nephron_engine::contract::Part::Blob(_) => String::new(),
            };
            message.parts.iter().map(part).collect()
        };
        let seen = Phi::new(shown.0.iter().map(text).collect::<Vec<_>>().join("\n\n"));
        let mut sending = self.draft(EntryKind::Sending, "in-sandbox");
        sending.payload = self.case.sealed(SENT, seen.expose().as_bytes())?;
        self.case.note(sending);
        let (text, _) = read(events.clone());
        let mut received = self.draft(EntryKind::Received, "answered");
        received.payload = self.case.sealed(RECEIVED, text.expose().as_bytes())?;
        self.case.note(received);
        Ok(events)
    }

    /// Intent, exchange, outcome. Whatever happens after the intent, an outcome entry says so.
    async fn over_http(&self, outgoing: Outgoing) -> Result<Vec<Event>, Refusal> {
        let mut sending = self
            .draft(EntryKind::Sending, "intent")
            .fact("method", outgoing.method())
            .fact("operation", operation(outgoing.path()));
        sending.payload = self.case.sealed(SENT, outgoing.body())?;
        let recorded = self.case.record(sending).await?;

        let mut response = match self.gateway.egress().send(outgoing, recorded).await {
            Ok(response) => response,
            Err(error) => return Err(self.broke_off(error, None, &[])?),
        };
        let info = self.case.info_for_connectors();
        let mut decoding = self
            .case
            .engine
            .decode(self.connector, &info, response.status, &response.headers)
            .await;
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        let mut events = Vec::new();
        let mut failed: Option<PluginFailure> = None;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(self.broke_off(error, Some(response.status), &chunks)?),
            };
            chunks.push(chunk.to_vec());
            match decoding.push(&chunk).await {
                Ok(more) => events.extend(more),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        if failed.is_none() {
            match decoding.finish().await {
                Ok(more) => events.extend(more),
                Err(failure) => failed = Some(failure),
            }
        }
        self.case
            .note(self.received("answered", Some(response.status), &chunks)?);

        let judgement = Judgement::Decode {
            info,
            status: response.status,
            headers: response.headers,
            chunks,
        };
        let verdict = decoding.verdict(failed.map_or_else(|| Ok(events.clone()), Err));
        self.case
            .judged(Point::Egress, self.connector, &judgement, &verdict)?;
        match verdict.answer {
            Ok(_) => Ok(events),
            Err(failure) => Err(Refusal::PluginFailed {
                point: Point::Egress,
                plugin: self.connector.reference().name.clone(),
                failure,
            }),
        }
    }

    fn received(
        &self,
        outcome: &str,
        status: Option<u16>,
        chunks: &[Vec<u8>],
    ) -> Result<nephron_model::Draft, Refusal> {
        let mut received = self.draft(EntryKind::Received, outcome);
        if let Some(status) = status {
            received = received.fact("status", status.to_string());
        }
        received.payload = self.case.sealed(RECEIVED, &chunks.concat())?;
        Ok(received)
    }

    /// Records that the exchange broke off, with what had come until then.
    fn broke_off(
        &self,
        error: EgressError,
        status: Option<u16>,
        chunks: &[Vec<u8>],
    ) -> Result<Refusal, Refusal> {
        let mut received = self.received("failed", status, chunks)?;
        received.reasons.push(error.code().to_owned());
        self.case.note(received);
        Ok(self.failed(error))
    }

    fn failed(&self, source: EgressError) -> Refusal {
        Refusal::Upstream {
            endpoint: self.endpoint.name.clone(),
            source,
        }
    }
}

/// What is asked of the endpoint, by the end of the path; the path itself is the plugin's text, and sealed.
fn operation(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default();
    ["chat/completions", "messages", "responses", "embeddings"]
        .into_iter()
        .find(|known| path.ends_with(&format!("/{known}")))
        .unwrap_or("other")
}

/// The text of an answer, and why it stopped.
fn read(events: Vec<Event>) -> (Phi<String>, Option<String>) {
    let mut answer = Phi::new(String::new());
    let mut stopped = None;
    for event in events {
        match event {
            Event::Text(text) => answer.expose_mut().push_str(&text),
            Event::Stopped(why) => stopped = Some(crate::case::code(&why).to_owned()),
            // No client here asks for tools, and counts and names are in the recorded judgement.
            Event::ToolCall(_) | Event::Used(_) | Event::Model(_) | Event::Other(_) => {}
        }
    }
    (answer, stopped)
}
