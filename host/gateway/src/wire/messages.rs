//! Anthropic's Messages: `POST /v1/messages`, and `/v1/models` as Anthropic's clients read it.

use std::collections::BTreeMap;

use nephron_model::{EventId, Phi};
use serde_json::{Value, json};

use super::blob::{self, Blob, Content};
use super::fields::{Fields, UnknownFields, wrong};
use super::json::Json;
use super::shape::Builder;
use super::told::Told;
use super::tools::{
    self, CallIds, Named, Unnamed, call_id, each, of_function, schema_entries, tool_name,
};
use super::{Api, Events, Manner, event};
use crate::config::RequestLimits;
use crate::receive::{Call, Malformed, messages, model};
use crate::said::{Channel, Said};

/// Fields of this API that are known and not offered.
const UNSUPPORTED: [&str; 7] = [
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "prefill",
    "speed",
];

/// Fields that say something to Anthropic and nothing to the model: they stay here, whatever they hold.
const STAYS_HERE: [&str; 5] = [
    "cache_control",
    "metadata",
    "service_tier",
    "user_profile_id",
    "workspace_id",
];

/// Reads the fields of a request.
pub(super) fn read(
    mut fields: Fields,
    limits: &RequestLimits,
) -> Result<(Call, Manner), Malformed> {
    let mut manner = Manner::of(Api::Messages, model(&mut fields)?);
    let mut builder = Builder::default();
    if let Some(system) = fields.take("system") {
        let contents = read_instructions(system, "system", limits.unknown_fields)?;
        builder.message("system", contents, None, None);
    }
    let mut ids = CallIds::default();
    for (index, message) in messages(&mut fields, limits)?.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let message = Fields::of(message, &path, limits.unknown_fields)?;
        read_message(message, &mut ids, &mut builder)?;
    }
    let max_tokens = fields.count("max_tokens")?.filter(|most| *most > 0);
    let max_tokens = max_tokens.ok_or_else(|| wrong("max_tokens", "a whole number from 1"))?;
    let temperature = fields.number("temperature", "from 0 to 1", 0.0..=1.0)?;
    builder.stops(stops(&mut fields)?);
    let wants_json = read_options(&mut fields, &mut builder)?;
    manner.is_streamed = fields.flag("stream")?.unwrap_or_default();
    fields.keep_here(&STAYS_HERE);
    fields.finish(&UNSUPPORTED)?;
    let model = manner.model.clone();
    let call = builder.call(model, Some(max_tokens), temperature, wants_json);
    blob::check_count(&call.blobs, "messages")?;
    Ok((call, manner))
}

/// What a system says: a string, or a list of blocks of text.
fn read_instructions(
    content: Json,
    path: &str,
    unknown: UnknownFields,
) -> Result<Vec<Content>, Malformed> {
    let contents = read_contents(content, path, unknown)?;
    let is_blob = |content: &Content| matches!(content, Content::Blob(_));
    match contents.iter().any(is_blob) {
        true => Err(wrong(path, "a string or a list of blocks of text")),
        false => Ok(contents),
    }
}

/// One block of a message.
enum Block {
    Content(Content),
    Call(Json),
    Result {
        id: Json,
        contents: Vec<Content>,
        is_error: bool,
    },
}

