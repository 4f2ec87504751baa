//! Exporter: one event of Splunk's HTTP Event Collector for each entry of the log, with indexer acknowledgement if wanted.
//!
//! The canonical header stands in its event byte for byte as it was hashed, as `jsonl-export` writes it.

use std::collections::BTreeMap;

use nephron_sdk::entry::{Header, Severity, fault, hash, judge, nanoseconds, post};
use nephron_sdk::exporter::{Batch, Confirmer, Delivery, Entry, Exporter, HttpRequest, Verdict};
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// Path on the server.
    pub path: String,
    /// Index to write to; the token's without it.
    pub index: Option<String>,
    /// Where events come from.
    pub source: String,
    /// What they are.
    pub sourcetype: String,
    /// The machine that they are of.
    pub host: String,
    /// GUID of the channel on which acknowledgements are asked for.
    pub channel: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credential: None,
            path: "/services/collector/event".to_owned(),
            index: None,
            source: "nephron".to_owned(),
            sourcetype: "nephron:audit".to_owned(),
            host: "nephron".to_owned(),
            channel: None,
        }
    }
}

/// Writes events.
#[derive(Clone, Debug)]
pub struct SplunkHec {
    settings: Settings,
}

impl Plugin for SplunkHec {
    type Settings = Settings;
    const NAME: &str = "splunk-hec";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let paths = [("path", settings.path.as_str())];
        let mut problems = endpoint::problems(&paths, None, settings.credential.as_deref());
        if settings
            .channel
            .as_deref()
            .is_some_and(|channel| !is_guid(channel))
        {
            problems.push(Problem::at(
                "channel",
                "must be a GUID, such as `0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba`; `uuidgen` draws one",
            ));
        }
        Problem::none_of(problems, Self { settings })
    }
}

#[derive(Serialize)]
struct Event<'a> {
    /// Seconds since the Unix epoch, three decimals.
    time: Box<RawValue>,
    host: &'a str,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: Body<'a>,
    /// Indexed; all text.
    fields: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    hash: String,
    header: &'a RawValue,
    log: &'a str,
}

impl Exporter for SplunkHec {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let mut body = Vec::new();
        for entry in &batch.entries {
            self.write(entry, &batch.log, &mut body)?;
        }
        let Settings {
            path, credential, ..
        } = &self.settings;
        let request = post(path.clone(), body, credential.clone());
        Ok(Delivery::Http(self.on_channel(request)))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Verdict {
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        if (200..=299).contains(&status)
            && let Some(acks) = answer.acks
        {
            return if acks.values().all(|is_indexed| *is_indexed) {
                Verdict::Delivered
            } else {
                Verdict::RetryAfterSeconds(1)
            };
        }
        match (judge(status, &headers), answer.code) {
            // An event that cannot be read: invalid format, no or blank `event`, a bad indexed field.
            (Verdict::Rejected(_), Some(code @ (6 | 12 | 13 | 15))) => {
                Verdict::Rejected(format!("hec-{code}"))
            }
            (Verdict::Rejected(_), Some(_)) => Verdict::RetryAfterSeconds(0),
            (verdict, _) => verdict,
        }
    }
}

/// What HEC answers, to events and to questions about them.
#[derive(Default, Deserialize)]
struct Answer {
    code: Option<u32>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    acks: Option<BTreeMap<String, bool>>,
}

impl Confirmer for SplunkHec {
    fn confirm(&self, _: u16, _: Vec<(String, String)>, body: Vec<u8>) -> Option<HttpRequest> {
        let channel = self.settings.channel.as_ref()?;
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        // An answer without an id acknowledges nothing ever: the question about none is refused, and the batch comes again.
        let ids: Vec<u64> = answer.ack_id.into_iter().collect();
        let path = format!("/services/collector/ack?channel={channel}");
        let question = serde_json::json!({ "acks": ids }).to_string().into_bytes();
        Some(self.on_channel(post(path, question, self.settings.credential.clone())))
    }
}

