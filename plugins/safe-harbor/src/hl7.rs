//! HL7 version 2 segments, by field: what a field is for says what stands in it (HL7 v2.5.1, chapters 2A, 3 and 6).
//!
//! Free text inside a message (`OBX-5`, `NTE-3`) is left to the other rules.

use crate::found::{Found, Kind};

/// What a field holds.
#[derive(Clone, Copy)]
enum Holds {
    /// One value of this kind: the first component.
    Value(Kind),
    /// XPN: family, given, further names, suffix, prefix.
    Person,
    /// XCN: an identifier, then a person.
    Clinician,
    /// XAD: street, other, city, State, ZIP, country, type, other, county.
    Address,
    /// XTN: a number, its use, and the mail address.
    Telecom,
    /// PL: where in which facility.
    Location,
}

use Holds::{Address, Clinician, Location, Person, Telecom, Value};

/// Segment, field, what it holds. Fields count from 1; in `MSH` the separator itself is field 1.
const FIELDS: &[(&str, usize, Holds)] = &[
    ("MSH", 4, Value(Kind::Geo)),
    ("MSH", 6, Value(Kind::Geo)),
    ("MSH", 7, Value(Kind::Date)),
    ("MSH", 10, Value(Kind::Id)),
    ("EVN", 2, Value(Kind::Date)),
    ("EVN", 3, Value(Kind::Date)),
    ("EVN", 5, Clinician),
    ("EVN", 6, Value(Kind::Date)),
    ("EVN", 7, Value(Kind::Geo)),
    ("PID", 2, Value(Kind::Mrn)),
    ("PID", 3, Value(Kind::Mrn)),
    ("PID", 4, Value(Kind::Mrn)),
    ("PID", 5, Person),
    ("PID", 6, Person),
    ("PID", 7, Value(Kind::Date)),
    ("PID", 9, Person),
    ("PID", 11, Address),
    ("PID", 12, Value(Kind::Geo)),
    ("PID", 13, Telecom),
    ("PID", 14, Telecom),
    ("PID", 18, Value(Kind::Account)),
    ("PID", 19, Value(Kind::Ssn)),
    ("PID", 20, Value(Kind::License)),
    ("PID", 21, Value(Kind::Mrn)),
    ("PID", 23, Value(Kind::Geo)),
    ("PID", 29, Value(Kind::Date)),
    ("PD1", 3, Value(Kind::Geo)),
    ("PD1", 4, Clinician),
    ("NK1", 2, Person),
    ("NK1", 4, Address),
    ("NK1", 5, Telecom),
    ("NK1", 6, Telecom),
    ("NK1", 12, Value(Kind::Id)),
    ("NK1", 16, Value(Kind::Date)),
    ("NK1", 30, Person),
    ("NK1", 31, Telecom),
    ("NK1", 32, Address),
    ("NK1", 37, Value(Kind::Ssn)),
    ("PV1", 3, Location),
    ("PV1", 5, Value(Kind::Account)),
    ("PV1", 6, Location),
    ("PV1", 7, Clinician),
    ("PV1", 8, Clinician),
    ("PV1", 9, Clinician),
    ("PV1", 17, Clinician),
    ("PV1", 19, Value(Kind::Account)),
    ("PV1", 39, Value(Kind::Geo)),
    ("PV1", 42, Location),
    ("PV1", 44, Value(Kind::Date)),
    ("PV1", 45, Value(Kind::Date)),
    ("PV1", 50, Value(Kind::Account)),
    ("PV1", 52, Clinician),
    ("PV2", 8, Value(Kind::Date)),
    ("PV2", 9, Value(Kind::Date)),
    ("GT1", 2, Value(Kind::Account)),
    ("GT1", 3, Person),
    ("GT1", 4, Person),
    ("GT1", 5, Address),
    ("GT1", 6, Telecom),
    ("GT1", 7, Telecom),
    ("GT1", 8, Value(Kind::Date)),
    ("GT1", 12, Value(Kind::Ssn)),
    ("GT1", 16, Person),
    ("GT1", 17, Address),
    ("GT1", 18, Telecom),
    ("IN1", 2, Value(Kind::HealthPlan)),
    ("IN1", 5, Address),
    ("IN1", 6, Person),
    ("IN1", 7, Telecom),
    ("IN1", 8, Value(Kind::HealthPlan)),
    ("IN1", 12, Value(Kind::Date)),
    ("IN1", 13, Value(Kind::Date)),
    ("IN1", 16, Person),
    ("IN1", 18, Value(Kind::Date)),
    ("IN1", 19, Address),
    ("IN1", 36, Value(Kind::HealthPlan)),
    ("IN1", 44, Address),
    ("IN1", 49, Value(Kind::HealthPlan)),
    ("IN2", 1, Value(Kind::Id)),
    ("IN2", 2, Value(Kind::Ssn)),
    ("IN2", 6, Value(Kind::HealthPlan)),
    ("IN2", 8, Value(Kind::HealthPlan)),
    ("IN2", 61, Value(Kind::HealthPlan)),
    ("IN2", 63, Telecom),
    ("ORC", 2, Value(Kind::Id)),
    ("ORC", 3, Value(Kind::Id)),
    ("ORC", 4, Value(Kind::Id)),
    ("ORC", 9, Value(Kind::Date)),
    ("ORC", 10, Clinician),
    ("ORC", 11, Clinician),
    ("ORC", 12, Clinician),
    ("ORC", 14, Telecom),
    ("ORC", 15, Value(Kind::Date)),
    ("ORC", 21, Value(Kind::Geo)),
    ("ORC", 22, Address),
    ("ORC", 23, Telecom),
    ("ORC", 24, Address),
    ("OBR", 2, Value(Kind::Id)),
    ("OBR", 3, Value(Kind::Id)),
    ("OBR", 6, Value(Kind::Date)),
    ("OBR", 7, Value(Kind::Date)),
    ("OBR", 8, Value(Kind::Date)),
    ("OBR", 10, Clinician),
    ("OBR", 14, Value(Kind::Date)),
    ("OBR", 16, Clinician),
    ("OBR", 17, Telecom),
    ("OBR", 22, Value(Kind::Date)),
    ("OBR", 28, Clinician),
    ("OBR", 32, Clinician),
    ("OBR", 33, Clinician),
    ("OBR", 34, Clinician),
    ("OBR", 35, Clinician),
    ("OBX", 14, Value(Kind::Date)),
    ("OBX", 16, Clinician),
    ("OBX", 18, Value(Kind::Device)),
    ("OBX", 19, Value(Kind::Date)),
    ("OBX", 23, Value(Kind::Geo)),
    ("OBX", 24, Address),
    ("OBX", 25, Clinician),
    ("DG1", 5, Value(Kind::Date)),
    ("DG1", 16, Clinician),
    ("PR1", 5, Value(Kind::Date)),
    ("PR1", 8, Clinician),
    ("PR1", 11, Clinician),
    ("AL1", 6, Value(Kind::Date)),
    ("ACC", 1, Value(Kind::Date)),
    ("TXA", 4, Value(Kind::Date)),
    ("TXA", 5, Clinician),
    ("TXA", 9, Clinician),
    ("TXA", 12, Value(Kind::Id)),
    ("SCH", 1, Value(Kind::Id)),
    ("SCH", 12, Clinician),
    ("SCH", 16, Clinician),
    ("SCH", 20, Clinician),
    ("FT1", 2, Value(Kind::Id)),
    ("FT1", 4, Value(Kind::Date)),
    ("FT1", 20, Clinician),
    ("FT1", 21, Clinician),
    ("MRG", 1, Value(Kind::Mrn)),
    ("MRG", 3, Value(Kind::Account)),
    ("MRG", 7, Person),
    ("ROL", 4, Clinician),
    ("ROL", 11, Address),
    ("ROL", 12, Telecom),
    ("PRT", 5, Clinician),
];

