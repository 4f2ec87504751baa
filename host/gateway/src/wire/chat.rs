//! OpenAI's Chat Completions: `POST /v1/chat/completions` and `/v1/models`.

use nephron_model::{EventId, Phi, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::blob::{self, Blob, Content};
use super::fields::{Fields, wrong};
use super::json::Json;
use super::shape::Builder;
use super::told::Told;
use super::tools::{
    self, CallIds, arguments, call_id, each, of_function, schema_entries, tool_name,
};
use super::{Api, Events, Manner, OPENAIS_OWN, event};
use crate::config::RequestLimits;
use crate::receive::{Call, Malformed, messages, model};
use crate::said::{Channel, Said};

/// Fields of this API that are known and not offered.
const UNSUPPORTED: [&str; 10] = [
    "audio",
    "function_call",
    "functions",
    "logprobs",
    "modalities",
    "moderation",
    "prediction",
    "store",
    "top_logprobs",
    "web_search_options",
];

/// Reads the fields of a request.
pub(super) fn read(
    mut fields: Fields,
    limits: &RequestLimits,
) -> Result<(Call, Manner), Malformed> {
    let mut manner = Manner::of(Api::Chat, model(&mut fields)?);
    let mut builder = Builder::default();
    let mut ids = CallIds::default();
    for (index, message) in messages(&mut fields, limits)?.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let message = Fields::of(message, &path, limits.unknown_fields)?;
        read_message(message, &mut ids, &mut builder)?;
    }
    let max_tokens = match fields.count("max_completion_tokens")? {
        Some(count) => {
            fields.keep_here(&["max_tokens"]);
            Some(count)
        }
        None => fields.count("max_tokens")?,
    };
    let temperature = fields.number("temperature", "from 0 to 2", 0.0..=2.0)?;
    builder.stops(stops(&mut fields)?);
    let wants_json = read_options(&mut fields, &mut builder)?;
    if fields.count("n")?.is_some_and(|n| n != 1) {
        return Err(wrong("n", "1, or left out"));
    }
    // What these ask for by default is what happens anyway.
    for (name, usual) in [("store", false), ("logprobs", false)] {
        if fields.flag(name)?.is_some_and(|value| value != usual) {
            return Err(wrong(
                name,
                "false, or left out: this gateway does not offer it",
            ));
        }
    }
    manner.is_streamed = fields.flag("stream")?.unwrap_or_default();
    if let Some(mut options) = fields.object("stream_options")? {
        manner.wants_usage = options.flag("include_usage")?.unwrap_or_default();
        options.keep_here(&["include_obfuscation"]);
        options.finish(&[])?;
    }
    fields.keep_here(&OPENAIS_OWN);
    fields.finish(&UNSUPPORTED)?;
    let call = builder.call(manner.model.clone(), max_tokens, temperature, wants_json);
    blob::check_count(&call.blobs, "messages")?;
    Ok((call, manner))
}

fn read_message(
    mut message: Fields,
    ids: &mut CallIds,
    builder: &mut Builder,
) -> Result<(), Malformed> {
    const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];
    const RULE: &str = "`system`, `developer`, `user`, `assistant` or `tool`";
    let role = message.text_that("role", RULE, |role| ROLES.contains(&role))?;
    let role = role.ok_or_else(|| wrong(&message.at("role"), RULE))?;
    let name = match role.as_str() {
        "tool" => tools::named_tool(&mut message)?,
        _ => message.text("name")?.map(Json::Text),
    };
    let mut contents = read_content(&mut message)?;
    let mut own = None;
    match role.as_str() {
        "assistant" => {
            contents.extend(message.text("refusal")?.map(Content::Text));
            if let Some(calls) = message
                .list("tool_calls")?
                .filter(|calls| !calls.is_empty())
            {
                let path = message.at("tool_calls");
                let calls = each(calls, &path, |call, path| read_call(call, path, ids));
                own = Some(tools::calls(calls?));
            }
            // What the SDKs write into a message that they hand back.
            message.keep_here(&["annotations"]);
        }
        "tool" => {
            let id = call_id(&mut message, "tool_call_id")?;
            own = Some(Json::Object(vec![(
                "tool_call_id".to_owned(),
                ids.replace(id),
            )]));
        }
        _ => {}
    }
    if contents.is_empty() && own.is_none() {
        return Err(wrong(&message.at("content"), "a string or a list of parts"));
    }
    message.finish(&["audio", "function_call"])?;
    builder.message(&role, contents, name, own);
    Ok(())
}

/// A string, or a list of parts.
fn read_content(message: &mut Fields) -> Result<Vec<Content>, Malformed> {
    let path = message.at("content");
    match message.take("content") {
        None => Ok(Vec::new()),
        Some(Json::Text(text)) => Ok(vec![Content::Text(text)]),
        Some(Json::List(parts)) => each(parts, &path, |part, path| {
            read_part(Fields::of(part, path, message.unknown())?)
        }),
        Some(_) => Err(wrong(&path, "a string or a list of parts")),
    }
}

