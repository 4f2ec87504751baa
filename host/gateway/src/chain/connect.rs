//! Stage 6: [`Cleared`] → [`Answered`]. The connector encodes and decodes; the host finds the ground for sending,
//! records exactly what is about to leave, dials, and records exactly what came back.

use std::sync::Arc;

use nephron_engine::contract::{ChatCall, Event, Plan, RequestInfo, Value};
use nephron_engine::{Answer, Decoding, Judgement, Messages, Plugin, PluginFailure};
use nephron_keys::Token;
use nephron_model::{EntryKind, Phi, Point};

use crate::associates::Ground;
use crate::case::Case;
use crate::chain::decide::{Duties, ask_deciders};
use crate::chain::deidentify::Cleared;
use crate::config::Endpoint;
use crate::egress::{Arriving, EgressError, Outgoing};
use crate::gateway::Gateway;
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::fields::wrong;

/// What the model answered, still with its tokens.
pub struct Answered {
    said: Phi<Said>,
    duties: Duties,
    wants_json: bool,
}

impl Answered {
    /// What was said, what must be done with it, and whether its text is to be JSON.
    pub(super) fn into_parts(self) -> (Phi<Said>, Duties, bool) {
        (self.said, self.duties, self.wants_json)
    }
}

/// A model that is answering. Dropped before its end, it records how far it came.
pub struct Answering<'a> {
    exchange: Exchange<'a>,
    source: Source,
    duties: Duties,
    issued: Vec<Token>,
    wants_json: bool,
    /// How many vectors the answer must hold, if it is to be embeddings.
    embeddings: Option<usize>,
}

enum Source {
    /// The connector has answered by itself.
    Whole(Vec<Event>),
    /// Bytes come from the endpoint.
    Arriving(Box<Exchanged>),
    /// The end was reached, or the exchange failed.
    Over,
}

/// A response on its way, and what has come of it.
struct Exchanged {
    response: Arriving,
    decoding: Decoding,
    info: RequestInfo,
    chunks: Vec<Vec<u8>>,
    events: Vec<Event>,
    /// The connector is at work on the last chunk, or on the end.
    is_decoding: bool,
}

/// Name of the payload of a `sending` entry: exactly the bytes that leave, or the text that a connector answers to.
pub const SENT: &str = "sent";
/// Name of the payload of a `received` entry: exactly the bytes that came back, or the connector's own text (its tool calls
/// are in its recorded judgement).
pub const RECEIVED: &str = "received";

