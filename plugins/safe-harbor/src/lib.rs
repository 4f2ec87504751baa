//! Finds the 18 identifiers of the Safe Harbor method, 45 CFR 164.514(b)(2)(i), and leans to recall.
//!
//! A text is cut into [`token`]s once, by [`cut`]. Then [`pattern`] finds what has a form of its own (by [`automaton`]),
//! [`code`] the numbers that a cue names or that are unique by their length, [`name`] and [`place`] the persons and
//! places, [`hl7`] the fields of HL7 version 2 segments; [`spread`] finds again, in all messages, what was found once;
//! [`found`] settles overlaps. What the application itself knows of the patient ([`record`]) is found in any form, and
//! outranks all of it. It must never put request text into an error.
//!
//! Every call runs on a fresh copy of the memory that `configure` left. What is built there is free, so all tables are
//! complete then: the automata, and the [`lexicon`], which is asked once for each token ([`words`]) and answers with
//! flags. What a call writes, and each page of a table that it reads for the first time, costs it; so the tables are
//! small, and the rules test flags instead of comparing words. The example `cost` says what a call takes.

mod abroad;
mod age;
mod automaton;
mod check;
mod code;
mod cut;
mod encoded;
mod found;
mod hl7;
mod json;
mod lexicon;
mod name;
mod pattern;
mod place;
mod plain;
mod reader;
mod record;
mod seam;
mod spread;
mod tagger;
mod token;
#[doc(hidden)]
pub mod training;
mod vocabulary;
mod words;

use std::collections::BTreeSet;

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem, known};
use serde::Deserialize;

pub use found::{Found, Kind};
use lexicon::Lexicon;
use pattern::Patterns;
use record::Record;
use token::Document;

/// What the operator can set. Every key may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Kinds to detect; all when left out.
    kinds: Option<Vec<String>>,
    /// Further names of people to find wherever they stand, such as those of the staff.
    names: Vec<String>,
    /// Words never to be flagged, in any case.
    keep: Vec<String>,
    /// Findings less sure than this are left out, 0 to 1.
    minimum_confidence: f32,
    /// How much else may be taken so that less is missed.
    recall: Recall,
}

/// How the detector leans where it is not sure.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Recall {
    /// Most of what is flagged is an identifier.
    #[default]
    Balanced,
    /// What may well be a name or a place is flagged.
    Strict,
    /// What the rules suspect is flagged, whatever the model says of it.
    Paranoid,
}

impl Recall {
    /// What the model must say, in sixteenths of log-odds: odds of 1 to 2, of 2 to 9, of 1 to 12.
    const fn trust(self) -> tagger::Trust {
        match self {
            Self::Balanced => tagger::Trust {
                finds: -12,
                keeps: -16,
            },
            Self::Strict => tagger::Trust {
                finds: -24,
                keeps: -40,
            },
            Self::Paranoid => tagger::Trust {
                finds: -40,
                keeps: i32::MIN,
            },
        }
    }
}

/// The detector, with its lists and its automaton.
pub struct SafeHarbor {
    kinds: Vec<Kind>,
    keep: BTreeSet<String>,
    minimum: f32,
    trust: tagger::Trust,
    lexicon: Lexicon,
    patterns: Patterns,
    cues: code::Cues,
}

impl Plugin for SafeHarbor {
    type Settings = Settings;
    const NAME: &str = "safe-harbor";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut kinds = Vec::new();
        for (place, name) in settings.kinds.iter().flatten().enumerate() {
            match Kind::named(name) {
                Some(kind) => kinds.push(kind),
                None => problems.push(Problem::at(
                    format!("kinds[{place}]"),
                    format!(
                        "`{name}` is no kind; use some of {}",
                        Kind::ALL.map(Kind::as_str).join(", ")
                    ),
                )),
            }
        }
        if settings.kinds.is_none() {
            kinds.extend(Kind::ALL);
        } else if kinds.is_empty() && problems.is_empty() {
            problems.push(Problem::at(
                "kinds",
                "no kind is left to detect; leave the key out to detect all",
            ));
        }
        if !(0.0..=1.0).contains(&settings.minimum_confidence) {
            problems.push(Problem::at(
                "minimum-confidence",
                "expected a number from 0 to 1",
            ));
        }
        for (key, words) in [("names", &settings.names), ("keep", &settings.keep)] {
            for (place, word) in words.iter().enumerate() {
                if word.trim().is_empty() {
                    problems.push(Problem::at(
                        format!("{key}[{place}]"),
                        "expected a word, found none; remove it",
                    ));
                }
            }
        }
        let patterns = match Patterns::new() {
            Ok(patterns) => patterns,
            Err(error) => {
                problems.push(Problem {
                    key: None,
                    message: format!("the pattern table does not compile: {error}"),
                });
                return Err(problems);
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            kinds,
            keep: settings
                .keep
                .iter()
                .flat_map(|words| words.split_whitespace().map(str::to_lowercase))
                .collect(),
            minimum: settings.minimum_confidence,
            trust: settings.recall.trust(),
            lexicon: Lexicon::new(&settings.names),
            patterns,
            cues: code::Cues::new(),
        })
    }
}

