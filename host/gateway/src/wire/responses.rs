//! OpenAI's Responses: `POST /v1/responses`. Nothing is stored: each request brings its whole history.

use nephron_model::{EventId, Phi, Timestamp};
use serde_json::{Value, json};

use super::blob::{self, Blob, Content};
use super::fields::{Fields, UnknownFields, wrong};
use super::json::Json;
use super::shape::Builder;
use super::told::Told;
use super::tools::{
    self, CallIds, Named, Unnamed, arguments, call_id, each, of_function, schema_entries, tool_name,
};
use super::{Api, Events, Manner, OPENAIS_OWN, event};
use crate::config::RequestLimits;
use crate::receive::{Call, Malformed, model};
use crate::said::{Channel, Said};

/// Fields of this API that are known and not offered.
const UNSUPPORTED: [&str; 11] = [
    "access_programs",
    "background",
    "background_options",
    "context_management",
    "conversation",
    "image",
    "moderation",
    "previous_response_id",
    "prompt",
    "store",
    "top_logprobs",
];

/// Reads the fields of a request.
pub(super) fn read(
    mut fields: Fields,
    limits: &RequestLimits,
) -> Result<(Call, Manner), Malformed> {
    let mut manner = Manner::of(Api::Responses, model(&mut fields)?);
    let mut builder = Builder::default();
    if let Some(instructions) = fields.text("instructions")? {
        builder.text("system", instructions);
    }
    match fields.take("input") {
        Some(Json::Text(text)) => builder.text("user", text),
        Some(Json::List(items)) if (1..=limits.messages).contains(&items.len()) => {
            let mut history = History::new(&mut builder);
            each(items, "input", |item, path| {
                history.read(Fields::of(item, path, limits.unknown_fields)?)
            })?;
            history.end_calls();
        }
        _ => {
            let rule = "a string, or a list of items no longer than `limits.messages`";
            return Err(wrong("input", rule));
        }
    }
    let max_tokens = fields.count("max_output_tokens")?;
    let temperature = fields.number("temperature", "from 0 to 2", 0.0..=2.0)?;
    let wants_json = read_options(&mut fields, &mut builder)?;
    // What these ask for by default is what happens anyway, or cannot be told apart from it.
    for name in ["store", "background"] {
        if fields.flag(name)?.unwrap_or_default() {
            return Err(wrong(
                name,
                "false, or left out: nothing is kept for later requests",
            ));
        }
    }
    // That the endpoint may cut what is too long for its model is no promise that it will.
    fields.text_that("truncation", "`auto` or `disabled`", |word| {
        ["auto", "disabled"].contains(&word)
    })?;
    // Of tools that the provider runs, and there are none.
    fields.count("max_tool_calls")?;
    read_include(&mut fields)?;
    manner.is_streamed = fields.flag("stream")?.unwrap_or_default();
    if let Some(mut options) = fields.object("stream_options")? {
        options.keep_here(&["include_obfuscation"]);
        options.finish(&[])?;
    }
    fields.keep_here(&OPENAIS_OWN);
    fields.finish(&UNSUPPORTED)?;
    let call = builder.call(manner.model.clone(), max_tokens, temperature, wants_json);
    blob::check_count(&call.blobs, "input")?;
    Ok((call, manner))
}

/// What a client that keeps its own history asks to have back: what a model thought, sealed by its provider. Nothing of that is
/// passed on, so nothing is missing when it is handed back.
fn read_include(fields: &mut Fields) -> Result<(), Malformed> {
    const RULE: &str =
        "a list of nothing but `reasoning.encrypted_content`, of which there will be none";
    let include = fields.list("include")?.unwrap_or_default();
    let is_taken =
        |word: &Json| matches!(word, Json::Text(word) if word == "reasoning.encrypted_content");
    match include.iter().all(is_taken) {
        true => Ok(()),
        false => Err(wrong("include", RULE)),
    }
}

/// Items that become messages.
struct History<'b> {
    builder: &'b mut Builder,
    ids: CallIds,
    /// Calls that follow one another are of one message.
    calls: Vec<Json>,
}

impl<'b> History<'b> {
    fn new(builder: &'b mut Builder) -> Self {
        Self {
            builder,
            ids: CallIds::default(),
            calls: Vec::new(),
        }
    }

