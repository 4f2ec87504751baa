//! A connector whose decoder hands over a mebibyte for every chunk that it is given: as text, or, where the chunk is `o`,
//! as the value of an event of another kind.

use nephron_sdk::connector::{
    Attribute, ChatCall, Connector, Decode, Event, HttpRequest, Plan, RequestInfo, Value,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Talks more than it hears.
pub struct FloodsEvents;

impl Plugin for FloodsEvents {
    type Settings = NoSettings;
    const NAME: &str = "floods-events";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for FloodsEvents {
    type Decoder = Flood;

    fn encode(&self, _: RequestInfo, _: ChatCall) -> Result<Plan, Error> {
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![],
            body: b"{}".to_vec(),
            credential: None,
        }))
    }
}

/// One mebibyte a chunk.
pub struct Flood;

impl Decode for Flood {
    fn new(_: u16, _: Vec<(String, String)>) -> Self {
        Self
    }

    fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, Error> {
        let text = "a".repeat(1 << 20);
        Ok(vec![match chunk {
            b"o" => Event::Other(Attribute {
                name: "more".to_owned(),
                value: Value::Text(text),
            }),
            _ => Event::Text(text),
        }])
    }

    fn finish(self) -> Result<Vec<Event>, Error> {
        Ok(vec![])
    }
}

nephron_sdk::export!(connector: FloodsEvents);
