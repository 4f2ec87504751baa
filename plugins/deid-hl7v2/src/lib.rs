//! Finds the identifiers of HL7 version 2 messages by segment and field, and fails closed: a segment that is not known (every
//! Z-segment), a field, a component or a line that nobody here can name, is reported as it stands, with a rule that says it
//! was not examined. Free text (`NTE-3`, `OBX-5` of text) is left to the detectors beside it. It must never put message text
//! into an error.
//!
//! [`message`] cuts a text into fields by the delimiters that it names itself; [`table`] says what they hold.

mod message;
mod table;
#[cfg(test)]
mod tests;

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, NoSettings, Plugin, Problem, known};

use message::{Delimiters, Line, Place, lines};
use table::{Holds, Segment};

/// The detector.
pub struct DeidHl7v2;

impl Plugin for DeidHl7v2 {
    type Settings = NoSettings;
    const NAME: &str = "deid-hl7v2";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

/// One finding.
#[derive(Clone, Copy, Debug)]
struct Found {
    place: Place,
    kind: &'static str,
    rule: &'static str,
}

/// The rule of what a table names.
const BY_FIELD: &str = "hl7v2-field";

impl Detector for DeidHl7v2 {
    fn detect(&self, _: RequestInfo, mut messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let _known = known::take(&mut messages)?;
        let mut spans = Vec::new();
        for (message, given) in (0..).zip(&messages) {
            for (part, content) in (0..).zip(&given.parts) {
                let Part::Text(text) = content else {
                    continue;
                };
                for found in find(text) {
                    spans.push(span(message, part, found)?);
                }
            }
        }
        Ok(spans)
    }
}

fn span(message: u32, part: u32, found: Found) -> Result<Span, Error> {
    let offset = |at: usize| {
        u32::try_from(at)
            .map_err(|_| Error::LimitExceeded("a part is longer than 4 GiB".to_owned()))
    };
    Ok(Span {
        message,
        part,
        start: offset(found.place.start)?,
        end: offset(found.place.end)?,
        kind: found.kind.to_owned(),
        confidence: if found.rule == BY_FIELD { 0.98 } else { 0.5 },
        rule: Some(found.rule.to_owned()),
    })
}

/// What is found in a text, in order and without overlap.
fn find(text: &str) -> Vec<Found> {
    let mut finds = Finds {
        text,
        found: Vec::new(),
    };
    for line in lines(text) {
        match line {
            Line::Stray(place) => finds.unexamined(place, "unexamined-line"),
            Line::Segment {
                name,
                delimiters,
                first,
                fields,
            } => {
                finds.segment(name, delimiters, first, fields);
            }
        }
    }
    finds.found
}

struct Finds<'t> {
    text: &'t str,
    found: Vec<Found>,
}

impl Finds<'_> {
    fn segment(&mut self, name: &str, delimiters: Delimiters, first: usize, fields: Place) {
        let Some(segment) = Segment::named(name) else {
            // What nobody can name may be anything: each value of it goes, its delimiters stay.
            for field in fields.parts(self.text, delimiters.field) {
                self.each_value(field, delimiters, "unexamined-segment");
            }
            return;
        };
        let mut observed = "";
        for (number, field) in (first..).zip(fields.parts(self.text, delimiters.field)) {
            if (segment.name, number) == ("OBX", 2) {
                observed = field.of(self.text);
            }
            match segment.field(number) {
                None => self.each_value(field, delimiters, "unexamined-field"),
                Some(holds) => {
                    let holds = if holds == Holds::Observed {
                        of_type(observed.trim())
                    } else {
                        Some(holds)
                    };
                    match holds {
                        Some(holds) => self.field(field, delimiters, holds),
                        None => self.each_value(field, delimiters, "unexamined-type"),
                    }
                }
            }
        }
    }

    fn field(&mut self, field: Place, delimiters: Delimiters, holds: Holds) {
        for repetition in field.parts(self.text, delimiters.repetition) {
            for (number, component) in (1..).zip(repetition.parts(self.text, delimiters.component))
            {
                match holds_of(holds, number) {
                    Component::Stays => {}
                    Component::Is(kind) => self.push(component, kind, BY_FIELD),
                    Component::Unknown => self.unexamined(component, "unexamined-component"),
                }
            }
        }
    }

    /// Each component by itself, so that what parts them stays.
    fn each_value(&mut self, field: Place, delimiters: Delimiters, rule: &'static str) {
        for repetition in field.parts(self.text, delimiters.repetition) {
            for component in repetition.parts(self.text, delimiters.component) {
                self.unexamined(component, rule);
            }
        }
    }

    fn unexamined(&mut self, place: Place, rule: &'static str) {
        self.push(place, "id", rule);
    }

    fn push(&mut self, place: Place, kind: &'static str, rule: &'static str) {
        if place.is_told(self.text) {
            self.found.push(Found { place, kind, rule });
        }
    }
}

