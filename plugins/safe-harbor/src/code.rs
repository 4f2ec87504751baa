//! Numbers and codes: those that a cue names (`MRN 5583920`, `plate 8XYZ432`), and those that are long and mixed
//! enough to be unique by themselves.

use std::collections::BTreeMap;

use crate::check::{passes_luhn, passes_npi};
use crate::found::{Found, Kind};
use crate::lexicon::{CLINICAL, COMMON, role};
use crate::token::{Document, Gap, Shape};

/// How sure a cue makes that a code follows, and how short that may be.
pub(crate) struct Cue {
    words: &'static [&'static str],
    kind: Kind,
    /// Characters that the code has at least.
    least: usize,
}

const fn cue(words: &'static [&'static str], kind: Kind, least: usize) -> Cue {
    Cue { words, kind, least }
}

/// Longer cues stand before the shorter ones that they begin with.
const CUES: &[Cue] = &[
    cue(&["pt", "#"], Kind::Mrn, 3),
    cue(&["hosp", "#"], Kind::Mrn, 3),
    cue(&["hosp", "no"], Kind::Mrn, 3),
    cue(&["mr", "no"], Kind::Mrn, 3),
    cue(&["uhid"], Kind::Mrn, 3),
    cue(&["ip", "no"], Kind::Mrn, 4),
    cue(&["op", "no"], Kind::Mrn, 4),
    cue(&["ur", "no"], Kind::Mrn, 4),
    cue(&["chi"], Kind::Mrn, 8),
    cue(&["nhi"], Kind::Mrn, 6),
    cue(&["nhs", "no"], Kind::Mrn, 8),
    cue(&["hcn"], Kind::HealthPlan, 6),
    cue(&["ohip"], Kind::HealthPlan, 6),
    cue(&["mcp"], Kind::HealthPlan, 8),
    cue(&["grp"], Kind::HealthPlan, 3),
    cue(&["sub", "id"], Kind::HealthPlan, 4),
    cue(&["payer", "id"], Kind::HealthPlan, 3),
    cue(&["prior", "auth"], Kind::HealthPlan, 4),
    cue(&["authorization"], Kind::HealthPlan, 5),
    cue(&["regn"], Kind::License, 3),
    cue(&["registration", "no"], Kind::License, 3),
    cue(&["registration", "number"], Kind::License, 3),
    cue(&["reg", "no"], Kind::License, 3),
    cue(&["gmc"], Kind::License, 5),
    cue(&["nmc"], Kind::License, 5),
    cue(&["ahpra"], Kind::License, 6),
    cue(&["cert", ".", "no"], Kind::License, 3),
    cue(&["cert", "no"], Kind::License, 3),
    cue(&["car", "reg"], Kind::Vehicle, 4),
    cue(&["rego"], Kind::Vehicle, 4),
    cue(&["tag"], Kind::Vehicle, 5),
    cue(&["tail"], Kind::Vehicle, 4),
    cue(&["aircraft"], Kind::Vehicle, 4),
    cue(&["enc"], Kind::Id, 4),
    cue(&["rx", "#"], Kind::Id, 4),
    cue(&["pa", "#"], Kind::Id, 4),
    cue(&["incident"], Kind::Id, 4),
    cue(&["police", "report"], Kind::Id, 4),
    cue(&["docket"], Kind::Id, 4),
    cue(&["inmate"], Kind::Id, 4),
    cue(&["randomization"], Kind::Id, 3),
    cue(&["kit", "#"], Kind::Id, 3),
    cue(&["kit", "no"], Kind::Id, 3),
    cue(&["doc", "#"], Kind::Id, 4),
    cue(&["job", "#"], Kind::Id, 4),
    cue(&["thumbprint"], Kind::Biometric, 3),
    cue(&["ssn", "last", "4"], Kind::Ssn, 4),
    cue(&["last", "4"], Kind::Ssn, 4),
    cue(&["medical", "record"], Kind::Mrn, 3),
    cue(&["med", "rec"], Kind::Mrn, 3),
    cue(&["hospital", "number"], Kind::Mrn, 3),
    cue(&["hospital", "no"], Kind::Mrn, 3),
    cue(&["patient", "id"], Kind::Mrn, 3),
    cue(&["patient", "number"], Kind::Mrn, 3),
    cue(&["patient", "no"], Kind::Mrn, 3),
    cue(&["patient", "#"], Kind::Mrn, 3),
    cue(&["pt", "id"], Kind::Mrn, 3),
    cue(&["unit", "number"], Kind::Mrn, 4),
    cue(&["chart", "number"], Kind::Mrn, 3),
    cue(&["record", "number"], Kind::Mrn, 3),
    cue(&["mrn"], Kind::Mrn, 3),
    cue(&["mrns"], Kind::Mrn, 3),
    cue(&["mr", "#"], Kind::Mrn, 3),
    cue(&["mr", "number"], Kind::Mrn, 3),
    cue(&["chart"], Kind::Mrn, 4),
    cue(&["record"], Kind::Mrn, 4),
    cue(&["nhs", "number"], Kind::Mrn, 4),
    cue(&["ehr", "id"], Kind::Mrn, 3),
    cue(&["member", "id"], Kind::HealthPlan, 3),
    cue(&["member"], Kind::HealthPlan, 4),
    cue(&["policy"], Kind::HealthPlan, 4),
    cue(&["group", "number"], Kind::HealthPlan, 3),
    cue(&["group", "no"], Kind::HealthPlan, 3),
    cue(&["group", "id"], Kind::HealthPlan, 3),
    cue(&["group", "#"], Kind::HealthPlan, 3),
    cue(&["subscriber"], Kind::HealthPlan, 4),
    cue(&["beneficiary"], Kind::HealthPlan, 4),
    cue(&["medicare"], Kind::HealthPlan, 4),
    cue(&["medicaid"], Kind::HealthPlan, 4),
    cue(&["mbi"], Kind::HealthPlan, 4),
    cue(&["hicn"], Kind::HealthPlan, 4),
    cue(&["insurance"], Kind::HealthPlan, 4),
    cue(&["insur"], Kind::HealthPlan, 4),
    cue(&["health", "plan"], Kind::HealthPlan, 4),
    cue(&["plan", "id"], Kind::HealthPlan, 3),
    cue(&["plan", "number"], Kind::HealthPlan, 3),
    cue(&["coverage", "id"], Kind::HealthPlan, 3),
    cue(&["account"], Kind::Account, 3),
    cue(&["acct"], Kind::Account, 3),
    cue(&["a", "/", "c"], Kind::Account, 4),
    cue(&["credit", "card"], Kind::Account, 4),
    cue(&["debit", "card"], Kind::Account, 4),
    cue(&["card"], Kind::Account, 4),
    cue(&["cc"], Kind::Account, 8),
    cue(&["routing"], Kind::Account, 6),
    cue(&["iban"], Kind::Account, 8),
    cue(&["invoice"], Kind::Account, 4),
    cue(&["billing"], Kind::Account, 4),
    cue(&["guarantor"], Kind::Account, 4),
    cue(&["visit", "number"], Kind::Account, 3),
    cue(&["visit", "id"], Kind::Account, 3),
    cue(&["visit", "#"], Kind::Account, 3),
    cue(&["csn"], Kind::Account, 4),
    cue(&["fin"], Kind::Account, 4),
    cue(&["ledger"], Kind::Account, 4),
    cue(&["license", "plate"], Kind::Vehicle, 3),
    cue(&["licence", "plate"], Kind::Vehicle, 3),
    cue(&["plate"], Kind::Vehicle, 3),
    cue(&["plates"], Kind::Vehicle, 3),
    cue(&["vin"], Kind::Vehicle, 5),
    cue(&["vehicle"], Kind::Vehicle, 5),
    cue(&["registration", "plate"], Kind::Vehicle, 3),
    cue(&["driver", "'s", "license"], Kind::License, 4),
    cue(&["drivers", "license"], Kind::License, 4),
    cue(&["license"], Kind::License, 4),
    cue(&["licence"], Kind::License, 4),
    cue(&["lic"], Kind::License, 4),
    cue(&["npi"], Kind::License, 4),
    cue(&["dea"], Kind::License, 4),
    cue(&["certificate"], Kind::License, 4),
    cue(&["passport"], Kind::License, 5),
    cue(&["serial"], Kind::Device, 3),
    cue(&["s", "/", "n"], Kind::Device, 3),
    cue(&["sn"], Kind::Device, 4),
    cue(&["udi"], Kind::Device, 4),
    cue(&["device", "id"], Kind::Device, 3),
    cue(&["device"], Kind::Device, 4),
    cue(&["imei"], Kind::Device, 6),
    cue(&["lot"], Kind::Device, 4),
    cue(&["pacemaker"], Kind::Device, 5),
    cue(&["implant"], Kind::Device, 5),
    cue(&["ssn"], Kind::Ssn, 4),
    cue(&["social", "security"], Kind::Ssn, 4),
    cue(&["ss", "#"], Kind::Ssn, 4),
    cue(&["last", "four"], Kind::Ssn, 4),
    cue(&["voiceprint"], Kind::Biometric, 3),
    cue(&["voice", "print"], Kind::Biometric, 3),
    cue(&["fingerprint"], Kind::Biometric, 3),
    cue(&["fingerprints"], Kind::Biometric, 3),
    cue(&["retina", "scan"], Kind::Biometric, 3),
    cue(&["retinal", "scan"], Kind::Biometric, 3),
    cue(&["iris", "scan"], Kind::Biometric, 3),
    cue(&["iris"], Kind::Biometric, 3),
    cue(&["faceprint"], Kind::Biometric, 3),
    cue(&["palm", "print"], Kind::Biometric, 3),
    cue(&["biometric"], Kind::Biometric, 3),
    cue(&["photo"], Kind::Photo, 4),
    cue(&["photograph"], Kind::Photo, 4),
    cue(&["phone"], Kind::Phone, 7),
    cue(&["tel"], Kind::Phone, 7),
    cue(&["telephone"], Kind::Phone, 7),
    cue(&["cell"], Kind::Phone, 7),
    cue(&["mobile"], Kind::Phone, 7),
    cue(&["fax"], Kind::Fax, 7),
    cue(&["call"], Kind::Phone, 7),
    cue(&["callback"], Kind::Phone, 7),
    cue(&["study", "code"], Kind::Id, 3),
    cue(&["study", "id"], Kind::Id, 3),
    cue(&["study", "number"], Kind::Id, 3),
    cue(&["subject"], Kind::Id, 3),
    cue(&["participant"], Kind::Id, 3),
    cue(&["accession"], Kind::Id, 3),
    cue(&["specimen"], Kind::Id, 4),
    cue(&["case", "number"], Kind::Id, 3),
    cue(&["case", "no"], Kind::Id, 3),
    cue(&["case", "#"], Kind::Id, 3),
    cue(&["case", "id"], Kind::Id, 3),
    cue(&["claim"], Kind::Id, 4),
    cue(&["encounter"], Kind::Id, 4),
    cue(&["order"], Kind::Id, 5),
    cue(&["employee"], Kind::Id, 4),
    cue(&["badge"], Kind::Id, 3),
    cue(&["student"], Kind::Id, 4),
    cue(&["confirmation"], Kind::Id, 4),
    cue(&["reference"], Kind::Id, 5),
    cue(&["ref"], Kind::Id, 4),
    cue(&["ticket"], Kind::Id, 4),
    cue(&["tracking"], Kind::Id, 4),
    cue(&["barcode"], Kind::Id, 4),
    cue(&["wristband"], Kind::Id, 4),
    cue(&["bracelet"], Kind::Id, 4),
    cue(&["aadhaar"], Kind::Id, 8),
    cue(&["nino"], Kind::Id, 8),
    cue(&["national", "id"], Kind::Id, 5),
    cue(&["curp"], Kind::Id, 8),
    cue(&["cpf"], Kind::Id, 8),
    cue(&["bsn"], Kind::Id, 8),
    cue(&["dni"], Kind::Id, 7),
    cue(&["instagram"], Kind::Id, 3),
    cue(&["twitter"], Kind::Id, 3),
    cue(&["facebook"], Kind::Id, 3),
    cue(&["tiktok"], Kind::Id, 3),
    cue(&["handle"], Kind::Id, 3),
    cue(&["username"], Kind::Id, 3),
    cue(&["login"], Kind::Id, 3),
    cue(&["password"], Kind::Id, 3),
    cue(&["user", "id"], Kind::Id, 3),
    cue(&["user"], Kind::Id, 4),
    cue(&["request"], Kind::Id, 5),
    cue(&["identifier"], Kind::Id, 4),
    cue(&["id"], Kind::Id, 3),
];