/// A message of theirs is one or more of ours: each result of a tool is a message by itself.
fn read_message(
    mut message: Fields,
    ids: &mut CallIds,
    builder: &mut Builder,
) -> Result<(), Malformed> {
    const RULE: &str = "`user`, `assistant` or `system`";
    let role = message.text_that("role", RULE, |role| {
        ["user", "assistant", "system"].contains(&role)
    })?;
    let role = role.ok_or_else(|| wrong(&message.at("role"), RULE))?;
    let path = message.at("content");
    if role == "system" {
        let content = message.take("content").unwrap_or(Json::Null);
        let contents = read_instructions(content, &path, message.unknown())?;
        message.finish(&[])?;
        builder.message(&role, contents, None, None);
        return Ok(());
    }
    let is_assistant = role == "assistant";
    let blocks = match message.take("content") {
        Some(Json::Text(text)) => vec![Block::Content(Content::Text(text))],
        Some(Json::List(blocks)) if !blocks.is_empty() => each(blocks, &path, |block, path| {
            let block = Fields::of(block, path, message.unknown())?;
            read_block(block, is_assistant, ids)
        })?,
        _ => return Err(wrong(&path, "a string or a list of blocks")),
    };
    message.finish(&[])?;
    let (mut contents, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Content(content) => contents.push(content),
            Block::Call(call) => calls.push(call),
            Block::Result {
                id,
                contents: result,
                is_error,
            } => {
                if !contents.is_empty() {
                    builder.message(&role, std::mem::take(&mut contents), None, None);
                }
                let mut own = vec![("tool_call_id".to_owned(), id)];
                if is_error {
                    own.push(("is_error".to_owned(), Json::Bool(true)));
                }
                builder.message("tool", result, None, Some(Json::Object(own)));
            }
        }
    }
    let own = (!calls.is_empty()).then(|| tools::calls(calls));
    if !contents.is_empty() || own.is_some() {
        builder.message(&role, contents, None, own);
    }
    Ok(())
}

fn read_block(
    mut block: Fields,
    is_assistant: bool,
    ids: &mut CallIds,
) -> Result<Block, Malformed> {
    const RULE: &str = "`text`, `image`, `document`, `tool_use` or `tool_result`";
    let kind = block.text("type")?.unwrap_or_default();
    let read = match (kind.as_str(), is_assistant) {
        ("text", _) | ("image" | "document", false) => {
            Block::Content(read_content(&kind, &mut block)?)
        }
        ("tool_use", true) => {
            let id = call_id(&mut block, "id")?;
            let name = tool_name(&mut block)?;
            let input = block.take("input").unwrap_or(Json::Object(Vec::new()));
            if !matches!(input, Json::Object(_)) {
                return Err(wrong(&block.at("input"), "an object"));
            }
            block.keep_here(&["caller"]);
            let input = Json::Embedded(Box::new(input));
            Block::Call(tools::call(ids.replace(id), name, input))
        }
        ("tool_result", false) => {
            let id = call_id(&mut block, "tool_use_id")?;
            let path = block.at("content");
            let contents = match block.take("content") {
                None => Vec::new(),
                Some(content) => read_contents(content, &path, block.unknown())?,
            };
            Block::Result {
                id: ids.replace(id),
                contents,
                is_error: block.flag("is_error")?.unwrap_or_default(),
            }
        }
        ("tool_use", false) => {
            return Err(wrong(&block.at("type"), "in a message of the assistant"));
        }
        ("tool_result" | "image" | "document", true) => {
            return Err(wrong(&block.at("type"), "in a message of the user"));
        }
        _ => return Err(wrong(&block.at("type"), RULE)),
    };
    block.keep_here(&["cache_control"]);
    block.finish(&["toolset_name"])?;
    Ok(read)
}

/// A string, or a list of blocks that say something.
fn read_contents(
    content: Json,
    path: &str,
    unknown: UnknownFields,
) -> Result<Vec<Content>, Malformed> {
    if let Json::Text(text) = content {
        return Ok(vec![Content::Text(text)]);
    }
    let Json::List(blocks) = content else {
        return Err(wrong(path, "a string or a list of blocks"));
    };
    each(blocks, path, |block, path| {
        const RULE: &str = "`text`, `image` or `document`";
        let mut block = Fields::of(block, path, unknown)?;
        let kind = block.text_that("type", RULE, |kind| {
            ["text", "image", "document"].contains(&kind)
        })?;
        let kind = kind.ok_or_else(|| wrong(&block.at("type"), RULE))?;
        let content = read_content(&kind, &mut block)?;
        block.keep_here(&["cache_control"]);
        block.finish(&[])?;
        Ok(content)
    })
}