fn read_part(mut part: Fields) -> Result<Content, Malformed> {
    const RULE: &str = "`text`, `refusal`, `image_url`, `input_audio` or `file`";
    let kind = part.text("type")?.unwrap_or_default();
    let content = match kind.as_str() {
        "text" | "refusal" => {
            let text = part.text(&kind)?;
            Content::Text(text.ok_or_else(|| wrong(&part.at(&kind), "a string"))?)
        }
        "image_url" => {
            let image = part.object("image_url")?;
            let mut image = image.ok_or_else(|| wrong(&part.at("image_url"), "an object"))?;
            let blob = Blob::of_data_url(&mut image, "url")?;
            image.keep_here(&["detail"]);
            image.finish(&[])?;
            Content::Blob(blob)
        }
        "input_audio" => Content::Blob(Blob::of_audio(&mut part)?),
        "file" => {
            let file = part.object("file")?;
            let mut file = file.ok_or_else(|| wrong(&part.at("file"), "an object"))?;
            blob::refuse_elsewhere(&mut file, &["file_id"])?;
            let blob = Blob::of_data_url(&mut file, "file_data")?;
            file.keep_here(&["filename"]);
            file.finish(&[])?;
            Content::Blob(blob)
        }
        _ => return Err(wrong(&part.at("type"), RULE)),
    };
    part.keep_here(&["annotations", "prompt_cache_breakpoint"]);
    part.finish(&[])?;
    Ok(content)
}

fn function_of(value: &mut Fields) -> Result<Fields, Malformed> {
    let kind = value.text_that("type", "`function`", |kind| kind == "function")?;
    kind.ok_or_else(|| wrong(&value.at("type"), "`function`"))?;
    let function = value.object("function")?;
    function.ok_or_else(|| wrong(&value.at("function"), "an object"))
}

/// One call of an assistant's: `arguments` is JSON inside a string, and searched leaf by leaf.
fn read_call(call: Json, path: &str, ids: &mut CallIds) -> Result<Json, Malformed> {
    let mut call = Fields::of(call, path, Default::default())?;
    let id = call_id(&mut call, "id")?;
    let mut function = function_of(&mut call)?;
    let name = tool_name(&mut function)?;
    let arguments = arguments(&mut function)?;
    function.finish(&[])?;
    call.keep_here(&["index"]);
    call.finish(&[])?;
    Ok(tools::call(ids.replace(id), name, arguments))
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, Malformed> {
    const RULE: &str = "a string, or a list of at most 16";
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Json::Text(stop)) => Ok(vec![stop]),
        Some(Json::List(stops)) if stops.len() <= 16 => stops
            .into_iter()
            .map(|stop| stop.into_text().ok_or_else(|| wrong("stop", RULE)))
            .collect(),
        Some(_) => Err(wrong("stop", RULE)),
    }
}

/// What is handed to the connector as it is, but for the strings in it.
///
/// Returns whether the answer's text is to be JSON.
fn read_options(fields: &mut Fields, builder: &mut Builder) -> Result<bool, Malformed> {
    let known = [
        ("frequency_penalty", "from -2 to 2", -2.0..=2.0),
        ("presence_penalty", "from -2 to 2", -2.0..=2.0),
        ("top_p", "from 0 to 1", 0.0..=1.0),
    ];
    tools::numbers(fields, builder, &known)?;
    tools::logit_bias(fields, builder)?;
    if let Some(seed) = fields.integer("seed")? {
        // Digits that nobody chose for a person; a random number is not searched.
        builder.option("seed", Json::Exact(seed.into()));
    }
    // None of OpenAI's, but servers of this family take it.
    tools::top_k(fields, builder)?;
    if let Some(several) = fields.flag("parallel_tool_calls")? {
        builder.option("parallel_tool_calls", Json::Bool(several));
    }
    tools::effort(fields, "reasoning_effort", builder)?;
    tools::verbosity(fields, builder)?;
    if let Some(tools) = fields.list("tools")?.filter(|tools| !tools.is_empty()) {
        builder.option("tools", Json::List(each(tools, "tools", read_tool)?));
    }
    match fields.take("tool_choice") {
        None => {}
        Some(Json::Text(word)) if tools::CHOICES.contains(&word.as_str()) => {
            builder.option("tool_choice", Json::Fixed(word));
        }
        Some(choice @ Json::Object(_)) => {
            let mut choice = Fields::of(choice, "tool_choice", Default::default())?;
            let mut function = function_of(&mut choice)?;
            let name = tool_name(&mut function)?;
            function.finish(&[])?;
            choice.finish(&[])?;
            builder.option("tool_choice", of_function(Vec::new(), vec![name]));
        }
        Some(_) => return Err(wrong("tool_choice", tools::CHOICE)),
    }
    let mut wants_json = false;
    if let Some(format) = fields.object("response_format")? {
        let (format, is_json) = read_format(format)?;
        wants_json = is_json;
        builder.option("response_format", format);
    }
    Ok(wants_json)
}

