//! Stage 9: entries, from a cursor, to exporters. Off the request's path; at least once; never PHI.

use std::io::Write as _;

use cap_std::fs::OpenOptions;
use nephron_engine::contract::{Batch, Delivery, Entry, Instant};
use nephron_engine::{Answer, Judgement, PluginFailure};
use nephron_model::{Draft, EntryKind, Point, Record, Recorder as _, Records as _, Space};

use crate::case::of_judgement;
use crate::config::Export;
use crate::gateway::Gateway;
use crate::refusal::Refusal;
use crate::tenant::Tenant;

/// Delivers to one exporter everything that was in the log when this began and that it has not had. Entries about
/// exporting itself wait for others to travel with: else each delivery would be the cause of the next.
pub(crate) async fn export(
    gateway: &Gateway,
    tenant: &Tenant,
    export: &Export,
) -> Result<(), Refusal> {
    let until = tenant.log().head().entries;
    let mut next = cursor(tenant, export)?;
    if !has_news(tenant, export, next..until)? {
        return Ok(());
    }
    while next < until {
        let end = until.min(next.saturating_add(export.batch));
        deliver(gateway, tenant, export, next..end).await?;
        next = end;
    }
    Ok(())
}

fn has_news(
    tenant: &Tenant,
    export: &Export,
    range: std::ops::Range<u64>,
) -> Result<bool, Refusal> {
    for entry in tenant.log().entries(range) {
        let header = entry.map_err(|_| unreadable(export))?.header;
        if header.kind != EntryKind::Exported && header.point != Some(Point::Export) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unreadable(export: &Export) -> Refusal {
    failed(export, PluginFailure::NotRun("log-unreadable"))
}

fn failed(export: &Export, failure: PluginFailure) -> Refusal {
    Refusal::PluginFailed {
        point: Point::Export,
        plugin: export.plugin.clone(),
        failure,
    }
}

fn cursor(tenant: &Tenant, export: &Export) -> Result<u64, Refusal> {
    let unreadable = |_| failed(export, PluginFailure::NotRun("cursor-unreadable"));
    let kept = tenant
        .log()
        .read(Space::Cursor, export.plugin.as_bytes())
        .map_err(unreadable)?;
    Ok(kept
        .and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)))
        .unwrap_or_default())
}

async fn deliver(
    gateway: &Gateway,
    tenant: &Tenant,
    export: &Export,
    range: std::ops::Range<u64>,
) -> Result<(), Refusal> {
    let roster = gateway.roster();
    let plugin = roster.exporter(&export.plugin)?;
    let judgement = Judgement::Export(batch(tenant, export, range.clone())?);
    let verdict = gateway.engine().call(plugin, &judgement, None).await;
    let draft = Draft {
        point: Some(Point::Export),
        ..Draft::new(EntryKind::Decision, "")
    };
    let draft = of_judgement(tenant, None, draft, plugin, &judgement, &verdict)?;
    let _judged = tenant.log().record(draft).await?;
    let delivery = verdict
        .answer
        .and_then(Answer::delivery)
        .map_err(|failure| failed(export, failure))?;

    let (first, last) = (
        range.start.to_string(),
        range.end.saturating_sub(1).to_string(),
    );
    let about = |outcome: &str| {
        let draft =
            Draft::new(EntryKind::Exported, outcome).fact("exporter", export.plugin.as_str());
        draft
            .fact("first", first.as_str())
            .fact("last", last.as_str())
    };
    let _intent = tenant.log().record(about("delivering")).await?;
    let delivered = match delivery {
        Delivery::Bytes(bytes) => append(tenant, export, &bytes),
        Delivery::Http(_) => Err(std::io::Error::other(
            "this export has a file, not an endpoint",
        )),
    };
    let mut outcome = about(if delivered.is_ok() {
        "delivered"
    } else {
        "failed"
    });
    if delivered.is_ok() {
        outcome.records.push(Record {
            space: Space::Cursor,
            key: export.plugin.as_bytes().to_vec(),
            value: range.end.to_le_bytes().to_vec(),
        });
    }
    let _recorded = tenant.log().record(outcome).await?;
    delivered.map_err(|error| {
        tracing::error!(exporter = export.plugin, file = export.file, %error, "entries could not be delivered");
        failed(export, PluginFailure::NotRun("delivery-failed"))
    })
}

fn batch(tenant: &Tenant, export: &Export, range: std::ops::Range<u64>) -> Result<Batch, Refusal> {
    let first = range.start;
    let mut entries = Vec::new();
    for entry in tenant.log().entries(range) {
        let entry = entry.map_err(|_| unreadable(export))?;
        let at = entry.header.time;
        entries.push(Entry {
            sequence: entry.header.sequence,
            at: Instant {
                seconds: at.seconds,
                nanoseconds: at.nanoseconds,
            },
            header: String::from_utf8(entry.header_bytes).map_err(|_| unreadable(export))?,
            previous_hash: entry.header.previous.0.to_vec(),
            hash: entry.hash.0.to_vec(),
        });
    }
    Ok(Batch {
        tenant: tenant.id().to_string(),
        log: "audit".to_owned(),
        first,
        entries,
        checkpoint: None,
    })
}

/// Appends to the export's file within the tenant's folder, durably.
fn append(tenant: &Tenant, export: &Export, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tenant
        .exports()
        .open_with(&export.file, OpenOptions::new().append(true).create(true))?;
    let length = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // No half of a line stays for the next attempt to be glued to.
        file.set_len(length)?;
    }
    written
}