/// Words and marks that may stand between a cue and its code.
pub(crate) const FILLERS: &[&str] = &[
    "#",
    "(",
    "-",
    ".",
    "/",
    ":",
    "=",
    "card",
    "code",
    "ending",
    "enrollment",
    "file",
    "for",
    "hash",
    "id",
    "identifier",
    "ids",
    "in",
    "is",
    "no",
    "nr",
    "number",
    "numbers",
    "of",
    "on",
    "patient",
    "reference",
    "scan",
    "security",
    "template",
    "the",
    "this",
    "was",
    "|",
    "“",
    "№",
];

/// Registers of knowledge, not of people: what follows them is kept.
pub(crate) const PUBLIC: &[&str] = &[
    "cas",
    "clinicaltrials",
    "cpt",
    "doi",
    "hcpcs",
    "icd",
    "isbn",
    "isrctn",
    "issn",
    "loinc",
    "nct",
    "ndc",
    "pmc",
    "pmcid",
    "pmid",
    "rxnorm",
    "snomed",
];

/// Units: a number that one follows is an amount.
pub(crate) const UNITS: &[&str] = &[
    "bpm", "cells", "cm", "copies", "days", "dl", "g", "hours", "iu", "kcal", "kg", "l", "lb",
    "lbs", "mcg", "mg", "minutes", "ml", "mm", "mmhg", "mmol", "months", "ng", "percent", "pg",
    "tablets", "units", "weeks", "years", "°",
];

