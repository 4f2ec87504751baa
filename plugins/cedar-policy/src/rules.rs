//! What annotations say about each policy: its id, its reason code and the obligations that come with its permission.

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId, PolicySet};
use miette::Diagnostic;
use nephron_sdk::Problem;
use nephron_sdk::decider::{Attribute, Obligation, Reason, Value};
use serde_json::Value as Json;

/// One policy, as decisions name it.
pub(crate) struct Rule {
    /// From `@id`, else `policy0`, `policy1`, ... by its place in the text.
    pub(crate) id: PolicyId,
    /// The same as text.
    name: String,
    code: String,
    obligations: Vec<Obligation>,
}

impl Rule {
    /// This policy as the reason of a decision.
    pub(crate) fn reason(&self) -> Reason {
        self.reason_with(&self.code)
    }

    /// This policy as the reason of a decision, under another code.
    pub(crate) fn reason_with(&self, code: &str) -> Reason {
        Reason {
            code: code.to_owned(),
            text: None,
            policy: Some(self.name.clone()),
        }
    }
}

/// The obligations of all `rules`, each once.
pub(crate) fn obligations<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<Obligation> {
    let mut all: Vec<Obligation> = Vec::new();
    for obligation in rules.flat_map(|rule| &rule.obligations) {
        if !all.iter().any(|known| same(known, obligation)) {
            all.push(obligation.clone());
        }
    }
    all
}

/// Parses policies, gives them the ids that they ask for, and reads their annotations. Every fault goes to `problems`.
pub(crate) fn parse(text: &str, problems: &mut Vec<Problem>) -> (PolicySet, Vec<Rule>) {
    let parsed = match text.parse::<PolicySet>() {
        Ok(parsed) => parsed,
        Err(errors) => {
            problems.extend(
                errors
                    .iter()
                    .map(|error| Problem::at("policies", located(text, error))),
            );
            return (PolicySet::new(), Vec::new());
        }
    };
    for template in parsed.templates() {
        let message = format!(
            "`{}` is a template: nothing links it, so it would never apply",
            template.id()
        );
        problems.push(Problem::at("policies", message));
    }
    let mut in_order: Vec<&Policy> = parsed.policies().collect();
    in_order.sort_by_key(|policy| place(policy.id()));
    if in_order.is_empty() {
        problems.push(Problem::at(
            "policies",
            "holds no policy, so everything would be denied; write at least one",
        ));
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut renamed = Vec::new();
    for policy in in_order {
        let rule = rule(policy, problems);
        if rules.iter().any(|known| known.id == rule.id) {
            problems.push(Problem::at(
                "policies",
                format!("two policies have the id `{}`", rule.id),
            ));
            continue;
        }
        renamed.push(policy.new_id(rule.id.clone()));
        rules.push(rule);
    }
    let policies = PolicySet::from_policies(renamed).unwrap_or_else(|error| {
        problems.push(Problem::at("policies", chain(&error)));
        PolicySet::new()
    });
    (policies, rules)
}

/// A message with the place in `text` that the diagnostic points at, lines and columns counted from 1.
pub(crate) fn located(text: &str, diagnostic: &dyn Diagnostic) -> String {
    let message = chain(diagnostic);
    let offset = diagnostic
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| label.offset());
    match offset.and_then(|offset| text.get(..offset)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}: {message}")
        }
        None => message,
    }
}

/// A diagnostic, its causes and its advice on one line. Settings are the operator's own words and hold no PHI.
pub(crate) fn chain(diagnostic: &dyn Diagnostic) -> String {
    let mut message = diagnostic.to_string();
    let mut source = std::error::Error::source(diagnostic);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.contains(&cause_text) {
            message.push_str(": ");
            message.push_str(&cause_text);
        }
        source = cause.source();
    }
    if let Some(help) = diagnostic.help() {
        message.push_str("; ");
        message.push_str(&help.to_string());
    }
    message
}

/// Where a policy stands in the text: Cedar numbers them `policy0`, `policy1`, ... as it reads.
fn place(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy")
        .and_then(|number| number.parse().ok())
        .unwrap_or(usize::MAX)
}

