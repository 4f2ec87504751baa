//! A connector that encodes as it should, and traps at the first bytes of whatever comes back.

use nephron_sdk::connector::{
    ChatCall, Connector, Decode, Event, HttpRequest, Part, Plan, RequestInfo,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Gives up on answers.
pub struct TrapsDecoding;

impl Plugin for TrapsDecoding {
    type Settings = NoSettings;
    const NAME: &str = "traps-decoding";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for TrapsDecoding {
    type Decoder = Trap;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let parts = call.messages.into_iter().flat_map(|message| message.parts);
        let texts = parts.map(|part| match part {
            Part::Text(text) | Part::Json(text) => text,
            Part::Blob(_) => String::new(),
        });
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![],
            body: texts.collect::<String>().into_bytes(),
            credential: None,
        }))
    }
}

/// Gives up.
pub struct Trap;

impl Decode for Trap {
    fn new(_: u16, _: Vec<(String, String)>) -> Self {
        Self
    }

    #[expect(clippy::panic, reason = "that is what it is for")]
    fn push(&mut self, _: &[u8]) -> Result<Vec<Event>, Error> {
        panic!("it gives up")
    }

    fn finish(self) -> Result<Vec<Event>, Error> {
        Ok(vec![])
    }
}

nephron_sdk::export!(connector: TrapsDecoding);