/// What a block of text, an image or a document holds.
fn read_content(kind: &str, block: &mut Fields) -> Result<Content, Malformed> {
    if kind == "text" {
        let text = block.text("text")?;
        block.keep_here(&["citations"]);
        let text = text.ok_or_else(|| wrong(&block.at("text"), "a string"))?;
        return Ok(Content::Text(text));
    }
    // A document's own words beside its data: a block of text says the same, and is searched.
    blob::refuse_words(block, &["citations", "context", "title"])?;
    let source = block.object("source")?;
    let mut source = source.ok_or_else(|| wrong(&block.at("source"), "an object"))?;
    const KIND: &str = "`base64`: what is fetched from elsewhere is not in the record of what was sent, so send it as data; \
                        and what is text as a block of text";
    let kind = source.text_that("type", KIND, |kind| kind == "base64")?;
    kind.ok_or_else(|| wrong(&source.at("type"), KIND))?;
    let media_type = source.text("media_type")?.unwrap_or_default();
    let place = source.at("data");
    let data = source.text("data")?.unwrap_or_default();
    source.finish(&[])?;
    Ok(Content::Blob(Blob::read(&media_type, data, place)?))
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, Malformed> {
    const RULE: &str = "a list of at most 16 strings";
    let stops = fields.list("stop_sequences")?.unwrap_or_default();
    if stops.len() > 16 {
        return Err(wrong("stop_sequences", RULE));
    }
    let text = |stop: Json| {
        stop.into_text()
            .ok_or_else(|| wrong("stop_sequences", RULE))
    };
    stops.into_iter().map(text).collect()
}

/// What is handed to the connector as it is, but for the strings in it. Returns whether the answer's text is to be JSON.
fn read_options(fields: &mut Fields, builder: &mut Builder) -> Result<bool, Malformed> {
    tools::numbers(fields, builder, &[("top_p", "from 0 to 1", 0.0..=1.0)])?;
    tools::top_k(fields, builder)?;
    if let Some(mut thinking) = fields.object("thinking")? {
        const RULE: &str = "`adaptive`, `between_tools` or `disabled`: what a model thinks is not passed on, and `enabled` has it \
                            handed back";
        let known = ["adaptive", "between_tools", "disabled"];
        let kind = tools::word(&mut thinking, "type", RULE, &known)?;
        let kind = kind.ok_or_else(|| wrong("thinking.type", RULE))?;
        thinking.keep_here(&["display"]);
        thinking.finish(&[])?;
        let entries = vec![("type".to_owned(), kind)];
        builder.option("thinking", Json::Object(entries));
    }
    if let Some(list) = fields.list("tools")?.filter(|tools| !tools.is_empty()) {
        builder.option("tools", Json::List(each(list, "tools", read_tool)?));
    }
    if let Some(choice) = fields.object("tool_choice")? {
        read_choice(choice, builder)?;
    }
    let mut wants_json = false;
    if let Some(mut config) = fields.object("output_config")? {
        tools::effort(&mut config, "effort", builder)?;
        if let Some(mut format) = config.object("format")? {
            const RULE: &str = "`json_schema`";
            let kind = format.text_that("type", RULE, |kind| kind == "json_schema")?;
            kind.ok_or_else(|| wrong(&format.at("type"), RULE))?;
            let mut schema = vec![("name".to_owned(), Json::fixed("answer"))];
            schema.extend(schema_entries(&mut format, "schema")?);
            format.finish(&[])?;
            let entries = vec![
                ("type".to_owned(), Json::fixed("json_schema")),
                ("json_schema".to_owned(), Json::Object(schema)),
            ];
            builder.option("response_format", Json::Object(entries));
            wants_json = true;
        }
        config.finish(&[])?;
    }
    Ok(wants_json)
}

/// A tool: its description and the schema of its input are searched.
fn read_tool(tool: Json, path: &str) -> Result<Json, Malformed> {
    const RULE: &str = "`custom`, or left out: this gateway offers no tools of its own";
    let mut tool = Fields::of(tool, path, Default::default())?;
    tool.text_that("type", RULE, |kind| kind == "custom")?;
    let mut entries = vec![tool_name(&mut tool)?];
    for (key, value) in schema_entries(&mut tool, "input_schema")? {
        let key = match key.as_str() {
            "input_schema" => "parameters".to_owned(),
            _ => key,
        };
        entries.push((key, value));
    }
    tool.keep_here(&["cache_control", "eager_input_streaming"]);
    tool.finish(&["allowed_callers", "defer_loading", "input_examples"])?;
    Ok(of_function(Vec::new(), entries))
}

fn read_choice(mut choice: Fields, builder: &mut Builder) -> Result<(), Malformed> {
    const RULE: &str = "`auto`, `any`, `tool` or `none`";
    let value = match choice.text("type")?.as_deref() {
        Some("auto") => Json::fixed("auto"),
        Some("any") => Json::fixed("required"),
        Some("none") => Json::fixed("none"),
        Some("tool") => of_function(Vec::new(), vec![tool_name(&mut choice)?]),
        Some(_) | None => return Err(wrong(&choice.at("type"), RULE)),
    };
    builder.option("tool_choice", value);
    if let Some(is_disabled) = choice.flag("disable_parallel_tool_use")? {
        builder.option("parallel_tool_calls", Json::Bool(!is_disabled));
    }
    choice.finish(&[])
}

// ---- What goes back ----

/// The reply's body.
pub(super) fn reply(event: EventId, said: &Said, manner: &Manner) -> Value {
    let mut content = Vec::new();
    let text = [said.text.as_str(), &said.refusal].concat();
    if !text.is_empty() {
        content.push(json!({ "type": "text", "text": text, "citations": null }));
    }
    for call in said.tool_calls.values() {
        let input = input(&call.arguments);
        content
            .push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input }));
    }
    message(event, manner, &content, said)
}

