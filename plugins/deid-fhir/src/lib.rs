//! Takes the identifiers out of FHIR R4 resources in JSON, by the rules of Microsoft's anonymisation configuration: each node
//! has the method of the first rule that names it. What detectors found in the texts that stay is replaced by labels. It must
//! never put text of a resource into an error.
//!
//! [`tree`] reads and writes JSON, [`path`] finds nodes, [`kind`] tells types, [`apply`] does what rules say, [`config`] reads them.

mod apply;
mod config;
mod date;
mod expression;
mod kind;
mod path;
#[cfg(test)]
mod tests;
mod tree;

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, Message, Outcome, Part, RequestInfo, Span, Transformer};
use nephron_sdk::{Error, Plugin, Problem, known};

use apply::{Secret, Tally, apply, label};
use config::Config;
pub use config::Settings;
use date::Day;
use tree::{Node, Value};

/// The transformer, with its rules.
pub struct DeidFhir {
    config: Config,
}

impl Plugin for DeidFhir {
    type Settings = Settings;
    const NAME: &str = "deid-fhir";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Config::of(settings).map(|config| Self { config })
    }
}

impl Detector for DeidFhir {
    /// It finds nothing by itself: in its world both are exported.
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(Vec::new())
    }
}

/// The role of the message that says what was done, without values.
const MANIFEST: &str = "manifest";

impl Transformer for DeidFhir {
    fn deidentify(
        &self,
        info: RequestInfo,
        mut messages: Vec<Message>,
        found: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        let _known = known::take(&mut messages)?;
        let today = Day::of_seconds(info.received_at.seconds);
        let mut tally = Tally::default();
        for (message, given) in (0..).zip(&mut messages) {
            for (part, content) in (0..).zip(&mut given.parts) {
                let Part::Json(text) = content else {
                    continue;
                };
                let spans: Vec<&Span> = found
                    .iter()
                    .filter(|span| (span.message, span.part) == (message, part))
                    .collect();
                *text = self.transform(text, &spans, &Lent(key), today, &info.id, &mut tally)?;
            }
        }
        let replaced = tally
            .methods
            .iter()
            .filter(|(method, _)| **method != "keep")
            .map(|(_, count)| count)
            .sum();
        let manifest = serde_json::json!({
            "resources": tally.resources,
            "methods": tally.methods,
            "in-text": tally.in_text,
            "unexamined": tally.unexamined,
        });
        messages.push(Message {
            role: MANIFEST.to_owned(),
            name: None,
            parts: vec![Part::Json(manifest.to_string())],
        });
        Ok(Outcome {
            messages,
            replaced,
            residual_risk: None,
        })
    }

    fn reidentify(&self, _: RequestInfo, _: Vec<Message>, _: &Key) -> Result<Outcome, Error> {
        Err(Error::Unsupported(
            "what these rules did cannot be undone".to_owned(),
        ))
    }
}

impl DeidFhir {
    /// One resource, or bundle, without its identifiers. `found` are spans in `text`.
    fn transform(
        &self,
        text: &str,
        found: &[&Span],
        secret: &dyn Secret,
        today: Day,
        file: &str,
        tally: &mut Tally,
    ) -> Result<String, Error> {
        let bad = |what: &str| Error::InvalidInput(what.to_owned());
        let mut node = Node::read(text)
            .ok_or_else(|| bad("it is not JSON, has a key twice, or nests deeper than 100"))?;
        if node.resource_type().is_none() {
            return Err(bad("it is no FHIR resource: it has no `resourceType`"));
        }
        let done = apply(&self.config, secret, today, file, None, &mut node, tally)?;
        label(&mut node, &done);
        mask(&mut node, text, found, tally);
        let mut written = String::with_capacity(text.len());
        if let Some(node) = node.pruned() {
            node.write(&mut written);
        }
        Ok(written)
    }
}

/// Replaces what detectors found in strings that no rule changed, and counts what no rule named.
fn mask(node: &mut Node, text: &str, found: &[&Span], tally: &mut Tally) {
    match &mut node.value {
        Value::List(nodes) => nodes
            .iter_mut()
            .for_each(|node| mask(node, text, found, tally)),
        Value::Object(members) => {
            for (key, node) in members {
                if key != "resourceType" {
                    mask(node, text, found, tally);
                }
            }
        }
        Value::Text(value) if !node.is_done && node.place.0 > 0 => {
            tally.unexamined += 1;
            let (start, end) = node.place;
            let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
            let mut spans: Vec<_> = found
                .iter()
                .filter(|span| start <= index(span.start) && index(span.end) <= end)
                .collect();
            spans.sort_by_key(|span| span.start);
            let mut masked = String::from("\"");
            let mut from = start;
            for span in spans {
                masked.push_str(text.get(from..index(span.start)).unwrap_or_default());
                masked.push_str(&nephron_sdk::label(&span.kind));
                from = index(span.end);
                tally.in_text += 1;
            }
            masked.push_str(text.get(from..end).unwrap_or_default());
            masked.push('"');
            // What was found may have cut an escape: then all of it goes.
            *value = serde_json::from_str(&masked).unwrap_or_else(|_| "[REDACTED]".to_owned());
        }
        Value::Bool(_) | Value::Number(_) if !node.is_done => tally.unexamined += 1,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// The key that is lent for this call.
struct Lent<'k>(&'k Key);

impl Secret for Lent<'_> {
    fn digest(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.0
            .mac(data)
            .map_err(|_| Error::Unavailable("the key does not authenticate".to_owned()))
    }

    fn seal(&self, data: &[u8], context: &str) -> Result<Vec<u8>, Error> {
        self.0
            .seal(data, context)
            .map_err(|_| Error::Unavailable("the key does not seal".to_owned()))
    }
}

nephron_sdk::export!(transformer: DeidFhir);
