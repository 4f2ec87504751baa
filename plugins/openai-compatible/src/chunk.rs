//! One JSON object of an answer: a chunk of a stream, or a whole completion. Both have one shape but for `delta` and
//! `message`. Fields that this connector does not know are passed over.

use nephron_sdk::answer::Failure;
use nephron_sdk::connector::{Attribute, Event, ToolCallDelta, Usage, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What was seen so far of one answer, and how the next object adds to it.
#[derive(Debug, Default)]
pub struct Completion {
    model_is_told: bool,
    calls: Vec<Call>,
    /// Usage may come with each chunk, growing; the last counts.
    usage: Option<Usage>,
    /// Whether a choice was seen: any part of an answer at all.
    pub(crate) is_begun: bool,
    /// Whether a reason to stop was given.
    pub(crate) is_stopped: bool,
}

/// A tool call that was begun.
#[derive(Debug)]
struct Call {
    index: u32,
    id: Option<String>,
    is_named: bool,
}

impl Completion {
    /// Reads one object and appends its events.
    pub(crate) fn read(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let object: Object = serde_json::from_slice(json).map_err(|_| Failure::Malformed)?;
        if let Some(error) = object.error.filter(is_truthy) {
            return Err(Failure::Reported {
                retryable: is_retryable(&error),
            });
        }
        let has_vectors = object.data.is_some();
        if let Some(vectors) = object.data {
            self.read_vectors(vectors, events)?;
        }
        // A stream's last chunks may hold usage alone, its first a report on content filters alone (Azure).
        let is_answer = has_vectors || object.choices.is_some() || object.usage.is_some();
        if !is_answer {
            return Err(Failure::Malformed);
        }
        if let Some(model) = object.model.filter(|model| !model.is_empty())
            && !std::mem::replace(&mut self.model_is_told, true)
        {
            events.push(Event::Model(model));
        }
        for choice in object.choices.unwrap_or_default() {
            self.read_choice(choice, events)?;
        }
        if let Some(WireUsage {
            prompt_tokens,
            completion_tokens,
        }) = object.usage
        {
            self.usage = Some(Usage {
                input_tokens: prompt_tokens,
                output_tokens: completion_tokens,
            });
        }
        Ok(())
    }

    /// The vectors of embeddings, in the order of the texts.
    fn read_vectors(
        &mut self,
        mut vectors: Vec<Vector>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        vectors.sort_by_key(|vector| vector.index);
        for (place, vector) in vectors.into_iter().enumerate() {
            if usize::try_from(vector.index) != Ok(place) || !is_vector(vector.embedding.get()) {
                return Err(Failure::Malformed);
            }
            // Without a copy: the vectors of one answer are many bytes.
            let json: Box<str> = vector.embedding.into();
            events.push(Event::Other(Attribute {
                name: "embedding".to_owned(),
                value: Value::Json(json.into()),
            }));
        }
        self.is_begun = true;
        Ok(())
    }

    /// The answer has ended well: what was kept to the end.
    pub(crate) fn told(&mut self, events: &mut Vec<Event>) {
        events.extend(self.usage.take().map(Event::Used));
    }

    fn read_choice(&mut self, choice: Choice, events: &mut Vec<Event>) -> Result<(), Failure> {
        // One answer was asked for; a second would be mixed into it.
        if choice.index.unwrap_or(0) != 0 {
            return Err(Failure::Malformed);
        }
        self.is_begun = true;
        if let Some(delta) = choice.delta.or(choice.message) {
            events.extend(
                delta
                    .content
                    .filter(|text| !text.is_empty())
                    .map(Event::Text),
            );
            for (name, text) in [
                ("refusal", delta.refusal),
                ("reasoning", delta.reasoning_content),
            ] {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    events.push(Event::Other(Attribute {
                        name: name.to_owned(),
                        value: Value::Text(text),
                    }));
                }
            }
            for call in delta.tool_calls.unwrap_or_default() {
                let call = self.read_call(call)?;
                events.push(Event::ToolCall(call));
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty())
            && !std::mem::replace(&mut self.is_stopped, true)
        {
            events.push(Event::Stopped(reason));
        }
        Ok(())
    }

    /// Whoever gathers deltas concatenates their texts, so that an id or a name is given once for each call, though
    /// some servers repeat them.
    fn read_call(&mut self, call: WireCall) -> Result<ToolCallDelta, Failure> {
        let id = call.id.filter(|id| !id.is_empty());
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let name = name.filter(|name| !name.is_empty());
        let index = call
            .index
            .map_or_else(|| self.guess_index(id.as_deref()), Ok)?;
        let (is_new, place) = match self.calls.iter().position(|known| known.index == index) {
            Some(place) => (false, place),
            None => {
                self.calls.push(Call {
                    index,
                    id: id.clone(),
                    is_named: false,
                });
                (true, self.calls.len() - 1)
            }
        };
        let known = self.calls.get_mut(place).ok_or(Failure::Malformed)?;
        let told_id = match (&known.id, id) {
            (_, None) => None,
            (Some(_), Some(id)) if is_new => Some(id),
            (Some(known_id), Some(id)) if *known_id == id => None,
            (Some(_), Some(_)) => return Err(Failure::Malformed),
            (None, Some(id)) => {
                known.id = Some(id.clone());
                Some(id)
            }
        };
        let told_name = name.filter(|_| !std::mem::replace(&mut known.is_named, true));
        let arguments =
            arguments.map_or_else(|| Ok(String::new()), |arguments| text_of(&arguments))?;
        Ok(ToolCallDelta {
            index,
            id: told_id,
            name: told_name,
            arguments,
        })
    }

    /// The index of a call that came without one, as in a whole completion: a new id begins a new call.
    fn guess_index(&self, id: Option<&str>) -> Result<u32, Failure> {
        let known = id.and_then(|id| {
            self.calls
                .iter()
                .find(|call| call.id.as_deref() == Some(id))
        });
        match (known, id, self.calls.last()) {
            (Some(call), _, _) => Ok(call.index),
            (None, None, Some(last)) => Ok(last.index),
            (None, _, last) => last.map_or(Ok(0), |last| {
                last.index.checked_add(1).ok_or(Failure::Malformed)
            }),
        }
    }
}

#[derive(Deserialize)]
struct Object {
    error: Option<serde_json::Value>,
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    /// Of embeddings.
    data: Option<Vec<Vector>>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Vector {
    index: u32,
    embedding: Box<RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u32>,
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct WireCall {
    index: Option<u32>,
    id: Option<String>,
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Whether it is a list of numbers, or base64 of 32-bit floats, and at least one.
fn is_vector(json: &str) -> bool {
    let Some(text) = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        let numbers: Result<Vec<f64>, _> = serde_json::from_str(json);
        return numbers.is_ok_and(|numbers| !numbers.is_empty());
    };
    let digits = text.trim_end_matches('=');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    // Four bytes in six digits, with two bits to spare: 4 n bytes are ⌈16 n / 3⌉ digits.
    let bytes = digits.len() * 3 / 4;
    let is_padded = text.len().is_multiple_of(4) && text.len() - digits.len() < 3;
    is_padded && bytes > 0 && bytes.is_multiple_of(4) && digits.bytes().all(is_base64)
}

/// Arguments are JSON inside a string; some servers give the object itself, which is then taken as it is written.
fn text_of(arguments: &RawValue) -> Result<String, Failure> {
    let written = arguments.get();
    if written.starts_with('"') {
        serde_json::from_str(written).map_err(|_| Failure::Malformed)
    } else if written == "null" {
        Ok(String::new())
    } else {
        Ok(written.to_owned())
    }
}

/// The OpenAI SDKs take any truthy `error` as one.
fn is_truthy(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(members) => !members.is_empty(),
        serde_json::Value::Bool(true) | serde_json::Value::Number(_) => true,
    }
}

/// Whether an error object speaks of overload, rate limits or a failure of the server itself.
pub(crate) fn is_retryable(error: &serde_json::Value) -> bool {
    let member = |name: &str| error.get(name);
    let status = ["code", "status"]
        .into_iter()
        .find_map(|name| member(name)?.as_u64());
    let words = ["type", "code"]
        .into_iter()
        .filter_map(|name| member(name)?.as_str());
    let transient = [
        "server_error",
        "internal_server_error",
        "overloaded_error",
        "rate_limit_exceeded",
        "unavailable_error",
    ];
    status.is_some_and(Failure::is_retryable_status)
        || words.into_iter().any(|word| transient.contains(&word))
}
