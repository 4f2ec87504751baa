//! Connector for Amazon Bedrock's Converse API, and the signature (AWS Signature Version 4) on each of its requests.
//!
//! `body.rs` writes the request out of the call that `nephron_sdk::conversation` has read, `nephron_sdk::sigv4` signs it with the
//! key that the host lends, `eventstream.rs` cuts a stream into messages, `decode.rs` reads them. The tokens that the host puts
//! in place of identifiers pass through as any other text.

mod body;
mod decode;
mod eventstream;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use nephron_sdk::connector::{ChatCall, Connector, HttpRequest, Plan, RequestInfo};
use nephron_sdk::conversation::Unsupported;
use nephron_sdk::signer::{Key, Signer};
use nephron_sdk::{Error, Plugin, Problem, endpoint, sigv4};
use serde::Deserialize;

pub use decode::{Answer, Decoder};
pub use eventstream::{EventStream, StreamMessage};

/// What the operator sets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Model id, inference profile or ARN to ask for, whatever the caller named.
    pub model: Option<String>,
    /// Name of a credential that the host attaches: a Bedrock API key, in place of a signature.
    pub credential: Option<String>,
    /// What becomes of options that this API has no word for.
    pub unsupported_options: Unsupported,
}

/// Speaks the Converse API.
#[derive(Clone, Debug)]
pub struct Bedrock {
    settings: Settings,
}

impl Plugin for Bedrock {
    type Settings = Settings;
    const NAME: &str = "bedrock";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (model, credential) = (settings.model.as_deref(), settings.credential.as_deref());
        let problems = endpoint::problems(&[], model, credential);
        Problem::none_of(problems, Self { settings })
    }
}

impl Connector for Bedrock {
    type Decoder = Decoder;

    fn encode(&self, info: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let model = self.settings.model.as_deref().unwrap_or(&call.model);
        // The service's own limit.
        if !(1..=2048).contains(&model.len()) {
            return Err(Error::InvalidInput(
                "no model is named, or by more than 2048 bytes; name one in the call or in the settings".to_owned(),
            ));
        }
        let (operation, accept) = if call.want_stream {
            ("converse-stream", "application/vnd.amazon.eventstream")
        } else {
            ("converse", "application/json")
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: format!("/model/{}/{operation}", sigv4::escaped(model, "")),
            headers: vec![
                header("content-type", "application/json"),
                header("accept", accept),
            ],
            body: body::write(&info, &call, self.settings.unsupported_options)?,
            credential: self.settings.credential.clone(),
        }))
    }
}

impl Signer for Bedrock {
    fn sign(
        &self,
        info: RequestInfo,
        request: HttpRequest,
        host: String,
        key: &Key,
    ) -> Result<HttpRequest, Error> {
        sigv4::sign_with(request, &host, &info, sigv4::Path::EscapedAgain, key)
    }
}

nephron_sdk::export!(signer: Bedrock);
