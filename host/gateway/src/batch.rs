//! De-identifying files: one run is one request, which the deciders permit once and the log counts once. Its texts, unlike those
//! of a request to a model, stand nowhere in the log, sealed or not
//! ([decision 0041](../../../docs/decisions/0041-a-run-over-files-is-counted.md)).

use std::collections::BTreeMap;

use nephron_engine::contract::{Message, Outcome, Part, Span};
use nephron_engine::{Answer, Judgement, PluginFailure};
use nephron_model::{EntryKind, EventId, Phi, Point};

use crate::Gateway;
use crate::admit::open_case;
use crate::authenticate::stated_by_operator;
use crate::case::Case;
use crate::chain::decide::{number, permit};
use crate::chain::deidentify::{Found, counted, united};
use crate::receive::Statement;
use crate::refusal::Refusal;
use crate::reply;
use crate::wire::known::Known;

/// What a run is about, as policy is told.
pub(crate) struct Asked {
    pub(crate) statement: Statement,
    pub(crate) files: usize,
    /// Their sizes together, of those that have one.
    pub(crate) bytes: usize,
    /// Whether the log is to have the counts of what was found.
    pub(crate) is_counted: bool,
}

/// A run that is permitted; its permission is durable.
pub(crate) struct Run {
    case: Case,
    is_counted: bool,
}

/// A run that was refused, by its event id if it had one.
pub(crate) struct Refused {
    pub(crate) event: Option<EventId>,
    pub(crate) refusal: Refusal,
}

/// What was found in one text.
#[derive(Default)]
pub(crate) struct Finds {
    /// In order and without overlap.
    pub(crate) found: Vec<Found>,
    pub(crate) fuel: u64,
    pub(crate) micros: u64,
}

/// What a transformer wrote of one text.
pub(crate) struct Written {
    pub(crate) text: String,
    /// What it says that it did, without values.
    pub(crate) manifest: Option<serde_json::Value>,
    /// Stretches that it replaced, as it counts them.
    pub(crate) replaced: u64,
    /// Whether it says nothing of Safe Harbor: then somebody must have determined that the risk is very small (45 CFR 164.514(b)(1)).
    pub(crate) is_by_experts: bool,
    pub(crate) fuel: u64,
    pub(crate) micros: u64,
}

/// What a run comes to.
#[derive(Default)]
pub(crate) struct Tally {
    /// As [`counted`] counts, and `texts`, `bytes`, and of a transformer `transformed` and `left`.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Whether a transformer did what Safe Harbor does not go so far as.
    pub(crate) is_by_experts: bool,
    pub(crate) fuel: u64,
    pub(crate) micros: u64,
}

impl Tally {
    /// Counts one text, which was so many bytes long.
    pub(crate) fn add<'f>(
        &mut self,
        bytes: usize,
        finds: &Finds,
        replaced: impl IntoIterator<Item = &'f Found>,
    ) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let more = [("texts".to_owned(), 1), ("bytes".to_owned(), bytes)];
        for (name, count) in counted(replaced).into_iter().chain(more) {
            let sum = self.counts.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
        self.fuel = self.fuel.saturating_add(finds.fuel);
        self.micros = self.micros.saturating_add(finds.micros);
    }
}

/// What the log calls a run.
const OPERATION: &str = "deidentify-files";

/// What policy is asked where the log is not to have what was found.
const UNCOUNTED: &str = "deidentify-uncounted";

impl Run {
    /// Asks the deciders, and waits until their answer is durable.
    pub(crate) async fn begin(gateway: &Gateway, asked: Asked) -> Result<Self, Refused> {
        let Asked {
            statement,
            files,
            bytes,
            is_counted,
        } = asked;
        let identity = stated_by_operator(statement);
        let opened = open_case(gateway, identity, gateway.clock().now(), Known::default());
        let (mut case, opened) = opened.map_err(|refusal| Refused {
            event: None,
            refusal,
        })?;
        case.operation = Some(OPERATION);
        case.note(opened.fact("operation", OPERATION));
        let action = if is_counted { "deidentify" } else { UNCOUNTED };
        let facts = [("bytes", number(bytes)), ("texts", number(files))];
        let caller = case.caller.id.clone();
        let permitted = permit(&case, (Point::Ingress, action, &caller), facts, ()).await;
        let settled = case.settled().await.map_err(Refusal::NotRecorded);
        match permitted.map(drop).and(settled) {
            Ok(()) => Ok(Self { case, is_counted }),
            Err(refusal) => Err(Self { case, is_counted }.refuse(refusal).await),
        }
    }

    async fn refuse(self, refusal: Refusal) -> Refused {
        // The first reason is the one to tell.
        drop(reply::close(&self.case, Some(&refusal)).await);
        Refused {
            event: Some(self.case.id),
            refusal,
        }
    }

