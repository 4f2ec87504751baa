//! One tenant's folder, keys and log, held by this value alone (I5).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_audit::{CloseError, Head, Log, OpenError, Options};
use nephron_keys::{CheckpointKey, RootError, RootKey, TenantKeyError, TenantKeys};
use nephron_model::{Clock, Draft, NotRecorded, Recorder as _, TenantId};

use crate::aftermath;
use crate::breaker::Breakers;
use crate::emergency::Reviewing;
use crate::host_log::{CommitError, HostLog};
use crate::keeper::Opening;

/// A tenant that is open. Code that serves it holds this and no other tenant's.
pub struct Tenant {
    id: TenantId,
    folder: PathBuf,
    exports: Dir,
    keys: TenantKeys,
    log: Log,
    reviewing: Arc<tokio::sync::Mutex<Reviewing>>,
    breakers: Breakers,
}

/// A tenant cannot be opened or made. When it cannot be made, nothing of it stays behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// Its folder cannot be used.
    #[error("the folder `{path}` of tenant `{tenant}` cannot be {what}")]
    Folder {
        /// The tenant.
        tenant: TenantId,
        /// The folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its log cannot be opened.
    #[error("the log of tenant `{tenant}` cannot be opened")]
    Log {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// Its folder is not there, though the host's log knows it.
    #[error(
        "tenant `{tenant}` had {entries} entries when the host's log last heard of it, and `{path}` is gone: put the folder \
         back from a backup; if what it held is lost, `nephron audit readmit` records that you know, and begins it anew"
    )]
    Gone {
        /// The tenant.
        tenant: TenantId,
        /// The folder.
        path: PathBuf,
        /// Entries that its log had.
        entries: u64,
    },
    /// The host's log is not there, though tenants' logs say that there was one.
    #[error(
        "the host's log in `{path}` is gone, though tenants have been served beside it: put it back from a backup of the same day as \
         theirs; if it is lost, `nephron audit readmit host` lets the next start begin another, which records that you know", path = .path.display()
    )]
    HostGone {
        /// Its folder.
        path: PathBuf,
    },
    /// Its log is not the one that the host's log knows, or was put back to an older state.
    #[error(
        "the log of tenant `{tenant}` no longer holds the {entries} entries of which the host's log took note: it was put back \
         to an older state, or changed; keep a copy, put the newest backup in its place, or record with \
         `nephron audit readmit` that you know what is lost"
    )]
    NotAsCommitted {
        /// The tenant.
        tenant: TenantId,
        /// Entries that its log had.
        entries: u64,
    },
    /// The roster's activation cannot be recorded.
    #[error("the roster cannot be recorded in the log of tenant `{tenant}`, and so does not serve")]
    NotRecorded {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: NotRecorded,
    },
    /// What was in flight when the process ended cannot be told in its log.
    #[error("the log of tenant `{tenant}` cannot be told what was in flight when it was last open")]
    NotSettled {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host's log and the tenant's cannot be held against each other.
    #[error("tenant `{tenant}` cannot be held against the host's log")]
    NotCommitted {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: Box<CommitError>,
    },
    /// Its key cannot be opened or made.
    #[error("the key of tenant `{tenant}` cannot be opened")]
    Key {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        #[source]
        source: Box<TenantKeyError>,
    },
}

