//! One entry's AuditEvent.
//!
//! | entry | profile of BALP |
//! | --- | --- |
//! | `sending`, where something leaves | `PrivacyDisclosure.Source` |
//! | `decision` of a decider | `AuthZconsent` |
//! | `reidentified`, identities put back | `PatientRead` |
//! | `emergency-access` | none: a security alert of subtype "Emergency Override Started" |
//! | any other | none |

use nephron_sdk::Error;
use nephron_sdk::entry::{Came, Header, date_time, hash};
use nephron_sdk::exporter::{Batch, Entry};
use serde_json::{Map, Value, json};

use crate::Settings;
use crate::parts::{
    Address, System, agent, agent_at, coding, details, patient, purpose, reference,
};

/// What an entry is to others.
enum Pattern {
    Disclosure,
    Authorization,
    Read,
    Emergency,
    Other,
}

impl Pattern {
    fn of(header: &Header) -> Self {
        match (header.kind.as_str(), header.outcome.as_str()) {
            ("sending", outcome) if outcome != "in-sandbox" => Self::Disclosure,
            ("decision", "permit" | "deny" | "indeterminate" | "not-applicable") => {
                Self::Authorization
            }
            ("reidentified", "restored") => Self::Read,
            ("emergency-access", _) => Self::Emergency,
            _ => Self::Other,
        }
    }

    const fn profile(&self) -> Option<&'static str> {
        match self {
            Self::Disclosure => Some("PrivacyDisclosure.Source"),
            Self::Authorization => Some("AuthZconsent"),
            Self::Read => Some("PatientRead"),
            Self::Emergency | Self::Other => None,
        }
    }
}

/// The AuditEvent of an entry.
///
/// # Errors
/// When the entry cannot be read.
pub(crate) fn of(entry: &Entry, batch: &Batch, settings: &Settings) -> Result<Value, Error> {
    let header = Header::read(entry)?;
    let pattern = Pattern::of(&header);
    let place = Place {
        header: &header,
        settings,
        origin: origin(&header, batch),
    };
    let (kind, subtypes, action) = kinds(&pattern, &header);
    let outcome = match header.came() {
        Came::Done => "0",
        Came::Refused | Came::Failed => "8",
    };
    let described = std::iter::once(&header.outcome).chain(&header.reasons);
    let described: Vec<&str> = described.map(String::as_str).collect();
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| drop(event.insert(key.to_owned(), value));
    set("resourceType", json!("AuditEvent"));
    if let Some(profile) = pattern.profile() {
        let base = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
        set("meta", json!({ "profile": [format!("{base}{profile}")] }));
    }
    set("type", kind);
    if !subtypes.is_empty() {
        set("subtype", subtypes.into());
    }
    set("action", json!(action));
    set("recorded", json!(date_time(entry)?));
    set("outcome", json!(outcome));
    set("outcomeDesc", json!(described.join(" ")));
    if let Some(code) = &header.purpose {
        set("purposeOfEvent", json!([purpose(code)]));
    }
    set("agent", place.agents(&pattern).into());
    let source = coding(System::Source, "4", "Application Server");
    set(
        "source",
        json!({ "observer": place.device(), "type": [source] }),
    );
    let chain = place.chain(entry, batch)?;
    set("entity", place.entities(&pattern, &chain).into());
    Ok(Value::Object(event))
}

/// The address that the request of an entry came from, where its opening is in the same batch.
fn origin(header: &Header, batch: &Batch) -> Option<String> {
    let request = header.request.as_ref()?;
    let entries = batch.entries.iter().filter(|entry| {
        // Only who names the request can have opened it; the rest need not be read.
        entry.header.contains(request.as_str()) && entry.header.contains("\"request-opened\"")
    });
    let mut opened = entries.filter_map(|entry| Header::read(entry).ok());
    let opened = opened.find(|opened| {
        opened.request.as_ref() == Some(request) && opened.kind == "request-opened"
    })?;
    opened.fact("source").map(str::to_owned)
}

/// Type, subtypes and action (C, R, U, D or E).
fn kinds(pattern: &Pattern, header: &Header) -> (Value, Vec<Value>, &'static str) {
    let dcm = |code, display| coding(System::Dcm, code, display);
    let alert = || dcm("110113", "Security Alert");
    match pattern {
        Pattern::Disclosure => {
            let disclosed = "Disclose Record Lifecycle Event";
            let subtype = coding(System::Lifecycle, "disclose", disclosed);
            (dcm("110106", "Export"), vec![subtype], "R")
        }
        Pattern::Authorization => {
            let using = "Authorization Decision using only Roles";
            let subtype = coding(System::Authorization, "AuthZ-Role", using);
            (alert(), vec![subtype], "E")
        }
        Pattern::Read => {
            let kind = coding(System::EventType, "rest", "RESTful Operation");
            (kind, vec![coding(System::Interaction, "read", "read")], "R")
        }
        Pattern::Emergency => {
            let subtype = dcm("110127", "Emergency Override Started");
            (alert(), vec![subtype], "E")
        }
        Pattern::Other => match header.kind.as_str() {
            "log-opened" | "log-repaired" | "exported" | "anchored" | "tenant-committed"
            | "requests-counted" | "legal-hold" | "payloads-pruned" | "patient-sought"
            | "field-disclosed" | "event-shown" => (dcm("110101", "Audit Log Used"), vec![], "E"),
            "request-opened" | "request-closed" | "deidentified" | "sending" | "received"
            | "reidentified" | "passed-over" | "decision" | "shadow-judged" => {
                (dcm("110112", "Query"), vec![], "E")
            }
            _ => (alert(), vec![], "E"),
        },
    }
}

