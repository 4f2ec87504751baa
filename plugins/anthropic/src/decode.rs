//! An answer: a message, or the events in which one is streamed. Fields and blocks that this connector does not know, such
//! as those of thinking, are passed over.

use nephron_sdk::answer::{Failure, Flow, Reader};
use nephron_sdk::connector::{Event, ToolCallDelta, Usage};
use nephron_sdk::sse::{ServerSentEvents, SseEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Decodes one response, streamed or whole.
pub type Decoder = nephron_sdk::answer::Decoder<Answer>;

/// What was seen so far of one answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// The block that is being streamed: blocks come one after the other.
    open: Option<(u64, Open)>,
    calls: u32,
    usage: WireUsage,
    is_stopped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    Text,
    /// A tool call by its index, and whether anything was said of its input.
    Call(u32, bool),
    PassedOver,
}

impl Reader for Answer {
    type Frames = ServerSentEvents;

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let object: Object<'_> = serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
        match (object.kind.as_str(), object.error) {
            ("error", Some(error)) => return Err(error.failure()),
            ("message", _) => {}
            _ => return Err(Failure::Malformed),
        }
        let message: Message<'_> = serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
        let reason = message.stop_reason.clone().ok_or(Failure::Malformed)?;
        for (index, block) in (0..).zip(self.begin(message, events)) {
            self.open(index, block, events)?;
            self.close(index, events)?;
        }
        self.stop(&reason, events);
        self.told(events);
        Ok(())
    }

    fn frame(&mut self, frame: SseEvent, events: &mut Vec<Event>) -> Result<Flow, Failure> {
        let object = serde_json::from_slice::<Object<'_>>(&frame.data);
        let Ok(object) = object else {
            return Err(match frame.is_error {
                true => Failure::Reported { retryable: false },
                false => Failure::Malformed,
            });
        };
        let malformed = Failure::Malformed;
        match object.kind.as_str() {
            "message_start" => {
                let message = object.message.ok_or(malformed)?;
                let message: Message<'_> =
                    serde_json::from_str(message.get()).map_err(|_| malformed)?;
                self.begin(message, events);
            }
            "content_block_start" => {
                let index = object.index.ok_or(malformed)?;
                self.open(index, object.content_block.ok_or(malformed)?, events)?;
            }
            "content_block_delta" => {
                let index = object.index.ok_or(malformed)?;
                self.add(index, object.delta.ok_or(malformed)?, events)?;
            }
            "content_block_stop" => self.close(object.index.ok_or(malformed)?, events)?,
            "message_delta" => {
                self.usage.update(object.usage);
                if let Some(reason) = object.delta.and_then(|delta| delta.stop_reason) {
                    self.stop(&reason, events);
                }
            }
            "message_stop" if self.is_stopped => {
                self.told(events);
                return Ok(Flow::IsOver);
            }
            "message_stop" => return Err(malformed),
            "error" => {
                return Err(object
                    .error
                    .map_or(Failure::Reported { retryable: false }, WireError::failure));
            }
            // `ping`, and what is yet to come: the API says that there may be new ones.
            _ => {}
        }
        Ok(Flow::GoesOn)
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.is_stopped {
            return Err(Failure::EndedEarly);
        }
        self.told(events);
        Ok(())
    }
}

