//! Cases of deciders: a query, and what is decided.

use nephron_engine::contract::{Effect, Query};
use nephron_engine::{Answer, Judgement};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::asking::Asking;
use super::expected::Expected;
use super::words::{CaseInfo, attributes, object};
use super::{Case, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeciderCase {
    #[serde(default)]
    info: CaseInfo,
    query: CaseQuery,
    decision: Option<CaseDecision>,
    refused: Option<String>,
    /// Any answer will do, and any error of the plugin's own.
    #[serde(default)]
    any: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseQuery {
    point: String,
    action: String,
    target: String,
    #[serde(default)]
    facts: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseDecision {
    effect: CaseEffect,
    /// Codes.
    reasons: Option<Vec<String>>,
    #[serde(default)]
    obligations: Vec<CaseObligation>,
}

#[derive(Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum CaseEffect {
    Permit,
    Deny,
    NotApplicable,
    Indeterminate,
}

#[derive(Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct CaseObligation {
    id: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

impl DeciderCase {
    fn question(self) -> Result<(Judgement, Expected<CaseDecision>), String> {
        let CaseQuery {
            point,
            action,
            target,
            facts,
        } = self.query;
        let query = Query {
            info: self.info.read()?,
            point,
            action,
            target,
            facts: attributes(facts),
        };
        let expected = Expected::new(self.decision, self.refused, self.any);
        Ok((Judgement::Decide(query), expected))
    }
}

pub(super) fn questions(case: &Case) -> Result<Vec<Judgement>, String> {
    let (question, _) = case.read::<DeciderCase>()?.question()?;
    Ok(vec![question])
}

pub(super) async fn check(asking: &mut Asking<'_>, case: &Case) -> Result<(), String> {
    let (question, expected) = case.read::<DeciderCase>()?.question()?;
    let decided = asking.ask(&question).await?.and_then(Answer::decision);
    let Some((decision, expected)) = expected.against("decision", decided)? else {
        return Ok(());
    };
    same("effect", &decision.effect.into(), &expected.effect)?;
    let codes = decision.reasons.into_iter().map(|reason| reason.code);
    let codes = codes.collect();
    expected
        .reasons
        .map_or(Ok(()), |reasons| same("reasons", &codes, &reasons))?;
    let obligations = decision.obligations.into_iter();
    let obligations = obligations.map(|duty| CaseObligation {
        arguments: object(&duty.arguments),
        id: duty.id,
    });
    same("obligations", &obligations.collect(), &expected.obligations)
}

impl From<Effect> for CaseEffect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Permit => Self::Permit,
            Effect::Deny => Self::Deny,
            Effect::NotApplicable => Self::NotApplicable,
            Effect::Indeterminate => Self::Indeterminate,
        }
    }
}