/// A piece of text and where it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Piece<'a> {
    fn split(self, mark: char) -> impl Iterator<Item = Self> {
        self.text.split(mark).map(move |text| Piece {
            text,
            start: self.start + (text.as_ptr().addr() - self.text.as_ptr().addr()),
        })
    }
}

/// Finds the identifiers that fields of HL7 segments hold. A segment begins a line: three capitals and a bar.
pub(crate) fn fields(text: &str, out: &mut Vec<Found>) {
    if !text.contains('|') {
        return;
    }
    let whole = Piece { text, start: 0 };
    for line in whole.split('\n').flat_map(|line| line.split('\r')) {
        let Some((name, _)) = line.text.split_once('|') else {
            continue;
        };
        let name = name.trim_start();
        if !FIELDS.iter().any(|(segment, _, _)| *segment == name) {
            continue;
        }
        // In MSH the bar after the name counts as the first field.
        let shift = usize::from(name == "MSH");
        for (place, field) in line.split('|').enumerate() {
            let Some((_, _, holds)) = FIELDS
                .iter()
                .find(|(segment, number, _)| *segment == name && *number == place + shift)
            else {
                continue;
            };
            for repetition in field.split('~') {
                components(*holds, repetition, out);
            }
        }
    }
}

fn components(holds: Holds, value: Piece<'_>, out: &mut Vec<Found>) {
    for (place, component) in value.split('^').enumerate() {
        let kind = match (holds, place) {
            (Value(kind), 0) => Some(kind),
            (Person, 0..=2) | (Clinician, 1..=3) => Some(Kind::Name),
            (Clinician, 0) => Some(if component.text.contains(|c: char| c.is_ascii_digit()) {
                Kind::License
            } else {
                Kind::Name
            }),
            (Address, 0..=2 | 4 | 8) | (Location, 0..=3) => Some(Kind::Geo),
            (Telecom, 0 | 5..=8 | 11) => Some(Kind::Phone),
            (Telecom, 3) => Some(Kind::Email),
            _ => None,
        };
        let Some(kind) = kind else { continue };
        for part in component.split('&') {
            push(kind, part, out);
        }
    }
}

