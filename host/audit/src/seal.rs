//! The close seal `closed.json`: what a cleanly closed log looks like, byte for byte.
//!
//! Between two runs nobody writes to a log, so every one of its files can be named with length and digest: a single
//! flipped bit is found anywhere, in the dead space of the view's store too. Opening the log removes the seal first.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::Path;

use cap_std::fs::Dir;
use nephron_model::{Digest, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::disk::Folder;
use crate::threads::{all_cores, in_order};
use crate::{Fault, FaultKind, Head};

/// The seal's name in the log's folder.
pub const SEAL: &str = "closed.json";

/// The contents of `closed.json`, in canonical JSON (RFC 8785): the fields stand in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    pub(crate) entries: u64,
    /// Every file below the folder but the seal itself, by path.
    pub(crate) files: Vec<SealedFile>,
    pub(crate) format: u32,
    pub(crate) hash: Digest,
    pub(crate) tenant: TenantId,
}

/// One file as it was when the log was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedFile {
    pub(crate) digest: Digest,
    pub(crate) length: u64,
    pub(crate) path: String,
}

impl Seal {
    /// Reads the seal; `None` if there is none.
    pub(crate) fn read(root: &Dir) -> Result<Option<Self>, FaultKind> {
        // Far above what a log of a million segments needs; a file larger than that is no seal.
        const LIMIT: u64 = 256 << 20;
        let file = match root.open(SEAL) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(FaultKind::Unreadable),
        };
        let mut bytes = Vec::new();
        let read = file.take(LIMIT).read_to_end(&mut bytes);
        read.map_err(|_| FaultKind::Unreadable)?;
        let seal: Self = serde_json::from_slice(&bytes).map_err(|_| FaultKind::SealMalformed)?;
        let again = serde_json::to_vec(&seal).map_err(|_| FaultKind::SealMalformed)?;
        let is_known = again == bytes && seal.format == 1;
        is_known
            .then_some(Some(seal))
            .ok_or(FaultKind::SealMalformed)
    }

    /// The last entry when the log was closed.
    pub(crate) const fn head(&self) -> Head {
        Head {
            entries: self.entries,
            hash: self.hash,
        }
    }

    /// Holds every file below `root` of which `is_asked` says so against the seal.
    pub(crate) fn check(
        &self,
        root: &Dir,
        threads: NonZeroUsize,
        is_asked: &dyn Fn(&str) -> bool,
        push: &mut dyn FnMut(Fault),
    ) {
        let mut fault = |file: &str, what| {
            push(Fault::of_file(file, what));
        };
        let Ok(mut paths) = files_below(root) else {
            return fault(".", FaultKind::Unreadable);
        };
        paths.retain(|path| is_asked(path));
        let sealed: BTreeMap<&str, &SealedFile> = self
            .files
            .iter()
            .map(|file| (file.path.as_str(), file))
            .collect();
        let look = |path: &String| {
            let sealed = sealed.get(path.as_str())?;
            Some(seal_file(root, path).map(|found| found == **sealed))
        };
        in_order(threads, &paths, look, |path, looked| match looked {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => fault(path, FaultKind::FileAltered),
            Some(Err(_)) => fault(path, FaultKind::Unreadable),
        });
        for sealed in self.files.iter().filter(|file| is_asked(&file.path)) {
            if paths.binary_search(&sealed.path).is_err() {
                fault(&sealed.path, FaultKind::FileMissing);
            }
        }
    }
}

/// Seals the folder of a closed log.
pub(crate) fn seal(folder: &Folder, tenant: &TenantId, head: Head) -> io::Result<()> {
    let paths = files_below(&folder.root)?;
    let mut files = Vec::with_capacity(paths.len());
    let look = |path: &String| seal_file(&folder.root, path);
    in_order(all_cores(), &paths, look, |_, file| files.push(file));
    let seal = Seal {
        entries: head.entries,
        files: files.into_iter().collect::<io::Result<_>>()?,
        format: 1,
        hash: head.hash,
        tenant: tenant.clone(),
    };
    folder.write_atomically(Path::new(SEAL), &serde_json::to_vec(&seal)?)
}

/// Removes the seal, so that it never vouches for a log that was written to again.
pub(crate) fn unseal(folder: &Folder) -> io::Result<()> {
    // A seal in the making that a crash left.
    folder.remove_durably(&Path::new(SEAL).with_extension("tmp"))?;
    folder.remove_durably(Path::new(SEAL))
}

/// The paths of all files below `root` but the seal, with `/`, sorted.
pub(crate) fn files_below(root: &Dir) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    collect(root, "", 0, &mut paths)?;
    paths.retain(|path| path != SEAL);
    paths.sort_unstable();
    Ok(paths)
}

fn collect(folder: &Dir, prefix: &str, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
    // A log is four folders deep; what is deeper was put there by somebody else, and is named as one thing.
    const DEEPEST: usize = 8;
    for item in folder.entries()? {
        let item = item?;
        let path = format!("{prefix}{}", item.file_name().to_string_lossy());
        // A symbolic link counts as a file here and is never followed.
        if item.file_type()?.is_dir() && depth < DEEPEST {
            match item.open_dir() {
                Ok(folder) => collect(&folder, &format!("{path}/"), depth + 1, paths)?,
                // Beside a writer, a folder of partial tiles may have gone since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn seal_file(root: &Dir, path: &str) -> io::Result<SealedFile> {
    if !root.symlink_metadata(path)?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut file = root.open(path)?;
    let mut hasher = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
    Ok(SealedFile {
        digest: Digest(hasher.finalize().into()),
        length,
        path: path.to_owned(),
    })
}
