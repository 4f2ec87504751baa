//! The one place that dials. It sends what an entry already says will be sent (I1), to an endpoint that the operator
//! configured, and to no other: no redirects, no retries of its own, no proxy.

mod echo;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod stream;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use nephron_engine::contract::HttpRequest;
use nephron_model::{Phi, Recorded};
use zeroize::Zeroize;

use crate::address::{NotPublic, Resolver, is_public};
use crate::config::{SecretRef, Upstream, UpstreamTls};
use crate::tls::{TlsError, Watched};
use echo::Watch;
pub(crate) use stream::write_stream;

/// Bytes of one response. A longer one is refused: it would not fit an entry of the log (32 MiB), which holds it in base64 with
/// what was made of it.
const LARGEST_RESPONSE: usize = 12 << 20;
/// Bytes that are kept of what an endpoint says beside a status that is no answer.
const LARGEST_EXPLANATION: usize = 64 << 10;
/// How long such an explanation is waited for.
const EXPLANATION_TIME: Duration = Duration::from_secs(5);
/// The longest that a client is told to wait before it asks again. Of longer ones some clients give up, and some wait for days.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Pieces that one response may come in.
const MOST_PIECES: usize = 1 << 16;

/// Connections to endpoints, kept open between requests, by the endpoint's name: none shares another's.
pub(crate) struct Egress {
    diallers: BTreeMap<String, Watched<Way, Dialler>>,
}

/// How an endpoint is reached.
struct Way {
    tls: UpstreamTls,
    allows_private: bool,
}

type Dialler = Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>;

/// Why an exchange failed. Nothing of the upstream's text passes through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The endpoint has no URL: it answers inside the sandbox and cannot be dialled.
    #[error("the plugin asks for an HTTP call, but there is no `url`")]
    NoUrl,
    /// The plugin's request is no HTTP request.
    #[error("the plugin's request has a bad {0}")]
    BadRequest(&'static str),
    /// It names a credential that the endpoint does not have.
    #[error("the plugin asks for a credential that is not configured where it is to go")]
    NoCredential,
    /// The plugin does not ask for the credential that the endpoint has.
    #[error(
        "the plugin does not ask for the configured credential; name it in the settings of the plugin"
    )]
    CredentialUnused,
    /// The credential's secret cannot be read.
    #[error("the credential cannot be read")]
    Credential,
    /// The roots to trust cannot be read.
    #[error("the file of certificates to trust (`ca`) cannot be read")]
    Authority,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(&'static str),
    /// Its name resolves to this machine, its network, or another place that is no endpoint's.
    #[error(
        "the endpoint's name resolves to no public address; if it is meant to, set `private-addresses = true`"
    )]
    PrivateAddress,
    /// It answered that it cannot serve now: 408, 429 or 5xx (RFC 9110 §15, RFC 6585 §4).
    #[error("the endpoint answered with status {status}")]
    Unavailable {
        /// Its status.
        status: u16,
        /// For how long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// It answered with another status that is no answer: it does not take this request, or no request of this gateway.
    #[error("the endpoint answered with status {0}")]
    Refused(u16),
    /// It reported within its answer that it cannot serve now, or broke off there, as its connector says.
    #[error("the endpoint reported a failure within its answer, or broke off there")]
    BrokenAnswer,
    /// It was silent for longer than its `timeout`, or took longer than its `answer-time`.
    #[error("nothing, or no end of it, within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The response holds the credential that went with the request.
    #[error("the endpoint sent the configured credential back; nothing from there on is passed on")]
    CredentialEchoed,
    /// The response is larger than the host takes.
    #[error(
        "the response is larger than the host takes, or comes in more than {MOST_PIECES} pieces"
    )]
    TooLarge,
}

