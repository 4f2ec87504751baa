//! HTTP as cases write it: a request that a plugin encodes, and bytes that come back.

use base64::Engine as _;
use nephron_engine::contract::HttpRequest;
use serde::Deserialize;

use super::same;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    credential: Option<String>,
    /// The body as JSON; as lines of JSON; as text. One of them.
    body: Option<serde_json::Value>,
    lines: Option<Vec<serde_json::Value>>,
    text: Option<String>,
}

impl CaseRequest {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    pub(super) fn check(&self, request: &HttpRequest) -> Result<(), String> {
        same("method", &request.method, &self.method)?;
        same("path", &request.path, &self.path)?;
        same("headers", &request.headers, &self.headers)?;
        same("credential", &request.credential, &self.credential)?;
        let text = text(&request.body)?;
        match (&self.body, &self.lines, &self.text) {
            (Some(body), None, None) => {
                let found = serde_json::from_str(text);
                let found = found.map_err(|error| format!("body: {error}"))?;
                same("body", &found, body)
            }
            (None, Some(lines), None) => same("lines", &json_lines(text)?, lines),
            (None, None, Some(expected)) => same("text", &text, &expected.as_str()),
            _ => Err("the case itself is faulty: `body`, `lines` or `text`".to_owned()),
        }
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("body: {error}"))
}

pub(super) fn json_lines(text: &str) -> Result<Vec<serde_json::Value>, String> {
    let line = |(place, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", place + 1))
    };
    text.lines().enumerate().map(line).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub(super) enum CaseBytes {
    Text(String),
    Bytes { base64: String },
}

impl CaseBytes {
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { base64 } => base64::prelude::BASE64_STANDARD
                .decode(base64)
                .map_err(|error| format!("the case itself is faulty: {error}")),
        }
    }
}
