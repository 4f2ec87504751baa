//! Answers inside the sandbox: an extractive summary of the last user message, so that the whole chain runs offline.
//!
//! [`split`] cuts the text into sentences, [`words`] knows what they tell, [`summary`] chooses, and this file turns the
//! choice into the events of a streamed answer. It never alters a token such as `[NAME_7KQ2M]`, and it never dials.

mod scan;
mod split;
mod summary;
mod token;
mod words;

use std::borrow::Cow;

use nephron_sdk::connector::{
    ChatCall, Connector, Event, Message, NoDecoder, Part, Plan, RequestInfo, Usage,
};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Sentences that a summary has at most, 1 to 50.
    sentences: usize,
    /// The name under which it answers.
    model: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sentences: 4,
            model: "extractive-1".to_owned(),
        }
    }
}

/// The connector.
pub struct Extractive(Settings);

impl Plugin for Extractive {
    type Settings = Settings;
    const NAME: &str = "extractive";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if !(1..=50).contains(&settings.sentences) {
            problems.push(Problem::at("sentences", "expected a number from 1 to 50"));
        }
        if settings.model.trim().is_empty() {
            problems.push(Problem::at(
                "model",
                "expected a name, found none; leave the key out for `extractive-1`",
            ));
        }
        if problems.is_empty() {
            Ok(Self(settings))
        } else {
            Err(problems)
        }
    }
}

impl Connector for Extractive {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let mut all = call.messages.iter().flat_map(|message| &message.parts);
        if let Some(Part::Blob(blob)) = all.find(|part| matches!(part, Part::Blob(_))) {
            return Err(Error::Unsupported(format!(
                "`{}` cannot be read; send text",
                blob.media_type
            )));
        }
        let texts: Vec<Cow<'_, str>> = call
            .messages
            .iter()
            .filter(|message| message.role == "user")
            .map(text)
            .collect();
        let last = texts.iter().rposition(|text| !text.trim().is_empty());
        let asked = last.and_then(|last| texts.split_at_checked(last));
        let Some((earlier, [asked, ..])) = asked else {
            return Err(Error::InvalidInput(
                "no user message holds text; send one with a text part".to_owned(),
            ));
        };
        let earlier: Vec<&str> = earlier.iter().map(AsRef::as_ref).collect();
        let whole = self.answer(asked, &earlier);
        let (answer, reason) = limited(&whole, &call.stop, call.max_tokens);
        let read: usize = call.messages.iter().flat_map(parts).map(scan::count).sum();
        let mut events = vec![Event::Model(self.0.model.clone())];
        events.extend(deltas(answer).map(Event::Text));
        events.push(Event::Used(Usage {
            input_tokens: u64::try_from(read).ok(),
            output_tokens: u64::try_from(scan::count(answer)).ok(),
        }));
        events.push(Event::Stopped(reason.to_owned()));
        Ok(Plan::Answer(events))
    }
}

impl Extractive {
    fn answer(&self, asked: &str, earlier: &[&str]) -> String {
        let chosen = summary::summary(asked, earlier, self.0.sentences);
        // A message without any sentence, such as one HL7 segment or one number, is given back by its first words.
        let body = if chosen.is_empty() {
            asked
                .split_whitespace()
                .take(40)
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            chosen.join(" ")
        };
        match token::patient(asked)
            .or_else(|| earlier.iter().rev().find_map(|text| token::patient(text)))
        {
            Some(patient) => format!("Summary for {patient}: {body}"),
            None => format!("Summary: {body}"),
        }
    }
}

/// The text parts of a message.
fn parts(message: &Message) -> impl Iterator<Item = &str> {
    message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Json(_) | Part::Blob(_) => None,
    })
}

/// The text parts of a message, a line each.
fn text(message: &Message) -> Cow<'_, str> {
    let mut parts = parts(message);
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        None => Cow::Borrowed(first),
        Some(second) => {
            let all: Vec<&str> = [first, second].into_iter().chain(parts).collect();
            Cow::Owned(all.join("\n"))
        }
    }
}

/// `answer` before the first stop sequence and within `limit` words, and why it ends there. No token is cut.
fn limited<'a>(answer: &'a str, stop: &[String], limit: Option<u32>) -> (&'a str, &'static str) {
    let inside = |at: usize| {
        token::tokens(answer).any(|token| token.start < at && at < token.start + token.text.len())
    };
    let stopped = stop
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| {
            answer
                .match_indices(stop.as_str())
                .map(|(at, _)| at)
                .find(|at| !inside(*at))
        })
        .min()
        .and_then(|at| answer.get(..at))
        .unwrap_or(answer);
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return (stopped, "stop");
    };
    if stopped.split_whitespace().count() <= limit {
        return (stopped, "stop");
    }
    // Words never share bytes with a token's inside: tokens hold no blank.
    let end = stopped
        .split_whitespace()
        .take(limit)
        .last()
        .map_or(0, |word| {
            word.as_ptr().addr() - stopped.as_ptr().addr() + word.len()
        });
    (stopped.get(..end).unwrap_or_default(), "length")
}

