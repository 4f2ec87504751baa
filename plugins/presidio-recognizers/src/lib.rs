//! A detector that loads Presidio's own YAML recognisers as its settings: patterns, deny lists, context words, scores.
//!
//! Read [`Settings`] first, then `file.rs` (what a file says), `recognizer.rs` (how that becomes something that searches),
//! `pattern.rs` (Python's patterns in Rust's), `context.rs` (the words around that make a finding surer), `kind.rs` (Presidio's
//! entities as our kinds) and `json.rs`. It must never put message text into an error.

mod context;
mod file;
mod json;
mod kind;
mod pattern;
mod recognizer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem, known};
use serde::Deserialize;

use recognizer::{Found, Recognizer};

/// What the operator sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// One file, or several by name: each as Presidio reads it.
    pub recognizers: Files,
    /// The language of the texts: recognisers for another are left out.
    #[serde(default = "english")]
    pub language: String,
    /// Findings with a lower score, context included, are left out.
    #[serde(default)]
    pub score_threshold: f32,
    /// Kinds for entities, before those that the README lists.
    #[serde(default)]
    pub kinds: BTreeMap<String, String>,
    /// What to do about recognisers that are Presidio's own code.
    #[serde(default)]
    pub predefined: Predefined,
}

/// The text of one file, or of several by name.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Named(BTreeMap<String, String>),
}

/// What to do about recognisers that are code of Presidio's, and not in the file.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predefined {
    /// Refuse the settings, naming each.
    #[default]
    Refuse,
    /// Leave them out: another detector beside this one finds such things.
    LeaveOut,
}

fn english() -> String {
    "en".to_owned()
}

/// Recognisers, ready to search.
pub struct PresidioRecognizers {
    recognizers: Vec<Recognizer>,
    threshold: f32,
}

impl Plugin for PresidioRecognizers {
    type Settings = Settings;
    const NAME: &str = "presidio-recognizers";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut recognizers = Vec::new();
        for (key, text) in settings.recognizers.keyed() {
            match file::read(text) {
                Ok(file) => recognizers.extend(file.recognizers(&settings, &key, &mut problems)),
                Err(message) => problems.push(Problem::at(key, message)),
            }
        }
        if !(0.0..=1.0).contains(&settings.score_threshold) {
            problems.push(Problem::at("score-threshold", "must be from 0 to 1"));
        }
        if recognizers.is_empty() && problems.is_empty() {
            problems.push(Problem::at(
                "recognizers",
                format!(
                    "holds no recogniser for the language `{}`, so nothing would ever be found",
                    settings.language
                ),
            ));
        }
        let configured = Self {
            recognizers,
            threshold: settings.score_threshold,
        };
        // What a pattern makes when it is first used is then in the memory that the host freezes.
        let rehearsed = problems.is_empty().then(|| configured.search("a 1\nb@c.d"));
        drop(rehearsed);
        Problem::none_of(problems, configured)
    }
}

impl Files {
    /// Each file with the setting that it is.
    fn keyed(&self) -> Vec<(String, &str)> {
        match self {
            Self::One(text) => vec![("recognizers".to_owned(), text)],
            Self::Named(files) => files
                .iter()
                .map(|(name, text)| (format!("recognizers[\"{name}\"]"), text.as_str()))
                .collect(),
        }
    }
}

impl Detector for PresidioRecognizers {
    fn detect(&self, _: RequestInfo, mut messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let _known = known::take(&mut messages)?;
        let mut spans = Vec::new();
        for (message, given) in (0..).zip(&messages) {
            for (part, content) in (0..).zip(&given.parts) {
                let found = match content {
                    Part::Text(text) => self.search(text)?,
                    Part::Json(json) => self.search_json(json)?,
                    Part::Blob(_) => Vec::new(),
                };
                for found in found {
                    spans.push(span(message, part, found)?);
                }
            }
        }
        Ok(spans)
    }
}

impl PresidioRecognizers {
    /// What is found in a text, in order and without overlap.
    fn search(&self, text: &str) -> Result<Vec<Found<'_>>, Error> {
        let mut found = Vec::new();
        for recognizer in &self.recognizers {
            recognizer.search(text, &mut found)?;
        }
        found.retain(|found: &Found<'_>| found.score > 0.0 && found.score >= self.threshold);
        Ok(recognizer::apart(found))
    }

    /// What is found in the strings of a JSON text; keys and numbers stay, because no token can stand there.
    fn search_json(&self, json: &str) -> Result<Vec<Found<'_>>, Error> {
        let Some(strings) = json::strings(json) else {
            return self.search(json);
        };
        let mut all = Vec::new();
        for string in strings {
            for found in self.search(&string.text)? {
                if let Some((start, end)) = string.outside(found.start, found.end) {
                    all.push(Found {
                        start,
                        end,
                        ..found
                    });
                }
            }
        }
        Ok(all)
    }
}

fn span(message: u32, part: u32, found: Found<'_>) -> Result<Span, Error> {
    let offset = |at: usize| {
        u32::try_from(at)
            .map_err(|_| Error::LimitExceeded("a part is longer than 4 GiB".to_owned()))
    };
    Ok(Span {
        message,
        part,
        start: offset(found.start)?,
        end: offset(found.end)?,
        kind: found.kind.to_owned(),
        confidence: found.score,
        rule: Some(found.rule.to_owned()),
    })
}

nephron_sdk::export!(detector: PresidioRecognizers);
