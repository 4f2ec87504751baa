//! One piece of a file: what detectors are asked about it, and what it reads without what they found.

use nephron_engine::contract::Part;

use super::scan::{Scalar, scalars};
use super::source::Piece;
use crate::batch::Finds;
use crate::chain::deidentify::Found;

/// A stretch of a piece that is replaced.
pub(super) struct Change {
    /// Bytes of the piece, the end exclusive.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) found: Found,
    /// Whether quotes have to be put around: a number in JSON.
    is_number: bool,
}

/// What is asked about a piece.
pub(super) struct Question {
    /// The numbers and keys of JSON, each with the byte of the second part where its line begins, and where itself does.
    lines: Vec<Line>,
}

struct Line {
    start: usize,
    value: usize,
    end: usize,
    of: (usize, usize),
    is_number: bool,
}

impl Question {
    /// The parts for the detectors: the piece; of JSON also its numbers and keys, a line each, for strings alone are read there.
    pub(super) fn of(piece: &Piece) -> (Self, Vec<Part>) {
        if !piece.is_json {
            return Self::of_text(&piece.text);
        }
        let (mut lines, mut text) = (Vec::new(), String::new());
        for Scalar {
            start,
            end,
            cue,
            is_key,
        } in scalars(&piece.text)
        {
            let line = text.len();
            if !cue.is_empty() {
                text.push_str(cue);
                text.push_str(": ");
            }
            let value = text.len();
            text.push_str(piece.text.get(start..end).unwrap_or_default());
            lines.push(Line {
                start: line,
                value,
                end: text.len(),
                of: (start, end),
                is_number: !is_key,
            });
            text.push('\n');
        }
        let mut parts = vec![Part::Json(piece.text.clone())];
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        (Self { lines }, parts)
    }

    /// The same for a text that is no piece of a file.
    pub(super) fn of_text(text: &str) -> (Self, Vec<Part>) {
        (
            Self { lines: Vec::new() },
            vec![Part::Text(text.to_owned())],
        )
    }

    /// What of the piece is to be replaced, in order and without overlap.
    pub(super) fn changes(&self, finds: &Finds) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for found in &finds.found {
            let place = &found.place;
            if place.part == 0 {
                changes.push(Change {
                    start: place.start,
                    end: place.end,
                    found: found.clone(),
                    is_number: false,
                });
                continue;
            }
            let first = self.lines.partition_point(|line| line.end <= place.start);
            let lines = self.lines.iter().skip(first);
            for line in lines.take_while(|line| line.start < place.end) {
                // What was found in the cue alone is a field's name.
                if line.value < place.end {
                    changes.push(Change {
                        start: line.of.0,
                        end: line.of.1,
                        found: found.clone(),
                        is_number: line.is_number,
                    });
                }
            }
        }
        changes.sort_by_key(|change| (change.start, change.end));
        // What laps over is replaced with what it laps over.
        changes.dedup_by(|later, earlier| {
            let laps = later.start < earlier.end;
            if laps {
                earlier.end = earlier.end.max(later.end);
            }
            laps
        });
        changes
    }
}

/// The piece with each stretch replaced by its label.
pub(super) fn rewritten(text: &str, changes: &[Change]) -> String {
    let mut cleared = String::with_capacity(text.len());
    let mut from = 0;
    for change in changes {
        cleared.push_str(text.get(from..change.start).unwrap_or_default());
        let quote = if change.is_number { "\"" } else { "" };
        let label = label(change.found.place.kind.as_str());
        cleared.push_str(&format!("{quote}[{label}]{quote}"));
        from = change.end;
    }
    cleared.push_str(text.get(from..).unwrap_or_default());
    cleared
}

/// The label of a kind, as labelled sets of notes have it: `NAME`, `HEALTHPLAN`, `AGE90`.
pub(super) fn label(kind: &str) -> String {
    match kind {
        "age" => "AGE90".to_owned(),
        "other" => "ID".to_owned(),
        kind => kind.replace('-', "").to_uppercase(),
    }
}
