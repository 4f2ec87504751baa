//! Exporter: one event of the Open Cybersecurity Schema Framework for each entry of the log: API Activity (class 6003) with the
//! profile `record_integrity` of 1.9.0-dev, which carries where the entry stands in the chain.

use std::net::IpAddr;

use nephron_sdk::entry::{Came, Header, Severity, hash, judge, nanoseconds, post};
use nephron_sdk::exporter::{Batch, Delivery, Entry, Exporter, Verdict};
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How events travel.
    pub delivery: How,
    /// Path on the server.
    pub path: String,
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// What the gateway is called.
    pub device: String,
    /// Whether events hold the canonical header.
    pub include_header: bool,
}

/// How events travel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// One a line.
    Lines,
    /// A JSON array for each batch.
    Http,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery: How::Lines,
            path: "/".to_owned(),
            credential: None,
            device: "nephron".to_owned(),
            include_header: true,
        }
    }
}

/// Writes events.
#[derive(Clone, Debug)]
pub struct Ocsf {
    settings: Settings,
}

impl Plugin for Ocsf {
    type Settings = Settings;
    const NAME: &str = "ocsf";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let paths = [("path", settings.path.as_str())];
        let mut problems = endpoint::problems(&paths, None, settings.credential.as_deref());
        if settings.device.is_empty() {
            problems.push(Problem::at("device", "is empty; name the gateway"));
        }
        Problem::none_of(problems, Self { settings })
    }
}

impl Exporter for Ocsf {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let events = batch.entries.iter().map(|entry| self.event(entry, &batch));
        let events: Vec<Value> = events.collect::<Result<_, Error>>()?;
        Ok(match self.settings.delivery {
            How::Lines => {
                let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
                Delivery::Bytes(lines.into_bytes())
            }
            How::Http => {
                let body = Value::Array(events).to_string().into_bytes();
                let path = self.settings.path.clone();
                Delivery::Http(post(path, body, self.settings.credential.clone()))
            }
        })
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, _: Vec<u8>) -> Verdict {
        judge(status, &headers)
    }
}

