//! Anchors: checkpoints of the host's log, which commit to every tenant's, in the hands of others.
//!
//! Each act has its intent in the host's log before it and its outcome after, and what others signed is kept below
//! `host/anchors`. Who holds the newest of it can tell any later state of the data folder from a true one.

mod exporter;
mod hung;
mod timestamp;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Builder;
use nephron_audit::{KeepError, NoteError, ProveError, SignedCheckpoint};
use nephron_engine::Engine;
use nephron_keys::random::RandomError;
use nephron_model::{Clock, Timestamp};
use tokio::sync::watch;
use tracing::{error, info};

use self::hung::Hand;
use crate::config::{Anchor, AnchorPlace, AnchorService};
use crate::egress::{Egress, EgressError, exchange};
use crate::host_log::{CommitError, HostLog};
use crate::roster::Roster;

/// An anchor that took nothing for longer is an alert.
const TOO_OLD: Duration = Duration::from_secs(25 * 3600);
/// After the first failure it is tried again so soon, then ever later, and at least so often.
const SOONEST: Duration = Duration::from_secs(10);
const RAREST: Duration = Duration::from_secs(600);
/// For a directory to take a checkpoint of some hundred bytes. The others have limits of their own: those of `exchange`, and
/// an exporter's `timeout`.
const DIRECTORY: Duration = Duration::from_secs(30);

/// The anchors of one process.
pub(crate) struct Anchors {
    all: Vec<Standing>,
    /// Where what others signed is kept.
    folder: PathBuf,
    every: Duration,
    /// The way to those that a plugin speaks to.
    egress: Egress,
    /// Somebody wants all of them now.
    asked: AtomicBool,
    /// When this process began to ask them.
    since: Timestamp,
    /// The gateway stops, and waits for none of them.
    stopping: watch::Sender<bool>,
}

struct Standing {
    anchor: Anchor,
    state: Mutex<State>,
    /// Who writes to its directory, if it is one.
    hand: Hand,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What it took last, and when.
    last: Option<Taken>,
    /// When it was tried last, and how often that has failed since.
    tried: Option<Timestamp>,
    failures: u32,
}

impl State {
    /// Whether it took nothing for too long; of one that has never taken anything, in a process that runs since `since`.
    fn is_too_old(&self, since: Timestamp, now: Timestamp) -> bool {
        match self.last {
            // The clock may have been ahead when it took one.
            Some(taken) => taken.at > now || now.since(taken.at) > TOO_OLD,
            // Its first try has failed, or never came to an end.
            None => self.failures > 0 || now.since(since) > TOO_OLD,
        }
    }
}

/// What an anchor took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) at: Timestamp,
    /// Entries of the host's log that the checkpoint covers.
    pub(crate) entries: u64,
}

/// What plugins that speak to anchors are asked with.
pub(crate) struct Means<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) roster: &'a Roster,
    pub(crate) egress: &'a Egress,
    pub(crate) clock: &'a dyn Clock,
}

/// What an anchor gives back: what is kept of it, with the ending of its name.
pub(crate) struct Receipt {
    pub(crate) ending: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// How an anchor stands, for operators.
pub(crate) struct AnchorState<'a> {
    pub(crate) name: &'a str,
    pub(crate) last: Option<Taken>,
    pub(crate) is_too_old: bool,
}