/// What becomes of a component.
enum Component {
    Stays,
    Is(&'static str),
    /// The type has no such component.
    Unknown,
}

/// By the types of HL7 v2.5.1, chapter 2A.
const fn holds_of(holds: Holds, component: usize) -> Component {
    match (holds, component) {
        (Holds::Harmless | Holds::Prose | Holds::Observed, _)
        | (Holds::Coded, 1..=9)
        | (Holds::Number(_), 2 | 3 | 5)
        | (Holds::Person, 5..=8 | 11)
        | (Holds::Clinician, 6..=8 | 10 | 11 | 13 | 15 | 18 | 21)
        | (Holds::Address, 4 | 6 | 7 | 11)
        | (Holds::Telecom, 2 | 3) => Component::Stays,
        (Holds::All(kind), _) | (Holds::Number(kind), 1) => Component::Is(kind),
        (Holds::Number(_) | Holds::Clinician, 4 | 9 | 14) | (Holds::Number(_), 6 | 10) => {
            Component::Is("geo")
        }
        (Holds::Number(_), 7 | 8)
        | (Holds::Person, 10 | 12 | 13)
        | (Holds::Clinician, 17 | 19 | 20)
        | (Holds::Address, 12..=14) => Component::Is("date"),
        (Holds::Person, 1..=4 | 9 | 14) | (Holds::Clinician, 2 | 3 | 5) => Component::Is("name"),
        (Holds::Clinician, 1) => Component::Is("license"),
        (Holds::Clinician, 12 | 16 | 22 | 23) => Component::Is("geo"),
        (Holds::Address, 1 | 2 | 3 | 5 | 8 | 9 | 10) => Component::Is("geo"),
        (Holds::Telecom, 4) => Component::Is("email"),
        (Holds::Telecom, 1 | 5..=12) => Component::Is("phone"),
        (
            Holds::Coded
            | Holds::Number(_)
            | Holds::Person
            | Holds::Clinician
            | Holds::Address
            | Holds::Telecom,
            _,
        ) => Component::Unknown,
    }
}

/// What an observation of that type holds; nothing of a type that is not known, or that brings a document.
fn of_type(name: &str) -> Option<Holds> {
    Some(match name {
        "NM" | "SN" | "SI" | "ID" | "IS" | "NA" | "NR" | "CQ" | "MO" => Holds::Harmless,
        "CE" | "CWE" | "CNE" | "CF" => Holds::Coded,
        "ST" | "TX" | "FT" => Holds::Prose,
        "DT" | "TM" | "TS" | "DTM" | "DR" => Holds::All("date"),
        "CX" | "EI" => Holds::Number("id"),
        "XPN" | "PN" => Holds::Person,
        "XCN" | "CN" => Holds::Clinician,
        "XAD" | "AD" => Holds::Address,
        "XTN" | "TN" => Holds::Telecom,
        _ => return None,
    })
}

nephron_sdk::export!(detector: DeidHl7v2);