/// The answer in pieces of about 23 bytes, cut anywhere, as a model's stream is: also inside a token.
fn deltas(answer: &str) -> impl Iterator<Item = String> {
    const PIECE: usize = 23;
    let mut rest = answer;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.ceil_char_boundary(PIECE);
        let (piece, after) = rest.split_at_checked(cut)?;
        rest = after;
        Some(piece.to_owned())
    })
}

nephron_sdk::export!(connector: Extractive);

#[cfg(test)]
mod tests {
    use nephron_sdk::types::{Caller, Instant, Sensitivity};

    use super::*;

    fn info() -> RequestInfo {
        RequestInfo {
            id: "01".to_owned(),
            tenant: "t".to_owned(),
            received_at: Instant {
                seconds: 0,
                nanoseconds: 0,
            },
            caller: Caller {
                id: "c".to_owned(),
                roles: vec![],
                attributes: vec![],
            },
            purpose: "TREAT".to_owned(),
            sensitivity: Sensitivity::Phi,
            attributes: vec![],
        }
    }

    fn call(
        texts: &[(&str, &str)],
        max_tokens: Option<u32>,
        stop: &[&str],
    ) -> Result<Vec<Event>, Error> {
        let message = |(role, text): &(&str, &str)| Message {
            role: (*role).to_owned(),
            name: None,
            parts: vec![Part::Text((*text).to_owned())],
        };
        let call = ChatCall {
            model: "any".to_owned(),
            messages: texts.iter().map(message).collect(),
            max_tokens,
            temperature: None,
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
            want_stream: true,
            options: vec![],
        };
        let plugin = Extractive::configure(Settings::default()).unwrap();
        match plugin.encode(info(), call)? {
            Plan::Answer(events) => Ok(events),
            Plan::Call(_) => panic!("it dialled"),
        }
    }

    fn said(events: &[Event]) -> String {
        events
            .iter()
            .filter_map(|event| {
                if let Event::Text(text) = event {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    fn ended(events: &[Event]) -> &str {
        match events.last() {
            Some(Event::Stopped(reason)) => reason,
            _ => panic!("it did not end"),
        }
    }

    const NOTE: &str = "Patient: [NAME_7KQ2M]\nSeen on [DATE_1ABCD] by Dr. [NAME_ZZ9XY] for cough. The cough is worse at night. \
        Lungs are clear.\nPlan: Rest, fluids and a chest film if the cough of [NAME_7KQ2M] lasts.";

    #[test]
    fn the_stream_holds_whole_tokens_and_its_pieces_do_not() {
        let events = call(&[("system", "Be brief."), ("user", NOTE)], None, &[]).unwrap();
        let text = said(&events);
        assert!(text.starts_with("Summary for [NAME_7KQ2M]: "), "{text}");
        assert!(token::tokens(&text).all(|token| NOTE.contains(token.text)));
        assert_eq!(text.matches('[').count(), token::tokens(&text).count());
        let pieces = events
            .iter()
            .filter(|event| matches!(event, Event::Text(_)))
            .count();
        assert!(pieces > 3);
        let cut = events.iter().any(|event| matches!(event, Event::Text(text) if text.matches('[').count() != text.matches(']').count()));
        assert!(
            cut,
            "no piece cuts a token, so restoring across pieces is not exercised"
        );
        assert!(matches!(events.first(), Some(Event::Model(model)) if model == "extractive-1"));
        assert_eq!(ended(&events), "stop");
    }

    #[test]
    fn limits_hold_and_cut_no_token() {
        for limit in 0..30 {
            let events = call(&[("user", NOTE)], Some(limit), &[]).unwrap();
            let text = said(&events);
            assert!(text.split_whitespace().count() <= limit as usize);
            assert_eq!(
                text.matches('[').count(),
                token::tokens(&text).count(),
                "{text}"
            );
        }
        let events = call(&[("user", NOTE)], Some(5), &[]).unwrap();
        assert_eq!(ended(&events), "length");
        assert!(
            matches!(&events[events.len() - 2], Event::Used(usage) if usage.output_tokens == Some(5))
        );
    }

    #[test]
    fn a_stop_sequence_ends_the_text_outside_tokens() {
        let events = call(&[("user", NOTE)], None, &["7KQ", "cough"]).unwrap();
        let text = said(&events);
        assert!(
            text.contains("[NAME_7KQ2M]") && !text.contains("cough"),
            "{text}"
        );
    }

    #[test]
    fn nothing_asked_is_an_error() {
        for texts in [&[][..], &[("system", "x")], &[("user", "  \n")]] {
            assert!(matches!(
                call(texts, None, &[]),
                Err(Error::InvalidInput(_))
            ));
        }
    }

    #[test]
    fn every_fault_in_the_settings_is_reported() {
        let settings = Settings {
            sentences: 0,
            model: " ".to_owned(),
        };
        assert_eq!(
            Extractive::configure(settings)
                .err()
                .map(|problems| problems.len()),
            Some(2)
        );
    }
}