impl EgressError {
    /// The code that stands in the log.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoUrl => "no-url",
            Self::BadRequest(_) => "bad-request",
            Self::NoCredential => "no-credential",
            Self::CredentialUnused => "credential-unused",
            Self::Credential => "credential-unreadable",
            Self::Authority => "authority-unreadable",
            Self::Connection(_) => "connection-failed",
            Self::PrivateAddress => "private-address",
            Self::Unavailable { .. } => "unavailable",
            Self::Refused(400 | 413 | 422) => "refused-the-request",
            Self::Refused(_) => "refused-the-gateway",
            Self::BrokenAnswer => "broken-answer",
            Self::TimedOut(_) => "timed-out",
            Self::CredentialEchoed => "credential-echoed",
            Self::TooLarge => "response-too-large",
        }
    }

    /// Whether another endpoint may serve what this one did not. What is wrong with the request is wrong everywhere.
    pub(crate) const fn is_the_endpoints(&self) -> bool {
        match self {
            Self::Credential
            | Self::CredentialEchoed
            | Self::Connection(_)
            | Self::PrivateAddress
            | Self::Unavailable { .. }
            | Self::BrokenAnswer
            | Self::TimedOut(_) => true,
            Self::Refused(status) => !Self::is_the_requests(*status),
            Self::NoUrl
            | Self::BadRequest(_)
            | Self::NoCredential
            | Self::CredentialUnused
            | Self::Authority
            | Self::TooLarge => false,
        }
    }

    /// Whether the same endpoint may serve it a moment later.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Unavailable { .. })
    }

    /// Whether a client may try the same request again by itself, as it would with the endpoint's own API.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Connection(_)
            | Self::Unavailable { .. }
            | Self::BrokenAnswer
            | Self::TimedOut(_) => true,
            Self::NoUrl
            | Self::BadRequest(_)
            | Self::NoCredential
            | Self::CredentialUnused
            | Self::Credential
            | Self::Authority
            | Self::PrivateAddress
            | Self::Refused(_)
            | Self::CredentialEchoed
            | Self::TooLarge => false,
        }
    }

    /// For how long it wants to be left alone, if it said so.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::NoUrl
            | Self::BadRequest(_)
            | Self::NoCredential
            | Self::CredentialUnused
            | Self::Credential
            | Self::Authority
            | Self::Connection(_)
            | Self::PrivateAddress
            | Self::Refused(_)
            | Self::BrokenAnswer
            | Self::TimedOut(_)
            | Self::CredentialEchoed
            | Self::TooLarge => None,
        }
    }

    /// Whole seconds, from 1 to 60, after which a client may ask again, where the endpoint is busy or said so.
    pub(crate) fn seconds_to_wait(&self) -> Option<u64> {
        let Self::Unavailable {
            status,
            retry_after,
        } = self
        else {
            return None;
        };
        let wish = retry_after.map(|wish| {
            let rounded_up = wish.min(LONGEST_WAIT) + Duration::from_millis(999);
            rounded_up.as_secs().max(1)
        });
        wish.or_else(|| Self::is_busy(*status).then_some(1))
    }

    /// Whether the status says that too much is asked, of this gateway or of the endpoint as a whole. 529 is Anthropic's.
    pub(crate) const fn is_busy(status: u16) -> bool {
        matches!(status, 429 | 503 | 529)
    }

    /// Whether the status says that this request is at fault, and not who sends it or where to.
    pub(crate) const fn is_the_requests(status: u16) -> bool {
        matches!(status, 400 | 413 | 422)
    }

    /// What an endpoint has done by it, for the caller.
    pub(crate) const fn told(&self) -> &'static str {
        match self {
            Self::Unavailable { status, .. } if Self::is_busy(*status) => {
                "has too much to do; try again"
            }
            Self::Refused(status) if Self::is_the_requests(*status) => {
                "refused the request as it stands: it may be too long for the model, or ask for what that does not offer"
            }
            Self::Refused(_) => "does not serve this gateway; the operator's log says why",
            Self::NoUrl
            | Self::BadRequest(_)
            | Self::NoCredential
            | Self::CredentialUnused
            | Self::Credential
            | Self::Authority
            | Self::Connection(_)
            | Self::PrivateAddress
            | Self::Unavailable { .. }
            | Self::BrokenAnswer
            | Self::TimedOut(_)
            | Self::CredentialEchoed
            | Self::TooLarge => "did not answer",
        }
    }
}

/// A request that is complete but for its credential: what the log says will be sent.
pub(crate) struct Outgoing {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    timeout: Duration,
    answer_time: Duration,
    upstream: String,
    /// For the secrets among the headers.
    watch: Watch,
}

