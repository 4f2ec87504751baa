//! Grants that outlive the request in which they were minted: lent to a caller who comes back with the grant's id.
//!
//! A lasting grant is kept as a record on the entry that minted it, and what is left of its uses on the entry of each use:
//! so it is there after a restart exactly as the log has it. What is written with an entry does not grow with the number
//! of grants. What is kept of its deadline is on the wall clock; in memory it is on the steady clock too (`course.rs`). Drawn in
//! `docs/formats/grants.md`. One process holds a tenant's log, so what is here in memory is the whole
//! truth while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephron_model::{Commit, Draft, EntryKind, EventId, Purpose, Record, Space, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::course::Moment;
use crate::error::KeyError;
use crate::grant::{Grant, GrantRequest, Subject};
use crate::hex;
use crate::random;
use crate::scope::{Kinds, Operations};
use crate::tenant_key::{Inner, TenantKeys};
use crate::vault::Conversation;

/// A grant that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// Random, and in every entry about it.
    pub id: String,
    /// The caller who may use it.
    pub subject: String,
    /// The caller who minted it.
    pub minter: String,
    /// What it may do.
    pub operations: Operations,
    /// Which kinds of identifier it covers.
    pub kinds: Kinds,
    /// For which purpose of use.
    pub purpose: Purpose,
    /// Uses left; nothing means without end.
    pub uses: Option<u64>,
    /// The most values of one use; nothing means as many as there are.
    pub values: Option<u32>,
    /// When it ends.
    pub expires: Timestamp,
    pub(crate) conversation: Option<Conversation>,
}

impl TenantKeys {
    /// Live lasting grants of one tenant; expired ones are removed before this is refused.
    pub const MOST_LASTING: usize = 1_000;

    /// What may be kept: seal, open and detokenize.
    pub const LASTING_OPERATIONS: Operations = Operations::SEAL
        .and(Operations::OPEN)
        .and(Operations::DETOKENIZE);

    /// Mints a grant that is kept until it expires or is revoked. `request.caller` is who mints it.
    ///
    /// # Errors
    /// [`KeyError::NotPermitted`] when the subject is no caller, an operation is none that may be kept, or as many as may be
    /// are live; [`KeyError::ClockWentBack`], noted as a refusal; [`KeyError::NotRecorded`]: it then does not exist;
    /// [`KeyError::Destroyed`], [`KeyError::Unavailable`].
    pub async fn mint_lasting(&self, request: GrantRequest) -> Result<Lasting, KeyError> {
        let inner = self.inner();
        let Subject::Caller(subject) = &request.subject else {
            return Err(KeyError::NotPermitted);
        };
        if !Self::LASTING_OPERATIONS.contain(request.operations) {
            return Err(KeyError::NotPermitted);
        }
        if !inner.is_live() {
            return Err(KeyError::Destroyed);
        }
        let id = format!("{PREFIX}{}", random::event_id(&*inner.clock)?);
        let now = match inner.look() {
            Ok(now) => now,
            Err(why) => {
                let grant = Grant::named(self, &id, request);
                let refused = grant.refused(Operations::NONE, why.code(), "");
                drop(inner.recorder.note(refused));
                return Err(why);
            }
        };
        let lasting = Lasting {
            id,
            subject: subject.clone(),
            minter: request.caller.clone().unwrap_or_else(|| subject.clone()),
            operations: request.operations,
            kinds: request.kinds.clone(),
            purpose: request.purpose.clone(),
            uses: request.uses,
            values: request.values,
            expires: now.wall.plus(request.lifetime),
            conversation: request.conversation,
        };
        let deadline = now.steady.saturating_add(request.lifetime);
        let grant = Grant::lasting(self, &lasting, deadline, request);
        let minted = grant
            .minted()
            .fact("subject", lasting.subject.clone())
            .fact("lasting", "true");
        let commit = {
            let mut kept = inner.lasting.lock();
            let grants = kept.loaded(inner)?;
            if grants.by_id.len() >= Self::MOST_LASTING {
                return Err(KeyError::NotPermitted);
            }
            let page = grants.insert(lasting.clone(), deadline);
            let page = page.ok_or(KeyError::NotPermitted)?;
            let mut minted = minted;
            minted.records = vec![record(inner, &lasting)?, grants.page(inner, page)?];
            inner.recorder.record(minted)
        };
        if let Err(error) = commit.await {
            // It was queued, and may yet be found durable; here nobody can use it.
            inner.lasting.lock().forget(&lasting.id);
            return Err(error.into());
        }
        Ok(lasting)
    }