fn push(kind: Kind, part: Piece<'_>, out: &mut Vec<Found>) {
    let inside = part.text.trim();
    // `""` is HL7's null, and a suffix or a middle initial alone is still part of a name.
    if !inside.contains(char::is_alphanumeric) {
        return;
    }
    let start = part.start + (inside.as_ptr().addr() - part.text.as_ptr().addr());
    out.push(Found {
        start,
        end: start + inside.len(),
        kind,
        confidence: 0.97,
        rule: "hl7-field",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_say_what_they_hold() {
        let message = "MSH|^~\\&|LAB|QUILL HOSPITAL|EHR|QUILL|20240314093000||ORU^R01|M77120|P|2.5.1\r\
            PID|1||4471902^^^QH^MR||MARLOWE^TESSA^J^^MS||19610502|F|||14 LARCH LN^^QUILLHAVEN^OR^97999||^PRN^PH^tessa@mail.example^1^503^5550144";
        let mut out = Vec::new();
        fields(message, &mut out);
        let found: Vec<_> = out
            .iter()
            .map(|one| (message.get(one.start..one.end).unwrap(), one.kind.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("QUILL HOSPITAL", "geo"),
                ("QUILL", "geo"),
                ("20240314093000", "date"),
                ("M77120", "id"),
                ("4471902", "mrn"),
                ("MARLOWE", "name"),
                ("TESSA", "name"),
                ("J", "name"),
                ("19610502", "date"),
                ("14 LARCH LN", "geo"),
                ("QUILLHAVEN", "geo"),
                ("97999", "geo"),
                ("tessa@mail.example", "email"),
                ("503", "phone"),
                ("5550144", "phone"),
            ]
        );
    }
}