impl Answer {
    fn begin<'a>(&mut self, message: Message<'a>, events: &mut Vec<Event>) -> Vec<Block<'a>> {
        events.extend(message.model.map(Event::Model));
        self.usage.update(message.usage);
        message.content
    }

    fn open(
        &mut self,
        index: u64,
        block: Block<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if self.open.is_some() {
            return Err(Failure::Malformed);
        }
        let open = match block.kind.as_str() {
            "text" => {
                events.extend(block.text.filter(|text| !text.is_empty()).map(Event::Text));
                Open::Text
            }
            "tool_use" => {
                let call = self.calls;
                self.calls = call.checked_add(1).ok_or(Failure::Malformed)?;
                // A stream begins with an empty object, and the input follows.
                let input = block
                    .input
                    .map(RawValue::get)
                    .filter(|input| !is_empty(input));
                events.push(Event::ToolCall(ToolCallDelta {
                    index: call,
                    id: Some(block.id.ok_or(Failure::Malformed)?),
                    name: Some(block.name.ok_or(Failure::Malformed)?),
                    arguments: input.unwrap_or_default().to_owned(),
                }));
                Open::Call(call, input.is_some())
            }
            _ => Open::PassedOver,
        };
        self.open = Some((index, open));
        Ok(())
    }

    fn add(&mut self, index: u64, delta: Delta, events: &mut Vec<Event>) -> Result<(), Failure> {
        let Some((_, open)) = self.open.as_mut().filter(|(open, _)| *open == index) else {
            return Err(Failure::Malformed);
        };
        match (delta.kind.as_deref(), open) {
            (Some("text_delta"), Open::Text) => {
                let text = delta.text.ok_or(Failure::Malformed)?;
                if !text.is_empty() {
                    events.push(Event::Text(text));
                }
            }
            (Some("input_json_delta"), Open::Call(call, is_said)) => {
                let json = delta.partial_json.ok_or(Failure::Malformed)?;
                if !json.is_empty() {
                    *is_said = true;
                    events.push(arguments(*call, json));
                }
            }
            (Some("text_delta" | "input_json_delta"), Open::Text | Open::Call(..)) | (None, _) => {
                return Err(Failure::Malformed);
            }
            (Some(_), _) => {}
        }
        Ok(())
    }

    fn close(&mut self, index: u64, events: &mut Vec<Event>) -> Result<(), Failure> {
        match self.open.take() {
            Some((open, Open::Call(call, false))) if open == index => {
                events.push(arguments(call, "{}".to_owned()));
                Ok(())
            }
            Some((open, _)) if open == index => Ok(()),
            _ => Err(Failure::Malformed),
        }
    }

    fn stop(&mut self, reason: &str, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            events.push(Event::Stopped(in_openais_words(reason).to_owned()));
        }
    }

    /// What was kept to the end.
    fn told(&self, events: &mut Vec<Event>) {
        events.extend(self.usage.told().map(Event::Used));
    }
}

fn arguments(index: u32, arguments: String) -> Event {
    Event::ToolCall(ToolCallDelta {
        index,
        id: None,
        name: None,
        arguments,
    })
}

fn is_empty(object: &str) -> bool {
    object
        .bytes()
        .all(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}'))
}

/// A reason that is none of these stays as it is.
fn in_openais_words(reason: &str) -> &str {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        // Paused: there is more to say, as at a limit.
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        reason => reason,
    }
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    delta: Option<Delta>,
    usage: Option<WireUsage>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Message<'a> {
    model: Option<String>,
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Of a block, or of the message, which has no `type`.
#[derive(Deserialize)]
struct Delta {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

/// Counts come at the beginning and grow; the last of each holds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl WireUsage {
    fn update(&mut self, later: Option<Self>) {
        let later = later.unwrap_or_default();
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }

    /// All of the input counts, as OpenAI counts it; this API counts apart what its cache took or gave.
    fn told(self) -> Option<Usage> {
        let cached = [
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        ];
        let cached = cached
            .into_iter()
            .flatten()
            .fold(0_u64, u64::saturating_add);
        let input_tokens = self
            .input_tokens
            .map(|tokens| tokens.saturating_add(cached));
        (input_tokens.is_some() || self.output_tokens.is_some()).then_some(Usage {
            input_tokens,
            output_tokens: self.output_tokens,
        })
    }
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl WireError {
    fn failure(self) -> Failure {
        let transient = [
            "api_error",
            "overloaded_error",
            "rate_limit_error",
            "timeout_error",
        ];
        Failure::Reported {
            retryable: self
                .kind
                .is_some_and(|kind| transient.contains(&kind.as_str())),
        }
    }
}
