//! Connector for Anthropic's Messages API (`anthropic-version: 2023-06-01`).
//!
//! `body.rs` writes the request out of the call that `nephron_sdk::conversation` has read, `decode.rs` takes the answer as
//! it arrives. The tokens that the host puts in place of identifiers pass through as any other text.

mod body;
mod decode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use nephron_sdk::connector::{ChatCall, Connector, HttpRequest, Plan, RequestInfo};
use nephron_sdk::conversation::Unsupported;
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::Deserialize;

pub use decode::{Answer, Decoder};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Path on the endpoint, with its query if it has one.
    pub path: String,
    /// Model to ask for, whatever the caller named.
    pub model: Option<String>,
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// The limit of the answer's length where the caller gives none: this API insists on one.
    pub max_tokens: u32,
    /// What becomes of options that this API has no word for.
    pub unsupported_options: Unsupported,
    /// Whether `temperature`, `top_p` and `top_k` are sent: the newest models refuse them.
    pub sampling: Sent,
    /// Whether `output_config.effort` and `thinking` are sent: older models refuse them.
    pub thinking: Sent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/v1/messages".to_owned(),
            model: None,
            credential: None,
            max_tokens: 4096,
            unsupported_options: Unsupported::Refuse,
            sampling: Sent::Send,
            thinking: Sent::Send,
        }
    }
}

/// What becomes of parameters that some models refuse.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// They are sent.
    Send,
    /// They are left out.
    Drop,
}

/// Speaks the Messages API.
#[derive(Clone, Debug)]
pub struct Anthropic {
    settings: Settings,
}

impl Plugin for Anthropic {
    type Settings = Settings;
    const NAME: &str = "anthropic";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = endpoint::problems(
            &[("path", &settings.path)],
            settings.model.as_deref(),
            settings.credential.as_deref(),
        );
        if settings.max_tokens == 0 {
            problems.push(Problem::at("max-tokens", "must be 1 or more"));
        }
        if problems.is_empty() {
            Ok(Self { settings })
        } else {
            Err(problems)
        }
    }
}

impl Connector for Anthropic {
    type Decoder = Decoder;

    fn encode(&self, info: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let accept = if call.want_stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: self.settings.path.clone(),
            headers: vec![
                header("content-type", "application/json"),
                header("accept", accept),
                header("anthropic-version", "2023-06-01"),
            ],
            body: body::write(&info, &call, &self.settings)?,
            credential: self.settings.credential.clone(),
        }))
    }
}

nephron_sdk::export!(connector: Anthropic);
