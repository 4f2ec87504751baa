//! JSON (RFC 8259) as a tree that keeps the order of keys, refuses a key that is there twice, and says nothing of what
//! it holds when it is wrong.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use crate::receive::Malformed;

/// One value.
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// Text that is structural: known, held to a form, and never searched.
    Fixed(String),
    /// A number that is structural.
    Exact(serde_json::Number),
    /// An object whose keys and numbers are structural, such as weights of a tokenizer's numbers.
    Weights(Vec<(String, serde_json::Number)>),
    /// JSON inside a string, such as the arguments of a tool call.
    Embedded(Box<Self>),
    /// The name of a tool. It is searched, and nothing may be found in it: in its place no token could stand, for the client
    /// calls the tool by it.
    Name {
        name: String,
        /// Where it stands in the request, by the path of the field.
        place: String,
    },
}

impl Json {
    /// Reads one value, and nothing after it.
    ///
    /// # Errors
    /// [`Malformed::Shape`]: the place and what is wrong there, never the text.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(bytes).map_err(|error| malformed(&error))
    }

    /// A name or word that is not searched.
    pub(crate) fn fixed(text: &str) -> Self {
        Self::Fixed(text.to_owned())
    }

    /// The text, if it is text.
    pub(crate) fn into_text(self) -> Option<String> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// The value as JSON text.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is wrong with text that was read as [`Json`]: the place and what is wrong there, never the text.
pub(crate) fn malformed(error: &serde_json::Error) -> Malformed {
    Malformed::Shape {
        line: error.line(),
        column: error.column(),
        // Serde's own text quotes what it found, which may be PHI (I9).
        what: match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
                "this is not JSON (or nests deeper than 127, or holds a number that no double can)"
            }
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Data => {
                "an object has the same key twice, or a number has more digits than are kept; write it as a string"
            }
        },
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) | Self::Exact(number) => number.serialize(serializer),
            Self::Text(text) | Self::Fixed(text) | Self::Name { name: text, .. } => {
                serializer.serialize_str(text)
            }
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Weights(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, number) in entries {
                    map.serialize_entry(key, number)?;
                }
                map.end()
            }
            Self::Embedded(value) => serializer.serialize_str(&value.to_text()),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        // From here on a double skips whole numbers: what was written would be changed.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let number = serde_json::Number::from_f64(value).filter(|_| value.abs() < EXACT);
        number
            .map(Json::Number)
            .ok_or_else(|| E::custom("a number too long"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = entries.next_entry::<String, Json>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("a key twice"));
            }
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, usize, &'static str) {
        match Json::read(text.as_bytes()) {
            Err(Malformed::Shape { line, column, what }) => (line, column, what),
            Err(_) | Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let text = r#"{"b":[1,-2,0.5,true,null,"\u00e9\n"],"a":{"":{}}}"#;
        let read = Json::read(text.as_bytes()).ok().unwrap();
        assert_eq!(read.to_text(), text.replace("\\u00e9", "é"));
    }

    #[test]
    fn i9_what_is_wrong_is_said_with_its_place_and_without_the_text() {
        let twice = fault("{\"a\":1,\n \"a\":2}");
        assert_eq!((twice.0, twice.1), (2, 7));
        for text in ["{\"a\":1,\"a\":2}", "[12345678901234567890123]", "1e17"] {
            assert!(
                fault(text)
                    .2
                    .starts_with("an object has the same key twice, or"),
                "{text}"
            );
        }
        assert_eq!(fault("{\"a\":").2, "the JSON ends too early");
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for text in ["{a}", "[1] 2", "1e999", deep.as_str(), "\"\\ud800\""] {
            assert!(fault(text).2.starts_with("this is not JSON"), "{text:.20}");
        }
        let invalid = Json::read(b"\"\xff\"");
        assert!(invalid.is_err());
    }
}
