//! What an auditor's command needs a tenant's keys for. Whatever is told is an entry of the tenant's log first (I1).

mod whole;

use std::collections::BTreeSet;

use nephron_audit::{Entry, ReadError};
use nephron_keys::KeyError;
use nephron_model::{
    Draft, EntryKind, EventId, FieldCommitment, Fingerprint, NotRecorded, Phi, Recorder as _,
    TenantId,
};
use serde::{Deserialize, Serialize};

use crate::case::{JUDGEMENT, QUESTION};
use crate::chain::connect::{RECEIVED, SENT};
use crate::chain::deidentify::REPLACEMENTS;
use crate::chain::reidentify::{RESTORATION, Restoration};
use crate::custody::{Custody, CustodyError, Served};
use crate::origin::{ORIGIN, Origin, PATIENT};
use crate::rerun::auditors_grant;
use crate::swap::{ANSWERS, SwapError, Warrant};
use crate::tenant::Tenant;

pub(crate) use whole::{Opened, Payload, Withheld};

/// What is asked, by whom and why.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Inquiry {
    pub(crate) tenant: TenantId,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) wanted: Wanted,
}

/// What is asked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Wanted {
    /// The digest by which the entries about the patient with this record number are found.
    Patient(String),
    /// A field that an entry of the event is committed to: of this entry, or of the one that has it.
    Field {
        event: EventId,
        field: String,
        entry: Option<u64>,
    },
    /// All that the entries of the event seal.
    Event(EventId),
}

/// What is told.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Told {
    /// A patient's digest.
    Patient(Fingerprint),
    /// A field.
    Field {
        /// The entry that is committed to it.
        sequence: u64,
        value: Vec<u8>,
        salt: [u8; 32],
    },
    /// Each entry of an event, in order.
    Event(Vec<Opened>),
}

/// Nothing is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InquiryError {
    #[error(transparent)]
    Warrant(#[from] SwapError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error("the keys of tenant `{tenant}` cannot be used")]
    Keys {
        tenant: TenantId,
        #[source]
        source: KeyError,
    },
    #[error("the log of tenant `{0}` holds no event {1}")]
    NoEvent(TenantId, EventId),
    #[error(
        "no entry of the event is committed to a field `{field}`{known}", known = listed(.known)
    )]
    NoField { field: String, known: Vec<String> },
    #[error("several entries have a field `{field}`: name one with `--entry`, of {}", .entries.join(", "))]
    Several { field: String, entries: Vec<String> },
    #[error("the payload of entry {0} is not in a form that is known")]
    Form(u64),
    #[error("what entry {0} sealed was kept long enough, and is pruned")]
    Pruned(u64),
    #[error("what entry {0} seals is not what it is committed to")]
    Differs(u64),
    #[error("the log of tenant `{tenant}` cannot be read")]
    Unreadable {
        tenant: TenantId,
        #[source]
        source: ReadError,
    },
    #[error("it cannot be recorded in the log of tenant `{tenant}`, and so is not told")]
    NotRecorded {
        tenant: TenantId,
        #[source]
        source: NotRecorded,
    },
}

impl Custody {
    /// Tells what is asked. `user` is who asks, as the system names him.
    pub(crate) async fn inquire(
        &self,
        served: &Served,
        inquiry: Inquiry,
        user: &str,
    ) -> Result<Told, InquiryError> {
        let warrant = Warrant::of(&inquiry.by, user, &inquiry.reason)?;
        let held = self.hold(served, &inquiry.tenant).await?;
        let told = match inquiry.wanted {
            Wanted::Patient(number) => patient(held.tenant(), &number, &warrant).await,
            Wanted::Field {
                event,
                field,
                entry,
            } => disclosed(held.tenant(), (event, &field, entry), &warrant).await,
            Wanted::Event(event) => whole::shown(held.tenant(), event, &warrant).await,
        };
        self.release(held)?;
        told
    }
}

/// What there is, where what was asked for is not.
fn listed(known: &[String]) -> String {
    if known.is_empty() {
        String::new()
    } else {
        format!("; there are {}", known.join(", "))
    }
}

async fn patient(tenant: &Tenant, number: &str, warrant: &Warrant) -> Result<Told, InquiryError> {
    let digest = tenant.keys().patient(number);
    let digest = digest.map_err(unusable(tenant))?;
    let sought = Draft::new(EntryKind::PatientSought, "told").fact(PATIENT, digest.to_string());
    record(tenant, sought, warrant).await?;
    Ok(Told::Patient(digest))
}

