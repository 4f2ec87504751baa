//! A chat call read for APIs that keep instructions apart, have two sides speak in turn, and know tool calls as data.
//! The call itself is shaped as OpenAI's chat completions are.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::Error;
use crate::connector::{Attribute, ChatCall, Message, Part, Value};
use crate::types::BlobRef;

/// What is said and may be done. Empty texts are left out: these APIs refuse them, and they say nothing.
#[derive(Debug)]
pub struct Conversation<'a> {
    /// The system's and the developer's messages that stand before all others. A later one is part of the user's turn.
    pub instructions: Vec<&'a str>,
    /// Who says what; no two turns of one side follow each other.
    pub turns: Vec<Turn<'a>>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it shall.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once; nothing where the caller did not say.
    pub parallel_calls: Option<bool>,
    /// The schema that the answer shall keep.
    pub format: Option<Format>,
    /// `temperature`, from 0 to 1.
    pub temperature: Option<f64>,
    /// `top_p`, as it was written.
    pub top_p: Option<Json>,
    /// `top_k`, as it was written.
    pub top_k: Option<Json>,
    /// `reasoning_effort`, as it was written: a hint, on which nothing of the answer's form hangs.
    pub effort: Option<Json>,
    /// `thinking`, as clients of Anthropic's write it: an object of a `type`. A hint, too.
    pub thinking: Option<Json>,
}

/// One side's turn.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Whose.
    pub speaker: Speaker,
    /// What it holds, at least one.
    pub blocks: Vec<Block<'a>>,
}

/// A side of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The user, and what tools gave.
    User,
    /// The model.
    Assistant,
}

/// A part of a turn. What tools gave comes first in its turn, as these APIs ask.
#[derive(Debug)]
pub enum Block<'a> {
    /// Text.
    Text(&'a str),
    /// An image, audio or a document, in the user's turn.
    Blob(&'a BlobRef),
    /// The model called a tool.
    Call {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// What it was called with: an object.
        input: Json,
    },
    /// What came of a call.
    Result {
        /// The call's id.
        id: String,
        /// What the tool gave.
        contents: Vec<Content<'a>>,
        /// Whether it failed.
        is_error: bool,
    },
}

/// A part of what a tool gave.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Text.
    Text(&'a str),
    /// An image, audio or a document.
    Blob(&'a BlobRef),
}

/// A tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of what it is called with: an object.
    pub schema: Json,
    /// Whether calls must keep the schema.
    pub is_strict: bool,
}

/// Whether the model shall call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It shall not.
    None,
    /// Any, but at least one.
    Any,
    /// The one of that name.
    Named(String),
}

/// The form of an answer that is JSON.
#[derive(Debug)]
pub struct Format {
    /// The schema's name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema: an object.
    pub schema: Json,
}

/// What to do with an option that an API has no word for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsupported {
    /// Refuse the call, naming the option.
    #[default]
    Refuse,
    /// Leave it out.
    Drop,
}

/// JSON, kept as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Reads JSON text; nothing if it is none.
    #[must_use]
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        RawValue::from_string(text.into()).ok().map(Self)
    }

    /// The JSON of an attribute's value; nothing if it says that it is JSON and is none.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let raw = match value {
            Value::Json(json) => return Self::parse(json.clone()),
            Value::Text(text) => to_raw_value(text),
            Value::Number(number) => to_raw_value(number),
            Value::Boolean(claim) => to_raw_value(claim),
            Value::Texts(texts) => to_raw_value(texts),
        };
        raw.ok().map(Self)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    fn object(self) -> Option<Self> {
        self.text().starts_with('{').then_some(self)
    }

    fn read<'j, T: Deserialize<'j>>(&'j self) -> Option<T> {
        serde_json::from_str(self.text()).ok()
    }
}

impl Unsupported {
    /// Meets an option, or something like it, that the API has no word for.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming the option where its name is written as such names are.
    pub fn meet(self, option: &str) -> Result<(), Error> {
        match self {
            Self::Drop => Ok(()),
            Self::Refuse => Err(Error::Unsupported(format!(
                "option `{}` is not passed on",
                shown(option)
            ))),
        }
    }
}

