//! What of a call is searched, and how it is put together again.
//!
//! Detectors see messages of parts. Beside the texts that a client wrote, a call has other strings: names, stop
//! sequences, the descriptions and schemas of tools, the arguments of tool calls. Each of them becomes a part of its own,
//! so that whatever a detector finds in it is replaced like anything else and JSON stays JSON. In the name of a tool nothing
//! may be found. What cannot be searched stands among the parts by its digest. A [`Shape`] remembers which part was what.

use heck::ToSnakeCase as _;
use nephron_engine::Messages;
use nephron_engine::contract::{Attribute, Message, Part, Value};
use nephron_model::Phi;

use super::blob::{Blob, Content};
use super::fields::wrong;
use super::json::Json;
use crate::chain::deidentify::text_of;
use crate::receive::{Call, Malformed};

/// Where the strings of a call belong. Holds no text of the call.
#[derive(Default)]
pub(crate) struct Shape {
    messages: Vec<MessageShape>,
    stops: usize,
    options: Vec<(&'static str, Json)>,
}

struct MessageShape {
    contents: usize,
    name: Option<Json>,
    fields: Option<Json>,
}

/// A call being taken apart.
#[derive(Default)]
pub(crate) struct Builder {
    shape: Shape,
    messages: Vec<Message>,
    /// The strings that belong to no message, in order.
    rest: Vec<Part>,
    blobs: Vec<Blob>,
}

impl Builder {
    /// Adds a message of one text.
    pub(crate) fn text(&mut self, role: &str, text: String) {
        self.message(role, vec![Content::Text(text)], None, None);
    }

    /// Adds a message: what it holds, the name of who speaks, and the fields that travel as JSON.
    pub(crate) fn message(
        &mut self,
        role: &str,
        contents: Vec<Content>,
        mut name: Option<Json>,
        mut fields: Option<Json>,
    ) {
        let count = contents.len();
        let mut parts = Vec::with_capacity(count);
        for content in contents {
            parts.push(match content {
                Content::Text(text) => Part::Text(text),
                Content::Blob(blob) => {
                    let reference = blob.reference();
                    self.blobs.push(blob);
                    Part::Blob(reference)
                }
            });
        }
        for value in [&mut name, &mut fields].into_iter().flatten() {
            take_leaves(value, Place::default(), &mut parts);
        }
        self.shape.messages.push(MessageShape {
            contents: count,
            name,
            fields,
        });
        self.messages.push(Message {
            role: role.to_owned(),
            name: None,
            parts,
        });
    }

    /// Adds the sequences at which the model shall stop. Before the options, which they stand in front of.
    pub(crate) fn stops(&mut self, stops: Vec<String>) {
        self.shape.stops = stops.len();
        self.rest.splice(0..0, stops.into_iter().map(Part::Text));
    }

    /// Adds an option that travels as JSON.
    pub(crate) fn option(&mut self, name: &'static str, mut value: Json) {
        take_leaves(&mut value, Place::default(), &mut self.rest);
        self.shape.options.push((name, value));
    }

    /// The whole as what is asked of a model.
    pub(crate) fn call(
        self,
        model: String,
        max_tokens: Option<u32>,
        temperature: Option<f64>,
        wants_json: bool,
    ) -> Call {
        let (messages, shape, blobs) = self.finish();
        Call {
            model,
            messages: Phi::new(messages),
            shape,
            blobs,
            max_tokens,
            temperature,
            wants_json,
            embeddings: None,
        }
    }

