//! What the fields of the segments hold (HL7 v2.5.1, chapters 2A, 3 to 10). A field that is in no list here is not known to be
//! harmless, and is reported.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Codes, numbers and the like, which identify nobody.
    Harmless,
    /// Free text, which other detectors read.
    Prose,
    /// All of it is of this kind.
    All(&'static str),
    /// CX, EI: a number and who assigned it; of its components the fifth is a code.
    Number(&'static str),
    /// XPN: a name; of its components the sixth to eighth are codes.
    Person,
    /// XCN: a number and a name.
    Clinician,
    /// XAD: an address; State, country and type stay.
    Address,
    /// XTN: a telephone number or an address of the net; use and equipment stay.
    Telecom,
    /// CE, CWE: a code and its text.
    Coded,
    /// OBX-5, whose type OBX-2 names.
    Observed,
}

use Holds::{Address, All, Clinician, Coded, Number, Observed, Person, Prose, Telecom};

/// A segment: fields that are harmless, then what the others hold.
pub(crate) struct Segment {
    pub(crate) name: &'static str,
    harmless: &'static [usize],
    others: &'static [(usize, Holds)],
}

impl Segment {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SEGMENTS.iter().find(|segment| segment.name == name)
    }

    /// Nothing if the field is not known.
    pub(crate) fn field(&self, number: usize) -> Option<Holds> {
        if self.harmless.contains(&number) {
            return Some(Holds::Harmless);
        }
        let other = self.others.iter().find(|(field, _)| *field == number);
        other.map(|(_, holds)| *holds)
    }
}

const DATE: Holds = All("date");
const PLACE: Holds = All("geo");
const ID: Holds = Number("id");
const MRN: Holds = Number("mrn");
const ACCOUNT: Holds = Number("account");
const PLAN: Holds = Number("health-plan");

macro_rules! segments {
    ($($name:literal [$($harmless:literal)*] {$($field:literal $holds:expr),* $(,)?})*) => {
        const SEGMENTS: &[Segment] = &[
            $(Segment { name: $name, harmless: &[$($harmless),*], others: &[$(($field, $holds)),*] }),*
        ];
    };
}

