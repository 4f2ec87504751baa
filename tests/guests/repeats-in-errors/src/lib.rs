//! A connector that says `ping` and refuses every other text, which it repeats in the error, in capitals.

use nephron_sdk::connector::{
    ChatCall, Connector, HttpRequest, NoDecoder, Part, Plan, RequestInfo,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Tells what it did not like.
pub struct RepeatsInErrors;

impl Plugin for RepeatsInErrors {
    type Settings = NoSettings;
    const NAME: &str = "repeats-in-errors";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for RepeatsInErrors {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let text: String = parts
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Json(_) | Part::Blob(_) => None,
            })
            .collect();
        if text != "ping" {
            let text = text.to_uppercase();
            return Err(Error::InvalidInput(format!("cannot say: {text}")));
        }
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![],
            body: b"{}".to_vec(),
            credential: None,
        }))
    }
}

nephron_sdk::export!(connector: RepeatsInErrors);
