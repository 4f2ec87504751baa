//! The vault: which token stands for which value, in one conversation of one tenant.
//!
//! A value is looked up by a keyed digest and kept sealed; both travel as records on the entry that records the use of
//! the key, so that a token exists if and only if its entry does. Drawn in `docs/formats/tokens.md`.
//!
//! The lookup takes the value exactly as it was written. "John Smith" and "JOHN SMITH" get two tokens: were they to
//! share one, only one of them could be put back, and a restored text must equal what was sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nephron_model::{Commit, Kind, NotRecorded, Phi, Record, Recorded, Records, Space};
use subtle::ConstantTimeEq;

use crate::error::{KeyError, Unavailability};
use crate::hex;
use crate::random::RandomError;
use crate::ring::{FIRST, Rings};
use crate::seal::{self, Binding, Boundary};
use crate::secret::Key;
use crate::tenant_key::{Inner, TenantKeys};
use crate::token::Token;

/// A conversation as the vault knows it: a keyed digest of tenant and name, so that the name stands nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conversation([u8; 32]);

impl Conversation {
    pub(crate) const fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl TenantKeys {
    /// The conversation that the caller calls `name`: its own id, or the request's where it has none.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`].
    pub fn conversation(&self, name: &str) -> Result<Conversation, KeyError> {
        let tenant = self.tenant().as_str().as_bytes();
        self.inner().with_rings(|rings| {
            let digest = rings
                .lookup()
                .token
                .mac(&[b"conversation", tenant, name.as_bytes()]);
            Ok(Conversation(digest))
        })
    }

    /// Of each of these tokens, whether it was issued in that conversation, or in the one that the lasting grant `lent`
    /// reaches. No key opens for that: conversation and token are no secret to the store.
    ///
    /// # Errors
    /// As [`lasting_of`](Self::lasting_of).
    pub fn issued(
        &self,
        conversation: Conversation,
        lent: Option<&str>,
        tokens: &[Token],
    ) -> Result<Vec<bool>, KeyError> {
        let reached = match lent {
            Some(id) => self.lasting_of(id)?.and_then(|lent| lent.conversation),
            None => None,
        };
        let reached = reached.unwrap_or(conversation);
        let found = find(self.inner(), reached, tokens.iter())?;
        let is_there = |found: Found| matches!(found, Found::Sealed(_));
        Ok(found.into_iter().map(is_there).collect())
    }
}

/// Tokens that were chosen for an entry that is not yet durable.
pub(crate) struct Issued {
    /// One for each value, in order.
    pub(crate) tokens: Vec<Token>,
    /// What the entry must carry for them.
    pub(crate) records: Vec<Record>,
    /// How many of the values had no token before.
    pub(crate) fresh: u64,
    /// INVARIANT: kept until the entry is durable, so that others who ask meanwhile are given the same tokens.
    pub(crate) reservation: Reservation,
}

/// The entry of tokens that were handed out ahead of it.
#[must_use = "nothing that holds one of the tokens may leave before it is durable"]
pub struct Underway {
    commit: Commit,
    reservation: Reservation,
}

impl Underway {
    pub(crate) const fn new(commit: Commit, reservation: Reservation) -> Self {
        Self {
            commit,
            reservation,
        }
    }

    /// Waits until the entry is durable.
    ///
    /// # Errors
    /// [`NotRecorded`]: the tokens stand for nothing, and nothing that holds one may leave.
    pub async fn durable(self) -> Result<Recorded, NotRecorded> {
        let recorded = self.commit.await;
        self.reservation.settle();
        recorded
    }