/// Takes cleared text to the model that the route names, which then begins to answer.
///
/// # Errors
/// [`Refusal`]: no route, no ground, a denial, a plugin's or the upstream's failure, or a log that cannot be written.
pub async fn connect<'a>(
    gateway: &'a Gateway,
    case: &'a Case,
    cleared: Cleared,
) -> Result<Answering<'a>, Refusal> {
    let (call, duties, issued) = cleared.into_parts();
    let (endpoint, upstream_model) = gateway.endpoint(&call.model).ok_or(Refusal::NoRoute)?;
    let connector = case.roster.connector(&endpoint.connector)?;
    let method = case.roster.method();
    let no_agreement = |why| Refusal::NoAgreement {
        endpoint: endpoint.name.clone(),
        why,
    };
    let ground = gateway.ground(endpoint).map_err(no_agreement)?;
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
                Value::Number(i64::try_from(issued.len()).unwrap_or(i64::MAX)),
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
    if let (true, Ground::Cleared { lacks }) = (duties.require_agreement, &ground) {
        return Err(no_agreement(lacks.clone()));
    }

    let filled = call.shape.fill(call.messages.expose());
    let filled = filled.ok_or_else(|| {
        let rule = "such that no identifier reaches across a key and its value";
        Refusal::Malformed(wrong("arguments or schema of a tool", rule))
    })?;
    let chat = Phi::new(Encode(Judgement::Encode {
        info: case.info_for_connectors(),
        call: ChatCall {
            model: upstream_model,
            messages: filled.messages,
            max_tokens: call.max_tokens,
            temperature: call.temperature,
            stop: filled.stop,
            want_stream: true,
            options: filled.options,
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
    let source = match plan {
        Plan::Answer(events) => Source::Whole(exchange.in_sandbox(call.messages.expose(), events)?),
        Plan::Call(request) => {
            let outgoing =
                Outgoing::new(request, endpoint).map_err(|source| exchange.failed(source))?;
            Source::Arriving(Box::new(exchange.over_http(outgoing).await?))
        }
    };
    Ok(Answering {
        exchange,
        source,
        duties,
        issued,
        wants_json: call.wants_json,
        embeddings: call.embeddings,
    })
}

impl Answering<'_> {
    /// The tokens that stand in the request, as often as they stand there.
    pub(super) fn issued(&self) -> &[Token] {
        &self.issued
    }

    pub(super) const fn duties(&self) -> Duties {
        self.duties
    }

    /// Whether the answer's text is to be JSON.
    pub(super) const fn wants_json(&self) -> bool {
        self.wants_json
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`Refusal`]: the endpoint's or the connector's failure.
    pub(super) async fn whole(mut self) -> Result<Answered, Refusal> {
        let mut said = Phi::new(Said::default());
        self.rest(&mut said).await?;
        if let Some(count) = self.embeddings
            && said.expose().embeddings.len() != count
        {
            return Err(Refusal::PluginFailed {
                point: Point::Egress,
                plugin: self.exchange.connector.reference().name.clone(),
                failure: PluginFailure::BadAnswer("no-vector-for-each-text"),
            });
        }
        Ok(Answered {
            said,
            duties: self.duties,
            wants_json: self.wants_json,
        })
    }

    /// What is yet to come, added to `said`.
    pub(super) async fn rest(&mut self, said: &mut Phi<Said>) -> Result<(), Refusal> {
        while let Some(events) = self.next().await? {
            for event in events {
                said.expose_mut().take(event);
            }
        }
        Ok(())
    }

    /// The next events, or nothing at the end of the answer. At the end the connector's judgement is recorded.
    ///
    /// # Errors
    /// [`Refusal`], once: after it nothing more comes.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Event>>, Refusal> {
        let step = match &mut self.source {
            Source::Over => return Ok(None),
            Source::Whole(events) => {
                let events = std::mem::take(events);
                self.source = Source::Over;
                return Ok(Some(events));
            }
            Source::Arriving(exchanged) => exchanged.step().await,
        };
        match step {
            Step::More(events) => Ok(Some(events)),
            Step::Last(events) => {
                self.over(None)?;
                Ok(Some(events))
            }
            Step::NotDecoded(failure) => {
                self.over(Some(failure.clone()))?;
                Err(Refusal::PluginFailed {
                    point: Point::Egress,
                    plugin: self.exchange.connector.reference().name.clone(),
                    failure,
                })
            }
            Step::Broken(error) => {
                self.cut_off("failed", Some(error.code()))?;
                Err(self.exchange.failed(error))
            }
        }
    }

    /// Records what came and what the connector made of it.
    fn over(&mut self, failed: Option<PluginFailure>) -> Result<(), Refusal> {
        let Source::Arriving(exchanged) = std::mem::replace(&mut self.source, Source::Over) else {
            return Ok(());
        };
        self.note_received(&exchanged, "answered", None)?;
        self.judged(*exchanged, failed, false)
    }

    /// Records what came until nothing more did, or nobody wanted more, and what the connector made of that.
    fn cut_off(&mut self, outcome: &str, reason: Option<&str>) -> Result<(), Refusal> {
        let Source::Arriving(exchanged) = std::mem::replace(&mut self.source, Source::Over) else {
            return Ok(());
        };
        self.note_received(&exchanged, outcome, reason)?;
        // What the connector was about to make of the last bytes will never be known.
        if exchanged.is_decoding {
            return Ok(());
        }
        self.judged(*exchanged, None, true)
    }

    fn judged(
        &self,
        exchanged: Exchanged,
        failed: Option<PluginFailure>,
        is_cut_off: bool,
    ) -> Result<(), Refusal> {
        let verdict = exchanged
            .decoding
            .verdict(failed.map_or(Ok(exchanged.events), Err));
        let judgement = Judgement::Decode {
            info: exchanged.info,
            status: exchanged.response.status,
            headers: exchanged.response.headers,
            chunks: exchanged.chunks,
            is_cut_off,
        };
        let Exchange {
            case, connector, ..
        } = &self.exchange;
        case.judged(Point::Egress, connector, &judgement, &verdict)
    }

    fn note_received(
        &self,
        exchanged: &Exchanged,
        outcome: &str,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        let status = Some(exchanged.response.status);
        let mut received = self.exchange.received(outcome, status, &exchanged.chunks)?;
        received.reasons.extend(reason.map(str::to_owned));
        self.exchange.case.note(received);
        Ok(())
    }
}

impl Drop for Answering<'_> {
    /// Whoever was to be answered has gone, or something on the way to them failed: the exchange ends with the socket,
    /// and what had come until then is recorded. An entry that cannot be sealed any more leaves its request without an
    /// end of the exchange, which a verifier sees.
    fn drop(&mut self) {
        drop(self.cut_off("abandoned", None));
    }
}

