//! A grant: a lent handle to one tenant's keys, for named operations, kinds, uses and time.
//!
//! Every use is recorded, and the entry durable, before the key opens (I1); a refusal is recorded too, and names its
//! reason. No method gives key bytes (I4). Where the result of an operation must stand in the entry itself, as tokens'
//! sealed values do, it is made first and handed out after; ahead of it only to who holds back all that they stand in
//! ([`Grant::tokenize_ahead`]).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nephron_model::{
    Commit, Digest, Draft, EntryKind, EventId, Kind, Phi, PluginRef, Point, Purpose, Timestamp,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::course::Moment;
use crate::error::KeyError;
use crate::lasting::Lasting;
use crate::random;
use crate::ring::{Current, FIRST, Rings};
use crate::scope::{Kinds, Operations};
use crate::seal::{self, Binding, Boundary};
use crate::signing::SigningKey;
use crate::tenant_key::TenantKeys;
use crate::token::Token;
use crate::vault::{self, Conversation, Found, Underway};

/// A lent handle. Dropping it ends it; so do its expiry, its last use and the destruction of the tenant's key.
///
/// It expires by the wall clock or by the steady one, whichever is first: setting the one back prolongs nothing.
pub struct Grant {
    keys: TenantKeys,
    id: String,
    request: GrantRequest,
    expires: Timestamp,
    /// The same on the steady clock.
    deadline: Duration,
    uses: Uses,
}

/// How often a grant may be used.
enum Uses {
    Endless,
    /// As often as is left.
    Counted(AtomicU64),
    /// As often as is left of the lasting grant of this id.
    Lasting,
}

/// What a grant is minted for. Begin with [`GrantRequest::new`] and set what else applies.
pub struct GrantRequest {
    /// Who will use it.
    pub subject: Subject,
    /// What it may do.
    pub operations: Operations,
    /// Why: stands in each entry, and is bound into what the grant seals.
    pub purpose: Purpose,
    /// For how long, from when it is minted.
    pub lifetime: Duration,
    /// How often; nothing means without end. One call is one use, for as many values as [`values`](Self::values) says.
    pub uses: Option<u64>,
    /// The most values that one use seals, opens or restores; nothing means as many as there are. A token counts once,
    /// and only if the grant covers its kind.
    pub values: Option<u32>,
    /// Which kinds of identifier it may replace and restore.
    pub kinds: Kinds,
    /// Which conversation's tokens it reaches; without one it reaches none.
    pub conversation: Option<Conversation>,
    /// Nothing was ever replaced in that conversation, so that no token of it need be looked for.
    /// INVARIANT: only for a name that was just drawn at random.
    pub is_new_conversation: bool,
    /// The record that what it seals belongs to; bound, and never recorded. Empty: none.
    pub record: String,
    /// The field within the record; bound, and never recorded.
    pub field: String,
    /// A provider's key, under which [`Grant::mac`] authenticates in place of the tenant's.
    pub signing: Option<SigningKey>,
    /// The request that entries name.
    pub request: Option<EventId>,
    /// The enforcement point that entries name.
    pub point: Option<Point>,
    /// The caller that entries name; when the subject is a caller, that one unless set.
    pub caller: Option<String>,
    /// The generation that entries name (I7).
    pub generation: Option<Digest>,
}

/// A field of a record: where a sealed value belongs. All of it is bound.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// The record; it is never recorded but sealed.
    pub record: &'a str,
    /// The field within the record.
    pub name: &'a str,
    /// Which kind of identifier it is.
    pub kind: &'a Kind,
}

/// Name of the payload of a `key-used` entry about fields, bound into its seal: JSON, a list of `record`, `name`, `kind`.
pub const FIELDS: &str = "fields";

/// Who holds a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A plugin, lent the handle for one call.
    Plugin(PluginRef),
    /// A caller by its id, on whose behalf the host acts.
    Caller(String),
}

/// What may be said about a grant to its holder and in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The grant's id: random, and in every entry about it. With a provider's key that key's, in its place.
    pub id: String,
    /// The tenant key's version.
    pub version: u32,
    /// What it may do.
    pub operations: Operations,
    /// Uses left; nothing means without end.
    pub remaining_uses: Option<u64>,
    /// The most values of one use; nothing means as many as there are.
    pub values: Option<u32>,
    /// When it ends.
    pub expires: Timestamp,
}