impl Outgoing {
    /// Checks a plugin's request against where it is to go. The path is joined to that of the server; host and scheme are
    /// the server's alone.
    pub(crate) fn new(request: HttpRequest, upstream: &Upstream) -> Result<Self, EgressError> {
        let HttpRequest {
            method,
            path,
            headers,
            body,
            credential,
        } = request;
        let method = match method.as_str() {
            "POST" => Method::POST,
            "GET" => Method::GET,
            "PUT" => Method::PUT,
            _ => return Err(EgressError::BadRequest("method")),
        };
        let plain = path.starts_with('/')
            && !path.starts_with("//")
            && !path.to_ascii_lowercase().replace("%2e", ".").contains("..")
            && path
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'\\'));
        if !plain {
            return Err(EgressError::BadRequest("path"));
        }
        let uri = upstream
            .url
            .join(&path)
            .parse()
            .map_err(|_| EgressError::BadRequest("path"))?;
        let mut checked = Vec::with_capacity(headers.len() + 1);
        for (name, value) in headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| EgressError::BadRequest("header name"))?;
            // The host owns these: framing, addressing, the connection, what is done to the response on its way and identity
            // are not a plugin's to set, but a signature is.
            let is_signature = upstream.aws_sigv4.is_some() && name == "authorization";
            let owned = [
                "host",
                "content-length",
                "transfer-encoding",
                "connection",
                "keep-alive",
                "proxy-connection",
                "te",
                "trailer",
                "upgrade",
                "expect",
                "accept-encoding",
                "range",
                "if-range",
                "authorization",
                "proxy-authorization",
                "x-api-key",
                "api-key",
                "x-goog-api-key",
                "cookie",
                SESSION_TOKEN,
            ];
            let credential = upstream.credential.as_ref();
            let is_credential =
                credential.is_some_and(|credential| name == credential.header.as_str());
            if (owned.contains(&name.as_str()) || is_credential) && !is_signature {
                return Err(EgressError::BadRequest("header: it is the host's to set"));
            }
            checked.push((
                name,
                value
                    .parse()
                    .map_err(|_| EgressError::BadRequest("header value"))?,
            ));
        }
        let mut watch = Watch::default();
        if let Some(token) = upstream
            .aws_sigv4
            .as_ref()
            .and_then(|key| key.session_token.as_ref())
        {
            let value = secret_value("", token, &mut watch)?;
            checked.push((HeaderName::from_static(SESSION_TOKEN), value));
        }
        // Without the operator's credential the text would go under somebody else's account, or nobody's.
        if credential.is_none() && upstream.credential.is_some() {
            return Err(EgressError::CredentialUnused);
        }
        if let Some(wanted) = credential {
            let credential = upstream
                .credential
                .as_ref()
                .filter(|credential| credential.name == wanted);
            let credential = credential.ok_or(EgressError::NoCredential)?;
            let value = secret_value(&credential.prefix, &credential.secret, &mut watch)?;
            let name = credential
                .header
                .parse()
                .map_err(|_| EgressError::Credential)?;
            checked.push((name, value));
        }
        Ok(Self {
            method,
            uri,
            headers: checked,
            body: Bytes::from_owner(Leaving(Phi::new(body))),
            timeout: upstream.timeout,
            answer_time: upstream.answer_time,
            upstream: upstream.name.clone(),
            watch,
        })
    }

    /// Method, for the log.
    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Path and query, for the log.
    pub(crate) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Exactly the bytes of the body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Bytes on their way out, overwritten once they were written.
pub(crate) struct Leaving<T: Zeroize>(pub(crate) Phi<T>);

impl<T: AsRef<[u8]> + Zeroize> AsRef<[u8]> for Leaving<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_ref()
    }
}

/// What goes with a temporary access key of AWS. It is no part of the signature, for whoever signs does not see it.
const SESSION_TOKEN: &str = "x-amz-security-token";

/// A header's value with a secret, for which `watch` looks from now on.
fn secret_value(
    prefix: &str,
    secret: &SecretRef,
    watch: &mut Watch,
) -> Result<HeaderValue, EgressError> {
    let secret = secret.resolve().map_err(|_| EgressError::Credential)?;
    watch.add(&secret);
    let text = Phi::new(format!("{prefix}{}", secret.expose()));
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| EgressError::Credential)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A response as it arrives.
pub(crate) struct Arriving {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers in text, names in lower case; those that are no text, or hold the request's credential, are left out.
    pub(crate) headers: Vec<(String, String)>,
    /// What was waited for before anything was made of the response: bytes, or its end.
    first: Option<Option<Bytes>>,
    body: Incoming,
    watch: Watch,
    taken: usize,
    pieces: usize,
    patience: Patience,
}

/// How long an exchange is waited for.
struct Patience {
    /// For its next piece.
    silence: Duration,
    /// For all of it.
    whole: Duration,
    began: tokio::time::Instant,
}

