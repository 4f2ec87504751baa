//! An event told whole: what each of its entries seals, opened under one grant.

use nephron_audit::Entry;
use nephron_keys::{Grant, KeyError};
use nephron_model::{Draft, EntryKind, EventId};
use serde::{Deserialize, Serialize};

use super::{InquiryError, Told, entries_of, payload_of, record, unusable};
use crate::rerun::auditors_grant;
use crate::swap::Warrant;
use crate::tenant::Tenant;

/// An entry of the event, and what it seals.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opened {
    pub(crate) sequence: u64,
    /// Nothing where the entry seals nothing.
    pub(crate) payload: Option<Payload>,
}

/// What an entry seals.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    /// The name that is bound into the seal (docs/formats/judgement.md).
    pub(crate) name: String,
    /// The bytes as they were sealed, or why they are not told.
    pub(crate) found: Result<Vec<u8>, Withheld>,
}

/// Why a payload is not told.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Withheld {
    /// It was kept long enough, and taken away.
    Pruned,
    /// The key that it was sealed under is destroyed.
    Destroyed,
    /// It is not what was sealed there.
    Altered,
    /// No payload of such an entry is known here: it was written by a later version.
    Unknown,
}

/// Opens all that the entries of an event seal. What cannot be opened is told so; the rest is told all the same.
pub(super) async fn shown(
    tenant: &Tenant,
    event: EventId,
    warrant: &Warrant,
) -> Result<Told, InquiryError> {
    let entries = entries_of(tenant, event)?;
    let grant = auditors_grant(tenant, warrant).map_err(unusable(tenant))?;
    let mut opened = Vec::with_capacity(entries.len());
    let (mut payloads, mut withheld) = (0, 0);
    for entry in &entries {
        let payload = open(&grant, entry).await.map_err(unusable(tenant))?;
        match payload.as_ref().map(|payload| &payload.found) {
            Some(Ok(_)) => payloads += 1,
            Some(Err(_)) => withheld += 1,
            None => {}
        }
        opened.push(Opened {
            sequence: entry.header.sequence,
            payload,
        });
    }
    let mut told = Draft::new(EntryKind::EventShown, "told").about(event);
    told.counts.insert("payloads".to_owned(), payloads);
    told.counts.insert("withheld".to_owned(), withheld);
    record(tenant, told, warrant).await?;
    Ok(Told::Event(opened))
}

async fn open(grant: &Grant, entry: &Entry) -> Result<Option<Payload>, KeyError> {
    let header = &entry.header;
    if header.payload.is_none() {
        return Ok(None);
    }
    let name = payload_of(header.kind);
    let found = match (name, &entry.payload) {
        _ if entry.is_pruned => Err(Withheld::Pruned),
        (Some(name), Some(sealed)) => {
            match grant.open_payload(sealed, header.request, name).await {
                Ok(opened) => Ok(opened.into_inner()),
                Err(KeyError::Destroyed) => Err(Withheld::Destroyed),
                Err(KeyError::AuthenticationFailed) => Err(Withheld::Altered),
                Err(error) => return Err(error),
            }
        }
        (None, _) | (_, None) => Err(Withheld::Unknown),
    };
    let name = name.unwrap_or_default().to_owned();
    Ok(Some(Payload { name, found }))
}
