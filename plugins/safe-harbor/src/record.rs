//! What the application itself said of the patient and of those around is found however the text has it, and outranks
//! what rules and model make of the same place.

mod date;
mod name;
mod near;
mod number;
mod place;
#[cfg(test)]
mod tests;
mod view;

use nephron_sdk::Error;
use nephron_sdk::known::Fact;

use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON, FAMILY, Flags, GIVEN, Lexicon};
use crate::token::Document;
use crate::words::Hash;
use near::Nearness;

const PLAIN: u64 = COMMON | CLINICAL;
const NAME: u64 = GIVEN | FAMILY;

/// What every rule of this kind begins with.
pub(crate) const RULE: &str = "record-";

/// Whose a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Patient,
    Relative,
    Staff,
    Encounter,
}

/// The facts, ready to be looked for.
#[derive(Default)]
pub(crate) struct Record {
    names: name::Names,
    dates: date::Dates,
    places: place::Places,
    numbers: number::Numbers,
    has_facts: bool,
}

impl Record {
    /// # Errors
    /// [`Error::InvalidInput`] for a kind, or a word for whose it is, that the contract does not have.
    pub(crate) fn new(facts: &[Fact], lexicon: &Lexicon) -> Result<Self, Error> {
        let mut record = Self {
            has_facts: !facts.is_empty(),
            ..Self::default()
        };
        for Fact { kind, of, value } in facts {
            let of = match of.as_str() {
                "patient" => Of::Patient,
                "relative" => Of::Relative,
                "staff" => Of::Staff,
                "encounter" => Of::Encounter,
                _ => {
                    return Err(Error::InvalidInput(
                        "nobody is known by that word".to_owned(),
                    ));
                }
            };
            let kind = Kind::named(kind);
            match kind.ok_or_else(|| Error::InvalidInput("a fact of no known kind".to_owned()))? {
                Kind::Name => record.names.add(of, value, lexicon),
                Kind::Date => record.dates.add(of, value),
                Kind::Geo => record.places.add(of, value, lexicon),
                kind @ (Kind::Age
                | Kind::Phone
                | Kind::Fax
                | Kind::Email
                | Kind::Ssn
                | Kind::Mrn
                | Kind::HealthPlan
                | Kind::Account
                | Kind::License
                | Kind::Vehicle
                | Kind::Device
                | Kind::Url
                | Kind::Ip
                | Kind::Biometric
                | Kind::Photo
                | Kind::Id) => record.numbers.add(of, kind, value),
            }
        }
        Ok(record)
    }

    /// Adds where the facts stand in the text.
    pub(crate) fn find(&self, document: &Document<'_>, out: &mut Vec<Found>) {
        if !self.has_facts {
            return;
        }
        let view = view::View::of(document.text);
        self.names.find(document, &view, out);
        self.dates.find(&view, out);
        self.places.find(document, &view, out);
        self.numbers.find(&view, out);
    }
}

/// What the word lists know of a word in lower case.
fn flags(lexicon: &Lexicon, word: &str) -> Flags {
    lexicon.flags(word, Hash::of(word))
}

const fn found(start: usize, end: usize, kind: Kind, nearness: Nearness, of: Of) -> Found {
    Found {
        start,
        end,
        kind,
        confidence: match nearness {
            Nearness::Same => 1.0,
            Nearness::Read => 0.99,
            Nearness::Typed => 0.97,
        },
        rule: match of {
            Of::Patient => "record-patient",
            Of::Relative => "record-relative",
            Of::Staff => "record-staff",
            Of::Encounter => "record-encounter",
        },
    }
}
