//! What providers that are services have in common: requests that somebody else sends, and secrets read when they are used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_model::Phi;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::root::{RootError, refused};
use crate::secret::Key;

/// Sends requests to one service and brings its answers. It knows where that is, and owns TLS and the time allowed.
pub trait Exchange: Send + Sync {
    /// The service's authority, as the header `host` names it.
    fn authority(&self) -> &str;

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// Why there is none, for people; it never holds what was sent.
    fn exchange(&self, request: WireRequest) -> Result<WireAnswer, String>;
}

/// A request to a service.
pub struct WireRequest {
    /// GET, POST or DELETE.
    pub method: &'static str,
    /// The path, from the service's root.
    pub path: String,
    /// Headers, lower-case, but for `host` and `content-length`; their values may be secret.
    pub headers: Vec<(&'static str, Phi<String>)>,
    /// The body; it may hold a key.
    pub body: Phi<Vec<u8>>,
}

/// What a service answered; it may hold a key.
pub struct WireAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Phi<Vec<u8>>,
}

/// Reads a secret when it is needed, so that one that is renewed elsewhere needs no restart.
pub type ReadSecret = Box<dyn Fn() -> Result<Phi<String>, String> + Send + Sync>;

impl WireAnswer {
    /// The body as JSON. A text in it that is a key is given back as [`Phi`].
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        provider: &'static str,
        what: &'static str,
    ) -> Result<T, RootError> {
        // serde's own message may quote the body, and is dropped for that.
        serde_json::from_slice(self.body.expose()).map_err(|_| RootError::Provider {
            provider,
            what,
            why: format!("it answered {} in an unknown form", self.status),
        })
    }
}

/// Text of a JSON answer that is overwritten.
pub(crate) struct Secret(pub(crate) Phi<String>);

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Phi::new(String::deserialize(deserializer)?)))
    }
}

/// The key that a service answered in base64.
pub(crate) fn key_of(answered: &Secret) -> Option<Key> {
    // As long as a decoder could want, so that it does not grow and leave a copy.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    STANDARD
        .decode_vec(answered.0.expose(), &mut bytes)
        .ok()
        .and_then(|()| Key::from_slice(&bytes))
}

/// A JSON object of texts, some of which are secret, written without a copy that nobody overwrites.
pub(crate) fn object(members: &[(&str, &str)]) -> Phi<Vec<u8>> {
    // Each byte may be escaped by six.
    let longest = members
        .iter()
        .map(|(name, text)| (name.len() + text.len()) * 6 + 6);
    let longest = longest.sum::<usize>() + 2;
    let mut body = Zeroizing::new(Vec::with_capacity(longest));
    body.push(b'{');
    for (at, (name, text)) in members.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        quote(name, &mut body);
        body.push(b':');
        quote(text, &mut body);
    }
    body.push(b'}');
    Phi::new(std::mem::take(&mut *body))
}

/// A JSON string (RFC 8259 §7).
fn quote(text: &str, body: &mut Vec<u8>) {
    body.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => body.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => body.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => body.push(byte),
        }
    }
    body.push(b'"');
}

/// A good answer that is not the expected one.
pub(crate) fn unlike(provider: &'static str, what: &'static str) -> RootError {
    refused(
        provider,
        what,
        "it answered 200 in an unknown form".to_owned(),
    )
}

/// What a service says of a refusal, made fit for a line: its own words could be anything.
pub(crate) fn said(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(200).collect()
}

#[cfg(test)]
pub(crate) mod script;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_whatever_its_texts_hold() {
        let odd = "a \"quoted\" \\ line\n\u{1}é";
        let text = object(&[("name", odd), (odd, "")]);
        let read: serde_json::Value = serde_json::from_slice(text.expose()).unwrap();
        assert_eq!(read, serde_json::json!({ "name": odd, odd: "" }));
        assert_eq!(object(&[]).expose(), b"{}");
    }

    #[test]
    fn a_key_is_32_bytes_or_none() {
        let key = |text: &str| key_of(&Secret(Phi::new(text.to_owned())));
        let good = STANDARD.encode([7; 32]);
        assert_eq!(key(&good).unwrap().bytes(), &[7; 32]);
        for bad in ["", "AAAA", "no base64!", &STANDARD.encode([7; 33])] {
            assert!(key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_a_service_says_fits_a_line() {
        assert_eq!(said("two\nlines\u{1b}[2J"), "twolines[2J");
        assert_eq!(said(&"x".repeat(1_000)).len(), 200);
    }
}
