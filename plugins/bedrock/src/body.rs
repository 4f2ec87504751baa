//! The body of the request: keys in one order always, so that the same call is the same bytes.

use nephron_sdk::connector::{ChatCall, RequestInfo};
use nephron_sdk::conversation::{
    Block, Content, Conversation, Format, Json, Speaker, Tool, ToolChoice, Turn, Unsupported,
};
use nephron_sdk::types::BlobRef;
use nephron_sdk::{Error, blob};
use serde::Serialize;

/// Writes the body as JSON.
///
/// # Errors
/// [`Error::Unsupported`] when the call asks for what this API cannot say, [`Error::InvalidInput`] when it contradicts
/// itself. Neither holds text of the request.
pub(crate) fn write(
    info: &RequestInfo,
    call: &ChatCall,
    unsupported: Unsupported,
) -> Result<Vec<u8>, Error> {
    let conversation = Conversation::read(call, unsupported)?;
    if conversation.top_k.is_some() {
        unsupported.meet("top_k")?;
    }
    let mut blobs = Blobs { info, documents: 0 };
    let turns = conversation.turns.iter();
    let messages: Result<_, Error> = turns.map(|turn| Message::of(&mut blobs, turn)).collect();
    let inference = Inference {
        max_tokens: call.max_tokens,
        temperature: conversation.temperature,
        top_p: conversation.top_p.as_ref(),
        stop_sequences: &call.stop,
    };
    let says_something = call.max_tokens.is_some()
        || conversation.temperature.is_some()
        || conversation.top_p.is_some()
        || !call.stop.is_empty();
    let body = Body {
        messages: messages?,
        system: conversation
            .instructions
            .iter()
            .map(|text| Text { text })
            .collect(),
        inference_config: says_something.then_some(inference),
        tool_config: ToolConfig::of(&conversation, unsupported)?,
        output_config: conversation.format.as_ref().map(OutputConfig::of),
    };
    serde_json::to_vec(&body)
        .map_err(|_| Error::Internal("the body could not be written".to_owned()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<Inference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<WireBlock<'a>>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum WireBlock<'a> {
    Text(&'a str),
    Image {
        format: &'static str,
        source: Source,
    },
    Document {
        format: &'static str,
        name: String,
        source: Source,
    },
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a Json,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
}

#[derive(Serialize)]
struct Source {
    bytes: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a Json>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireTool<'a> {
    tool_spec: ToolSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: &'a Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireChoice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Structure<'a> {
    JsonSchema {
        /// JSON in a string.
        schema: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    },
}

/// Images and documents of one call.
struct Blobs<'i> {
    info: &'i RequestInfo,
    /// Documents so far: each needs a name of its own, and the caller's stays in the host.
    documents: usize,
}

impl Blobs<'_> {
    fn block<'a>(&mut self, blob: &BlobRef) -> Result<WireBlock<'a>, Error> {
        let source = Source {
            bytes: blob::mark(self.info, blob),
        };
        let image = match blob.media_type.as_str() {
            "image/png" => Some("png"),
            "image/jpeg" => Some("jpeg"),
            "image/gif" => Some("gif"),
            "image/webp" => Some("webp"),
            _ => None,
        };
        if let Some(format) = image {
            return Ok(WireBlock::Image { format, source });
        }
        let format = match blob.media_type.as_str() {
            "application/pdf" => "pdf",
            "application/msword" => "doc",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
            "application/vnd.ms-excel" => "xls",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
            _ => return Err(blob::not_taken(blob)),
        };
        self.documents += 1;
        Ok(WireBlock::Document {
            format,
            name: format!("document-{}", self.documents),
            source,
        })
    }

    fn given<'a>(&mut self, contents: &[Content<'a>]) -> Result<Vec<WireBlock<'a>>, Error> {
        let block = |content: &Content<'a>| match *content {
            Content::Text(text) => Ok(WireBlock::Text(text)),
            Content::Blob(blob) => self.block(blob),
        };
        contents.iter().map(block).collect()
    }
}

impl<'a> Message<'a> {
    fn of(blobs: &mut Blobs<'_>, turn: &'a Turn<'a>) -> Result<Self, Error> {
        let block = |block: &'a Block<'a>| {
            Ok(match block {
                Block::Text(text) => WireBlock::Text(text),
                Block::Blob(blob) => blobs.block(blob)?,
                Block::Call { id, name, input } => WireBlock::ToolUse {
                    tool_use_id: id,
                    name,
                    input,
                },
                Block::Result {
                    id,
                    contents,
                    is_error,
                } => WireBlock::ToolResult {
                    tool_use_id: id,
                    content: blobs.given(contents)?,
                    status: is_error.then_some("error"),
                },
            })
        };
        let content: Result<_, Error> = turn.blocks.iter().map(block).collect();
        Ok(Self {
            role: match turn.speaker {
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            },
            content: content?,
        })
    }
}

impl<'a> ToolConfig<'a> {
    fn of(
        conversation: &'a Conversation<'a>,
        unsupported: Unsupported,
    ) -> Result<Option<Self>, Error> {
        if conversation.tools.is_empty() {
            return Ok(None);
        }
        if conversation.parallel_calls == Some(false) {
            unsupported.meet("parallel_tool_calls")?;
        }
        let is_call =
            |block: &Block<'_>| matches!(block, Block::Call { .. } | Block::Result { .. });
        let has_calls = conversation
            .turns
            .iter()
            .any(|turn| turn.blocks.iter().any(is_call));
        let tool_choice = match &conversation.tool_choice {
            // Whoever may call no tool needs none, unless earlier calls of them are part of the conversation.
            Some(ToolChoice::None) if !has_calls => return Ok(None),
            Some(ToolChoice::None) => {
                unsupported.meet("tool_choice")?;
                None
            }
            None => None,
            Some(ToolChoice::Auto) => Some(WireChoice::Auto {}),
            Some(ToolChoice::Any) => Some(WireChoice::Any {}),
            Some(ToolChoice::Named(name)) => Some(WireChoice::Tool { name }),
        };
        let tool = |tool: &'a Tool| WireTool {
            tool_spec: ToolSpec {
                name: &tool.name,
                description: tool.description.as_deref(),
                input_schema: InputSchema { json: &tool.schema },
                strict: tool.is_strict,
            },
        };
        Ok(Some(Self {
            tools: conversation.tools.iter().map(tool).collect(),
            tool_choice,
        }))
    }
}

impl<'a> OutputConfig<'a> {
    fn of(format: &'a Format) -> Self {
        Self {
            text_format: TextFormat {
                kind: "json_schema",
                structure: Structure::JsonSchema {
                    schema: format.schema.text(),
                    name: format.name.as_deref(),
                    description: format.description.as_deref(),
                },
            },
        }
    }
}
