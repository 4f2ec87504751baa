//! A connector whose decoder hands over a mebibyte of text for every chunk that it is given.

use nephron_sdk::connector::{ChatCall, Connector, Decode, Event, HttpRequest, Plan, RequestInfo};
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

    fn push(&mut self, _: &[u8]) -> Result<Vec<Event>, Error> {
        Ok(vec![Event::Text("a".repeat(1 << 20))])
    }

    fn finish(self) -> Result<Vec<Event>, Error> {
        Ok(vec![])
    }
}

nephron_sdk::export!(connector: FloodsEvents);
