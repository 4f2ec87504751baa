//! OpenAI's Chat Completions: `POST /v1/chat/completions` and `/v1/models`.

use nephron_model::{Clock, EventId, Phi, Sensitivity, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::json::Json;
use super::shape::Builder;
use crate::config::RequestLimits;
use crate::receive::{Call, Malformed, Received, check_size, messages, model};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::said::{Channel, Said};

/// A request, and how it wants to be answered.
pub(crate) struct Asked {
    pub(crate) received: Received,
    pub(crate) manner: Manner,
}

/// How an answer is written.
#[derive(Clone)]
pub(crate) struct Manner {
    /// The model, by the caller's word for it.
    pub(crate) model: String,
    pub(crate) is_streamed: bool,
    pub(crate) wants_usage: bool,
}

/// Fields of this API that are known and not offered.
const UNSUPPORTED: [&str; 12] = [
    "audio",
    "function_call",
    "functions",
    "logprobs",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "store",
    "top_logprobs",
    "web_search_options",
];

/// Fields that say something to OpenAI and nothing to the model: they stay here, whatever they hold.
const STAYS_HERE: [&str; 5] = [
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "user",
];

/// Reads the body of a request. Every string in it is searched, structural, kept here, or refused.
pub(crate) fn read(
    body: &[u8],
    conversation: Option<String>,
    limits: &RequestLimits,
    clock: &dyn Clock,
) -> Result<Asked, Malformed> {
    check_size(body, limits)?;
    let mut fields = Fields::of(Json::read(body)?, "", limits.unknown_fields)?;
    let model = model(&mut fields)?;
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
    let is_streamed = fields.flag("stream")?.unwrap_or_default();
    let mut wants_usage = false;
    if let Some(mut options) = fields.object("stream_options")? {
        wants_usage = options.flag("include_usage")?.unwrap_or_default();
        options.keep_here(&["include_obfuscation"]);
        options.finish(&[])?;
    }
    fields.keep_here(&STAYS_HERE);
    fields.finish(&UNSUPPORTED)?;
    let (messages, shape) = builder.finish();
    let call = Call {
        model: model.clone(),
        messages: Phi::new(messages),
        shape,
        max_tokens,
        temperature,
        wants_json,
    };
    Ok(Asked {
        received: Received {
            at: clock.now(),
            bytes: body.len(),
            conversation,
            sensitivity: Sensitivity::Phi,
            call,
        },
        manner: Manner {
            model,
            is_streamed,
            wants_usage,
        },
    })
}

/// Ids of tool calls are whatever a client sends back: the endpoint gets others in their place, the same for the same.
#[derive(Default)]
struct CallIds(Vec<String>);

impl CallIds {
    fn replace(&mut self, id: String) -> Json {
        let known = self.0.iter().position(|known| *known == id);
        let place = known.unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        });
        Json::Fixed(format!("call_{}", place + 1))
    }
}

const CALL_ID: &str = "the id of a tool call: 1 to 512 bytes";

fn call_id(fields: &mut Fields, name: &str) -> Result<String, Malformed> {
    let id = fields.text_that(name, CALL_ID, |id| (1..=512).contains(&id.len()))?;
    id.ok_or_else(|| wrong(&fields.at(name), CALL_ID))
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
    let name = message.text("name")?;
    let mut texts = read_content(&mut message)?;
    let mut own = None;
    match role.as_str() {
        "assistant" => {
            texts.extend(message.text("refusal")?);
            if let Some(calls) = message
                .list("tool_calls")?
                .filter(|calls| !calls.is_empty())
            {
                let path = message.at("tool_calls");
                let calls: Result<_, _> = calls
                    .into_iter()
                    .enumerate()
                    .map(|(index, call)| read_call(call, &format!("{path}[{index}]"), ids))
                    .collect();
                own = Some(("tool_calls", Json::List(calls?)));
            }
            // What the SDKs write into a message that they hand back.
            message.keep_here(&["annotations"]);
        }
        "tool" => {
            let id = call_id(&mut message, "tool_call_id")?;
            own = Some(("tool_call_id", ids.replace(id)));
        }
        _ => {}
    }
    if texts.is_empty() && own.is_none() {
        return Err(wrong(&message.at("content"), "a string or a list of parts"));
    }
    let own = own.map(|(key, value)| Json::Object(vec![(key.to_owned(), value)]));
    message.finish(&["audio", "function_call"])?;
    builder.message(&role, texts, name, own);
    Ok(())
}

