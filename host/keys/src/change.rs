//! How a tenant's keys change: a new version by rotation, a new wrapping, the end of all.
//!
//! Rotation makes the next version of the tenant's key, under a key-encryption key of its own where the provider has such,
//! and from then on the rotated boundaries seal under it. What was sealed before stays as it is: the log is append-only and
//! its hashes cover the ciphertext, so that the older versions are kept for opening. They are wrapped anew under the new
//! key-encryption key, one after the other, while everything goes on; the old one then wraps nothing, is retired, and is
//! destroyed when copies from before have aged (docs/decisions/0030-keys-by-version.md). Each step has its entry, and one
//! that a crash interrupted is taken up again by [`TenantKeys::finish`].

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nephron_model::{Digest, Draft, EntryKind, Timestamp};

use crate::error::KeyError;
use crate::fate::Fate;
use crate::kek::{Kek, Keks};
use crate::ring::{Current, FIRST};
use crate::root::{RootError, Wrapped};
use crate::seal::Boundary;
use crate::store;
use crate::tenant_key::{Inner, TenantKeyError, TenantKeys, draw, file_name, read};

/// After how long each boundary is given a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Values that tokens stand for.
    pub vault: Duration,
    /// Payloads of audit entries.
    pub audit_payload: Duration,
    /// Fields.
    pub field: Duration,
    /// How long a key-encryption key that wraps nothing any more is kept, so that copies from before can be opened.
    pub retired: Duration,
}

impl Schedule {
    /// A quarter of a year.
    pub const QUARTER: Duration = Duration::from_secs(90 * 24 * 60 * 60);

    /// Quarterly.
    pub const DEFAULT: Self = Self {
        vault: Self::QUARTER,
        audit_payload: Self::QUARTER,
        field: Self::QUARTER,
        retired: Self::QUARTER,
    };

    const fn of(&self, boundary: Boundary) -> Option<Duration> {
        match boundary {
            Boundary::Vault => Some(self.vault),
            Boundary::AuditPayload => Some(self.audit_payload),
            Boundary::Field => Some(self.field),
            Boundary::Wrap | Boundary::Token | Boundary::Fingerprint | Boundary::Mac => None,
        }
    }
}

/// How a tenant's keys stand. Says nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Whether there are keys, or they were destroyed.
    pub is_live: bool,
    /// What wraps them.
    pub provider: &'static str,
    /// Every version of the tenant's key, the oldest first; none of a tenant whose keys were destroyed.
    pub versions: Vec<KeyVersion>,
    /// Every key-encryption key that was made for the tenant at the provider, the oldest first.
    pub keks: Vec<Kek>,
    /// Key files wrapped anew, of how many, while that is under way.
    pub progress: Option<(usize, usize)>,
}

/// One version of a tenant's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Which.
    pub version: u32,
    /// When it was made.
    pub created: Timestamp,
    /// The boundaries that seal under it now; none if it only opens.
    pub seals: Vec<Boundary>,
    /// What the provider calls the key that wraps it; nothing where the root key does.
    pub kek: Option<String>,
}

/// What came of destroying a tenant's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shredded {
    /// What the provider said of each key-encryption key, by its name.
    pub answers: Vec<(String, String)>,
}

