//! Stage 6: [`Cleared`] → [`Answered`]. The connector encodes and decodes; the host finds the ground for sending,
//! records exactly what is about to leave, dials, and records exactly what came back.

mod exchange;
mod sign;

use std::time::Duration;

use nephron_engine::contract::{ChatCall, Event, HttpRequest, Plan, RequestInfo, Value};
use nephron_engine::{Answer, Decoding, Judgement, Plugin, PluginFailure};
use nephron_keys::{KeyError, Token};
use nephron_model::{EntryKind, NotRecorded, Phi, Point};

use crate::associates::{Ground, Shown};
use crate::case::Case;
use crate::chain::decide::{Duties, ask_deciders, number};
use crate::chain::deidentify::Cleared;
use crate::config::Endpoint;
use crate::egress::{Arriving, EgressError, Outgoing};
use crate::gateway::Gateway;
use crate::receive::Call;
use crate::refusal::Refusal;
use crate::said::Said;
use crate::swap::Came;
use crate::wire::blob;
use exchange::{Exchange, pause};

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

/// Takes cleared text to the model that the route names, which then begins to answer. Its endpoints are asked in their
/// order, until one begins; each is an exchange of its own, with its own ground, decision and entries.
///
/// # Errors
/// [`Refusal`]: no route, no ground, a denial, a plugin's or the upstream's failure, or a log that cannot be written.
pub async fn connect<'a>(
    gateway: &'a Gateway,
    case: &'a Case,
    cleared: Cleared,
    want_stream: bool,
) -> Result<Answering<'a>, Refusal> {
    let (call, duties, issued) = cleared.into_parts();
    let endpoints = gateway.endpoints(&call.model).ok_or(Refusal::NoRoute)?;
    let asked = Asked {
        gateway,
        case,
        call,
        duties,
        issued,
        want_stream,
    };
    let mut first: Option<Refusal> = None;
    let mut endpoints = endpoints.into_iter().peekable();
    while let Some((endpoint, model)) = endpoints.next() {
        let is_last = endpoints.peek().is_none();
        let mut retries = endpoint.retries;
        loop {
            let setback = match asked.of(endpoint, &model, is_last && retries == 0).await {
                Ok(begun) => return Ok(asked.answering(begun)),
                Err(setback) => setback,
            };
            let (refusal, pause) = match setback {
                Setback::Final(refusal) => return Err(refusal),
                Setback::Elsewhere(refusal) => (refusal, None),
                Setback::Later(refusal, wish) => (refusal, pause(endpoint.retries - retries, wish)),
            };
            // That one did not answer says more to the caller than that another may not be used.
            if first.is_none() || matches!(refusal, Refusal::Upstream { .. }) {
                first = Some(refusal);
            }
            match pause {
                Some(pause) if retries > 0 => {
                    retries -= 1;
                    tokio::time::sleep_until(tokio::time::Instant::now() + pause).await;
                }
                Some(_) | None => break,
            }
        }
    }
    Err(first.unwrap_or(Refusal::NoRoute))
}

/// What is to be asked of an endpoint.
struct Asked<'a> {
    gateway: &'a Gateway,
    case: &'a Case,
    call: Call,
    duties: Duties,
    issued: Vec<Token>,
    /// Whether the answer is to come in pieces, as the caller asked: whole, it is an eighth of the bytes to keep.
    want_stream: bool,
}

/// An exchange that has begun.
struct Begun<'a> {
    exchange: Exchange<'a>,
    source: Source,
    duties: Duties,
}

/// Why an exchange did not begin.
enum Setback {
    /// The request ends.
    Final(Refusal),
    /// Another endpoint may do.
    Elsewhere(Refusal),
    /// The same one may do later, after as long as it wishes; or another.
    Later(Refusal, Option<Duration>),
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Final(refusal)
    }
}

impl From<KeyError> for Setback {
    fn from(error: KeyError) -> Self {
        Self::Final(error.into())
    }
}

impl From<NotRecorded> for Setback {
    fn from(error: NotRecorded) -> Self {
        Self::Final(error.into())
    }
}