    /// What became of the entry, if that is known already. Once it was told, it is not told again.
    pub fn resolved(&mut self) -> Option<Result<Recorded, NotRecorded>> {
        let resolved = self.commit.resolved();
        self.reservation.is_settled |= resolved.is_some();
        resolved
    }
}

/// What the vault knows about a token.
pub(crate) enum Found {
    /// Its value, sealed.
    Sealed(Vec<u8>),
    /// It was not issued to this tenant and conversation.
    Unknown,
}

/// Chooses a token for each of `values`: the one it has, the one that another task is about to record for it, or a new
/// one that no value of the conversation has.
pub(crate) fn issue(
    inner: &Arc<Inner>,
    conversation: Conversation,
    is_new: bool,
    values: &[(Kind, &str)],
) -> Result<Issued, KeyError> {
    inner.with_rings(|rings| {
        let asked: Vec<_> = values
            .iter()
            .map(|(kind, value)| lookup(&rings.lookup().token, conversation, kind, value))
            .collect();
        let mut distinct: BTreeMap<&[u8; 32], &(Kind, &str)> = BTreeMap::new();
        for (lookup, value) in asked.iter().zip(values) {
            distinct.entry(lookup).or_insert(value);
        }
        let mut reservation = Reservation {
            inner: Arc::clone(inner),
            lookups: Vec::new(),
            is_settled: false,
        };
        let chosen = reservation.choose(rings, conversation, is_new, &distinct)?;

        let mut issued = Issued {
            tokens: Vec::with_capacity(values.len()),
            records: Vec::new(),
            fresh: 0,
            reservation,
        };
        for (lookup, (token, is_durable)) in &chosen {
            if let (false, Some((_, value))) = (is_durable, distinct.get(lookup)) {
                issued.fresh += 1;
                let sealed = records(rings, inner, conversation, lookup, token, value)?;
                issued.records.extend(sealed);
            }
        }
        let tokens = asked.iter().filter_map(|lookup| chosen.get(lookup));
        issued.tokens.extend(tokens.map(|(token, _)| token.clone()));
        Ok(issued)
    })
}

/// Looks `tokens` up. No key opens for that: conversation and token are no secret to the store.
pub(crate) fn find<'a>(
    inner: &Inner,
    conversation: Conversation,
    tokens: impl Iterator<Item = &'a Token>,
) -> Result<Vec<Found>, KeyError> {
    let keys: Vec<_> = tokens.map(|token| value_key(conversation, token)).collect();
    let sealed = inner.records.read_all(Space::VaultValue, &keys)?;
    // An empty value is one that is no longer there.
    let found = sealed.into_iter().map(|sealed| {
        sealed
            .filter(|sealed| !sealed.is_empty())
            .map_or(Found::Unknown, Found::Sealed)
    });
    Ok(found.collect())
}

/// Opens what [`find`] found. INVARIANT: called after the use is durable.
pub(crate) fn reveal(
    rings: &Rings,
    inner: &Inner,
    conversation: Conversation,
    token: &Token,
    sealed: &[u8],
) -> Result<Phi<String>, KeyError> {
    let place = place(conversation, token);
    let opened = rings.open(Boundary::Vault, &place.binding(inner), sealed)?;
    Ok(seal::text(opened)?)
}

/// Tokens that are on their way into the log, for all tasks of one tenant.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<Flights>);

#[derive(Default)]
struct Flights {
    /// By lookup: the token, and how many tasks are about to record it.
    tokens: BTreeMap<[u8; 32], (Token, Conversation, usize)>,
    taken: BTreeSet<Vec<u8>>,
    /// Lookups that no task is about to record any more, oldest first.
    orphans: VecDeque<[u8; 32]>,
}