fn rule(policy: &Policy, problems: &mut Vec<Problem>) -> Rule {
    let given_id = policy.annotation("id");
    let id = given_id.map_or_else(|| policy.id().clone(), PolicyId::new);
    let mut fault = |message: String| {
        problems.push(Problem::at("policies", format!("policy `{id}`: {message}")))
    };

    let mut unknown: Vec<&str> = policy.annotations().map(|(name, _)| name).collect();
    unknown.retain(|name| !ANNOTATIONS.contains(name));
    unknown.sort_unstable();
    for name in unknown {
        // A misspelt `@obligation` must not become a permission without conditions.
        fault(format!(
            "unknown annotation `@{name}`; known are {}",
            ANNOTATIONS.join(", ")
        ));
    }
    if given_id.is_some_and(|id| !is_code(id)) {
        fault(
            "`@id` must be 1 to 64 of letters, digits, `-`, `_` and `.`: it stands in the audit log"
                .to_owned(),
        );
    }
    let reason = policy.annotation("reason");
    if reason.is_some_and(|code| !is_code(code)) {
        fault(
            "`@reason` is a code for the audit log, not a sentence: 1 to 64 of letters, digits, `-`, `_` and `.`"
                .to_owned(),
        );
    }
    let names: Vec<&str> = policy
        .annotation("obligation")
        .map(|all| all.split_whitespace().collect())
        .unwrap_or_default();
    if policy.annotation("obligation").is_some() {
        if names.is_empty() {
            fault("`@obligation` names none".to_owned());
        }
        if !crate::permits(policy.effect()) {
            fault(
                "`@obligation` belongs to a permit: a forbid asks for nothing but refusal"
                    .to_owned(),
            );
        }
    }
    if let Some(name) = names.iter().find(|name| !is_code(name)) {
        fault(format!(
            "`{name}` is no obligation: 1 to 64 of letters, digits, `-`, `_` and `.`"
        ));
    }
    let mut arguments = policy
        .annotation("obligation_arguments")
        .map(|text| arguments(text).map_err(&mut fault).unwrap_or_default())
        .unwrap_or_default();
    let obligations = names
        .iter()
        .map(|name| Obligation {
            id: (*name).to_owned(),
            arguments: arguments.remove(*name).unwrap_or_default(),
        })
        .collect();
    for name in arguments.keys() {
        fault(format!(
            "`@obligation_arguments` speaks of `{name}`, which `@obligation` does not name"
        ));
    }
    let code = reason.map_or_else(|| id.to_string(), str::to_owned);
    Rule {
        name: id.to_string(),
        id,
        code,
        obligations,
    }
}

const ANNOTATIONS: [&str; 5] = [
    "id",
    "reason",
    "obligation",
    "obligation_arguments",
    "description",
];

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Arguments by obligation: `{"withhold-identities": {"kinds": ["name"]}}`.
fn arguments(text: &str) -> Result<BTreeMap<String, Vec<Attribute>>, String> {
    let parsed: BTreeMap<String, BTreeMap<String, Json>> = serde_json::from_str(text).map_err(|error| {
        format!("`@obligation_arguments` must be JSON such as {{\"obligation\": {{\"name\": \"value\"}}}}: {error}")
    })?;
    let attribute = |(name, json)| Attribute {
        name,
        value: value(&json),
    };
    Ok(parsed
        .into_iter()
        .map(|(id, all)| (id, all.into_iter().map(attribute).collect()))
        .collect())
}

fn value(json: &Json) -> Value {
    let texts = |array: &[Json]| {
        array
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
    };
    match json {
        Json::String(text) => Value::Text(text.clone()),
        Json::Bool(claim) => Value::Boolean(*claim),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Json(json.to_string()), Value::Number),
        Json::Array(array) => {
            texts(array).map_or_else(|| Value::Json(json.to_string()), Value::Texts)
        }
        Json::Null | Json::Object(_) => Value::Json(json.to_string()),
    }
}

fn same(a: &Obligation, b: &Obligation) -> bool {
    a.id == b.id
        && a.arguments.len() == b.arguments.len()
        && a.arguments
            .iter()
            .zip(&b.arguments)
            .all(|(a, b)| a.name == b.name && same_value(&a.value, &b.value))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::Texts(a), Value::Texts(b)) => a == b,
        (
            Value::Text(_)
            | Value::Json(_)
            | Value::Number(_)
            | Value::Boolean(_)
            | Value::Texts(_),
            _,
        ) => false,
    }
}
