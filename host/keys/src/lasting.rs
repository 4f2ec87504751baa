//! Grants that outlive the request in which they were minted: lent to a caller who comes back with the grant's id.
//!
//! A lasting grant is kept as a record on the entry that minted it, and what is left of its uses on the entry of each use:
//! so it is there after a restart exactly as the log has it. Drawn in `docs/formats/grants.md`. One process holds a tenant's
//! log, so what is here in memory is the whole truth while it runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nephron_model::{Commit, Draft, EntryKind, EventId, Purpose, Record, Space, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

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
    /// are live; [`KeyError::NotRecorded`]: it then does not exist; [`KeyError::Destroyed`], [`KeyError::Unavailable`].
    pub async fn mint_lasting(&self, request: GrantRequest) -> Result<Lasting, KeyError> {
        let inner = self.inner();
        let Subject::Caller(subject) = &request.subject else {
            return Err(KeyError::NotPermitted);
        };
        if !Self::LASTING_OPERATIONS.contain(request.operations) {
            return Err(KeyError::NotPermitted);
        }
        let lasting = Lasting {
            id: format!("{PREFIX}{}", random::event_id(&*inner.clock)?),
            subject: subject.clone(),
            minter: request.caller.clone().unwrap_or_else(|| subject.clone()),
            operations: request.operations,
            kinds: request.kinds.clone(),
            purpose: request.purpose.clone(),
            uses: request.uses,
            expires: inner.clock.now().plus(request.lifetime),
            conversation: request.conversation,
        };
        let grant = Grant::lasting(self, &lasting, request);
        let minted = grant
            .minted()
            .fact("subject", lasting.subject.clone())
            .fact("lasting", "true");
        let commit = {
            let mut kept = inner.lasting.lock();
            let grants = kept.loaded(inner)?;
            if grants.len() >= Self::MOST_LASTING {
                return Err(KeyError::NotPermitted);
            }
            grants.insert(lasting.id.clone(), lasting.clone());
            let mut minted = minted;
            minted.records = vec![record(inner, &lasting)?, index(inner, grants)?];
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
        Ok(kept.loaded(self.inner())?.values().cloned().collect())
    }

    /// The lasting grant `id`, for one use that `request` describes; its subject must be the grant's, its purpose too, and
    /// its operations among those of the grant. Kinds, uses and time are the grant's, and the conversation if it has one.
    /// Each use goes with its entry, on which what is left of the grant is kept.
    ///
    /// # Errors
    /// [`KeyError::NotFound`] when there is no such grant for this subject; [`KeyError::NotPermitted`] when it is for another
    /// purpose or operation; [`KeyError::BudgetExhausted`]: each noted as a refusal. [`KeyError::Destroyed`];
    /// [`KeyError::AuthenticationFailed`] when the store was tampered with; [`KeyError::Unavailable`].
    pub fn redeem(&self, id: &str, request: GrantRequest) -> Result<Grant, KeyError> {
        let found = {
            let mut kept = self.inner().lasting.lock();
            kept.loaded(self.inner())?.get(id).cloned()
        };
        let operations = request.operations;
        let (why, detail) = match &found {
            None => (KeyError::NotFound, ""),
            Some(found) if request.subject != Subject::Caller(found.subject.clone()) => {
                (KeyError::NotFound, "subject")
            }
            Some(found) if found.purpose != request.purpose => (KeyError::NotPermitted, "purpose"),
            Some(found) if !found.operations.contain(operations) => {
                (KeyError::NotPermitted, "operation")
            }
            Some(found) if found.uses == Some(0) => (KeyError::BudgetExhausted, ""),
            Some(found) => return Ok(Grant::lasting(self, found, request)),
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
            let revoked = grants.remove(id).ok_or(KeyError::NotFound)?;
            let mut ended = ended.fact("grant", id).fact("subject", revoked.subject);
            ended.records = vec![gone(id), index(inner, grants)?];
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
pub(crate) struct Kept(Option<BTreeMap<String, Lasting>>);

impl LastingGrants {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `id` may be used once more.
    pub(crate) fn has_uses(&self, id: &str) -> bool {
        let kept = self.lock();
        let grant = kept.0.as_ref().and_then(|grants| grants.get(id));
        grant.is_some_and(|grant| grant.uses != Some(0))
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
        let grant = grants.get_mut(id).ok_or(KeyError::NotFound)?;
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
    fn loaded(&mut self, inner: &Inner) -> Result<&mut BTreeMap<String, Lasting>, KeyError> {
        if !inner.is_live() {
            return Err(KeyError::Destroyed);
        }
        if self.0.is_none() {
            self.0 = Some(load(inner)?);
        }
        let grants = self.0.get_or_insert_default();
        let now = inner.clock.now();
        let expired: Vec<Lasting> = grants
            .extract_if(.., |_, grant| grant.expires <= now)
            .map(|(_, grant)| grant)
            .collect();
        for grant in expired {
            let mut ended = Draft::new(EntryKind::GrantEnded, "expired")
                .fact("grant", grant.id.clone())
                .fact("subject", grant.subject);
            ended.purpose = Some(grant.purpose);
            ended.records = vec![gone(&grant.id), index(inner, grants)?];
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

/// The key of the record that lists the others. No grant has this id.
const INDEX: &str = "index";

fn load(inner: &Inner) -> Result<BTreeMap<String, Lasting>, KeyError> {
    let Some(listed) = inner.records.read(Space::Grant, INDEX.as_bytes())? else {
        return Ok(BTreeMap::new());
    };
    let ids: Vec<String> = read(inner, INDEX, &listed)?;
    let keys: Vec<_> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    let kept = inner.records.read_all(Space::Grant, &keys)?;
    let mut grants = BTreeMap::new();
    for (id, kept) in ids.into_iter().zip(kept) {
        // What the index lists was committed with it.
        let kept = kept.ok_or(KeyError::AuthenticationFailed)?;
        let lasting = read::<Written>(inner, &id, &kept)?.lasting(id.clone());
        grants.insert(id, lasting.ok_or(KeyError::AuthenticationFailed)?);
    }
    Ok(grants)
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
            expires: self.expires.parse().ok()?,
            conversation,
        })
    }
}

fn record(inner: &Inner, lasting: &Lasting) -> Result<Record, KeyError> {
    written(inner, &lasting.id, &Written::of(lasting))
}

fn index(inner: &Inner, grants: &BTreeMap<String, Lasting>) -> Result<Record, KeyError> {
    let ids: Vec<&String> = grants.keys().collect();
    written(inner, INDEX, &ids)
}

fn gone(id: &str) -> Record {
    Record {
        space: Space::Grant,
        key: id.as_bytes().to_vec(),
        value: Vec::new(),
    }
}

/// A record with its MAC before it: who can write to the store cannot lend himself a key.
fn written(inner: &Inner, key: &str, content: &impl Serialize) -> Result<Record, KeyError> {
    let text = serde_json::to_vec(content).unwrap_or_default();
    let mut value = mac(inner, key, &text)?.to_vec();
    value.extend_from_slice(&text);
    Ok(Record {
        space: Space::Grant,
        key: key.as_bytes().to_vec(),
        value,
    })
}

fn read<T: for<'de> Deserialize<'de>>(
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
    inner.with_ring(|ring| Ok(ring.token.mac(&[b"grant", key.as_bytes(), text])))
}

#[cfg(test)]
mod tests;