/// An anchor did not take the checkpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnchorError {
    #[error(transparent)]
    Log(#[from] CommitError),
    #[error("the growth of the host's log cannot be proved")]
    Unproved(#[from] ProveError),
    #[error(transparent)]
    Kept(#[from] KeepError),
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error(
        "it has seen {seen} entries, more than the host's log holds: the data folder was put back"
    )]
    PutBack { seen: u64 },
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("the time-stamp authority refused")]
    Refused,
    #[error("its answer is not in the form of its standard")]
    Malformed,
    #[error("its time stamp is of something else than was asked for")]
    OtherStamp,
    #[error(
        "it did not answer within {} seconds; it is asked again once it has: look whether its mount hangs", .0.as_secs()
    )]
    Hangs(Duration),
    #[error("the gateway stops and waits for no anchor; it is asked again after the start")]
    Stopping,
    #[error("its server did not take it: `{0}`")]
    Trouble(&'static str),
    #[error("its cosignature does not count")]
    Cosignature(#[from] NoteError),
    #[error("what it signed cannot be kept in `{path}`", path = .path.display())]
    Receipt {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl AnchorError {
    /// The code that stands in the log.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Log(_) => "log-failed",
            Self::Unproved(_) => "unproved",
            Self::Kept(KeepError::Differs { .. }) => "differs",
            Self::Kept(KeepError::Ahead { .. }) => "put-back",
            Self::Kept(_) => "storage-failed",
            Self::Egress(error) => error.code(),
            Self::PutBack { .. } => "put-back",
            Self::Status(_) | Self::Refused => "refused",
            Self::Malformed => "malformed-answer",
            Self::OtherStamp => "other-stamp",
            Self::Hangs(_) => "hangs",
            Self::Stopping => "stopping",
            Self::Trouble(code) => code,
            Self::Cosignature(_) => "bad-cosignature",
            Self::Receipt { .. } => "receipt-not-kept",
            Self::Random(_) => "no-random",
        }
    }
}

impl Anchors {
    /// The anchors of the configuration, as the host's log remembers them.
    pub(crate) fn new(
        anchors: &[Anchor],
        folder: PathBuf,
        every: Duration,
        egress: Egress,
        host: &HostLog,
        now: Timestamp,
    ) -> Result<Self, CommitError> {
        let mut all = Vec::with_capacity(anchors.len());
        for anchor in anchors {
            let state = State {
                last: host.last_anchored(&anchor.name)?,
                ..State::default()
            };
            all.push(Standing {
                anchor: anchor.clone(),
                state: Mutex::new(state),
                hand: Hand::default(),
            });
        }
        Ok(Self {
            all,
            folder,
            every,
            egress,
            asked: AtomicBool::new(false),
            since: now,
            stopping: watch::channel(false).0,
        })
    }

    /// From now on none is asked, and none is waited for.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Has every anchor asked as soon as may be.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Asks those that are due, beside one another. One that fails, or hangs, holds up no other.
    pub(crate) async fn run(
        &self,
        engine: &Engine,
        roster: &Roster,
        clock: &dyn Clock,
        host: &HostLog,
    ) {
        let now = clock.now();
        let means = Means {
            engine,
            roster,
            egress: &self.egress,
            clock,
        };
        if *self.stopping.borrow() {
            return;
        }
        let is_asked = self.asked.swap(false, Ordering::Relaxed);
        let due = self.all.iter();
        let due = due.filter(|one| is_asked || one.is_due(now, self.every));
        let asked = due.map(|one| one.run(&means, host, self, now));
        join_all(asked).await;
    }

    /// Comes when the gateway stops.
    async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this.
        let _told = stopping.wait_for(|is_stopping| *is_stopping).await;
    }

    /// How each stands.
    pub(crate) fn states(&self, now: Timestamp) -> impl Iterator<Item = AnchorState<'_>> {
        self.all.iter().map(move |one| {
            let state = one.state();
            AnchorState {
                name: &one.anchor.name,
                last: state.last,
                is_too_old: state.is_too_old(self.since, now),
            }
        })
    }
}