impl TenantKeys {
    /// Mints a grant and queues its `grant-minted` entry. It need not be waited for: entries become durable in order,
    /// and each use waits for its own.
    ///
    /// # Errors
    /// [`KeyError::Destroyed`] and [`KeyError::ClockWentBack`], recorded as refusals; [`KeyError::Unavailable`] when no id can be
    /// drawn.
    pub fn mint(&self, request: GrantRequest) -> Result<Grant, KeyError> {
        let inner = self.inner();
        let looked = inner.look();
        let now = looked
            .as_ref()
            .map_or_else(|_| Moment::now(inner), |now| *now);
        let grant = Grant {
            keys: self.clone(),
            id: format!("grant-{}", random::event_id(&*inner.clock)?),
            expires: now.wall.plus(request.lifetime),
            deadline: now.steady.saturating_add(request.lifetime),
            uses: request
                .uses
                .map_or(Uses::Endless, |uses| Uses::Counted(AtomicU64::new(uses))),
            request,
        };
        let refused = match inner.is_live() {
            true => looked.err(),
            false => Some(KeyError::Destroyed),
        };
        if let Some(why) = refused {
            let draft = grant.refused(Operations::NONE, why.code(), "");
            drop(inner.recorder.note(draft));
            return Err(why);
        }
        drop(inner.recorder.note(grant.minted()));
        Ok(grant)
    }
}

impl GrantRequest {
    /// For `subject`, for these operations, this purpose and this long; of any kind, without limit on uses, about no
    /// conversation, record or request.
    #[must_use]
    pub const fn new(
        subject: Subject,
        operations: Operations,
        purpose: Purpose,
        lifetime: Duration,
    ) -> Self {
        Self {
            subject,
            operations,
            purpose,
            lifetime,
            uses: None,
            values: None,
            kinds: Kinds::Any,
            conversation: None,
            is_new_conversation: false,
            record: String::new(),
            field: String::new(),
            signing: None,
            request: None,
            point: None,
            caller: None,
            generation: None,
        }
    }
}

impl Grant {
    /// One that draws on a lasting grant, for a request of its holder's.
    pub(crate) fn lasting(
        keys: &TenantKeys,
        lasting: &Lasting,
        deadline: Duration,
        mut request: GrantRequest,
    ) -> Self {
        request.kinds = lasting.kinds.clone();
        request.values = lasting.values;
        if let Some(conversation) = lasting.conversation {
            request.conversation = Some(conversation);
            request.is_new_conversation = false;
        }
        Self {
            expires: lasting.expires,
            deadline,
            ..Self::named(keys, &lasting.id, request)
        }
    }

    /// One of that id, which has ended.
    pub(crate) fn named(keys: &TenantKeys, id: &str, request: GrantRequest) -> Self {
        let now = Moment::now(keys.inner());
        Self {
            keys: keys.clone(),
            id: id.to_owned(),
            request,
            expires: now.wall,
            deadline: now.steady,
            uses: Uses::Lasting,
        }
    }

    /// The entry that it was minted.
    pub(crate) fn minted(&self) -> Draft {
        let uses = self.request.uses;
        let minted = self
            .draft(EntryKind::GrantMinted, "minted")
            .fact("operations", self.request.operations.to_string())
            .fact("kinds", self.request.kinds.to_string())
            .fact(
                "uses",
                uses.map_or_else(|| "unlimited".to_owned(), |uses| uses.to_string()),
            )
            .fact("expires", self.expires.to_string());
        match self.request.values {
            Some(values) => minted.fact("values", values.to_string()),
            None => minted,
        }
    }