impl<'a> Asked<'a> {
    fn answering(self, begun: Begun<'a>) -> Answering<'a> {
        Answering {
            exchange: begun.exchange,
            source: begun.source,
            duties: begun.duties,
            issued: self.issued,
            wants_json: self.call.wants_json,
            embeddings: self.call.embeddings,
        }
    }

    /// Asks one endpoint once, for what it calls `model`. From the last one an answer is taken whatever its status; the
    /// connector says what it means.
    async fn of(
        &self,
        endpoint: &'a Endpoint,
        model: &str,
        is_last: bool,
    ) -> Result<Begun<'a>, Setback> {
        let (gateway, case) = (self.gateway, self.case);
        let connector = case.roster.connector(&endpoint.connector)?;
        let no_agreement = |why| {
            let endpoint_name = endpoint.name.clone();
            let refusal = match self.call.blobs.first() {
                Some(blob) => Refusal::Unsearched {
                    place: blob.place.clone(),
                    endpoint: endpoint_name,
                    why,
                },
                None => Refusal::NoAgreement {
                    endpoint: endpoint_name,
                    why,
                },
            };
            self.passed_over(endpoint, refusal)
        };
        let ground = gateway.ground(endpoint, self.shown(), &case.roster);
        let ground = ground.map_err(no_agreement)?;
        let at_egress = self.permitted(endpoint, &ground).await;
        let at_egress = at_egress.map_err(|refusal| {
            if matches!(refusal, Refusal::Denied { .. }) {
                self.passed_over(endpoint, refusal)
            } else {
                Setback::Final(refusal)
            }
        })?;
        let duties = self.duties.and(at_egress);
        if let (true, Ground::Cleared { lacks }) = (duties.require_agreement, &ground) {
            return Err(no_agreement(lacks.clone()));
        }
        let plan = self.plan(connector, model).await;
        let planned = plan.map_err(|refusal| match self.not_offered(endpoint, &refusal) {
            Some(not_offered) => self.passed_over(endpoint, not_offered),
            None => Setback::Final(refusal),
        });
        let (plan, began) = planned?;
        let exchange = Exchange {
            gateway,
            case,
            endpoint,
            connector,
            ground,
            began,
        };
        let source = match plan {
            Plan::Answer(events) => {
                let shown = self.call.messages.expose();
                Source::Whole(exchange.in_sandbox(shown, events).await?)
            }
            Plan::Call(request) => {
                let request = self.with_blobs(connector, request)?;
                let recorded = |setback| match setback {
                    Setback::Elsewhere(refusal) => self.passed_over(endpoint, refusal),
                    setback @ (Setback::Final(_) | Setback::Later(..)) => setback,
                };
                let upstream = endpoint.upstream.as_ref().ok_or(EgressError::NoUrl);
                let upstream =
                    upstream.map_err(|source| recorded(exchange.setback(source, None)))?;
                let request = exchange.signed(request, upstream).await.map_err(recorded)?;
                let outgoing = Outgoing::new(request, upstream);
                let outgoing =
                    outgoing.map_err(|source| recorded(exchange.setback(source, None)))?;
                Source::Arriving(Box::new(
                    exchange
                        .over_http(outgoing, &self.call.blobs, is_last)
                        .await?,
                ))
            }
        };
        Ok(Begun {
            exchange,
            source,
            duties,
        })
    }

    /// That the connector cannot say to the endpoint what the caller asks for, if that is why it gave no plan: the request
    /// is at fault and not the plugin. Another endpoint may know how.
    fn not_offered(&self, endpoint: &Endpoint, refusal: &Refusal) -> Option<Refusal> {
        let Refusal::PluginFailed {
            failure: PluginFailure::Reported { code, about },
            ..
        } = refusal
        else {
            return None;
        };
        // Input that is invalid without anything named may be the settings' fault.
        let is_the_callers = match *code {
            "unsupported" | "limit-exceeded" => true,
            code => code == "invalid-input" && about.is_some(),
        };
        is_the_callers.then(|| Refusal::NotOffered {
            endpoint: endpoint.name.clone(),
            code,
            place: self.place_of(about.as_deref()),
            about: about.clone(),
        })
    }