impl Tenant {
    /// Opens the tenant in `folder`, or makes it there: in a folder of another name first, which gets its own once log and
    /// keys are in place, so that a crash leaves a tenant or none.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) async fn open_or_make(
        folder: &Path,
        id: &TenantId,
        opening: &Opening,
    ) -> Result<Self, TenantError> {
        if !folder.exists() {
            // A dot can stand in no tenant's name.
            let draft = folder.with_file_name(format!(".{id}.making"));
            let at = |what| {
                move |source| TenantError::Folder {
                    tenant: id.clone(),
                    path: folder.to_owned(),
                    what,
                    source,
                }
            };
            if draft.exists() {
                std::fs::remove_dir_all(&draft).map_err(at("made anew"))?;
            }
            let made = Self::make(&draft, id, opening).await;
            if let Err(error) = made {
                // What cannot be removed now is removed by the next attempt.
                drop(std::fs::remove_dir_all(&draft));
                return Err(error);
            }
            std::fs::rename(&draft, folder)
                .and_then(|()| folder.parent().map_or(Ok(()), crate::gateway::sync_folder))
                .map_err(at("put in place"))?;
        }
        Self::open(folder, id, opening).await
    }

    /// Opens the tenant in `folder`, or makes it there, unless the host's log knows of one that is gone or was another.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) async fn open_known(
        folder: &Path,
        id: &TenantId,
        opening: &Opening,
        host: &HostLog,
    ) -> Result<Self, TenantError> {
        let not_committed = |source| TenantError::NotCommitted {
            tenant: id.clone(),
            source: Box::new(source),
        };
        if let Some(known) = host.newest(id).map_err(not_committed)? {
            let (log, entries) = (folder.join(LOG), known.checkpoint.size);
            if !log.join("journal").is_dir() {
                return Err(TenantError::Gone {
                    tenant: id.clone(),
                    path: log,
                    entries,
                });
            }
            // Before it is opened: opening repairs and signs, and what is not to serve is to be left as it is.
            let stands = known.stands_in(&log);
            if !stands.map_err(|error| not_committed(error.into()))? {
                return Err(TenantError::NotAsCommitted {
                    tenant: id.clone(),
                    entries,
                });
            }
            return Self::open(folder, id, opening).await;
        }
        Self::open_or_make(folder, id, opening).await
    }

    async fn make(folder: &Path, id: &TenantId, opening: &Opening) -> Result<(), TenantError> {
        let Opening { root, clock, log } = opening;
        private_folder(folder, id)?;
        private_folder(&folder.join("exports"), id)?;
        let keys = dir(&private_folder(&folder.join("keys"), id)?, id)?;
        let log = open_log(folder, id, clock, log)?;
        let recorder = Arc::new(log.clone());
        let checkpoint_keys = dir(&folder.join("keys"), id)?;
        let made = TenantKeys::create(
            keys,
            id.clone(),
            root,
            Arc::clone(clock),
            recorder.clone(),
            recorder,
        )
        .await;
        drop(made.map_err(|source| TenantError::Key {
            tenant: id.clone(),
            source: Box::new(source),
        })?);
        sign(&log, &checkpoint_keys, id, root, &**clock).await?;
        log.close().map_err(|error| closing(id, folder, error))?;
        Ok(())
    }

    /// Opens the tenant in `folder`.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) async fn open(
        folder: &Path,
        id: &TenantId,
        opening: &Opening,
    ) -> Result<Self, TenantError> {
        let Opening { root, clock, log } = opening;
        let exports = dir(&private_folder(&folder.join("exports"), id)?, id)?;
        let keys = dir(&folder.join("keys"), id)?;
        let was_closed = folder.join(LOG).join(nephron_audit::SEAL).exists();
        let log = open_log(folder, id, clock, log)?;
        sign(&log, &keys, id, root, &**clock).await?;
        if !was_closed {
            let settled = aftermath::settle(&log).await;
            settled.map_err(|source| TenantError::NotSettled {
                tenant: id.clone(),
                source: Box::new(source),
            })?;
        }
        let recorder = Arc::new(log.clone());
        let opened = TenantKeys::open(
            keys,
            id.clone(),
            root,
            Arc::clone(clock),
            recorder.clone(),
            recorder.clone(),
        );
        let keys = match opened {
            Ok(keys) => keys,
            // Its log is still there to say so, and to be read.
            Err(TenantKeyError::Destroyed | TenantKeyError::Root(RootError::KekGone { .. })) => {
                let folder = dir(&folder.join("keys"), id)?;
                TenantKeys::dead(
                    folder,
                    id.clone(),
                    root,
                    Arc::clone(clock),
                    recorder.clone(),
                    recorder,
                )
            }
            Err(source) => {
                return Err(TenantError::Key {
                    tenant: id.clone(),
                    source: Box::new(source),
                });
            }
        };
        Ok(Self {
            id: id.clone(),
            folder: folder.to_owned(),
            exports,
            keys,
            log,
            reviewing: Arc::default(),
            breakers: Breakers::default(),
        })
    }

    /// Records one entry in the log of a tenant that is not open, if there is such a tenant.
    ///
    /// # Errors
    /// What the log says.
    pub(crate) async fn record_alone(
        tenants: &Path,
        id: &TenantId,
        around: &crate::Surroundings,
        draft: Draft,
    ) -> anyhow::Result<()> {
        let folder = tenants.join(id.as_str());
        if !folder.join(LOG).exists() {
            return Ok(());
        }
        let was_closed = folder.join(LOG).join(nephron_audit::SEAL).exists();
        let log = open_log(&folder, id, &around.clock, &around.log)?;
        if !was_closed {
            aftermath::settle(&log).await?;
        }
        let _recorded = log.record(draft).await?;
        log.close()?;
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &TenantId {
        &self.id
    }

    /// Its keys.
    #[must_use]
    pub const fn keys(&self) -> &TenantKeys {
        &self.keys
    }

    /// Its log.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Held by whoever lists reviews or closes one.
    pub(crate) const fn reviewing(&self) -> &Arc<tokio::sync::Mutex<Reviewing>> {
        &self.reviewing
    }

    /// Which plugins it leaves alone.
    pub(crate) const fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    /// The folder that its log is kept in.
    #[must_use]
    pub fn log_folder(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// The folder that exporters' files go to.
    pub(crate) const fn exports(&self) -> &Dir {
        &self.exports
    }

    /// Closes the log and seals it.
    ///
    /// # Errors
    /// [`TenantError`] when the close seal cannot be written; the entries are safe all the same.
    pub fn close(self) -> Result<Head, TenantError> {
        let Self {
            id,
            folder,
            keys,
            log,
            ..
        } = self;
        drop(keys);
        log.close().map_err(|error| closing(&id, &folder, error))
    }
}

/// The folder of a tenant's log, within the tenant's.
pub const LOG: &str = "log";

/// Has the log's checkpoints signed by the tenant's key for that, which is made if there is none yet.
async fn sign(
    log: &Log,
    keys: &Dir,
    id: &TenantId,
    root: &RootKey,
    clock: &dyn Clock,
) -> Result<(), TenantError> {
    let key = CheckpointKey::open_or_create(keys, id, root, clock, log, log);
    let key = key.await.map_err(|source| TenantError::Key {
        tenant: id.clone(),
        source: Box::new(source),
    })?;
    log.sign_with(Arc::new(key));
    Ok(())
}

fn closing(tenant: &TenantId, folder: &Path, error: CloseError) -> TenantError {
    TenantError::Folder {
        tenant: tenant.clone(),
        path: folder.join(LOG),
        what: "closed",
        source: std::io::Error::other(error),
    }
}

fn open_log(
    folder: &Path,
    id: &TenantId,
    clock: &Arc<dyn Clock>,
    options: &Options,
) -> Result<Log, TenantError> {
    Log::open(&folder.join(LOG), id, Arc::clone(clock), options.clone()).map_err(|source| {
        TenantError::Log {
            tenant: id.clone(),
            source: Box::new(source),
        }
    })
}

/// Makes a folder that only this user may enter, unless it is there.
fn private_folder(path: &Path, id: &TenantId) -> Result<PathBuf, TenantError> {
    crate::gateway::make_private(path).map_err(|source| TenantError::Folder {
        tenant: id.clone(),
        path: path.to_owned(),
        what: "made",
        source,
    })?;
    Ok(path.to_owned())
}

fn dir(path: &Path, id: &TenantId) -> Result<Dir, TenantError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| TenantError::Folder {
        tenant: id.clone(),
        path: path.to_owned(),
        what: "opened",
        source,
    })
}