/// A string, or a list of parts of text.
fn read_content(message: &mut Fields) -> Result<Vec<String>, Malformed> {
    let path = message.at("content");
    match message.take("content") {
        None => Ok(Vec::new()),
        Some(Json::Text(text)) => Ok(vec![text]),
        Some(Json::List(parts)) => {
            let read = |(index, part): (usize, Json)| {
                let mut part = Fields::of(part, &format!("{path}[{index}]"), message.unknown())?;
                let of = match part.text("type")?.as_deref() {
                    Some("text") => "text",
                    Some("refusal") => "refusal",
                    Some("image_url" | "input_audio" | "file") => {
                        return Err(wrong(
                            &part.at("type"),
                            "`text`: images, audio and files cannot be searched for identifiers, and are refused",
                        ));
                    }
                    Some(_) | None => return Err(wrong(&part.at("type"), "`text`")),
                };
                let text = part.text(of)?;
                let text = text.ok_or_else(|| wrong(&part.at(of), "a string"))?;
                part.keep_here(&["annotations", "prompt_cache_breakpoint"]);
                part.finish(&[])?;
                Ok(text)
            };
            parts.into_iter().enumerate().map(read).collect()
        }
        Some(_) => Err(wrong(&path, "a string or a list of parts")),
    }
}

const TOOL_NAME: &str = "the name of a tool: 1 to 64 of letters, digits, `_` and `-`";

fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A function's name.
fn tool_name(function: &mut Fields) -> Result<(String, Json), Malformed> {
    let name = function.text_that("name", TOOL_NAME, is_tool_name)?;
    let name = name.ok_or_else(|| wrong(&function.at("name"), TOOL_NAME))?;
    Ok(("name".to_owned(), Json::Fixed(name)))
}

fn function_of(value: &mut Fields) -> Result<Fields, Malformed> {
    let kind = value.text_that("type", "`function`", |kind| kind == "function")?;
    kind.ok_or_else(|| wrong(&value.at("type"), "`function`"))?;
    let function = value.object("function")?;
    function.ok_or_else(|| wrong(&value.at("function"), "an object"))
}

fn of_function(mut entries: Vec<(String, Json)>, function: Vec<(String, Json)>) -> Json {
    entries.push(("type".to_owned(), Json::fixed("function")));
    entries.push(("function".to_owned(), Json::Object(function)));
    Json::Object(entries)
}

