//! Access decider: Cedar policies as its settings.
//!
//! Read [`Settings`] first, then `rules.rs` (what annotations say about a policy), `request.rs` (how a question of the
//! host becomes a Cedar request), `store.rs` (which entities it is decided with) and `scope.rs` (which policies are
//! evaluated). Cedar semantics: default deny, a forbid beats every permit. A policy that cannot be evaluated makes the
//! whole answer `indeterminate`, where Cedar alone would skip it.

mod rehearsal;
mod request;
mod rules;
mod scope;
mod store;
#[cfg(test)]
mod tests;
mod time;

use std::borrow::Cow;

use cedar_policy::{Effect as CedarEffect, Entities, PolicySet, Schema, ValidationMode, Validator};
use cedar_policy_core::ast::{self, SlotEnv};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use nephron_sdk::decider::{Decider, Decision, Effect, Query, Reason};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

use request::{Types, Unexpressed};
use rules::Rule;
use scope::{Held, Scoped};
use store::Store;

/// What the operator sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Policies in Cedar's own syntax.
    pub policies: String,
    /// Schema in Cedar's own syntax. When given, policies are validated strictly against it, and entities too.
    pub schema: Option<String>,
    /// Entities in Cedar's JSON format, such as the hierarchies of purposes and roles.
    pub entities: Option<EntitiesSetting>,
    /// Enforcement points that these policies speak for; at any other the answer is `not-applicable`.
    pub points: Option<Vec<String>>,
}

/// Entities, written in place or as the text of a file.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum EntitiesSetting {
    /// The JSON array itself.
    Array(Vec<serde_json::Value>),
    /// Text that holds the JSON array.
    Text(String),
}

/// Parsed policies, ready to decide.
pub struct CedarPolicy {
    policies: Scoped,
    rules: Vec<Rule>,
    store: Store,
    types: Types,
    no_slots: SlotEnv,
    needs_time: bool,
    points: Vec<String>,
}

/// The enforcement points of `nephron:plugin@0.1`.
const POINTS: [&str; 6] = [
    "ingress",
    "egress",
    "rehydrate",
    "key-use",
    "admin",
    "export",
];

impl Plugin for CedarPolicy {
    type Settings = Settings;
    const NAME: &str = "cedar-policy";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let points = checked_points(settings.points, &mut problems);
        let schema = settings
            .schema
            .and_then(|text| parsed_schema(&text, &mut problems));
        let entities = parsed_entities(settings.entities, schema.as_ref(), &mut problems);
        let (policies, rules) = rules::parse(&settings.policies, &mut problems);
        if let Some(schema) = schema {
            validate(&policies, schema, &settings.policies, &mut problems);
        }
        let Some(types) = Types::parse() else {
            problems.push(Problem {
                key: None,
                message: "an entity type of requests is no Cedar name".to_owned(),
            });
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let needs_time = time::is_read_by(&policies);
        let policies: &ast::PolicySet = policies.as_ref();
        let conditions = policies
            .policies()
            .filter_map(ast::Policy::non_scope_constraints);
        let store = Store::new(entities.as_ref().clone(), conditions, &types.caller);
        let policies = Scoped::new(policies, &rules, &store, &types.caller);
        let configured = Self {
            policies,
            rules,
            store,
            types,
            no_slots: SlotEnv::new(),
            needs_time,
            points,
        };
        rehearsal::decide_once(&configured);
        Ok(configured)
    }
}

impl Decider for CedarPolicy {
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        if !self.points.contains(&query.point) {
            return Ok(Decision {
                effect: Effect::NotApplicable,
                reasons: Vec::new(),
                obligations: Vec::new(),
            });
        }
        Ok(self
            .judged(query)
            .unwrap_or_else(|unexpressed| indeterminate(vec![because(unexpressed)])))
    }
}

