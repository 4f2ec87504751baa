//! Cases of exporters: a batch, what it becomes, and what a server's answers mean.

use nephron_engine::contract::{Batch, Delivery, Entry, Instant, Verdict};
use nephron_engine::{Answer, Judgement, PluginFailure};
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::expected::Expected;
use super::http::{CaseRequest, json_lines, text};
use super::{Case, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ExporterCase {
    batch: Option<CaseBatch>,
    delivery: Option<CaseDelivery>,
    refused: Option<String>,
    #[serde(default)]
    answers: Vec<CaseAnswer>,
    /// Any delivery will do, and any error of the plugin's own.
    #[serde(default)]
    any: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseBatch {
    entries: Vec<CaseEntry>,
    checkpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEntry {
    /// Seconds since the Unix epoch, and nanoseconds.
    at: (u64, u32),
    sequence: u64,
    header: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CaseDelivery {
    Request(CaseRequest),
    /// Bytes that are lines of JSON.
    Lines(Vec<serde_json::Value>),
    /// Bytes, exactly.
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// Without one, any will do.
    verdict: Option<CaseVerdict>,
    /// What a confirming exporter asks next.
    asks: Option<CaseRequest>,
}

#[derive(Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CaseVerdict {
    Delivered,
    RetryAfter(u32),
    Rejected(String),
}

pub(super) fn questions(case: &Case) -> Result<Vec<Judgement>, String> {
    let case: ExporterCase = case.read()?;
    let batch = case.batch.map(|batch| Judgement::Export(batch.into()));
    let answers = case.answers.into_iter().map(|answer| answer.judge());
    Ok(batch.into_iter().chain(answers).collect())
}

pub(super) async fn check(asking: &mut Asking<'_>, case: &Case) -> Result<(), String> {
    let case: ExporterCase = case.read()?;
    if let Some(batch) = case.batch {
        let answer = asking.ask(&Judgement::Export(batch.into())).await?;
        let expected = Expected::new(case.delivery, case.refused, case.any);
        let delivery = answer.and_then(Answer::delivery);
        if let Some((delivery, expected)) = expected.against("delivery", delivery)? {
            expected.check(&delivery)?;
        }
    } else if case.answers.is_empty() {
        return Err("the case itself is faulty: it has a `batch`, `answers` or both".to_owned());
    }
    for answer in case.answers {
        let at = |fault| format!("{} {}: {fault}", answer.status, answer.body);
        answer.check(asking).await.map_err(at)?;
    }
    Ok(())
}

impl CaseDelivery {
    fn check(&self, delivery: &Delivery) -> Result<(), String> {
        match (delivery, self) {
            (Delivery::Http(request), Self::Request(expected)) => expected.check(request),
            (Delivery::Bytes(bytes), Self::Lines(expected)) => {
                same("lines", &json_lines(text(bytes)?)?, expected)
            }
            (Delivery::Bytes(bytes), Self::Text(expected)) => {
                same("text", &text(bytes)?, &expected.as_str())
            }
            (Delivery::Http(_), Self::Lines(_) | Self::Text(_)) => {
                Err("delivery: expected bytes, found a request".to_owned())
            }
            (Delivery::Bytes(_), Self::Request(_)) => {
                Err("delivery: expected a request, found bytes".to_owned())
            }
        }
    }
}

impl CaseAnswer {
    fn judge(&self) -> Judgement {
        Judgement::Judge {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone().into_bytes(),
        }
    }

    async fn check(&self, asking: &mut Asking<'_>) -> Result<(), String> {
        let plain = |failure: PluginFailure| format!("the plugin {failure}");
        let judged = asking.ask(&self.judge()).await?.and_then(Answer::verdict);
        let judged = CaseVerdict::from(judged.map_err(plain)?);
        let expected = self.verdict.as_ref();
        expected.map_or(Ok(()), |expected| same("verdict", &judged, expected))?;
        let Some(expected) = &self.asks else {
            return Ok(());
        };
        let judgement = Judgement::Confirm {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone().into_bytes(),
        };
        let asked = asking.ask(&judgement).await?.and_then(Answer::confirming);
        match asked.map_err(plain)? {
            Some(asked) => expected.check(&asked),
            None => Err("the plugin asks nothing".to_owned()),
        }
    }
}

impl From<CaseBatch> for Batch {
    fn from(batch: CaseBatch) -> Self {
        /// The hash of an entry is its sequence, in each of 32 bytes.
        fn hash(sequence: u64) -> Vec<u8> {
            let [last, ..] = sequence.to_le_bytes();
            vec![last; 32]
        }
        let entry = |entry: CaseEntry| Entry {
            sequence: entry.sequence,
            at: Instant {
                seconds: entry.at.0,
                nanoseconds: entry.at.1,
            },
            header: entry.header,
            previous_hash: hash(entry.sequence.wrapping_sub(1)),
            hash: hash(entry.sequence),
        };
        let entries: Vec<Entry> = batch.entries.into_iter().map(entry).collect();
        Self {
            tenant: "st-marys".to_owned(),
            log: "audit".to_owned(),
            first: entries.first().map_or(0, |entry| entry.sequence),
            entries,
            checkpoint: batch.checkpoint,
        }
    }
}

impl From<Verdict> for CaseVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Delivered => Self::Delivered,
            Verdict::RetryAfterSeconds(seconds) => Self::RetryAfter(seconds),
            Verdict::Rejected(why) => Self::Rejected(why),
        }
    }
}