impl TenantKeys {
    /// How the keys stand.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the log cannot be read.
    pub fn status(&self) -> Result<KeyStatus, KeyError> {
        let inner = self.inner();
        let versions = inner.with_rings(|rings| {
            let version = |(version, held): (u32, &crate::ring::Held)| KeyVersion {
                version,
                created: held.created,
                seals: Boundary::ROTATED
                    .into_iter()
                    .filter(|boundary| rings.current.version(*boundary) == version)
                    .collect(),
                kek: held.kek.clone(),
            };
            Ok(rings.versions().map(version).collect())
        });
        let progress = inner.progress.lock();
        Ok(KeyStatus {
            is_live: versions.is_ok(),
            provider: inner.root.provider(),
            versions: versions.unwrap_or_default(),
            keks: Keks::of(&*inner.records)?.0,
            progress: *progress.unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// The boundaries whose key is as old as `schedule` lets it become.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`].
    pub fn due(&self, schedule: &Schedule) -> Result<Vec<Boundary>, KeyError> {
        let now = self.inner().clock.now();
        self.inner().with_rings(|rings| {
            let is_due = |boundary: &Boundary| {
                let held = rings.held(rings.current.version(*boundary));
                let lasts = schedule.of(*boundary);
                held.zip(lasts)
                    .is_some_and(|(held, lasts)| held.created.plus(lasts) <= now)
            };
            Ok(Boundary::ROTATED.into_iter().filter(is_due).collect())
        })
    }

    /// Makes the next version of the tenant's key, under which `boundaries` seal from then on, and wraps the older ones anew.
    /// Everything else goes on meanwhile. `by` says in the entries who wants it. Gives the new version.
    ///
    /// # Errors
    /// [`TenantKeyError::Destroyed`]; [`TenantKeyError::Busy`]; [`TenantKeyError::NotRecorded`] when the log refuses: what has no
    /// entry has not happened; [`TenantKeyError::Root`] when the provider does not do its part. After the new version is in
    /// use, an error says that the older ones are not yet wrapped anew; [`finish`](Self::finish) takes that up again.
    pub async fn rotate(&self, boundaries: &[Boundary], by: &str) -> Result<u32, TenantKeyError> {
        let inner = self.inner();
        let _changing = Changing::begin(&inner.is_changing)?;
        let current = inner.current()?.rotated(boundaries);
        let version = current.newest();
        let about = |outcome: &str| {
            let names: Vec<_> = boundaries
                .iter()
                .map(|boundary| boundary.as_str())
                .collect();
            Draft::new(EntryKind::KeyChanged, outcome)
                .fact("by", by)
                .fact("boundaries", names.join(" "))
                .fact("key-version", version.to_string())
                .fact("provider", inner.root.provider())
        };
        let _durable = inner.recorder.record(about("rotating")).await?;
        let made = inner.make(current, about).await;
        if let Err(error) = made {
            let broken = about("not-rotated").fact("answer", error.to_string());
            let _durable = inner.recorder.record(broken).await?;
            return Err(error);
        }
        inner.rewrap().await?;
        Ok(version)
    }

    /// Takes up what was interrupted: wraps anew the versions that an older key-encryption key still wraps, or has the
    /// provider destroy what it has of a tenant whose keys were destroyed.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate) and [`destroy`](Self::destroy).
    pub async fn finish(&self) -> Result<(), TenantKeyError> {
        let inner = self.inner();
        if inner.is_live() {
            let _changing = Changing::begin(&inner.is_changing)?;
            return inner.rewrap().await;
        }
        // Keys that are only missed may yet be found.
        match Fate::of(&*inner.records, Self::FILE)? {
            Some(Fate::Destroyed) => self.destroy("schedule").await.map(drop),
            Some(Fate::Created { .. }) | None => Ok(()),
        }
    }

    /// Destroys at the provider each key-encryption key that has wrapped nothing for as long as `kept`. Copies of key files
    /// from before are worth nothing afterwards. Gives what the provider said of each.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate); what was destroyed before stays destroyed.
    pub async fn destroy_retired(&self, kept: Duration) -> Result<Shredded, TenantKeyError> {
        let inner = self.inner();
        let _changing = Changing::begin(&inner.is_changing)?;
        let now = inner.clock.now();
        let held = inner.with_rings(|rings| {
            let keks = rings.versions().filter_map(|(_, held)| held.kek.clone());
            Ok(keks.collect::<Vec<_>>())
        });
        let held = held.map_err(|_| TenantKeyError::Destroyed)?;
        let has_aged = |kek: &&Kek| {
            // Whatever the list says: what a version still hangs on is not let go.
            if held.contains(&kek.name) {
                return false;
            }
            let retired = kek.retired.as_ref();
            let since = retired.and_then(|since| since.parse::<Timestamp>().ok());
            since.is_some_and(|since| since.plus(kept) <= now)
        };
        let aged = Keks::of(&*inner.records)?;
        let mut shredded = Shredded::default();
        for kek in aged.kept().filter(has_aged) {
            let intent = inner.about_kek("kek-destroying", &kek.name);
            let _durable = inner.recorder.record(intent).await?;
            inner.destroy_kek(&kek.name, &mut shredded).await?;
        }
        Ok(shredded)
    }

    /// Destroys the tenant's keys: a `key-changed` entry first, then the keys in memory, then their files, overwritten and
    /// unlinked, then the key-encryption keys at the provider, whose answers are entries too. From then on every use, by
    /// grants already lent too, is [`KeyError::Destroyed`]. Uses under way end first. Called again, it does what is left. `by` says
    /// in the entry who wants it.
    ///
    /// # Errors
    /// [`TenantKeyError::NotRecorded`] when the log refuses: the keys live on. [`TenantKeyError::Busy`].
    /// [`TenantKeyError::File`] or [`TenantKeyError::Root`] when a file could not be removed, or the provider did not destroy a
    /// key: the keys are dead in this process and refused by the next; call again.
    pub async fn destroy(&self, by: &str) -> Result<Shredded, TenantKeyError> {
        let inner = self.inner();
        let _changing = Changing::begin(&inner.is_changing)?;
        let newest = Current::of(&*inner.records)?.newest();
        let is_news = !matches!(
            Fate::of(&*inner.records, Self::FILE)?,
            Some(Fate::Destroyed)
        );
        let keks = Keks::of(&*inner.records)?;
        if is_news {
            let mut destroyed = Fate::Destroyed.entry(Self::FILE, FIRST);
            let later =
                (FIRST + 1..=newest).map(|version| Fate::Destroyed.record(&file_name(version)));
            destroyed.records.extend(later);
            let destroyed = destroyed
                .fact("by", by)
                .fact("key-versions", newest.to_string())
                .fact("provider", inner.root.provider())
                .fact("keks", keks.kept().count().to_string());
            let _durable = inner.recorder.record(destroyed).await?;
        }
        *inner.rings.write().unwrap_or_else(PoisonError::into_inner) = None;
        for version in FIRST..=newest {
            store::shred(&inner.dir, &file_name(version))?;
        }
        let (mut shredded, mut failed) = (Shredded::default(), None);
        for kek in keks.kept() {
            // One that the provider keeps saves no other.
            if let Err(error) = inner.destroy_kek(&kek.name, &mut shredded).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(shredded), Err)
    }
}

impl Inner {
    fn current(&self) -> Result<Current, TenantKeyError> {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        let rings = rings.as_ref().ok_or(TenantKeyError::Destroyed)?;
        Ok(rings.current)
    }

    /// Makes the newest version of `current`, and lets it seal.
    async fn make(
        &self,
        current: Current,
        about: impl Fn(&str) -> Draft,
    ) -> Result<(), TenantKeyError> {
        let (version, now) = (current.newest(), self.clock.now());
        let name = file_name(version);
        let kek = self.root.make_kek(&self.tenant, version)?;
        let drawn = draw(&self.root, &self.tenant, version, now, kek)?;
        // A version that a crash kept from being recorded may lie there: nothing was sealed under it.
        store::shred(&self.dir, &name)?;
        store::prepare(&self.dir, &name, &drawn.text)?;

        let file = Digest::of(&drawn.text);
        let mut created = about("created").fact("key-file", &*name);
        created.records = vec![Fate::Created { file }.record(&name), current.record()];
        if let Some(kek) = &drawn.held.kek {
            created = created.fact("kek", kek.clone());
            let mut keks = Keks::of(&*self.records)?;
            keks.add(kek, now);
            created.records.push(keks.record());
        }
        let _durable = self.recorder.record(created).await?;
        store::settle(&self.dir, &name)?;
        if let Some(rings) = &mut *self.rings.write().unwrap_or_else(PoisonError::into_inner) {
            rings.insert(version, drawn.held);
            rings.current = current;
        }
        Ok(())
    }

    /// Wraps anew what another key-encryption key than the newest version's wraps, and retires the others.
    async fn rewrap(&self) -> Result<(), TenantKeyError> {
        let newest = self.current()?.newest();
        let (live, lagging) = {
            let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
            let rings = rings.as_ref().ok_or(TenantKeyError::Destroyed)?;
            let live = rings.held(newest).and_then(|held| held.kek.clone());
            let lagging = rings.versions().filter(|(_, held)| held.kek != live);
            let lagging: Vec<u32> = lagging.map(|(version, _)| version).collect();
            (live, lagging)
        };
        let Some(live) = live else { return Ok(()) };
        let of = lagging.len();
        let result = self.rewrap_all(&live, &lagging).await;
        self.tell_progress(None);
        result?;
        let mut keks = Keks::of(&*self.records)?;
        if keks.retire_all_but(Some(&live), self.clock.now()) {
            let mut rotated = self
                .about_kek("rewrapped-all", &live)
                .fact("key-files", of.to_string());
            rotated.records.push(keks.record());
            let _durable = self.recorder.record(rotated).await?;
        }
        Ok(())
    }

    async fn rewrap_all(&self, live: &str, lagging: &[u32]) -> Result<(), TenantKeyError> {
        let of = lagging.len();
        for (done, version) in lagging.iter().copied().enumerate() {
            self.tell_progress(Some((done, of)));
            let (content, wrapped) = read(&self.dir, &self.tenant, version, &*self.records)?;
            let old = content.kek.as_deref();
            let what = Wrapped::Tenant;
            let key = self
                .root
                .unwrap(what, &wrapped, &self.tenant, version, old)?;
            let wrapped = self
                .root
                .wrap(what, &key, &self.tenant, version, Some(live))?;
            drop(key);
            let name = file_name(version);
            let text = store::encode(&name, content.rewrapped(live, &wrapped))?;
            store::prepare_anew(&self.dir, &name, &text)?;
            let file = Digest::of(&text);
            let mut rewrapped = self
                .about_kek("rewrapped", live)
                .fact("key-file", &*name)
                .fact("key-version", version.to_string())
                .fact("progress", format!("{}/{of}", done + 1));
            rewrapped.records.push(Fate::Created { file }.record(&name));
            let _durable = self.recorder.record(rewrapped).await?;
            store::settle(&self.dir, &name)?;
            let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = rings.as_mut().and_then(|rings| rings.held_mut(version)) {
                held.kek = Some(live.to_owned());
            }
        }
        Ok(())
    }

    /// Has the provider destroy a key-encryption key, and records its answer. One that is gone already is destroyed.
    async fn destroy_kek(&self, kek: &str, shredded: &mut Shredded) -> Result<(), TenantKeyError> {
        let answer = match self.root.destroy_kek(kek) {
            Ok(answer) => answer,
            Err(RootError::KekGone { .. }) => "it was not there".to_owned(),
            Err(error) => {
                let kept = self
                    .about_kek("kek-kept", kek)
                    .fact("answer", error.to_string());
                let _durable = self.recorder.record(kept).await?;
                return Err(error.into());
            }
        };
        let mut keks = Keks::of(&*self.records)?;
        keks.set_destroyed(kek, self.clock.now());
        let mut destroyed = self
            .about_kek("kek-destroyed", kek)
            .fact("answer", answer.clone());
        destroyed.records.push(keks.record());
        let _durable = self.recorder.record(destroyed).await?;
        shredded.answers.push((kek.to_owned(), answer));
        Ok(())
    }

    fn about_kek(&self, outcome: &str, kek: &str) -> Draft {
        Draft::new(EntryKind::KeyChanged, outcome)
            .fact("provider", self.root.provider())
            .fact("kek", kek)
    }

    fn tell_progress(&self, progress: Option<(usize, usize)>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

/// One change of a tenant's keys at a time.
struct Changing<'a>(&'a AtomicBool);

impl<'a> Changing<'a> {
    fn begin(flag: &'a AtomicBool) -> Result<Self, TenantKeyError> {
        match flag.swap(true, Ordering::Acquire) {
            false => Ok(Self(flag)),
            true => Err(TenantKeyError::Busy),
        }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
