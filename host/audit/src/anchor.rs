//! Copies of a log's checkpoints in a place that is not the log's: a mount that cannot be rewritten, another machine's disk.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nephron_model::TenantId;

use crate::{KeptCheckpoint, SignedCheckpoint};

/// The ending of a checkpoint to which a witness has added its line.
const COSIGNED: &str = "cosigned";
/// Where the host's log stands in the gateway's data folder.
const HOST_LOG: &str = "host/record/log";

/// A checkpoint was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The place cannot be written.
    #[error("`{path}` cannot be written: mount it, free space, or correct permissions", path = .path.display())]
    Storage {
        /// What of it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds a checkpoint of more entries than the log has.
    #[error(
        "`{path}` is a state of this log with more entries than it has now: the log was put back; keep both",
        path = .path.display()
    )]
    Ahead {
        /// The file.
        path: PathBuf,
    },
    /// It holds another checkpoint of the same log and size.
    #[error(
        "`{path}` holds another state of this log at the same size: the log was put back or forked; keep both",
        path = .path.display()
    )]
    Differs {
        /// The file.
        path: PathBuf,
    },
}

impl SignedCheckpoint {
    /// Keeps it in `directory`, which must be there, as `<origin, with - for />/<size, 16 digits>`; returns once it is on stable
    /// storage. What is there already is never written again.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn keep_in(&self, directory: &Path) -> Result<PathBuf, KeepError> {
        let folder = directory.join(self.checkpoint.origin.replace('/', "-"));
        let path = folder.join(format!("{:016}", self.checkpoint.size));
        let failed = |source| KeepError::Storage {
            path: path.clone(),
            source,
        };
        match fs::read(&path) {
            Ok(kept) if kept == self.note.as_bytes() => return Ok(path),
            Ok(_) => return Err(KeepError::Differs { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if !directory.is_dir() {
            // Not made: a mount that is missing looks the same.
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        if let Some(later) = self.later_in(&folder).map_err(failed)? {
            return Err(KeepError::Ahead { path: later });
        }
        self.write(directory, &folder, &path).map_err(failed)?;
        Ok(path)
    }

    /// A checkpoint in `folder` that covers more than this one.
    fn later_in(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name
                .parse()
                .is_ok_and(|size: u64| size > self.checkpoint.size)
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn write(&self, directory: &Path, folder: &Path, path: &Path) -> io::Result<()> {
        if !folder.is_dir() {
            fs::create_dir(folder)?;
            File::open(directory)?.sync_all()?;
        }
        let draft = path.with_extension("tmp");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o444)
            .open(&draft)?;
        file.write_all(self.note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(folder)?.sync_all()
    }
}

impl KeptCheckpoint {
    /// The checkpoint in the file at `path`, or each of those in the folder there, by name: files without an ending, and those that a
    /// witness cosigned.
    ///
    /// # Errors
    /// What the file system says.
    pub fn all_at(path: &Path) -> io::Result<Vec<Self>> {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
            files = names.collect::<io::Result<_>>()?;
            let is_note = |ending: Option<&OsStr>| ending.is_none_or(|ending| ending == COSIGNED);
            files.retain(|file| is_note(file.extension()));
            files.sort();
        }
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// What witnesses cosigned of the host's log in `log`, where that stands in the gateway's data folder as `host/record/log`:
    /// the gateway keeps it in `host/anchors`. Nothing of another log.
    ///
    /// # Errors
    /// What the file system says.
    pub fn cosigned_beside(log: &Path) -> io::Result<Vec<Self>> {
        let log = log.canonicalize()?;
        let host = log.parent().and_then(Path::parent);
        let anchors = host.map(|host| host.join("anchors"));
        let Some(anchors) = anchors.filter(|it| log.ends_with(HOST_LOG) && it.is_dir()) else {
            return Ok(Vec::new());
        };
        let mut cosigned = Vec::new();
        for anchor in fs::read_dir(anchors)? {
            let anchor = anchor?.path();
            if !anchor.is_dir() {
                continue;
            }
            for file in fs::read_dir(anchor)? {
                let file = file?.path();
                if file.extension().is_some_and(|ending| ending == COSIGNED) {
                    cosigned.push(file);
                }
            }
        }
        cosigned.sort();
        cosigned.iter().map(|file| Self::read(file)).collect()
    }

    /// Whether it says that it is of the host's log.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        let signed = SignedCheckpoint::read(&self.note);
        let prefix = format!("nephron/{}/", TenantId::HOST);
        signed.is_ok_and(|signed| signed.checkpoint.origin.starts_with(&prefix))
    }

    fn read(file: &Path) -> io::Result<Self> {
        Ok(Self {
            note: fs::read_to_string(file)?,
            file: file.display().to_string(),
        })
    }
}
