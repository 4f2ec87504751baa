//! Exporter: one log record of OpenTelemetry for each entry of the log, by OTLP/HTTP in JSON (opentelemetry-proto 1.x,
//! `ExportLogsServiceRequest`; 64-bit integers are text there, as protobuf's JSON has them).

use nephron_sdk::entry::{Header, Severity, hash, judge, nanoseconds, post};
use nephron_sdk::exporter::{Batch, Delivery, Entry, Exporter, Verdict};
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Path on the server.
    pub path: String,
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// The resource's `service.name`.
    pub service_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/v1/logs".to_owned(),
            credential: None,
            service_name: "nephron".to_owned(),
        }
    }
}

/// Writes log records.
#[derive(Clone, Debug)]
pub struct OtlpLogs {
    settings: Settings,
}

impl Plugin for OtlpLogs {
    type Settings = Settings;
    const NAME: &str = "otlp-logs";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let paths = [("path", settings.path.as_str())];
        let problems = endpoint::problems(&paths, None, settings.credential.as_deref());
        Problem::none_of(problems, Self { settings })
    }
}

impl Exporter for OtlpLogs {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let records: Result<Vec<Value>, Error> = batch.entries.iter().map(record).collect();
        let resource = [
            ("service.name", self.settings.service_name.as_str()),
            ("nephron.tenant", &batch.tenant),
            ("nephron.log", &batch.log),
        ];
        let body = json!({ "resourceLogs": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeLogs": [{
                "scope": { "name": "nephron.audit", "version": Self::VERSION },
                "logRecords": records?,
            }],
        }] });
        let Settings {
            path, credential, ..
        } = &self.settings;
        let body = body.to_string().into_bytes();
        Ok(Delivery::Http(post(path.clone(), body, credential.clone())))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Verdict {
        match judge(status, &headers) {
            Verdict::Delivered if is_rejected_in_part(&body) => {
                Verdict::Rejected("partial-success".to_owned())
            }
            verdict @ (Verdict::Delivered
            | Verdict::RetryAfterSeconds(_)
            | Verdict::Rejected(_)) => verdict,
        }
    }
}

/// Whether a collector took a part only. Whatever it answers beside that is no matter of ours.
fn is_rejected_in_part(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.pointer("/partialSuccess/rejectedLogRecords") {
        Some(Value::String(count)) => count != "0",
        Some(Value::Number(count)) => count.as_u64() != Some(0),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

fn record(entry: &Entry) -> Result<Value, Error> {
    let header = Header::read(entry)?;
    let (number, text) = match header.severity() {
        Severity::Informational => (9, "INFO"),
        Severity::Notice => (10, "INFO2"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let nanoseconds = nanoseconds(entry)?;
    let (hash, previous) = (
        hash(entry, &entry.hash)?,
        hash(entry, &entry.previous_hash)?,
    );
    let mut known = vec![
        ("nephron.log.hash", hash.as_str()),
        ("nephron.log.previous", &previous),
        ("nephron.outcome", &header.outcome),
    ];
    let plugin = header.plugin.as_ref();
    let others = [
        ("nephron.point", header.point.as_ref()),
        ("nephron.purpose", header.purpose.as_ref()),
        ("nephron.request", header.request.as_ref()),
        ("user.id", header.caller.as_ref()),
        ("nephron.plugin.name", plugin.map(|plugin| &plugin.name)),
        (
            "nephron.plugin.version",
            plugin.map(|plugin| &plugin.version),
        ),
        ("nephron.plugin.digest", plugin.map(|plugin| &plugin.digest)),
    ];
    known.extend(
        others
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?.as_str()))),
    );
    let mut attributes = attributes(&known);
    attributes.push(json!({
        "key": "nephron.log.sequence",
        "value": { "intValue": header.sequence.to_string() },
    }));
    Ok(json!({
        "timeUnixNano": nanoseconds.to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("nephron.audit.{}", header.kind),
        "body": { "stringValue": entry.header },
        "attributes": attributes,
    }))
}

fn attributes(known: &[(&str, &str)]) -> Vec<Value> {
    let attribute =
        |(key, value): &(&str, &str)| json!({ "key": key, "value": { "stringValue": value } });
    known.iter().map(attribute).collect()
}

nephron_sdk::export!(exporter: OtlpLogs);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_rejected_is_no_delivery() {
        let plugin = OtlpLogs::configure(Settings::default()).unwrap();
        let is_delivered =
            |body: &str| matches!(plugin.judge(200, vec![], body.into()), Verdict::Delivered);
        assert!(is_delivered("{}") && is_delivered("") && is_delivered(r#"{"partialSuccess":{}}"#));
        assert!(is_delivered(
            r#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow"}}"#
        ));
        assert!(!is_delivered(
            r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#
        ));
        assert!(!is_delivered(
            r#"{"partialSuccess":{"rejectedLogRecords":3}}"#
        ));
    }
}
