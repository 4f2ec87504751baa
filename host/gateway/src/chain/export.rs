//! Stage 9: entries, from a cursor, to exporters. Off the request's path, unless an export says otherwise; at least once; never PHI.
//!
//! Read [`ship`] for what becomes of one log's entries at one export, `shipping.rs` for all of them beside one another,
//! `standing.rs` for when the next try is.

mod cursor;
mod shipping;
mod standing;

use std::io::Write as _;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::OpenOptions;
use nephron_engine::contract::{Batch, Delivery, Entry, Instant};
use nephron_engine::{Engine, PluginFailure};
use nephron_model::{
    Clock, Commit, Draft, EntryKind, Point, Record, Recorded, Recorder as _, Timestamp,
};
use tokio::sync::Semaphore;

use crate::aftermath::Unsettled;
use crate::config::{Export, ExportPlace};
use crate::courier::{Courier, Trouble};
use crate::egress::{Egress, Outgoing, write_stream};
use crate::refusal::Refusal;
use crate::roster::Roster;
use crate::tenant::Tenant;
use cursor::Cursor;
pub(crate) use shipping::{ExportState, Shipping};
use standing::{Next, Standing};

/// Bytes of headers that are encoded at once: what is made of them must fit a plugin's memory and an entry of the log.
const LARGEST_BATCH: usize = 1 << 20;

/// What a delivery is done with.
struct Means<'a> {
    engine: &'a Engine,
    roster: &'a Roster,
    egress: &'a Egress,
    clock: &'a dyn Clock,
    /// Of the export, for those who deliver to it.
    places: &'a Semaphore,
}

/// Delivers to one export everything before `until` in one log that it has not had. Entries about exporting itself wait for
/// others to travel with: else each delivery would be the cause of the next.
///
/// # Errors
/// [`Refusal`]: something was not delivered now. `standing` says when the next try is.
async fn ship(
    means: &Means<'_>,
    tenant: &Tenant,
    export: &Export,
    standing: &Standing,
    until: u64,
) -> Result<(), Refusal> {
    let _turn = standing.turn().await;
    // It is never closed. Whoever waits for a turn holds no place that another log wants.
    let _place = means.places.acquire().await;
    let told = |why: &'static str| {
        standing.tell(tenant, export, why);
        failed(export, PluginFailure::NotRun(why))
    };
    let mut cursor = Cursor::read(tenant, &export.name).map_err(|_| told("cursor-unreadable"))?;
    loop {
        standing.stands_at(cursor);
        if cursor.next >= until {
            standing.has_no_news(cursor.next);
            return Ok(());
        }
        let from = standing.looked().max(cursor.next);
        let news = news(tenant, from..until).map_err(|()| told("log-unreadable"))?;
        let Some(oldest) = news else {
            standing.has_no_news(until);
            return Ok(());
        };
        standing.has_news(oldest);
        let end = until.min(cursor.next.saturating_add(standing.most(export.batch)));
        let batch = batch(tenant, cursor.next..end).map_err(|()| told("log-unreadable"))?;
        let range = cursor.next..cursor.next.saturating_add(number(batch.entries.len()));
        let parcel = Parcel {
            means,
            tenant,
            export,
            range: &range,
            begun: Mutex::default(),
        };
        let trouble = match parcel.deliver(batch).await {
            Ok(()) => {
                cursor.next = range.end;
                let draft = parcel.keeping("delivered", cursor.record(&export.name));
                let _recorded = parcel.tell(draft).await?;
                standing.delivered(export.batch);
                continue;
            }
            Err(trouble) => trouble,
        };
        let next = standing.failed(&trouble, &range, export.before_reply);
        match (trouble, next) {
            (Trouble::NotRecorded(error), _) => return Err(error.into()),
            (Trouble::Later(why, _), _) => {
                parcel.record("failed", why).await?;
                return Err(told(why));
            }
            (Trouble::Refused(why), Next::Fewer) => parcel.record("refused", &why).await?,
            (Trouble::Refused(why), Next::Again) => {
                parcel.record("refused", &why).await?;
                return Err(told("refused"));
            }
            (Trouble::Refused(why), Next::SetAside) => {
                cursor.next = range.end;
                cursor.set_aside = cursor.set_aside.saturating_add(1);
                let mut draft = parcel.keeping("set-aside", cursor.record(&export.name));
                draft.reasons.push(why.clone());
                let _recorded = parcel.tell(draft).await?;
                standing.stands_at(cursor);
                tracing::error!(
                    tenant = %tenant.id(), export = export.name, entry = range.start, reason = why,
                    "an entry was refused for good and is set aside: `nephron audit show` has it, and nobody delivers it any more"
                );
                return Err(failed(export, PluginFailure::NotRun("set-aside")));
            }
        }
    }
}

fn failed(export: &Export, failure: PluginFailure) -> Refusal {
    Refusal::PluginFailed {
        point: Point::Export,
        plugin: export.plugin.clone(),
        failure,
    }
}