/// One text to scan: a text part, or one string of a JSON part.
struct Sheet {
    message: u32,
    part: u32,
    text: String,
    /// Bytes of a cue that was put before the text and is no part of it.
    cue: usize,
    leaf: Option<json::Leaf>,
}

impl SafeHarbor {
    /// Finds identifiers in texts that belong together: what one gives away is found in the others.
    /// The findings of each text are sorted and do not overlap; offsets are UTF-8 bytes.
    #[must_use]
    pub fn find(&self, texts: &[&str]) -> Vec<Vec<Found>> {
        self.find_with(texts, &Record::default())
    }

    fn find_with(&self, texts: &[&str], record: &Record) -> Vec<Vec<Found>> {
        let plain: Vec<_> = texts.iter().map(|text| plain::Plain::of(text)).collect();
        let mut read: Vec<&str> = plain.iter().map(|plain| &*plain.text).collect();
        // What a text holds in another encoding is read beside it; what is found there hides the whole run.
        let inner: Vec<(usize, encoded::Inner)> = (0..)
            .zip(&read)
            .flat_map(|(place, text)| std::iter::repeat(place).zip(encoded::inner(text)))
            .collect();
        read.extend(inner.iter().map(|(_, inner)| inner.text.as_str()));
        let mut findings = self.find_plain(&read, record);
        let told = findings.split_off(texts.len());
        for ((place, inner), told) in inner.iter().zip(told) {
            let surest = told
                .into_iter()
                .max_by(|a, b| a.confidence.total_cmp(&b.confidence));
            let surest = surest.filter(|one| one.confidence > 0.6);
            if let Some((one, found)) = surest.zip(findings.get_mut(*place)) {
                found.push(Found {
                    start: inner.start,
                    end: inner.end,
                    rule: "encoded",
                    ..one
                });
                let text = read.get(*place).copied().unwrap_or_default();
                *found = found::settle(text, std::mem::take(found));
            }
        }
        self.mend_seams(&read, &mut findings);
        for (plain, found) in plain.iter().zip(&mut findings) {
            for one in found {
                (one.start, one.end) = plain.outside(one.start, one.end);
            }
        }
        findings
    }

    fn find_plain(&self, texts: &[&str], record: &Record) -> Vec<Vec<Found>> {
        let lower: Vec<String> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        let documents: Vec<_> = texts
            .iter()
            .zip(&lower)
            .map(|(text, lower)| Document::new(text, lower, &self.lexicon))
            .collect();
        let mut known = spread::Known::default();
        let mut findings: Vec<Vec<Found>> = Vec::with_capacity(documents.len());
        for document in &documents {
            let mut found = self.rules(document);
            tagger::tag(document, self.trust, &mut found);
            known.learn(document, &found);
            findings.push(found);
        }
        for (document, found) in documents.iter().zip(&mut findings) {
            known.find(document, found);
            found.retain(|one| one.confidence >= self.minimum && !self.is_kept(document, one));
            record.find(document, found);
            pattern::outside_tokens(document.text, found);
            found.retain(|one| self.kinds.contains(&one.kind));
            *found = found::settle(document.text, std::mem::take(found));
        }
        findings
    }

    /// Finds what stands half at the end of one text and half at the start of the next.
    fn mend_seams(&self, texts: &[&str], findings: &mut [Vec<Found>]) {
        for place in 1..findings.len() {
            let (Some(first), Some(next)) = (texts.get(place - 1), texts.get(place)) else {
                return;
            };
            let Some(seam) = seam::Seam::of(first, next) else {
                continue;
            };
            let lower = seam.text.to_ascii_lowercase();
            let document = Document::new(&seam.text, &lower, &self.lexicon);
            for one in self.rules(&document) {
                let kept = one.confidence < self.minimum || !self.kinds.contains(&one.kind);
                let Some((head, tail)) = seam.halves(&one, next).filter(|_| !kept) else {
                    continue;
                };
                for (place, text, half) in [(place - 1, first, head), (place, next, tail)] {
                    if let Some(found) = findings.get_mut(place) {
                        found.push(half);
                        *found = found::settle(text, std::mem::take(found));
                    }
                }
            }
        }
    }

