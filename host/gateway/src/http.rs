//! The data plane: which path is what, and what every reply has in common.
//!
//! Statuses come from [`Reply::status`], bodies from [`wire`](crate::wire). What a client sent is not repeated in any
//! header or error.

mod body;
mod places;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use nephron_audit::Log;
use nephron_model::{EventId, Phi, Purpose, TenantId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::info;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::authenticate::{
    Called, Identity, NotIdentified, Presented, TokenFault, Unauthenticated,
};
use crate::breaker::REST;
use crate::config::Listen;
use crate::keeper::Keeper;
use crate::metrics::TenantState;
use crate::operations::{self, Asked as Operated};
use crate::origin::Origin;
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::reply::{Outlet, Piece, Reply, is_resting};
use crate::serve::{Asking, BAD_HTTP, Fault, TOO_SLOW};
use crate::tls::Peer;
use crate::wire::fields::{ID_RULE, is_structural, wrong};
use crate::wire::told::Told;
use crate::wire::{Api, Asked, Manner};
pub(crate) use body::Body;
use body::Streamed;
use places::{Place, Places};

/// What every connection shares.
pub(crate) struct Service {
    gateway: Arc<Gateway>,
    places: Places,
    /// How often each caller of each tenant may ask.
    rates: DefaultKeyedRateLimiter<(TenantId, String)>,
    body_time: Duration,
    started: Timestamp,
    /// Set when it serves on and is about to stop.
    is_leaving: AtomicBool,
    /// Set when the time to drain is over: whatever is in flight is given up.
    giving_up: watch::Sender<bool>,
    /// A clone goes with every request; when the last is gone, nothing is in flight. None once it is told to stop.
    alive: Mutex<Option<mpsc::Sender<()>>>,
}

/// What a request holds until it has ended, wherever its client is by then, and until its answer is written or given up.
pub(crate) struct Ticket {
    _place: Place,
    _alive: mpsc::Sender<()>,
}

pub(crate) type Reaction = Response<Body>;

/// Comes when a request is to be given up, with the reason.
pub(crate) type GivenUp = Pin<Box<dyn Future<Output = Refusal> + Send>>;

/// The source of what came over no connection.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// What Anthropic's clients send with each request.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// An HL7 v3 PurposeOfUse code, one of the key's.
const X_PURPOSE_OF_USE: HeaderName = HeaderName::from_static("x-purpose-of-use");
/// A conversation in which values keep their tokens.
const X_CONVERSATION: HeaderName = HeaderName::from_static("x-conversation");

impl Service {
    pub(crate) fn new(gateway: Arc<Gateway>, listen: &Listen, alive: mpsc::Sender<()>) -> Self {
        let tenants = gateway.keepers().map(Keeper::id);
        let places = Places::new(
            tenants,
            listen.requests_per_tenant,
            listen.requests_per_caller,
        );
        Self {
            started: gateway.clock().now(),
            gateway,
            places,
            rates: RateLimiter::keyed(Quota::per_second(listen.requests_per_second)),
            body_time: listen.body_time,
            is_leaving: AtomicBool::new(false),
            giving_up: watch::channel(false).0,
            alive: Mutex::new(Some(alive)),
        }
    }

    /// How each tenant stands.
    pub(crate) fn tenant_states(&self) -> impl Iterator<Item = TenantState<'_>> {
        let keepers = self.gateway.keepers();
        let keepers = keepers.chain([self.gateway.host().keeper()]);
        keepers.map(|keeper| {
            let open = keeper.open();
            let log = open.as_ref().map(|tenant| tenant.log());
            TenantState {
                tenant: keeper.id().as_str(),
                in_flight: self.places.taken(keeper.id()),
                log_entries: log.map_or(0, |log| log.head().entries),
                is_log_stopped: log.is_none_or(Log::is_stopped),
                view: log.map(Log::view_standing),
                set_aside: log.map_or(0, Log::set_aside),
                why_closed: keeper.why_not(),
            }
        })
    }

    pub(crate) const fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed) || self.alive().is_none()
    }

    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// From now on it is not ready, and serves all the same.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// From now on every request is told that the gateway stops.
    pub(crate) fn stop(&self) {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn alive(&self) -> Option<mpsc::Sender<()>> {
        self.alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on every request in flight is given up.
    pub(crate) fn give_up(&self) {
        self.giving_up.send_replace(true);
    }

    fn given_up(&self) -> impl Future<Output = Refusal> + use<> {
        let mut giving_up = self.giving_up.subscribe();
        async move {
            let is_told = giving_up.wait_for(|is_given_up| *is_given_up).await.is_ok();
            if !is_told {
                // The sender is held for as long as anything is served.
                std::future::pending::<()>().await;
            }
            Refusal::Stopping
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Reaction {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(peer);
        let mut body = Some(body);
        let reaction = self.react(&head, &mut body).await;
        // Some clients take an answer that comes before their body was read for a broken connection.
        if let Some(body) = body {
            discard(body).await;
        }
        if head.method == Method::HEAD {
            return reaction.map(|_| Body::empty());
        }
        reaction
    }

    /// Refuses a request for its head, in the shape of its API as far as its path says whose that is.
    pub(crate) async fn refuse_head(&self, fault: Fault, path: &str, from: SocketAddr) -> Reaction {
        let host = self.gateway.host();
        let api = Api::at(path).unwrap_or(Api::Chat);
        if fault == Fault::Late {
            host.count(TOO_SLOW);
            return failed(api, &Told::of_head(fault, TOO_SLOW, None));
        }
        let event = self.gateway.event_id().ok();
        let event = host.refuse_connection(from, event, BAD_HTTP).await;
        let mut response = failed(api, &Told::of_head(fault, BAD_HTTP, event));
        let headers = response.headers_mut();
        headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        with_event(response, event)
    }

    async fn react(&self, head: &Parts, body: &mut Option<Incoming>) -> Reaction {
        // Whose words to use where the path does not say it.
        let api = match head.headers.contains_key(ANTHROPIC_VERSION) {
            true => Api::Messages,
            false => Api::Chat,
        };
        if let Some(asked) = Operated::of(&head.method, head.uri.path(), api) {
            return operations::react(self, asked, head, body).await;
        }
        let is_get = matches!(head.method, Method::GET | Method::HEAD);
        match (head.uri.path(), is_get) {
            ("/livez", true) => plain(StatusCode::OK, "ok\n"),
            ("/readyz", true) => self.ready(),
            ("/openapi.json", true) => openapi(),
            ("/livez" | "/readyz" | "/openapi.json", false) => {
                self.counted(wrong_method(api, "GET, HEAD"))
            }
            (path, _) => match Api::at(path) {
                Some(api) if head.method == Method::POST => self.ask(api, head, body).await,
                Some(api) => self.counted(wrong_method(api, "POST")),
                None => self.counted(nowhere(api, 404, "there is nothing at this path")),
            },
        }
    }

    /// What asks for nothing that there is, whoever asks, has no entry of its own.
    fn counted(&self, reaction: Reaction) -> Reaction {
        self.gateway.host().count("not-found");
        reaction
    }

    /// Ready when every tenant's log takes entries.
    fn ready(&self) -> Reaction {
        if self.is_stopping() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        let stopped = self.tenant_states().filter(|state| state.is_log_stopped);
        match stopped.count() {
            0 => {
                let mut text = "ready\n".to_owned();
                let states = self.gateway.anchors().states(self.gateway.clock().now());
                for state in states.filter(|state| state.is_too_old) {
                    text += &match state.last {
                        Some(_) => format!(
                            "anchor {} took no checkpoint for more than 25 hours\n",
                            state.name
                        ),
                        None => format!("anchor {} has taken no checkpoint yet\n", state.name),
                    };
                }
                plain(StatusCode::OK, &text)
            }
            // Whose they are is nobody's business here; the process's own log says it.
            count => {
                let text = format!("not ready: logs that take no entries: {count}\n");
                plain(StatusCode::SERVICE_UNAVAILABLE, &text)
            }
        }
    }

    /// Who asks, and from where. A refusal of a credential that is one of ours stands in its tenant's log.
    async fn identify(&self, head: &Parts) -> Result<Identity, Box<Reply>> {
        let headers = &head.headers;
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        let key = bearer.or_else(|| headers.get(X_API_KEY)?.to_str().ok());
        // What is no text is no code, either.
        let purpose = headers
            .get(X_PURPOSE_OF_USE)
            .map(|purpose| purpose.to_str().unwrap_or_default());
        let presented = Presented {
            bearer: key,
            purpose,
            peer: head.extensions.get::<Arc<Peer>>().map(Arc::as_ref),
        };
        let source = head.extensions.get::<SocketAddr>().copied();
        let source = source.unwrap_or(NOWHERE);
        let origin = Origin::of(source, headers).map_err(Refusal::from);
        match (self.gateway.identify(presented).await, origin) {
            (Ok(mut identity), Ok(origin)) => {
                identity.origin = origin;
                Ok(identity)
            }
            (Ok(mut identity), Err(refusal)) => {
                identity.origin = Origin::of_stranger(source, headers);
                Err(self.turn_away(&identity, refusal).await)
            }
            (Err(NotIdentified { why, holder: None }), _) => {
                info!(
                    reason = why.code(),
                    "a request from nobody who is known here"
                );
                let origin = Origin::of_stranger(source, headers);
                let refused = self.gateway.refuse_stranger(source, &origin, why.into());
                Err(Box::new(refused.await))
            }
            (
                Err(NotIdentified {
                    why,
                    holder: Some(mut holder),
                }),
                origin,
            ) => {
                holder.origin = origin.unwrap_or_else(|_| Origin::of_stranger(source, headers));
                Err(self.turn_away(&holder, why.into()).await)
            }
        }
    }

    /// Refuses whom a credential of ours is known to be of.
    async fn turn_away<P: Clone + Into<Option<Purpose>>>(
        &self,
        identity: &Identity<P>,
        refusal: Refusal,
    ) -> Box<Reply> {
        // A client that asks too often must not fill its tenant's log by that.
        Box::new(match self.in_time(identity) {
            Ok(()) => self.gateway.refuse(identity, refusal).await,
            Err(too_often) => self.gateway.counted(too_often),
        })
    }

    /// Whether the caller asks no more often than it may.
    fn in_time<P>(&self, identity: &Identity<P>) -> Result<(), Refusal> {
        let caller = (identity.tenant.clone(), identity.caller.id.clone());
        self.rates.check_key(&caller).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::TooOften {
                seconds: wait.as_secs().saturating_add(1),
            }
        })
    }

    /// Forgets callers who have not asked for so long that it makes no difference.
    pub(crate) fn forget_rates(&self) {
        self.rates.retain_recent();
    }

    async fn ask(&self, api: Api, head: &Parts, body: &mut Option<Incoming>) -> Reaction {
        let began = Instant::now();
        match self.admit(api, head, body).await {
            Ok((called, manner, ticket)) if manner.is_streamed => {
                let asking = head.extensions.get::<Arc<Asking>>().cloned();
                self.stream(called, manner, ticket, asking, began).await
            }
            Ok((called, manner, ticket)) => self.whole(called, manner, ticket, began).await,
            Err(reply) => {
                let metrics = self.gateway.metrics();
                metrics.request(api.as_str(), reply.outcome(), began.elapsed());
                refused(api, &reply)
            }
        }
    }

    /// Who asks, and for what. The key is looked at before the body is read.
    async fn admit(
        &self,
        api: Api,
        head: &Parts,
        body: &mut Option<Incoming>,
    ) -> Result<(Called, Manner, Ticket), Box<Reply>> {
        let (identity, ticket) = self.enter(head).await?;
        match self.read(api, &head.headers, body).await {
            Ok(Asked { received, manner }) => Ok((Called::new(received, identity), manner, ticket)),
            Err(refusal) => Err(Box::new(self.gateway.refuse(&identity, refusal).await)),
        }
    }

    /// Who asks, and a place for the request.
    pub(crate) async fn enter(&self, head: &Parts) -> Result<(Identity, Ticket), Box<Reply>> {
        let identity = self.identify(head).await?;
        let ticket = self
            .in_time(&identity)
            .and_then(|()| self.ticket(&identity));
        let ticket = ticket.map_err(|refusal| Box::new(self.gateway.counted(refusal)))?;
        Ok((identity, ticket))
    }

    async fn read(
        &self,
        api: Api,
        headers: &HeaderMap,
        body: &mut Option<Incoming>,
    ) -> Result<Asked, Refusal> {
        let conversation = match headers.get(X_CONVERSATION) {
            None => None,
            Some(name) => {
                let name = name.to_str().ok().filter(|name| is_structural(name, 200));
                let name = name
                    .ok_or_else(|| Refusal::Malformed(wrong("header x-conversation", ID_RULE)))?;
                Some(name.to_owned())
            }
        };
        let body = self.body(body).await?;
        let (limits, clock) = (self.gateway.limits(), self.gateway.clock());
        Ok(api.read(&body, conversation, limits, clock)?)
    }

    fn ticket(&self, identity: &Identity) -> Result<Ticket, Refusal> {
        Ok(Ticket {
            _place: self.places.take(&identity.tenant, &identity.caller.id)?,
            _alive: self.alive().ok_or(Refusal::Stopping)?,
        })
    }

    /// The whole body, within its limits of size and time. It is overwritten when it was read. What is refused stays there, to be
    /// read to its end before that is said.
    pub(crate) async fn body(
        &self,
        body: &mut Option<Incoming>,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        use hyper::body::Body as _;
        let Some(incoming) = body else {
            return Ok(Zeroizing::default());
        };
        let limit = self.gateway.limits().bytes;
        let too_large = || Refusal::Malformed(Malformed::TooLarge { limit });
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        if incoming.size_hint().lower() > most {
            return Err(too_large());
        }
        let expected = usize::try_from(incoming.size_hint().lower()).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(expected));
        let all = async {
            while let Some(frame) = incoming.frame().await {
                let frame = frame.map_err(|error| broken(&error))?;
                if let Ok(data) = frame.into_data() {
                    if bytes.len() + data.len() > limit {
                        return Err(too_large());
                    }
                    bytes.extend_from_slice(&data);
                }
            }
            Ok(())
        };
        tokio::time::timeout(self.body_time, all)
            .await
            .map_err(|_| Refusal::TooSlow)??;
        *body = None;
        Ok(bytes)
    }

    /// One answer, when it is whole. If the client leaves, this future is dropped; the request ends by itself.
    async fn whole(
        &self,
        called: Called,
        manner: Manner,
        ticket: Ticket,
        began: Instant,
    ) -> Reaction {
        let api = manner.api.as_str();
        let answering = |gateway: Arc<Gateway>, given_up| async move {
            let reply = gateway.answer(called, given_up).await;
            let metrics = gateway.metrics();
            metrics.request(api, reply.outcome(), began.elapsed());
            reply
        };
        match self.attend(ticket, answering).await {
            Some((reply, ticket)) => match (reply.event(), reply.said()) {
                (Some(event), Some(said)) => {
                    let body = manner.reply(event, said.expose(), self.gateway.clock().now());
                    let response = json(StatusCode::OK, body);
                    let response = response.map(|body| body.held_by(Arc::new(ticket)));
                    with_event(response, Some(event))
                }
                _ => refused(manner.api, &reply),
            },
            None => failed(manner.api, &Told::internal()),
        }
    }

    /// Sees work to its end in a task of its own. It is told to give up if the client leaves, which drops this future, or
    /// when the time to drain is over. Gives the ticket back for what came of it, of which there is nothing if the task panicked.
    pub(crate) async fn attend<W>(
        &self,
        ticket: Ticket,
        work: impl FnOnce(Arc<Gateway>, GivenUp) -> W,
    ) -> Option<(W::Output, Ticket)>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        let (here, gone) = oneshot::channel::<()>();
        let given_up = self.given_up();
        let given_up = async {
            tokio::select! {
                // Never sent: it ends when the other half is dropped.
                _ = gone => Refusal::CallerGone,
                refusal = given_up => refusal,
            }
        };
        let work = work(self.gateway(), Box::pin(given_up));
        let working = tokio::spawn(async move { (work.await, ticket) });
        let done = working.await.ok();
        drop(here);
        done
    }

    /// An answer while the model gives it. Until its first piece, whatever goes wrong has a status of its own.
    async fn stream(
        &self,
        called: Called,
        manner: Manner,
        ticket: Ticket,
        asking: Option<Arc<Asking>>,
        began: Instant,
    ) -> Reaction {
        let (outlet, mut pieces) = Outlet::new(self.body_time);
        let (gateway, given_up) = (self.gateway(), self.given_up());
        let api = manner.api.as_str();
        let ticket = Arc::new(ticket);
        let held = Arc::clone(&ticket);
        tokio::spawn(async move {
            let outcome = gateway.stream(called, outlet, given_up).await;
            // A client that takes nothing is given up here. If it has not left, it may hold for ever what was handed out.
            let is_there = Arc::strong_count(&ticket) > 1;
            let is_given_up = outcome == Refusal::CallerGone.code();
            if let Some(asking) = asking.filter(|_| is_there && is_given_up) {
                asking.forsake();
            }
            drop(ticket);
            let metrics = gateway.metrics();
            metrics.request(api, outcome, began.elapsed());
            drop(gateway);
        });
        match pieces.recv().await {
            Some(Piece::Opened(event)) => {
                let metrics = self.gateway.metrics();
                metrics.first_byte(api, began.elapsed());
                let mut stream = manner.stream(event, self.gateway.clock().now());
                let first = stream.opened();
                let body = Body::streamed(first, Streamed::new(stream, pieces));
                let mut response = Response::new(body.held_by(held));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                with_event(response, Some(event))
            }
            Some(Piece::Refused(reply)) => refused(manner.api, &reply),
            Some(Piece::Done(_) | Piece::Call { .. } | Piece::Text(..)) | None => {
                failed(manner.api, &Told::internal())
            }
        }
    }
}