    /// Where the blob of a media type of this name stands, if there is one only.
    fn place_of(&self, media_type: Option<&str>) -> Option<String> {
        let mut blobs = self.call.blobs.iter();
        let mut next = || blobs.find(|blob| Some(blob.media_type()) == media_type);
        match (next(), next()) {
            (Some(blob), None) => Some(blob.place.clone()),
            (Some(_) | None, _) => None,
        }
    }

    /// What is to go to an endpoint.
    fn shown(&self) -> Shown<'_> {
        match self.call.blobs.is_empty() {
            true => Shown::Text(self.case.roster.method()),
            false => Shown::Unsearched,
        }
    }

    /// What the connector encoded, with the bytes that it has not seen.
    fn with_blobs(&self, connector: &Plugin, request: HttpRequest) -> Result<HttpRequest, Refusal> {
        let body = blob::put(request.body, &self.call.blobs, &self.case.info);
        let body = body.map_err(|failure| Refusal::PluginFailed {
            point: Point::Egress,
            plugin: connector.reference().name.clone(),
            failure,
        })?;
        Ok(HttpRequest { body, ..request })
    }

    /// Records that an endpoint may not be used. Nothing was sent there.
    fn passed_over(&self, endpoint: &Endpoint, refusal: Refusal) -> Setback {
        let mut draft = self.case.draft(EntryKind::PassedOver, refusal.code());
        draft = draft.fact("endpoint", endpoint.name.as_str());
        draft.reasons = refusal.reasons();
        draft.point = Some(Point::Egress);
        self.case.note(draft);
        Setback::Elsewhere(refusal)
    }

    /// Asks the deciders whether this may go there.
    async fn permitted(&self, endpoint: &Endpoint, ground: &Ground) -> Result<Duties, Refusal> {
        let method = self.shown().method();
        let facts = [
            (
                "associate",
                Value::Text(endpoint.associate.clone().unwrap_or_default()),
            ),
            (
                "baa",
                Value::Boolean(matches!(ground, Ground::Agreement { .. })),
            ),
            ("blobs", number(self.call.blobs.len())),
            ("cleared", Value::Boolean(method.is_some())),
            ("identifiers", number(self.issued.len())),
            (
                "in-sandbox",
                Value::Boolean(matches!(ground, Ground::InSandbox)),
            ),
            ("method", Value::Text(method.unwrap_or("none").to_owned())),
        ];
        ask_deciders(self.case, Point::Egress, "send", &endpoint.name, facts).await
    }

    /// Has the connector say what to do. Gives what it was asked, too.
    async fn plan(
        &self,
        connector: &Plugin,
        model: &str,
    ) -> Result<(Plan, Phi<Judgement>), Refusal> {
        let call = &self.call;
        let filled = call.shape.fill(call.messages.expose())?;
        let chat = Phi::new(Judgement::Encode {
            info: self.case.info_for_connectors(),
            call: ChatCall {
                model: model.to_owned(),
                messages: filled.messages,
                max_tokens: call.max_tokens,
                temperature: call.temperature,
                stop: filled.stop,
                want_stream: self.want_stream,
                options: filled.options,
            },
        });
        let plan = self
            .case
            .ask(Point::Egress, connector, chat.expose(), Answer::plan)
            .await?;
        let name = &connector.reference().name;
        self.case.asked(Point::Egress, chat.expose(), name, || {
            Came::planned(connector, &plan)
        });
        Ok((plan, chat))
    }
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
        let judgement = Phi::new(Judgement::Decode {
            info: exchanged.info,
            status: exchanged.response.status,
            headers: exchanged.response.headers,
            chunks: exchanged.chunks,
            is_cut_off,
        });
        let Exchange {
            case,
            connector,
            began,
            ..
        } = &self.exchange;
        let asked = (judgement.expose(), began.expose());
        case.judged(Point::Egress, connector, asked, &verdict)?;
        let name = &connector.reference().name;
        case.asked(Point::Egress, judgement.expose(), name, || {
            Came::decoded(connector, &verdict)
        });
        Ok(())
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