    /// What the rules find in one text.
    fn rules(&self, document: &Document<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        self.patterns.find(document, &mut found);
        hl7::fields(document.text, &mut found);
        code::cued(&self.cues, document, &mut found);
        code::unique(document, &mut found);
        age::ages(document, &mut found);
        abroad::abroad(document, &mut found);
        name::names(document, &mut found);
        place::places(document, &mut found);
        found
    }

    /// Whether every word of the finding is one that the operator keeps.
    fn is_kept(&self, document: &Document<'_>, one: &Found) -> bool {
        !self.keep.is_empty()
            && (document.token_at(one.start)..document.token_at(one.end))
                .filter_map(|at| document.get(at))
                .filter(|token| {
                    !matches!(
                        token.shape,
                        token::Shape::Mark(_) | token::Shape::Possessive
                    )
                })
                .all(|token| self.keep.contains(&*token.lower))
    }
}

impl Detector for SafeHarbor {
    fn detect(&self, _: RequestInfo, mut messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let record = Record::new(&known::take(&mut messages)?, &self.lexicon)?;
        let mut sheets = Vec::new();
        for (message, given) in (0..).zip(messages) {
            for (part, content) in (0..).zip(given.parts) {
                match content {
                    Part::Text(text) => sheets.push(Sheet {
                        message,
                        part,
                        text,
                        cue: 0,
                        leaf: None,
                    }),
                    Part::Json(text) => sheets.extend(strings(message, part, text)),
                    Part::Blob(_) => {}
                }
            }
        }
        let texts: Vec<&str> = sheets.iter().map(|sheet| sheet.text.as_str()).collect();
        let mut spans = Vec::new();
        for (sheet, found) in sheets.iter().zip(self.find_with(&texts, &record)) {
            let whole = sheet
                .leaf
                .as_ref()
                .and_then(json::Leaf::kind)
                .filter(|kind| self.kinds.contains(kind));
            if let Some(kind) = whole.filter(|_| sheet.text.len() > sheet.cue) {
                let one = Found {
                    start: sheet.cue,
                    end: sheet.text.len(),
                    kind,
                    confidence: 0.95,
                    rule: "json-key",
                };
                spans.push(span(sheet, &one)?);
                continue;
            }
            for one in found.iter().filter(|one| one.end > sheet.cue) {
                spans.push(span(
                    sheet,
                    &Found {
                        start: one.start.max(sheet.cue),
                        ..*one
                    },
                )?);
            }
        }
        Ok(spans)
    }
}

/// The strings of a JSON part, each with its key before it as a cue; the part itself when it is no JSON.
fn strings(message: u32, part: u32, text: String) -> Vec<Sheet> {
    match json::leaves(&text) {
        Some(leaves) => leaves
            .into_iter()
            .map(|leaf| {
                let cue = if leaf.key.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", leaf.key)
                };
                Sheet {
                    message,
                    part,
                    text: format!("{cue}{}", leaf.text),
                    cue: cue.len(),
                    leaf: Some(leaf),
                }
            })
            .collect(),
        None => vec![Sheet {
            message,
            part,
            text,
            cue: 0,
            leaf: None,
        }],
    }
}

fn span(sheet: &Sheet, one: &Found) -> Result<Span, Error> {
    let (start, end) = match &sheet.leaf {
        Some(leaf) => leaf
            .outside(
                one.start.saturating_sub(sheet.cue),
                one.end.saturating_sub(sheet.cue),
            )
            .ok_or_else(|| Error::Internal("a finding lies outside its string".to_owned()))?,
        None => (one.start, one.end),
    };
    let offset = |at: usize| {
        u32::try_from(at)
            .map_err(|_| Error::LimitExceeded("a part is longer than 4 GiB".to_owned()))
    };
    Ok(Span {
        message: sheet.message,
        part: sheet.part,
        start: offset(start)?,
        end: offset(end)?,
        kind: one.kind.as_str().to_owned(),
        confidence: one.confidence,
        rule: Some(one.rule.to_owned()),
    })
}

nephron_sdk::export!(detector: SafeHarbor);
