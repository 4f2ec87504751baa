//! A connector whose decoder gives an event for every chunk that it is handed, so that what a response becomes hangs on where it was cut.

use nephron_sdk::connector::{
    Attribute, ChatCall, Connector, Decode, Event, HttpRequest, Plan, RequestInfo, Value,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Counts chunks.
pub struct MindsTheCut;

impl Plugin for MindsTheCut {
    type Settings = NoSettings;
    const NAME: &str = "minds-the-cut";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for MindsTheCut {
    type Decoder = Counter;

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

/// As many as came.
pub struct Counter(i64);

impl Decode for Counter {
    fn new(_: u16, _: Vec<(String, String)>) -> Self {
        Self(0)
    }

    fn push(&mut self, _: &[u8]) -> Result<Vec<Event>, Error> {
        self.0 += 1;
        Ok(vec![])
    }

    fn finish(self) -> Result<Vec<Event>, Error> {
        Ok(vec![Event::Other(Attribute {
            name: "chunks".to_owned(),
            value: Value::Number(self.0),
        })])
    }
}

nephron_sdk::export!(connector: MindsTheCut);