segments! {
    "MSH" [9 11 12 13 15 16 17 18 19 20] { 3 PLACE, 4 PLACE, 5 PLACE, 6 PLACE, 7 DATE, 10 ID, 14 ID }
    "FHS" [] { 3 PLACE, 4 PLACE, 5 PLACE, 6 PLACE, 7 DATE, 9 ID, 10 Prose, 11 ID, 12 ID }
    "BHS" [] { 3 PLACE, 4 PLACE, 5 PLACE, 6 PLACE, 7 DATE, 9 ID, 10 Prose, 11 ID, 12 ID }
    "FTS" [1] { 2 Prose }
    "BTS" [1 3] { 2 Prose }
    "MSA" [1 4 5] { 2 ID, 3 Prose, 6 Coded }
    "ERR" [1 2 3 4 5] { 7 Prose, 8 Prose }
    "EVN" [1 4] { 2 DATE, 3 DATE, 5 Clinician, 6 DATE, 7 PLACE }
    "PID" [1 8 16 17 24 25 27 30 31 32] {
        2 MRN, 3 MRN, 4 MRN, 5 Person, 6 Person, 7 DATE, 9 Person, 10 Coded, 11 Address, 12 PLACE, 13 Telecom, 14 Telecom,
        15 Coded, 18 ACCOUNT, 19 All("ssn"), 20 All("license"), 21 MRN, 22 Coded, 23 PLACE, 26 Coded, 28 Coded, 29 DATE, 33 DATE,
        34 PLACE, 35 Coded, 36 Coded,
    }
    "PD1" [1 2 5 6 7 11 12 15] { 3 PLACE, 4 Clinician, 8 ID, 9 ID, 10 ID, 13 DATE, 14 PLACE, 17 DATE, 18 DATE }
    "NK1" [1 14 15 18 22 23 24 27] {
        2 Person, 3 Coded, 4 Address, 5 Telecom, 6 Telecom, 7 Coded, 8 DATE, 9 DATE, 10 Prose, 11 Prose, 12 ID, 13 PLACE, 16 DATE,
        17 Coded, 20 Coded, 26 Person, 30 Person, 31 Telecom, 32 Address, 33 ID, 35 Coded, 37 All("ssn"), 38 PLACE,
    }
    "MRG" [] { 1 MRN, 2 MRN, 3 ACCOUNT, 4 MRN, 5 ACCOUNT, 6 ID, 7 Person }
    "PV1" [1 2 4 10 12 13 14 15 16 18 20 21 22 24 26 27 28 30 32 36 38 40 41] {
        3 PLACE, 5 ACCOUNT, 6 PLACE, 7 Clinician, 8 Clinician, 9 Clinician, 11 PLACE, 17 Clinician, 19 ACCOUNT, 25 DATE, 29 DATE,
        35 DATE, 37 PLACE, 39 PLACE, 42 PLACE, 43 PLACE, 44 DATE, 45 DATE, 50 ACCOUNT, 51 Coded, 52 Clinician,
    }
    "PV2" [2 6 7 10 11 15 16 18 19 20 21 22 25 27 30 31 32 34 36 37 38 39 40 45 49] {
        1 PLACE, 3 Coded, 4 Coded, 5 Prose, 8 DATE, 9 DATE, 12 Prose, 13 Clinician, 14 DATE, 17 DATE, 23 PLACE, 26 DATE, 28 DATE,
        29 DATE, 33 DATE, 35 DATE, 46 DATE, 47 DATE, 48 DATE,
    }
    "AL1" [1 4] { 2 Coded, 3 Coded, 5 Prose, 6 DATE }
    "DG1" [1 2 6 15 17 18 21] { 3 Coded, 4 Prose, 5 DATE, 7 Coded, 8 Coded, 9 Coded, 14 Coded, 16 Clinician, 19 DATE, 20 ID, 22 ID }
    "DRG" [3 4 5 6 7 8 9 10] { 1 Coded, 2 DATE }
    "PR1" [1 2 6 7 10 13 14 15 17 18] {
        3 Coded, 4 Prose, 5 DATE, 8 Clinician, 9 Clinician, 11 Clinician, 12 Clinician, 16 Coded, 19 ID,
    }
    "GT1" [1 9 10 15 20 22 23 24 25 30 33 34] {
        2 ACCOUNT, 3 Person, 4 Person, 5 Address, 6 Telecom, 7 Telecom, 8 DATE, 11 Coded, 12 All("ssn"), 13 DATE, 14 DATE, 16 Person,
        17 Address, 18 Telecom, 19 ID, 21 PLACE, 26 DATE, 29 ID, 42 Person, 45 Person, 46 Telecom, 51 PLACE,
    }
    "IN1" [1 14 15 20 21 22 23 25 27 31 32 37 38 39 40 41 42 43 45 47 48] {
        2 PLAN, 3 PLAN, 4 PLACE, 5 Address, 6 Person, 7 Telecom, 8 PLAN, 9 PLACE, 10 PLAN, 11 PLACE, 12 DATE, 13 DATE, 16 Person,
        17 Coded, 18 DATE, 19 Address, 24 DATE, 26 DATE, 28 ID, 29 DATE, 30 Clinician, 36 PLAN, 44 Address, 46 PLAN, 49 PLAN, 52 PLACE,
    }
    "IN2" [4 5 15 16 17 18 19 20 21 23 24 28 29 30 31 32 34 35 36 37 38 39 41 42 43] {
        1 ID, 2 All("ssn"), 3 Clinician, 6 PLAN, 7 Person, 8 PLAN, 9 Person, 10 PLAN, 22 Person, 25 PLAN, 26 PLAN, 40 Person, 49 Person,
        52 Person, 61 PLAN, 63 Telecom, 64 Telecom, 69 PLACE,
    }
    "ACC" [4 5 6] { 1 DATE, 2 Coded, 3 PLACE, 7 Clinician, 8 Prose, 9 Prose, 11 Address }
    "ORC" [1 5 6 16 25 28 29 30] {
        2 ID, 3 ID, 4 ID, 7 All("date"), 8 ID, 9 DATE, 10 Clinician, 11 Clinician, 12 Clinician, 13 PLACE, 14 Telecom, 15 DATE, 17 PLACE,
        18 PLACE, 19 Clinician, 20 Coded, 21 PLACE, 22 Address, 23 Telecom, 24 Address, 26 Coded, 27 DATE,
    }
    "OBR" [1 5 9 11 12 23 24 25 30 37] {
        2 ID, 3 ID, 4 Coded, 6 DATE, 7 DATE, 8 DATE, 10 Clinician, 13 Prose, 14 DATE, 15 Coded, 16 Clinician, 17 Telecom, 18 ID, 19 ID,
        20 ID, 21 ID, 22 DATE, 26 ID, 27 All("date"), 28 Clinician, 29 ID, 31 Coded, 32 Clinician, 33 Clinician, 34 Clinician,
        35 Clinician, 36 DATE, 39 Prose, 44 Coded, 45 Coded, 46 Coded, 47 Coded,
    }
    "OBX" [1 2 4 7 8 9 10 11 13] {
        3 Coded, 5 Observed, 6 Coded, 12 DATE, 14 DATE, 15 PLACE, 16 Clinician, 17 Coded, 18 Number("device"), 19 DATE, 20 Coded, 23 PLACE,
        24 Address, 25 Clinician,
    }
    "NTE" [1 2] { 3 Prose, 4 Coded }
    "SPM" [1 12] { 2 ID, 3 ID, 4 Coded, 5 Coded, 6 Coded, 7 Coded, 8 Coded, 9 Coded, 11 Coded, 14 Prose, 17 DATE, 18 DATE, 27 Coded }
    "TXA" [1 2 3 17 18 19 20] {
        4 DATE, 5 Clinician, 6 DATE, 7 DATE, 8 DATE, 9 Clinician, 10 Clinician, 11 Clinician, 12 ID, 13 ID, 14 ID, 15 ID, 16 ID, 22 Clinician,
    }
    "SCH" [9 10] {
        1 ID, 2 ID, 3 ID, 4 ID, 5 Coded, 6 Coded, 7 Coded, 8 Coded, 11 All("date"), 12 Clinician, 13 Telecom, 14 Address, 15 PLACE,
        16 Clinician, 17 Telecom, 18 Address, 19 PLACE, 20 Clinician, 21 Telecom, 22 PLACE, 23 ID, 24 ID, 25 Coded, 26 ID, 27 ID,
    }
    "RGS" [1 2] { 3 Coded }
    "AIS" [1 2 5 6 7 8 9] { 3 Coded, 4 DATE, 10 Coded }
    "AIP" [1 2 5 7 8 9 10 11] { 3 Clinician, 4 Coded, 6 DATE, 12 Coded }
    "AIL" [1 2 5 7 8 9 10 11] { 3 PLACE, 4 Coded, 6 DATE, 12 Coded }
    "AIG" [1 2 6 7 9 10 11 12 13] { 3 ID, 4 Coded, 5 Coded, 8 DATE, 14 Coded }
    "FT1" [1 6 10 11 12 15 17 18 22] {
        2 ID, 3 ID, 4 DATE, 5 DATE, 7 Coded, 8 Prose, 9 Prose, 13 PLACE, 14 PLAN, 16 PLACE, 19 Coded, 20 Clinician, 21 Clinician, 23 ID,
        24 Clinician, 25 Coded, 26 Coded,
    }
    "RXO" [2 3 9 11 12 13 18 19] { 1 Coded, 4 Coded, 5 Coded, 6 Prose, 7 Prose, 8 PLACE, 10 Coded, 14 Clinician, 15 Clinician }
    "RXE" [3 4 10 12 16 17] { 1 All("date"), 2 Coded, 5 Coded, 6 Coded, 7 Prose, 8 PLACE, 11 Coded, 13 Clinician, 14 Clinician, 15 ID, 18 DATE, 21 Prose }
    "RXR" [] { 1 Coded, 2 Coded, 3 Coded, 4 Coded }
    "RXA" [1 2 6 8 20 21] { 3 DATE, 4 DATE, 5 Coded, 7 Coded, 9 Prose, 10 Clinician, 11 PLACE, 15 Number("device"), 16 DATE, 17 Coded, 18 Coded, 22 DATE }
    "ROL" [2 7 10] { 1 ID, 3 Coded, 4 Clinician, 5 DATE, 6 DATE, 8 Coded, 9 Coded, 11 Address, 12 Telecom }
    "TQ1" [1 2 5 6 9 12 13 14] { 3 Coded, 4 DATE, 7 DATE, 8 DATE, 10 Prose, 11 Prose }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_listed_twice() {
        for segment in SEGMENTS {
            let others = segment.others.iter().map(|(field, _)| field);
            let mut fields: Vec<_> = segment.harmless.iter().chain(others).collect();
            let count = fields.len();
            fields.sort_unstable();
            fields.dedup();
            assert_eq!(fields.len(), count, "{}", segment.name);
        }
    }
}
