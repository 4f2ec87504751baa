//! A connector whose request tries to go where it should not, or to carry what is not its to set. Which way it tries is the
//! text that it is asked with.

use nephron_sdk::connector::{
    ChatCall, Connector, HttpRequest, NoDecoder, Part, Plan, RequestInfo,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Points elsewhere.
pub struct Misdirects;

impl Plugin for Misdirects {
    type Settings = NoSettings;
    const NAME: &str = "misdirects";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for Misdirects {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let way: String = parts
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Json(_) | Part::Blob(_) => None,
            })
            .collect();
        let plain = HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: vec![],
            body: b"{}".to_vec(),
            credential: Some("ward".to_owned()),
        };
        let unknown = || Error::InvalidInput("no such way".to_owned());
        request(&way, &plain).map(Plan::Call).ok_or_else(unknown)
    }
}

/// What a request becomes in one way.
fn request(way: &str, plain: &HttpRequest) -> Option<HttpRequest> {
    let path = |path: &str| HttpRequest {
        path: path.to_owned(),
        ..plain.clone()
    };
    let method = |method: &str| HttpRequest {
        method: method.to_owned(),
        ..plain.clone()
    };
    let header = |name: &str, value: &str| HttpRequest {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..plain.clone()
    };
    let credential = |credential: Option<&str>| HttpRequest {
        credential: credential.map(str::to_owned),
        ..plain.clone()
    };
    Some(match way {
        "plainly" => plain.clone(),
        "to another host" => path("//elsewhere.example/v1"),
        "to another scheme" => path("https://elsewhere.example/v1"),
        "behind the host" => path("@elsewhere.example/v1"),
        "nowhere" => path(""),
        "up" => path("/v1/../admin"),
        "up in disguise" => path("/v1/%2e%2E/admin"),
        "by a backslash" => path("/\\elsewhere.example"),
        "past a fragment" => path("/v1#chat"),
        "with a second request in the path" => {
            path("/v1 HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n")
        }
        "with another host's name in letters" => path("/v1/\u{ff0f}elsewhere.example"),
        "through a tunnel" => method("CONNECT"),
        "to delete" => method("DELETE"),
        "with a second request in the method" => method("GET / HTTP/1.1\r\n\r\nPOST"),
        "with a line break in a value" => header("x-ward", "7\r\nhost: elsewhere.example"),
        "with a bare line feed in a value" => header("x-ward", "7\nhost: elsewhere.example"),
        "with a zero in a value" => header("x-ward", "7\0"),
        "with a line break in a name" => header("x-ward: 7\r\nhost", "elsewhere.example"),
        "with a pseudo-header" => header(":authority", "elsewhere.example"),
        "with its own host" => header("Host", "elsewhere.example"),
        "with its own length" => header("content-length", "0"),
        "with its own framing" => header("Transfer-Encoding", "chunked"),
        "with an upgrade" => header("upgrade", "h2c"),
        "with its own account" => header("Authorization", "Bearer of-somebody-else"),
        "with its own key" => header("x-api-key", "of-somebody-else"),
        "with a cookie" => header("cookie", "session=of-somebody-else"),
        "with another's credential" => credential(Some("another")),
        "without the credential" => credential(None),
        _ => return None,
    })
}

nephron_sdk::export!(connector: Misdirects);
