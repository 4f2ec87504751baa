//! A gateway that listens, and a client that says exactly what it is told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use nephron_gateway::config::Config;
use nephron_gateway::serve::{ServeError, Server};
use nephron_keys::{ApiKey, TenantKeys};
use nephron_model::FixedClock;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::{Rig, Setup};

/// A gateway on loopback.
pub struct Served {
    /// The base of its addresses.
    pub url: String,
    /// A physician at St Mary's, for treatment (and nothing else).
    pub physician: String,
    /// A key of the same whose time is over.
    pub expired: String,
    /// A physician at Lakeside.
    pub lakeside: String,
    /// St Mary's keys.
    pub keys: TenantKeys,
    /// Its clock.
    pub clock: Arc<FixedClock>,
    address: SocketAddr,
    status: Option<SocketAddr>,
    setup: Setup,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<Result<(), ServeError>>,
}

/// What came back.
pub struct Received {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body's text.
    pub text: String,
}

impl Received {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Setup {
    /// Serves, with `listen` (TOML) added to `[listen]`.
    pub async fn serve(self, listen: &str) -> Served {
        let drawn = || ApiKey::draw().expect("a key");
        let keys = [drawn(), drawn(), drawn()];
        let entry = |id: &str, key: &ApiKey, tenant: &str, expires: &str| {
            format!(
                "[[api-key]]\nid = \"{id}\"\ndigest = \"{}\"\ntenant = \"{tenant}\"\ncaller = \"dr.okafor\"\n\
                 roles = [\"physician\"]\npurposes = [\"TREAT\"]\nexpires = {expires}\n",
                key.digest()
            )
        };
        let [physician, expired, lakeside] = &keys;
        let toml = [
            entry("physician", physician, "st-marys", "2030-01-01"),
            entry("expired", expired, "st-marys", "2026-01-01"),
            entry("lakeside", lakeside, "lakeside", "2030-01-01"),
            "[[route]]\nmodel = \"clinical\"\nendpoint = \"there\"\nupstream-model = \"mock\"\n"
                .to_owned(),
            format!("[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n"),
        ];
        let setup = self.and(&toml.concat());
        let folder = tempfile::tempdir().expect("a scratch folder");
        let keys = keys.map(|key| key.reveal().to_owned());
        Served::start(setup, folder, keys).await
    }
}

impl Served {
    async fn start(setup: Setup, folder: TempDir, api_keys: [String; 3]) -> Self {
        let rig = setup.open_in(folder).await.expect("the gateway opens");
        let keys = rig.tenant().keys().clone();
        let config: Config = setup.config();
        let listen = config.listen.as_ref().expect("a listener");
        let Rig {
            folder,
            gateway,
            clock,
        } = rig;
        let server = Server::bind(gateway, listen, config.status)
            .await
            .expect("it listens");
        let (stop, stopped) = oneshot::channel();
        let (url, address) = (server.url(), server.address());
        let status = server.status_address();
        let running = tokio::spawn(server.run(async {
            let _stop = stopped.await;
        }));
        let [physician, expired, lakeside] = api_keys;
        Self {
            url,
            physician,
            expired,
            lakeside,
            keys,
            clock,
            address,
            status,
            setup,
            folder,
            stop,
            running,
        }
    }

    /// The configuration that it was started with, as a file of its own beside the data.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it, and serves the same data again.
    pub async fn restarted(self) -> Self {
        self.restarted_after(|_| ()).await
    }

    /// The same, after `change` was done to the data folder.
    pub async fn restarted_after(self, change: impl FnOnce(&Path)) -> Self {
        let api_keys = [&self.physician, &self.expired, &self.lakeside].map(Clone::clone);
        let stopping = self.stop();
        let stopped = stopping.running.await.expect("no panic");
        stopped.expect("it stops cleanly");
        change(stopping.folder.path());
        Self::start(stopping.setup, stopping.folder, api_keys).await
    }

    /// Sends a chat request as the physician, and waits for the whole answer.
    pub async fn chat(&self, body: &serde_json::Value) -> Received {
        let key = self.physician.clone();
        self.post(Some(&key), &[], &body.to_string()).await
    }

    /// Sends a chat request with exactly this key, these headers and this body.
    pub async fn post(&self, key: Option<&str>, headers: &[(&str, &str)], body: &str) -> Received {
        self.post_to("/v1/chat/completions", key, headers, body)
            .await
    }

    /// The same to another path.
    pub async fn post_to(
        &self,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Received {
        let request = self.request(Method::POST, path, key, headers, body);
        whole(self.send(request).await).await
    }

    /// Gets a path as the physician.
    pub async fn get(&self, path: &str) -> Received {
        self.get_with(path, &[]).await
    }

    /// The same with these headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Received {
        let request = self.request(Method::GET, path, Some(&self.physician), headers, "");
        whole(self.send(request).await).await
    }

    /// Asks for anything with this key.
    pub async fn call(&self, method: Method, path: &str, key: &str, body: &str) -> Received {
        let request = self.request(method, path, Some(key), &[], body);
        whole(self.send(request).await).await
    }

    /// Begins a chat request; the answer is read piece by piece, and dropping it hangs up.
    pub async fn begin(&self, body: serde_json::Value) -> Response<Incoming> {
        let key = self.physician.clone();
        let path = "/v1/chat/completions";
        let request = self.request(Method::POST, path, Some(&key), &[], &body.to_string());
        self.send(request).await
    }

    /// Gets a path of the listener for operators, which `[status]` configured.
    pub async fn status(&self, path: &str) -> Received {
        let address = self.status.expect("a listener for operators");
        let request = self.request(Method::GET, path, None, &[], "");
        let stream = TcpStream::connect(address).await.expect("it accepts");
        whole(exchange(stream, request).await).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a request")
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        exchange(self.connect().await, request).await
    }

    /// A bare connection, for what no client would send.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it accepts")
    }

    /// Tells it to stop, without waiting.
    pub fn stop(self) -> Stopping {
        let _sent = self.stop.send(());
        Stopping {
            setup: self.setup,
            folder: self.folder,
            running: self.running,
        }
    }

    /// Stops it and opens its data again.
    pub async fn reopened(self) -> Rig {
        self.stop().reopened().await
    }
}

/// A gateway that was told to stop.
pub struct Stopping {
    setup: Setup,
    folder: TempDir,
    running: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl Stopping {
    /// Waits until it has stopped cleanly, and opens its data again.
    pub async fn reopened(self) -> Rig {
        let stopped = self.running.await.expect("no panic");
        stopped.expect("it stops cleanly");
        let rig = self.setup.open_in(self.folder).await;
        rig.expect("the gateway opens again")
    }
}

async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("a response")
}

async fn whole(response: Response<Incoming>) -> Received {
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Received {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).expect("text"),
    }
}