    /// The lasting grants that are live, by id.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`]; [`KeyError::AuthenticationFailed`] when the store was tampered with;
    /// [`KeyError::Unavailable`].
    pub fn lasting(&self) -> Result<Vec<Lasting>, KeyError> {
        let mut kept = self.inner().lasting.lock();
        let grants = kept.loaded(self.inner())?;
        let held = grants.by_id.values();
        Ok(held.map(|held| held.grant.clone()).collect())
    }

    /// The lasting grant `id`, if it is live.
    ///
    /// # Errors
    /// As for [`lasting`](Self::lasting).
    pub fn lasting_of(&self, id: &str) -> Result<Option<Lasting>, KeyError> {
        let mut kept = self.inner().lasting.lock();
        let grants = kept.loaded(self.inner())?;
        Ok(grants.by_id.get(id).map(|held| held.grant.clone()))
    }

    /// The same, to be used.
    fn found(&self, id: &str) -> Result<Option<Found>, KeyError> {
        let inner = self.inner();
        let mut kept = inner.lasting.lock();
        let grants = kept.loaded(inner)?;
        let found = |held: &Held| Found {
            grant: held.grant.clone(),
            deadline: held.deadline(inner),
        };
        Ok(grants.by_id.get(id).map(found))
    }

    /// The lasting grant `id`, for one use that `request` describes; its subject must be the grant's, its purpose too, and
    /// its operations among those of the grant. Kinds, uses and time are the grant's, and the conversation if it has one.
    /// Each use goes with its entry, on which what is left of the grant is kept.
    ///
    /// # Errors
    /// [`KeyError::NotFound`] when there is no such grant for this subject; [`KeyError::NotPermitted`] when it is for another
    /// purpose or operation; [`KeyError::BudgetExhausted`]; [`KeyError::ClockWentBack`] when the clock had gone back before the
    /// keys were opened, so that nobody knows how much of its time is left: each noted as a refusal. [`KeyError::Destroyed`];
    /// [`KeyError::AuthenticationFailed`] when the store was tampered with; [`KeyError::Unavailable`].
    pub fn redeem(&self, id: &str, request: GrantRequest) -> Result<Grant, KeyError> {
        let operations = request.operations;
        let (why, detail) = match self.found(id)? {
            None => (KeyError::NotFound, ""),
            Some(Found { grant, deadline }) => {
                if request.subject != Subject::Caller(grant.subject.clone()) {
                    (KeyError::NotFound, "subject")
                } else if grant.purpose != request.purpose {
                    (KeyError::NotPermitted, "purpose")
                } else if !grant.operations.contain(operations) {
                    (KeyError::NotPermitted, "operation")
                } else if grant.uses == Some(0) {
                    (KeyError::BudgetExhausted, "")
                } else {
                    match deadline {
                        Ok(deadline) => {
                            return Ok(Grant::lasting(self, &grant, deadline, request));
                        }
                        Err(unknown) => (unknown, ""),
                    }
                }
            }
        };
        let refused = Grant::named(self, id, request).refused(operations, why.code(), detail);
        drop(self.inner().recorder.note(refused));
        Err(why)
    }