    /// The method that the detectors amount to, if to one.
    pub(crate) fn method(&self) -> Option<&'static str> {
        self.case.roster.method()
    }

    /// Asks every detector about one text, whose parts belong together.
    pub(crate) async fn find(&self, parts: Vec<Part>, known: &Known) -> Result<Finds, Refusal> {
        let text = Message {
            role: "user".to_owned(),
            name: None,
            parts,
        };
        let messages = std::iter::once(text).chain(known.messages().iter().cloned());
        let judgement = Phi::new(Judgement::Detect {
            info: self.case.info.clone(),
            messages: messages.collect(),
        });
        let (mut spans, mut fuel, mut micros) = (Vec::new(), 0_u64, 0_u64);
        for plugin in self.case.roster.detectors() {
            let verdict = self.case.engine.call(plugin, judgement.expose(), None);
            let verdict = verdict.await;
            fuel = fuel.saturating_add(verdict.fuel);
            micros = micros.saturating_add(verdict.micros());
            let found = verdict.answer.and_then(Answer::spans);
            let found = found.map_err(|failure| Refusal::PluginFailed {
                point: Point::Ingress,
                plugin: plugin.reference().name.clone(),
                failure,
            })?;
            spans.extend(found.into_iter().filter(|span| span.message == 0));
        }
        Ok(Finds {
            found: united(&spans)?,
            fuel,
            micros,
        })
    }

    /// Whether a transformer writes what becomes of the texts.
    pub(crate) fn transforms(&self) -> bool {
        self.case.roster.transformer().is_some()
    }

    /// Has the transformer write one text, in which detectors found what `found` says.
    pub(crate) async fn transform(
        &self,
        part: Part,
        found: Vec<Span>,
        known: &Known,
    ) -> Result<Written, Refusal> {
        let plugin = self.case.roster.transformer();
        let plugin = plugin.ok_or_else(|| Refusal::Incomplete {
            missing: "transformer".to_owned(),
        })?;
        let is_json = matches!(part, Part::Json(_));
        let text = Message {
            role: "user".to_owned(),
            name: None,
            parts: vec![part],
        };
        let messages = std::iter::once(text).chain(known.messages().iter().cloned());
        let judgement = Phi::new(Judgement::Deidentify {
            info: self.case.info.clone(),
            messages: messages.collect(),
            found,
        });
        let key = self.case.lend_for_texts(plugin)?;
        let verdict = self.case.engine.call(plugin, judgement.expose(), Some(key));
        let verdict = verdict.await;
        let micros = verdict.micros();
        let fuel = verdict.fuel;
        let outcome = verdict.answer.and_then(Answer::outcome);
        let written = outcome.and_then(|outcome| written(outcome, is_json));
        let written = written.map_err(|failure| Refusal::PluginFailed {
            point: Point::Ingress,
            plugin: plugin.reference().name.clone(),
            failure,
        })?;
        Ok(Written {
            fuel,
            micros,
            ..written
        })
    }

    /// Records what the run came to, or why it ended, and waits until that is durable.
    pub(crate) async fn end(
        self,
        tally: Tally,
        ended: Result<(), Refusal>,
    ) -> Result<EventId, Refused> {
        let outcome = if ended.is_ok() {
            "cleared"
        } else {
            "broke-off"
        };
        let mut draft = self
            .case
            .draft(EntryKind::Deidentified, outcome)
            .fact("method", method(&self.case, &tally).unwrap_or("none"));
        if self.is_counted {
            draft.counts = tally.counts;
            draft.fuel = Some(tally.fuel);
            draft.micros = Some(tally.micros);
        } else {
            draft = draft.fact("counts", "withheld");
        }
        self.case.note(draft);
        if let Err(refusal) = ended {
            return Err(self.refuse(refusal).await);
        }
        let event = self.case.id;
        match reply::close(&self.case, None).await {
            Ok(()) => Ok(event),
            Err(refusal) => Err(Refused {
                event: Some(event),
                refusal,
            }),
        }
    }
}

/// The method that a run amounts to, if to one.
fn method(case: &Case, tally: &Tally) -> Option<&'static str> {
    if tally.is_by_experts {
        Some(BY_EXPERTS)
    } else {
        case.roster.method()
    }
}

/// 45 CFR 164.514(b)(1), as the log calls it.
pub(crate) const BY_EXPERTS: &str = "expert-determination";

/// The role of the message in which a transformer says what it did.
const MANIFEST: &str = "manifest";

/// The one text that a transformer was given, as it wrote it.
fn written(outcome: Outcome, is_json: bool) -> Result<Written, PluginFailure> {
    let bad = PluginFailure::BadAnswer;
    let mut messages = outcome.messages.into_iter();
    let first = messages.next().ok_or_else(|| bad("no-text"))?;
    let text = match (<[Part; 1]>::try_from(first.parts), is_json) {
        (Ok([Part::Json(text)]), true) => text,
        (Ok([Part::Text(text)]), false) => text,
        (Ok([Part::Json(_) | Part::Text(_) | Part::Blob(_)]) | Err(_), _) => {
            return Err(bad("another-text"));
        }
    };
    if is_json && !text.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err()
    {
        return Err(bad("no-json"));
    }
    let manifest = match messages.next() {
        None => None,
        Some(message) if message.role == MANIFEST => match message.parts.as_slice() {
            [Part::Json(manifest)] => {
                let read = serde_json::from_str(manifest);
                Some(read.map_err(|_| bad("no-manifest"))?)
            }
            _ => return Err(bad("no-manifest")),
        },
        Some(_) => return Err(bad("more-texts")),
    };
    if messages.next().is_some() {
        return Err(bad("more-texts"));
    }
    let method = manifest
        .as_ref()
        .and_then(|manifest: &serde_json::Value| manifest.get("method")?.as_str());
    Ok(Written {
        is_by_experts: method != Some("safe-harbor"),
        text,
        manifest,
        replaced: outcome.replaced.into(),
        fuel: 0,
        micros: 0,
    })
}
