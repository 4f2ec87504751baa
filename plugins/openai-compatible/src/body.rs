//! The body of the request: keys in one order always, so that the same call is the same bytes.

use std::collections::BTreeMap;

use nephron_sdk::connector::{Attribute, ChatCall, Message, Part, RequestInfo, Value};
use nephron_sdk::conversation::{Json, shown};
use nephron_sdk::types::BlobRef;
use nephron_sdk::{Error, blob};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::{Encoding, MaxTokensField, Settings};

/// Options of the caller that are passed on. Others are refused, never dropped: some would carry identifiers past the
/// de-identifier (`user`, `metadata`), some would have the provider keep the text (`store`), and some bring answers
/// that the contract has no event for (`logprobs`, `audio`).
const OPTIONS: [&str; 11] = [
    "frequency_penalty",
    "logit_bias",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "tool_choice",
    "tools",
    "top_p",
    "verbosity",
];

/// An option that some servers of this family take and OpenAI refuses.
const TOP_K: &str = "top_k";

/// How clients of Anthropic's say whether a model shall think.
const THINKING: &str = "thinking";

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// Writes the body as JSON.
///
/// # Errors
/// [`Error::Unsupported`] when the call asks for what this interface cannot say, [`Error::InvalidInput`] when it
/// contradicts itself. Neither holds text of the request.
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
    if call.messages.is_empty() {
        return Err(Error::InvalidInput("the call has no messages".to_owned()));
    }
    if call
        .temperature
        .is_some_and(|temperature| !temperature.is_finite())
    {
        return Err(Error::InvalidInput(
            "the temperature is no finite number".to_owned(),
        ));
    }
    let messages: Result<Vec<_>, _> = call
        .messages
        .iter()
        .enumerate()
        .map(|(index, message)| WireMessage::new(info, index, message))
        .collect();
    let mut known = OPTIONS.to_vec();
    known.extend(settings.top_k.then_some(TOP_K));
    let body = Body {
        model,
        messages: messages?,
        max_tokens: call
            .max_tokens
            .map(|limit| (settings.max_tokens_field.as_str(), limit)),
        temperature: call.temperature,
        stop: &call.stop,
        stream: call.want_stream,
        options: options(&call.options, &known)?,
    };
    serde_json::to_vec(&body)
        .map_err(|_| Error::Internal("the body could not be written".to_owned()))
}

/// Writes the body of a request for embeddings: a vector for each message.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_embeddings(call: &ChatCall, settings: &Settings) -> Result<Vec<u8>, Error> {
    let mut texts = Vec::with_capacity(call.messages.len());
    for (index, message) in call.messages.iter().enumerate() {
        let [Part::Text(text)] = message.parts.as_slice() else {
            return Err(Error::Unsupported(format!(
                "message {index}: to be embedded it must be one text"
            )));
        };
        texts.push(text.clone());
    }
    let rest: Vec<Attribute> = call
        .options
        .iter()
        .filter(|option| option.name != OPERATION)
        .cloned()
        .collect();
    let mut body = options(&rest, &["dimensions"])?;
    let model = settings.model.as_deref().unwrap_or(&call.model);
    let fault = || Error::Internal("the body could not be written".to_owned());
    let encoding = match settings.embeddings_encoding {
        Encoding::Base64 => "base64",
        Encoding::Float => "float",
    };
    for (name, value) in [
        ("model", Value::Text(model.to_owned())),
        ("input", Value::Texts(texts)),
        ("encoding_format", Value::Text(encoding.to_owned())),
    ] {
        body.insert(name, Json::of(&value).ok_or_else(fault)?);
    }
    serde_json::to_vec(&body).map_err(|_| fault())
}

/// The option that says what is asked, where it is not a chat.
const OPERATION: &str = "operation";

/// Whether the call asks for embeddings.
pub(crate) fn is_embeddings(call: &ChatCall) -> bool {
    call.options.iter().any(|option| {
        option.name == OPERATION
            && Json::of(&option.value).is_some_and(|word| word.text() == "\"embeddings\"")
    })
}

struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    max_tokens: Option<(&'static str, u32)>,
    temperature: Option<f64>,
    stop: &'a [String],
    stream: bool,
    options: BTreeMap<&'a str, Json>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("messages", &self.messages)?;
        if let Some((name, limit)) = self.max_tokens {
            map.serialize_entry(name, &limit)?;
        }
        if let Some(temperature) = self.temperature {
            map.serialize_entry("temperature", &temperature)?;
        }
        if !self.stop.is_empty() {
            map.serialize_entry("stop", self.stop)?;
        }
        if self.stream {
            map.serialize_entry("stream", &true)?;
            map.serialize_entry("stream_options", &BTreeMap::from([("include_usage", true)]))?;
        }
        for (name, value) in &self.options {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// One part of a message's content. Its keys are in the order of their names.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text {
        text: &'a str,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    Image {
        image_url: Url,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    Audio {
        input_audio: Audio,
        #[serde(rename = "type")]
        kind: &'static str,
    },
    File {
        file: File,
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Serialize)]
struct Url {
    url: String,
}

#[derive(Serialize)]
struct Audio {
    data: String,
    format: &'static str,
}

#[derive(Serialize)]
struct File {
    file_data: String,
    filename: &'static str,
}

impl<'a> Content<'a> {
    const fn of_text(text: &'a str) -> Self {
        let kind = "text";
        Self::Text { text, kind }
    }

    /// Images, audio and PDF, as OpenAI's chat takes them from a user.
    fn of_blob(info: &RequestInfo, role: &str, blob: &BlobRef) -> Result<Self, Error> {
        let audio = |format| Self::Audio {
            input_audio: Audio {
                data: blob::mark(info, blob),
                format,
            },
            kind: "input_audio",
        };
        Ok(match (role, blob.media_type.as_str()) {
            ("user", "audio/wav") => audio("wav"),
            ("user", "audio/mpeg") => audio("mp3"),
            ("user", "application/pdf") => Self::File {
                file: File {
                    file_data: blob::data_url(info, blob),
                    // One is wanted, and the caller's stays in the host.
                    filename: "file.pdf",
                },
                kind: "file",
            },
            ("user", "image/png" | "image/jpeg" | "image/gif" | "image/webp") => Self::Image {
                image_url: Url {
                    url: blob::data_url(info, blob),
                },
                kind: "image_url",
            },
            _ => return Err(blob::not_taken(blob)),
        })
    }
}

struct WireMessage<'a> {
    role: &'a str,
    name: Option<&'a str>,
    contents: Vec<Content<'a>>,
    /// `tool_calls` of an assistant, `tool_call_id` of a tool.
    fields: BTreeMap<&'a str, &'a RawValue>,
}

impl<'a> WireMessage<'a> {
    fn new(info: &RequestInfo, index: usize, message: &'a Message) -> Result<Self, Error> {
        if !ROLES.contains(&message.role.as_str()) {
            let known = ROLES.join(", ");
            return Err(Error::Unsupported(format!(
                "message {index}: its role is none of {known}"
            )));
        }
        let mut wire = Self {
            role: &message.role,
            name: message.name.as_deref(),
            contents: Vec::new(),
            fields: BTreeMap::new(),
        };
        for (part_index, part) in message.parts.iter().enumerate() {
            match part {
                Part::Text(text) => wire.contents.push(Content::of_text(text)),
                Part::Json(json) => wire.take_fields(json).map_err(|fault| {
                    Error::Unsupported(format!("message {index}, part {part_index}: {fault}"))
                })?,
                Part::Blob(blob) => {
                    let content = Content::of_blob(info, &message.role, blob)?;
                    wire.contents.push(content);
                }
            }
        }
        Ok(wire)
    }

    fn take_fields(&mut self, json: &'a str) -> Result<(), &'static str> {
        const FAULT: &str = "a JSON part is an object of `tool_calls` (role assistant) or `tool_call_id` (role tool)";
        let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(json).map_err(|_| FAULT)?;
        for (name, value) in fields {
            match (name, self.role) {
                ("tool_calls", "assistant") | ("tool_call_id", "tool") => {}
                // This interface has no word for it: what failed says so in its text.
                ("is_error", "tool") => continue,
                _ => return Err(FAULT),
            }
            if self.fields.insert(name, value).is_some() {
                return Err("a field is given twice");
            }
        }
        Ok(())
    }
}

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.role)?;
        if let Some(name) = self.name {
            map.serialize_entry("name", name)?;
        }
        match self.contents.as_slice() {
            // An assistant that only calls tools has said nothing.
            [] if self.fields.contains_key("tool_calls") => map.serialize_entry("content", &())?,
            [] => map.serialize_entry("content", "")?,
            [Content::Text { text, .. }] => map.serialize_entry("content", text)?,
            contents => map.serialize_entry("content", contents)?,
        }
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl MaxTokensField {
    const fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

fn options<'a>(given: &'a [Attribute], known: &[&str]) -> Result<BTreeMap<&'a str, Json>, Error> {
    let mut options = BTreeMap::new();
    for Attribute { name, value } in given {
        match name.as_str() {
            // The contract has one answer.
            "n" if Json::of(value).is_some_and(|json| json.text().trim() == "1") => {}
            "n" => {
                return Err(Error::Unsupported(
                    "option `n`: only one answer can be asked for".to_owned(),
                ));
            }
            // Nothing of the answer's form hangs on them: what a server does not take, or none of this family has a word for,
            // can be left out.
            TOP_K if !known.contains(&TOP_K) => {}
            THINKING => {}
            name if known.contains(&name) => {
                let json = Json::of(value)
                    .ok_or_else(|| Error::InvalidInput(format!("option `{name}` is no JSON")))?;
                if options.insert(name, json).is_some() {
                    return Err(Error::InvalidInput(format!(
                        "option `{name}` is given twice"
                    )));
                }
            }
            name => {
                return Err(Error::Unsupported(format!(
                    "option `{}` is not passed on",
                    shown(name)
                )));
            }
        }
    }
    Ok(options)
}