    /// Ends a lasting grant, after an entry about it is durable. `ended` is that entry, without its records.
    ///
    /// # Errors
    /// [`KeyError::NotFound`]; [`KeyError::NotRecorded`]: it lives on; [`KeyError::Destroyed`], [`KeyError::Unavailable`].
    pub async fn revoke(&self, id: &str, ended: Draft) -> Result<(), KeyError> {
        let inner = self.inner();
        let commit = {
            let mut kept = inner.lasting.lock();
            let grants = kept.loaded(inner)?;
            let (revoked, page) = grants.remove(id).ok_or(KeyError::NotFound)?;
            let mut ended = ended.fact("grant", id).fact("subject", revoked.subject);
            ended.records = vec![gone(id), grants.page(inner, page)?];
            inner.recorder.record(ended)
        };
        // In this process it has ended already.
        let _durable = commit.await?;
        Ok(())
    }
}

const PREFIX: &str = "grant-";

/// The id of a lasting grant, if `text` has the form of one: what else a client sends reaches no entry.
#[must_use]
pub fn is_grant_id(text: &str) -> bool {
    let id = text.strip_prefix(PREFIX);
    id.is_some_and(|id| id.parse::<EventId>().is_ok())
}

/// Lasting grants of one tenant.
#[derive(Default)]
pub(crate) struct LastingGrants(Mutex<Kept>);

/// Nothing, until they are first asked for.
#[derive(Default)]
pub(crate) struct Kept(Option<Grants>);

/// The live ones.
struct Grants {
    by_id: BTreeMap<String, Held>,
    /// Which ends first on the wall clock.
    by_end: BTreeSet<(Timestamp, String)>,
    /// Which ends first on the steady one, of those of which that is known.
    by_deadline: BTreeSet<(Duration, String)>,
    /// Whether there are others.
    is_unsettled: bool,
    /// Their ids, as the pages of the index list them.
    pages: [BTreeSet<String>; PAGES],
}

/// One that somebody is about to use.
struct Found {
    grant: Lasting,
    /// When it ends on the steady clock.
    deadline: Result<Duration, KeyError>,
}

/// One in memory.
struct Held {
    grant: Lasting,
    /// The page that lists it.
    page: usize,
    /// When it ends on the steady clock, once that is known.
    deadline: Option<Duration>,
}

impl Held {
    /// # Errors
    /// As for [`Inner::look`].
    fn deadline(&self, inner: &Inner) -> Result<Duration, KeyError> {
        match self.deadline {
            Some(deadline) => Ok(deadline),
            None => inner.look().map(|now| now.deadline(self.grant.expires)),
        }
    }
}

/// Pages of the index, and the ids that one holds: an act rewrites one page.
const PAGES: usize = 32;
const PAGE: usize = 32;
const _: () = assert!(PAGES * PAGE >= TenantKeys::MOST_LASTING);

impl LastingGrants {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `id` may be used once more.
    pub(crate) fn has_uses(&self, id: &str) -> bool {
        let kept = self.lock();
        let held = kept.0.as_ref().and_then(|grants| grants.by_id.get(id));
        held.is_some_and(|held| held.grant.uses != Some(0))
    }

    /// Takes one use of `id` and queues its entry, with what is left. Entries stand in the order in which uses were taken,
    /// because both happen under one lock.
    pub(crate) fn take_use(
        &self,
        inner: &Inner,
        id: &str,
        mut used: Draft,
    ) -> Result<Commit, KeyError> {
        let mut kept = self.lock();
        let grants = kept.loaded(inner)?;
        let held = grants.by_id.get_mut(id).ok_or(KeyError::NotFound)?;
        let grant = &mut held.grant;
        if let Some(left) = &mut grant.uses {
            *left = left.checked_sub(1).ok_or(KeyError::BudgetExhausted)?;
            let left = *left;
            used.records.push(record(inner, grant)?);
            used = used.fact("uses-left", left.to_string());
        }
        Ok(inner.recorder.record(used))
    }
}

