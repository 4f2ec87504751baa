//! Connector for chat completions as OpenAI, Azure, vLLM, Ollama and llama.cpp speak them.
//!
//! `body.rs` writes the request, `decode.rs` takes the response as it arrives, `chunk.rs` reads one JSON object
//! of it. The tokens that the host puts in place of identifiers pass through
//! as any other text.

mod body;
mod chunk;
mod decode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use nephron_sdk::connector::{ChatCall, Connector, HttpRequest, Plan, RequestInfo};
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::Deserialize;

pub use chunk::Completion;
pub use decode::Decoder;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Path on the endpoint, with its query if it has one.
    pub path: String,
    /// The same for embeddings.
    pub embeddings_path: String,
    /// Model to ask for, whatever the caller named.
    pub model: Option<String>,
    /// How vectors are asked for. What comes is taken either way.
    pub embeddings_encoding: Encoding,
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// The field in which this server takes the limit of the answer's length.
    pub max_tokens_field: MaxTokensField,
    /// Whether this server takes `top_k`, as vLLM, llama.cpp and LM Studio do. OpenAI and Azure refuse it.
    pub top_k: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/v1/chat/completions".to_owned(),
            embeddings_path: "/v1/embeddings".to_owned(),
            model: None,
            embeddings_encoding: Encoding::Base64,
            credential: None,
            max_tokens_field: MaxTokensField::MaxTokens,
            top_k: false,
        }
    }
}

/// How the numbers of a vector are written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Their bytes in base64, less than half as long as their digits. OpenAI's own library asks for it, so that every server
    /// of this family takes the word.
    Base64,
    /// JSON numbers.
    Float,
}

/// How the limit of the answer's length is spelt.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// What every server of this family takes.
    MaxTokens,
    /// What OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

/// Speaks chat completions.
#[derive(Clone, Debug)]
pub struct OpenAiCompatible {
    settings: Settings,
}

impl Plugin for OpenAiCompatible {
    type Settings = Settings;
    const NAME: &str = "openai-compatible";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let problems = endpoint::problems(
            &[
                ("path", &settings.path),
                ("embeddings-path", &settings.embeddings_path),
            ],
            settings.model.as_deref(),
            settings.credential.as_deref(),
        );
        if problems.is_empty() {
            Ok(Self { settings })
        } else {
            Err(problems)
        }
    }
}

impl Connector for OpenAiCompatible {
    type Decoder = Decoder;

    fn encode(&self, info: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let is_embeddings = body::is_embeddings(&call);
        let accept = if call.want_stream && !is_embeddings {
            "text/event-stream"
        } else {
            "application/json"
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: match is_embeddings {
                true => self.settings.embeddings_path.clone(),
                false => self.settings.path.clone(),
            },
            headers: vec![
                header("content-type", "application/json"),
                header("accept", accept),
            ],
            body: match is_embeddings {
                true => body::write_embeddings(&call, &self.settings)?,
                false => body::write(&info, &call, &self.settings)?,
            },
            credential: self.settings.credential.clone(),
        }))
    }
}

nephron_sdk::export!(connector: OpenAiCompatible);
