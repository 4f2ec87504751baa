//! Cases of detectors: messages, and the identifiers in them.

use nephron_engine::contract::{Message, Span};
use nephron_engine::{Answer, Judgement};
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::expected::Expected;
use super::words::{CaseInfo, CaseMessage, messages, text_of};
use super::{Case, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorCase {
    #[serde(default)]
    info: CaseInfo,
    messages: Vec<CaseMessage>,
    spans: Option<Vec<CaseSpan>>,
    refused: Option<String>,
    /// Any answer will do, and any error of the plugin's own.
    #[serde(default)]
    any: bool,
}

/// An identifier. `start` is in bytes of UTF-8; where it ends, `text` says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseSpan {
    #[serde(default)]
    message: u32,
    #[serde(default)]
    part: u32,
    start: u32,
    text: String,
    kind: String,
}

impl CaseSpan {
    fn of(span: &Span, messages: &[Message]) -> Self {
        let index = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        let text = text_of(messages, span.message, span.part);
        // The engine has held the answer to the text.
        let text = text.and_then(|text| text.get(index(span.start)..index(span.end)));
        Self {
            message: span.message,
            part: span.part,
            start: span.start,
            text: text.unwrap_or_default().to_owned(),
            kind: span.kind.clone(),
        }
    }

    /// The span itself, if its text stands there.
    pub(super) fn find(self, messages: &[Message]) -> Result<Span, String> {
        let start = usize::try_from(self.start).unwrap_or(usize::MAX);
        let text = text_of(messages, self.message, self.part).and_then(|text| text.get(start..));
        let end = u32::try_from(self.text.len())
            .ok()
            .and_then(|length| self.start.checked_add(length));
        match (text, end) {
            (Some(text), Some(end)) if text.starts_with(&self.text) => Ok(Span {
                message: self.message,
                part: self.part,
                start: self.start,
                end,
                kind: self.kind,
                confidence: 1.0,
                rule: None,
            }),
            _ => Err(format!(
                "the case itself is faulty: `{}` does not stand at byte {} of message {}, part {}",
                self.text, self.start, self.message, self.part
            )),
        }
    }
}

/// The question, the messages that it searches, and what should be found in them.
type Asked = (Judgement, Vec<Message>, Expected<Vec<CaseSpan>>);

impl DetectorCase {
    fn question(self) -> Result<Asked, String> {
        let messages = messages(self.messages);
        let question = Judgement::Detect {
            info: self.info.read()?,
            messages: messages.clone(),
        };
        let expected = Expected::new(self.spans, self.refused, self.any);
        Ok((question, messages, expected))
    }
}

pub(super) fn questions(case: &Case) -> Result<Vec<Judgement>, String> {
    let (question, ..) = case.read::<DetectorCase>()?.question()?;
    Ok(vec![question])
}

pub(super) async fn check(asking: &mut Asking<'_>, case: &Case) -> Result<(), String> {
    let (question, messages, expected) = case.read::<DetectorCase>()?.question()?;
    let spans = asking.ask(&question).await?.and_then(Answer::spans);
    let Some((spans, mut expected)) = expected.against("spans", spans)? else {
        return Ok(());
    };
    for span in &expected {
        span.clone().find(&messages)?;
    }
    let mut found: Vec<_> = spans
        .iter()
        .map(|span| CaseSpan::of(span, &messages))
        .collect();
    found.sort();
    expected.sort();
    same("spans", &found, &expected)
}