/// A refusal, in the words of the API. SDKs try again by themselves; where that is of no use they are told.
pub(crate) fn refused(api: Api, reply: &Reply) -> Reaction {
    let mut response = failed(api, &Told::of(reply));
    let headers = response.headers_mut();
    match reply.refusal() {
        Some(Refusal::TooBusy | Refusal::CallerTooBusy | Refusal::Stopping) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Some(Refusal::TooOften { seconds }) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
        }
        Some(Refusal::TooSlow) => {}
        Some(Refusal::Upstream { source, .. }) if source.is_transient() => {
            if let Some(seconds) = source.seconds_to_wait() {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        // The tenant, or the provider's keys, are tried again after so long.
        Some(Refusal::TenantUnavailable) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        Some(Refusal::Unauthenticated(Unauthenticated::Token(TokenFault::NoKeys))) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        Some(Refusal::PluginFailed { failure, .. }) if is_resting(failure) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(REST.as_secs()));
        }
        Some(Refusal::Unauthenticated(why)) => {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(why.challenge()));
        }
        // That it cannot be recorded may be known only after the model was asked: then asking again is no remedy.
        Some(_) | None => {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
    with_event(response, reply.event())
}

/// What a client is told when it gets no answer.
pub(crate) fn failed(api: Api, told: &Told) -> Reaction {
    let status =
        StatusCode::from_u16(api.status(told)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, Phi::new(api.error(told).to_string()))
}

