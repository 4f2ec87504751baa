//! What a transformer writes of a piece, in the place of labels.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Context as _;
use nephron_engine::contract::{Part, Span};
use serde_json::value::RawValue;

use super::Stopped;
use super::piece::{Change, Question};
use super::source::Piece;
use crate::batch::{Run, Tally, Written};
use crate::wire::known::Known;

/// A piece as a transformer wrote it.
#[derive(Default)]
pub(super) struct Transformed {
    pub(super) text: String,
    /// What the transformer says that it did, one for each text that it was given.
    pub(super) manifests: Vec<serde_json::Value>,
    /// Stretches that it replaced, as it counts them.
    pub(super) replaced: u64,
    /// Values that were found before, and that detectors find still.
    pub(super) left: u64,
    /// Whether Safe Harbor does not go so far.
    pub(super) is_by_experts: bool,
    pub(super) fuel: u64,
    pub(super) micros: u64,
}

/// Has the transformer write each text of the piece, and looks at what it wrote.
pub(super) async fn transformed(
    run: &Run,
    piece: &Piece,
    changes: &[Change],
    known: &Known,
    place: &str,
) -> Result<Transformed, Stopped> {
    let refused = |refusal| Stopped::Refused(Box::new(refusal), place.to_owned());
    let texts = match piece.is_json {
        true => values(&piece.text).with_context(|| place.to_owned())?,
        false => std::iter::once(0..piece.text.len()).collect(),
    };
    let mut whole = Transformed::default();
    let mut from = 0;
    for Range { start, end } in texts {
        let text = piece.text.get(start..end).unwrap_or_default().to_owned();
        let within = changes
            .iter()
            .filter(|change| start <= change.start && change.end <= end);
        let part = match piece.is_json {
            true => Part::Json(text),
            false => Part::Text(text),
        };
        let written = run
            .transform(
                part,
                within.map(|change| span(change, start)).collect(),
                known,
            )
            .await
            .map_err(refused)?;
        whole
            .text
            .push_str(piece.text.get(from..start).unwrap_or_default());
        whole.add(written);
        from = end;
    }
    whole
        .text
        .push_str(piece.text.get(from..).unwrap_or_default());
    whole.left = left(run, piece, changes, known, &whole.text)
        .await
        .map_err(refused)?;
    Ok(whole)
}

impl Transformed {
    fn add(&mut self, written: Written) {
        self.text.push_str(&written.text);
        self.manifests.extend(written.manifest);
        self.replaced = self.replaced.saturating_add(written.replaced);
        self.is_by_experts |= written.is_by_experts;
        self.fuel = self.fuel.saturating_add(written.fuel);
        self.micros = self.micros.saturating_add(written.micros);
    }
}

impl Tally {
    /// Counts what a transformer did.
    pub(super) fn transformed(&mut self, transformed: &Transformed) {
        let counts = [
            ("transformed", transformed.replaced),
            ("left", transformed.left),
        ];
        for (name, count) in counts {
            let sum = self.counts.entry(name.to_owned()).or_default();
            *sum = sum.saturating_add(count);
        }
        self.is_by_experts |= transformed.is_by_experts;
        self.fuel = self.fuel.saturating_add(transformed.fuel);
        self.micros = self.micros.saturating_add(transformed.micros);
    }
}

fn span(change: &Change, start: usize) -> Span {
    let at = |byte: usize| u32::try_from(byte.saturating_sub(start)).unwrap_or(u32::MAX);
    let found = &change.found;
    Span {
        message: 0,
        part: 0,
        start: at(change.start),
        end: at(change.end),
        kind: found.place.kind.to_string(),
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
        confidence: found.confidence() as f32,
        rule: found.rule.clone(),
    }
}

/// How many stretches that were found are found again, of the same kind and with the same text.
async fn left(
    run: &Run,
    piece: &Piece,
    changes: &[Change],
    known: &Known,
    text: &str,
) -> Result<u64, crate::Refusal> {
    let valued = |of: &'_ str, change: &Change| {
        let value = of.get(change.start..change.end).unwrap_or_default();
        (change.found.place.kind.to_string(), value.to_owned())
    };
    let before: BTreeSet<(String, String)> = changes
        .iter()
        .map(|change| valued(&piece.text, change))
        .collect();
    if before.is_empty() || text.trim().is_empty() {
        return Ok(0);
    }
    let again = Piece {
        text: text.to_owned(),
        ..*piece
    };
    let (question, parts) = Question::of(&again);
    let finds = run.find(parts, known).await?;
    let changes = question.changes(&finds);
    let still = changes
        .iter()
        .filter(|change| before.contains(&valued(text, change)));
    Ok(u64::try_from(still.count()).unwrap_or(u64::MAX))
}

/// Where the values stand that a piece of JSON consists of: one, several lines of one each, or elements of a list.
fn values(text: &str) -> anyhow::Result<Vec<Range<usize>>> {
    let between = |c: char| c.is_whitespace() || matches!(c, '[' | ',' | ']');
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(rest) = text.get(from..) {
        let start = from + (rest.len() - rest.trim_start_matches(between).len());
        let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let mut read = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = read.next().and_then(Result::ok);
        let value = value.context(
            "a transformer is given whole resources, and here is a part of one: write each on a line of its own (NDJSON)",
        )?;
        found.push(start..start + value.get().len());
        from = start + value.get().len();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_piece_are_found_however_they_are_put_together() {
        for text in [
            "{\"a\":[1,2]}",
            "{\"a\":1}\n{\"a\":2}\n",
            "[\n{\"a\":1},\n{\"b\":[]}]\n",
            ", {\"a\":\"]\"},",
            "\n",
        ] {
            let each = values(text).unwrap();
            let read = each.iter().map(|range| text.get(range.clone()).unwrap());
            assert!(read.clone().all(|value| value.starts_with('{')), "{text}");
            assert_eq!(each.len(), text.matches('{').count(), "{text}");
        }
        assert!(values("{\"a\":[{\"b\":1},").is_err());
    }
}
