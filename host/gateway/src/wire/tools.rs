//! Tools, and calls of them, as every API has them in its own way and OpenAI's chat in the one that connectors are handed.

use std::collections::{BTreeMap, HashMap};

use nephron_model::Phi;

use super::fields::{Fields, wrong};
use super::json::Json;
use super::shape::Builder;
use crate::receive::Malformed;

/// Ids of tool calls are whatever a client sends back: the endpoint gets others in their place, the same for the same.
#[derive(Default)]
pub(super) struct CallIds(HashMap<String, usize>);

impl CallIds {
    /// What goes in the place of `id`.
    pub(super) fn replace(&mut self, id: String) -> Json {
        let next = self.0.len() + 1;
        let place = self.0.entry(id).or_insert(next);
        Json::Fixed(format!("call_{place}"))
    }
}

const CALL_ID: &str = "the id of a tool call: 1 to 512 bytes";

/// The id of a call, from the field `name`.
pub(super) fn call_id(fields: &mut Fields, name: &str) -> Result<String, Malformed> {
    let id = fields.text_that(name, CALL_ID, |id| (1..=512).contains(&id.len()))?;
    id.ok_or_else(|| wrong(&fields.at(name), CALL_ID))
}

const TOOL_NAME: &str = "the name of a tool: 1 to 128 of letters, digits, `_` and `-`";

fn is_tool_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A function's name.
pub(super) fn tool_name(function: &mut Fields) -> Result<(String, Json), Malformed> {
    let name = named_tool(function)?;
    let name = name.ok_or_else(|| wrong(&function.at("name"), TOOL_NAME))?;
    Ok(("name".to_owned(), name))
}

/// The name of a tool, where there is one.
pub(super) fn named_tool(fields: &mut Fields) -> Result<Option<Json>, Malformed> {
    let place = fields.at("name");
    let name = fields.text_that("name", TOOL_NAME, is_tool_name)?;
    Ok(name.map(|name| Json::Name { name, place }))
}

/// A function as OpenAI's chat writes it, in a tool, a call or a choice.
pub(super) fn of_function(mut entries: Vec<(String, Json)>, function: Vec<(String, Json)>) -> Json {
    entries.push(("type".to_owned(), Json::fixed("function")));
    entries.push(("function".to_owned(), Json::Object(function)));
    Json::Object(entries)
}

/// A call as OpenAI's chat writes it.
pub(super) fn call(id: Json, name: (String, Json), arguments: Json) -> Json {
    let function = vec![name, ("arguments".to_owned(), arguments)];
    of_function(vec![("id".to_owned(), id)], function)
}

/// What an assistant's message says beside its text.
pub(super) fn calls(calls: Vec<Json>) -> Json {
    Json::Object(vec![("tool_calls".to_owned(), Json::List(calls))])
}

/// The arguments of a call: JSON inside a string, which is searched leaf by leaf.
pub(super) fn arguments(function: &mut Fields) -> Result<Json, Malformed> {
    let text = function.text("arguments")?;
    let text = Phi::new(text.ok_or_else(|| wrong(&function.at("arguments"), "a string"))?);
    // A model may have written what is no JSON; then it is text like any other, unless an escape could hide a letter.
    match Json::read(text.expose().as_bytes()) {
        Ok(value) => Ok(Json::Embedded(Box::new(value))),
        Err(_) if !text.expose().contains('\\') => Ok(Json::Text(text.expose().clone())),
        Err(_) => Err(wrong(&function.at("arguments"), "JSON in a string")),
    }
}

/// `description`, a schema and `strict`.
pub(super) fn schema_entries(
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

/// Calls of a streamed answer whose names are yet to come, with what has come of their arguments: some APIs begin a call with its
/// id and name, and some servers give the name late.
#[derive(Default)]
pub(super) struct Unnamed(BTreeMap<u32, Named>);

/// A call that can begin.
#[derive(Default)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: String,
    /// What came before its name did.
    pub(super) arguments: Phi<String>,
}