fn message(event: EventId, manner: &Manner, content: &[Value], said: &Said) -> Value {
    json!({
        "id": format!("msg_{event}"),
        "type": "message",
        "role": "assistant",
        "model": manner.model,
        "content": content,
        "stop_reason": stop_reason(said),
        "stop_sequence": null,
        "usage": usage(said),
    })
}

/// The arguments as an object. What is none is wrapped, as Anthropic's documentation asks of whoever hands on a model's
/// broken JSON.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => input,
        Ok(_) | Err(_) => json!({ "INVALID_JSON": arguments }),
    }
}

fn stop_reason(said: &Said) -> &'static str {
    match said.stopped.as_deref() {
        _ if !said.refusal.is_empty() => "refusal",
        Some("content_filter") => "refusal",
        Some("length") => "max_tokens",
        Some("tool_calls") => "tool_use",
        Some(_) | None if !said.tool_calls.is_empty() => "tool_use",
        Some(_) | None => "end_turn",
    }
}

/// What the model counted; 0 where it counted nothing, because clients rely on numbers.
fn usage(said: &Said) -> Value {
    json!({
        "input_tokens": said.input_tokens.unwrap_or_default(),
        "output_tokens": said.output_tokens.unwrap_or_default(),
    })
}

/// An answer as a stream. Each text and each call is a block; all of them end with the answer, since what is held back of
/// one may come after another has begun.
pub(super) struct Blocks {
    event: EventId,
    manner: Manner,
    /// The index of the block of each channel.
    begun: BTreeMap<Channel, usize>,
    unnamed: Unnamed,
}

impl Blocks {
    pub(super) fn new(event: EventId, manner: &Manner) -> Self {
        Self {
            event,
            manner: manner.clone(),
            begun: BTreeMap::new(),
            unnamed: Unnamed::default(),
        }
    }

