//! Labelled sets: `{"id","text"}` a line in, `{"id","spans":[{"start","end","label"}]}` a line out, offsets in code points.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::piece::{Change, label};

/// A line that is read. What else it has is left alone.
#[derive(Deserialize)]
pub(super) struct Record {
    pub(super) id: Option<Box<RawValue>>,
    pub(super) text: String,
    /// What is known of the patient, as in docs/formats/http.md.
    pub(super) known: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Predicted<'r> {
    id: Option<&'r RawValue>,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    start: usize,
    end: usize,
    label: String,
}

impl Record {
    /// # Errors
    /// When the line is no such record; the error names the column and quotes nothing.
    pub(super) fn read(line: &str) -> anyhow::Result<Self> {
        serde_json::from_str(line).map_err(|error| {
            // Serde's own words could quote the text.
            anyhow::anyhow!(
                "column {}: a line must be an object with `id` and a string `text`",
                error.column()
            )
        })
    }

    /// The line that is written.
    pub(super) fn predicted(&self, changes: &[Change]) -> anyhow::Result<String> {
        let (mut points, mut at) = (0, 0);
        let mut point = |place: usize| {
            points += self.text.get(at..place).unwrap_or_default().chars().count();
            at = place;
            points
        };
        let spans = changes.iter().map(|change| Span {
            start: point(change.start),
            end: point(change.end),
            label: label(change.found.place.kind.as_str()),
        });
        let predicted = Predicted {
            id: self.id.as_deref(),
            spans: spans.collect(),
        };
        serde_json::to_string(&predicted).context("a line cannot be written")
    }
}
