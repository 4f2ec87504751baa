//! Finds record numbers behind a label: `{"labels": ["MRN"], "digits": 8}`.

use nephron_sdk::detector::{Detector, Message, Part, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem};
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
pub struct LabelledNumbers(Settings);

impl Plugin for LabelledNumbers {
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

impl Detector for LabelledNumbers {
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

impl LabelledNumbers {
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

nephron_sdk::export!(detector: LabelledNumbers);

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(u32, u32)> {
        let settings = Settings {
            labels: vec!["MRN".to_owned()],
            digits: 8,
        };
        LabelledNumbers::configure(settings).unwrap().places(text)
    }

    #[test]
    fn a_labelled_number_is_found_by_its_bytes() {
        assert_eq!(places("ü😀 MRN: 90210557."), [(12, 20)]);
    }

    #[test]
    fn other_numbers_are_left() {
        assert_eq!(places("90210557, MRN 902105577, MRN 9021055"), []);
    }
}