/// One call of an assistant's: `arguments` is JSON inside a string, and searched leaf by leaf.
fn read_call(call: Json, path: &str, ids: &mut CallIds) -> Result<Json, Malformed> {
    let mut call = Fields::of(call, path, Default::default())?;
    let id = call_id(&mut call, "id")?;
    let mut function = function_of(&mut call)?;
    let name = tool_name(&mut function)?;
    let arguments = function.text("arguments")?;
    let arguments =
        Phi::new(arguments.ok_or_else(|| wrong(&function.at("arguments"), "a string"))?);
    // A model may have written what is no JSON; then it is text like any other, unless an escape could hide a letter.
    let arguments = match Json::read(arguments.expose().as_bytes()) {
        Ok(value) => Json::Embedded(Box::new(value)),
        Err(_) if !arguments.expose().contains('\\') => Json::Text(arguments.expose().clone()),
        Err(_) => return Err(wrong(&function.at("arguments"), "JSON in a string")),
    };
    function.finish(&[])?;
    call.keep_here(&["index"]);
    call.finish(&[])?;
    Ok(of_function(
        vec![("id".to_owned(), ids.replace(id))],
        vec![name, ("arguments".to_owned(), arguments)],
    ))
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
    for (name, rule, bounds) in [
        ("frequency_penalty", "from -2 to 2", -2.0..=2.0),
        ("presence_penalty", "from -2 to 2", -2.0..=2.0),
        ("top_p", "from 0 to 1", 0.0..=1.0),
    ] {
        let number = fields.number(name, rule, bounds)?;
        if let Some(number) = number.and_then(serde_json::Number::from_f64) {
            builder.option(name, Json::Exact(number));
        }
    }
    if let Some(seed) = fields.count("seed")? {
        // Digits that nobody chose for a person; a random number is not searched.
        builder.option("seed", Json::Exact(seed.into()));
    }
    if let Some(several) = fields.flag("parallel_tool_calls")? {
        builder.option("parallel_tool_calls", Json::Bool(several));
    }
    const EFFORT: &str = "`none`, `minimal`, `low`, `medium`, `high` or `xhigh`";
    let effort = fields.text_that("reasoning_effort", EFFORT, |effort| {
        ["none", "minimal", "low", "medium", "high", "xhigh"].contains(&effort)
    })?;
    if let Some(effort) = effort {
        builder.option("reasoning_effort", Json::Fixed(effort));
    }
    const VERBOSITY: &str = "`low`, `medium` or `high`";
    let verbosity = fields.text_that("verbosity", VERBOSITY, |word| {
        ["low", "medium", "high"].contains(&word)
    })?;
    if let Some(verbosity) = verbosity {
        builder.option("verbosity", Json::Fixed(verbosity));
    }
    if let Some(tools) = fields.list("tools")?.filter(|tools| !tools.is_empty()) {
        let tools: Result<_, _> = tools
            .into_iter()
            .enumerate()
            .map(|(index, tool)| read_tool(tool, &format!("tools[{index}]")))
            .collect();
        builder.option("tools", Json::List(tools?));
    }
    match fields.take("tool_choice") {
        None => {}
        Some(Json::Text(word)) if ["none", "auto", "required"].contains(&word.as_str()) => {
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
        Some(_) => {
            return Err(wrong(
                "tool_choice",
                "`none`, `auto`, `required` or an object that names a function",
            ));
        }
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

/// `description`, a schema and `strict`.
fn schema_entries(
    fields: &mut Fields,
    schema: &'static str,
) -> Result<Vec<(String, Json)>, Malformed> {
    let mut entries = Vec::new();
    if let Some(text) = fields.text("description")? {
        entries.push(("description".to_owned(), Json::Text(text)));
    }
    match fields.take(schema) {
        None => {}
        Some(value @ Json::Object(_)) => entries.push((schema.to_owned(), value)),
        Some(_) => return Err(wrong(&fields.at(schema), "an object: a JSON Schema")),
    }
    if let Some(strict) = fields.flag("strict")? {
        entries.push(("strict".to_owned(), Json::Bool(strict)));
    }
    Ok(entries)
}

/// The format, and whether it is one of JSON.
fn read_format(mut format: Fields) -> Result<(Json, bool), Malformed> {
    const KINDS: &str = "`text`, `json_object` or `json_schema`";
    let kind = format.text_that("type", KINDS, |kind| {
        ["text", "json_object", "json_schema"].contains(&kind)
    })?;
    let kind = kind.ok_or_else(|| wrong(&format.at("type"), KINDS))?;
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
pub(crate) fn reply(reply: &Reply, manner: &Manner, at: Timestamp) -> Phi<String> {
    let (Some(said), Some(event)) = (reply.said(), reply.event()) else {
        return Phi::new(error(reply.event(), reply.refusal()).to_string());
    };
    let said = said.expose();
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
    let body = json!({
        "id": id(event),
        "object": "chat.completion",
        "created": at.seconds,
        "model": manner.model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish(said) }],
        "usage": usage(said),
    });
    Phi::new(body.to_string())
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

/// What a refusal looks like: OpenAI's error, with our event id and reason codes beside its fields.
pub(crate) fn error(event: Option<EventId>, refusal: Option<&Refusal>) -> Value {
    let (code, message, reasons) = refusal.map_or_else(
        || {
            (
                "not-found",
                "there is nothing at this path".to_owned(),
                Vec::new(),
            )
        },
        |refusal| (refusal.code(), refusal.to_string(), refusal.reasons()),
    );
    let param = match refusal {
        Some(Refusal::Malformed(Malformed::Field { field, .. })) => Some(field.as_str()),
        Some(Refusal::NoRoute) => Some("model"),
        _ => None,
    };
    json!({ "error": {
        "message": message,
        "type": refusal.map_or("invalid_request_error", kind),
        "param": param,
        "code": code,
        "event": event.map(|event| event.to_string()),
        "reasons": reasons,
    } })
}

/// The same where there is nothing to be refused.
pub(crate) fn nowhere(message: &str) -> Value {
    json!({ "error": {
        "message": message, "type": "invalid_request_error", "param": null, "code": "not-found", "event": null,
        "reasons": [],
    } })
}

/// OpenAI's class of error.
const fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_)
        | Refusal::NoRoute
        | Refusal::NoTenant { .. }
        | Refusal::TooSlow
        | Refusal::CallerGone => "invalid_request_error",
        Refusal::Unauthenticated(_) => "authentication_error",
        Refusal::Denied { .. }
        | Refusal::NoAgreement { .. }
        | Refusal::UnknownObligation { .. } => "permission_error",
        Refusal::TooBusy => "rate_limit_error",
        Refusal::PluginFailed { .. }
        | Refusal::Key(_)
        | Refusal::Incomplete { .. }
        | Refusal::Upstream { .. }
        | Refusal::AnswerTooLarge { .. }
        | Refusal::NotRecorded(_)
        | Refusal::Stopping => "server_error",
    }
}