impl Patience {
    /// Waits for what is next, but not for longer than it may be silent, nor beyond the end of its time.
    async fn wait<F: Future>(&self, next: F) -> Result<F::Output, EgressError> {
        let left = self.whole.saturating_sub(self.began.elapsed());
        let (most, why) = match left < self.silence {
            true => (left, self.whole),
            false => (self.silence, self.silence),
        };
        let waited = tokio::time::timeout(most, next).await;
        waited.map_err(|_| EgressError::TimedOut(why))
    }
}

impl Egress {
    /// A client for each server, by its name. Reads the certificates that they name.
    pub(crate) fn new<'u>(
        upstreams: impl IntoIterator<Item = &'u Upstream>,
    ) -> Result<Self, TlsError> {
        let mut diallers = BTreeMap::new();
        for upstream in upstreams {
            let way = Way {
                tls: upstream.tls.clone(),
                allows_private: upstream.allows_private,
            };
            let identity = way.tls.identity.iter();
            let identity = identity.flat_map(|(certificate, key)| [certificate, key]);
            let paths = identity.chain(&way.tls.authorities).cloned().collect();
            let dialler = Watched::open(way, paths, "certificate for an endpoint", dialler)?;
            diallers.insert(upstream.name.clone(), dialler);
        }
        Ok(Self { diallers })
    }

    /// Sends `outgoing`, which the entry `recorded` describes, and gives the response once its head is there.
    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        recorded: Recorded,
    ) -> Result<Arriving, EgressError> {
        let _proof = recorded;
        let Outgoing {
            method,
            uri,
            headers,
            body,
            timeout,
            answer_time,
            upstream,
            watch,
        } = outgoing;
        let dialler = self.diallers.get(&upstream).ok_or(EgressError::NoUrl)?;
        dialler.refresh();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().extend(headers);
        let patience = Patience {
            silence: timeout,
            whole: answer_time,
            began: tokio::time::Instant::now(),
        };
        let response = patience.wait(dialler.now().request(request)).await?;
        let response: Response<Incoming> = response.map_err(|error| not_answered(&error))?;
        let (head, body) = response.into_parts();
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = head.headers.iter().filter_map(text);
        let headers = headers.filter(|(_, value)| !watch.is_in(value)).collect();
        Ok(Arriving {
            status: head.status.as_u16(),
            headers,
            first: None,
            body,
            watch,
            taken: 0,
            pieces: 0,
            patience,
        })
    }
}

/// A public document that the configuration leads to, such as a provider's keys. The question for it holds nothing of any
/// request and takes no credential along, so no entry speaks of it.
pub(crate) struct Document<'d> {
    pub(crate) url: &'d str,
    /// Roots to trust in place of the web's, in PEM; read each time.
    pub(crate) authority: Option<&'d Path>,
    /// Whether it may be at an address that is not public.
    pub(crate) allows_private: bool,
}

impl Document<'_> {
    /// Gets it, by one request to exactly that place.
    pub(crate) async fn get(&self) -> Result<Vec<u8>, EgressError> {
        let request = Request::get(self.url)
            .header("accept", "application/json")
            .body(Full::default())
            .map_err(|_| EgressError::BadRequest("URL"))?;
        match exchange(request, self.authority, self.allows_private).await? {
            (200, body) => Ok(body),
            _ => Err(EgressError::Connection(
                "answered by another status than 200",
            )),
        }
    }
}

/// One exchange of the program itself, of which no entry speaks: it holds nothing of any request. Gives status and body.
pub(crate) async fn exchange(
    request: Request<Full<Bytes>>,
    authority: Option<&Path>,
    allows_private: bool,
) -> Result<(u16, Vec<u8>), EgressError> {
    /// Bytes of an answer.
    const LARGEST: usize = 512 << 10;
    /// From dialling to the last byte.
    const TIME: Duration = Duration::from_secs(10);
    let host = request.uri().host().unwrap_or_default();
    let literal: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    if literal.is_ok_and(|address| !(allows_private || is_public(address))) {
        return Err(EgressError::PrivateAddress);
    }
    let tls = UpstreamTls {
        authorities: authority.map(Path::to_owned),
        identity: None,
        allows_1_2: true,
    };
    let client = dialler(&Way {
        tls,
        allows_private,
    });
    let client = client.map_err(|_| EgressError::Authority)?;
    let whole = async {
        let response = client.request(request).await;
        let response = response.map_err(|error| not_answered(&error))?;
        let status = response.status().as_u16();
        let body = http_body_util::Limited::new(response.into_body(), LARGEST);
        let body = body.collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                EgressError::TooLarge
            } else {
                EgressError::Connection("broken within the answer")
            }
        })?;
        Ok((status, body.to_bytes().to_vec()))
    };
    let whole = tokio::time::timeout(TIME, whole).await;
    whole.map_err(|_| EgressError::TimedOut(TIME))?
}