pub(crate) fn wrong_method(api: Api, allowed: &'static str) -> Reaction {
    let message = "this path takes another method; the header `allow` names it";
    let mut response = nowhere(api, 405, message);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// There is nothing to be had here in that way, whoever asks.
fn nowhere(api: Api, status: u16, message: &str) -> Reaction {
    failed(api, &Told::nowhere(status, message))
}

/// Why a body has no end.
fn broken(error: &hyper::Error) -> Refusal {
    let source = std::error::Error::source(error);
    let kind = source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match kind == Some(std::io::ErrorKind::InvalidInput)
        || kind == Some(std::io::ErrorKind::InvalidData)
    {
        true => Refusal::Malformed(wrong(
            "body",
            "in chunks as their lengths say (RFC 9112 §7.1)",
        )),
        // A client that broke off reads no answer.
        false => Refusal::CallerGone,
    }
}

/// Reads what is left of a body, but not for long and not for ever.
async fn discard(mut body: Incoming) {
    const MOST: usize = 1 << 20;
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MOST {
                return;
            }
        }
    };
    // Whether it came to its end makes no difference.
    let _ended = tokio::time::timeout(Duration::from_secs(1), reading).await;
}

/// What this listener serves, for machines. The same for everybody, and for as long as the process runs.
fn openapi() -> Reaction {
    // Nothing of it is held for whoever asks for it and does not read it.
    let document = Body::fixed(include_str!("openapi.json"));
    let mut response = typed(StatusCode::OK, "application/json", document);
    let cached = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, cached);
    response
}

fn plain(status: StatusCode, text: &str) -> Reaction {
    let text = Body::whole(Phi::new(text.to_owned()));
    typed(status, "text/plain; charset=utf-8", text)
}

pub(crate) fn json(status: StatusCode, body: Phi<String>) -> Reaction {
    typed(status, "application/json", Body::whole(body))
}

fn typed(status: StatusCode, kind: &'static str, body: Body) -> Reaction {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn with_event(mut response: Reaction, event: Option<EventId>) -> Reaction {
    if let Some(value) = event.and_then(|event| HeaderValue::from_str(&event.to_string()).ok()) {
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, value.clone());
        headers.insert(REQUEST_ID, value);
    }
    response
}