/// One event of a stream of server-sent events (WHATWG HTML, section 9.2), as OpenAI's clients expect it.
pub(crate) struct Chunks {
    id: String,
    created: u64,
    manner: Manner,
}

impl Chunks {
    pub(crate) fn new(event: EventId, manner: Manner, at: Timestamp) -> Self {
        Self {
            id: id(event),
            created: at.seconds,
            manner,
        }
    }

    /// The first: who speaks.
    pub(crate) fn opened(&self) -> Phi<String> {
        self.delta(&json!({ "role": "assistant", "content": "", "refusal": null }))
    }

    /// What is new about a tool call.
    pub(crate) fn call(&self, index: u32, id: Option<&str>, name: Option<&str>) -> Phi<String> {
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

    pub(crate) fn text(&self, channel: Channel, text: &str) -> Phi<String> {
        self.delta(&match channel {
            Channel::Text => json!({ "content": text }),
            Channel::Refusal => json!({ "refusal": text }),
            Channel::Arguments(index) => {
                json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] })
            }
        })
    }

    /// The last ones: why it ended, what it cost if that was asked for, and the mark of the end.
    pub(crate) fn done(&self, said: &Said) -> Phi<String> {
        let end = self.chunk(&json!({}), Some(finish(said)), None);
        let mut text = event(&end);
        if self.manner.wants_usage {
            let mut last = self.chunk(&json!({}), None, Some(usage(said)));
            if let Some(last) = last.as_object_mut() {
                last.insert("choices".to_owned(), json!([]));
            }
            text.expose_mut().push_str(event(&last).expose());
        }
        text.expose_mut().push_str("data: [DONE]\n\n");
        text
    }

    fn delta(&self, delta: &Value) -> Phi<String> {
        event(&self.chunk(delta, None, None))
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

/// A stream that broke off: OpenAI's clients raise an `APIError` on this.
pub(crate) fn broken(reply: &Reply) -> Phi<String> {
    event(&error(reply.event(), reply.refusal()))
}

fn event(value: &impl Serialize) -> Phi<String> {
    let text = Phi::new(serde_json::to_string(value).unwrap_or_default());
    Phi::new(["data: ", text.expose(), "\n\n"].concat())
}

/// One model, as `/v1/models/{id}` gives it.
pub(crate) fn model_entry(id: &str, owner: Option<&str>) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": owner.unwrap_or("nephron") })
}

#[cfg(test)]
#[path = "chat/tests.rs"]
mod tests;
