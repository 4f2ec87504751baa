//! What a roster comes to on what was judged, held against what those who judged came to, together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nephron_engine::contract::{Plan, Span};
use nephron_engine::{Answer, Engine, Judgement, Plugin, PluginFailure, Verdict};
use nephron_model::{Phi, Point};

use crate::chain::decide::{Duties, combine};
use crate::chain::deidentify::{Found, united};
use crate::refusal::Refusal;
use crate::roster::Roster;

/// What those who judged came to, together.
pub(crate) enum Came {
    /// Deciders.
    Decided { effect: Effect, duties: Duties },
    /// Detectors: where identifiers are in so many messages. Nothing where one of them failed.
    Found {
        spans: Option<Vec<Span>>,
        messages: usize,
    },
    /// The plugin of this name: the recorded answer, or nothing where it failed.
    Answered {
        plugin: String,
        answer: Option<Phi<Vec<u8>>>,
    },
}

/// What comes of several decisions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Permit,
    Deny,
    /// One gave no answer, or one that the host does not know.
    Failed,
}

impl Effect {
    const fn of(combined: &Result<Duties, Refusal>) -> Self {
        match combined {
            Ok(_) => Self::Permit,
            Err(Refusal::Denied { .. }) => Self::Deny,
            Err(_) => Self::Failed,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Failed => "failed",
        }
    }
}

impl Came {
    pub(crate) fn decided(combined: &Result<Duties, Refusal>) -> Self {
        let effect = Effect::of(combined);
        let duties = combined.as_ref().copied().unwrap_or_default();
        Self::Decided { effect, duties }
    }

    /// Deciders of whom one gave no answer.
    pub(crate) fn undecided() -> Self {
        Self::Decided {
            effect: Effect::Failed,
            duties: Duties::default(),
        }
    }

    pub(crate) fn planned(connector: &Plugin, plan: &Plan) -> Self {
        Self::Answered {
            plugin: connector.reference().name.clone(),
            answer: Some(Answer::Planned(Ok(plan.clone())).to_bytes()),
        }
    }

    pub(crate) fn decoded(connector: &Plugin, verdict: &Verdict) -> Self {
        Self::Answered {
            plugin: connector.reference().name.clone(),
            answer: verdict.answer.as_ref().ok().map(Answer::to_bytes),
        }
    }
}

/// What a denial that becomes a permission is called.
const GRAVEST: &str = "deny-to-permit";

/// Whether something would be permitted that is denied.
pub(crate) fn is_grave(difference: &str) -> bool {
    difference == GRAVEST
}

/// The gravest first, then by name.
pub(crate) fn by_gravity(differences: &BTreeMap<String, u64>) -> Vec<(&String, &u64)> {
    let mut sorted: Vec<_> = differences.iter().collect();
    sorted.sort_by_key(|(difference, _)| !is_grave(difference));
    sorted
}

/// What a judgement came to beside.
pub(crate) struct Compared {
    /// Each plugin's, by name.
    pub(crate) verdicts: Vec<(String, Verdict)>,
    /// What differs, or why nothing can be said of it.
    pub(crate) outcome: Result<Vec<String>, NotCompared>,
}

/// Why a judgement says nothing about what is asked beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCompared {
    NoSuchPlugin,
    NoPlace,
    /// It gives way to others, so that this need not be its own fault.
    TimedOut,
    NoKind,
}

impl NotCompared {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NoSuchPlugin => "no-such-plugin",
            Self::NoPlace => "no-place",
            Self::TimedOut => "timed-out",
            Self::NoKind => "no-kind",
        }
    }
}

/// Has those of `roster` whose judgement it is judge, and holds what they come to together against what came of it. They are lent
/// no key.
pub(crate) async fn compare(
    engine: &Engine,
    roster: &Roster,
    point: Point,
    judgement: &Judgement,
    came: &Came,
) -> Compared {
    let mut compared = Compared {
        verdicts: Vec::new(),
        outcome: Err(NotCompared::NoSuchPlugin),
    };
    let plugins: Vec<&Arc<Plugin>> = match came {
        Came::Decided { .. } => roster.deciders().iter().collect(),
        Came::Found { .. } => roster.detectors().iter().collect(),
        Came::Answered { plugin, .. } => match named(roster, judgement, plugin) {
            Some(plugin) => vec![plugin],
            None => return compared,
        },
    };
    for plugin in plugins {
        let verdict = engine.call(plugin, judgement, None).await;
        // What the host could not do says nothing about the roster.
        let why = match &verdict.answer {
            Err(PluginFailure::NotRun(_)) => Some(NotCompared::NoPlace),
            Err(PluginFailure::TimedOut) => Some(NotCompared::TimedOut),
            Ok(_) | Err(_) => None,
        };
        let name = plugin.reference().name.clone();
        compared.verdicts.push((name, verdict));
        if let Some(why) = why {
            compared.outcome = Err(why);
            return compared;
        }
    }
    let differences = compared.differences(point, judgement, came);
    compared.outcome = differences;
    compared
}

