//! What a model said, put together from the events of its connector.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_engine::contract::{Attribute, Event, ToolCallDelta, Usage, Value};
use nephron_model::EventId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::wire::fields::is_structural;

/// An answer, or as much of it as there is.
#[derive(Clone, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// Why it will not answer, in its own words.
    pub(crate) refusal: String,
    /// By the index that the model gave them.
    pub(crate) tool_calls: BTreeMap<u32, ToolCall>,
    /// Why it stopped, in OpenAI's words.
    pub(crate) stopped: Option<String>,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    /// The vectors of the texts that were to be embedded, in their order.
    pub(crate) embeddings: Vec<Vec<f32>>,
}

/// A call that the model asks for.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's id for it. Empty where it gave none, or one that is not structural; the caller then got another.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// The name of the event that holds one vector, as JSON: a list of numbers, or a string as OpenAI's API has it in base64.
pub(crate) const EMBEDDING: &str = "embedding";

/// Where a piece of an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    /// The text.
    Text,
    /// The words in which the model refuses.
    Refusal,
    /// The arguments of a tool call.
    Arguments(u32),
}

impl Said {
    /// Takes one event.
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Text(text) => self.text.push_str(&text),
            Event::ToolCall(delta) => self.take_call(delta),
            Event::Stopped(why) => self.stopped = Some(crate::case::code(&why).to_owned()),
            Event::Used(Usage {
                input_tokens,
                output_tokens,
            }) => {
                self.input_tokens = input_tokens.or(self.input_tokens);
                self.output_tokens = output_tokens.or(self.output_tokens);
            }
            Event::Other(Attribute {
                name,
                value: Value::Text(text),
            }) if name == "refusal" => self.refusal.push_str(&text),
            Event::Other(Attribute {
                name,
                value: Value::Json(text),
            }) if name == EMBEDDING => {
                // What is no vector is none too few, which the chain refuses.
                self.embeddings.extend(vector(&text));
            }
            // What the model calls itself, and what has no name here, is in the recorded judgement.
            Event::Model(_) | Event::Other(_) => {}
        }
    }

    fn take_call(&mut self, delta: ToolCallDelta) {
        let index = delta.index;
        let call = self.tool_calls.entry(index).or_default();
        // Ids and names are structural; a model that writes anything else there is not quoted.
        if let Some(id) = delta.id {
            call.id = Some(id)
                .filter(|id| is_structural(id, 128))
                .unwrap_or_default();
        }
        if let Some(name) = delta.name {
            call.name = if is_structural(&name, 128) {
                name
            } else {
                format!("withheld-{index}")
            };
        }
        call.arguments.push_str(&delta.arguments);
    }

    /// Gives each call an id that has none which may be told: some servers give none, and what a client gets it must be able to
    /// hand back. With the event of the request in it, no two calls of a conversation have the same.
    pub(crate) fn name_calls(&mut self, event: EventId) {
        for (index, call) in &mut self.tool_calls {
            if call.id.is_empty() {
                call.id = format!("call_{event}_{index}");
            }
        }
    }

    /// Every text in it that is not structural.
    pub(crate) fn texts(&self) -> Vec<(Channel, &str)> {
        let calls = self
            .tool_calls
            .iter()
            .map(|(index, call)| (Channel::Arguments(*index), call.arguments.as_str()));
        let words = [
            (Channel::Text, self.text.as_str()),
            (Channel::Refusal, self.refusal.as_str()),
        ];
        words.into_iter().chain(calls).collect()
    }

    /// The text of a channel, to be added to. A call that is not there yet is begun.
    pub(crate) fn text_mut(&mut self, channel: Channel) -> &mut String {
        match channel {
            Channel::Text => &mut self.text,
            Channel::Refusal => &mut self.refusal,
            Channel::Arguments(index) => &mut self.tool_calls.entry(index).or_default().arguments,
        }
    }

    /// Why it ended, what it counted and which tools it calls, without any text.
    pub(crate) fn ending(&self) -> Self {
        let call = |(index, _): (&u32, &ToolCall)| (*index, ToolCall::default());
        Self {
            text: String::new(),
            refusal: String::new(),
            tool_calls: self.tool_calls.iter().map(call).collect(),
            stopped: self.stopped.clone(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            embeddings: Vec::new(),
        }
    }

    /// Takes over why another ended and what it counted, as far as it says.
    pub(crate) fn end_as(&mut self, other: &Self) {
        self.stopped = other.stopped.clone().or_else(|| self.stopped.take());
        self.input_tokens = other.input_tokens.or(self.input_tokens);
        self.output_tokens = other.output_tokens.or(self.output_tokens);
    }
}

/// The vector that JSON holds: a list of numbers, or base64 (RFC 4648 §4) of 32-bit floats, little-endian, which are less than half
/// of the bytes.
fn vector(json: &str) -> Option<Vec<f32>> {
    if let Ok(text) = serde_json::from_str::<&str>(json) {
        let bytes = STANDARD.decode(text).ok()?;
        let (numbers, rest) = bytes.as_chunks();
        return rest
            .is_empty()
            .then(|| numbers.iter().copied().map(f32::from_le_bytes).collect());
    }
    serde_json::from_str(json).ok()
}

impl Zeroize for Said {
    fn zeroize(&mut self) {
        self.text.zeroize();
        self.refusal.zeroize();
        for call in self.tool_calls.values_mut() {
            call.arguments.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_numbers_or_their_bytes_in_base64() {
        for (json, expected) in [
            ("[0.5,-2]", Some(vec![0.5, -2.0])),
            // 0.5 is 00 00 00 3f, -2 is 00 00 00 c0.
            ("\"AAAAPwAAAMA=\"", Some(vec![0.5, -2.0])),
            ("\"AAAAPwAAAMA\"", None),
            ("\"AAAAPwA=\"", None),
            ("\"Zebulon Quackenbush\"", None),
            ("[\"0.5\"]", None),
            ("{}", None),
        ] {
            assert_eq!(vector(json), expected, "{json}");
        }
    }

    #[test]
    fn every_call_has_an_id_that_can_be_handed_back_and_no_two_are_alike() {
        let call = |index, id: Option<&str>| {
            Event::ToolCall(ToolCallDelta {
                index,
                id: id.map(str::to_owned),
                name: Some("find".to_owned()),
                arguments: "{}".to_owned(),
            })
        };
        let said = |event: EventId| {
            let mut said = Said::default();
            for (index, id) in [
                (0, Some("functions.find:0")),
                (1, None),
                (2, Some("")),
                (3, Some("Zebulon Quackenbush")),
            ] {
                said.take(call(index, id));
            }
            said.name_calls(event);
            let calls = said.tool_calls.into_values();
            calls.map(|call| call.id).collect::<Vec<_>>()
        };
        let at = nephron_model::Timestamp {
            seconds: 0,
            nanoseconds: 0,
        };
        let [first, second] = [1, 2].map(|seed| said(EventId::new(at, [seed; 10])));
        assert_eq!(first[0], "functions.find:0");
        let mut all: Vec<_> = first[1..].iter().chain(&second[1..]).collect();
        assert!(all.iter().all(|id| is_structural(id, 64)), "{all:?}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6, "{all:?}");
    }
}
