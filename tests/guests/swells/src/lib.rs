//! A connector whose request is a mebibyte, whatever it is asked, once the text is not `ping`.

use nephron_sdk::connector::{
    ChatCall, Connector, HttpRequest, NoDecoder, Part, Plan, RequestInfo,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Sends more than it was given.
pub struct Swells;

impl Plugin for Swells {
    type Settings = NoSettings;
    const NAME: &str = "swells";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for Swells {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let text: String = parts
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Json(_) | Part::Blob(_) => None,
            })
            .collect();
        let body = match text.as_str() {
            "ping" => b"{}".to_vec(),
            _ => vec![b' '; 1 << 20],
        };
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![],
            body,
            credential: None,
        }))
    }
}

nephron_sdk::export!(connector: Swells);
