//! What detectors find, put into tokens, for any text and any spans that keep the contract.

#![expect(
    clippy::missing_panics_doc,
    reason = "it panics where its property does not hold, and is there for that"
)]

use std::ops::Range;

use nephron_engine::contract::BlobRef;

use super::*;
use crate::fuzz::bytes::Bytes;

/// Rewriting by spans: what any detector found is gone, every other byte stands where it stood, the tokens in the text are those
/// that were issued and no others, and putting the values back gives the text again.
pub fn spans(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let original = Messages((0..bytes.below(4)).map(|_| message(&mut bytes)).collect());
    let mut spans = Vec::new();
    for _ in 0..bytes.below(4) {
        detector(&original, &mut bytes, &mut spans);
    }
    let merged = tokens_in(&original).and_then(|(exact, _)| merge(&spans, exact));
    assert!(merged.is_ok(), "spans that keep the contract are refused");
    let finds = merged.unwrap_or_default();
    let token = |(number, found): (usize, &Found)| {
        let kind = found.place.kind.as_str();
        assert!(
            KINDS.contains(&kind) || ["other", LITERAL].contains(&kind),
            "{kind}"
        );
        format!("[{}_{number:05}]", kind.to_ascii_uppercase()).parse::<Token>()
    };
    let tokens: Result<Vec<Token>, _> = finds.iter().enumerate().map(token).collect();
    let tokens = tokens.unwrap_or_default();
    assert_eq!(tokens.len(), finds.len());
    let cleared = rewrite(&original, &finds, &tokens);
    let cleared = cleared.expose();
    assert_eq!(cleared.0.len(), original.0.len());
    for (message, (before, after)) in original.0.iter().zip(&cleared.0).enumerate() {
        assert_eq!((&before.role, &before.name), (&after.role, &after.name));
        assert_eq!(before.parts.len(), after.parts.len());
        for (part, (before, after)) in before.parts.iter().zip(&after.parts).enumerate() {
            let here: Vec<(&Place, &Token)> = finds
                .iter()
                .map(|found| &found.place)
                .zip(&tokens)
                .filter(|(place, _)| (place.message, place.part) == (message, part))
                .collect();
            match (before, after) {
                (Part::Blob(_), Part::Blob(_)) => assert!(before == after && here.is_empty()),
                (Part::Text(before), Part::Text(after))
                | (Part::Json(before), Part::Json(after)) => {
                    is_covered(
                        before,
                        &here,
                        |span| (span.message, span.part),
                        &spans,
                        (message, part),
                    );
                    is_rewritten(before, after, &here);
                }
                (Part::Text(_) | Part::Json(_) | Part::Blob(_), _) => {
                    assert!(before == after, "a part of another kind");
                }
            }
        }
    }
}

/// The places cover what was found and what looks like a token, and nothing else; none overlaps another.
fn is_covered(
    text: &str,
    places: &[(&Place, &Token)],
    at: impl Fn(&Span) -> (u32, u32),
    spans: &[Span],
    here: (usize, usize),
) {
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let found = spans
        .iter()
        .filter(|span| (index(at(span).0), index(at(span).1)) == here)
        .map(|span| index(span.start)..index(span.end))
        .chain(Token::scan(text).map(|(range, _)| range));
    let mut wanted = vec![0_u8; text.len()];
    for range in found {
        wanted
            .get_mut(range)
            .into_iter()
            .flatten()
            .for_each(|it| *it = 1);
    }
    let mut placed = vec![0_u8; text.len()];
    for (place, _) in places {
        let range = place.start..place.end;
        placed
            .get_mut(range)
            .into_iter()
            .flatten()
            .for_each(|it| *it += 1);
    }
    assert_eq!(placed, wanted);
}

fn is_rewritten(before: &str, after: &str, places: &[(&Place, &Token)]) {
    let issued: Vec<&Token> = places.iter().map(|(_, token)| *token).collect();
    let standing: Vec<(Range<usize>, Token)> = Token::scan(after).collect();
    assert_eq!(
        standing.iter().map(|(_, token)| token).collect::<Vec<_>>(),
        issued
    );
    let (mut restored, mut from) = (String::new(), 0);
    for ((range, _), (place, _)) in standing.iter().zip(places) {
        restored.push_str(after.get(from..range.start).unwrap_or_default());
        restored.push_str(before.get(place.start..place.end).unwrap_or_default());
        from = range.end;
    }
    restored.push_str(after.get(from..).unwrap_or_default());
    assert_eq!(restored, before);
}

fn message(bytes: &mut Bytes<'_>) -> Message {
    let part = |bytes: &mut Bytes<'_>| match bytes.below(8) {
        0 => Part::Blob(BlobRef {
            media_type: "image/png".to_owned(),
            length: 1,
            sha256: "00".repeat(32),
        }),
        1 | 2 => Part::Json(text(bytes)),
        _ => Part::Text(text(bytes)),
    };
    Message {
        role: bytes.word(&["user", "system"]),
        name: bytes.flag().then(|| bytes.text()),
        parts: (0..bytes.below(4)).map(|_| part(bytes)).collect(),
    }
}

/// Text in which a control character stands for a token or the beginning of one, which are long to guess.
fn text(bytes: &mut Bytes<'_>) -> String {
    let text = bytes.text();
    let text = text.replace('\u{1}', "[NAME_00000]");
    text.replace('\u{2}', "[LITERAL_00001]")
        .replace('\u{3}', "[MRN_0")
}

/// What one detector says of all texts: its spans are in order, apart and on scalar boundaries.
fn detector(messages: &Messages, bytes: &mut Bytes<'_>, spans: &mut Vec<Span>) {
    for (message, content) in (0..).zip(&messages.0) {
        for (part, original) in (0..).zip(&content.parts) {
            let text = text_of(original).unwrap_or_default();
            let boundary = |from: usize| (from..=text.len()).find(|at| text.is_char_boundary(*at));
            let mut from = 0;
            for _ in 0..bytes.below(4) {
                let start = boundary(from + bytes.below(24));
                let end = start.and_then(|start| boundary(start + 1 + bytes.below(24)));
                let (Some(start), Some(end)) = (start, end) else {
                    break;
                };
                from = end;
                spans.push(Span {
                    message,
                    part,
                    start: u32::try_from(start).unwrap_or(u32::MAX),
                    end: u32::try_from(end).unwrap_or(u32::MAX),
                    kind: bytes.word(&["name", "date", "mrn", "health-plan", "zebulon", "literal"]),
                    confidence: f32::from(bytes.byte()) / 255.0,
                    rule: bytes.flag().then(|| bytes.text()),
                });
            }
        }
    }
}
