//! When each API key was last used: kept in the data folder, written off the path of requests, and no evidence. Who used a key for
//! what is in the logs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nephron_model::Timestamp;

/// The file, by digests of keys.
pub(crate) struct LastUses {
    path: PathBuf,
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    at: BTreeMap<String, Timestamp>,
    is_changed: bool,
}

/// Where it is in the data folder.
const FILE: &str = "host/api-keys.json";

impl LastUses {
    /// What is known of the keys with these digests. A file that is not there, or cannot be read, says nothing of any.
    pub(crate) fn open(data: &Path, digests: impl Iterator<Item = String>) -> Self {
        let mut known = read(data);
        let at = digests.filter_map(|digest| known.remove_entry(&digest));
        Self {
            path: data.join(FILE),
            uses: Mutex::new(Uses {
                at: at.collect(),
                is_changed: false,
            }),
        }
    }

    /// Takes note of a use.
    pub(super) fn note(&self, digest: String, now: Timestamp) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.at.insert(digest, now);
        uses.is_changed = true;
    }

    /// Writes what is new. Blocks.
    pub(crate) fn keep(&self) {
        let text = {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut uses.is_changed, false) {
                return;
            }
            let at = uses.at.iter();
            let at: BTreeMap<_, _> = at.map(|(key, at)| (key, at.to_string())).collect();
            serde_json::json!(at).to_string()
        };
        let draft = self.path.with_extension("tmp");
        let written = std::fs::File::create(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&draft, &self.path));
        if let Err(error) = written {
            tracing::warn!(%error, "the last uses of API keys cannot be kept");
        }
    }
}

/// When each key, by its digest, was last used.
pub(crate) fn read(data: &Path) -> BTreeMap<String, Timestamp> {
    let text = std::fs::read(data.join(FILE)).unwrap_or_default();
    let kept: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap_or_default();
    let at = kept.into_iter();
    at.filter_map(|(key, at)| Some((key, at.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_kept_for_the_keys_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        std::fs::create_dir(data.join("host")).unwrap();
        let at = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        let keys = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let uses = LastUses::open(data, keys(&["a", "b"]).into_iter());
        uses.keep();
        assert!(!data.join(FILE).exists(), "nothing to say");
        uses.note("a".to_owned(), at(1));
        uses.note("b".to_owned(), at(2));
        uses.note("a".to_owned(), at(3));
        uses.keep();
        assert_eq!(
            read(data),
            BTreeMap::from([("a".to_owned(), at(3)), ("b".to_owned(), at(2))])
        );
        // One that was taken out of the configuration is forgotten, and what cannot be read says nothing.
        let uses = LastUses::open(data, keys(&["a", "c"]).into_iter());
        uses.note("c".to_owned(), at(4));
        uses.keep();
        assert_eq!(
            read(data),
            BTreeMap::from([("a".to_owned(), at(3)), ("c".to_owned(), at(4))])
        );
        std::fs::write(data.join(FILE), "{").unwrap();
        assert!(read(data).is_empty());
    }
}