fn dialler(way: &Way) -> Result<Dialler, TlsError> {
    let http = connector(way);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(crate::tls::of_client(&way.tls)?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(20))
        .retry_canceled_requests(false)
        .build(https))
}

fn connector(way: &Way) -> HttpConnector<Resolver> {
    let mut http = HttpConnector::new_with_resolver(Resolver {
        allows_private: way.allows_private,
    });
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_secs(10)));
    http
}

fn not_answered(error: &hyper_util::client::legacy::Error) -> EgressError {
    if is_not_public(error) {
        return EgressError::PrivateAddress;
    }
    EgressError::Connection(if error.is_connect() {
        "could not connect"
    } else {
        "broken before the answer"
    })
}

fn is_not_public(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<NotPublic>())
}

impl Arriving {
    /// Why there is no answer, if the status says that there is none.
    pub(crate) fn refusal(&self) -> Option<EgressError> {
        match self.status {
            200..=299 => None,
            408 | 429 | 500..=599 => Some(EgressError::Unavailable {
                status: self.status,
                retry_after: self.retry_after(),
            }),
            status => Some(EgressError::Refused(status)),
        }
    }

    /// For how long it wants to be left alone, where it says so: in milliseconds, as Azure does beside the header of RFC 9110
    /// §10.2.3, or in seconds.
    fn retry_after(&self) -> Option<Duration> {
        let header = |wanted: &str| -> Option<u64> {
            let named = self.headers.iter().find(|(name, _)| name == wanted);
            named.and_then(|(_, value)| value.trim().parse().ok())
        };
        let millis = header("retry-after-ms").map(Duration::from_millis);
        millis.or_else(|| header("retry-after").map(Duration::from_secs))
    }

    /// Adds to `came` what the endpoint says beside a status that is no answer, in pieces: its beginning, if it is long or
    /// slow to come. Where it breaks off makes no difference.
    ///
    /// # Errors
    /// [`EgressError::CredentialEchoed`].
    pub(crate) async fn explanation(&mut self, came: &mut Vec<Vec<u8>>) -> Result<(), EgressError> {
        let reading = async {
            let mut room = LARGEST_EXPLANATION;
            while room > 0 {
                match self.chunk().await {
                    Ok(Some(chunk)) => {
                        let kept = chunk.get(..room).unwrap_or(&chunk);
                        room -= kept.len();
                        came.push(kept.to_vec());
                    }
                    Err(error @ EgressError::CredentialEchoed) => return Err(error),
                    Ok(None) | Err(_) => break,
                }
            }
            Ok(())
        };
        tokio::time::timeout(EXPLANATION_TIME, reading)
            .await
            .unwrap_or(Ok(()))
    }

    /// The rest of the body, which has no more than `most` bytes.
    pub(crate) async fn rest(&mut self, most: usize) -> Result<Vec<u8>, EgressError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > most {
                return Err(EgressError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    /// Waits for the first bytes of the body, or its end.
    pub(crate) async fn begin(&mut self) -> Result<(), EgressError> {
        if self.first.is_none() {
            self.first = Some(self.chunk().await?);
        }
        Ok(())
    }

    /// The next bytes of the body, or nothing at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            let frame = self.patience.wait(self.body.frame()).await?;
            let Some(frame) = frame else {
                let rest = self.watch.rest();
                return Ok((!rest.is_empty()).then_some(rest));
            };
            let frame = frame.map_err(|_| EgressError::Connection("broken within the answer"))?;
            if let Ok(bytes) = frame.into_data() {
                self.taken = self.taken.saturating_add(bytes.len());
                self.pieces += 1;
                if self.taken > LARGEST_RESPONSE || self.pieces > MOST_PIECES {
                    return Err(EgressError::TooLarge);
                }
                let passed = self.watch.pass(bytes);
                let passed = passed.map_err(|echo::Echoed| EgressError::CredentialEchoed)?;
                if !passed.is_empty() {
                    return Ok(Some(passed));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