/// What the next bytes of a response brought.
enum Step {
    More(Vec<Event>),
    Last(Vec<Event>),
    NotDecoded(PluginFailure),
    Broken(EgressError),
}

impl Exchanged {
    async fn step(&mut self) -> Step {
        loop {
            let (decoded, is_last) = match self.response.chunk().await {
                Ok(Some(chunk)) => {
                    self.chunks.push(chunk.to_vec());
                    self.is_decoding = true;
                    (self.decoding.push(&chunk).await, false)
                }
                Ok(None) => {
                    self.is_decoding = true;
                    (self.decoding.finish().await, true)
                }
                Err(error) => return Step::Broken(error),
            };
            self.is_decoding = false;
            match decoded {
                Ok(events) => {
                    self.events.extend(events.iter().cloned());
                    if is_last {
                        return Step::Last(events);
                    }
                    if !events.is_empty() {
                        return Step::More(events);
                    }
                }
                Err(failure) => return Step::NotDecoded(failure),
            }
        }
    }
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
        draft = match &self.ground {
            Ground::InSandbox => draft,
            Ground::Agreement { id } => draft.fact("agreement", id.as_str()),
            Ground::Cleared { lacks } => draft.fact("lacks", lacks.code()),
        };
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
        let mut said = Phi::new(Said::default());
        for event in events.iter().cloned() {
            said.expose_mut().take(event);
        }
        let mut received = self.draft(EntryKind::Received, "answered");
        received.payload = self.case.sealed(RECEIVED, said.expose().text.as_bytes())?;
        self.case.note(received);
        Ok(events)
    }

    /// Intent, then the head of the response. Whatever happens after the intent, an outcome entry says so.
    async fn over_http(&self, outgoing: Outgoing) -> Result<Exchanged, Refusal> {
        let mut sending = self
            .draft(EntryKind::Sending, "intent")
            .fact("method", outgoing.method())
            .fact("operation", operation(outgoing.path()));
        sending.payload = self.case.sealed(SENT, outgoing.body())?;
        let recorded = self.case.record(sending).await?;

        let mut unanswered = Unanswered(Some(self));
        let response = match self.gateway.egress().send(outgoing, recorded).await {
            Ok(response) => response,
            Err(error) => {
                unanswered.0 = None;
                let mut received = self.received("failed", None, &[])?;
                received.reasons.push(error.code().to_owned());
                self.case.note(received);
                return Err(self.failed(error));
            }
        };
        let info = self.case.info_for_connectors();
        let decoding = self
            .case
            .engine
            .decode(self.connector, &info, response.status, &response.headers)
            .await;
        unanswered.0 = None;
        Ok(Exchanged {
            response,
            decoding,
            info,
            chunks: Vec::new(),
            events: Vec::new(),
            is_decoding: false,
        })
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

    fn failed(&self, source: EgressError) -> Refusal {
        Refusal::Upstream {
            endpoint: self.endpoint.name.clone(),
            source,
        }
    }
}

/// An exchange whose response has not begun. Dropped, it records that nobody waits for one any more.
struct Unanswered<'e, 'a>(Option<&'e Exchange<'a>>);

impl Drop for Unanswered<'_, '_> {
    fn drop(&mut self) {
        if let Some(exchange) = self.0
            && let Ok(received) = exchange.received("abandoned", None, &[])
        {
            exchange.case.note(received);
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
