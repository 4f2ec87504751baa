//! The wire: what clients send and expect, API by API. Nothing here judges or acts; it maps bytes to a
//! [`Call`](crate::receive::Call) and replies to bytes.
//!
//! Every string of a request is one of three things, and the type says which: *scanned* (it becomes a part of the
//! messages that detectors see), *structural* ([`json::Json::Fixed`]: known, short, held to a form), or refused. A
//! fourth, the data of an image, of audio or of a document, cannot be searched ([`blob`]): with it the whole call counts as
//! identifiable.
//! [`shape`] takes the scanned strings out of a request and puts the cleared ones back in their places.
//!
//! Whatever a client speaks, a connector is handed one shape of call: OpenAI's chat. So any API reaches any endpoint.

use nephron_model::{Clock, EventId, Phi, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::config::RequestLimits;
use crate::receive::{Malformed, Received};
use crate::reply::Piece;
use crate::said::{Channel, Said};
use known::Known;
use told::{Class, Told};

pub(crate) mod blob;
mod chat;
mod embeddings;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod known;
mod messages;
mod responses;
pub(crate) mod shape;
pub(crate) mod told;
mod tools;

/// Fields that say something to OpenAI and nothing to the model: they stay here, whatever they hold.
const OPENAIS_OWN: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
];

/// An API that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Embeddings.
    Embeddings,
    /// Anthropic's Messages.
    Messages,
}

/// A request, and how it wants to be answered.
pub(crate) struct Asked {
    pub(crate) received: Received,
    pub(crate) manner: Manner,
}

/// How an answer is written.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) api: Api,
    /// The model, by the caller's word for it.
    pub(crate) model: String,
    pub(crate) is_streamed: bool,
    /// Whether a stream of chat ends with what was counted.
    pub(crate) wants_usage: bool,
    /// Whether embeddings are written as base64 and not as numbers.
    pub(crate) wants_base64: bool,
}

impl Manner {
    fn of(api: Api, model: String) -> Self {
        Self {
            api,
            model,
            is_streamed: false,
            wants_usage: false,
            wants_base64: false,
        }
    }
}

impl Api {
    /// The API whose requests are posted to `path`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/responses" => Self::Responses,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/messages" => Self::Messages,
            _ => return None,
        })
    }

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
        }
    }

    /// Reads the body of a request. Every string in it is searched, structural, kept here, or refused.
    pub(crate) fn read(
        self,
        body: &[u8],
        conversation: Option<String>,
        limits: &RequestLimits,
        clock: &dyn Clock,
    ) -> Result<Asked, Malformed> {
        crate::receive::check_size(body, limits)?;
        let mut body_fields =
            fields::Fields::of(json::Json::read(body)?, "", limits.unknown_fields)?;
        let known = Known::of_extension(&mut body_fields)?;
        let (call, manner) = match self {
            Self::Chat => chat::read(body_fields, limits)?,
            Self::Responses => responses::read(body_fields, limits)?,
            Self::Embeddings => embeddings::read(body_fields, limits)?,
            Self::Messages => messages::read(body_fields, limits)?,
        };
        Ok(Asked {
            received: Received {
                at: clock.now(),
                bytes: body.len(),
                conversation,
                known,
                sensitivity: nephron_model::Sensitivity::Phi,
                call,
            },
            manner,
        })
    }

    /// What a client of this API is told when it gets no answer.
    pub(crate) fn error(self, told: &Told) -> Value {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings => told.as_openai(),
            Self::Messages => told.as_anthropic(),
        }
    }

    /// The HTTP status of that. That an endpoint is overloaded has one of its own at Anthropic, for which its clients look.
    pub(crate) fn status(self, told: &Told) -> u16 {
        match (self, told.class) {
            (Self::Messages, Class::Overloaded) => 529,
            (Self::Messages | Self::Chat | Self::Responses | Self::Embeddings, _) => told.status,
        }
    }

    /// One model, as `/v1/models/{id}` gives it.
    pub(crate) fn model(self, id: &str, owner: Option<&str>) -> Value {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings => chat::model_entry(id, owner),
            Self::Messages => messages::model_entry(id),
        }
    }

    /// All models, as `/v1/models` gives them.
    pub(crate) fn models(self, entries: &[Value]) -> Value {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings => {
                serde_json::json!({ "object": "list", "data": entries })
            }
            Self::Messages => messages::model_list(entries),
        }
    }
}

impl Manner {
    /// The body of a reply that is an answer.
    pub(crate) fn reply(&self, event: EventId, said: &Said, at: Timestamp) -> Phi<String> {
        let body = match self.api {
            Api::Chat => chat::reply(event, said, self, at),
            Api::Responses => responses::reply(event, said, self, at),
            Api::Embeddings => embeddings::reply(said, self),
            Api::Messages => messages::reply(event, said, self),
        };
        Phi::new(body.to_string())
    }

    /// Writes the answer to `event` as a stream.
    pub(crate) fn stream(&self, event: EventId, at: Timestamp) -> Stream {
        let events: Box<dyn Events> = match self.api {
            Api::Chat | Api::Embeddings => Box::new(chat::Chunks::new(event, self.clone(), at)),
            Api::Responses => Box::new(responses::Items::new(event, self, at)),
            Api::Messages => Box::new(messages::Blocks::new(event, self)),
        };
        Stream(events)
    }
}

/// An answer being written as server-sent events (WHATWG HTML, section 9.2).
pub(crate) struct Stream(Box<dyn Events>);

/// How an API writes what happens in an answer.
trait Events: Send {
    /// The first: who speaks.
    fn opened(&mut self) -> Phi<String>;
    /// What is new about a tool call.
    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>) -> Phi<String>;
    /// More text of a channel.
    fn text(&mut self, channel: Channel, text: &str) -> Phi<String>;
    /// The last ones: why it ended, and what it cost.
    fn done(&mut self, said: &Said) -> Phi<String>;
    /// It broke off, in the way that clients of the API understand.
    fn broken(&mut self, told: &Told) -> Phi<String>;
}

impl Stream {
    pub(crate) fn opened(&mut self) -> Phi<String> {
        self.0.opened()
    }

    /// A piece as events, and whether they are the last. Without a piece a task of ours has ended without a word: the
    /// client must not take what it has for the whole.
    pub(crate) fn write(&mut self, piece: Option<&Piece>) -> (Phi<String>, bool) {
        match piece {
            Some(Piece::Opened(_)) => (self.0.opened(), false),
            Some(Piece::Call { index, id, name }) => {
                (self.0.call(*index, id.as_deref(), name.as_deref()), false)
            }
            Some(Piece::Text(channel, text)) => (self.0.text(*channel, text.expose()), false),
            Some(Piece::Done(said)) => (self.0.done(said), true),
            Some(Piece::Refused(reply)) => (self.0.broken(&Told::of(reply)), true),
            None => (self.0.broken(&Told::internal()), true),
        }
    }
}

/// One event: its name, if the API names them, and its data.
fn event(name: Option<&str>, data: &impl Serialize) -> Phi<String> {
    let text = Phi::new(serde_json::to_string(data).unwrap_or_default());
    let named = name.map_or_else(String::new, |name| format!("event: {name}\n"));
    Phi::new([&named, "data: ", text.expose(), "\n\n"].concat())
}

#[cfg(test)]
pub(crate) mod tests;