/// A run of tokens that no blank parts: a code as it is written.
struct Run {
    first: usize,
    /// One past the last token.
    last: usize,
    letters: usize,
    digits: usize,
}

/// The code that begins at token `at`: letters and digits with `-`, `/`, `_`, `.`, `*` inside.
fn run(document: &Document<'_>, at: usize) -> Option<Run> {
    let mut run = Run {
        first: at,
        last: at,
        letters: 0,
        digits: 0,
    };
    let mut next = at;
    while let Some(token) = document.get(next) {
        if next > at && token.gap != Gap::None {
            break;
        }
        match token.shape {
            Shape::Mark('-' | '/' | '_' | '.' | '*' | '+') if next > at => {}
            Shape::Mark('*') => {}
            Shape::Mark(_) | Shape::Possessive => break,
            Shape::Lower
            | Shape::Title
            | Shape::Upper
            | Shape::Initial
            | Shape::Number
            | Shape::Code => {
                run.digits += token.digits;
                run.letters += token.letters;
                run.last = next + 1;
            }
        }
        next += 1;
    }
    (run.last > run.first).then_some(run)
}

fn found(
    document: &Document<'_>,
    run: &Run,
    kind: Kind,
    confidence: f32,
    rule: &'static str,
) -> Option<Found> {
    Some(Found {
        start: document.get(run.first)?.start,
        end: document.before(run.last, 1)?.end,
        kind,
        confidence,
        rule,
    })
}

