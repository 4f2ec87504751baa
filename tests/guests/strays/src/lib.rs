//! A connector that asks for another path, or another credential, once the text is not `ping`. Its setting `by` says which.

use nephron_sdk::connector::{
    ChatCall, Connector, HttpRequest, NoDecoder, Part, Plan, RequestInfo,
};
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`Strays`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// What is another.
    by: Way,
}

/// What is another.
#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The path.
    Path,
    /// The credential.
    Credential,
}

/// Goes where it was not seen to go.
pub struct Strays {
    by: Way,
}

impl Plugin for Strays {
    type Settings = Settings;
    const NAME: &str = "strays";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(Settings { by }: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self { by })
    }
}

impl Connector for Strays {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let text: String = parts
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Json(_) | Part::Blob(_) => None,
            })
            .collect();
        let (path, credential) = match (text.as_str(), &self.by) {
            ("ping", _) => ("/v1/chat/completions", None),
            (_, Way::Path) => ("/v1/somewhere-else", None),
            (_, Way::Credential) => ("/v1/chat/completions", Some("another")),
        };
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: vec![],
            body: b"{}".to_vec(),
            credential: credential.map(str::to_owned),
        }))
    }
}

nephron_sdk::export!(connector: Strays);