/// Opens the payload of the entry under a grant, and tells the field with the salt of its commitment.
async fn disclosed(
    tenant: &Tenant,
    (event, field, wanted): (EventId, &str, Option<u64>),
    warrant: &Warrant,
) -> Result<Told, InquiryError> {
    let entry = committed(tenant, event, field, wanted)?;
    let sequence = entry.header.sequence;
    let form = || InquiryError::Form(sequence);
    if entry.is_pruned {
        return Err(InquiryError::Pruned(sequence));
    }
    let sealed = entry.payload.as_ref().ok_or_else(form)?;
    let name = payload_of(entry.header.kind).ok_or_else(form)?;
    let grant = auditors_grant(tenant, warrant).map_err(unusable(tenant))?;
    let opened = grant.open_payload(sealed, Some(event), name).await;
    let opened = opened.map_err(unusable(tenant))?;
    let value = value_of(name, field, opened.expose()).ok_or_else(form)?;
    let commitment = tenant.keys().commit(event, field, value.expose());
    let FieldCommitment { salt, digest } = commitment.map_err(unusable(tenant))?;
    if entry.header.facts.get(&FieldCommitment::fact(field)) != Some(&digest.to_string()) {
        return Err(InquiryError::Differs(sequence));
    }
    let told = Draft::new(EntryKind::FieldDisclosed, "told")
        .about(event)
        .fact("field", field)
        .fact("entry", sequence.to_string());
    record(tenant, told, warrant).await?;
    Ok(Told::Field {
        sequence,
        value: value.into_inner(),
        salt,
    })
}

/// The one entry of an event that is committed to a field.
fn committed(
    tenant: &Tenant,
    event: EventId,
    field: &str,
    wanted: Option<u64>,
) -> Result<Entry, InquiryError> {
    let fact = FieldCommitment::fact(field);
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    for entry in entries_of(tenant, event)? {
        let sequence = entry.header.sequence;
        let facts = entry.header.facts.keys();
        known.extend(
            facts.filter_map(|fact| Some(fact.strip_prefix(FieldCommitment::FACT)?.to_owned())),
        );
        if entry.header.facts.contains_key(&fact) && wanted.is_none_or(|wanted| wanted == sequence)
        {
            found.push(entry);
        }
    }
    match found.len() {
        0 | 1 => found.pop().ok_or_else(|| InquiryError::NoField {
            field: field.to_owned(),
            known: known.into_iter().collect(),
        }),
        _ => Err(InquiryError::Several {
            field: field.to_owned(),
            entries: found
                .iter()
                .map(|entry| entry.header.sequence.to_string())
                .collect(),
        }),
    }
}

/// The entries of an event, of which there is at least one, in order.
fn entries_of(tenant: &Tenant, event: EventId) -> Result<Vec<Entry>, InquiryError> {
    let unreadable = |source| InquiryError::Unreadable {
        tenant: tenant.id().clone(),
        source,
    };
    let log = tenant.log();
    let sequences = log.of_request(event).map_err(unreadable)?;
    if sequences.is_empty() {
        return Err(InquiryError::NoEvent(tenant.id().clone(), event));
    }
    let mut entries = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        entries.extend(log.entry(sequence).map_err(unreadable)?);
    }
    Ok(entries)
}

/// The name that is bound into the seal of what entries of a kind seal.
fn payload_of(kind: EntryKind) -> Option<&'static str> {
    [
        (EntryKind::Decision, JUDGEMENT),
        (EntryKind::ShadowJudged, ANSWERS),
        (EntryKind::Quarantined, QUESTION),
        (EntryKind::Deidentified, REPLACEMENTS),
        (EntryKind::RequestOpened, ORIGIN),
        (EntryKind::RequestRefused, ORIGIN),
        (EntryKind::Sending, SENT),
        (EntryKind::Received, RECEIVED),
        (EntryKind::Reidentified, RESTORATION),
    ]
    .into_iter()
    .find_map(|(of, name)| (of == kind).then_some(name))
}

/// The value of a field, from the payload of this name.
fn value_of(name: &str, field: &str, payload: &[u8]) -> Option<Phi<Vec<u8>>> {
    let value = match name {
        ORIGIN => {
            let origin: Phi<Origin> = Phi::new(serde_json::from_slice(payload).ok()?);
            let fields = origin.expose().fields().into_iter();
            let mut values = fields.filter(|(name, _)| name == field);
            values.next()?.1.into_inner().into_bytes()
        }
        RESTORATION => {
            let both: Phi<Restoration> = Phi::new(serde_json::from_slice(payload).ok()?);
            match field {
                "answered" => both.expose().answered.clone().into_bytes(),
                "restored" => both.expose().restored.clone().into_bytes(),
                _ => return None,
            }
        }
        _ => payload.to_vec(),
    };
    Some(Phi::new(value))
}

async fn record(tenant: &Tenant, draft: Draft, warrant: &Warrant) -> Result<(), InquiryError> {
    let draft = draft
        .fact("by", warrant.by.as_str())
        .fact("reason", warrant.reason.as_str());
    let recorded = tenant.log().record(draft).await;
    recorded
        .map(drop)
        .map_err(|source| InquiryError::NotRecorded {
            tenant: tenant.id().clone(),
            source,
        })
}

fn unusable(tenant: &Tenant) -> impl Fn(KeyError) -> InquiryError {
    |source| InquiryError::Keys {
        tenant: tenant.id().clone(),
        source,
    }
}
