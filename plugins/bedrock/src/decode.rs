//! An answer: one JSON object, or the messages in which it is streamed. Fields and blocks that this connector does not know,
//! such as those of reasoning, are passed over.

use nephron_sdk::answer::{Failure, Flow, Reader};
use nephron_sdk::connector::{Event, ToolCallDelta, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::eventstream::{EventStream, StreamMessage};

/// Decodes one response, streamed or whole.
pub type Decoder = nephron_sdk::answer::Decoder<Answer>;

/// What was seen so far of one answer.
#[derive(Debug, Default)]
pub struct Answer {
    calls: u32,
    open: Option<OpenCall>,
    is_stopped: bool,
}

/// A tool call that is being streamed.
#[derive(Clone, Copy, Debug)]
struct OpenCall {
    block: u64,
    index: u32,
    is_said: bool,
}

impl Reader for Answer {
    type Frames = EventStream;

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let whole: Whole<'_> = read(body)?;
        for block in whole.output.message.content {
            events.extend(block.text.filter(|text| !text.is_empty()).map(Event::Text));
            if let Some(call) = block.tool_use {
                let input = call.input.map_or("{}", RawValue::get).to_owned();
                self.begin(call.tool_use_id, call.name, input, events)?;
            }
        }
        self.stop(&whole.stop_reason, events);
        events.extend(whole.usage.map(WireUsage::told));
        Ok(())
    }

    fn frame(&mut self, frame: StreamMessage, events: &mut Vec<Event>) -> Result<Flow, Failure> {
        match frame.header(":message-type") {
            Some("event") => {}
            Some("exception") => return Err(exception(frame.header(":exception-type"))),
            Some("error") => return Err(Failure::Reported { retryable: false }),
            _ => return Err(Failure::Malformed),
        }
        let payload = frame.payload.as_slice();
        match frame.header(":event-type").ok_or(Failure::Malformed)? {
            "contentBlockStart" => {
                let Start {
                    start,
                    content_block_index: block,
                } = read(payload)?;
                if let Some(call) = start.tool_use {
                    let index = self.begin(call.tool_use_id, call.name, String::new(), events)?;
                    self.open = Some(OpenCall {
                        block,
                        index,
                        is_said: false,
                    });
                }
            }
            "contentBlockDelta" => {
                let Delta {
                    delta,
                    content_block_index: block,
                } = read(payload)?;
                events.extend(delta.text.filter(|text| !text.is_empty()).map(Event::Text));
                if let Some(ToolDelta { input }) = delta.tool_use {
                    let open = self.open.as_mut().filter(|open| open.block == block);
                    let open = open.ok_or(Failure::Malformed)?;
                    if !input.is_empty() {
                        open.is_said = true;
                        events.push(arguments(open.index, input));
                    }
                }
            }
            "contentBlockStop" => {
                let Stop {
                    content_block_index: block,
                } = read(payload)?;
                if let Some(open) = self.open.take_if(|open| open.block == block)
                    && !open.is_said
                {
                    events.push(arguments(open.index, "{}".to_owned()));
                }
            }
            "messageStop" => {
                let MessageStop { stop_reason } = read(payload)?;
                self.stop(&stop_reason, events);
            }
            "metadata" if self.is_stopped => {
                let Metadata { usage } = read(payload)?;
                events.extend(usage.map(WireUsage::told));
                return Ok(Flow::IsOver);
            }
            "metadata" => return Err(Failure::Malformed),
            // `messageStart`, and what is yet to come.
            _ => {}
        }
        Ok(Flow::GoesOn)
    }

    fn end(&mut self, _: &mut Vec<Event>) -> Result<(), Failure> {
        if self.is_stopped {
            Ok(())
        } else {
            Err(Failure::EndedEarly)
        }
    }
}

impl Answer {
    fn begin(
        &mut self,
        id: String,
        name: String,
        arguments: String,
        events: &mut Vec<Event>,
    ) -> Result<u32, Failure> {
        if self.open.is_some() {
            return Err(Failure::Malformed);
        }
        let index = self.calls;
        self.calls = index.checked_add(1).ok_or(Failure::Malformed)?;
        events.push(Event::ToolCall(ToolCallDelta {
            index,
            id: Some(id),
            name: Some(name),
            arguments,
        }));
        Ok(index)
    }

    fn stop(&mut self, reason: &str, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            events.push(Event::Stopped(in_openais_words(reason).to_owned()));
        }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|_| Failure::Malformed)
}

fn arguments(index: u32, arguments: String) -> Event {
    Event::ToolCall(ToolCallDelta {
        index,
        id: None,
        name: None,
        arguments,
    })
}

/// A reason that is none of these stays as it is.
fn in_openais_words(reason: &str) -> &str {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "content_filtered" | "guardrail_intervened" => "content_filter",
        reason => reason,
    }
}

/// What AWS's reference says to try again, by its name in a stream.
fn exception(kind: Option<&str>) -> Failure {
    let transient = [
        "internalServerException",
        "modelStreamErrorException",
        "modelTimeoutException",
        "serviceUnavailableException",
        "throttlingException",
    ];
    Failure::Reported {
        retryable: kind.is_some_and(|kind| transient.contains(&kind)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    stop_reason: String,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    text: Option<String>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse<'a> {
    tool_use_id: String,
    name: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    start: Block<'a>,
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    delta: BlockDelta,
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    text: Option<String>,
    tool_use: Option<ToolDelta>,
}

#[derive(Deserialize)]
struct ToolDelta {
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<WireUsage>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl WireUsage {
    /// All of the input counts, as OpenAI counts it; this API counts apart what its cache took or gave.
    fn told(self) -> Event {
        let cached = [self.cache_read_input_tokens, self.cache_write_input_tokens];
        let cached = cached.into_iter().flatten();
        Event::Used(Usage {
            input_tokens: self
                .input_tokens
                .map(|tokens| cached.fold(tokens, u64::saturating_add)),
            output_tokens: self.output_tokens,
        })
    }
}
