//! What the deciders would say: a question of an application about its own caller. Nothing follows from the answer here.

use nephron_engine::contract::{Attribute, Effect, Obligation, Value};
use nephron_model::{EventId, Phi, Point, Purpose};
use serde::Serialize;

use super::written;
use crate::case::{Case, code, reason_codes};
use crate::chain::decide::{Opinion, Question, opinion, permit};
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::wire::fields::{Fields, ID_RULE, is_structural, wrong};
use crate::wire::json::Json;

/// Points that are a caller's business. Operators and exporters pass the others.
const POINTS: [Point; 4] = [
    Point::Ingress,
    Point::Egress,
    Point::Rehydrate,
    Point::KeyUse,
];

/// Facts of one question, and texts in one of them.
const MOST: usize = 64;

/// Reads a question. All its strings are structural: what is asked is about policy, and needs nobody's name.
pub(super) fn read(fields: &mut Fields) -> Result<Question, Malformed> {
    const POINT: &str = "`ingress`, `egress`, `rehydrate` or `key-use`";
    const ACTION: &str = "1 to 64 of letters, digits and `._:/-@`";
    const PURPOSE: &str = "a PurposeOfUse code of HL7 v3: 1 to 16 of `A-Z`, such as `TREAT`";
    let point = fields.text("point")?;
    let point = POINTS
        .into_iter()
        .find(|known| point.as_deref() == Some(known.as_str()));
    let action = fields.text_that("action", ACTION, |text| is_structural(text, 64))?;
    let target = fields.text_that("target", ID_RULE, |text| is_structural(text, 200))?;
    let purpose: Option<Result<Purpose, _>> = fields.text("purpose")?.map(|text| text.parse());
    Ok(Question {
        point: point.ok_or_else(|| wrong("point", POINT))?,
        action: action.ok_or_else(|| wrong("action", ACTION))?,
        target: target.ok_or_else(|| wrong("target", ID_RULE))?,
        facts: match fields.take("facts") {
            None => Vec::new(),
            Some(facts) => read_facts(facts)?,
        },
        purpose: purpose.transpose().map_err(|_| wrong("purpose", PURPOSE))?,
    })
}

fn read_facts(facts: Json) -> Result<Vec<Attribute>, Malformed> {
    const RULE: &str = "an object of at most 64 facts: names are 1 to 64, and values a whole number, true or false, or 1 to \
        200, or a list of such, of letters, digits and `._:/-@`";
    let rule = || wrong("facts", RULE);
    let Json::Object(entries) = facts else {
        return Err(rule());
    };
    if entries.len() > MOST {
        return Err(rule());
    }
    let fact = |(name, value): (String, Json)| {
        let value = fact_value(value).filter(|_| is_structural(&name, 64));
        value
            .map(|value| Attribute { name, value })
            .ok_or_else(rule)
    };
    entries.into_iter().map(fact).collect()
}

fn fact_value(value: Json) -> Option<Value> {
    let text = |value: Json| value.into_text().filter(|text| is_structural(text, 200));
    match value {
        Json::Bool(claim) => Some(Value::Boolean(claim)),
        Json::Number(number) => number.as_i64().map(Value::Number),
        Json::List(values) if values.len() <= MOST => {
            let texts: Option<_> = values.into_iter().map(text).collect();
            texts.map(Value::Texts)
        }
        Json::Text(_) => text(value).map(Value::Text),
        Json::Null
        | Json::List(_)
        | Json::Object(_)
        | Json::Fixed(_)
        | Json::Exact(_)
        | Json::Weights(_)
        | Json::Embedded(_)
        | Json::Name { .. } => None,
    }
}

#[derive(Serialize)]
struct Decided {
    event: EventId,
    effect: &'static str,
    reasons: Vec<String>,
    obligations: Vec<Duty>,
}

#[derive(Serialize)]
struct Duty {
    id: String,
    arguments: serde_json::Map<String, serde_json::Value>,
}

/// Asks the deciders, of which each answer is recorded like any other.
pub(super) async fn decide(case: &Case, question: Question) -> Result<Phi<String>, Refusal> {
    let facts = [
        ("action", Value::Text(question.action.clone())),
        ("point", Value::Text(question.point.as_str().to_owned())),
    ];
    let asked = (Point::Ingress, "decide", case.caller.id.as_str());
    let permitted = permit(case, asked, facts, question).await?;
    let Opinion { decisions, verdict } = opinion(case, permitted).await?;

    let permits = decisions
        .iter()
        .filter(|decision| decision.effect == Effect::Permit);
    let (effect, reasons) = match verdict {
        Ok(_) => ("permit", permits.clone().flat_map(reason_codes).collect()),
        Err(Refusal::Denied { reasons, .. }) => ("deny", reasons),
        // What the host cannot carry out is a deny, whoever else permits.
        Err(refusal) => ("deny", vec![refusal.code().to_owned()]),
    };
    let obligations = permits.flat_map(|decision| &decision.obligations);
    Ok(written(&Decided {
        event: case.id,
        effect,
        reasons,
        obligations: obligations.map(duty).collect(),
    }))
}

fn duty(obligation: &Obligation) -> Duty {
    let argument = |Attribute { name, value }: &Attribute| (name.clone(), json(value));
    Duty {
        id: code(&obligation.id).to_owned(),
        arguments: obligation.arguments.iter().map(argument).collect(),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => (*number).into(),
        Value::Boolean(claim) => (*claim).into(),
        Value::Texts(texts) => texts.as_slice().into(),
        Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
    }
}
