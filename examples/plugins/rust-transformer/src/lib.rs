//! Finds record numbers behind a label, and puts a pseudonym in the place of whatever was found: `{"labels": ["MRN"], "digits": 8}`.
//!
//! A pseudonym is made with the lent key: nobody without it can try values out, and the same value of the same kind has the same one in
//! its tenant, for one purpose of use. That is more than Safe Harbor allows (45 CFR 164.514(c)): an expert must have determined that the
//! risk is very small (164.514(b)(1)).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, Message, Outcome, Part, RequestInfo, Span, Transformer};
use nephron_sdk::{Error, Plugin, Problem, known};
use serde::Deserialize;

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What stands before a number.
    pub labels: Vec<String>,
    /// How many digits it has.
    pub digits: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            labels: vec![],
            digits: 8,
        }
    }
}

/// The settings as they are: what `configure` leaves is where each call begins.
#[derive(Debug)]
pub struct Pseudonyms(Settings);

impl Plugin for Pseudonyms {
    type Settings = Settings;
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        if (1..=32).contains(&settings.digits) {
            Ok(Self(settings))
        } else {
            let message = "it must be a whole number from 1 to 32";
            Err(vec![Problem::at("digits", message)])
        }
    }
}

impl Detector for Pseudonyms {
    fn detect(&self, _: RequestInfo, messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        let mut spans = Vec::new();
        for (message, it) in (0..).zip(&messages) {
            for (part, it) in (0..).zip(&it.parts) {
                if let Part::Text(text) | Part::Json(text) = it {
                    spans.extend(self.places(text).into_iter().map(|(start, end)| Span {
                        message,
                        part,
                        start,
                        end,
                        kind: "mrn".to_owned(),
                        confidence: 1.0,
                        rule: Some("labelled-number".to_owned()),
                    }));
                }
            }
        }
        Ok(spans)
    }
}

impl Pseudonyms {
    /// Where numbers stand, in bytes of UTF-8.
    fn places(&self, text: &str) -> Vec<(u32, u32)> {
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            match self.number_behind_label(rest) {
                Some(before) => {
                    let end = at + before + self.0.digits;
                    let place = (u32::try_from(at + before), u32::try_from(end));
                    if let (Ok(start), Ok(end)) = place {
                        places.push((start, end));
                    }
                    at = end;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        places
    }

    /// How many bytes stand before the number, if a label begins here and a number follows.
    fn number_behind_label(&self, text: &str) -> Option<usize> {
        self.0.labels.iter().find_map(|label| {
            let behind = text.strip_prefix(label.as_str())?;
            let number = behind.trim_start_matches([' ', ':', '#']);
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            (digits == self.0.digits).then(|| text.len() - number.len())
        })
    }
}

impl Transformer for Pseudonyms {
    fn deidentify(
        &self,
        _: RequestInfo,
        mut messages: Vec<Message>,
        found: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        // What is known of the patient comes as a last message, and goes no further.
        known::take(&mut messages)?;
        let mut codes = Codes::new(|data| {
            let said = "the key does not authenticate".to_owned();
            key.mac(data).map_err(|_| Error::Unavailable(said))
        });
        let mut replaced = 0;
        for (message, it) in (0..).zip(&mut messages) {
            for (part, it) in (0..).zip(&mut it.parts) {
                let here = |span: &&Span| (span.message, span.part) == (message, part);
                let spans: Vec<&Span> = found.iter().filter(here).collect();
                match it {
                    Part::Text(text) => *text = rewritten(text, &spans, &mut codes)?,
                    Part::Json(_) | Part::Blob(_) if spans.is_empty() => {}
                    // A pseudonym in the place of a number would be no JSON.
                    Part::Json(_) | Part::Blob(_) => {
                        let said = "only plain text is rewritten by this plugin".to_owned();
                        return Err(Error::Unsupported(said));
                    }
                }
                replaced += u32::try_from(spans.len()).unwrap_or(u32::MAX);
            }
        }
        Ok(Outcome {
            messages,
            replaced,
            residual_risk: None,
        })
    }

    fn reidentify(&self, _: RequestInfo, _: Vec<Message>, _: &Key) -> Result<Outcome, Error> {
        let said = "no value can be made of a pseudonym again".to_owned();
        Err(Error::Unsupported(said))
    }
}

/// Pseudonyms by kind and value. The key is asked once for each: every use of it is an entry in the log.
struct Codes<M> {
    mac: M,
    made: BTreeMap<(String, String), String>,
}

impl<M: Fn(&[u8]) -> Result<Vec<u8>, Error>> Codes<M> {
    const fn new(mac: M) -> Self {
        Self {
            mac,
            made: BTreeMap::new(),
        }
    }

    fn of(&mut self, kind: &str, value: &str) -> Result<&str, Error> {
        match self.made.entry((kind.to_owned(), value.to_owned())) {
            Entry::Occupied(made) => Ok(made.into_mut()),
            Entry::Vacant(place) => {
                let mac = (self.mac)(format!("{kind}\0{value}").as_bytes())?;
                let code: String = mac
                    .iter()
                    .take(8)
                    .map(|byte| format!("{byte:02X}"))
                    .collect();
                Ok(place.insert(format!("[{} {code}]", kind.to_uppercase())))
            }
        }
    }
}

/// `text` with a pseudonym in the place of each span. No value stands in an error.
fn rewritten<M: Fn(&[u8]) -> Result<Vec<u8>, Error>>(
    text: &str,
    spans: &[&Span],
    codes: &mut Codes<M>,
) -> Result<String, Error> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| span.start);
    let (mut written, mut from) = (String::with_capacity(text.len()), 0);
    for span in spans {
        let place = usize::try_from(span.start)
            .ok()
            .zip(usize::try_from(span.end).ok());
        let stands = place
            .and_then(|(start, end)| Some((text.get(from..start)?, text.get(start..end)?, end)));
        let Some((before, value, end)) = stands else {
            let said = "spans overlap, or end within a character".to_owned();
            return Err(Error::InvalidInput(said));
        };
        written.push_str(before);
        written.push_str(codes.of(&span.kind, value)?);
        from = end;
    }
    written.push_str(text.get(from..).unwrap_or_default());
    Ok(written)
}

nephron_sdk::export!(transformer: Pseudonyms);

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, end: u32) -> Span {
        Span {
            message: 0,
            part: 0,
            start,
            end,
            kind: "mrn".to_owned(),
            confidence: 1.0,
            rule: None,
        }
    }

    /// No key is lent outside of a component: this one says what it was asked, and is not asked the same twice.
    fn written(text: &str, spans: &[&Span]) -> Result<String, Error> {
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let mut codes = Codes::new(|data: &[u8]| {
            assert!(asked.borrow_mut().insert(data.to_vec()));
            Ok(data.iter().rev().copied().collect())
        });
        rewritten(text, spans, &mut codes)
    }

    #[test]
    fn a_value_has_one_pseudonym_wherever_it_stands() {
        let text = written("ü 90210557, 90210557", &[&span(13, 21), &span(3, 11)]);
        let one = "[MRN 3735353031323039]";
        assert_eq!(text.unwrap(), format!("ü {one}, {one}"));
    }

    #[test]
    fn spans_that_overlap_or_cut_a_character_are_refused() {
        assert!(written("90210557", &[&span(0, 4), &span(3, 8)]).is_err());
        assert!(written("ü", &[&span(1, 2)]).is_err());
    }
}