impl<'a> Conversation<'a> {
    /// Reads `call`; `unsupported` says what to do with options that these APIs have no word for.
    ///
    /// `verbosity` is left out in any case: a hint on which nothing of the answer's form hangs.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the call asks for what cannot be said, [`Error::InvalidInput`] when it contradicts
    /// itself. Neither holds text of the request.
    pub fn read(call: &'a ChatCall, unsupported: Unsupported) -> Result<Self, Error> {
        let mut conversation = Self {
            instructions: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_calls: None,
            format: None,
            temperature: None,
            top_p: None,
            top_k: None,
            effort: None,
            thinking: None,
        };
        for (index, message) in call.messages.iter().enumerate() {
            conversation
                .take_message(message, unsupported)
                .map_err(|fault| fault.of_message(index))?;
        }
        if conversation.turns.is_empty() {
            return Err(invalid(
                "no message of a user or an assistant says anything",
            ));
        }
        for turn in &mut conversation.turns {
            turn.blocks
                .sort_by_key(|block| !matches!(block, Block::Result { .. }));
        }
        match call.temperature {
            Some(temperature) if !(0.0..=1.0).contains(&temperature) => {
                unsupported.meet("temperature")?;
            }
            temperature => conversation.temperature = temperature,
        }
        let mut seen = Vec::new();
        for Attribute { name, value } in &call.options {
            if seen.contains(&name) {
                return Err(invalid(format!("option `{}` is given twice", shown(name))));
            }
            seen.push(name);
            let json = Json::of(value)
                .ok_or_else(|| invalid(format!("option `{}` is no JSON", shown(name))))?;
            conversation.take_option(name, json, unsupported)?;
        }
        Ok(conversation)
    }

    fn take_message(
        &mut self,
        message: &'a Message,
        unsupported: Unsupported,
    ) -> Result<(), Fault> {
        let mut contents = Vec::new();
        let mut fields = Fields::default();
        for part in &message.parts {
            match part {
                Part::Text(text) => contents.push(Content::Text(text)),
                Part::Json(json) => {
                    fields = serde_json::from_str(json).map_err(|_| Fault::NoFields)?;
                }
                Part::Blob(blob) if ["user", "tool"].contains(&message.role.as_str()) => {
                    contents.push(Content::Blob(blob));
                }
                Part::Blob(blob) => return Err(Fault::Blob(blob.media_type.clone())),
            }
        }
        // A tool's name stands with its call.
        if message.name.is_some() && message.role != "tool" {
            unsupported.meet("name").map_err(Fault::Error)?;
        }
        let said = |contents: Vec<Content<'a>>| {
            contents.into_iter().filter_map(|content| match content {
                Content::Text(text) if text.trim().is_empty() => None,
                Content::Text(text) => Some(Block::Text(text)),
                Content::Blob(blob) => Some(Block::Blob(blob)),
            })
        };
        match (message.role.as_str(), fields) {
            (
                "tool",
                Fields {
                    tool_calls: None,
                    tool_call_id: Some(id),
                    is_error,
                },
            ) => {
                let is_error = is_error.unwrap_or_default();
                self.say(
                    Speaker::User,
                    [Block::Result {
                        id,
                        contents,
                        is_error,
                    }],
                );
            }
            (
                "assistant",
                Fields {
                    tool_calls,
                    tool_call_id: None,
                    is_error: None,
                },
            ) => {
                let calls = tool_calls
                    .unwrap_or_default()
                    .into_iter()
                    .map(Block::of_call);
                let calls: Vec<_> = calls.collect::<Result<_, _>>()?;
                self.say(Speaker::Assistant, said(contents).chain(calls));
            }
            (
                role,
                Fields {
                    tool_calls: None,
                    tool_call_id: None,
                    is_error: None,
                },
            ) => match role {
                "system" | "developer" if self.turns.is_empty() => {
                    let texts = said(contents).filter_map(|block| match block {
                        Block::Text(text) => Some(text),
                        Block::Blob(_) | Block::Call { .. } | Block::Result { .. } => None,
                    });
                    self.instructions.extend(texts);
                }
                "system" | "developer" | "user" => {
                    self.say(Speaker::User, said(contents));
                }
                "tool" | "assistant" => return Err(Fault::NoFields),
                _ => return Err(Fault::Role),
            },
            _ => return Err(Fault::NoFields),
        }
        Ok(())
    }

    fn say(&mut self, speaker: Speaker, blocks: impl IntoIterator<Item = Block<'a>>) {
        for block in blocks {
            match self.turns.last_mut() {
                Some(turn) if turn.speaker == speaker => turn.blocks.push(block),
                _ => self.turns.push(Turn {
                    speaker,
                    blocks: vec![block],
                }),
            }
        }
    }

    fn take_option(
        &mut self,
        name: &str,
        json: Json,
        unsupported: Unsupported,
    ) -> Result<(), Error> {
        let is_other = || invalid(format!("option `{name}` is not of its shape"));
        match name {
            "verbosity" => {}
            "reasoning_effort" => self.effort = Some(json),
            "thinking" => self.thinking = Some(json),
            // Something else than an answer is asked for, such as embeddings.
            "operation" => {
                return Err(Error::Unsupported(
                    "option `operation`: this API answers in words alone".to_owned(),
                ));
            }
            // The contract has one answer.
            "n" if json.text().trim() == "1" => {}
            "n" => {
                return Err(Error::Unsupported(
                    "option `n`: only one answer can be asked for".to_owned(),
                ));
            }
            "frequency_penalty" | "presence_penalty" if json.read::<f64>() == Some(0.0) => {}
            "top_p" => self.top_p = Some(json),
            "top_k" => self.top_k = Some(json),
            "parallel_tool_calls" => {
                self.parallel_calls = Some(json.read().ok_or_else(is_other)?);
            }
            "tools" => {
                let tools: Vec<WireTool> = json.read().ok_or_else(is_other)?;
                let tools: Option<_> = tools.into_iter().map(Tool::of_wire).collect();
                self.tools = tools.ok_or_else(is_other)?;
            }
            "tool_choice" => {
                let choice = json.read().and_then(ToolChoice::of_wire);
                self.tool_choice = Some(choice.ok_or_else(is_other)?);
            }
            "response_format" => {
                let format: WireFormat = json.read().ok_or_else(is_other)?;
                match (format.kind.as_str(), format.json_schema) {
                    ("text", None) => {}
                    (
                        "json_schema",
                        Some(WireSchema {
                            name,
                            description,
                            schema: Some(schema),
                            ..
                        }),
                    ) => {
                        let schema = schema.object().ok_or_else(is_other)?;
                        self.format = Some(Format {
                            name,
                            description,
                            schema,
                        });
                    }
                    _ => unsupported.meet(name)?,
                }
            }
            name => unsupported.meet(name)?,
        }
        Ok(())
    }
}