impl SplunkHec {
    fn on_channel(&self, mut request: HttpRequest) -> HttpRequest {
        if let Some(channel) = &self.settings.channel {
            let name = "x-splunk-request-channel".to_owned();
            request.headers.push((name, channel.clone()));
        }
        request
    }

    fn write(&self, entry: &Entry, log: &str, body: &mut Vec<u8>) -> Result<(), Error> {
        let header = Header::read(entry)?;
        let raw = serde_json::from_str(&entry.header);
        let milliseconds = nanoseconds(entry)? / 1_000_000;
        let time = format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000);
        let sequence = header.sequence.to_string();
        let severity = match header.severity() {
            Severity::Informational => "informational",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let event = Event {
            time: RawValue::from_string(time).map_err(|_| fault(entry, "its time is no number"))?,
            host: &self.settings.host,
            source: &self.settings.source,
            sourcetype: &self.settings.sourcetype,
            index: self.settings.index.as_deref(),
            event: Body {
                hash: hash(entry, &entry.hash)?,
                header: raw.map_err(|_| fault(entry, "its header is no JSON"))?,
                log,
            },
            fields: BTreeMap::from([
                ("kind", header.kind.as_str()),
                ("outcome", &header.outcome),
                ("sequence", &sequence),
                ("severity", severity),
                ("tenant", &header.tenant),
            ]),
        };
        let written = serde_json::to_writer(&mut *body, &event);
        written.map_err(|_| fault(entry, "it cannot be written"))?;
        body.push(b'\n');
        Ok(())
    }
}

/// 8-4-4-4-12 hex digits (RFC 9562 §4).
fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(is_hex)
}

nephron_sdk::export!(confirming_exporter: SplunkHec);

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(settings: &str) -> Result<SplunkHec, Vec<Problem>> {
        SplunkHec::configure(serde_json::from_str(settings).unwrap())
    }

    #[test]
    fn answers_are_told_apart() {
        let plugin = plugin("{}").unwrap();
        let judged = |status, body: &str| match plugin.judge(status, vec![], body.into()) {
            Verdict::Delivered => "delivered".to_owned(),
            Verdict::RetryAfterSeconds(seconds) => format!("after {seconds}"),
            Verdict::Rejected(why) => why,
        };
        for (status, body, expected) in [
            (200, r#"{"text":"Success","code":0,"ackId":5}"#, "delivered"),
            (200, r#"{"acks":{"5":true}}"#, "delivered"),
            (200, r#"{"acks":{"5":false}}"#, "after 1"),
            (
                400,
                r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#,
                "hec-6",
            ),
            (
                400,
                r#"{"text":"Error in handling indexed fields","code":15}"#,
                "hec-15",
            ),
            (400, r#"{"text":"Incorrect index","code":7}"#, "after 0"),
            (
                400,
                r#"{"text":"Data channel is missing","code":10}"#,
                "after 0",
            ),
            (400, "not JSON", "status-400"),
            (413, "", "status-413"),
            (403, r#"{"text":"Invalid token","code":4}"#, "after 0"),
            (503, r#"{"text":"Server is busy","code":9}"#, "after 0"),
        ] {
            assert_eq!(judged(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_is_accepted_is_asked_about_where_there_is_a_channel() {
        let answer = br#"{"text":"Success","code":0,"ackId":5}"#.to_vec();
        assert!(
            plugin("{}")
                .unwrap()
                .confirm(200, vec![], answer.clone())
                .is_none()
        );
        let channel = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba";
        let plugin_with = plugin(&format!(r#"{{"channel":"{channel}"}}"#)).unwrap();
        let asked = plugin_with.confirm(200, vec![], answer).unwrap();
        assert_eq!(
            asked.path,
            format!("/services/collector/ack?channel={channel}")
        );
        assert_eq!(asked.body, br#"{"acks":[5]}"#);
        assert!(plugin(r#"{"channel":"all of them"}"#).is_err());
    }
}