impl Kept {
    /// The live ones. Those that have expired end here, and the log says so.
    fn loaded(&mut self, inner: &Inner) -> Result<&mut Grants, KeyError> {
        if !inner.is_live() {
            return Err(KeyError::Destroyed);
        }
        let grants = match &mut self.0 {
            Some(grants) => grants,
            none => none.insert(load(inner)?),
        };
        // Of a clock that went back nothing can be said but what the steady one says.
        let wall = inner.look().ok().map(|now| now.wall);
        if let Some(first) = inner.course.first() {
            grants.settle(first);
        }
        let steady = inner.clock.steady();
        while let Some((expired, page)) = grants.remove_expired(wall, steady) {
            let mut ended = Draft::new(EntryKind::GrantEnded, "expired")
                .fact("grant", expired.id.clone())
                .fact("subject", expired.subject);
            ended.purpose = Some(expired.purpose);
            ended.records = vec![gone(&expired.id), grants.page(inner, page)?];
            drop(inner.recorder.note(ended));
        }
        Ok(grants)
    }

    fn forget(&mut self, id: &str) {
        if let Some(grants) = &mut self.0 {
            grants.remove(id);
        }
    }
}

impl Grants {
    fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_end: BTreeSet::new(),
            by_deadline: BTreeSet::new(),
            is_unsettled: false,
            pages: std::array::from_fn(|_| BTreeSet::new()),
        }
    }

    /// Lists it on the first page with room, and gives that; nothing if there is none.
    fn insert(&mut self, grant: Lasting, deadline: Duration) -> Option<usize> {
        let page = self.pages.iter().position(|page| page.len() < PAGE)?;
        self.insert_at(page, grant, Some(deadline));
        Some(page)
    }

    fn insert_at(&mut self, page: usize, grant: Lasting, deadline: Option<Duration>) {
        let id = grant.id.clone();
        if let Some(listed) = self.pages.get_mut(page) {
            listed.insert(id.clone());
        }
        self.by_end.insert((grant.expires, id.clone()));
        match deadline {
            Some(deadline) => drop(self.by_deadline.insert((deadline, id.clone()))),
            None => self.is_unsettled = true,
        }
        let held = Held {
            grant,
            page,
            deadline,
        };
        self.by_id.insert(id, held);
    }

    /// Gives those that were read their place on the steady clock.
    fn settle(&mut self, first: Moment) {
        if !std::mem::take(&mut self.is_unsettled) {
            return;
        }
        for (id, held) in &mut self.by_id {
            let deadline = held
                .deadline
                .get_or_insert_with(|| first.deadline(held.grant.expires));
            self.by_deadline.insert((*deadline, id.clone()));
        }
    }

    fn remove(&mut self, id: &str) -> Option<(Lasting, usize)> {
        let held = self.by_id.remove(id)?;
        if let Some(listed) = self.pages.get_mut(held.page) {
            listed.remove(id);
        }
        self.by_end.remove(&(held.grant.expires, id.to_owned()));
        if let Some(deadline) = held.deadline {
            self.by_deadline.remove(&(deadline, id.to_owned()));
        }
        Some((held.grant, held.page))
    }

    /// Removes one that has ended by either clock, as far as the wall clock is believed.
    fn remove_expired(
        &mut self,
        wall: Option<Timestamp>,
        steady: Duration,
    ) -> Option<(Lasting, usize)> {
        let by_wall = self.by_end.first();
        let by_wall = by_wall.filter(|(end, _)| wall.is_some_and(|wall| *end <= wall));
        let by_steady = self.by_deadline.first();
        let by_steady = by_steady.filter(|(deadline, _)| *deadline <= steady);
        let id = match (by_wall, by_steady) {
            (Some((_, id)), _) | (None, Some((_, id))) => id.clone(),
            (None, None) => return None,
        };
        self.remove(&id)
    }

    /// A page of the index, as it is now.
    fn page(&self, inner: &Inner, page: usize) -> Result<Record, KeyError> {
        written(inner, &page_key(page), &self.pages.get(page))
    }
}

/// The key of a page of the index. No grant has this id.
fn page_key(page: usize) -> String {
    format!("index-{page:02}")
}

