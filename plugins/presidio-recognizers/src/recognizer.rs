//! One recogniser at work: what its patterns find, as sure as they say, and surer where a word before it says so.

use fancy_regex::Regex;
use nephron_sdk::{Error, Problem};

use crate::file::Parts;
use crate::{Settings, context, kind, pattern};

/// A recogniser for the language of the texts.
pub(crate) struct Recognizer {
    kind: String,
    searches: Vec<Search>,
    /// In lower case.
    context: Vec<String>,
    threshold: f32,
}

struct Search {
    regex: Regex,
    score: f32,
    /// The recogniser's name and the pattern's.
    rule: String,
}

/// Something found: bytes of the text, as UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'r> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: &'r str,
    pub(crate) score: f32,
    pub(crate) rule: &'r str,
}

impl Recognizer {
    /// Compiles the patterns. Nothing if one of them is at fault.
    pub(crate) fn new(
        parts: &Parts,
        settings: &Settings,
        place: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let before = problems.len();
        let mut searches = Vec::new();
        for (index, one) in parts.patterns.iter().enumerate() {
            let place = || format!("{place}.patterns[{index}]");
            let told = |message: String| format!("`{}`, `{}`: {message}", parts.name, one.name);
            if !(0.0..=1.0).contains(&one.score) {
                problems.push(Problem::at(
                    place(),
                    told("`score` must be from 0 to 1".to_owned()),
                ));
            }
            match pattern::compile(&one.regex, parts.flags) {
                Ok(regex) => searches.push(Search {
                    regex,
                    score: one.score,
                    rule: format!("{}: {}", parts.name, one.name),
                }),
                Err(message) => problems.push(Problem::at(place(), told(message))),
            }
        }
        if !parts.deny_list.is_empty() {
            match pattern::of_list(&parts.deny_list, parts.flags) {
                Ok(regex) => searches.push(Search {
                    regex,
                    score: parts.deny_list_score,
                    rule: format!("{}: deny_list", parts.name),
                }),
                Err(message) => problems.push(Problem::at(
                    format!("{place}.deny_list"),
                    format!("`{}`: {message}", parts.name),
                )),
            }
        }
        let own = settings.kinds.get(&parts.entity);
        (problems.len() == before).then(|| Self {
            kind: own.map_or_else(|| kind::of(&parts.entity).to_owned(), Clone::clone),
            searches,
            context: parts
                .context
                .iter()
                .map(|word| word.to_lowercase())
                .collect(),
            threshold: parts.threshold,
        })
    }

    /// Adds to `found` what is in `text`.
    pub(crate) fn search<'r>(
        &'r self,
        text: &str,
        found: &mut Vec<Found<'r>>,
    ) -> Result<(), Error> {
        for search in &self.searches {
            for matched in search.regex.find_iter(text) {
                let matched = matched.map_err(|_| {
                    Error::LimitExceeded(format!(
                        "the pattern `{}` went back and forth too often; write it without nested repetitions",
                        search.rule
                    ))
                })?;
                if matched.start() == matched.end() {
                    continue;
                }
                let score = if context::supports(text, matched.start(), &self.context) {
                    context::raised(search.score)
                } else {
                    search.score
                };
                if score >= self.threshold {
                    found.push(Found {
                        start: matched.start(),
                        end: matched.end(),
                        kind: &self.kind,
                        score,
                        rule: &search.rule,
                    });
                }
            }
        }
        Ok(())
    }
}

/// In order and without overlap: where findings overlap their union is one, under the kind of the surest, then of the longest.
pub(crate) fn apart(mut found: Vec<Found<'_>>) -> Vec<Found<'_>> {
    found.sort_by_key(|found| (found.start, found.end));
    let mut apart: Vec<(Found<'_>, usize)> = Vec::new();
    for one in found {
        let length = one.end - one.start;
        match apart.last_mut() {
            Some((last, known)) if one.start < last.end => {
                last.end = last.end.max(one.end);
                if (one.score, length) > (last.score, *known) {
                    (last.kind, last.score, last.rule) = (one.kind, one.score, one.rule);
                    *known = length;
                }
            }
            _ => apart.push((one, length)),
        }
    }
    apart.into_iter().map(|(found, _)| found).collect()
}
