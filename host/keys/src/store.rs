//! Key files: written whole or not at all, readable by their owner alone, overwritten before they are unlinked.
//!
//! A file is one JSON object with a digest of its own content, so that damage is told apart from a wrong passphrase.

use std::io::{ErrorKind, Read as _, Write as _};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _, PermissionsExt as _};
use nephron_model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::random;

/// A key file is a few hundred bytes; what is longer is something else.
const LONGEST: u64 = 16 * 1024;

/// A key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there.
    #[error(
        "key file `{name}` is missing; restore it from a backup, or create a new one if nothing is sealed yet"
    )]
    Missing {
        /// Its name within its folder.
        name: String,
    },
    /// It is there already.
    #[error(
        "key file `{name}` exists and is never overwritten; move it away first if nothing is sealed under it"
    )]
    Exists {
        /// Its name within its folder.
        name: String,
    },
    /// Others than its owner may read or write it, or it can be executed.
    #[error(
        "key file `{name}` has mode {mode:04o}; run `chmod 600 {name}` and find out who read it"
    )]
    WrongMode {
        /// Its name within its folder.
        name: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what was written.
    #[error("key file `{name}` is damaged: {what}; restore it from a backup")]
    Damaged {
        /// Its name within its folder.
        name: String,
        /// What does not hold.
        what: &'static str,
    },
    /// The system refused.
    #[error("key file `{name}` cannot be read or written")]
    Io {
        /// Its name within its folder.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The file's content beside the digest of its compact JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Checked<T> {
    content: T,
    digest: Digest,
}

/// The file's text: JSON for people to look at, ending in a line feed.
pub(crate) fn encode<T: Serialize>(name: &str, content: T) -> Result<Vec<u8>, FileError> {
    let invalid = |error: serde_json::Error| io(name)(error.into());
    let digest = Digest::of(&serde_json::to_vec(&content).map_err(invalid)?);
    let mut text = serde_json::to_vec_pretty(&Checked { content, digest }).map_err(invalid)?;
    text.push(b'\n');
    Ok(text)
}

/// What [`encode`] was given.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(
    name: &str,
    text: &[u8],
) -> Result<T, FileError> {
    let damaged = |what| FileError::Damaged {
        name: name.to_owned(),
        what,
    };
    // serde's own message may quote the content, and is dropped for that.
    let checked: Checked<T> = serde_json::from_slice(text)
        .map_err(|_| damaged("it is no JSON object with the expected fields"))?;
    let compact = serde_json::to_vec(&checked.content).map_err(|error| io(name)(error.into()))?;
    if Digest::of(&compact) != checked.digest {
        return Err(damaged("its digest does not fit its content"));
    }
    Ok(checked.content)
}

