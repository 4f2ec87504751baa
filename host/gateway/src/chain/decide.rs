//! Stage 4: [`Admitted`](crate::admit::Admitted) → [`Permitted`]. Every decider is asked; deny overrides.

use nephron_engine::contract::{Attribute, Decision, Effect, Obligation, Query, Value};
use nephron_engine::{Answer, Judgement};
use nephron_model::{Phi, Point, Purpose};

use crate::case::{Case, code, effect, reason_codes};
use crate::emergency;
use crate::receive::Call;
use crate::refusal::Refusal;
use crate::swap::Came;

/// A request that the deciders permit: a call at `ingress`, anything else at the point that guards it.
pub struct Permitted<C = Call> {
    call: C,
    duties: Duties,
}

impl<C> Permitted<C> {
    /// The call and what must be done with it.
    pub(crate) fn into_parts(self) -> (C, Duties) {
        (self.call, self.duties)
    }
}

/// What permits oblige the host to do. Duties only add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duties {
    /// `withhold-identities`: the answer is given with its tokens.
    pub(crate) withhold_identities: bool,
    /// `require-agreement`: only an endpoint under a live agreement will do, cleared or not.
    pub(crate) require_agreement: bool,
}

impl Duties {
    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            withhold_identities: self.withhold_identities || other.withhold_identities,
            require_agreement: self.require_agreement || other.require_agreement,
        }
    }

    fn take_on(&mut self, point: Point, obligation: &Obligation) -> Result<(), Refusal> {
        match obligation.id.as_str() {
            "withhold-identities" => self.withhold_identities = true,
            "require-agreement" => self.require_agreement = true,
            unknown => {
                return Err(Refusal::UnknownObligation {
                    point,
                    obligation: code(unknown).to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// A number as deciders see it.
pub(crate) fn number(number: usize) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Asks whether this request may come in.
pub(crate) async fn decide(case: &Case, call: Call) -> Result<Permitted, Refusal> {
    let messages = call.messages.expose();
    let facts = [
        ("blobs", number(call.blobs.len())),
        ("bytes", number(messages.bytes())),
        ("messages", number(messages.0.len())),
    ];
    let duties = ask_deciders(case, Point::Ingress, "chat", &call.model, facts).await?;
    Ok(Permitted { call, duties })
}

/// Asks whether the caller may have something that no model answers.
///
/// # Errors
/// As [`ask_deciders`]. The obligation `require-agreement` is refused too: what goes back to the caller goes to no endpoint,
/// so that nobody could see to it.
pub(crate) async fn permit<C, const N: usize>(
    case: &Case,
    (point, action, target): (Point, &str, &str),
    facts: [(&str, Value); N],
    call: C,
) -> Result<Permitted<C>, Refusal> {
    let duties = ask_deciders(case, point, action, target, facts).await?;
    if duties.require_agreement {
        return Err(Refusal::UnknownObligation {
            point,
            obligation: "require-agreement".to_owned(),
        });
    }
    Ok(Permitted { call, duties })
}

/// A question that an application asks about its own caller.
pub(crate) struct Question {
    pub(crate) point: Point,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) facts: Vec<Attribute>,
    /// For another purpose of use than the request's.
    pub(crate) purpose: Option<Purpose>,
}

/// What deciders say, and what the host would make of it.
pub(crate) struct Opinion {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) verdict: Result<Duties, Refusal>,
}

/// Asks every decider what it would say. A decider that does not answer is a refusal, here as there.
pub(crate) async fn opinion(
    case: &Case,
    permitted: Permitted<Question>,
) -> Result<Opinion, Refusal> {
    let (question, _duties) = permitted.into_parts();
    let mut info = case.info.clone();
    if let Some(purpose) = &question.purpose {
        info.purpose = purpose.to_string();
    }
    let query = Query {
        info,
        point: question.point.as_str().to_owned(),
        action: question.action,
        target: question.target,
        facts: question.facts,
    };
    let query = Judgement::Decide(query);
    let decisions: Result<Vec<Decision>, Refusal> = ask_all(case, question.point, &query)
        .await
        .into_iter()
        .collect();
    let decisions = decisions?;
    let verdict = combine(question.point, decisions.iter().cloned().map(Ok));
    Ok(Opinion { decisions, verdict })
}

/// Asks every decider at `point`.
///
/// # Errors
/// [`Refusal::Denied`] when one denies or cannot tell, or when none permits; a decider's failure; an obligation that
/// this host does not know.
pub(crate) async fn ask_deciders<const N: usize>(
    case: &Case,
    point: Point,
    action: &str,
    target: &str,
    facts: [(&str, Value); N],
) -> Result<Duties, Refusal> {
    let facts = facts.map(|(name, value)| Attribute {
        name: name.to_owned(),
        value,
    });
    let query = Query {
        info: case.info.clone(),
        point: point.as_str().to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        facts: facts.to_vec(),
    };
    let query = Phi::new(Judgement::Decide(query));
    let combined = combine(point, ask_all(case, point, query.expose()).await);
    case.asked(point, query.expose(), "", || Came::decided(&combined));
    let duties = combined?;
    if !SHOWS_NOTHING.contains(&action) {
        emergency::permitted(case, point).await?;
    }
    Ok(duties)
}

/// Actions that open nothing and send nothing: in an emergency they need no review, and must not bury those that do.
const SHOWS_NOTHING: [&str; 6] = [
    "decide",
    "deidentify",
    "list-grants",
    "revoke-grant",
    "review-close",
    "review-list",
];

/// Every decider's answer, or why there is none. All are asked even after a denial, so that the log has every judgement.
async fn ask_all(case: &Case, point: Point, query: &Judgement) -> Vec<Result<Decision, Refusal>> {
    let mut decisions = Vec::new();
    for plugin in case.roster.deciders() {
        decisions.push(case.ask(point, plugin, query, Answer::decision).await);
    }
    decisions
}

/// What several decisions come to: deny overrides, and somebody must permit.
pub(crate) fn combine(
    point: Point,
    decisions: impl IntoIterator<Item = Result<Decision, Refusal>>,
) -> Result<Duties, Refusal> {
    let mut duties = Duties::default();
    let mut permitted = false;
    let mut refused: Option<Refusal> = None;
    for decision in decisions {
        let result = decision.and_then(|decision| match decision.effect {
            Effect::Permit => {
                permitted = true;
                decision
                    .obligations
                    .iter()
                    .try_for_each(|obligation| duties.take_on(point, obligation))
            }
            Effect::NotApplicable => Ok(()),
            Effect::Deny | Effect::Indeterminate => {
                let mut reasons = reason_codes(&decision);
                if reasons.is_empty() {
                    reasons.push(effect(decision.effect).to_owned());
                }
                Err(Refusal::Denied { point, reasons })
            }
        });
        // The first refusal is told, but one that is no decision outranks those that are.
        if let Err(refusal) = result
            && refused.as_ref().is_none_or(|first| {
                matches!(first, Refusal::Denied { .. })
                    && !matches!(refusal, Refusal::Denied { .. })
            })
        {
            refused = Some(refusal);
        }
    }
    match refused {
        Some(refusal) => Err(refusal),
        None if permitted => Ok(duties),
        None => Err(Refusal::Denied {
            point,
            reasons: vec!["no-decider-permits".to_owned()],
        }),
    }
}
