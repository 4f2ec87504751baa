//! Where numbers and tokens stand in messages, and how they are replaced there.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nephron_sdk::keyed::{Message, Part, Span};

/// Fewest digits of a number.
const DIGITS: usize = 5;

/// Where a piece of text stands: bytes `start..end` of a text part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) message: usize,
    pub(crate) part: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    /// The place that a span names.
    pub(crate) fn of(span: &Span) -> Option<Self> {
        Some(Self {
            message: span.message.try_into().ok()?,
            part: span.part.try_into().ok()?,
            start: span.start.try_into().ok()?,
            end: span.end.try_into().ok()?,
        })
    }

    /// What stands there.
    pub(crate) fn text_in(&self, messages: &[Message]) -> Option<String> {
        match messages.get(self.message)?.parts.get(self.part)? {
            Part::Text(text) => text.get(self.start..self.end).map(str::to_owned),
            Part::Json(_) | Part::Blob(_) => None,
        }
    }
}

/// Every run of five ASCII digits or more.
pub(crate) fn numbers(messages: &[Message]) -> Vec<Place> {
    let mut places = Vec::new();
    for (message, part, text) in texts(messages) {
        let mut start = 0;
        for run in text.split_inclusive(|scalar: char| !scalar.is_ascii_digit()) {
            let digits = run.chars().take_while(char::is_ascii_digit).count();
            if digits >= DIGITS {
                places.push(Place {
                    message,
                    part,
                    start,
                    end: start + digits,
                });
            }
            start += run.len();
        }
    }
    places
}

/// Every `[KIND_7KQ2M]`, by kind in lower case.
pub(crate) fn tokens(messages: &[Message]) -> BTreeMap<String, Vec<Place>> {
    let mut by_kind: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for (message, part, text) in texts(messages) {
        for (start, _) in text.match_indices('[') {
            let Some(token) = text
                .get(start..)
                .and_then(|rest| rest.split_inclusive(']').next())
            else {
                continue;
            };
            let Some((kind, draw)) = token
                .strip_prefix('[')
                .and_then(|token| token.strip_suffix(']'))
                .and_then(|token| token.rsplit_once('_'))
            else {
                continue;
            };
            let is_kind = !kind.is_empty()
                && kind
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
            let is_draw = draw.len() == 5
                && draw
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            if is_kind && is_draw {
                let place = Place {
                    message,
                    part,
                    start,
                    end: start + token.len(),
                };
                by_kind
                    .entry(kind.to_ascii_lowercase())
                    .or_default()
                    .push(place);
            }
        }
    }
    by_kind
}

/// Replaces the text at each place and counts; `None` if a place names no text, or cuts a scalar.
pub(crate) fn replace(messages: &mut [Message], changes: &mut [(Place, String)]) -> Option<u32> {
    // From the end, so that the offsets of those still to come hold.
    changes.sort_by_key(|(place, _)| Reverse(*place));
    for (place, replacement) in &*changes {
        match messages.get_mut(place.message)?.parts.get_mut(place.part)? {
            Part::Text(text) => {
                text.get(place.start..place.end)?;
                text.replace_range(place.start..place.end, replacement);
            }
            Part::Json(_) | Part::Blob(_) => return None,
        }
    }
    changes.len().try_into().ok()
}

fn texts(messages: &[Message]) -> impl Iterator<Item = (usize, usize, &str)> {
    messages
        .iter()
        .enumerate()
        .flat_map(|(message, Message { parts, .. })| {
            parts
                .iter()
                .enumerate()
                .filter_map(move |(part, content)| match content {
                    Part::Text(text) => Some((message, part, text.as_str())),
                    Part::Json(_) | Part::Blob(_) => None,
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Vec<Message> {
        vec![Message {
            role: "user".to_owned(),
            name: None,
            parts: vec![Part::Text(text.to_owned())],
        }]
    }

    #[test]
    fn only_long_numbers_are_found() {
        let messages = user("MRN 00412877, room 4120, né en 19540212");
        let found: Vec<_> = numbers(&messages)
            .iter()
            .filter_map(|place| place.text_in(&messages))
            .collect();
        assert_eq!(found, ["00412877", "19540212"]);
    }

    #[test]
    fn only_whole_tokens_are_found() {
        let messages =
            user("[ID_7KQ2M] [HEALTH-PLAN_00000] [[NAME_7KQ2M] [NAME_7KQ2 [name_7KQ2M] [_7KQ2M]");
        let found: Vec<_> = tokens(&messages)
            .into_iter()
            .flat_map(|(kind, places)| places.into_iter().map(move |place| (kind.clone(), place)))
            .filter_map(|(kind, place)| Some((kind, place.text_in(&messages)?)))
            .collect();
        let expected = [
            ("health-plan", "[HEALTH-PLAN_00000]"),
            ("id", "[ID_7KQ2M]"),
            ("name", "[NAME_7KQ2M]"),
        ];
        assert_eq!(
            found,
            expected.map(|(kind, token)| (kind.to_owned(), token.to_owned()))
        );
    }

    #[test]
    fn replacing_keeps_everything_else() {
        let mut messages = user("é 12345 and 67890.");
        let places = numbers(&messages);
        let mut changes: Vec<_> = places
            .into_iter()
            .zip(["[ID_00001]".to_owned(), "x".to_owned()])
            .collect();
        assert_eq!(replace(&mut messages, &mut changes), Some(2));
        assert_eq!(messages[0].parts.len(), 1);
        assert!(matches!(&messages[0].parts[0], Part::Text(text) if text == "é [ID_00001] and x."));
    }

    #[test]
    fn a_place_that_cuts_a_scalar_replaces_nothing() {
        let mut messages = user("é");
        let mut changes = vec![(
            Place {
                message: 0,
                part: 0,
                start: 1,
                end: 2,
            },
            String::new(),
        )];
        assert_eq!(replace(&mut messages, &mut changes), None);
    }
}