    /// What detectors see, how to put it together again, and what they do not see.
    pub(crate) fn finish(mut self) -> (Messages, Shape, Vec<Blob>) {
        if !self.rest.is_empty() {
            self.messages.push(Message {
                role: "system".to_owned(),
                name: None,
                parts: self.rest,
            });
        }
        (Messages(self.messages), self.shape, self.blobs)
    }
}

/// What a connector is handed.
pub(crate) struct Filled {
    pub(crate) messages: Vec<Message>,
    pub(crate) stop: Vec<String>,
    pub(crate) options: Vec<Attribute>,
}

impl Shape {
    /// Puts cleared strings into their places.
    ///
    /// # Errors
    /// [`Malformed::Field`]: something was found in the name of a tool, or across a key and its value.
    pub(crate) fn fill(&self, cleared: &Messages) -> Result<Filled, Malformed> {
        let mut messages = Vec::with_capacity(self.messages.len());
        let mut all = cleared.0.iter();
        for shape in &self.messages {
            let message = all.next().ok_or_else(misplaced)?;
            let mut parts = message.parts.iter();
            let mut filled: Vec<Part> = parts.by_ref().take(shape.contents).cloned().collect();
            if filled.len() != shape.contents {
                return Err(misplaced());
            }
            let mut put = |value: &Json| put_leaves(value, Place::default(), &mut parts);
            let name = shape.name.as_ref().map(&mut put).transpose()?;
            let fields = shape.fields.as_ref().map(put).transpose()?;
            filled.extend(fields.map(|fields| Part::Json(fields.to_text())));
            if parts.next().is_some() {
                return Err(misplaced());
            }
            messages.push(Message {
                role: message.role.clone(),
                name: name.and_then(Json::into_text),
                parts: filled,
            });
        }
        let rest = all.next().map_or(&[][..], |message| &message.parts);
        let mut rest = rest.iter();
        let mut stop = Vec::with_capacity(self.stops);
        for _ in 0..self.stops {
            stop.push(next(&mut rest)?.to_owned());
        }
        let mut options = Vec::with_capacity(self.options.len());
        for (name, value) in &self.options {
            let value = put_leaves(value, Place::default(), &mut rest)?;
            options.push(Attribute {
                name: (*name).to_owned(),
                value: Value::Json(value.to_text()),
            });
        }
        if rest.next().is_some() || all.next().is_some() {
            return Err(misplaced());
        }
        Ok(Filled {
            messages,
            stop,
            options,
        })
    }
}

/// The next cleared string.
fn next<'p>(parts: &mut impl Iterator<Item = &'p Part>) -> Result<&'p str, Malformed> {
    parts.next().and_then(text_of).ok_or_else(misplaced)
}

fn misplaced() -> Malformed {
    wrong(
        "arguments or schema of a tool",
        "such that no identifier reaches across a key and its value",
    )
}

/// The rule of the name of a tool.
const IN_A_NAME: &str = "a name in which nothing is found that could identify somebody: the tool is called by it, so that no \
                         token can stand in its place; call no tool after a patient";

/// The name of a tool as it is searched: its words in lower case, for programs call things in capitals that are no names of
/// persons; and with a hyphen between two that hold digits, as dates and numbers of accounts are written.
fn as_words(name: &str) -> String {
    let has_digit = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
    let mut joined = String::with_capacity(name.len());
    let mut last = "";
    let words = name.to_snake_case();
    for word in words.split('_') {
        if !last.is_empty() {
            joined.push(if has_digit(last) && has_digit(word) {
                '-'
            } else {
                ' '
            });
        }
        joined.push_str(word);
        last = word;
    }
    joined
}

/// Digits from which on a number that stands by itself could be somebody's.
const TELLING: usize = 5;

/// Where a value stands: under which key, and whether as data (in the arguments of a tool call) or in a schema.
#[derive(Clone, Copy, Default)]
struct Place<'k> {
    cue: Option<&'k str>,
    is_data: bool,
}

impl<'k> Place<'k> {
    /// The place of the value of `key`. In a schema a keyword says nothing about its value; the property above it does.
    fn under(self, key: &'k str) -> Self {
        if self.is_data || !is_known(key) {
            Self {
                cue: Some(key),
                ..self
            }
        } else {
            self
        }
    }

    /// A value with its key before it, as a detector can make sense of it: `mrn: 483920`.
    fn cued(self, text: &str) -> Part {
        Part::Text(match self.cue {
            Some(cue) => [cue, CUE, text].concat(),
            None => text.to_owned(),
        })
    }

    /// The value again, if its key before it is as cleared as the key by itself. It is not where something was found
    /// across both.
    fn uncued(self, text: &str) -> Result<&str, Malformed> {
        let Some(cue) = self.cue else {
            return Ok(text);
        };
        let value = text.strip_prefix(cue);
        let value = value.and_then(|value| value.strip_prefix(CUE));
        value.ok_or_else(misplaced)
    }

    /// Whether a number is searched: in data each may be an age or a record's.
    fn is_searched(self, number: &serde_json::Number) -> bool {
        let digits = |number: &serde_json::Number| {
            let text = number.to_string();
            text.bytes().filter(u8::is_ascii_digit).count()
        };
        self.is_data || digits(number) >= TELLING
    }
}

const CUE: &str = ": ";

/// Moves every string out of `value`, keys too, and the numbers that are searched.
fn take_leaves(value: &mut Json, place: Place<'_>, parts: &mut Vec<Part>) {
    match value {
        Json::Text(text) => parts.push(place.cued(&std::mem::take(text))),
        Json::Number(number) if place.is_searched(number) => {
            parts.push(place.cued(&number.to_string()));
        }
        Json::List(values) => values
            .iter_mut()
            .for_each(|value| take_leaves(value, place, parts)),
        Json::Object(entries) => {
            for (key, value) in entries {
                let word = key.clone();
                if !is_known(key) {
                    parts.push(Part::Text(std::mem::take(key)));
                }
                take_leaves(value, place.under(&word), parts);
            }
        }
        Json::Embedded(value) => {
            let place = Place {
                cue: None,
                is_data: true,
            };
            take_leaves(value, place, parts);
        }
        Json::Name { name, .. } => parts.push(Part::Text(as_words(name))),
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::Fixed(_)
        | Json::Exact(_)
        | Json::Weights(_) => {}
    }
}

