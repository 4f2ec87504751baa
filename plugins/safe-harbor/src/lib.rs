//! Finds the 18 identifiers of the Safe Harbor method, 45 CFR 164.514(b)(2)(i), and leans to recall.
//!
//! A text is cut into [`token`]s once, by [`cut`]. Then [`pattern`] finds what has a form of its own (by [`automaton`]),
//! [`code`] the numbers that a cue names or that are unique by their length, [`name`] and [`place`] the persons and
//! places, [`hl7`] the fields of HL7 version 2 segments; [`spread`] finds again, in all messages, what was found once;
//! [`found`] settles overlaps. It must never put request text into an error.
//!
//! Every call runs on a fresh copy of the memory that `configure` left. What is built there is free, so all tables are
//! complete then: the automata, and the [`lexicon`], which is asked once for each token ([`words`]) and answers with
//! flags. What a call writes, and each page of a table that it reads for the first time, costs it; so the tables are
//! small, and the rules test flags instead of comparing words. The example `cost` says what a call takes.

mod automaton;
mod check;
mod code;
mod cut;
mod found;
mod hl7;
mod json;
mod lexicon;
mod name;
mod pattern;
mod place;
mod spread;
mod token;
mod words;

use std::collections::BTreeSet;

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

pub use found::{Found, Kind};
use lexicon::Lexicon;
use pattern::Patterns;
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
}

/// The detector, with its lists and its automaton.
pub struct SafeHarbor {
    kinds: Vec<Kind>,
    keep: BTreeSet<String>,
    minimum: f32,
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
        let lower: Vec<String> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        let documents: Vec<_> = texts
            .iter()
            .zip(&lower)
            .map(|(text, lower)| Document::new(text, lower, &self.lexicon))
            .collect();
        let mut known = spread::Known::default();
        let mut findings: Vec<Vec<Found>> = Vec::with_capacity(documents.len());
        for document in &documents {
            let mut found = Vec::new();
            self.patterns.find(document, &mut found);
            hl7::fields(document.text, &mut found);
            code::cued(&self.cues, document, &mut found);
            code::unique(document, &mut found);
            name::names(document, &mut found);
            place::places(document, &mut found);
            known.learn(document, &found);
            findings.push(found);
        }
        for (document, found) in documents.iter().zip(&mut findings) {
            known.find(document, found);
            pattern::outside_tokens(document.text, found);
            found.retain(|one| {
                one.confidence >= self.minimum
                    && self.kinds.contains(&one.kind)
                    && !self.is_kept(document, one)
            });
            *found = found::settle(document.text, std::mem::take(found));
        }
        findings
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
    fn detect(&self, _: RequestInfo, messages: Vec<Message>) -> Result<Vec<Span>, Error> {
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
        for (sheet, found) in sheets.iter().zip(self.find(&texts)) {
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
