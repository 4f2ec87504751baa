//! Anchors: checkpoints of the host's log, which commit to every tenant's, in the hands of others.
//!
//! Each act has its intent in the host's log before it and its outcome after, and what others signed is kept below
//! `host/anchors`. Who holds the newest of it can tell any later state of the data folder from a true one.

mod exporter;
mod timestamp;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Builder;
use nephron_audit::{KeepError, NoteError, ProveError, SignedCheckpoint};
use nephron_engine::Engine;
use nephron_keys::random::RandomError;
use nephron_model::{Clock, Timestamp};
use tracing::{error, info};

use crate::config::{Anchor, AnchorPlace, AnchorService};
use crate::egress::{Egress, EgressError, exchange};
use crate::host_log::{CommitError, HostLog};
use crate::roster::Roster;

/// An anchor that took nothing for longer is an alert.
const TOO_OLD: Duration = Duration::from_secs(25 * 3600);
/// After the first failure it is tried again so soon, then ever later, and at least so often.
const SOONEST: Duration = Duration::from_secs(10);
const RAREST: Duration = Duration::from_secs(600);

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
}

struct Standing {
    anchor: Anchor,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What it took last, and when.
    last: Option<Taken>,
    /// When it was tried last, and how often that has failed since.
    tried: Option<Timestamp>,
    failures: u32,
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
            });
        }
        Ok(Self {
            all,
            folder,
            every,
            egress,
            asked: AtomicBool::new(false),
        })
    }

    /// Has every anchor asked as soon as may be.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Asks those that are due. One that fails holds up no other.
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
        let is_asked = self.asked.swap(false, Ordering::Relaxed);
        for one in &self.all {
            if is_asked || one.is_due(now, self.every) {
                one.run(&means, host, &self.folder, now).await;
            }
        }
    }

    /// How each stands.
    pub(crate) fn states(&self, now: Timestamp) -> impl Iterator<Item = AnchorState<'_>> {
        self.all.iter().map(move |one| {
            let state = one.state();
            let is_old = |taken: &Taken| taken.at > now || now.since(taken.at) > TOO_OLD;
            AnchorState {
                name: &one.anchor.name,
                last: state.last,
                // Before it was asked for the first time there is nothing to say.
                is_too_old: state.last.as_ref().map_or(state.failures > 0, is_old),
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

    async fn run(&self, means: &Means<'_>, host: &HostLog, folder: &Path, now: Timestamp) {
        let name = &self.anchor.name;
        let known = self.state().last.map(|taken| taken.entries);
        let taken = host.anchor(name, now, async |signed| {
            let receipt = self.hand_over(means, host, signed, known).await?;
            match receipt {
                Some(receipt) => keep(&folder.join(name), signed, &receipt),
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
                let _kept = signed.keep_in(directory)?;
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