impl Standing {
    fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, now: Timestamp, every: Duration) -> bool {
        let State {
            last,
            tried,
            failures,
        } = self.state();
        // The clock may have been ahead when it took one.
        let is_old = last.is_none_or(|taken| taken.at > now || now.since(taken.at) >= every);
        let pause = match failures {
            0 => Duration::ZERO,
            failures => SOONEST
                .saturating_mul(1 << (failures - 1).min(16))
                .min(RAREST),
        };
        is_old && tried.is_none_or(|tried| failures == 0 || now.since(tried) >= pause)
    }

    async fn run(&self, means: &Means<'_>, host: &HostLog, all: &Anchors, now: Timestamp) {
        let name = &self.anchor.name;
        let known = self.state().last.map(|taken| taken.entries);
        let taken = host.anchor(name, now, async |signed| {
            let receipt = tokio::select! {
                receipt = self.hand_over(means, host, signed, known) => receipt?,
                () = all.stopped() => return Err(AnchorError::Stopping),
            };
            match receipt {
                Some(receipt) => keep(&all.folder.join(name), signed, &receipt),
                None => Ok(()),
            }
        });
        let taken = taken.await;
        let mut state = self.lock();
        state.tried = Some(now);
        match taken {
            Ok(taken) => {
                info!(anchor = %name, entries = taken.entries, "the host's log is anchored");
                state.last = Some(taken);
                state.failures = 0;
            }
            Err(AnchorError::Stopping) => {}
            Err(failure) => {
                state.failures = state.failures.saturating_add(1);
                let failure = anyhow::Error::new(failure);
                error!(anchor = %name, "the host's log is not anchored, and is tried again: {failure:#}");
            }
        }
    }

    async fn hand_over(
        &self,
        means: &Means<'_>,
        host: &HostLog,
        signed: &SignedCheckpoint,
        known: Option<u64>,
    ) -> Result<Option<Receipt>, AnchorError> {
        match &self.anchor.place {
            AnchorPlace::Directory(directory) => {
                let (signed, directory) = (signed.clone(), directory.clone());
                let kept = self
                    .hand
                    .does(DIRECTORY, move || signed.keep_in(&directory));
                let _kept = kept.await.ok_or(AnchorError::Hangs(DIRECTORY))??;
                Ok(None)
            }
            AnchorPlace::TimestampAuthority(service) => {
                timestamp::stamp(service, signed.note.as_bytes())
                    .await
                    .map(Some)
            }
            AnchorPlace::Exporter(plugin, upstream) => {
                let name = &self.anchor.name;
                exporter::put(means, host, name, (plugin, upstream), signed).await?;
                Ok(None)
            }
            AnchorPlace::Witness(service, key) => {
                let prove = |old| host.prove_growth(old);
                witness::cosign(service, key, signed, known, prove)
                    .await
                    .map(Some)
            }
        }
    }
}

/// Keeps what was signed beside the checkpoint that it is about, so that both can be handed to an auditor.
fn keep(folder: &Path, signed: &SignedCheckpoint, receipt: &Receipt) -> Result<(), AnchorError> {
    let stem = format!("{:016}", signed.checkpoint.size);
    let write = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        crate::gateway::make_private(folder)
            .and_then(|()| crate::gateway::write_durably(&path, bytes))
            .map_err(|source| AnchorError::Receipt { path, source })
    };
    write(stem.clone(), signed.note.as_bytes())?;
    write(format!("{stem}.{}", receipt.ending), &receipt.bytes)
}

/// Sends a service `request` with `body`, and gives status and answer.
async fn send(
    service: &AnchorService,
    request: Builder,
    body: impl Into<Bytes>,
) -> Result<(u16, Vec<u8>), AnchorError> {
    let request = request.body(Full::new(body.into()));
    let request = request.map_err(|_| AnchorError::Malformed)?;
    let authority = service.authority.as_deref();
    Ok(exchange(request, authority, service.allows_private).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_that_took_nothing_for_too_long_is_an_alert_with_or_without_a_failure() {
        let at = |hours: u64| Timestamp {
            seconds: 1_795_305_802 + 3600 * hours,
            nanoseconds: 0,
        };
        let took = |hours| State {
            last: Some(Taken {
                at: at(hours),
                entries: 7,
            }),
            ..State::default()
        };
        let failed = State {
            failures: 1,
            ..State::default()
        };
        for (state, now, expected) in [
            // Nothing came of the first try yet, and nothing ever does.
            (State::default(), 1, false),
            (State::default(), 25, false),
            (State::default(), 26, true),
            (failed, 1, true),
            (took(10), 12, false),
            (took(10), 35, false),
            (took(10), 36, true),
            (took(10), 9, true),
        ] {
            assert_eq!(state.is_too_old(at(0), at(now)), expected, "{now}");
        }
    }
}
