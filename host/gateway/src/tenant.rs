//! One tenant's folder, keys and log, held by this value alone (I5).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_audit::{CloseError, Head, Log, OpenError, Options};
use nephron_keys::{RootProvider, TenantKeyError, TenantKeys};
use nephron_model::{Clock, Draft, Recorder as _, TenantId};

use crate::emergency::Reviewing;

/// A tenant that is open. Code that serves it holds this and no other tenant's.
pub struct Tenant {
    id: TenantId,
    folder: PathBuf,
    exports: Dir,
    keys: TenantKeys,
    log: Log,
    reviewing: Arc<tokio::sync::Mutex<Reviewing>>,
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
    /// Opens the tenant in `tenants/<id>`, or makes it there: in a folder of another name first, which gets its own
    /// once log and key are in place, so that a crash leaves a tenant or none.
    ///
    /// # Errors
    /// [`TenantError`].
    pub(crate) async fn open_or_make(
        tenants: &Path,
        id: &TenantId,
        root: &dyn RootProvider,
        clock: &Arc<dyn Clock>,
        options: &Options,
    ) -> Result<Self, TenantError> {
        let folder = tenants.join(id.as_str());
        if !folder.exists() {
            // A dot can stand in no tenant's name.
            let draft = tenants.join(format!(".{id}.making"));
            let at = |what| {
                move |source| TenantError::Folder {
                    tenant: id.clone(),
                    path: folder.clone(),
                    what,
                    source,
                }
            };
            if draft.exists() {
                std::fs::remove_dir_all(&draft).map_err(at.clone()("made anew"))?;
            }
            let made = Self::make(&draft, id, root, clock, options).await;
            if let Err(error) = made {
                // What cannot be removed now is removed by the next attempt.
                drop(std::fs::remove_dir_all(&draft));
                return Err(error);
            }
            std::fs::rename(&draft, tenants.join(id.as_str()))
                .and_then(|()| crate::gateway::sync_folder(tenants))
                .map_err(at("put in place"))?;
        }
        Self::open(&tenants.join(id.as_str()), id, root, clock, options)
    }

    async fn make(
        folder: &Path,
        id: &TenantId,
        root: &dyn RootProvider,
        clock: &Arc<dyn Clock>,
        options: &Options,
    ) -> Result<(), TenantError> {
        private_folder(folder, id)?;
        private_folder(&folder.join("exports"), id)?;
        let keys = dir(&private_folder(&folder.join("keys"), id)?, id)?;
        let log = open_log(folder, id, clock, options)?;
        let recorder = Arc::new(log.clone());
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
        log.close().map_err(|error| closing(id, folder, error))?;
        Ok(())
    }

    fn open(
        folder: &Path,
        id: &TenantId,
        root: &dyn RootProvider,
        clock: &Arc<dyn Clock>,
        options: &Options,
    ) -> Result<Self, TenantError> {
        let exports = dir(&private_folder(&folder.join("exports"), id)?, id)?;
        let keys = dir(&folder.join("keys"), id)?;
        let log = open_log(folder, id, clock, options)?;
        let recorder = Arc::new(log.clone());
        let keys = TenantKeys::open(
            keys,
            id.clone(),
            root,
            Arc::clone(clock),
            recorder.clone(),
            recorder,
        )
        .map_err(|source| TenantError::Key {
            tenant: id.clone(),
            source: Box::new(source),
        })?;
        Ok(Self {
            id: id.clone(),
            folder: folder.to_owned(),
            exports,
            keys,
            log,
            reviewing: Arc::default(),
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
        let log = open_log(&folder, id, &around.clock, &around.log)?;
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