/// The words that cues begin with.
pub(crate) fn first_words() -> impl Iterator<Item = &'static str> {
    CUES.iter().filter_map(|cue| cue.words.first().copied())
}

/// The cues by their first word.
pub(crate) struct Cues(BTreeMap<&'static str, Vec<&'static Cue>>);

impl Cues {
    /// Sorts the table for lookup.
    pub(crate) fn new() -> Self {
        let mut cues: BTreeMap<&'static str, Vec<&'static Cue>> = BTreeMap::new();
        for cue in CUES {
            if let Some(first) = cue.words.first() {
                cues.entry(first).or_default().push(cue);
            }
        }
        Self(cues)
    }

    fn at(&self, document: &Document<'_>, at: usize) -> Option<&'static Cue> {
        let cues = self.0.get(document.lower(at))?;
        cues.iter()
            .copied()
            .find(|cue| document.reads(at, cue.words))
    }
}

/// Finds codes by the cue before them.
pub(crate) fn cued(cues: &Cues, document: &Document<'_>, out: &mut Vec<Found>) {
    for (at, first) in document.tokens().iter().enumerate() {
        if !first.flags.any(role::CUE) || !first.is_word() {
            continue;
        }
        let Some(cue) = cues.at(document, at) else {
            continue;
        };
        let mut value = at + cue.words.len();
        let mut named = false;
        for _ in 0..6 {
            let Some(token) = document.get(value) else {
                break;
            };
            if token.gap == Gap::Line && !document.lower_before(value, 1).eq(":") {
                break;
            }
            let filler = token.flags.any(role::FILLER)
                || matches!(token.shape, Shape::Mark('"' | '\'' | '“' | '[' | '@'));
            let filler = filler || token.is(',') && document.flags(value + 1).any(role::FILLER);
            let joined_code = token.shape == Shape::Code;
            if !filler || joined_code {
                break;
            }
            named |= matches!(
                token.lower.as_ref(),
                "#" | ":" | "number" | "no" | "id" | "is" | "="
            );
            value += 1;
        }
        let Some(mut code) = run(document, value) else {
            continue;
        };
        if document.flags(value).any(role::REGISTER) {
            continue;
        }
        // "BCX 4471-229-03": letters before the number belong to it.
        if code.digits == 0
            && code.last == value + 1
            && document.get(value).is_some_and(|letters| {
                matches!(letters.shape, Shape::Upper | Shape::Initial) && letters.letters < 5
            })
            && document
                .get(code.last)
                .is_some_and(|next| next.gap == Gap::Space)
            && let Some(more) = run(document, code.last).filter(|more| more.digits > 1)
        {
            code.last = more.last;
            code.digits = more.digits;
            code.letters += more.letters;
        }
        // The name of an account need not have a digit: "instagram @bvale.runs".
        let is_login = matches!(
            first.lower.as_ref(),
            "username" | "login" | "password" | "user"
        );
        let assigned = matches!(document.lower_before(value, 1), ":" | "=" | "\"" | "'");
        let account = cue.kind == Kind::Id
            && (document
                .before(value, 1)
                .is_some_and(|before| before.is('@'))
                || is_login
                    && code.letters >= cue.least
                    && (assigned
                        || !document.flags(value).any(COMMON | CLINICAL) && first.lower != "user"));
        if code.digits == 0 && !account
            || document
                .get(value)
                .is_some_and(|token| token.gap == Gap::Line && !named)
        {
            continue;
        }
        // "402 19 8877" and "1EG4 TE5 MK72": further groups belong to it while they hold digits and are short.
        while let Some(next) = document.get(code.last)
            && next.gap == Gap::Space
            && matches!(next.shape, Shape::Number | Shape::Code)
            && next.lower.len() <= 6
            && let Some(more) = run(document, code.last)
            && more.digits > 0
            && !document.flags(more.last).any(role::MEASURE)
        {
            code.last = more.last;
            code.digits += more.digits;
            code.letters += more.letters;
        }
        // "943 476 VB", "QQ 12 34 56 C": letters that close it.
        if code.digits > 4
            && let Some(letters) = document.get(code.last)
            && letters.gap == Gap::Space
            && letters.letters < 3
            && matches!(letters.shape, Shape::Upper | Shape::Initial)
            && document.get(code.last + 1).is_none_or(|next| {
                next.gap == Gap::Line || matches!(next.shape, Shape::Mark(',' | ';' | ')'))
            })
        {
            code.last += 1;
        }
        let length = code.digits + code.letters;
        let unit = document
            .get(code.last)
            .is_some_and(|next| next.flags.any(role::MEASURE) || next.is('%'));
        let date_like = code.digits == 4
            && code.letters == 0
            && !named
            && cue.kind != Kind::Ssn
            && year(document.lower(code.first));
        if length < cue.least || unit || date_like {
            continue;
        }
        if matches!(cue.kind, Kind::Phone | Kind::Fax) && code.letters > 0 {
            continue;
        }
        let confidence = if named || cue.words.len() > 1 {
            0.92
        } else {
            0.85
        };
        out.extend(found(document, &code, cue.kind, confidence, "code-by-cue"));
    }
}

/// Whether `text` is a code of a classification, or a range of them: `E11.65`, `T36-T50`, `C00.0-C43.9` (ICD-10).
fn is_classified(text: &str) -> bool {
    text.split('-').all(|code| {
        let (head, tail) = code.split_once('.').unwrap_or((code, ""));
        let mut head = head.bytes();
        head.len() == 3
            && head.next().is_some_and(|c| c.is_ascii_uppercase())
            && head.next().is_some_and(|c| c.is_ascii_digit())
            && head.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && tail.len() <= 4
            && tail.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

/// Whether `text` is two long numbers, as in `4352/7255`, and no span of years.
fn is_slashed_number(text: &str) -> bool {
    text.split_once('/').is_some_and(|(left, right)| {
        let is_long = |part: &str| part.len() > 3 && part.bytes().all(|c| c.is_ascii_digit());
        let is_year = |part: &str| part.len() == 4 && year(part);
        is_long(left) && is_long(right) && !(is_year(left) && is_year(right))
    })
}

/// Whether `text` counts pregnancies and births: `G3P2002`.
fn is_obstetric(text: &str) -> bool {
    text.strip_prefix(['G', 'g'])
        .and_then(|rest| rest.split_once(['P', 'p']))
        .is_some_and(|(pregnancies, births)| {
            let is_count =
                |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            pregnancies.len() < 3 && is_count(pregnancies) && births.len() < 5 && is_count(births)
        })
}

/// Whether `text` is an amount with its unit: `1000mL`.
fn is_amount(text: &str) -> bool {
    const UNITS: [&str; 14] = [
        "cal", "cc", "g", "iu", "kcal", "kg", "lbs", "mcg", "mg", "ml", "mm", "u", "units", "ug",
    ];
    let unit =
        text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '/'));
    unit.len() < text.len() && UNITS.contains(&unit.to_ascii_lowercase().as_str())
}

/// Whether `text` is a span: of amounts, `120-140`, or of years, `1985-2010`.
fn is_span(text: &str) -> bool {
    text.split_once('-').is_some_and(|(from, to)| {
        let number = |part: &str| part.parse::<u32>().ok().filter(|_| part.len() <= 4);
        let both_years = from.len() == 4 && to.len() == 4 && year(from) && year(to);
        number(from).zip(number(to)).is_some_and(|(from, to)| {
            from < to && (both_years || from < 1000 && to < 1000 && to - from <= 300)
        })
    })
}

/// Whether `text` names what science names: a gene, an allele, a variant, a stage, vertebrae, a trial, a vaccine, a package of a drug.
fn is_scientific(text: &str) -> bool {
    const BEGIN: [&str; 12] = [
        "apoe", "bnt162", "brca", "c.", "cd", "cyp", "dq", "g.", "hla-", "mrna-", "p.", "sars-",
    ];
    let lower = text.to_ascii_lowercase();
    let staged = lower
        .trim_start_matches(['p', 'c', 'y'])
        .strip_prefix('t')
        .is_some_and(|rest| rest.len() < 9 && rest.contains('n') && rest.contains('m'));
    let vertebra = |part: &str| {
        part.strip_prefix(['c', 't', 'l', 's'])
            .is_some_and(|level| level.len() < 3 && level.bytes().all(|c| c.is_ascii_digit()))
    };
    let spine = lower
        .split_once('-')
        .is_some_and(|(from, to)| vertebra(from) && (vertebra(to) || to.len() < 3));
    // KEYNOTE-189, IMpower150
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let trial = name.len() >= 6
        && name.bytes().all(|c| c.is_ascii_alphabetic())
        && name.bytes().filter(u8::is_ascii_uppercase).count() >= 2
        && text.len() - name.len() <= 4;
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let is_numeric = text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
    let package = is_numeric && matches!(groups.as_slice(), [4, 4, 2] | [5, 3, 2] | [5, 4, 1..=2]);
    BEGIN.iter().any(|known| lower.starts_with(known)) || staged || spine || trial || package
}

/// Whether `text` begins with `known`, in any case.
fn begins(text: &str, known: &str) -> bool {
    text.get(..known.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(known))
}

fn year(number: &str) -> bool {
    number.starts_with("19") || number.starts_with("20")
}

/// Finds codes that are unique by their length alone (164.514(b)(2)(i)(R)).
pub(crate) fn unique(document: &Document<'_>, out: &mut Vec<Found>) {
    let mut at = 0;
    while let Some(token) = document.get(at) {
        // Most words stand alone: they are no code, nor part of one.
        let alone = token.digits == 0
            && document
                .get(at + 1)
                .is_none_or(|next| next.gap != Gap::None);
        let may_begin = !alone && !matches!(token.shape, Shape::Mark(_));
        let Some(code) = may_begin.then(|| run(document, at)).flatten() else {
            at += 1;
            continue;
        };
        at = code.last.max(at + 1);
        if code.digits < 3 {
            continue;
        }
        let text = document
            .get(code.first)
            .zip(document.before(code.last, 1))
            .and_then(|(first, last)| document.text.get(first.start..last.end))
            .unwrap_or_default();
        let public = (1..=3)
            .any(|back| document.flags_before(code.first, back).any(role::REGISTER))
            || ["nct0", "pmid", "pmc", "isrctn", "10."]
                .iter()
                .any(|known| begins(text, known));
        let amount = document
            .get(code.last)
            .is_some_and(|next| next.flags.any(role::MEASURE) || next.is('%') || next.is('°'))
            || document
                .before(code.first, 1)
                .is_some_and(|before| before.is('$') || before.is('±'));
        if public
            || amount
            || is_classified(text)
            || is_obstetric(text)
            || is_amount(text)
            || is_span(text)
            || is_scientific(text)
            || text.contains('.') && code.letters == 0
        {
            continue;
        }
        let slashed = text.contains('/');
        let grouped = text.contains('-') || text.contains('_');
        let confidence = if code.letters == 0 {
            match code.digits {
                10 if passes_npi(text) => Some((Kind::License, 0.7)),
                13..=19 if passes_luhn(text) => Some((Kind::Account, 0.85)),
                7.. if !slashed => Some((Kind::Id, 0.55)),
                8.. if is_slashed_number(text) => Some((Kind::Id, 0.5)),
                6 if grouped && !slashed => Some((Kind::Id, 0.4)),
                _ => None,
            }
        } else {
            let capitals = text.chars().filter(char::is_ascii_uppercase).count();
            match (code.digits, code.letters) {
                (4.., _) if !slashed && code.digits + code.letters >= 6 && capitals > 0 => {
                    Some((Kind::Id, 0.5))
                }
                (4.., 3..) if !slashed && code.digits + code.letters >= 10 => {
                    Some((Kind::Id, 0.45))
                }
                (3.., 2..) if grouped && !slashed && capitals >= 2 => Some((Kind::Id, 0.4)),
                (3.., 3..) if !slashed && capitals >= 2 && code.digits + code.letters >= 7 => {
                    Some((Kind::Id, 0.35))
                }
                _ => None,
            }
        };
        // "SARS-CoV-2019" and "12345-mg": the last group of letters tells an amount.
        let ends_in_unit = document
            .before(code.last, 1)
            .is_some_and(|last| last.flags.any(role::MEASURE));
        if let Some((kind, confidence)) = confidence.filter(|_| !ends_in_unit) {
            out.extend(found(document, &code, kind, confidence, "unique-code"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_like_a_code_is_none() {
        for code in ["E11.65", "T36-T50", "C00.0-C43.9"] {
            assert!(is_classified(code), "{code}");
        }
        assert!(!is_classified("AB-12345") && !is_classified("S23-44871"));
        assert!(is_obstetric("G3P2002") && !is_obstetric("GP12"));
        assert!(is_slashed_number("4352/7255") && !is_slashed_number("2019/2020"));
        assert!(!is_slashed_number("120/80"));
    }

    #[test]
    fn lists_are_sorted_for_lookup() {
        assert!(FILLERS.is_sorted() && PUBLIC.is_sorted() && UNITS.is_sorted());
        for (place, cue) in CUES.iter().enumerate() {
            let shadowed = CUES
                .iter()
                .take(place)
                .any(|earlier| cue.words.starts_with(earlier.words));
            assert!(!shadowed, "{:?} never matches", cue.words);
        }
    }
}