/// The content of the regular file `name`, which nobody but its owner may touch.
pub(crate) fn read(dir: &Dir, name: &str) -> Result<Vec<u8>, FileError> {
    let file = dir.open(name).map_err(|source| {
        let name = name.to_owned();
        if source.kind() == ErrorKind::NotFound {
            FileError::Missing { name }
        } else {
            FileError::Io { name, source }
        }
    })?;
    let metadata = file.metadata().map_err(io(name))?;
    let damaged = |what| FileError::Damaged {
        name: name.to_owned(),
        what,
    };
    if !metadata.is_file() {
        return Err(damaged("it is no regular file"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    // Read-only for the owner is as good.
    if mode & !0o600 != 0 {
        return Err(FileError::WrongMode {
            name: name.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut text)
        .map_err(io(name))?;
    if text.len() as u64 > LONGEST {
        return Err(damaged("it is longer than a key file"));
    }
    Ok(text)
}

/// Writes `text` durably under the temporary name; [`settle`] then gives it its own. What an earlier crash left there
/// is replaced.
///
/// # Errors
/// [`FileError::Exists`] when `name` itself is there.
pub(crate) fn prepare(dir: &Dir, name: &str, text: &[u8]) -> Result<(), FileError> {
    if dir.symlink_metadata(name).is_ok() {
        return Err(FileError::Exists {
            name: name.to_owned(),
        });
    }
    prepare_anew(dir, name, text)
}

/// The same in the place of a file that is there, which [`settle`] replaces.
pub(crate) fn prepare_anew(dir: &Dir, name: &str, text: &[u8]) -> Result<(), FileError> {
    discard(dir, name)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = dir.open_with(temporary(name), &options).map_err(io(name))?;
    file.write_all(text).map_err(io(name))?;
    file.sync_all().map_err(io(name))?;
    sync_folder(dir).map_err(io(name))
}

/// The text that waits under the temporary name, if any does.
pub(crate) fn prepared(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, FileError> {
    match read(dir, &temporary(name)) {
        Ok(text) => Ok(Some(text)),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives the prepared file its name, durably.
pub(crate) fn settle(dir: &Dir, name: &str) -> Result<(), FileError> {
    dir.rename(temporary(name), dir, name).map_err(io(name))?;
    sync_folder(dir).map_err(io(name))
}

/// Removes what waits under the temporary name.
pub(crate) fn discard(dir: &Dir, name: &str) -> Result<(), FileError> {
    match dir.remove_file(temporary(name)) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(io(name)(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Overwrites the file with random bytes, syncs, unlinks, and does the same to a prepared one. A file that is gone is
/// no error.
///
/// On a copy-on-write file system or behind a flash translation layer the old blocks may outlive this; what lies in
/// them is wrapped under the root key.
pub(crate) fn shred(dir: &Dir, name: &str) -> Result<(), FileError> {
    for name in [name, &temporary(name)] {
        match dir.open_with(name, OpenOptions::new().write(true)) {
            Ok(file) => {
                overwrite(file).map_err(io(name))?;
                dir.remove_file(name).map_err(io(name))?;
            }
            Err(source) if source.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(io(name)(source)),
        }
    }
    sync_folder(dir).map_err(io(name))
}

fn overwrite(mut file: File) -> std::io::Result<()> {
    let mut left = file.metadata()?.len();
    while left > 0 {
        let noise: [u8; 256] = random::bytes().map_err(std::io::Error::other)?;
        let take = usize::try_from(left)
            .unwrap_or(noise.len())
            .min(noise.len());
        file.write_all(noise.get(..take).unwrap_or(&noise))?;
        left -= take as u64;
    }
    file.sync_all()
}

fn temporary(name: &str) -> String {
    format!("{name}.new")
}

/// Makes names durable. `Dir` may hold a descriptor that cannot be synced, so the folder is opened for it.
fn sync_folder(dir: &Dir) -> std::io::Result<()> {
    dir.open(".")?.sync_all()
}

fn io(name: &str) -> impl FnOnce(std::io::Error) -> FileError {
    move |source| FileError::Io {
        name: name.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_file_is_private_and_whole() {
        let (_folder, dir) = folder();
        prepare(&dir, "k.json", b"text").unwrap();
        assert!(matches!(
            read(&dir, "k.json"),
            Err(FileError::Missing { .. })
        ));
        settle(&dir, "k.json").unwrap();
        assert_eq!(read(&dir, "k.json").unwrap(), b"text");
        assert_eq!(prepared(&dir, "k.json").unwrap(), None);
        let mode = dir.metadata("k.json").unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_left_over_temporary_file_is_in_nobodys_way() {
        let (_folder, dir) = folder();
        dir.write("k.json.new", b"torn").unwrap();
        prepare(&dir, "k.json", b"text").unwrap();
        settle(&dir, "k.json").unwrap();
        assert_eq!(read(&dir, "k.json").unwrap(), b"text");
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let (_folder, dir) = folder();
        dir.write("k.json", b"old").unwrap();
        assert!(matches!(
            prepare(&dir, "k.json", b"new"),
            Err(FileError::Exists { .. })
        ));
        assert_eq!(dir.read("k.json").unwrap(), b"old");
    }

    #[test]
    fn what_others_may_touch_is_refused_with_the_remedy() {
        let (_folder, dir) = folder();
        prepare(&dir, "k.json", b"text").unwrap();
        settle(&dir, "k.json").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o700, 0o1600] {
            let permissions = cap_std::fs::Permissions::from_mode(mode);
            dir.set_permissions("k.json", permissions).unwrap();
            let error = read(&dir, "k.json").unwrap_err();
            assert!(error.to_string().contains("chmod 600 k.json"), "{error}");
        }
        let permissions = cap_std::fs::Permissions::from_mode(0o400);
        dir.set_permissions("k.json", permissions).unwrap();
        assert!(read(&dir, "k.json").is_ok());
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let (_folder, dir) = folder();
        dir.create_dir("k.json").unwrap();
        assert!(read(&dir, "k.json").is_err());
        dir.write("long.json", vec![b' '; 20_000]).unwrap();
        let permissions = cap_std::fs::Permissions::from_mode(0o600);
        dir.set_permissions("long.json", permissions).unwrap();
        assert!(matches!(
            read(&dir, "long.json"),
            Err(FileError::Damaged { .. })
        ));
    }

    #[test]
    fn a_shredded_file_keeps_nothing_under_any_name() {
        let (folder, dir) = folder();
        prepare(&dir, "k.json", b"wrapped key bytes").unwrap();
        settle(&dir, "k.json").unwrap();
        dir.write("k.json.new", b"wrapped key bytes").unwrap();
        // A second name shows what the blocks hold after the first is gone.
        dir.hard_link("k.json", &dir, "spy").unwrap();
        shred(&dir, "k.json").unwrap();
        let seen = dir.read("spy").unwrap();
        assert_eq!(seen.len(), b"wrapped key bytes".len());
        assert_ne!(seen, b"wrapped key bytes");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        shred(&dir, "k.json").unwrap();
    }
}
