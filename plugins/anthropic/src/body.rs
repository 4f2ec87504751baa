//! The body of the request: keys in one order always, so that the same call is the same bytes.

use nephron_sdk::connector::{ChatCall, RequestInfo};
use nephron_sdk::conversation::{
    Block, Content as Given, Conversation, Format, Json, Speaker, Tool, ToolChoice, Turn,
    Unsupported,
};
use nephron_sdk::types::BlobRef;
use nephron_sdk::{Error, blob};
use serde::{Deserialize, Serialize};

use crate::{Sent, Settings};

/// Writes the body as JSON.
///
/// # Errors
/// [`Error::Unsupported`] when the call asks for what this API cannot say, [`Error::InvalidInput`] when it contradicts
/// itself. Neither holds text of the request.
pub(crate) fn write(
    info: &RequestInfo,
    call: &ChatCall,
    settings: &Settings,
) -> Result<Vec<u8>, Error> {
    let model = settings.model.as_deref().unwrap_or(&call.model);
    if model.is_empty() {
        return Err(Error::InvalidInput(
            "no model is named; name one in the call or in the settings".to_owned(),
        ));
    }
    let conversation = Conversation::read(call, settings.unsupported_options)?;
    let turns = conversation.turns.iter();
    let messages: Result<_, Error> = turns.map(|turn| WireTurn::of(info, turn)).collect();
    let sampling = settings.sampling == Sent::Send;
    let thought = match settings.thinking {
        Sent::Send => Thought::of(&conversation, settings.unsupported_options)?,
        Sent::Drop => Thought::default(),
    };
    let body = Body {
        model,
        max_tokens: call.max_tokens.unwrap_or(settings.max_tokens),
        system: Texts::of(&conversation.instructions),
        messages: messages?,
        temperature: conversation.temperature.filter(|_| sampling),
        top_p: conversation.top_p.as_ref().filter(|_| sampling),
        top_k: conversation.top_k.as_ref().filter(|_| sampling),
        stop_sequences: &call.stop,
        tools: conversation.tools.iter().map(WireTool::of).collect(),
        tool_choice: WireChoice::of(&conversation),
        output_config: OutputConfig::of(thought.effort, conversation.format.as_ref()),
        thinking: thought.kind.map(|kind| Thinking { kind }),
        stream: call.want_stream,
    };
    serde_json::to_vec(&body)
        .map_err(|_| Error::Internal("the body could not be written".to_owned()))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<Texts<'a>>,
    messages: Vec<WireTurn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a Json>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct WireTurn<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<WireBlock<'a>>),
}