fn load(inner: &Inner) -> Result<Grants, KeyError> {
    let keys: Vec<String> = (0..PAGES).map(page_key).collect();
    let mut places: Vec<(usize, String)> = Vec::new();
    for (page, (key, listed)) in keys.iter().zip(read_all(inner, &keys)?).enumerate() {
        if let Some(listed) = listed {
            let ids: Vec<String> = read(inner, key, &listed)?;
            places.extend(ids.into_iter().map(|id| (page, id)));
        }
    }
    let ids: Vec<&String> = places.iter().map(|(_, id)| id).collect();
    let kept = read_all(inner, &ids)?;
    let mut grants = Grants::new();
    for ((page, id), kept) in places.into_iter().zip(kept) {
        // What the index lists was committed with it.
        let kept = kept.ok_or(KeyError::AuthenticationFailed)?;
        let lasting = read::<Written>(inner, &id, &kept)?.lasting(id);
        grants.insert_at(page, lasting.ok_or(KeyError::AuthenticationFailed)?, None);
    }
    Ok(grants)
}

fn read_all(inner: &Inner, keys: &[impl AsRef<str>]) -> Result<Vec<Option<Vec<u8>>>, KeyError> {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| key.as_ref().as_bytes().to_vec())
        .collect();
    Ok(inner.records.read_all(Space::Grant, &keys)?)
}

/// A grant as it is kept. Its id is the record's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    subject: String,
    minter: String,
    operations: Vec<String>,
    kinds: Kinds,
    purpose: Purpose,
    uses: Option<u64>,
    values: Option<u32>,
    expires: String,
    conversation: Option<String>,
}

impl Written {
    fn of(lasting: &Lasting) -> Self {
        let conversation = lasting.conversation;
        Self {
            subject: lasting.subject.clone(),
            minter: lasting.minter.clone(),
            operations: lasting.operations.names().map(str::to_owned).collect(),
            kinds: lasting.kinds.clone(),
            purpose: lasting.purpose.clone(),
            uses: lasting.uses,
            values: lasting.values,
            expires: lasting.expires.to_string(),
            conversation: conversation.map(|conversation| hex::encode(&conversation.to_bytes())),
        }
    }

    fn lasting(self, id: String) -> Option<Lasting> {
        let operations = self
            .operations
            .iter()
            .try_fold(Operations::NONE, |all, name| {
                Operations::named(name).map(|one| all | one)
            });
        let conversation = match self.conversation {
            None => None,
            Some(text) => Some(Conversation::of_bytes(hex::decode(&text)?.try_into().ok()?)),
        };
        Some(Lasting {
            id,
            subject: self.subject,
            minter: self.minter,
            operations: operations?,
            kinds: self.kinds,
            purpose: self.purpose,
            uses: self.uses,
            values: self.values,
            expires: self.expires.parse().ok()?,
            conversation,
        })
    }
}

fn record(inner: &Inner, lasting: &Lasting) -> Result<Record, KeyError> {
    written(inner, &lasting.id, &Written::of(lasting))
}

fn gone(id: &str) -> Record {
    Record {
        space: Space::Grant,
        key: id.as_bytes().to_vec(),
        value: Vec::new(),
    }
}

/// A record with its MAC before it: who can write to the store cannot lend himself a key.
pub(crate) fn written(
    inner: &Inner,
    key: &str,
    content: &impl Serialize,
) -> Result<Record, KeyError> {
    let text = serde_json::to_vec(content).unwrap_or_default();
    let mut value = mac(inner, key, &text)?.to_vec();
    value.extend_from_slice(&text);
    Ok(Record {
        space: Space::Grant,
        key: key.as_bytes().to_vec(),
        value,
    })
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    inner: &Inner,
    key: &str,
    value: &[u8],
) -> Result<T, KeyError> {
    let (tag, text) = value
        .split_first_chunk::<32>()
        .ok_or(KeyError::AuthenticationFailed)?;
    if !bool::from(mac(inner, key, text)?.ct_eq(tag)) {
        return Err(KeyError::AuthenticationFailed);
    }
    serde_json::from_slice(text).map_err(|_| KeyError::AuthenticationFailed)
}

fn mac(inner: &Inner, key: &str, text: &[u8]) -> Result<[u8; 32], KeyError> {
    inner.with_rings(|rings| Ok(rings.lookup().token.mac(&[b"grant", key.as_bytes(), text])))
}

#[cfg(test)]
mod tests;
