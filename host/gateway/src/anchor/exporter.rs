//! A server that an exporter plugin speaks to: S3 under Object Lock, which keeps what it took from everybody, the operator
//! included, for as long as the plugin's settings say.

use nephron_audit::SignedCheckpoint;
use nephron_engine::contract::{Batch, Delivery, Entry, Instant};
use nephron_model::{Draft, EntryKind, NotRecorded};

use super::{AnchorError, Means};
use crate::config::Upstream;
use crate::courier::{Courier, Trouble};
use crate::egress::Outgoing;
use crate::host_log::{CommitError, HostLog};

/// Has the plugin put a checkpoint there, for the anchor of this name. It is handed the newest entry that the checkpoint covers too, by
/// whose time it reckons.
pub(super) async fn put(
    means: &Means<'_>,
    host: &HostLog,
    name: &str,
    (plugin, upstream): (&str, &Upstream),
    signed: &SignedCheckpoint,
) -> Result<(), AnchorError> {
    let own = host.keeper().open();
    let own = own.ok_or(CommitError::NotRecorded(NotRecorded::Closed))?;
    let size = signed.checkpoint.size;
    let last = size.saturating_sub(1);
    let entry = own.log().entry(last).ok().flatten();
    let entry = entry.ok_or(AnchorError::Trouble("unreadable"))?;
    let at = entry.header.time;
    let entry = Entry {
        sequence: entry.header.sequence,
        at: Instant {
            seconds: at.seconds,
            nanoseconds: at.nanoseconds,
        },
        header: String::from_utf8_lossy(&entry.header_bytes).into_owned(),
        previous_hash: entry.header.previous.0.to_vec(),
        hash: entry.hash.0.to_vec(),
    };
    let batch = Batch {
        tenant: own.id().to_string(),
        log: "audit".to_owned(),
        first: last,
        entries: vec![entry],
        checkpoint: Some(signed.note.clone()),
    };
    let exporter = means.roster.exporter(plugin);
    let courier = Courier {
        engine: means.engine,
        plugin: exporter.map_err(|_| AnchorError::Trouble("no-plugin"))?,
        egress: means.egress,
        clock: means.clock,
        tenant: &own,
        generation: means.roster.generation(),
    };
    let (delivery, recorded) = courier.encode(batch).await?;
    let Delivery::Http(request) = delivery else {
        return Err(AnchorError::Trouble("wants-a-file"));
    };
    let request = courier.signed(request, upstream).await?;
    let outgoing = Outgoing::new(request, upstream)?;
    let again = again(name, signed.checkpoint.size);
    Ok(courier
        .deliver(outgoing, upstream, recorded, &again)
        .await?)
}

/// That the server is about to be asked whether it has kept what it accepted.
fn again(name: &str, entries: u64) -> Draft {
    let mut again = Draft::new(EntryKind::Anchored, "confirming").fact("anchor", name);
    again.counts.insert("entries".to_owned(), entries);
    again
}

impl From<Trouble> for AnchorError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(_) => Self::Trouble("refused"),
            Trouble::Later(why, _) => Self::Trouble(why),
            Trouble::NotRecorded(error) => CommitError::NotRecorded(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nephron_audit::{Log, Options, VerifyOptions, verify};
    use nephron_model::{FixedClock, Recorder as _, TenantId};

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_asked_again_belongs_to_the_anchor_that_asks() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(1_795_305_802));
        let host = TenantId::host();
        let log = Log::open(folder.path(), &host, clock, Options::default()).unwrap();
        let told = |outcome: &str| Draft::new(EntryKind::Anchored, outcome).fact("anchor", "s3");
        for draft in [
            told("anchoring"),
            again("s3", 7),
            again("s3", 7),
            told("anchored"),
        ] {
            let _recorded = log.record(draft).await.unwrap();
        }
        let entry = log.entry(2).unwrap().unwrap().header;
        assert_eq!(
            (&*entry.facts["anchor"], entry.counts["entries"]),
            ("s3", 7)
        );
        log.close().unwrap();
        let verdict = verify(folder.path(), VerifyOptions::default()).unwrap();
        assert!(verdict.is_whole(), "{:?}", verdict.gaps);
    }
}
