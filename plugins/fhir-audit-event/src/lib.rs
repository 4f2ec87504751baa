//! Exporter: one AuditEvent of FHIR R4 for each entry of the log, by the profiles of IHE's Basic Audit Log Patterns (BALP) where one
//! fits: `event.rs` makes it, and its parts are in `parts.rs`.

mod event;
mod parts;

use nephron_sdk::entry::{hash, judge, post, retry_after};
use nephron_sdk::exporter::{Batch, Delivery, Exporter, Verdict};
use nephron_sdk::{Error, Plugin, Problem, endpoint};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How AuditEvents travel.
    pub delivery: How,
    /// Path on the server.
    pub path: String,
    /// Name of the credential that the host attaches.
    pub credential: Option<String>,
    /// Whether the server takes all of a Bundle or none.
    pub bundle: Kind,
    /// Whether each is put under an id of its own.
    pub update_as_create: bool,
    /// What the gateway is called.
    pub device: String,
    /// What the systems of identifiers begin with.
    pub identifier_system: String,
}

/// How AuditEvents travel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// In a Bundle for each batch.
    Http,
    /// One a line.
    Lines,
}

/// What a server does with a Bundle.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Each entry for itself.
    Batch,
    /// All or none.
    Transaction,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery: How::Http,
            path: "/".to_owned(),
            credential: None,
            bundle: Kind::Batch,
            update_as_create: true,
            device: "nephron".to_owned(),
            identifier_system: "urn:nephron".to_owned(),
        }
    }
}

/// Writes AuditEvents.
#[derive(Clone, Debug)]
pub struct FhirAuditEvent {
    settings: Settings,
}

impl Plugin for FhirAuditEvent {
    type Settings = Settings;
    const NAME: &str = "fhir-audit-event";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let paths = [("path", settings.path.as_str())];
        let mut problems = endpoint::problems(&paths, None, settings.credential.as_deref());
        if settings.device.trim().is_empty() {
            problems.push(Problem::at("device", "is empty; name the gateway"));
        }
        let system = &settings.identifier_system;
        if !system.contains(':') || system.contains(char::is_whitespace) {
            problems.push(Problem::at(
                "identifier-system",
                "must be a URI, such as `urn:oid:2.16.840.1.113883.3.9` or `https://ours.example/fhir`",
            ));
        }
        Problem::none_of(problems, Self { settings })
    }
}

impl Exporter for FhirAuditEvent {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let mut events = Vec::with_capacity(batch.entries.len());
        for entry in &batch.entries {
            events.push((
                hash(entry, &entry.hash)?,
                event::of(entry, &batch, &self.settings)?,
            ));
        }
        if self.settings.delivery == How::Lines {
            let lines = events.iter().map(|(_, event)| format!("{event}\n"));
            return Ok(Delivery::Bytes(lines.collect::<String>().into_bytes()));
        }
        let entries: Vec<Value> = events
            .into_iter()
            .map(|(id, event)| self.in_bundle(&id, event))
            .collect();
        let kind = match self.settings.bundle {
            Kind::Batch => "batch",
            Kind::Transaction => "transaction",
        };
        let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": entries });
        let (path, credential) = (self.settings.path.clone(), self.settings.credential.clone());
        let mut request = post(path, bundle.to_string().into_bytes(), credential);
        let fhir = "application/fhir+json";
        request.headers = ["content-type", "accept"]
            .map(|name| (name.to_owned(), fhir.to_owned()))
            .to_vec();
        Ok(Delivery::Http(request))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Verdict {
        match judge(status, &headers) {
            Verdict::Delivered if self.settings.bundle == Kind::Batch => of_batch(&headers, &body),
            verdict @ (Verdict::Delivered
            | Verdict::RetryAfterSeconds(_)
            | Verdict::Rejected(_)) => verdict,
        }
    }
}

impl FhirAuditEvent {
    fn in_bundle(&self, id: &str, mut event: Value) -> Value {
        if !self.settings.update_as_create {
            return json!({ "resource": event, "request": { "method": "POST", "url": "AuditEvent" } });
        }
        if let Some(event) = event.as_object_mut() {
            // 64 hex digits: the longest id that FHIR allows, and the same each time.
            event.insert("id".to_owned(), json!(id));
        }
        let url = format!("AuditEvent/{id}");
        json!({ "resource": event, "request": { "method": "PUT", "url": url } })
    }
}

/// Of a batch each entry has an answer of its own. One that is refused for good is worse than one that may go later; an answer that
/// cannot be read is none.
fn of_batch(headers: &[(String, String)], body: &[u8]) -> Verdict {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(entries) = answer.get("entry").and_then(Value::as_array) else {
        return Verdict::RetryAfterSeconds(retry_after(headers));
    };
    let mut worst = Verdict::Delivered;
    for entry in entries {
        let status = entry.pointer("/response/status").and_then(Value::as_str);
        let status = status.and_then(|status| status.get(..3)?.parse().ok());
        match judge(status.unwrap_or_default(), headers) {
            Verdict::Delivered => {}
            rejected @ Verdict::Rejected(_) => return rejected,
            later @ Verdict::RetryAfterSeconds(_) => worst = later,
        }
    }
    worst
}

nephron_sdk::export!(exporter: FhirAuditEvent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_a_batch_counts() {
        let judged = |settings: Settings, body: &str| {
            let plugin = FhirAuditEvent::configure(settings).unwrap();
            match plugin.judge(200, vec![], body.into()) {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::RetryAfterSeconds(_) => "later".to_owned(),
                Verdict::Rejected(why) => why,
            }
        };
        let answered = |statuses: &[&str]| {
            let entry = |status| json!({ "response": { "status": status } });
            let entries: Vec<Value> = statuses.iter().map(entry).collect();
            json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries })
                .to_string()
        };
        for (statuses, expected) in [
            (["201 Created", "200"].as_slice(), "delivered"),
            (&["201", "422 Unprocessable Entity", "503"], "status-422"),
            (&["201", "503 Service Unavailable"], "later"),
            (&["201", "created"], "later"),
        ] {
            assert_eq!(judged(Settings::default(), &answered(statuses)), expected);
        }
        assert_eq!(judged(Settings::default(), "<html>"), "later");
        let transaction = Settings {
            bundle: Kind::Transaction,
            ..Settings::default()
        };
        assert_eq!(judged(transaction, ""), "delivered");
    }

    #[test]
    fn settings_that_name_nothing_are_all_told() {
        let settings = Settings {
            path: "metadata".to_owned(),
            device: " ".to_owned(),
            identifier_system: "ours".to_owned(),
            ..Settings::default()
        };
        assert_eq!(FhirAuditEvent::configure(settings).unwrap_err().len(), 3);
    }
}
