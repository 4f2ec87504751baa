//! What a model said, put together from the events of its connector.

use std::collections::BTreeMap;

use nephron_engine::contract::{Attribute, Event, ToolCallDelta, Usage, Value};
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
    /// The model's id for it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// The name of the event that holds one vector, as JSON.
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
                self.embeddings
                    .extend(serde_json::from_str::<Vec<f32>>(&text));
            }
            // What the model calls itself, and what has no name here, is in the recorded judgement.
            Event::Model(_) | Event::Other(_) => {}
        }
    }

    fn take_call(&mut self, delta: ToolCallDelta) {
        let index = delta.index;
        let call = self.tool_calls.entry(index).or_default();
        // Ids and names are structural; a model that writes anything else there is not quoted.
        let held = |text: String| {
            if is_structural(&text, 128) {
                text
            } else {
                format!("withheld-{index}")
            }
        };
        if let Some(id) = delta.id {
            call.id = held(id);
        }
        if let Some(name) = delta.name {
            call.name = held(name);
        }
        call.arguments.push_str(&delta.arguments);
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

impl Zeroize for Said {
    fn zeroize(&mut self) {
        self.text.zeroize();
        self.refusal.zeroize();
        for call in self.tool_calls.values_mut() {
            call.arguments.zeroize();
        }
    }
}
