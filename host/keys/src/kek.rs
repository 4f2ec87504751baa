//! What the log says of a tenant's key-encryption keys at the provider: which were made, and what became of each.

use nephron_model::{Record, Records, RecordsError, Space, Timestamp};
use serde::{Deserialize, Serialize};

/// Every key-encryption key that was made for the tenant, the oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Keks(pub(crate) Vec<Kek>);

/// One of them. Times are as entries write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kek {
    /// What the provider calls it.
    pub name: String,
    /// When it was made.
    pub made: String,
    /// Since when it wraps nothing that is in use, and is only kept for what was copied before.
    pub retired: Option<String>,
    /// When the provider was told to destroy it, and said that it did.
    pub destroyed: Option<String>,
}

impl Keks {
    /// The record's key among those of the tenant's key files.
    const NAME: &str = "keks";

    pub(crate) fn first(name: &str, now: Timestamp) -> Self {
        let mut keks = Self::default();
        keks.add(name, now);
        keks
    }

    pub(crate) fn of(records: &dyn Records) -> Result<Self, RecordsError> {
        match records.read(Space::Key, Self::NAME.as_bytes())? {
            None => Ok(Self::default()),
            Some(text) => serde_json::from_slice(&text).map_err(|_| RecordsError {
                reason: "what became of the key-encryption keys is not in a known form".to_owned(),
            }),
        }
    }

    pub(crate) fn record(&self) -> Record {
        Record {
            space: Space::Key,
            key: Self::NAME.as_bytes().to_vec(),
            value: serde_json::to_vec(self).unwrap_or_default(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, now: Timestamp) {
        self.0.push(Kek {
            name: name.to_owned(),
            made: now.to_string(),
            retired: None,
            destroyed: None,
        });
    }

    /// Those that are at the provider still.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kek> {
        self.0.iter().filter(|kek| kek.destroyed.is_none())
    }

    /// All but `live` wrap nothing any more. Says whether that is news.
    pub(crate) fn retire_all_but(&mut self, live: Option<&str>, now: Timestamp) -> bool {
        let mut is_news = false;
        // A change that was cut short may have retired it too early.
        for kek in self.0.iter_mut().filter(|kek| Some(&*kek.name) == live) {
            is_news |= kek.retired.take().is_some();
        }
        let others = self.0.iter_mut().filter(|kek| Some(&*kek.name) != live);
        for kek in others.filter(|kek| kek.retired.is_none() && kek.destroyed.is_none()) {
            kek.retired = Some(now.to_string());
            is_news = true;
        }
        is_news
    }

    pub(crate) fn set_destroyed(&mut self, name: &str, now: Timestamp) {
        for kek in self.0.iter_mut().filter(|kek| kek.name == name) {
            kek.destroyed = Some(now.to_string());
        }
    }
}
