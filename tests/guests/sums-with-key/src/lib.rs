//! A well-behaved transformer: it uses its lent key in every way there is, and replaces each found span by its token.
//!
//! Its detector finds runs of five digits or more. Before it rewrites, it sums the text with `mac`, twice, and seals and
//! opens it again; anything but the same bytes is the error `nephron.test.key`.

use std::collections::BTreeMap;

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, KeyError, Message, Outcome, Part, RequestInfo, Span, Transformer};
use nephron_sdk::types::OtherError;
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

mod text;

use text::Place;

/// Bound to what this plugin seals.
const CONTEXT: &str = "sums-with-key";

/// Sums, seals and tokenises.
pub struct SumsWithKey;

impl Plugin for SumsWithKey {
    type Settings = NoSettings;
    const NAME: &str = "sums-with-key";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Detector for SumsWithKey {
    fn detect(&self, _: RequestInfo, messages: Vec<Message>) -> Result<Vec<Span>, Error> {
        text::numbers(&messages)
            .into_iter()
            .map(|place| {
                let offset = |at: usize| {
                    u32::try_from(at)
                        .map_err(|_| Error::LimitExceeded("too much text for an offset".to_owned()))
                };
                Ok(Span {
                    message: offset(place.message)?,
                    part: offset(place.part)?,
                    start: offset(place.start)?,
                    end: offset(place.end)?,
                    kind: "id".to_owned(),
                    confidence: 1.0,
                    rule: Some("five-digits".to_owned()),
                })
            })
            .collect()
    }
}

impl Transformer for SumsWithKey {
    fn deidentify(
        &self,
        _: RequestInfo,
        mut messages: Vec<Message>,
        found: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        for message in &messages {
            for part in &message.parts {
                if let Part::Text(text) = part {
                    prove(text.as_bytes(), key)?;
                }
            }
        }
        let mut by_kind: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for span in found {
            let place = Place::of(&span).ok_or_else(|| bad("span"))?;
            by_kind.entry(span.kind).or_default().push(place);
        }
        let replaced = rewrite(&mut messages, by_kind, |values, kind| {
            key.tokenize(values, kind)
        })?;
        Ok(Outcome {
            messages,
            replaced,
            residual_risk: Some(0.0),
        })
    }

    fn reidentify(
        &self,
        _: RequestInfo,
        mut messages: Vec<Message>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        let by_kind = text::tokens(&messages);
        let replaced = rewrite(&mut messages, by_kind, |tokens, kind| {
            key.detokenize(tokens, kind)
        })?;
        Ok(Outcome {
            messages,
            replaced,
            residual_risk: None,
        })
    }
}

/// Sums, seals and opens `bytes`, and looks at what comes back.
fn prove(bytes: &[u8], key: &Key) -> Result<(), Error> {
    let sum = key.mac(bytes).map_err(|error| refused(&error))?;
    if sum.is_empty() || sum != key.mac(bytes).map_err(|error| refused(&error))? {
        return Err(bad("mac"));
    }
    let sealed = key.seal(bytes, CONTEXT).map_err(|error| refused(&error))?;
    let opened = key
        .open(&sealed, CONTEXT)
        .map_err(|error| refused(&error))?;
    if sealed == bytes || opened != bytes {
        return Err(bad("seal"));
    }
    match key.open(&sealed, "another context") {
        Err(KeyError::AuthenticationFailed) => Ok(()),
        Ok(_) | Err(_) => Err(bad("context")),
    }
}

/// Replaces what stands at the places by what `exchange` gives for it, and counts.
fn rewrite(
    messages: &mut [Message],
    by_kind: BTreeMap<String, Vec<Place>>,
    exchange: impl Fn(&[String], &str) -> Result<Vec<String>, KeyError>,
) -> Result<u32, Error> {
    let mut changes: Vec<(Place, String)> = Vec::new();
    for (kind, places) in by_kind {
        let values: Option<Vec<String>> =
            places.iter().map(|place| place.text_in(messages)).collect();
        let replacements = exchange(&values.ok_or_else(|| bad("span"))?, &kind)
            .map_err(|error| refused(&error))?;
        if replacements.len() != places.len() {
            return Err(bad("count"));
        }
        changes.extend(places.into_iter().zip(replacements));
    }
    text::replace(messages, &mut changes).ok_or_else(|| bad("span"))
}

fn refused(error: &KeyError) -> Error {
    let detail = match error {
        KeyError::NotPermitted => "not-permitted",
        KeyError::Expired => "expired",
        KeyError::Destroyed => "destroyed",
        KeyError::BudgetExhausted => "budget-exhausted",
        KeyError::AuthenticationFailed => "authentication-failed",
        KeyError::NotFound => "not-found",
        KeyError::Unavailable(_) => "unavailable",
        KeyError::Other(_) => "other",
    };
    bad(detail)
}

/// The error that names what went wrong with the key: the key's own error, or the use whose answer was not right.
fn bad(detail: &str) -> Error {
    Error::Other(OtherError {
        code: "nephron.test.key".to_owned(),
        detail: Some(detail.to_owned()),
        retryable: false,
    })
}

nephron_sdk::export!(transformer: SumsWithKey);
