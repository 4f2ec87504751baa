//! Parts of an AuditEvent (FHIR R4, <http://hl7.org/fhir/R4/auditevent.html>), and the codes that name them.

use serde_json::{Value, json};

/// A code system that BALP takes codes from.
#[derive(Clone, Copy)]
pub(crate) enum System {
    /// DICOM Controlled Terminology.
    Dcm,
    /// `audit-event-type`.
    EventType,
    /// `restful-interaction`.
    Interaction,
    /// `iso-21089-lifecycle`.
    Lifecycle,
    /// BALP's `AuthZsubType`.
    Authorization,
    /// `v3-ParticipationType`.
    Participation,
    /// `v3-RoleClass`.
    RoleClass,
    /// `extra-security-role-type`.
    SecurityRole,
    /// `audit-entity-type`.
    EntityType,
    /// `object-role`.
    ObjectRole,
    /// `resource-types`.
    ResourceType,
    /// BALP's `BasicAuditEntityType`.
    BalpEntityType,
    /// `security-source-type`.
    Source,
    /// `v3-ActReason`: purposes of use.
    Purpose,
}

impl System {
    const fn url(self) -> &'static str {
        match self {
            Self::Dcm => "http://dicom.nema.org/resources/ontology/DCM",
            Self::EventType => "http://terminology.hl7.org/CodeSystem/audit-event-type",
            Self::Interaction => "http://hl7.org/fhir/restful-interaction",
            Self::Lifecycle => "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
            Self::Authorization => "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType",
            Self::Participation => "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
            Self::RoleClass => "http://terminology.hl7.org/CodeSystem/v3-RoleClass",
            Self::SecurityRole => "http://terminology.hl7.org/CodeSystem/extra-security-role-type",
            Self::EntityType => "http://terminology.hl7.org/CodeSystem/audit-entity-type",
            Self::ObjectRole => "http://terminology.hl7.org/CodeSystem/object-role",
            Self::ResourceType => "http://hl7.org/fhir/resource-types",
            Self::BalpEntityType => {
                "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
            }
            Self::Source => "http://terminology.hl7.org/CodeSystem/security-source-type",
            Self::Purpose => "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        }
    }
}

/// A Coding.
pub(crate) fn coding(system: System, code: &str, display: &str) -> Value {
    json!({ "system": system.url(), "code": code, "display": display })
}

/// A CodeableConcept of one coding.
fn concept(coding: &Value) -> Value {
    json!({ "coding": [coding] })
}

/// A purpose of use.
pub(crate) fn purpose(code: &str) -> Value {
    concept(&json!({ "system": System::Purpose.url(), "code": code }))
}

/// A reference by an identifier: what the log names has no address here.
pub(crate) fn reference(kind: &str, system: &str, value: &str) -> Value {
    json!({ "type": kind, "identifier": { "system": system, "value": value }, "display": value })
}

/// That there is something which the log does not name.
fn absent(why: &str) -> Value {
    json!([{ "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": why }])
}

/// An agent.
pub(crate) fn agent(kind: &Value, who: &Value, is_requestor: bool) -> Value {
    json!({ "type": concept(kind), "who": who, "requestor": is_requestor })
}

/// The same at an address of the network: an IP address (2) or a URI (5), or one that the log does not name.
pub(crate) fn agent_at(kind: &Value, who: &Value, address: Address<'_>) -> Value {
    let network = match address {
        Address::Ip(address) => json!({ "address": address, "type": "2" }),
        Address::Uri(address) => json!({ "address": address, "type": "5" }),
        Address::Unknown => json!({ "extension": absent("unknown") }),
    };
    json!({ "type": concept(kind), "who": who, "requestor": false, "network": network })
}

/// Where an agent is.
#[derive(Clone, Copy)]
pub(crate) enum Address<'a> {
    Ip(&'a str),
    Uri(&'a str),
    Unknown,
}

/// The patient, whom no header of the log names: that there is one is all that an exporter may know.
pub(crate) fn patient() -> Value {
    json!({
        "what": { "type": "Patient", "extension": absent("masked") },
        "type": coding(System::EntityType, "1", "Person"),
        "role": coding(System::ObjectRole, "1", "Patient"),
    })
}

/// Names and values.
pub(crate) fn details<'a>(
    details: impl IntoIterator<Item = &'a (&'static str, String)>,
) -> Vec<Value> {
    let detail =
        |(name, value): &(&'static str, String)| json!({ "type": name, "valueString": value });
    details.into_iter().map(detail).collect()
}