    /// The block of a call, with what has come of its arguments.
    fn begin_call(&mut self, index: u32, call: &Named) -> Phi<String> {
        let Named {
            id,
            name,
            arguments,
        } = call;
        let channel = Channel::Arguments(index);
        let mut events = self.begin(
            channel,
            &json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
        );
        if !arguments.expose().is_empty() {
            let rest = self.text(channel, arguments.expose());
            events.expose_mut().push_str(rest.expose());
        }
        events
    }

    fn begin(&mut self, channel: Channel, block: &Value) -> Phi<String> {
        let index = self.begun.len();
        self.begun.insert(channel, index);
        named(&json!({ "type": "content_block_start", "index": index, "content_block": block }))
    }
}

impl Events for Blocks {
    fn opened(&mut self) -> Phi<String> {
        let mut message = message(self.event, &self.manner, &[], &Said::default());
        if let Some(message) = message.as_object_mut() {
            message.insert("stop_reason".to_owned(), Value::Null);
        }
        named(&json!({ "type": "message_start", "message": message }))
    }

    /// A block begins with its id and name.
    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>) -> Phi<String> {
        if self.begun.contains_key(&Channel::Arguments(index)) {
            return Phi::default();
        }
        match self.unnamed.named(index, id, name) {
            Some(call) => self.begin_call(index, &call),
            None => Phi::default(),
        }
    }

    fn text(&mut self, channel: Channel, text: &str) -> Phi<String> {
        // The words of a refusal are text like any other here.
        let (channel, delta) = match channel {
            Channel::Text | Channel::Refusal => {
                (Channel::Text, json!({ "type": "text_delta", "text": text }))
            }
            Channel::Arguments(_) => (
                channel,
                json!({ "type": "input_json_delta", "partial_json": text }),
            ),
        };
        let mut events = match (self.begun.contains_key(&channel), channel) {
            (true, _) => Phi::default(),
            (false, Channel::Arguments(index)) => {
                self.unnamed.keep(index, text);
                return Phi::default();
            }
            (false, Channel::Text | Channel::Refusal) => {
                self.begin(channel, &json!({ "type": "text", "text": "" }))
            }
        };
        let index = self.begun.get(&channel);
        let delta = json!({ "type": "content_block_delta", "index": index, "delta": delta });
        events.expose_mut().push_str(named(&delta).expose());
        events
    }

    fn done(&mut self, said: &Said) -> Phi<String> {
        let mut events = Phi::new(String::new());
        for (index, call) in self.unnamed.rest() {
            let begun = self.begin_call(index, &call);
            events.expose_mut().push_str(begun.expose());
        }
        let mut push = |value: &Value| events.expose_mut().push_str(named(value).expose());
        for index in 0..self.begun.len() {
            push(&json!({ "type": "content_block_stop", "index": index }));
        }
        let delta = json!({ "stop_reason": stop_reason(said), "stop_sequence": null });
        push(&json!({ "type": "message_delta", "delta": delta, "usage": usage(said) }));
        push(&json!({ "type": "message_stop" }));
        events
    }

    /// Anthropic's clients raise an `APIStatusError` on this.
    fn broken(&mut self, told: &Told) -> Phi<String> {
        event(Some("error"), &told.as_anthropic())
    }
}

/// An event under the name that is its type.
fn named(data: &Value) -> Phi<String> {
    event(data.get("type").and_then(Value::as_str), data)
}

/// One model, as Anthropic's clients read it.
pub(super) fn model_entry(id: &str) -> Value {
    json!({ "type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z" })
}

/// The list of all of them, in one page.
pub(super) fn model_list(entries: &[Value]) -> Value {
    let id = |entry: Option<&Value>| entry.and_then(|entry| entry.get("id")).cloned();
    let (first, last) = (id(entries.first()), id(entries.last()));
    json!({ "data": entries, "has_more": false, "first_id": first, "last_id": last })
}

#[cfg(test)]
#[path = "messages/tests.rs"]
mod tests;