    fn read(&mut self, mut item: Fields) -> Result<(), Malformed> {
        const KIND: &str = "`message`, `function_call` or `function_call_output`: anything else cannot be searched for \
                            identifiers, and is refused";
        // Ids and states of items are OpenAI's, or were made up by us.
        item.keep_here(&["id", "status", "phase"]);
        match item.text("type")?.as_deref() {
            None | Some("message") => {
                const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];
                const RULE: &str = "`system`, `developer`, `user` or `assistant`";
                let role = item.text_that("role", RULE, |role| ROLES.contains(&role))?;
                let role = role.ok_or_else(|| wrong(&item.at("role"), RULE))?;
                let contents = read_content(&mut item, "content")?;
                item.finish(&[])?;
                self.end_calls();
                self.builder.message(&role, contents, None, None);
            }
            Some("function_call") => {
                let id = self.ids.replace(call_id(&mut item, "call_id")?);
                let name = tool_name(&mut item)?;
                let arguments = arguments(&mut item)?;
                item.finish(&["caller", "namespace"])?;
                self.calls.push(tools::call(id, name, arguments));
            }
            Some("function_call_output") => {
                let id = self.ids.replace(call_id(&mut item, "call_id")?);
                let name = tools::named_tool(&mut item)?;
                let contents = read_content(&mut item, "output")?;
                item.finish(&["caller", "namespace"])?;
                self.end_calls();
                let own = Json::Object(vec![("tool_call_id".to_owned(), id)]);
                self.builder.message("tool", contents, name, Some(own));
            }
            Some(_) => return Err(wrong(&item.at("type"), KIND)),
        }
        Ok(())
    }

    fn end_calls(&mut self) {
        if !self.calls.is_empty() {
            let own = tools::calls(std::mem::take(&mut self.calls));
            self.builder
                .message("assistant", Vec::new(), None, Some(own));
        }
    }
}

/// A string, or a list of parts.
fn read_content(item: &mut Fields, name: &str) -> Result<Vec<Content>, Malformed> {
    let path = item.at(name);
    match item.take(name) {
        Some(Json::Text(text)) => Ok(vec![Content::Text(text)]),
        Some(Json::List(parts)) => each(parts, &path, |part, path| {
            read_part(part, path, item.unknown())
        }),
        _ => Err(wrong(&path, "a string or a list of parts")),
    }
}

fn read_part(part: Json, path: &str, unknown: UnknownFields) -> Result<Content, Malformed> {
    const RULE: &str =
        "`input_text`, `output_text`, `refusal`, `input_image`, `input_audio` or `input_file`";
    let mut part = Fields::of(part, path, unknown)?;
    let kind = part.text("type")?.unwrap_or_default();
    let content = match kind.as_str() {
        "input_text" | "output_text" | "text" | "refusal" => {
            let of = if kind == "refusal" { "refusal" } else { "text" };
            let text = part.text(of)?;
            Content::Text(text.ok_or_else(|| wrong(&part.at(of), "a string"))?)
        }
        "input_image" => {
            blob::refuse_elsewhere(&mut part, &["file_id"])?;
            let blob = Blob::of_data_url(&mut part, "image_url")?;
            part.keep_here(&["detail"]);
            Content::Blob(blob)
        }
        "input_audio" => Content::Blob(Blob::of_audio(&mut part)?),
        "input_file" => {
            blob::refuse_elsewhere(&mut part, &["file_id", "file_url"])?;
            let blob = Blob::of_data_url(&mut part, "file_data")?;
            part.keep_here(&["detail", "filename"]);
            Content::Blob(blob)
        }
        _ => return Err(wrong(&part.at("type"), RULE)),
    };
    // What the SDKs write into a part that they hand back.
    part.keep_here(&["annotations", "logprobs", "prompt_cache_breakpoint"]);
    part.finish(&[])?;
    Ok(content)
}