impl Block<'_> {
    fn of_call(call: WireCall) -> Result<Self, Fault> {
        let WireCall {
            id,
            _kind: _,
            function: WireFunction { name, arguments },
        } = call;
        // Models that call without arguments write nothing.
        let arguments = match arguments.trim() {
            "" => "{}".to_owned(),
            _ => arguments,
        };
        let input = Json::parse(arguments).and_then(Json::object);
        Ok(Self::Call {
            id,
            name,
            input: input.ok_or(Fault::Arguments)?,
        })
    }
}

impl Tool {
    fn of_wire(tool: WireTool) -> Option<Self> {
        let WireSchema {
            name,
            description,
            schema,
            strict,
        } = tool.function;
        let schema = match schema {
            Some(schema) => schema.object()?,
            None => Json::parse(r#"{"type":"object","properties":{}}"#)?,
        };
        Some(Self {
            name: name?,
            description: description.filter(|text| !text.is_empty()),
            schema,
            is_strict: strict.unwrap_or_default(),
        })
    }
}

impl ToolChoice {
    fn of_wire(choice: WireChoice) -> Option<Self> {
        Some(match choice {
            WireChoice::Word(word) => match word.as_str() {
                "auto" => Self::Auto,
                "none" => Self::None,
                "required" => Self::Any,
                _ => return None,
            },
            WireChoice::Function(tool) => Self::Named(tool.function.name?),
        })
    }
}

/// What keeps a message from being read.
enum Fault {
    Role,
    NoFields,
    /// Of this media type.
    Blob(String),
    Arguments,
    Error(Error),
}

impl Fault {
    fn of_message(self, index: usize) -> Error {
        let unsupported = |what| Error::Unsupported(format!("message {index}: {what}"));
        match self {
            Self::Role => {
                unsupported("its role is none of system, developer, user, assistant, tool")
            }
            Self::NoFields => unsupported(
                "a JSON part is an object of `tool_calls` (role assistant) or `tool_call_id` (role tool, which needs it)",
            ),
            Self::Blob(media_type) => Error::Unsupported(format!(
                "message {index}: `{media_type}` is passed on for users and tools alone"
            )),
            Self::Arguments => invalid(format!(
                "message {index}: the arguments of a tool call are no JSON object"
            )),
            Self::Error(error) => error,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
    is_error: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCall {
    id: String,
    #[serde(rename = "type")]
    _kind: Option<OnlyFunction>,
    function: WireFunction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFunction {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnlyFunction {
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTool {
    #[serde(rename = "type")]
    _kind: OnlyFunction,
    function: WireSchema,
}

/// A function, or the schema of an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSchema {
    name: Option<String>,
    description: Option<String>,
    #[serde(alias = "parameters")]
    schema: Option<Json>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<WireSchema>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WireChoice {
    Word(String),
    Function(WireChoiceOf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireChoiceOf {
    #[serde(rename = "type")]
    _kind: OnlyFunction,
    function: WireName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireName {
    name: Option<String>,
}

fn invalid(what: impl Into<String>) -> Error {
    Error::InvalidInput(what.into())
}

/// An option's name if it is written as such names are. Whatever else the caller put there is not repeated.
#[must_use]
pub fn shown(name: &str) -> &str {
    let plain = name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain { name } else { "…" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(messages: Vec<(&str, Vec<Part>)>, options: &[(&str, &str)]) -> ChatCall {
        let message = |(role, parts): (&str, Vec<Part>)| Message {
            role: role.to_owned(),
            name: None,
            parts,
        };
        let option = |(name, json): &(&str, &str)| Attribute {
            name: (*name).to_owned(),
            value: Value::Json((*json).to_owned()),
        };
        ChatCall {
            model: "m".to_owned(),
            messages: messages.into_iter().map(message).collect(),
            max_tokens: None,
            temperature: None,
            stop: vec![],
            want_stream: false,
            options: options.iter().map(option).collect(),
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn json(json: &str) -> Part {
        Part::Json(json.to_owned())
    }

    /// One line for each turn.
    fn turns(call: &ChatCall) -> Vec<String> {
        let block = |block: &Block<'_>| match block {
            Block::Text(text) => (*text).to_owned(),
            Block::Blob(blob) => blob.media_type.clone(),
            Block::Call { id, name, input } => format!("{id}={name}({})", input.text()),
            Block::Result {
                id,
                contents,
                is_error,
            } => {
                let text = |content: &Content<'_>| match content {
                    Content::Text(text) => (*text).to_owned(),
                    Content::Blob(blob) => blob.media_type.clone(),
                };
                let texts: Vec<_> = contents.iter().map(text).collect();
                format!("{id}->{texts:?}/{is_error}")
            }
        };
        let conversation = Conversation::read(call, Unsupported::Refuse).unwrap();
        conversation
            .turns
            .iter()
            .map(|turn| {
                let blocks: Vec<_> = turn.blocks.iter().map(block).collect();
                format!("{:?}: {}", turn.speaker, blocks.join(" | "))
            })
            .collect()
    }

    fn refusal(call: &ChatCall, unsupported: Unsupported) -> Option<String> {
        match Conversation::read(call, unsupported) {
            Ok(_) => None,
            Err(Error::Unsupported(why) | Error::InvalidInput(why)) => Some(why),
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn turns_alternate_and_what_tools_gave_comes_first() {
        let call = call(
            vec![
                ("system", vec![text("Be brief."), text(" ")]),
                ("developer", vec![text("Be kind.")]),
                ("user", vec![text("a"), text("")]),
                ("user", vec![text("b")]),
                ("assistant", vec![]),
                (
                    "assistant",
                    vec![
                        text("c"),
                        json(
                            r#"{"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"z\": 1, \"a\": 2.50}"}},{"id":"2","type":"function","function":{"name":"g","arguments":""}}]}"#,
                        ),
                    ],
                ),
                ("tool", vec![text("d"), json(r#"{"tool_call_id":"1"}"#)]),
                ("system", vec![text("Now be quick.")]),
                (
                    "tool",
                    vec![json(r#"{"tool_call_id":"2","is_error":true}"#)],
                ),
                ("user", vec![text("e")]),
            ],
            &[],
        );
        let read = Conversation::read(&call, Unsupported::Refuse).unwrap();
        assert_eq!(read.instructions, ["Be brief.", "Be kind."]);
        assert_eq!(
            turns(&call),
            [
                "User: a | b",
                r#"Assistant: c | 1=f({"z": 1, "a": 2.50}) | 2=g({})"#,
                r#"User: 1->["d"]/false | 2->[]/true | Now be quick. | e"#,
            ]
        );
    }

    #[test]
    fn options_without_a_word_are_refused_by_name_or_left_out() {
        let said = || vec![("user", vec![text("x")])];
        for (name, value, is_refused) in [
            ("seed", "7", true),
            ("logit_bias", "{}", true),
            ("frequency_penalty", "0.5", true),
            ("frequency_penalty", "0", false),
            ("presence_penalty", "0.0", false),
            ("reasoning_effort", "\"low\"", false),
            ("verbosity", "\"low\"", false),
            ("thinking", r#"{"type":"disabled"}"#, false),
            ("n", "1", false),
            ("response_format", r#"{"type":"json_object"}"#, true),
            ("response_format", r#"{"type":"text"}"#, false),
        ] {
            let call = call(said(), &[(name, value)]);
            let expected = is_refused.then(|| format!("option `{name}` is not passed on"));
            assert_eq!(
                refusal(&call, Unsupported::Refuse),
                expected,
                "{name} {value}"
            );
            assert_eq!(refusal(&call, Unsupported::Drop), None, "{name} {value}");
        }
        let hot = ChatCall {
            temperature: Some(1.5),
            ..call(said(), &[])
        };
        assert_eq!(
            refusal(&hot, Unsupported::Refuse).unwrap(),
            "option `temperature` is not passed on"
        );
        assert_eq!(
            Conversation::read(&hot, Unsupported::Drop)
                .unwrap()
                .temperature,
            None
        );
        for (name, value) in [("n", "2"), ("operation", "\"embeddings\"")] {
            let call = call(said(), &[(name, value)]);
            assert!(refusal(&call, Unsupported::Drop).unwrap().contains(name));
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_and_not_repeated() {
        let said = || vec![("user", vec![text("x")])];
        for (call, expected) in [
            (call(vec![], &[]), "no message"),
            (call(vec![("system", vec![text("x")])], &[]), "no message"),
            (
                call(vec![("secret", vec![text("x")])], &[]),
                "message 0: its role",
            ),
            (
                call(vec![("tool", vec![text("x")])], &[]),
                "message 0: a JSON part",
            ),
            (
                call(vec![("user", vec![json(r#"{"tool_call_id":"1"}"#)])], &[]),
                "message 0: a JSON part",
            ),
            (
                call(vec![("user", vec![json("secret")])], &[]),
                "message 0: a JSON part",
            ),
            (
                call(
                    vec![(
                        "assistant",
                        vec![json(
                            r#"{"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"[\"secret\"]"}}]}"#,
                        )],
                    )],
                    &[],
                ),
                "message 0: the arguments",
            ),
            (
                call(said(), &[("seed", "1"), ("seed", "1")]),
                "option `seed` is",
            ),
            (
                call(said(), &[("top_p", "1"), ("top_p", "1")]),
                "option `top_p` is given twice",
            ),
            (
                call(said(), &[("top_p", "secret")]),
                "option `top_p` is no JSON",
            ),
            (call(said(), &[("Secret", "1")]), "option `…`"),
            (
                call(said(), &[("tools", r#"[{"type":"custom"}]"#)]),
                "option `tools` is not of its shape",
            ),
            (
                call(said(), &[("tool_choice", "\"secret\"")]),
                "option `tool_choice` is not of its shape",
            ),
        ] {
            let why = refusal(&call, Unsupported::Refuse).unwrap();
            assert!(
                why.starts_with(expected) && !why.contains("secret"),
                "{why}"
            );
        }
    }
}