/// One text is a string, several are blocks.
#[derive(Serialize)]
#[serde(untagged)]
enum Texts<'a> {
    One(&'a str),
    Several(Vec<WireBlock<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireBlock<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a Json,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Texts<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: String,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: &'a Json,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'a>>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputFormat<'a> {
    JsonSchema { schema: &'a Json },
}

/// How hard the model shall think, in this API's words.
#[derive(Default)]
struct Thought {
    effort: Option<&'static str>,
    kind: Option<&'static str>,
}

impl Thought {
    /// OpenAI's words for less than this API's least are the nearest that it has. Whoever said `thinking` has said whether.
    fn of(conversation: &Conversation<'_>, unsupported: Unsupported) -> Result<Self, Error> {
        let mut thought = Self::default();
        let words = [
            ("low", "low"),
            ("medium", "medium"),
            ("high", "high"),
            ("xhigh", "xhigh"),
            ("max", "max"),
            ("minimal", "low"),
        ];
        match conversation.effort.as_ref().map(word) {
            None => {}
            Some(effort) if effort.as_deref() == Some("none") => thought.kind = Some("disabled"),
            Some(effort) => {
                let known = words
                    .into_iter()
                    .find(|(known, _)| Some(*known) == effort.as_deref());
                match known {
                    Some((_, word)) => thought.effort = Some(word),
                    None => unsupported.meet("reasoning_effort")?,
                }
            }
        }
        if let Some(thinking) = &conversation.thinking {
            let said: Option<Said> = serde_json::from_str(thinking.text()).ok();
            let kinds = ["adaptive", "between_tools", "disabled"];
            let kind = said.and_then(|said| kinds.into_iter().find(|kind| *kind == said.kind));
            match kind {
                Some(kind) => thought.kind = Some(kind),
                None => unsupported.meet("thinking")?,
            }
        }
        Ok(thought)
    }
}

/// `thinking`, as it came.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
}

fn word(json: &Json) -> Option<String> {
    serde_json::from_str(json.text()).ok()
}

impl<'a> OutputConfig<'a> {
    fn of(effort: Option<&'static str>, format: Option<&'a Format>) -> Option<Self> {
        let format = format.map(|format| OutputFormat::JsonSchema {
            schema: &format.schema,
        });
        (effort.is_some() || format.is_some()).then_some(Self { effort, format })
    }
}

impl<'a> WireTurn<'a> {
    fn of(info: &RequestInfo, turn: &'a Turn<'a>) -> Result<Self, Error> {
        let content = match turn.blocks.as_slice() {
            [Block::Text(text)] => Content::Text(text),
            blocks => {
                let blocks = blocks.iter().map(|block| WireBlock::of(info, block));
                Content::Blocks(blocks.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            role: match turn.speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            },
            content,
        })
    }
}

impl<'a> Texts<'a> {
    fn of(texts: &[&'a str]) -> Option<Self> {
        match texts {
            [] => None,
            [text] => Some(Self::One(text)),
            texts => {
                let said = texts.iter().filter(|text| !text.trim().is_empty());
                Some(Self::Several(
                    said.map(|text| WireBlock::Text { text }).collect(),
                ))
            }
        }
    }

    /// What a tool gave.
    fn given(info: &RequestInfo, contents: &[Given<'a>]) -> Result<Option<Self>, Error> {
        let block = |content: &Given<'a>| match *content {
            Given::Text(text) if text.trim().is_empty() => None,
            Given::Text(text) => Some(Ok(WireBlock::Text { text })),
            Given::Blob(blob) => Some(WireBlock::of_blob(info, blob)),
        };
        Ok(match contents {
            [] => None,
            [Given::Text(text)] => Some(Self::One(text)),
            contents => {
                let blocks = contents.iter().filter_map(block);
                Some(Self::Several(blocks.collect::<Result<_, _>>()?))
            }
        })
    }
}

impl<'a> WireBlock<'a> {
    fn of(info: &RequestInfo, block: &'a Block<'a>) -> Result<Self, Error> {
        Ok(match block {
            Block::Text(text) => Self::Text { text },
            Block::Blob(blob) => Self::of_blob(info, blob)?,
            Block::Call { id, name, input } => Self::ToolUse { id, name, input },
            Block::Result {
                id,
                contents,
                is_error,
            } => Self::ToolResult {
                tool_use_id: id,
                content: Texts::given(info, contents)?,
                is_error: *is_error,
            },
        })
    }

    /// The images and documents that this API takes.
    fn of_blob(info: &RequestInfo, blob: &'a BlobRef) -> Result<Self, Error> {
        let source = Source {
            kind: "base64",
            media_type: &blob.media_type,
            data: blob::mark(info, blob),
        };
        Ok(match blob.media_type.as_str() {
            "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Self::Image { source },
            "application/pdf" => Self::Document { source },
            _ => return Err(blob::not_taken(blob)),
        })
    }
}

impl<'a> WireTool<'a> {
    fn of(tool: &'a Tool) -> Self {
        Self {
            name: &tool.name,
            description: tool.description.as_deref(),
            input_schema: &tool.schema,
            strict: tool.is_strict,
        }
    }
}

impl<'a> WireChoice<'a> {
    /// Nothing where the caller chose nothing: this API then does as `auto` says. Without tools there is no choice.
    fn of(conversation: &'a Conversation<'a>) -> Option<Self> {
        if conversation.tools.is_empty() {
            return None;
        }
        let one_by_one = conversation.parallel_calls == Some(false);
        let (kind, name) = match &conversation.tool_choice {
            None if !one_by_one => return None,
            None | Some(ToolChoice::Auto) => ("auto", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Any) => ("any", None),
            Some(ToolChoice::Named(name)) => ("tool", Some(name.as_str())),
        };
        Some(Self {
            kind,
            name,
            disable_parallel_tool_use: one_by_one && kind != "none",
        })
    }
}