impl Flights {
    /// The token of `lookup` is not on its way any more.
    fn land(&mut self, lookup: &[u8; 32]) {
        if let Some((token, conversation, _)) = self.tokens.remove(lookup) {
            self.taken.remove(&value_key(conversation, &token));
        }
    }
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's share of [`InFlight`], given back when it is dropped.
pub(crate) struct Reservation {
    inner: Arc<Inner>,
    lookups: Vec<[u8; 32]>,
    is_settled: bool,
}

impl Reservation {
    /// The token of each value by its lookup, and whether it is durable already. One that another task is about to
    /// record counts as not durable: each of the two records it, so that neither depends on the other's entry.
    ///
    /// In a conversation that `is_new` nothing durable is looked for.
    fn choose<'a>(
        &mut self,
        rings: &Rings,
        conversation: Conversation,
        is_new: bool,
        values: &BTreeMap<&'a [u8; 32], &(Kind, &str)>,
    ) -> Result<BTreeMap<&'a [u8; 32], (Token, bool)>, KeyError> {
        // The records are read under the lock: a token leaves the map only once it can be read there.
        let mut flights = self.inner.in_flight.lock();
        let records = (!is_new).then_some(&*self.inner.records);
        let mut kept = match records {
            Some(records) => {
                let keys: Vec<_> = values
                    .keys()
                    .map(|lookup| token_key(conversation, lookup))
                    .collect();
                records.read_all(Space::VaultToken, &keys)?
            }
            None => vec![None; values.len()],
        }
        .into_iter();
        let mut chosen = BTreeMap::new();
        let mut without: Vec<(&'a [u8; 32], &Kind)> = Vec::new();
        for (lookup, (kind, _)) in values {
            let kept = kept.next().flatten().filter(|kept| !kept.is_empty());
            match (flights.tokens.get_mut(*lookup), kept) {
                // Nobody is about to record it any more: what is durable counts.
                (Some((_, _, 0)) | None, Some(kept)) => {
                    chosen.insert(
                        *lookup,
                        (verified(&rings.lookup().token, lookup, &kept)?, true),
                    );
                }
                (Some((token, _, tasks)), _) => {
                    *tasks += 1;
                    self.lookups.push(**lookup);
                    chosen.insert(*lookup, (token.clone(), false));
                }
                (None, None) => without.push((*lookup, kind)),
            }
        }
        let kinds: Vec<&Kind> = without.iter().map(|(_, kind)| *kind).collect();
        let tokens = flights.free_tokens(records, conversation, &kinds, |kind| {
            Token::draw(kind.clone())
        })?;
        for ((lookup, _), token) in without.into_iter().zip(tokens) {
            flights.taken.insert(value_key(conversation, &token));
            let flight = (token.clone(), conversation, 1);
            flights.tokens.insert(*lookup, flight);
            self.lookups.push(*lookup);
            chosen.insert(lookup, (token, false));
        }
        Ok(chosen)
    }

    /// The entry that carries the tokens is durable, or never will be: they are not on their way any more.
    pub(crate) fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Flights {
    /// A token for each of `kinds`, each the first one drawn that no value of the conversation has, neither one on its
    /// way nor one of `records`. All that were drawn are looked up at once.
    fn free_tokens(
        &self,
        records: Option<&dyn Records>,
        conversation: Conversation,
        kinds: &[&Kind],
        mut draw: impl FnMut(&Kind) -> Result<Token, RandomError>,
    ) -> Result<Vec<Token>, KeyError> {
        let mut free: Vec<Option<Token>> = vec![None; kinds.len()];
        let mut drawn: BTreeSet<Vec<u8>> = BTreeSet::new();
        // Even with half of all tokens taken, 64 draws fail once in 2^64 times.
        for _ in 0..64 {
            let mut candidates = Vec::new();
            for (place, kind) in free
                .iter()
                .zip(kinds)
                .enumerate()
                .filter_map(|(place, (token, kind))| token.is_none().then_some((place, kind)))
            {
                let token = draw(kind)?;
                let key = value_key(conversation, &token);
                if !self.taken.contains(&key) && drawn.insert(key.clone()) {
                    candidates.push((place, token, key));
                }
            }
            let keys: Vec<_> = candidates.iter().map(|(_, _, key)| key.clone()).collect();
            let kept = match records {
                Some(records) => records.read_all(Space::VaultValue, &keys)?,
                None => vec![None; keys.len()],
            };
            for ((place, token, _), kept) in candidates.into_iter().zip(kept) {
                if let (None, Some(place)) = (kept, free.get_mut(place)) {
                    *place = Some(token);
                }
            }
            if let Some(free) = free.iter().cloned().collect() {
                return Ok(free);
            }
        }
        Err(KeyError::Unavailable(Unavailability::TokensExhausted))
    }
}

/// Tokens of tasks that were dropped before their entry was known to be durable, kept at most.
const ORPHANS: usize = 1 << 14;

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut flights = self.inner.in_flight.lock();
        for lookup in &self.lookups {
            let Some((_, _, tasks)) = flights.tokens.get_mut(lookup) else {
                continue;
            };
            *tasks = tasks.saturating_sub(1);
            if *tasks > 0 {
                continue;
            }
            if self.is_settled {
                flights.land(lookup);
            } else {
                // The entry was queued and may yet be durable: the next task that asks is given the same token.
                flights.orphans.push_back(*lookup);
            }
        }
        while flights.orphans.len() > ORPHANS {
            if let Some(lookup) = flights.orphans.pop_front()
                && flights
                    .tokens
                    .get(&lookup)
                    .is_some_and(|(_, _, tasks)| *tasks == 0)
            {
                flights.land(&lookup);
            }
        }
    }
}

