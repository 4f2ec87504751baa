//! Texts without their identifiers, and with them again.

use nephron_engine::Messages;
use nephron_engine::contract::{Message, Part};
use nephron_model::{EventId, Phi, Point};
use serde::Serialize;

use super::written;
use crate::case::Case;
use crate::chain::decide::{number, permit};
use crate::chain::deidentify::{Texts, tokenize};
use crate::chain::reidentify::{Tokens, permit_texts, restore_texts};
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::wire::fields::{Fields, ID_RULE, is_structural, wrong};
use crate::wire::json::Json;

/// Texts of one request.
const MOST: usize = 256;

/// Reads a request to de-identify texts.
pub(super) fn read_deidentify(fields: &mut Fields) -> Result<(Texts, Option<String>), Malformed> {
    let message = |text| Message {
        role: "user".to_owned(),
        name: None,
        parts: vec![Part::Text(text)],
    };
    let messages = texts(fields)?.into_iter().map(message).collect();
    let conversation = conversation(fields)?;
    Ok((Texts(Phi::new(Messages(messages))), conversation))
}

/// Reads a request to restore texts, whose tokens mean something in one conversation alone: that one, or the grant's.
pub(super) fn read_reidentify(
    fields: &mut Fields,
    is_lent: bool,
) -> Result<(Tokens, Option<String>), Malformed> {
    let texts = texts(fields)?;
    let conversation = conversation(fields)?;
    if conversation.is_none() && !is_lent {
        return Err(wrong("conversation", ID_RULE));
    }
    Ok((Tokens(Phi::new(texts)), conversation))
}

fn texts(fields: &mut Fields) -> Result<Vec<String>, Malformed> {
    const RULE: &str = "a list of 1 to 256 strings; or else `text`, one string";
    let rule = || wrong("texts", RULE);
    match (fields.text("text")?, fields.list("texts")?) {
        (Some(text), None) => Ok(vec![text]),
        (None, Some(texts)) if (1..=MOST).contains(&texts.len()) => {
            let texts: Option<_> = texts.into_iter().map(Json::into_text).collect();
            texts.ok_or_else(rule)
        }
        (_, _) => Err(rule()),
    }
}

/// Reads the name of a conversation.
pub(super) fn conversation(fields: &mut Fields) -> Result<Option<String>, Malformed> {
    fields.text_that("conversation", ID_RULE, |name| is_structural(name, 200))
}

#[derive(Serialize)]
struct Deidentified<'a> {
    event: EventId,
    conversation: String,
    /// By which the texts were de-identified (45 CFR 164.514(b)(2)), if the detectors amount to one.
    method: Option<&'static str>,
    texts: Vec<Text<'a>>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
    spans: Vec<Span<'a>>,
}

/// In bytes of the text as it was given.
#[derive(Serialize)]
struct Span<'a> {
    start: usize,
    end: usize,
    kind: &'a str,
    confidence: f64,
    rule: Option<&'a str>,
    token: String,
}

/// Replaces the identifiers in texts by tokens of the conversation, which is the caller's or a new one.
pub(super) async fn deidentify(case: &Case, texts: Texts) -> Result<Phi<String>, Refusal> {
    let messages = texts.0.expose();
    let facts = [
        ("bytes", number(messages.bytes())),
        ("texts", number(messages.0.len())),
    ];
    let asked = (Point::Ingress, "deidentify", case.caller.id.as_str());
    let permitted = permit(case, asked, facts, texts).await?;
    let tokenized = tokenize(case, permitted).await?;

    let mut texts: Vec<Text<'_>> = tokenized
        .texts()
        .map(|text| Text {
            text,
            spans: Vec::new(),
        })
        .collect();
    for (found, token) in tokenized.finds() {
        let place = &found.place;
        if let Some(text) = texts.get_mut(place.message) {
            text.spans.push(Span {
                start: place.start,
                end: place.end,
                kind: place.kind.as_str(),
                confidence: found.confidence(),
                rule: found.rule.as_deref(),
                token: token.to_string(),
            });
        }
    }
    Ok(written(&Deidentified {
        event: case.id,
        conversation: case.conversation(),
        method: case.roster.method(),
        texts,
    }))
}

#[derive(Serialize)]
struct Reidentified<'a> {
    event: EventId,
    texts: &'a [String],
    restored: usize,
    unknown: usize,
}

/// Puts values back into texts, for a caller who may see identities.
pub(super) async fn reidentify(case: &Case, tokens: Tokens) -> Result<Phi<String>, Refusal> {
    let permitted = permit_texts(case, tokens).await?;
    let restored = restore_texts(case, permitted).await?;
    Ok(written(&Reidentified {
        event: case.id,
        texts: restored.texts.expose(),
        restored: restored.restored,
        unknown: restored.unknown,
    }))
}