/// Where an entry stands: what its agents and entities are made of.
struct Place<'a> {
    header: &'a Header,
    settings: &'a Settings,
    origin: Option<String>,
}

impl Place<'_> {
    fn system(&self, of: &str) -> String {
        format!("{}:{of}", self.settings.identifier_system)
    }

    /// The gateway: source of every event, and an agent of most.
    fn device(&self) -> Value {
        reference("Device", &self.system("device"), &self.settings.device)
    }

    fn gateway(&self, kind: &Value) -> Value {
        let address = format!("{}:{}", self.system("device"), self.settings.device);
        agent_at(kind, &self.device(), Address::Uri(&address))
    }

    /// Who asked: the person or system, never a shared account.
    fn user(&self) -> Option<Value> {
        let caller = self.header.caller.as_ref()?;
        let kind = coding(System::Participation, "IRCP", "information recipient");
        let who = json!({
            "identifier": { "system": self.system("caller"), "value": caller }, "display": caller,
        });
        let mut user = agent(&kind, &who, true);
        if let (Some(code), Some(user)) = (&self.header.purpose, user.as_object_mut()) {
            user.insert("purposeOfUse".to_owned(), json!([purpose(code)]));
        }
        Some(user)
    }

    /// The program that asked, which the log knows by its address.
    fn client(&self, kind: &Value) -> Value {
        let address = self.origin.as_deref().map_or(Address::Unknown, Address::Ip);
        let who = json!({ "display": "client of the gateway" });
        agent_at(kind, &who, address)
    }

    fn tenant(&self) -> Value {
        reference("Organization", &self.system("tenant"), &self.header.tenant)
    }

    fn agents(&self, pattern: &Pattern) -> Vec<Value> {
        let dcm = |code, display| coding(System::Dcm, code, display);
        let (source, destination) = (
            || dcm("110153", "Source Role ID"),
            || dcm("110152", "Destination Role ID"),
        );
        let mut agents = match pattern {
            Pattern::Disclosure => {
                let endpoint = self.header.fact("endpoint").unwrap_or("withheld");
                let runs = self.header.fact("associate").unwrap_or(endpoint);
                let address = format!("{}:{endpoint}", self.system("endpoint"));
                let who = reference("Organization", &self.system("associate"), runs);
                vec![
                    self.gateway(&source()),
                    agent_at(&destination(), &who, Address::Uri(&address)),
                ]
            }
            Pattern::Authorization => {
                let (provider, authorizer) = (
                    coding(System::RoleClass, "PROV", "healthcare provider"),
                    coding(System::SecurityRole, "authserver", "authorization server"),
                );
                vec![
                    self.client(&dcm("110150", "Application")),
                    agent(&provider, &self.tenant(), false),
                    agent(&authorizer, &self.device(), false),
                ]
            }
            Pattern::Read => vec![self.client(&destination()), self.gateway(&source())],
            Pattern::Emergency | Pattern::Other => vec![self.gateway(&source())],
        };
        match (self.user(), pattern) {
            (Some(user), _) => agents.push(user),
            // The profile wants one; a decision without a caller is about the gateway's own doing.
            (None, Pattern::Authorization) => {
                let kind = coding(System::Participation, "IRCP", "information recipient");
                agents.push(agent(&kind, &self.device(), true));
            }
            (None, _) => {}
        }
        agents
    }

    /// The entry itself, and where it stands in the chain.
    fn chain(&self, entry: &Entry, batch: &Batch) -> Result<Vec<(&'static str, String)>, Error> {
        let header = self.header;
        let mut chain = vec![
            ("log", format!("{}/{}", batch.tenant, batch.log)),
            ("sequence", header.sequence.to_string()),
            ("hash", hash(entry, &entry.hash)?),
            ("previous", hash(entry, &entry.previous_hash)?),
            ("kind", header.kind.clone()),
            ("header", entry.header.clone()),
        ];
        if let Some(plugin) = &header.plugin {
            let named = format!("{} {} {}", plugin.name, plugin.version, plugin.digest);
            chain.push(("plugin", named));
        }
        Ok(chain)
    }

    fn entities(&self, pattern: &Pattern, chain: &[(&'static str, String)]) -> Vec<Value> {
        let header = self.header;
        let (log, sequence) = (self.system("log"), header.sequence.to_string());
        let value = format!("{}/{sequence}", header.tenant);
        let entry = |kind: Value, role: Option<Value>| {
            let mut entity = json!({
                "what": { "identifier": { "system": log, "value": value } },
                "type": kind,
                "detail": details(chain),
            });
            if let (Some(role), Some(entity)) = (role, entity.as_object_mut()) {
                entity.insert("role".to_owned(), role);
            }
            entity
        };
        let object = || coding(System::EntityType, "2", "System Object");
        let domain = || coding(System::ObjectRole, "4", "Domain Resource");
        let mut entities = match pattern {
            Pattern::Disclosure | Pattern::Read => vec![patient(), entry(object(), Some(domain()))],
            Pattern::Authorization => {
                let consent = coding(System::ResourceType, "Consent", "Consent");
                let mut policy = entry(consent, None);
                if let (Some(plugin), Some(policy)) = (&header.plugin, policy.as_object_mut()) {
                    let what = reference("Consent", &self.system("policy"), &plugin.digest);
                    policy.insert("what".to_owned(), what);
                }
                // The profile allows no other than these.
                return vec![patient(), policy];
            }
            Pattern::Emergency | Pattern::Other => vec![entry(object(), None)],
        };
        if let Some(request) = &header.request {
            let id = "transport specific unique identifier where http X-Request-Id is used";
            entities.push(json!({
                "what": { "identifier": { "system": self.system("request"), "value": request } },
                "type": coding(System::BalpEntityType, "XrequestId", id),
            }));
        }
        entities
    }
}