/// The same value with the strings of `parts` in the places where [`take_leaves`] took them.
fn put_leaves<'p>(
    value: &Json,
    place: Place<'_>,
    parts: &mut impl Iterator<Item = &'p Part>,
) -> Result<Json, Malformed> {
    Ok(match value {
        Json::Text(_) => Json::Text(place.uncued(next(parts)?)?.to_owned()),
        Json::Number(number) if place.is_searched(number) => {
            let text = place.uncued(next(parts)?)?;
            if *text == number.to_string() {
                Json::Number(number.clone())
            } else {
                Json::Text(text.to_owned())
            }
        }
        Json::List(values) => {
            let values: Result<_, Malformed> = values
                .iter()
                .map(|value| put_leaves(value, place, parts))
                .collect();
            Json::List(values?)
        }
        Json::Object(entries) => {
            let mut filled = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                // A key that was taken out left an empty one. What was found in it was found before its value, too.
                let key = if is_known(key) {
                    key.clone()
                } else {
                    next(parts)?.to_owned()
                };
                let value = put_leaves(value, place.under(&key), parts)?;
                filled.push((key, value));
            }
            Json::Object(filled)
        }
        Json::Embedded(value) => {
            let place = Place {
                cue: None,
                is_data: true,
            };
            Json::Embedded(Box::new(put_leaves(value, place, parts)?))
        }
        Json::Name { name, place } => {
            if next(parts)? != as_words(name) {
                return Err(wrong(place, IN_A_NAME));
            }
            Json::Text(name.clone())
        }
        Json::Null => Json::Null,
        Json::Bool(value) => Json::Bool(*value),
        Json::Number(number) => Json::Number(number.clone()),
        Json::Fixed(text) => Json::Fixed(text.clone()),
        Json::Exact(number) => Json::Exact(number.clone()),
        Json::Weights(entries) => Json::Weights(entries.clone()),
    })
}