/// The sealed value under its token, and the token under its lookup.
fn records(
    rings: &Rings,
    inner: &Inner,
    conversation: Conversation,
    lookup: &[u8; 32],
    token: &Token,
    value: &str,
) -> Result<[Record; 2], KeyError> {
    let place = place(conversation, token);
    let sealed = rings.seal(Boundary::Vault, &place.binding(inner), value.as_bytes())?;
    let mut kept = issued_mac(&rings.lookup().token, lookup, &place.token).to_vec();
    kept.extend_from_slice(place.token.as_bytes());
    Ok([
        Record {
            space: Space::VaultValue,
            key: value_key(conversation, token),
            value: sealed,
        },
        Record {
            space: Space::VaultToken,
            key: token_key(conversation, lookup),
            value: kept,
        },
    ])
}

/// The token that `kept` holds, if this tenant's key put it there for `lookup`: otherwise who can write to the store
/// could give one patient's value the token of another's.
fn verified(token_key: &Key, lookup: &[u8; 32], kept: &[u8]) -> Result<Token, KeyError> {
    let (mac, text) = kept
        .split_first_chunk::<32>()
        .ok_or(KeyError::AuthenticationFailed)?;
    let text = std::str::from_utf8(text).map_err(|_| KeyError::AuthenticationFailed)?;
    if !bool::from(issued_mac(token_key, lookup, text).ct_eq(mac)) {
        return Err(KeyError::AuthenticationFailed);
    }
    text.parse().map_err(|_| KeyError::AuthenticationFailed)
}

fn lookup(key: &Key, conversation: Conversation, kind: &Kind, value: &str) -> [u8; 32] {
    let kind = kind.as_str().as_bytes();
    key.mac(&[b"lookup", &conversation.0, kind, value.as_bytes()])
}

fn issued_mac(key: &Key, lookup: &[u8; 32], token: &str) -> [u8; 32] {
    key.mac(&[b"issued", lookup, token.as_bytes()])
}

// Both keys begin with the conversation: the log keeps together what is asked for together.
fn token_key(conversation: Conversation, lookup: &[u8; 32]) -> Vec<u8> {
    [conversation.0, *lookup].concat()
}

fn value_key(conversation: Conversation, token: &Token) -> Vec<u8> {
    let mut key = conversation.0.to_vec();
    key.extend_from_slice(token.to_string().as_bytes());
    key
}

/// The texts that a vault envelope is bound to.
struct Place {
    conversation: String,
    token: String,
}

fn place(conversation: Conversation, token: &Token) -> Place {
    Place {
        conversation: hex::encode(&conversation.0),
        token: token.to_string(),
    }
}

impl Place {
    fn binding<'a>(&'a self, inner: &'a Inner) -> Binding<'a> {
        Binding {
            tenant: Some(&inner.tenant),
            key_version: FIRST,
            record: &self.conversation,
            field: &self.token,
            purpose: "",
            context: "",
        }
    }
}

#[cfg(test)]
mod tests;
