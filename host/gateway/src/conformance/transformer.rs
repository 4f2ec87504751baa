//! Cases of transformers: messages and where their identifiers are, and what is made of them with a lent key.

use nephron_engine::contract::{Message, Outcome, Part, RequestInfo, Span};
use nephron_engine::{Answer, Judgement, PluginFailure};
use serde::Deserialize;

use super::asking::Asking;
use super::detector::{self, CaseSpan};
use super::expected::Expected;
use super::lending::Lender;
use super::words::{CaseInfo, CaseMessage, messages};
use super::{Case, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TransformerCase {
    #[serde(default)]
    info: CaseInfo,
    messages: Vec<CaseMessage>,
    found: Vec<CaseSpan>,
    outcome: Option<CaseOutcome>,
    refused: Option<String>,
    /// Any answer will do, and any error of the plugin's own.
    #[serde(default)]
    any: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseOutcome {
    /// The texts of all parts, in order. Tokens are drawn at random: then `lacks` says more.
    texts: Option<Vec<String>>,
    /// What is in none of them any more.
    #[serde(default)]
    lacks: Vec<String>,
    replaced: Option<u32>,
    /// Whether the same messages come back from them.
    #[serde(default)]
    restores: bool,
}

/// A transformer is a detector too: a case without `found` is one of a detector's.
fn is_detectors(case: &Case) -> bool {
    !case.rest.contains_key("found")
}

pub(super) fn questions(case: &Case) -> Result<Vec<Judgement>, String> {
    if is_detectors(case) {
        return detector::questions(case);
    }
    let case: TransformerCase = case.read()?;
    let messages = messages(case.messages);
    let found = all_found(case.found, &messages)?;
    let info = case.info.read()?;
    Ok(vec![Judgement::Deidentify {
        info,
        messages,
        found,
    }])
}

fn all_found(found: Vec<CaseSpan>, messages: &[Message]) -> Result<Vec<Span>, String> {
    found.into_iter().map(|span| span.find(messages)).collect()
}

pub(super) async fn check(asking: &mut Asking<'_>, case: &Case) -> Result<(), String> {
    if is_detectors(case) {
        return detector::check(asking, case).await;
    }
    let case: TransformerCase = case.read()?;
    let info: RequestInfo = case.info.read()?;
    let before = messages(case.messages);
    let question = Judgement::Deidentify {
        info: info.clone(),
        messages: before.clone(),
        found: all_found(case.found, &before)?,
    };
    let no_key = |error: anyhow::Error| format!("no key can be lent: {error:#}");
    let lender = Lender::new().await.map_err(no_key)?;
    let answer = asking
        .lend(&question, lender.lend().map_err(no_key)?)
        .await?;
    let expected = Expected::new(case.outcome, case.refused, case.any);
    let against = expected.against("outcome", answer.and_then(outcome))?;
    let Some((outcome, expected)) = against else {
        return Ok(());
    };
    expected.check(&outcome)?;
    if !expected.restores {
        return Ok(());
    }
    let question = Judgement::Reidentify {
        info,
        messages: outcome.messages,
    };
    let answer = asking
        .lend(&question, lender.lend().map_err(no_key)?)
        .await?;
    let restored = answer.and_then(self::outcome);
    let restored = restored.map_err(|failure| format!("restoring: the plugin {failure}"))?;
    same("restored", &texts(&restored.messages), &texts(&before))
}

impl CaseOutcome {
    fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let texts = texts(&outcome.messages);
        self.texts
            .as_ref()
            .map_or(Ok(()), |expected| same("texts", &texts, expected))?;
        self.replaced.map_or(Ok(()), |expected| {
            same("replaced", &outcome.replaced, &expected)
        })?;
        let left = |lacking: &&String| texts.iter().any(|text| text.contains(lacking.as_str()));
        match self.lacks.iter().find(left) {
            Some(left) => Err(format!("`{left}` is still there")),
            None => Ok(()),
        }
    }
}

fn outcome(answer: Answer) -> Result<Outcome, PluginFailure> {
    match answer {
        Answer::Transformed(Ok(outcome)) => Ok(outcome),
        Answer::Transformed(Err(_))
        | Answer::Detected(_)
        | Answer::Decided(_)
        | Answer::Planned(_)
        | Answer::Signed(_)
        | Answer::Decoded(_)
        | Answer::Exported(_)
        | Answer::Judged(_)
        | Answer::Confirming(_) => Err(PluginFailure::BadAnswer("to-another-question")),
    }
}

fn texts(messages: &[Message]) -> Vec<String> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    let text = |part: &Part| match part {
        Part::Text(text) | Part::Json(text) => text.clone(),
        Part::Blob(blob) => blob.sha256.clone(),
    };
    parts.map(text).collect()
}