/// The plugin of that name, if it answers such a question.
fn named<'r>(roster: &'r Roster, judgement: &Judgement, name: &str) -> Option<&'r Arc<Plugin>> {
    match judgement {
        Judgement::Encode { .. } | Judgement::Sign { .. } | Judgement::Decode { .. } => {
            roster.connector(name).ok()
        }
        Judgement::Decide(_)
        | Judgement::Detect { .. }
        | Judgement::Deidentify { .. }
        | Judgement::Reidentify { .. }
        | Judgement::Export(_)
        | Judgement::Judge { .. }
        | Judgement::Confirm { .. } => roster.plugin(name),
    }
}

impl Compared {
    fn answers(&self) -> impl Iterator<Item = Result<Answer, PluginFailure>> {
        self.verdicts
            .iter()
            .map(|(_, verdict)| verdict.answer.clone())
    }

    fn differences(
        &self,
        point: Point,
        judgement: &Judgement,
        came: &Came,
    ) -> Result<Vec<String>, NotCompared> {
        match came {
            Came::Decided { effect, duties } => Ok(self.decided(point, *effect, *duties)),
            Came::Found { spans, messages } => self.found(spans.as_deref(), *messages),
            Came::Answered { answer, .. } => {
                let word = match judgement {
                    Judgement::Encode { .. } => "call",
                    Judgement::Decode { .. } => "events",
                    Judgement::Decide(_)
                    | Judgement::Detect { .. }
                    | Judgement::Deidentify { .. }
                    | Judgement::Reidentify { .. }
                    | Judgement::Sign { .. }
                    | Judgement::Export(_)
                    | Judgement::Judge { .. }
                    | Judgement::Confirm { .. } => "answer",
                };
                let now = self.answers().map(|now| now.ok().map(|now| now.to_bytes()));
                let differences = now.filter_map(|now| match (answer, now) {
                    (None, None) => None,
                    (None, Some(_)) => Some(format!("failed-to-{word}")),
                    (Some(_), None) => Some(format!("{word}-to-failed")),
                    (Some(was), Some(now)) => {
                        (was.expose() != now.expose()).then(|| format!("other-{word}"))
                    }
                });
                Ok(differences.collect())
            }
        }
    }

    fn decided(&self, point: Point, was: Effect, duties: Duties) -> Vec<String> {
        let decisions = self.verdicts.iter().zip(self.answers());
        let decisions = decisions.map(|((plugin, _), answer)| {
            let decision = answer.and_then(Answer::decision);
            decision.map_err(|failure| Refusal::PluginFailed {
                point,
                plugin: plugin.clone(),
                failure,
            })
        });
        let combined = combine(point, decisions);
        let now = Effect::of(&combined);
        if was != now {
            vec![format!("{}-to-{}", was.as_str(), now.as_str())]
        } else if combined.is_ok_and(|now| now != duties) {
            vec!["other-duties".to_owned()]
        } else {
            Vec::new()
        }
    }

    fn found(&self, was: Option<&[Span]>, messages: usize) -> Result<Vec<String>, NotCompared> {
        let now: Result<Vec<Vec<Span>>, PluginFailure> = self
            .answers()
            .map(|answer| answer.and_then(Answer::spans))
            .collect();
        let (was, now) = match (was, now) {
            (None, Err(_)) => return Ok(Vec::new()),
            (None, Ok(_)) => return Ok(vec!["failed-to-found".to_owned()]),
            (Some(_), Err(_)) => return Ok(vec!["found-to-failed".to_owned()]),
            (Some(was), Ok(now)) => (was, now),
        };
        let is_in = |span: &Span| usize::try_from(span.message).is_ok_and(|at| at < messages);
        let within =
            |spans: &mut dyn Iterator<Item = Span>| spans.filter(is_in).collect::<Vec<_>>();
        let was = within(&mut was.iter().cloned());
        let now = within(&mut now.into_iter().flatten());
        moved(&was, &now).ok_or(NotCompared::NoKind)
    }
}

/// What is a place among `these` and not among `those`, and the other way, by kind.
fn moved(these: &[Span], those: &[Span]) -> Option<Vec<String>> {
    let (these, those) = (united(these).ok()?, united(those).ok()?);
    let places = |finds: &[Found]| -> BTreeSet<_> {
        finds.iter().map(|found| found.place.clone()).collect()
    };
    let (these, those) = (places(&these), places(&those));
    let lost = these
        .difference(&those)
        .map(|place| format!("lost-{}", place.kind));
    let gained = those
        .difference(&these)
        .map(|place| format!("gained-{}", place.kind));
    Some(lost.chain(gained).collect())
}