/// What is handed to the connector as it is, but for the strings in it. Returns whether the answer's text is to be JSON.
fn read_options(fields: &mut Fields, builder: &mut Builder) -> Result<bool, Malformed> {
    tools::numbers(fields, builder, &[("top_p", "from 0 to 1", 0.0..=1.0)])?;
    if let Some(several) = fields.flag("parallel_tool_calls")? {
        builder.option("parallel_tool_calls", Json::Bool(several));
    }
    if let Some(mut reasoning) = fields.object("reasoning")? {
        tools::effort(&mut reasoning, "effort", builder)?;
        // Of what a model thinks nothing is passed on: whichever summary is asked for, and whichever thoughts it shall see again.
        for (name, rule, known) in [
            ("summary", SUMMARY, ["auto", "concise", "detailed"]),
            ("generate_summary", SUMMARY, ["auto", "concise", "detailed"]),
            ("context", CONTEXT, ["auto", "current_turn", "all_turns"]),
        ] {
            tools::word(&mut reasoning, name, rule, &known)?;
        }
        tools::word(&mut reasoning, "mode", "`standard`", &["standard"])?;
        reasoning.finish(&[])?;
    }
    if let Some(list) = fields.list("tools")?.filter(|tools| !tools.is_empty()) {
        builder.option("tools", Json::List(each(list, "tools", read_tool)?));
    }
    match fields.take("tool_choice") {
        None => {}
        Some(Json::Text(word)) if tools::CHOICES.contains(&word.as_str()) => {
            builder.option("tool_choice", Json::Fixed(word));
        }
        Some(choice @ Json::Object(_)) => {
            let mut choice = Fields::of(choice, "tool_choice", Default::default())?;
            let name = function_name(&mut choice)?;
            choice.finish(&[])?;
            builder.option("tool_choice", of_function(Vec::new(), vec![name]));
        }
        Some(_) => return Err(wrong("tool_choice", tools::CHOICE)),
    }
    let mut wants_json = false;
    if let Some(mut text) = fields.object("text")? {
        tools::verbosity(&mut text, builder)?;
        if let Some(format) = text.object("format")? {
            let (format, is_json) = read_format(format)?;
            builder.option("response_format", format);
            wants_json = is_json;
        }
        text.finish(&[])?;
    }
    Ok(wants_json)
}

const SUMMARY: &str = "`auto`, `concise` or `detailed`";
const CONTEXT: &str = "`auto`, `current_turn` or `all_turns`";

fn function_name(value: &mut Fields) -> Result<(String, Json), Malformed> {
    const RULE: &str = "`function`: this gateway offers no tools of its own";
    let kind = value.text_that("type", RULE, |kind| kind == "function")?;
    kind.ok_or_else(|| wrong(&value.at("type"), RULE))?;
    tool_name(value)
}

/// A tool: its description and the schema of its parameters are searched.
fn read_tool(tool: Json, path: &str) -> Result<Json, Malformed> {
    let mut tool = Fields::of(tool, path, Default::default())?;
    let mut entries = vec![function_name(&mut tool)?];
    entries.extend(schema_entries(&mut tool, "parameters")?);
    tool.finish(&["allowed_callers", "defer_loading", "output_schema"])?;
    Ok(of_function(Vec::new(), entries))
}

/// The format as OpenAI's chat writes it, and whether it is one of JSON.
fn read_format(mut format: Fields) -> Result<(Json, bool), Malformed> {
    let kind = tools::format_kind(&mut format)?;
    let mut entries = vec![("type".to_owned(), Json::fixed(&kind))];
    if kind == "json_schema" {
        let mut inner = vec![tool_name(&mut format)?];
        inner.extend(schema_entries(&mut format, "schema")?);
        entries.push(("json_schema".to_owned(), Json::Object(inner)));
    }
    format.finish(&[])?;
    Ok((Json::Object(entries), kind != "text"))
}

// ---- What goes back ----

/// The reply's body.
pub(super) fn reply(event: EventId, said: &Said, manner: &Manner, at: Timestamp) -> Value {
    let mut items: Vec<(Item, &str)> = Vec::new();
    let calls = said.tool_calls.iter();
    for (channel, text) in said.texts() {
        let is_said = !text.is_empty() || (said.tool_calls.is_empty() && channel == Channel::Text);
        match channel {
            Channel::Text | Channel::Refusal if is_said => {
                items.push((Item::of(channel, &event, None), text));
            }
            Channel::Text | Channel::Refusal | Channel::Arguments(_) => {}
        }
    }
    for (index, call) in calls {
        let names = Some((call.id.as_str(), call.name.as_str()));
        let item = Item::of(Channel::Arguments(*index), &event, names);
        items.push((item, &call.arguments));
    }
    // With a refusal an empty text says nothing.
    if items.len() > 1 {
        items.retain(|(item, text)| item.channel != Channel::Text || !text.is_empty());
    }
    let output: Vec<Value> = items
        .iter()
        .map(|(item, text)| item.whole(text, said))
        .collect();
    response(event, manner, at, &output, Some(said))
}

