//! The fields of one object, taken one by one. What is left over is unknown; what is wrong is named by its place.

use super::json::Json;
use crate::receive::Malformed;

/// What becomes of a field that nobody here knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// The request is refused: what is not known cannot be searched.
    #[default]
    Refuse,
    /// It stays here; the endpoint never gets it.
    Drop,
}

/// One object, of which fields are taken.
pub(crate) struct Fields {
    path: String,
    entries: Vec<(String, Json)>,
    unknown: UnknownFields,
}

impl Fields {
    /// The fields of `value`, which stands at `path`; the whole body's path is empty.
    pub(crate) fn of(value: Json, path: &str, unknown: UnknownFields) -> Result<Self, Malformed> {
        let Json::Object(entries) = value else {
            let object = if path.is_empty() { "the body" } else { path };
            return Err(wrong(object, "an object"));
        };
        Ok(Self {
            path: path.to_owned(),
            entries,
            unknown,
        })
    }

    /// The path of a field.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// What becomes of unknown fields.
    pub(crate) const fn unknown(&self) -> UnknownFields {
        self.unknown
    }

    /// Takes a field; `null` is as good as none.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        let place = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.entries.swap_remove(place);
        (!matches!(value, Json::Null)).then_some(value)
    }

    /// Takes text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.at(name), "a string")),
        }
    }

    /// Takes text that follows a rule.
    pub(crate) fn text_that(
        &mut self,
        name: &str,
        rule: &'static str,
        holds: impl FnOnce(&str) -> bool,
    ) -> Result<Option<String>, Malformed> {
        match self.text(name)? {
            Some(text) if !holds(&text) => Err(wrong(&self.at(name), rule)),
            text => Ok(text),
        }
    }

    /// Takes true or false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(wrong(&self.at(name), "true or false")),
        }
    }

    /// Takes a whole number that is not negative.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u32>, Malformed> {
        const RULE: &str = "a whole number from 0 to 4294967295";
        match self.take(name) {
            None => Ok(None),
            Some(Json::Number(number)) => number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
                .map(Some)
                .ok_or_else(|| wrong(&self.at(name), RULE)),
            Some(_) => Err(wrong(&self.at(name), RULE)),
        }
    }

    /// Takes a whole number of 64 bits.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Malformed> {
        const RULE: &str = "a whole number from -9223372036854775808 to 9223372036854775807";
        match self.take(name) {
            None => Ok(None),
            Some(Json::Number(number)) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| wrong(&self.at(name), RULE)),
            Some(_) => Err(wrong(&self.at(name), RULE)),
        }
    }

    /// Takes a number within bounds.
    pub(crate) fn number(
        &mut self,
        name: &str,
        rule: &'static str,
        bounds: std::ops::RangeInclusive<f64>,
    ) -> Result<Option<f64>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Number(number)) => number
                .as_f64()
                .filter(|number| bounds.contains(number))
                .map(Some)
                .ok_or_else(|| wrong(&self.at(name), rule)),
            Some(_) => Err(wrong(&self.at(name), rule)),
        }
    }

    /// Takes a list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Json>>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::List(values)) => Ok(Some(values)),
            Some(_) => Err(wrong(&self.at(name), "a list")),
        }
    }

    /// Takes an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, Malformed> {
        let path = self.at(name);
        self.take(name)
            .map(|value| Self::of(value, &path, self.unknown))
            .transpose()
    }

    /// Drops fields that this host knows and keeps to itself.
    pub(crate) fn keep_here(&mut self, names: &[&str]) {
        self.entries
            .retain(|(key, _)| !names.contains(&key.as_str()));
    }

    /// Refuses what was not taken, unless unknown fields are to be dropped.
    ///
    /// A field's name is the client's own text and is not repeated, unless it is one of `unsupported`.
    pub(crate) fn finish(self, unsupported: &[&str]) -> Result<(), Malformed> {
        let known = |(key, value): &&(String, Json)| {
            !matches!(value, Json::Null) && unsupported.contains(&key.as_str())
        };
        if let Some((key, _)) = self.entries.iter().find(known) {
            return Err(wrong(
                &self.at(key),
                "left out: this gateway does not offer it",
            ));
        }
        let is_unknown = self.entries.iter().any(|(key, value)| {
            !(matches!(value, Json::Null) && unsupported.contains(&key.as_str()))
        });
        if is_unknown && self.unknown == UnknownFields::Refuse {
            return Err(Malformed::UnknownField {
                object: if self.path.is_empty() {
                    "the body".to_owned()
                } else {
                    format!("`{}`", self.path)
                },
            });
        }
        Ok(())
    }
}

/// A field that breaks its rule.
pub(crate) fn wrong(path: &str, rule: &'static str) -> Malformed {
    Malformed::Field {
        field: path.to_owned(),
        rule,
    }
}

/// The rule of what is structural, up to 200 bytes of it.
pub(crate) const ID_RULE: &str = "1 to 200 of letters, digits and `._:/-@`";

/// Letters and digits of ASCII and `._:/-@`: what may stand unsearched.
pub(crate) fn is_structural(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-' | b'@')
        })
}