/// The time of the first entry that is not about exporting, if there is one.
fn news(tenant: &Tenant, range: Range<u64>) -> Result<Option<Timestamp>, ()> {
    for entry in tenant.log().entries(range) {
        let header = entry.map_err(drop)?.header;
        if header.kind != EntryKind::Exported && header.point != Some(Point::Export) {
            return Ok(Some(header.time));
        }
    }
    Ok(None)
}

/// The entries of a range, as far as they are not too many bytes; at least one.
fn batch(tenant: &Tenant, range: Range<u64>) -> Result<Batch, ()> {
    let first = range.start;
    let mut entries = Vec::new();
    let mut bytes = 0;
    for entry in tenant.log().entries(range) {
        let entry = entry.map_err(drop)?;
        bytes += entry.header_bytes.len();
        if bytes > LARGEST_BATCH && !entries.is_empty() {
            break;
        }
        let at = entry.header.time;
        entries.push(Entry {
            sequence: entry.header.sequence,
            at: Instant {
                seconds: at.seconds,
                nanoseconds: at.nanoseconds,
            },
            header: String::from_utf8(entry.header_bytes).map_err(drop)?,
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

/// Entries on their way.
struct Parcel<'a> {
    means: &'a Means<'a>,
    tenant: &'a Tenant,
    export: &'a Export,
    range: &'a Range<u64>,
    /// What is about to leave, until what came of it is told.
    begun: Mutex<Option<Unsettled<'a>>>,
}

impl<'a> Parcel<'a> {
    async fn deliver(&self, batch: Batch) -> Result<(), Trouble> {
        let Self {
            means,
            tenant,
            export,
            ..
        } = self;
        let plugin = means.roster.exporter(&export.plugin);
        let courier = Courier {
            engine: means.engine,
            plugin: plugin.map_err(|_| Trouble::Later("no-plugin", None))?,
            egress: means.egress,
            clock: means.clock,
            tenant,
            generation: means.roster.generation(),
        };
        let (delivery, _recorded) = courier.encode(batch).await?;
        match (delivery, &export.place) {
            (Delivery::Bytes(bytes), ExportPlace::File(name)) => {
                let recorded = self.intent(self.about("delivering")).await?;
                let appended = append(tenant, name, &bytes, recorded);
                appended.map_err(|error| {
                    tracing::error!(tenant = %tenant.id(), export = export.name, file = name, %error, "entries could not be appended");
                    Trouble::Later("not-appended", None)
                })
            }
            (Delivery::Bytes(bytes), ExportPlace::Stream(upstream)) => {
                let recorded = self.intent(self.about("delivering")).await?;
                Ok(write_stream(upstream, &bytes, recorded).await?)
            }
            (Delivery::Http(request), ExportPlace::Http(upstream)) => {
                let request = courier.signed(request, upstream).await?;
                let outgoing = Outgoing::new(request, upstream)?;
                let intent = self
                    .about("delivering")
                    .fact("method", outgoing.method().to_owned());
                let recorded = self.intent(intent).await?;
                let again = self.about("confirming");
                courier.deliver(outgoing, upstream, recorded, &again).await
            }
            (Delivery::Bytes(_), ExportPlace::Http(_)) => Err(Trouble::Later("wants-a-file", None)),
            (Delivery::Http(_), ExportPlace::File(_) | ExportPlace::Stream(_)) => {
                Err(Trouble::Later("wants-a-url", None))
            }
        }
    }

    async fn intent(&self, draft: Draft) -> Result<Recorded, Trouble> {
        let (unsettled, recorded) = Unsettled::begin(self.tenant.log(), draft).await?;
        *self.begun() = Some(unsettled);
        Ok(recorded)
    }

    async fn record(&self, outcome: &str, why: &str) -> Result<(), Refusal> {
        let mut draft = self.about(outcome);
        draft.reasons.push(why.to_owned());
        let _recorded = self.tell(draft).await?;
        Ok(())
    }

    /// Records what came of it.
    fn tell(&self, outcome: Draft) -> Commit {
        match self.begun().take() {
            Some(unsettled) => unsettled.settle(outcome),
            None => self.tenant.log().record(outcome),
        }
    }

    fn begun(&self) -> MutexGuard<'_, Option<Unsettled<'a>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeping(&self, outcome: &str, record: Record) -> Draft {
        let mut draft = self.about(outcome);
        draft.records.push(record);
        draft
    }

    fn about(&self, outcome: &str) -> Draft {
        Draft::new(EntryKind::Exported, outcome)
            .fact("exporter", self.export.name.as_str())
            .fact("first", self.range.start.to_string())
            .fact("last", self.range.end.saturating_sub(1).to_string())
    }
}

/// Appends to a file within the tenant's folder, durably.
fn append(tenant: &Tenant, name: &str, bytes: &[u8], recorded: Recorded) -> std::io::Result<()> {
    let _proof = recorded;
    let mut file = tenant
        .exports()
        .open_with(name, OpenOptions::new().append(true).create(true))?;
    let length = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // No half of a line stays for the next attempt to be glued to.
        file.set_len(length)?;
    }
    written
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