/// A tool: its description and the schema of its parameters are searched.
fn read_tool(tool: Json, path: &str) -> Result<Json, Malformed> {
    let mut tool = Fields::of(tool, path, Default::default())?;
    let mut function = function_of(&mut tool)?;
    let mut entries = vec![tool_name(&mut function)?];
    entries.extend(schema_entries(&mut function, "parameters")?);
    function.finish(&[])?;
    tool.finish(&[])?;
    Ok(of_function(Vec::new(), entries))
}

/// The format, and whether it is one of JSON.
fn read_format(mut format: Fields) -> Result<(Json, bool), Malformed> {
    let kind = tools::format_kind(&mut format)?;
    let mut entries = vec![("type".to_owned(), Json::fixed(&kind))];
    if kind == "json_schema" {
        let schema = format.object("json_schema")?;
        let mut schema = schema.ok_or_else(|| wrong("response_format.json_schema", "an object"))?;
        let mut inner = vec![tool_name(&mut schema)?];
        inner.extend(schema_entries(&mut schema, "schema")?);
        schema.finish(&[])?;
        entries.push(("json_schema".to_owned(), Json::Object(inner)));
    }
    format.finish(&[])?;
    Ok((Json::Object(entries), kind != "text"))
}

// ---- What goes back ----

/// The reply's body.
pub(super) fn reply(event: EventId, said: &Said, manner: &Manner, at: Timestamp) -> Value {
    let calls: Vec<Value> = said
        .tool_calls
        .values()
        .map(|call| {
            json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
        })
        .collect();
    let content = if said.text.is_empty() && !(calls.is_empty() && said.refusal.is_empty()) {
        Value::Null
    } else {
        said.text.as_str().into()
    };
    let refusal = (!said.refusal.is_empty()).then_some(said.refusal.as_str());
    let mut message = json!({ "role": "assistant", "content": content, "refusal": refusal });
    if let (false, Some(message)) = (calls.is_empty(), message.as_object_mut()) {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    json!({
        "id": id(event),
        "object": "chat.completion",
        "created": at.seconds,
        "model": manner.model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish(said) }],
        "usage": usage(said),
    })
}

fn id(event: EventId) -> String {
    format!("chatcmpl-{event}")
}

fn finish(said: &Said) -> &str {
    match said.stopped.as_deref() {
        Some(why @ ("stop" | "length" | "tool_calls" | "content_filter")) => why,
        Some(_) | None if !said.tool_calls.is_empty() => "tool_calls",
        Some(_) | None => "stop",
    }
}

/// What the model counted; 0 where it counted nothing, because clients rely on numbers.
fn usage(said: &Said) -> Value {
    let input = said.input_tokens.unwrap_or_default();
    let output = said.output_tokens.unwrap_or_default();
    let total = input.saturating_add(output);
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total })
}

/// An answer as a stream.
pub(super) struct Chunks {
    id: String,
    created: u64,
    manner: Manner,
}

impl Chunks {
    pub(super) fn new(event: EventId, manner: Manner, at: Timestamp) -> Self {
        Self {
            id: id(event),
            created: at.seconds,
            manner,
        }
    }

    fn delta(&self, delta: &Value) -> Phi<String> {
        event(None, &self.chunk(delta, None, None))
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>, usage: Option<Value>) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.manner.model,
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }],
        });
        if let (true, Some(chunk)) = (self.manner.wants_usage, chunk.as_object_mut()) {
            chunk.insert("usage".to_owned(), usage.unwrap_or(Value::Null));
        }
        chunk
    }
}

impl Events for Chunks {
    fn opened(&mut self) -> Phi<String> {
        self.delta(&json!({ "role": "assistant", "content": "", "refusal": null }))
    }

    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>) -> Phi<String> {
        let call = CallDelta {
            index,
            id,
            kind: id.map(|_| "function"),
            function: FunctionDelta {
                name,
                arguments: "",
            },
        };
        self.delta(&json!({ "tool_calls": [call] }))
    }

    fn text(&mut self, channel: Channel, text: &str) -> Phi<String> {
        self.delta(&match channel {
            Channel::Text => json!({ "content": text }),
            Channel::Refusal => json!({ "refusal": text }),
            Channel::Arguments(index) => {
                json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] })
            }
        })
    }

    fn done(&mut self, said: &Said) -> Phi<String> {
        let end = self.chunk(&json!({}), Some(finish(said)), None);
        let mut text = event(None, &end);
        if self.manner.wants_usage {
            let mut last = self.chunk(&json!({}), None, Some(usage(said)));
            if let Some(last) = last.as_object_mut() {
                last.insert("choices".to_owned(), json!([]));
            }
            text.expose_mut().push_str(event(None, &last).expose());
        }
        text.expose_mut().push_str("data: [DONE]\n\n");
        text
    }

    /// OpenAI's clients raise an `APIError` on this.
    fn broken(&mut self, told: &Told) -> Phi<String> {
        event(None, &told.as_openai())
    }
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'static str,
}

/// One model, as `/v1/models/{id}` gives it.
pub(super) fn model_entry(id: &str, owner: Option<&str>) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": owner.unwrap_or("nephron") })
}

#[cfg(test)]
#[path = "chat/tests.rs"]
mod tests;