/// The response: in progress until it was said why it ended.
fn response(
    event: EventId,
    manner: &Manner,
    at: Timestamp,
    output: &[Value],
    said: Option<&Said>,
) -> Value {
    let why = said.and_then(cut_short);
    json!({
        "id": format!("resp_{event}"),
        "object": "response",
        "created_at": at.seconds,
        "status": said.map_or("in_progress", status),
        "background": false,
        "error": null,
        "incomplete_details": why.map(|why| json!({ "reason": why })),
        "instructions": null,
        "max_output_tokens": null,
        "model": manner.model,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": false,
        "temperature": null,
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "truncation": "disabled",
        "usage": said.map(usage),
        "user": null,
        "metadata": {},
    })
}

/// Why there is less than the model would have said.
fn cut_short(said: &Said) -> Option<&'static str> {
    match said.stopped.as_deref() {
        Some("length") => Some("max_output_tokens"),
        Some("content_filter") => Some("content_filter"),
        Some(_) | None => None,
    }
}

fn status(said: &Said) -> &'static str {
    cut_short(said).map_or("completed", |_| "incomplete")
}

/// What the model counted; 0 where it counted nothing, because clients rely on numbers.
fn usage(said: &Said) -> Value {
    let input = said.input_tokens.unwrap_or_default();
    let output = said.output_tokens.unwrap_or_default();
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": input.saturating_add(output),
    })
}

/// One item of the output: a message of one part, or a call.
struct Item {
    channel: Channel,
    id: String,
    call_id: String,
    name: String,
}

impl Item {
    fn of(channel: Channel, event: &EventId, call: Option<(&str, &str)>) -> Self {
        let id = match channel {
            Channel::Text => format!("msg_{event}"),
            Channel::Refusal => format!("msg_{event}_refusal"),
            Channel::Arguments(index) => format!("fc_{event}_{index}"),
        };
        let (call_id, name) = call.unwrap_or_default();
        Self {
            channel,
            id,
            call_id: call_id.to_owned(),
            name: name.to_owned(),
        }
    }

    /// As it begins.
    fn begun(&self) -> Value {
        self.written(&[], "", "in_progress")
    }

    /// As it ended.
    fn whole(&self, text: &str, said: &Said) -> Value {
        self.written(&[self.part(text)], text, status(said))
    }

    fn written(&self, parts: &[Value], arguments: &str, status: &str) -> Value {
        match self.channel {
            Channel::Text | Channel::Refusal => json!({
                "type": "message", "id": self.id, "status": status, "role": "assistant", "content": parts,
            }),
            Channel::Arguments(_) => json!({
                "type": "function_call", "id": self.id, "status": status, "call_id": self.call_id, "name": self.name,
                "arguments": arguments,
            }),
        }
    }

    fn part(&self, text: &str) -> Value {
        match self.channel {
            Channel::Refusal => json!({ "type": "refusal", "refusal": text }),
            Channel::Text | Channel::Arguments(_) => {
                json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
            }
        }
    }
}

/// An answer as a stream. Its last events repeat the whole text, as clients expect it.
pub(super) struct Items {
    event: EventId,
    at: Timestamp,
    manner: Manner,
    /// Those that have begun, in order, with the text of each.
    begun: Vec<(Item, Phi<String>)>,
    unnamed: Unnamed,
    /// Of the next event.
    sequence: u64,
}

impl Items {
    pub(super) fn new(event: EventId, manner: &Manner, at: Timestamp) -> Self {
        Self {
            event,
            at,
            manner: manner.clone(),
            begun: Vec::new(),
            unnamed: Unnamed::default(),
            sequence: 0,
        }
    }

    /// The item of a call, with what has come of its arguments.
    fn begin_call(&mut self, index: u32, call: &Named) -> Phi<String> {
        let channel = Channel::Arguments(index);
        let mut events = self.begin(channel, Some((&call.id, &call.name)));
        if !call.arguments.expose().is_empty() {
            let rest = self.text(channel, call.arguments.expose());
            events.expose_mut().push_str(rest.expose());
        }
        events
    }