    /// How many values of one use these tokens are.
    #[must_use]
    pub fn values_of<'a>(&self, tokens: impl IntoIterator<Item = &'a Token>) -> usize {
        let tokens = tokens.into_iter();
        let covered = tokens.filter(|token| self.request.kinds.cover(token.kind()));
        covered.collect::<BTreeSet<_>>().len()
    }

    /// Whether one use may take so many values. Each use is held to this again; here a refusal is noted before anybody else
    /// is asked.
    ///
    /// # Errors
    /// [`KeyError::NotPermitted`].
    pub fn fits(&self, operation: Operations, values: usize) -> Result<(), KeyError> {
        self.holds(values).map_err(|lacking| {
            let why = KeyError::NotPermitted;
            let refused = self.refused(operation, why.code(), lacking);
            drop(self.keys.inner().recorder.note(refused));
            why
        })
    }

    /// What the grant lacks for a use of so many values.
    fn holds(&self, values: usize) -> Result<(), &'static str> {
        let most = self.request.values.map(usize::try_from);
        match most {
            Some(Ok(most)) if values > most => Err("values"),
            Some(_) | None => Ok(()),
        }
    }

    /// What may be said about it.
    #[must_use]
    pub fn info(&self) -> Info {
        Info {
            id: match &self.request.signing {
                Some(key) => key.id().to_owned(),
                None => self.id.clone(),
            },
            version: self.keys.inner().version(Current::newest),
            operations: self.request.operations,
            remaining_uses: match &self.uses {
                Uses::Endless => None,
                Uses::Counted(left) => Some(left.load(Ordering::Relaxed)),
                // It is lent for one.
                Uses::Lasting => Some(1),
            },
            values: self.request.values,
            expires: self.expires,
        }
    }

    /// Seals `plaintext` for the grant's record, field and purpose, with `context` bound too.
    ///
    /// # Errors
    /// Every [`KeyError`] but `AuthenticationFailed` and `NotFound`.
    pub async fn seal(&self, plaintext: &[u8], context: &str) -> Result<Vec<u8>, KeyError> {
        self.admit(Operations::SEAL, Ok(())).await?;
        let used = self.used(Operations::SEAL).fact(
            KEY_VERSION,
            self.keys.inner().version(Current::field).to_string(),
        );
        self.perform(Operations::SEAL, used, |rings| {
            let binding = self.binding(context);
            rings.seal(Boundary::Field, &binding, plaintext)
        })
        .await
    }

    /// Opens what a grant for the same tenant, record, field and purpose sealed with the same `context`.
    ///
    /// # Errors
    /// Every [`KeyError`] but `NotFound`.
    pub async fn open(&self, sealed: &[u8], context: &str) -> Result<Phi<Vec<u8>>, KeyError> {
        self.admit(Operations::OPEN, Ok(())).await?;
        let used = opening(self.used(Operations::OPEN), [sealed]);
        self.perform(Operations::OPEN, used, |rings| {
            let binding = self.binding(context);
            let mut opened = rings.open(Boundary::Field, &binding, sealed)?;
            Ok(Phi::new(std::mem::take(&mut *opened)))
        })
        .await
    }

    /// Seals each value for its field and the grant's purpose.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); `NotPermitted` also when one of the kinds is not the grant's.
    pub async fn seal_fields(
        &self,
        fields: &[(Field<'_>, &str)],
    ) -> Result<Vec<Vec<u8>>, KeyError> {
        const OPERATION: Operations = Operations::SEAL;
        let places: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
        let used = self.about_fields(OPERATION, &places).await?.fact(
            KEY_VERSION,
            self.keys.inner().version(Current::field).to_string(),
        );
        self.perform(OPERATION, used, |rings| {
            let seal = |(field, value): &(Field<'_>, &str)| {
                let binding = self.binding_of(field);
                rings.seal(Boundary::Field, &binding, value.as_bytes())
            };
            fields.iter().map(seal).collect()
        })
        .await
    }

    /// Opens what [`seal_fields`](Self::seal_fields) sealed for the same fields and purpose: all, or none.
    ///
    /// # Errors
    /// As [`open`](Self::open); `NotPermitted` also when one of the kinds is not the grant's.
    pub async fn open_fields(
        &self,
        fields: &[(Field<'_>, &[u8])],
    ) -> Result<Vec<Phi<String>>, KeyError> {
        const OPERATION: Operations = Operations::OPEN;
        let places: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
        let used = self.about_fields(OPERATION, &places).await?;
        let used = opening(used, fields.iter().map(|(_, sealed)| *sealed));
        self.perform(OPERATION, used, |rings| {
            let open = |(field, sealed): &(Field<'_>, &[u8])| {
                let binding = self.binding_of(field);
                let opened = rings.open(Boundary::Field, &binding, sealed)?;
                Ok(seal::text(opened)?)
            };
            fields.iter().map(open).collect()
        })
        .await
    }

    /// Admits a use about fields, and gives its entry, which says sealed which fields these are.
    async fn about_fields(
        &self,
        operation: Operations,
        fields: &[Field<'_>],
    ) -> Result<Draft, KeyError> {
        let is_covered = |field: &Field<'_>| self.request.kinds.cover(field.kind);
        let permitted = match fields.iter().all(is_covered) {
            true => self.holds(fields.len()),
            false => Err("kind"),
        };
        self.admit(operation, permitted).await?;
        let mut used = fields
            .iter()
            .fold(self.used(operation), |used, field| used.count(field.kind));
        let listed: Vec<_> = fields.iter().map(Listed::of).collect();
        let listed = Zeroizing::new(serde_json::to_vec(&listed).unwrap_or_default());
        used.payload = Some(
            self.keys
                .seal_payload(self.request.request, FIELDS, &listed)?,
        );
        Ok(used)
    }

    /// HMAC-SHA-256 of `data` under a key that serves nothing else; the grant's record, field and purpose are part of
    /// its input, each with its length before it. With a provider's key: that of `data` alone under that key.
    ///
    /// # Errors
    /// Every [`KeyError`] but `AuthenticationFailed` and `NotFound`.
    pub async fn mac(&self, data: &[u8]) -> Result<[u8; 32], KeyError> {
        self.admit(Operations::MAC, Ok(())).await?;
        let used = self.used(Operations::MAC);
        self.perform(Operations::MAC, used, |rings| {
            let GrantRequest {
                purpose,
                record,
                field,
                signing,
                ..
            } = &self.request;
            if let Some(key) = signing {
                return Ok(key.mac(data));
            }
            let parts = [
                purpose.as_str().as_bytes(),
                record.as_bytes(),
                field.as_bytes(),
                data,
            ];
            Ok(rings.lookup().mac.mac(&parts))
        })
        .await
    }

    /// Opens the payload `what` of an entry about `request`, as
    /// [`seal_payload`](TenantKeys::seal_payload) sealed it.
    ///
    /// # Errors
    /// Every [`KeyError`] but `NotFound`.
    pub async fn open_payload(
        &self,
        sealed: &[u8],
        request: Option<EventId>,
        what: &str,
    ) -> Result<Phi<Vec<u8>>, KeyError> {
        self.admit(Operations::OPEN_PAYLOAD, Ok(())).await?;
        let about = request.map(|id| id.to_string()).unwrap_or_default();
        let used = self
            .used(Operations::OPEN_PAYLOAD)
            .fact("payload-of", about.clone());
        let used = opening(used, [sealed]);
        self.perform(Operations::OPEN_PAYLOAD, used, |rings| {
            let binding = self.keys.inner().payload(&about, what);
            let mut opened = rings.open(Boundary::AuditPayload, &binding, sealed)?;
            Ok(Phi::new(std::mem::take(&mut *opened)))
        })
        .await
    }

    /// One token for each value, in order. A value gets the token that it has in the grant's conversation, compared
    /// exactly as written and within its kind; otherwise a new one. The sealed values are committed with the entry.
    ///
    /// # Errors
    /// Every [`KeyError`] but `NotFound`; `NotPermitted` also when one of the kinds is not the grant's, or it has no
    /// conversation; `AuthenticationFailed` when the store was tampered with.
    pub async fn tokenize(&self, values: &[(Kind, &str)]) -> Result<Vec<Token>, KeyError> {
        let (tokens, underway) = self.draw_tokens(values, |used| self.record(used)).await?;
        let _durable = underway.durable().await?;
        self.act(Operations::TOKENIZE, |_| Ok(tokens)).await
    }

    /// As [`tokenize`](Self::tokenize), but without the wait: the entry goes to the disk with the next that somebody waits
    /// for. INVARIANT: nothing that holds one of the tokens leaves before what comes with them is durable (I1).
    ///
    /// # Errors
    /// As [`tokenize`](Self::tokenize).
    pub async fn tokenize_ahead(
        &self,
        values: &[(Kind, &str)],
    ) -> Result<(Vec<Token>, Underway), KeyError> {
        self.draw_tokens(values, |used| self.note(used)).await
    }

    async fn draw_tokens(
        &self,
        values: &[(Kind, &str)],
        queue: impl FnOnce(Draft) -> Result<Commit, KeyError>,
    ) -> Result<(Vec<Token>, Underway), KeyError> {
        const OPERATION: Operations = Operations::TOKENIZE;
        let permitted = match self.request.conversation {
            Some(_)
                if values
                    .iter()
                    .any(|(kind, _)| !self.request.kinds.cover(kind)) =>
            {
                Err("kind")
            }
            conversation => conversation.ok_or("conversation"),
        };
        let conversation = self.admit(OPERATION, permitted).await?;
        let issued = match vault::issue(
            self.keys.inner(),
            conversation,
            self.request.is_new_conversation,
            values,
        ) {
            Ok(issued) => issued,
            Err(error) => return self.refuse(OPERATION, error, "").await,
        };
        let mut used = values
            .iter()
            .fold(self.used(OPERATION), |used, (kind, _)| used.count(kind));
        let version = self.keys.inner().version(Current::vault).to_string();
        used = used.fact(KEY_VERSION, version);
        used.counts.insert(TOKENS_NEW.to_owned(), issued.fresh);
        used.records = issued.records;
        match queue(used) {
            Ok(commit) => Ok((issued.tokens, Underway::new(commit, issued.reservation))),
            Err(why) => self.refuse(OPERATION, why, "").await,
        }
    }

    /// The value of each token, in order. Nothing for a token that was not issued to this tenant and conversation, and
    /// nothing for one whose kind the grant does not cover: both stay in the text as they stand, and are counted.
    ///
    /// # Errors
    /// Every [`KeyError`] but `NotFound`; `AuthenticationFailed` when the store was tampered with.
    pub async fn detokenize(&self, tokens: &[Token]) -> Result<Vec<Option<Phi<String>>>, KeyError> {
        const OPERATION: Operations = Operations::DETOKENIZE;
        let permitted = self.holds(self.values_of(tokens));
        let permitted = permitted.and_then(|()| self.request.conversation.ok_or("conversation"));
        let conversation = self.admit(OPERATION, permitted).await?;

        let mut used = self.used(OPERATION);
        let is_covered = |token: &&Token| self.request.kinds.cover(token.kind());
        let covered = tokens.iter().filter(is_covered);
        let mut looked_up = match vault::find(self.keys.inner(), conversation, covered) {
            Ok(found) => found.into_iter(),
            Err(error) => return self.refuse(OPERATION, error, "").await,
        };
        let mut found = Vec::with_capacity(tokens.len());
        for token in tokens {
            let sealed = if !is_covered(&token) {
                *used.counts.entry(TOKENS_WITHHELD.to_owned()).or_default() += 1;
                None
            } else if let Some(Found::Sealed(sealed)) = looked_up.next() {
                used = used.count(token.kind());
                Some(sealed)
            } else {
                *used.counts.entry(TOKENS_UNKNOWN.to_owned()).or_default() += 1;
                None
            };
            found.push(sealed);
        }
        let used = opening(used, found.iter().flatten().map(Vec::as_slice));
        self.perform(OPERATION, used, |rings| {
            let values = tokens.iter().zip(found).map(|(token, sealed)| {
                let sealed = sealed.as_deref();
                let reveal =
                    |sealed| vault::reveal(rings, self.keys.inner(), conversation, token, sealed);
                sealed.map(reveal).transpose()
            });
            values.collect()
        })
        .await
    }

    /// Checks what every use must pass, takes one use, and gives what the operation is `permitted`, or else names
    /// what the grant lacks for it. A refusal is recorded.
    async fn admit<T>(
        &self,
        operation: Operations,
        permitted: Result<T, &'static str>,
    ) -> Result<T, KeyError> {
        let (why, detail) = if !self.keys.inner().is_live() {
            (KeyError::Destroyed, "")
        } else if self.has_expired() {
            (KeyError::Expired, "")
        } else if !self.request.operations.contain(operation) {
            (KeyError::NotPermitted, "operation")
        } else {
            match permitted {
                Ok(permitted) if self.take_use() => return Ok(permitted),
                Ok(_) => (KeyError::BudgetExhausted, ""),
                Err(lacking) => (KeyError::NotPermitted, lacking),
            }
        };
        self.refuse(operation, why, detail).await
    }

    fn take_use(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        match &self.uses {
            Uses::Endless => true,
            Uses::Counted(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok(),
            // Taken together with its entry.
            Uses::Lasting => self.keys.inner().lasting.has_uses(&self.id),
        }
    }

    fn has_expired(&self) -> bool {
        let now = Moment::now(self.keys.inner());
        now.wall >= self.expires || now.steady >= self.deadline
    }

    /// Records `used`, waits until it is durable, and only then acts with the keys. What fails is recorded as refused.
    async fn perform<T>(
        &self,
        operation: Operations,
        used: Draft,
        act: impl FnOnce(&Rings) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let commit = match self.record(used) {
            Ok(commit) => commit,
            Err(why) => return self.refuse(operation, why, "").await,
        };
        let _durable = commit.await?;
        self.act(operation, act).await
    }

    /// Acts with the keys once the use is durable: the wait may have been long.
    async fn act<T>(
        &self,
        operation: Operations,
        act: impl FnOnce(&Rings) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let done = if self.has_expired() {
            Err(KeyError::Expired)
        } else {
            self.keys.inner().with_rings(act)
        };
        match done {
            Ok(done) => Ok(done),
            Err(why) => self.refuse(operation, why, "").await,
        }
    }

    /// Queues the entry of a use that is waited for, and takes that use from a lasting grant.
    fn record(&self, used: Draft) -> Result<Commit, KeyError> {
        let inner = self.keys.inner();
        match &self.uses {
            Uses::Endless | Uses::Counted(_) => Ok(inner.recorder.record(used)),
            Uses::Lasting => inner.lasting.take_use(inner, &self.id, used),
        }
    }

    /// The same for one that something else is waited for after. A lasting grant's is always waited for.
    fn note(&self, used: Draft) -> Result<Commit, KeyError> {
        match &self.uses {
            Uses::Endless | Uses::Counted(_) => Ok(self.keys.inner().recorder.note(used)),
            Uses::Lasting => self.record(used),
        }
    }

    async fn refuse<T>(
        &self,
        operation: Operations,
        why: KeyError,
        detail: &str,
    ) -> Result<T, KeyError> {
        let draft = self.refused(operation, why.code(), detail);
        let _durable = self.keys.inner().recorder.record(draft).await?;
        Err(why)
    }

    fn used(&self, operation: Operations) -> Draft {
        self.draft(EntryKind::KeyUsed, "permit")
            .fact("operation", operation.to_string())
    }

    pub(crate) fn refused(&self, operation: Operations, code: &str, detail: &str) -> Draft {
        let mut draft = self
            .draft(EntryKind::KeyRefused, "deny")
            .fact("operation", operation.to_string());
        let reasons = [code, detail]
            .into_iter()
            .filter(|reason| !reason.is_empty());
        draft.reasons = reasons.map(str::to_owned).collect();
        draft
    }

    /// What every entry about the grant says.
    fn draft(&self, kind: EntryKind, outcome: &str) -> Draft {
        let (request, inner) = (&self.request, self.keys.inner());
        let mut draft = Draft::new(kind, outcome)
            .fact("grant", &*self.id)
            .fact(KEY_VERSION, inner.version(Current::newest).to_string());
        if let Some(key) = &request.signing {
            draft = draft.fact("signing-key", key.id());
        }
        draft.request = request.request;
        draft.point = request.point;
        draft.purpose = Some(request.purpose.clone());
        draft.generation = request.generation;
        draft.caller.clone_from(&request.caller);
        match &request.subject {
            Subject::Plugin(plugin) => draft.plugin = Some(plugin.clone()),
            Subject::Caller(id) => {
                draft.caller.get_or_insert_with(|| id.clone());
            }
        }
        draft
    }

    fn binding_of<'a>(&'a self, field: &Field<'a>) -> Binding<'a> {
        Binding {
            record: field.record,
            field: field.name,
            ..self.binding(field.kind.as_str())
        }
    }

    fn binding<'a>(&'a self, context: &'a str) -> Binding<'a> {
        Binding {
            tenant: Some(self.keys.tenant()),
            key_version: FIRST,
            record: &self.request.record,
            field: &self.request.field,
            purpose: self.request.purpose.as_str(),
            context,
        }
    }
}

/// The entry of a use that opens these envelopes: it names the versions of the key that they were sealed under.
fn opening<'a>(used: Draft, envelopes: impl IntoIterator<Item = &'a [u8]>) -> Draft {
    let versions: BTreeSet<u32> = envelopes.into_iter().filter_map(seal::version_of).collect();
    let versions: Vec<_> = versions.iter().map(u32::to_string).collect();
    if versions.is_empty() {
        return used;
    }
    used.fact(KEY_VERSION, versions.join(" "))
}

const KEY_VERSION: &str = "key-version";

/// A field as the sealed payload of its entry lists it.
#[derive(Serialize)]
struct Listed<'a> {
    record: &'a str,
    name: &'a str,
    kind: &'a str,
}

impl<'a> Listed<'a> {
    fn of(field: &Field<'a>) -> Self {
        Self {
            record: field.record,
            name: field.name,
            kind: field.kind.as_str(),
        }
    }
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.info(), f)
    }
}

// A slash keeps these apart from every kind of identifier.
const TOKENS_NEW: &str = "tokens/new";
const TOKENS_UNKNOWN: &str = "tokens/unknown";
const TOKENS_WITHHELD: &str = "tokens/withheld";

#[cfg(test)]
mod tests;