/// Keys of the APIs and of JSON Schema: words that say nothing about anybody.
fn is_known(key: &str) -> bool {
    const WORDS: [&str; 30] = [
        "additionalProperties",
        "allOf",
        "anyOf",
        "arguments",
        "const",
        "default",
        "description",
        "enum",
        "examples",
        "format",
        "function",
        "id",
        "items",
        "json_schema",
        "maximum",
        "minimum",
        "name",
        "oneOf",
        "parameters",
        "pattern",
        "properties",
        "required",
        "schema",
        "strict",
        "title",
        "tool_call_id",
        "tool_calls",
        "type",
        "$defs",
        "$ref",
    ];
    WORDS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::read(text.as_bytes()).ok().unwrap()
    }

    /// Every string that detectors see, with `<…>` around each key and each value.
    fn marked(messages: &mut Messages) -> Vec<String> {
        let mut seen = Vec::new();
        for message in &mut messages.0 {
            for part in &mut message.parts {
                if let Part::Text(text) = part {
                    seen.push(text.clone());
                    let marked: Vec<_> = text
                        .split(": ")
                        .map(|word| {
                            if is_known(word) {
                                word.to_owned()
                            } else {
                                format!("<{word}>")
                            }
                        })
                        .collect();
                    *text = marked.join(": ");
                }
            }
        }
        seen
    }

    #[test]
    fn every_string_is_seen_and_goes_back_to_its_place() {
        let mut builder = Builder::default();
        let texts = ["Ann", "Lee"].map(|text| Content::Text(text.to_owned()));
        let name = Json::Text("ann_lee".to_owned());
        builder.message("user", texts.into(), Some(name), None);
        let arguments = json(r#"{"who":"Bo \"B\" Ek","name":"Gil","n":3,"deep":[{"x y":null}]}"#);
        let fields = Json::Object(vec![
            ("id".to_owned(), Json::fixed("call_1")),
            ("arguments".to_owned(), Json::Embedded(Box::new(arguments))),
        ]);
        builder.message("assistant", Vec::new(), None, Some(fields));
        builder.option("tools", json(r#"[{"ward":{"default":12345,"minimum":7}}]"#));
        builder.stops(vec!["Ed".to_owned()]);
        let (mut messages, shape, _) = builder.finish();
        let seen = marked(&mut messages);
        let expected = [
            "Ann",
            "Lee",
            "ann_lee",
            "who",
            "who: Bo \"B\" Ek",
            "name: Gil",
            "n",
            "n: 3",
            "deep",
            "x y",
            "Ed",
            "ward",
            "ward: 12345",
        ];
        assert_eq!(seen, expected);
        let filled = shape.fill(&messages).ok().unwrap();
        assert_eq!(filled.messages[0].name.as_deref(), Some("<ann_lee>"));
        assert_eq!(filled.stop, ["<Ed>"]);
        let Part::Json(fields) = &filled.messages[1].parts[0] else {
            panic!("no JSON")
        };
        let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
        assert_eq!(fields["id"], "call_1");
        let arguments: serde_json::Value =
            serde_json::from_str(fields["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(
            arguments,
            serde_json::json!({
                "<who>": "<Bo \"B\" Ek>", "name": "<Gil>", "<n>": "<3>", "<deep>": [{ "<x y>": null }]
            })
        );
        let Value::Json(tools) = &filled.options[0].value else {
            panic!("no JSON")
        };
        assert_eq!(tools, r#"[{"<ward>":{"default":"<12345>","minimum":7}}]"#);
    }

    #[test]
    fn what_was_found_across_a_key_and_its_value_fills_nothing() {
        let mut builder = Builder::default();
        builder.option("tools", json(r#"{"Bo":"Ek"}"#));
        let (mut messages, shape, _) = builder.finish();
        messages.0[0].parts[1] = Part::Text("[NAME_7KQ2M]".to_owned());
        assert!(shape.fill(&messages).is_err());
    }

    #[test]
    fn the_words_of_a_name_are_in_the_forms_in_which_identifiers_are_written() {
        for (name, words) in [
            ("get_weather", "get weather"),
            ("CalendarEvent", "calendar event"),
            ("parseHTTPResponse2", "parse http response2"),
            ("visit-1956-03-12", "visit 1956-03-12"),
            ("visit_03_12_1956", "visit 03-12-1956"),
            ("ssn_123_45_6789", "ssn 123-45-6789"),
            ("dev-00-1a-2b-3c-4d-5e", "dev 00-1a-2b-3c-4d-5e"),
            ("_", ""),
        ] {
            assert_eq!(as_words(name), words, "{name}");
        }
    }

    #[test]
    fn the_name_of_a_tool_is_searched_as_words_and_goes_back_as_it_was_or_not_at_all() {
        let mut builder = Builder::default();
        let name = |name: &str| Json::Name {
            name: name.to_owned(),
            place: "tools[0].function.name".to_owned(),
        };
        builder.message("tool", Vec::new(), Some(name("ann_lee")), None);
        builder.option("tools", Json::List(vec![name("look-up_ward_7")]));
        let (mut messages, shape, _) = builder.finish();
        let parts: Vec<_> = messages
            .0
            .iter()
            .flat_map(|message| &message.parts)
            .collect();
        let texts: Vec<_> = parts.iter().filter_map(|part| text_of(part)).collect();
        assert_eq!(texts, ["ann lee", "look up ward 7"]);
        let filled = shape.fill(&messages).ok().unwrap();
        assert_eq!(filled.messages[0].name.as_deref(), Some("ann_lee"));
        assert!(
            matches!(&filled.options[0].value, Value::Json(text) if text == "[\"look-up_ward_7\"]")
        );
        messages.0[1].parts[0] = Part::Text("look up [NAME_7KQ2M] 7".to_owned());
        let refused = shape.fill(&messages).err().unwrap().to_string();
        assert!(
            refused.starts_with("`tools[0].function.name` must be"),
            "{refused}"
        );
    }

    #[test]
    fn a_number_that_nobody_changed_stays_a_number() {
        let mut builder = Builder::default();
        builder.option("tools", json("[1234567]"));
        let (messages, shape, _) = builder.finish();
        let filled = shape.fill(&messages).ok().unwrap();
        assert!(matches!(&filled.options[0].value, Value::Json(text) if text == "[1234567]"));
    }

    #[test]
    fn strings_too_few_or_too_many_fill_nothing() {
        let mut builder = Builder::default();
        builder.message(
            "user",
            vec![Content::Text("a".to_owned())],
            Some(json("\"b\"")),
            None,
        );
        let (messages, shape, _) = builder.finish();
        let mut fewer = messages.clone();
        fewer.0[0].parts.pop();
        let mut more = messages.clone();
        more.0[0].parts.push(Part::Text("c".to_owned()));
        assert!(shape.fill(&messages).is_ok());
        assert!(shape.fill(&fewer).is_err() && shape.fill(&more).is_err());
    }
}
