//! A connector that encodes as it should, and traps when it is to sign that.

use nephron_sdk::connector::{
    ChatCall, Connector, HttpRequest, NoDecoder, Part, Plan, RequestInfo,
};
use nephron_sdk::signer::{Key, Signer};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Gives up on signatures.
pub struct TrapsSigning;

impl Plugin for TrapsSigning {
    type Settings = NoSettings;
    const NAME: &str = "traps-signing";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for TrapsSigning {
    type Decoder = NoDecoder;

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

impl Signer for TrapsSigning {
    #[expect(clippy::panic, reason = "that is what it is for")]
    fn sign(
        &self,
        _: RequestInfo,
        _: HttpRequest,
        _: String,
        _: &Key,
    ) -> Result<HttpRequest, Error> {
        panic!("it gives up")
    }
}

nephron_sdk::export!(signer: TrapsSigning);