    fn named(&mut self, kind: &str, mut data: Value) -> Phi<String> {
        if let Some(data) = data.as_object_mut() {
            data.insert("type".to_owned(), kind.into());
            data.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        event(Some(kind), &data)
    }

    fn place(&self, channel: Channel) -> Option<usize> {
        self.begun
            .iter()
            .position(|(item, _)| item.channel == channel)
    }

    fn begin(&mut self, channel: Channel, call: Option<(&str, &str)>) -> Phi<String> {
        let item = Item::of(channel, &self.event, call);
        let index = self.begun.len();
        let added = json!({ "output_index": index, "item": item.begun() });
        let part = (!matches!(channel, Channel::Arguments(_))).then(|| {
            json!({ "item_id": item.id, "output_index": index, "content_index": 0, "part": item.part("") })
        });
        self.begun.push((item, Phi::default()));
        let mut events = self.named("response.output_item.added", added);
        if let Some(part) = part {
            let part = self.named("response.content_part.added", part);
            events.expose_mut().push_str(part.expose());
        }
        events
    }
}

impl Events for Items {
    fn opened(&mut self) -> Phi<String> {
        let response = response(self.event, &self.manner, self.at, &[], None);
        let mut events = self.named("response.created", json!({ "response": response }));
        let second = self.named("response.in_progress", json!({ "response": response }));
        events.expose_mut().push_str(second.expose());
        events
    }

    fn call(&mut self, index: u32, id: Option<&str>, name: Option<&str>) -> Phi<String> {
        if self.place(Channel::Arguments(index)).is_some() {
            return Phi::default();
        }
        match self.unnamed.named(index, id, name) {
            Some(call) => self.begin_call(index, &call),
            None => Phi::default(),
        }
    }

    fn text(&mut self, channel: Channel, text: &str) -> Phi<String> {
        let (mut events, index) = match (self.place(channel), channel) {
            (Some(index), _) => (Phi::default(), index),
            (None, Channel::Arguments(index)) => {
                self.unnamed.keep(index, text);
                return Phi::default();
            }
            (None, Channel::Text | Channel::Refusal) => {
                (self.begin(channel, None), self.begun.len() - 1)
            }
        };
        let Some((item, whole)) = self.begun.get_mut(index) else {
            return events;
        };
        whole.expose_mut().push_str(text);
        let place = |content: &str| -> Value {
            json!({ "item_id": item.id, "output_index": index, "delta": content })
        };
        let mut delta = place(text);
        let kind = match channel {
            Channel::Text => "response.output_text.delta",
            Channel::Refusal => "response.refusal.delta",
            Channel::Arguments(_) => "response.function_call_arguments.delta",
        };
        if let (Channel::Text | Channel::Refusal, Some(delta)) = (channel, delta.as_object_mut()) {
            delta.insert("content_index".to_owned(), 0.into());
            delta.insert("logprobs".to_owned(), json!([]));
        }
        let delta = self.named(kind, delta);
        events.expose_mut().push_str(delta.expose());
        events
    }

    fn done(&mut self, said: &Said) -> Phi<String> {
        let mut events = Phi::new(String::new());
        for (index, call) in self.unnamed.rest() {
            let begun = self.begin_call(index, &call);
            events.expose_mut().push_str(begun.expose());
        }
        let mut output = Vec::new();
        for (index, (item, text)) in std::mem::take(&mut self.begun).into_iter().enumerate() {
            let text = text.expose();
            let (id, whole) = (&item.id, item.whole(text, said));
            let ends = match item.channel {
                Channel::Arguments(_) => vec![(
                    "response.function_call_arguments.done",
                    json!({ "item_id": id, "output_index": index, "name": item.name, "arguments": text }),
                )],
                Channel::Text | Channel::Refusal => {
                    let (kind, key) = match item.channel {
                        Channel::Refusal => ("response.refusal.done", "refusal"),
                        Channel::Text | Channel::Arguments(_) => {
                            ("response.output_text.done", "text")
                        }
                    };
                    let place = json!({ "item_id": id, "output_index": index, "content_index": 0, "logprobs": [], key: text });
                    let part = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": item.part(text) });
                    vec![(kind, place), ("response.content_part.done", part)]
                }
            };
            let last = json!({ "output_index": index, "item": whole });
            for (kind, data) in ends
                .into_iter()
                .chain([("response.output_item.done", last)])
            {
                let end = self.named(kind, data);
                events.expose_mut().push_str(end.expose());
            }
            output.push(whole);
        }
        let kind = match cut_short(said) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        let response = response(self.event, &self.manner, self.at, &output, Some(said));
        let last = self.named(kind, json!({ "response": response }));
        events.expose_mut().push_str(last.expose());
        events
    }

    /// OpenAI's clients raise an `APIError` on this.
    fn broken(&mut self, told: &Told) -> Phi<String> {
        self.named("error", told.as_openai())
    }
}

#[cfg(test)]
#[path = "responses/tests.rs"]
mod tests;
