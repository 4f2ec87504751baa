//! A real provider of OpenID Connect, on loopback.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The `oidc-provider` of the npm registry, started by `tests/sdk/oidc_provider.mjs`, which has its clients.
pub struct IdentityProvider {
    issuer: String,
    /// Where it is reached without TLS.
    address: String,
    process: Child,
}

impl IdentityProvider {
    /// Starts it; it ends when this is dropped.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, reached by TLS with this certificate for `localhost` and its key (files in PEM).
    #[must_use]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::start_with(&[("TLS_CERTIFICATE", certificate), ("TLS_KEY", key)])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut process = crate::sdk::node("oidc_provider.mjs")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("its output");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("a line of text");
        let (issuer, address) = line.trim().split_once(' ').expect("name and address");
        Self {
            issuer: issuer.to_owned(),
            address: address.to_owned(),
            process,
        }
    }

    /// An access token for an invented person who logs in with a password, and a one-time password or none.
    pub async fn log_in(&self, one_time_password: &str) -> String {
        let (issuer, otp) = (self.issuer.clone(), one_time_password.to_owned());
        let logging_in = tokio::task::spawn_blocking(move || {
            let environment = [
                ("ISSUER", issuer.as_str()),
                ("ACCOUNT", "n.bellweather"),
                ("PASSWORD", "correct horse"),
                ("OTP", &otp),
            ];
            crate::sdk("oidc_login.mjs", &environment)
        });
        let token = logging_in.await.expect("no panic");
        token.trim().to_owned()
    }

    /// Its name, which is its address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// An access token for one of its clients, by a connection with this certificate (PEM).
    pub async fn token(&self, client: &str, certificate: Option<&str>) -> String {
        let form = format!("grant_type=client_credentials&client_id={client}&client_secret=secret");
        let certificate = certificate.unwrap_or_default().replace('\n', "%0A");
        let answer = self.post("/token", &form, &certificate).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let token = answer["access_token"].as_str();
        assert!(token.is_some(), "no token: {answer}");
        token.unwrap_or_default().to_owned()
    }

    /// What no provider would sign, signed by `own` key for ES256, by a `stranger`, by the `public` key, or by `none`.
    pub async fn forge(&self, header: &Value, claims: &Value, key: &str) -> String {
        let body = serde_json::json!({ "header": header, "claims": claims, "key": key });
        self.post("/test/forge", &body.to_string(), "").await
    }

    /// Takes new keys.
    pub async fn rotate(&self) {
        let _body = self.post("/test/rotate", "", "").await;
    }

    /// The name of its key for ES256.
    pub async fn kid(&self) -> String {
        self.post("/test/kid", "", "").await
    }

    async fn post(&self, path: &str, body: &str, certificate: &str) -> String {
        let address = self.address.as_str();
        let stream = TcpStream::connect(address).await.expect("it accepts");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("a connection");
        tokio::spawn(connection);
        let request = Request::post(path)
            .header("host", address)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-client-certificate", certificate)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a request");
        let response = sender.send_request(request).await.expect("a response");
        let body = response.into_body().collect().await.expect("a body");
        String::from_utf8(body.to_bytes().to_vec()).expect("text")
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        // It ends with its input, too.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
