//! What the log says became of a key file, and the file that belongs to it.

use cap_std::fs::Dir;
use nephron_model::{Digest, Draft, EntryKind, Record, Records, RecordsError, Space};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store;
use crate::tenant_key::TenantKeyError;

/// What became of a key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fate")]
pub(crate) enum Fate {
    /// It was made, and this is its file's digest.
    Created {
        file: Digest,
    },
    Destroyed,
}

impl Fate {
    /// What the log says of the key file `name`.
    pub(crate) fn of(records: &dyn Records, name: &str) -> Result<Option<Self>, RecordsError> {
        let Some(text) = records.read(Space::Key, name.as_bytes())? else {
            return Ok(None);
        };
        let fate = serde_json::from_slice(&text).map_err(|_| RecordsError {
            reason: format!("what became of `{name}` is not in a known form"),
        })?;
        Ok(Some(fate))
    }

    /// The entry that says so of the key file `name`, which holds a key of that version.
    pub(crate) fn entry(&self, name: &str, version: u32) -> Draft {
        let outcome = match self {
            Self::Created { .. } => "created",
            Self::Destroyed => "destroyed",
        };
        let mut draft = Draft::new(EntryKind::KeyChanged, outcome)
            .fact("key-file", name)
            .fact("key-version", version.to_string());
        draft.records.push(self.record(name));
        draft
    }

    /// What the entry keeps of it.
    pub(crate) fn record(&self, name: &str) -> Record {
        let value = match self {
            Self::Created { file } => format!(r#"{{"fate":"created","file":"{file}"}}"#),
            Self::Destroyed => r#"{"fate":"destroyed"}"#.to_owned(),
        };
        Record {
            space: Space::Key,
            key: name.as_bytes().to_vec(),
            value: value.into_bytes(),
        }
    }
}

/// The log knows nothing of the key file `name`, or of another one.
pub(crate) fn unrecorded(name: &str) -> TenantKeyError {
    TenantKeyError::Unrecorded {
        name: name.to_owned(),
    }
}

/// The content of the key file `name`, which must have the digest that the log recorded. Finishes the renaming that a
/// crash interrupted.
pub(crate) fn content<T: Serialize + DeserializeOwned>(
    dir: &Dir,
    name: &str,
    recorded: Digest,
) -> Result<T, TenantKeyError> {
    let text = store::read(dir, name);
    if !text.as_ref().is_ok_and(|text| Digest::of(text) == recorded)
        && let Some(waiting) = store::prepared(dir, name)?
        && Digest::of(&waiting) == recorded
    {
        // The crash came between the entry and the renaming.
        store::settle(dir, name)?;
        return Ok(store::decode(name, &waiting)?);
    }
    let text = text?;
    let content = store::decode(name, &text)?;
    if Digest::of(&text) != recorded {
        return Err(unrecorded(name));
    }
    Ok(content)
}