impl CedarPolicy {
    /// What the policies say, at any point.
    ///
    /// Cedar's authorizer does the same with every policy: it evaluates them one by one, and permits where one permits
    /// and none forbids. It makes each condition anew, head and body, in every call.
    fn judged(&self, query: Query) -> Result<Decision, Unexpressed> {
        let asked = request::build(query, &self.types, self.needs_time)?;
        let mut known = self.store.known(&asked)?;
        let about = self.policies.about(&asked, &self.store, &known);
        if about.iter().any(|(_, policy)| policy.asks_about_caller) {
            known = Cow::Owned(self.store.cut(&asked)?);
        }
        let evaluator = Evaluator::new(asked.request(), &known, Extensions::all_available());
        let (mut permitting, mut forbidding, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (place, policy) in about {
            let Some(rule) = self.rules.get(place) else {
                continue;
            };
            match (policy.held(&evaluator, &self.no_slots), policy.effect) {
                (Held::Satisfied, ast::Effect::Permit) => permitting.push(rule),
                (Held::Satisfied, ast::Effect::Forbid) => forbidding.push(rule),
                (Held::Unsatisfied, _) => {}
                (Held::Failed, _) => failed.push(rule),
            }
        }
        // An error's own text may quote values of the request, so only the policy is named.
        if !failed.is_empty() {
            let reason = |rule: &Rule| rule.reason_with("evaluation-error");
            return Ok(indeterminate(failed.into_iter().map(reason).collect()));
        }
        let reasons = |rules: Vec<&Rule>| rules.into_iter().map(Rule::reason).collect();
        Ok(if !forbidding.is_empty() {
            denied(reasons(forbidding))
        } else if permitting.is_empty() {
            denied(vec![code("no-policy-permits")])
        } else {
            Decision {
                effect: Effect::Permit,
                obligations: rules::obligations(permitting.iter().copied()),
                reasons: reasons(permitting),
            }
        })
    }
}

fn denied(reasons: Vec<Reason>) -> Decision {
    Decision {
        effect: Effect::Deny,
        reasons,
        obligations: Vec::new(),
    }
}

fn indeterminate(reasons: Vec<Reason>) -> Decision {
    Decision {
        effect: Effect::Indeterminate,
        reasons,
        obligations: Vec::new(),
    }
}

fn because(unexpressed: Unexpressed) -> Reason {
    code(match unexpressed {
        Unexpressed::RepeatedName => "repeated-fact-name",
        Unexpressed::Time => "time-out-of-range",
        Unexpressed::Refused => "unreadable-request",
    })
}

fn code(code: &str) -> Reason {
    Reason {
        code: code.to_owned(),
        text: None,
        policy: None,
    }
}

fn checked_points(given: Option<Vec<String>>, problems: &mut Vec<Problem>) -> Vec<String> {
    let Some(given) = given else {
        return POINTS.map(str::to_owned).to_vec();
    };
    if given.is_empty() {
        problems.push(Problem::at(
            "points",
            "names no point, so nothing would ever be decided; leave it out for all",
        ));
    }
    for (index, point) in given.iter().enumerate() {
        if !POINTS.contains(&point.as_str()) {
            let message = format!(
                "`{point}` is no enforcement point; known are {}",
                POINTS.join(", ")
            );
            problems.push(Problem::at(format!("points[{index}]"), message));
        }
    }
    given
}

fn parsed_schema(text: &str, problems: &mut Vec<Problem>) -> Option<Schema> {
    match Schema::from_cedarschema_str(text) {
        Ok((schema, warnings)) => {
            problems.extend(
                warnings.map(|warning| Problem::at("schema", rules::located(text, &warning))),
            );
            Some(schema)
        }
        Err(error) => {
            problems.push(Problem::at("schema", rules::located(text, &error)));
            None
        }
    }
}

fn parsed_entities(
    given: Option<EntitiesSetting>,
    schema: Option<&Schema>,
    problems: &mut Vec<Problem>,
) -> Entities {
    let parsed = match given {
        None => Entities::from_json_value(serde_json::Value::Array(Vec::new()), schema),
        Some(EntitiesSetting::Array(array)) => {
            Entities::from_json_value(serde_json::Value::Array(array), schema)
        }
        Some(EntitiesSetting::Text(text)) => Entities::from_json_str(&text, schema),
    };
    let entities = parsed.unwrap_or_else(|error| {
        problems.push(Problem::at("entities", rules::chain(&error)));
        Entities::empty()
    });
    // The host makes the caller of each request; one written here would be overridden without a word.
    for entity in entities
        .iter()
        .filter(|entity| entity.uid().type_name().to_string() == request::CALLER)
    {
        let message = format!(
            "`{}`: callers come with each request; give roles and purposes here",
            entity.uid()
        );
        problems.push(Problem::at("entities", message));
    }
    entities
}

/// Strict validation; what Cedar only warns of (a condition that can never hold, confusable letters) is a fault here.
fn validate(policies: &PolicySet, schema: Schema, text: &str, problems: &mut Vec<Problem>) {
    let result = Validator::new(schema).validate(policies, ValidationMode::Strict);
    let errors = result
        .validation_errors()
        .map(|error| rules::located(text, error));
    let warnings = result
        .validation_warnings()
        .map(|warning| rules::located(text, warning));
    problems.extend(
        errors
            .chain(warnings)
            .map(|message| Problem::at("policies", message)),
    );
}

/// Whether a policy permits or forbids, as the rules need it.
fn permits(effect: CedarEffect) -> bool {
    matches!(effect, CedarEffect::Permit)
}

nephron_sdk::export!(decider: CedarPolicy);