impl Ocsf {
    fn event(&self, entry: &Entry, batch: &Batch) -> Result<Value, Error> {
        const CLASS: u32 = 6003;
        let header = Header::read(entry)?;
        // Within range up to the year 9999.
        let milliseconds = u64::try_from(nanoseconds(entry)? / 1_000_000).unwrap_or_default();
        let (activity, activity_name) = activity(&header.kind);
        let (severity, severity_name) = match header.severity() {
            Severity::Informational => (1, "Informational"),
            Severity::Notice => (2, "Low"),
            Severity::Warning => (3, "Medium"),
            Severity::Error => (4, "High"),
        };
        let (status, status_name) = match header.came() {
            Came::Done => (1, "Success"),
            Came::Refused | Came::Failed => (2, "Failure"),
        };
        let mut profiles = vec!["record_integrity"];
        let model = model(&header);
        if model.is_some() {
            profiles.push("ai_operation");
        }
        let mut event = json!({
            "activity_id": activity,
            "activity_name": activity_name,
            "actor": self.actor(&header),
            "api": api(&header),
            "attestation_list": [self.attestation(entry, &header, batch)?],
            "category_name": "Application Activity",
            "category_uid": 6,
            "class_name": "API Activity",
            "class_uid": CLASS,
            "metadata": metadata(&header, batch, &profiles),
            "resources": resources(&header),
            "severity": severity_name,
            "severity_id": severity,
            "src_endpoint": self.source(&header),
            "status": status_name,
            "status_code": header.outcome,
            "status_id": status,
            "time": milliseconds,
            "type_name": format!("API Activity: {activity_name}"),
            "type_uid": CLASS * 100 + activity,
            "unmapped": { "counts": header.counts, "facts": header.facts, "micros": header.micros },
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let (Some(value), Some(event)) = (value, event.as_object_mut()) {
                event.insert(key.to_owned(), value);
            }
        };
        let reasons = header.reasons.join(" ");
        set(
            "status_detail",
            (!reasons.is_empty()).then(|| json!(reasons)),
        );
        let endpoint = header.fact("endpoint");
        set("dst_endpoint", endpoint.map(|name| json!({ "name": name })));
        set("ai_model", model);
        let raw = self.settings.include_header.then(|| json!(entry.header));
        set("raw_data", raw);
        Ok(event)
    }

    fn actor(&self, header: &Header) -> Value {
        let app = json!(self.settings.device);
        let Some(caller) = &header.caller else {
            return json!({ "app_name": app });
        };
        let roles = header.fact("roles").unwrap_or_default();
        let roles: Vec<Value> = roles
            .split_whitespace()
            .map(|role| json!({ "name": role }))
            .collect();
        let mut user = Map::from_iter([("uid".to_owned(), json!(caller))]);
        if !roles.is_empty() {
            user.insert("groups".to_owned(), roles.into());
        }
        json!({ "app_name": app, "user": user })
    }

    fn source(&self, header: &Header) -> Value {
        let address = header.fact("source");
        match address.and_then(|address| address.parse::<IpAddr>().ok()) {
            Some(address) => json!({ "ip": address.to_string() }),
            None => json!({ "name": self.settings.device }),
        }
    }

    fn attestation(&self, entry: &Entry, header: &Header, batch: &Batch) -> Result<Value, Error> {
        let mut attestation = json!({
            "authority_uid": self.settings.device,
            "chain_uid": format!("{}/{}", batch.tenant, batch.log),
            "fingerprint": fingerprint(&hash(entry, &entry.hash)?),
            "uid": header.sequence.to_string(),
        });
        let previous = hash(entry, &entry.previous_hash)?;
        // The first entry of a chain has none before it.
        if let (Some(before), Some(attestation)) =
            (header.sequence.checked_sub(1), attestation.as_object_mut())
        {
            let uid = uid(batch, before);
            let before = json!({ "uid": uid, "fingerprint": fingerprint(&previous) });
            attestation.insert("prev_event".to_owned(), before);
        }
        Ok(attestation)
    }
}

/// What an event is called, and what the next calls it: OCSF wants the `metadata.uid` of the event before.
fn uid(batch: &Batch, sequence: u64) -> String {
    format!("{}/{}/{sequence}", batch.tenant, batch.log)
}

fn fingerprint(hash: &str) -> Value {
    json!({
        "algorithm": "SHA-256",
        "algorithm_id": 3,
        "encoding": "Hex",
        "encoding_id": 1,
        "serialization": "nephron-audit-entry-v1",
        "serialization_id": 99,
        "value": hash,
    })
}

/// What an entry tells of, in the four words of the class, or another.
fn activity(kind: &str) -> (u32, &str) {
    match kind {
        "grant-minted" | "log-opened" => (1, "Create"),
        "reidentified" | "received" | "sending" | "exported" => (2, "Read"),
        "deidentified" | "key-changed" | "roster-activated" | "log-repaired" => (3, "Update"),
        "grant-ended" => (4, "Delete"),
        other => (99, other),
    }
}

fn api(header: &Header) -> Value {
    let mut api = json!({
        "operation": header.kind,
        "response": { "message": header.outcome },
        "service": { "name": header.point.as_deref().unwrap_or("log") },
    });
    if let (Some(request), Some(api)) = (&header.request, api.as_object_mut()) {
        api.insert("request".to_owned(), json!({ "uid": request }));
    }
    api
}

fn metadata(header: &Header, batch: &Batch, profiles: &[&str]) -> Value {
    let mut metadata = json!({
        "event_code": header.kind,
        "log_name": batch.log,
        "original_time": header.time,
        "product": { "name": "Nephron", "vendor_name": "Nephron" },
        "profiles": profiles,
        "sequence": header.sequence,
        "tenant_uid": header.tenant,
        "uid": uid(batch, header.sequence),
        "version": "1.9.0-dev",
    });
    if let (Some(request), Some(metadata)) = (&header.request, metadata.as_object_mut()) {
        metadata.insert("correlation_uid".to_owned(), json!(request));
    }
    metadata
}

fn resources(header: &Header) -> Vec<Value> {
    let mut resources = Vec::new();
    if let Some(plugin) = &header.plugin {
        resources.push(json!({
            "name": plugin.name, "type": "plugin", "uid": plugin.digest, "version": plugin.version,
        }));
    }
    if let Some(endpoint) = header.fact("endpoint") {
        resources.push(json!({ "name": endpoint, "type": "endpoint" }));
    }
    resources
}

/// The model that an exchange is with, as far as the log names it: by its endpoint and who runs that.
fn model(header: &Header) -> Option<Value> {
    let is_exchange = matches!(header.kind.as_str(), "sending" | "received");
    let endpoint = header.fact("endpoint").filter(|_| is_exchange)?;
    let provider = header.fact("associate").unwrap_or("in-sandbox");
    Some(json!({ "ai_provider": provider, "name": endpoint }))
}

nephron_sdk::export!(exporter: Ocsf);

#[cfg(test)]
mod tests {
    use nephron_sdk::exporter::Instant;