impl Unnamed {
    /// Takes what is new about a call, and gives the call once it has a name.
    pub(super) fn named(
        &mut self,
        index: u32,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Option<Named> {
        let call = self.0.entry(index).or_default();
        if let Some(id) = id {
            id.clone_into(&mut call.id);
        }
        name?.clone_into(&mut call.name);
        self.0.remove(&index)
    }

    /// Keeps a piece of the arguments of a call that has no name yet.
    pub(super) fn keep(&mut self, index: u32, arguments: &str) {
        let call = self.0.entry(index).or_default();
        call.arguments.expose_mut().push_str(arguments);
    }

    /// Those that never had one, in order.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = (u32, Named)> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

/// Takes numbers that are handed on as they are: name, bounds and their rule.
pub(super) fn numbers(
    fields: &mut Fields,
    builder: &mut Builder,
    known: &[(&'static str, &'static str, std::ops::RangeInclusive<f64>)],
) -> Result<(), Malformed> {
    for (name, rule, bounds) in known {
        let number = fields.number(name, rule, bounds.clone())?;
        if let Some(number) = number.and_then(serde_json::Number::from_f64) {
            builder.option(name, Json::Exact(number));
        }
    }
    Ok(())
}

/// Takes how much likelier numbers of a tokenizer shall be: numbers of its vocabulary, which nobody chose for a person.
pub(super) fn logit_bias(fields: &mut Fields, builder: &mut Builder) -> Result<(), Malformed> {
    const RULE: &str = "an object of at most 1024 numbers from -100 to 100, by the tokenizer's number: 1 to 6 digits";
    const NAME: &str = "logit_bias";
    let entries = match fields.take(NAME) {
        None => return Ok(()),
        Some(Json::Object(entries)) if entries.len() <= 1024 => entries,
        Some(_) => return Err(wrong(&fields.at(NAME), RULE)),
    };
    let is_vocabularys =
        |key: &str| (1..=6).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_digit());
    let weight = |(key, value): (String, Json)| {
        let Json::Number(number) = value else {
            return None;
        };
        let is_weight = number
            .as_f64()
            .is_some_and(|number| (-100.0..=100.0).contains(&number));
        (is_vocabularys(&key) && is_weight).then_some((key, number))
    };
    let weights: Option<Vec<_>> = entries.into_iter().map(weight).collect();
    let weights = weights.ok_or_else(|| wrong(&fields.at(NAME), RULE))?;
    if !weights.is_empty() {
        builder.option(NAME, Json::Weights(weights));
    }
    Ok(())
}

/// Takes among how many of the likeliest tokens the next is chosen.
pub(super) fn top_k(fields: &mut Fields, builder: &mut Builder) -> Result<(), Malformed> {
    if let Some(count) = fields.count("top_k")? {
        builder.option("top_k", Json::Exact(count.into()));
    }
    Ok(())
}

/// Takes one of some words.
pub(super) fn word(
    fields: &mut Fields,
    name: &str,
    rule: &'static str,
    known: &[&str],
) -> Result<Option<Json>, Malformed> {
    let word = fields.text_that(name, rule, |word| known.contains(&word))?;
    Ok(word.map(Json::Fixed))
}

/// Reads each of a list, with its path.
pub(super) fn each<T>(
    list: Vec<Json>,
    path: &str,
    mut read: impl FnMut(Json, &str) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let place = |(index, value)| read(value, &format!("{path}[{index}]"));
    list.into_iter().enumerate().map(place).collect()
}

/// Takes how hard the model shall think.
pub(super) fn effort(
    fields: &mut Fields,
    name: &'static str,
    builder: &mut Builder,
) -> Result<(), Malformed> {
    const RULE: &str = "`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`";
    let known = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    if let Some(effort) = word(fields, name, RULE, &known)? {
        builder.option("reasoning_effort", effort);
    }
    Ok(())
}

/// Takes how much the model shall say.
pub(super) fn verbosity(fields: &mut Fields, builder: &mut Builder) -> Result<(), Malformed> {
    const RULE: &str = "`low`, `medium` or `high`";
    if let Some(word) = word(fields, "verbosity", RULE, &["low", "medium", "high"])? {
        builder.option("verbosity", word);
    }
    Ok(())
}

/// The words for which tools may be called.
pub(super) const CHOICES: [&str; 3] = ["none", "auto", "required"];
/// Their rule.
pub(super) const CHOICE: &str = "`none`, `auto`, `required` or an object that names a function";

/// Takes the format of the answer's text.
pub(super) fn format_kind(format: &mut Fields) -> Result<String, Malformed> {
    const RULE: &str = "`text`, `json_object` or `json_schema`";
    let kind = format.text_that("type", RULE, |kind| {
        ["text", "json_object", "json_schema"].contains(&kind)
    })?;
    kind.ok_or_else(|| wrong(&format.at("type"), RULE))
}
