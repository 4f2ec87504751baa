//! JSON (RFC 8259) as a tree that keeps the order of keys and the digits of numbers, as FHIR wants them kept
//! (FHIR R4, section 2.6.2), and knows where each string stands.

/// A value, and what rules have done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Bytes of the text that are the content of a string, its quotes left out; half-open.
    pub(crate) place: (usize, usize),
    /// Whether a rule has had it: no later one has it again.
    pub(crate) is_done: bool,
    /// Whether it goes.
    pub(crate) is_gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Deeper nesting is refused.
const DEEPEST: usize = 100;

impl Node {
    pub(crate) const fn new(value: Value) -> Self {
        Self {
            value,
            place: (0, 0),
            is_done: false,
            is_gone: false,
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::new(Value::Text(text.to_owned()))
    }

    /// Reads one value and nothing after it; nothing if it is no JSON.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let node = reader.value(0)?;
        reader.blanks();
        (reader.at == text.len()).then_some(node)
    }

    /// A member of an object.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, node)| node),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                None
            }
        }
    }

    /// The string of a member.
    pub(crate) fn told(&self, name: &str) -> Option<&str> {
        match &self.member(name)?.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => {
                None
            }
        }
    }

    /// The type, if it is a resource.
    pub(crate) fn resource_type(&self) -> Option<&str> {
        self.told("resourceType")
    }

    /// Whether it has no parts.
    pub(crate) const fn is_primitive(&self) -> bool {
        matches!(
            self.value,
            Value::Bool(_) | Value::Number(_) | Value::Text(_)
        )
    }

    /// A primitive as FHIRPath compares it.
    pub(crate) fn written(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::List(_) | Value::Object(_) => String::new(),
        }
    }

    /// Takes away what is gone, and what is empty then.
    pub(crate) fn pruned(mut self) -> Option<Self> {
        self.value = match self.value {
            Value::List(nodes) => Value::List(nodes.into_iter().filter_map(Self::pruned).collect()),
            Value::Object(members) => {
                let kept = members.into_iter();
                Value::Object(
                    kept.filter_map(|(key, node)| Some((key, node.pruned()?)))
                        .collect(),
                )
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_)) => other,
        };
        let is_empty = match &self.value {
            Value::List(nodes) => nodes.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Null => true,
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => self.is_gone,
        };
        (!is_empty).then_some(self)
    }

    pub(crate) fn write(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => out.push_str(number),
            Value::Text(text) => out.push_str(&quoted(text)),
            Value::List(nodes) => {
                out.push('[');
                for (place, node) in nodes.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    node.write(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (place, (key, node)) in members.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    out.push_str(&quoted(key));
                    out.push(':');
                    node.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&serde_json::Value> for Node {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        Self::new(match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.to_string()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(values) => Value::List(values.iter().map(Self::from).collect()),
            Json::Object(members) => {
                let members = members.iter();
                Value::Object(
                    members
                        .map(|(key, value)| (key.clone(), Self::from(value)))
                        .collect(),
                )
            }
        })
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        self.blanks();
        let first = self.rest().chars().next().filter(|_| depth < DEEPEST)?;
        Some(match first {
            '"' => self.string()?,
            '{' => {
                self.take("{")?;
                let mut members: Vec<(String, Node)> = Vec::new();
                self.blanks();
                while self.take("}").is_none() {
                    if !members.is_empty() {
                        self.take(",")?;
                        self.blanks();
                    }
                    let Value::Text(key) = self.string()?.value else {
                        return None;
                    };
                    // The second of two would hide from the rules for the first.
                    if members.iter().any(|(known, _)| *known == key) {
                        return None;
                    }
                    self.blanks();
                    self.take(":")?;
                    let node = self.value(depth + 1)?;
                    members.push((key, node));
                    self.blanks();
                }
                Node::new(Value::Object(members))
            }
            '[' => {
                self.take("[")?;
                let mut nodes = Vec::new();
                self.blanks();
                while self.take("]").is_none() {
                    if !nodes.is_empty() {
                        self.take(",")?;
                    }
                    nodes.push(self.value(depth + 1)?);
                    self.blanks();
                }
                Node::new(Value::List(nodes))
            }
            't' => Node::new(self.take("true").map(|()| Value::Bool(true))?),
            'f' => Node::new(self.take("false").map(|()| Value::Bool(false))?),
            'n' => Node::new(self.take("null").map(|()| Value::Null)?),
            _ => {
                let is_part =
                    |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
                let length = self
                    .rest()
                    .find(|c| !is_part(c))
                    .unwrap_or_else(|| self.rest().len());
                let number = self.rest().get(..length)?.to_owned();
                serde_json::from_str::<serde_json::Number>(&number).ok()?;
                self.at += length;
                Node::new(Value::Number(number))
            }
        })
    }

    fn string(&mut self) -> Option<Node> {
        let start = self.at;
        self.take("\"")?;
        let mut is_escaped = false;
        let length = self.rest().bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        })?;
        let place = (self.at, self.at + length);
        self.at = place.1 + 1;
        let text = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some(Node {
            place,
            ..Node::new(Value::Text(text))
        })
    }
}
