//! What an application says of the patient and of those around, so that detectors find it in the texts. It comes flat or as
//! FHIR R4, goes to the detectors and to nobody else, and stands in the log as counts by kind.

use std::collections::BTreeMap;

use nephron_engine::Messages;
use nephron_engine::contract::{Message, Part};
use nephron_model::Phi;
use serde::Serialize;

use super::fields::{Fields, UnknownFields, wrong};
use super::json::Json;
use crate::receive::Malformed;

mod fhir;
#[cfg(test)]
mod tests;

/// What is known, as detectors are told it: one message of the role `known` (`wit/types.wit`), or none.
#[derive(Default)]
pub(crate) struct Known {
    messages: Phi<Messages>,
    counts: BTreeMap<&'static str, u64>,
    record_numbers: Phi<Vec<String>>,
}

/// The role of that message, which no text of a request has.
const ROLE: &str = "known";

/// How many of the messages that detectors were shown are texts to search, and not what is known.
pub(crate) fn texts(messages: &[Message]) -> usize {
    let is_known = messages.last().is_some_and(|last| last.role == ROLE);
    messages.len() - usize::from(is_known)
}

/// One fact.
#[derive(Serialize)]
struct Fact {
    kind: &'static str,
    of: &'static str,
    value: String,
}

impl Fact {
    fn is_record_number(&self) -> bool {
        self.kind == "mrn" && self.of == "patient"
    }
}

/// Facts of one request.
const MOST: usize = 2_000;

/// Bytes of one fact.
const LONGEST: usize = 500;

/// Record numbers of the patient: each is a digest in the entry that opens the request, and an entry's header is short.
const MOST_NUMBERS: usize = 64;

/// The members of the flat form: name, kind, and whose it is.
const FLAT: [(&str, &str, &str); 19] = [
    ("name", "name", "patient"),
    ("aliases", "name", "patient"),
    ("dob", "date", "patient"),
    ("dates", "date", "encounter"),
    ("mrn", "mrn", "patient"),
    ("ssn", "ssn", "patient"),
    ("health-plan", "health-plan", "patient"),
    ("account", "account", "patient"),
    ("license", "license", "patient"),
    ("vehicle", "vehicle", "patient"),
    ("device", "device", "patient"),
    ("ids", "id", "patient"),
    ("address", "geo", "patient"),
    ("phones", "phone", "patient"),
    ("faxes", "fax", "patient"),
    ("emails", "email", "patient"),
    ("relatives", "name", "relative"),
    ("staff", "name", "staff"),
    ("facilities", "geo", "encounter"),
];

impl Known {
    /// The member `nephron` of a request in another's API, of which `known` is one.
    pub(crate) fn of_extension(fields: &mut Fields) -> Result<Self, Malformed> {
        let path = fields.at("nephron");
        let Some(extension) = fields.take("nephron") else {
            return Ok(Self::default());
        };
        // It is ours: nothing in it is dropped in silence.
        let mut extension = Fields::of(extension, &path, UnknownFields::Refuse)?;
        let known = Self::of_member(&mut extension)?;
        extension.finish(&[])?;
        Ok(known)
    }

    /// The member `known` of a request in our own.
    pub(crate) fn of_member(fields: &mut Fields) -> Result<Self, Malformed> {
        let path = fields.at("known");
        let known = fields.take("known");
        known.map_or_else(|| Ok(Self::default()), |known| Self::read(known, &path))
    }

    /// A file that holds the same and nothing else.
    pub(crate) fn of_file(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::read(Json::read(bytes)?, "known")
    }

    fn read(known: Json, path: &str) -> Result<Self, Malformed> {
        let mut facts = Facts::default();
        let is_resource = matches!(&known, Json::Object(entries) if entries.iter().any(|(key, _)| key == "resourceType"));
        if let Json::List(resources) = known {
            fhir::all(resources, path, &mut facts)?;
        } else if is_resource {
            fhir::resource(known, path, &mut facts)?;
        } else {
            read_flat(known, path, &mut facts)?;
        }
        let mut counts = BTreeMap::new();
        for fact in &facts.0 {
            *counts.entry(fact.kind).or_default() += 1;
        }
        let message = |facts: &[Fact]| Message {
            role: ROLE.to_owned(),
            name: None,
            parts: vec![Part::Json(serde_json::to_string(facts).unwrap_or_default())],
        };
        let messages = (!facts.0.is_empty()).then(|| message(&facts.0));
        let mut record_numbers = Phi::new(Vec::new());
        for fact in facts.0.iter().filter(|fact| fact.is_record_number()) {
            if record_numbers.expose().len() == MOST_NUMBERS {
                return Err(wrong(
                    path,
                    "of one patient, with at most 64 record numbers",
                ));
            }
            record_numbers.expose_mut().push(fact.value.clone());
        }
        Ok(Self {
            messages: Phi::new(Messages(messages.into_iter().collect())),
            counts,
            record_numbers,
        })
    }

    /// The patient's medical record numbers, as they were given.
    pub(crate) fn record_numbers(&self) -> &[String] {
        self.record_numbers.expose()
    }

    /// What is put behind the texts that a detector sees.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages.expose().0
    }

    /// How many facts there are, by kind.
    pub(crate) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

fn read_flat(known: Json, path: &str, facts: &mut Facts) -> Result<(), Malformed> {
    const RULE: &str = "a string, or a list of strings";
    let mut fields = Fields::of(known, path, UnknownFields::Refuse)?;
    for (name, kind, of) in FLAT {
        let at = fields.at(name);
        let values = match fields.take(name) {
            None => continue,
            Some(Json::Text(value)) => vec![value],
            Some(Json::List(values)) => {
                let values: Option<_> = values.into_iter().map(Json::into_text).collect();
                values.ok_or_else(|| wrong(&at, RULE))?
            }
            Some(_) => return Err(wrong(&at, RULE)),
        };
        for value in values {
            facts.add(kind, of, value, &at)?;
        }
    }
    if let Some(resources) = fields.list("fhir")? {
        fhir::all(resources, &fields.at("fhir"), facts)?;
    }
    fields.finish(&[])
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    /// Takes up a fact that stands at `path`; one of blanks alone is none.
    fn add(
        &mut self,
        kind: &'static str,
        of: &'static str,
        value: String,
        path: &str,
    ) -> Result<(), Malformed> {
        if value.len() > LONGEST {
            return Err(wrong(path, "at most 500 bytes long"));
        }
        if self.0.len() == MOST {
            return Err(wrong(path, "one of at most 2000 facts that are known"));
        }
        if !value.trim().is_empty() {
            self.0.push(Fact { kind, of, value });
        }
        Ok(())
    }
}