    use super::*;

    fn encoded(settings: &str, header: &str, sequence: u64) -> Value {
        let plugin = Ocsf::configure(serde_json::from_str(settings).unwrap()).unwrap();
        let entry = Entry {
            sequence,
            at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 5_000_000,
            },
            header: header.to_owned(),
            previous_hash: vec![0xab; 32],
            hash: vec![0x0f; 32],
        };
        let batch = Batch {
            tenant: "st-marys".to_owned(),
            log: "audit".to_owned(),
            first: sequence,
            entries: vec![entry],
            checkpoint: None,
        };
        match plugin.encode(batch).unwrap() {
            Delivery::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Delivery::Http(request) => serde_json::from_slice(&request.body).unwrap(),
        }
    }

    #[test]
    fn an_event_links_to_the_one_before_and_the_first_to_none() {
        let first = r#"{"kind":"log-opened","outcome":"opened","sequence":0,"tenant":"st-marys"}"#;
        let event = encoded("{}", first, 0);
        assert!(event["attestation_list"][0].get("prev_event").is_none());
        assert_eq!(event["actor"], json!({ "app_name": "nephron" }));
        let second = r#"{"caller":"dr.okafor","facts":{"roles":"physician chief","source":"192.0.2.7"},"kind":"request-opened","outcome":"admitted","sequence":1,"tenant":"st-marys"}"#;
        let event = encoded("{}", second, 1);
        let attestation = &event["attestation_list"][0];
        assert_eq!(attestation["prev_event"]["uid"], "st-marys/audit/0");
        assert_eq!(
            attestation["prev_event"]["fingerprint"]["value"],
            "ab".repeat(32)
        );
        assert_eq!(attestation["fingerprint"]["value"], "0f".repeat(32));
        assert_eq!(event["raw_data"], second);
        assert_eq!(event["src_endpoint"], json!({ "ip": "192.0.2.7" }));
        assert_eq!(event["actor"]["user"]["groups"][1]["name"], "chief");
        assert_eq!(
            (&event["activity_id"], &event["type_uid"]),
            (&json!(99), &json!(600_399))
        );
    }

    #[test]
    fn over_http_a_batch_is_an_array() {
        let header = r#"{"kind":"decision","outcome":"deny","sequence":7,"tenant":"st-marys"}"#;
        let settings = r#"{"delivery":"http","include-header":false}"#;
        let events = encoded(settings, header, 7);
        assert_eq!(events[0]["status_id"], 2);
        assert!(events[0].get("raw_data").is_none());
    }
}
