//! The listener for operators: `/metrics` for Prometheus, and `/status`, which says in one look what serves and how it
//! stands. It is apart from the data plane, so that neither can be reached through the other, and it changes nothing.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nephron_audit::view::ViewStanding;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::associates::Alert;
use crate::chain::export::ExportState;
use crate::config::Trust;
use crate::http::Service;
use crate::metrics::OPEN_METRICS;

/// Tenants that are named of one export.
const SHOWN: usize = 100;
/// Connections at the same time: those of a scraper or two, and of somebody who looks.
const CONNECTIONS: usize = 32;
/// For the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Answers until the service has gone.
pub(crate) async fn serve(listener: TcpListener, service: Weak<Service>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut talks = tokio::task::JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = talks.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = Weak::clone(&service);
                talks.spawn(async move {
                    let _place = place;
                    converse(stream, service).await;
                });
            }
            Err(error) => {
                warn!(%error, "a connection for the status could not be accepted");
                // Out of file descriptors, most likely: one is given back when a talk ends.
                let _one_fewer = talks.join_next().await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, service: Weak<Service>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let service = service.upgrade();
        async move { Ok::<_, Infallible>(react(&request, service.as_deref())) }
    });
    let talk = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = talk.await {
        debug!(%error, "a connection for the status ended badly");
    }
}

fn react(request: &Request<Incoming>, service: Option<&Service>) -> Response<Full<Bytes>> {
    let Some(service) = service else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    };
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            typed(StatusCode::OK, OPEN_METRICS, service.metrics_text())
        }
        ("/status", &Method::GET | &Method::HEAD) => {
            let body = service.status().to_string();
            typed(StatusCode::OK, "application/json", body)
        }
        ("/metrics" | "/status", _) => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        _ => plain(StatusCode::NOT_FOUND, "here are /metrics and /status\n"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Service {
    fn metrics_text(&self) -> String {
        let gateway = self.gateway();
        gateway.metrics().text(
            self.tenant_states(),
            gateway.anchors().states(gateway.clock().now()),
            &gateway.export_states(),
            &gateway.alerts(),
            &gateway.swap().distrusted(gateway.clock().now()),
        )
    }

    /// What serves, and how it stands.
    fn status(&self) -> serde_json::Value {
        let gateway = self.gateway();
        let roster = gateway.roster();
        // Of rosters, too, that served their last request since the last exchange.
        gateway.forget_breakers();
        let tenants: Vec<_> = self
            .tenant_states()
            .map(|state| {
                let id = state.tenant.parse();
                let tenant = id.ok().and_then(|id| gateway.tenant(&id));
                let resting = tenant.as_ref().map(|tenant| tenant.breakers().open());
                let keys = tenant.and_then(|tenant| tenant.keys().status().ok());
                let keys = keys.map(|keys| {
                    json!({
                        "live": keys.is_live,
                        "version": keys.versions.last().map(|newest| newest.version),
                        "rewrapped": keys.progress,
                    })
                });
                json!({
                    "id": state.tenant,
                    "keys": keys,
                    "plugins-not-asked": resting.unwrap_or_default(),
                    "in-flight": state.in_flight,
                    "log": {
                        "entries": state.log_entries,
                        "stopped": state.is_log_stopped,
                        "view": state.view.map(ViewStanding::as_str),
                        "set-aside": state.set_aside,
                    },
                    "closed": state.why_closed,
                })
            })
            .collect();
        let manifest = roster.manifest();
        let distrusted = gateway.swap().distrusted(gateway.clock().now());
        let plugins = |seats: &[crate::Seat]| -> Vec<_> {
            let plugin = |seat: &crate::Seat| {
                let plugin = &seat.plugin;
                let vouched = seat.vouched.iter().map(|vouch| {
                    json!({ "role": vouch.role, "by": vouch.by, "version": vouch.version, "counter": vouch.counter, "until": vouch.until })
                });
                json!({
                    "name": plugin.name, "version": plugin.version, "digest": plugin.digest.to_string(),
                    "distrusted": distrusted.get(&plugin.name),
                    "vouched": vouched.collect::<Vec<_>>(),
                })
            };
            seats.iter().map(plugin).collect()
        };
        let agreement = |alert: &Alert| {
            json!({
                "associate": alert.associate,
                "agreement": alert.agreement,
                "standing": alert.standing.as_str(),
                "says": alert.standing.to_string(),
            })
        };
        let export = |state: &ExportState<'_>| {
            let failing = state.failing.iter().take(SHOWN);
            let failing = failing.map(|(tenant, why)| json!({ "tenant": tenant, "code": why }));
            json!({
                "name": state.name,
                "lag": state.lag,
                "oldest-seconds": state.oldest.as_secs(),
                "late": state.late.iter().take(SHOWN).collect::<Vec<_>>(),
                "failing": failing.collect::<Vec<_>>(),
                "set-aside": state.set_aside,
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.started().to_string(),
            "now": gateway.clock().now().to_string(),
            "stopping": self.is_stopping(),
            "generation": roster.generation().to_string(),
            "swap": gateway.swap().standing(),
            "trust": Trust::word(gateway.swap().trust()),
            "plugins": {
                "deciders": plugins(&manifest.deciders),
                "detectors": plugins(&manifest.detectors),
                "connectors": plugins(&manifest.connectors),
                "exporters": plugins(&manifest.exporters),
                "transformer": plugins(manifest.transformer.as_slice()),
            },
            "tenants": tenants,
            "anchors": gateway.anchors().states(gateway.clock().now()).map(|state| json!({
                "name": state.name,
                "last": state.last.map(|taken| taken.at.to_string()),
                "entries": state.last.map(|taken| taken.entries),
                "too-old": state.is_too_old,
            })).collect::<Vec<_>>(),
            "exports": gateway.export_states().iter().map(export).collect::<Vec<_>>(),
            "alerts": {
                "agreements": gateway.alerts().iter().map(agreement).collect::<Vec<_>>(),
                "emergency-accesses": gateway.emergencies().emergencies(),
            },
        })
    }
}
