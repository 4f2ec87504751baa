//! What a request carries from admission to reply: its tenant, its roster, and the pen that records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nephron_engine::contract::{self, Decision, Effect, RequestInfo};
use nephron_engine::{Answer, Engine, Judgement, Plugin, PluginFailure, Verdict};
use nephron_keys::{
    Conversation, Grant, GrantRequest, KeyError, Operations, SigningKey, Subject, Token, Underway,
};
use nephron_model::{
    Caller, Clock, Commit, Draft, EntryKind, EventId, FieldCommitment, Fingerprint, Kind,
    NotRecorded, Phi, PluginRef, Point, Purpose, Recorded, Recorder as _,
};
use tracing::{error, info, warn};

use crate::breaker::{Changed, NotAsked};
use crate::chain::export::Shipping;
use crate::emergency::Emergency;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::roster::Roster;
use crate::swap::{Came, CanarySide, Shadow};
use crate::tenant::Tenant;
use crate::wire::known::Known;

/// One admitted request. It holds the handles of one tenant and of no other (I5), and one roster to its end (I7).
pub struct Case {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) roster: Arc<Roster>,
    /// On which side of a canary it is, if one runs.
    pub(crate) canary: Option<CanarySide>,
    /// The roster that is asked beside its own, if one is.
    pub(crate) shadow: Option<Arc<Shadow>>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: EventId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) caller: Caller,
    pub(crate) purpose: Purpose,
    /// Whether the purpose is an emergency.
    pub(crate) emergency: Option<Emergency>,
    /// What is asked for, where that is no answer of a model.
    pub(crate) operation: Option<&'static str>,
    /// The grant that the caller names: its keys are used under that one.
    pub(crate) lent: Option<String>,
    /// The conversation that the caller named; without one the request is one of its own.
    pub(crate) conversation: Option<String>,
    /// What the application knows of the patient. Detectors alone are told.
    pub(crate) known: Known,
    /// Whether tokens were drawn for this request.
    pub(crate) has_tokens: AtomicBool,
    pub(crate) info: RequestInfo,
    /// Entries that are queued and not known to be durable.
    pub(crate) pending: Mutex<Vec<Pending>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shipping: Arc<Shipping>,
}

/// An entry that is queued.
pub(crate) enum Pending {
    Noted(Commit),
    /// It carries tokens that stand in the request already.
    Tokens(Underway),
}

impl Pending {
    async fn durable(self) -> Result<Recorded, NotRecorded> {
        match self {
            Self::Noted(commit) => commit.await,
            Self::Tokens(underway) => underway.durable().await,
        }
    }

    fn resolved(&mut self) -> Option<Result<Recorded, NotRecorded>> {
        match self {
            Self::Noted(commit) => commit.resolved(),
            Self::Tokens(underway) => underway.resolved(),
        }
    }
}

impl Case {
    /// An entry about this request.
    pub(crate) fn draft(&self, kind: EntryKind, outcome: impl Into<String>) -> Draft {
        let draft = Draft {
            request: Some(self.id),
            caller: Some(self.caller.id.clone()),
            purpose: Some(self.purpose.clone()),
            generation: Some(self.roster.generation()),
            ..Draft::new(kind, outcome)
        };
        match self.operation {
            Some(operation) => draft.fact("operation", operation),
            None => draft,
        }
    }

    /// Queues an entry that no effect follows from directly. The next effect waits for it: see [`Case::settled`].
    pub(crate) fn note(&self, draft: Draft) {
        self.metrics.entry(&draft);
        let commit = self.tenant.log().note(draft);
        self.pending().push(Pending::Noted(commit));
    }

    /// A token for each value. The next effect waits for the entry that carries them, as for one that was noted.
    pub(crate) async fn tokens(&self, values: &[(Kind, &str)]) -> Result<Vec<Token>, Refusal> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let grant = self.grant(Operations::TOKENIZE, Point::Ingress)?;
        let (tokens, underway) = grant.tokenize_ahead(values).await?;
        self.pending().push(Pending::Tokens(underway));
        Ok(tokens)
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything that was noted is durable (I1). Entries become durable in order, so this costs no more
    /// than waiting for the last; but one that was refused, for its size say, must stop the request too.
    pub(crate) async fn settled(&self) -> Result<(), NotRecorded> {
        let pending = std::mem::take(&mut *self.pending());
        for entry in pending {
            let _recorded = entry.durable().await?;
        }
        Ok(())
    }

    /// Fails if something that was noted is known to be refused, and says so once. It waits for nothing: whoever goes on
    /// records an entry and waits for that one, which is durable only after all that were noted before it.
    pub(crate) fn unrefused(&self) -> Result<(), NotRecorded> {
        let mut refused = Ok(());
        self.pending().retain_mut(|entry| match entry.resolved() {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(error)) => {
                refused = Err(error);
                false
            }
        });
        refused
    }

    /// Records what is about to happen, and waits until that and everything before it is durable.
    pub(crate) async fn record(&self, draft: Draft) -> Result<Recorded, NotRecorded> {
        self.unrefused()?;
        self.metrics.entry(&draft);
        let commit = self.tenant.log().record(draft);
        self.recorded(commit).await
    }

    /// Queues what is about to happen. Something that is waited for follows at once; then see [`Case::recorded`].
    pub(crate) fn record_ahead(&self, draft: Draft) -> Result<Commit, NotRecorded> {
        self.unrefused()?;
        self.metrics.entry(&draft);
        Ok(self.tenant.log().note(draft))
    }

    /// Waits until that entry and everything before it is durable.
    pub(crate) async fn recorded(&self, commit: Commit) -> Result<Recorded, NotRecorded> {
        let settled = self.settled().await;
        let recorded = commit.await?;
        settled.map(|()| recorded)
    }

    /// The entry, committed to the value of a field that it seals.
    pub(crate) fn committed(
        &self,
        draft: Draft,
        field: &str,
        value: &[u8],
    ) -> Result<Draft, KeyError> {
        let commitment = self.tenant.keys().commit(self.id, field, value)?;
        Ok(draft.fact(&FieldCommitment::fact(field), commitment.digest.to_string()))
    }

    /// Seals what goes with an entry: only a grant opens it.
    pub(crate) fn sealed(&self, what: &str, payload: &[u8]) -> Result<Option<Vec<u8>>, KeyError> {
        self.tenant
            .keys()
            .seal_payload(Some(self.id), what, payload)
            .map(Some)
    }

    /// The name of the conversation: the caller's, or the request's own id.
    pub(crate) fn conversation(&self) -> String {
        let own = || self.id.to_string();
        self.conversation.clone().unwrap_or_else(own)
    }

    /// A grant for one use in this conversation, on the caller's behalf. Its use is an entry that is durable before the
    /// key opens (I1), and every judgement that led here with it, since each stands before that entry.
    pub(crate) fn grant(&self, operations: Operations, point: Point) -> Result<Grant, Refusal> {
        self.unrefused()?;
        let keys = self.tenant.keys();
        let subject = Subject::Caller(self.caller.id.clone());
        let had_tokens = self.has_tokens.swap(true, Ordering::Relaxed);
        let request = GrantRequest {
            uses: Some(1),
            conversation: Some(self.own_conversation()?),
            is_new_conversation: self.conversation.is_none() && !had_tokens,
            request: Some(self.id),
            point: Some(point),
            generation: Some(self.roster.generation()),
            ..GrantRequest::new(
                subject,
                operations,
                self.purpose.clone(),
                std::time::Duration::from_secs(60),
            )
        };
        Ok(match &self.lent {
            Some(id) => keys.redeem(id, request)?,
            None => keys.mint(request)?,
        })
    }

    /// The conversation as the vault knows it. It belongs to who holds it: another caller who names it has one of its own.
    pub(crate) fn own_conversation(&self) -> Result<Conversation, KeyError> {
        let name = format!("{}\n{}", self.caller.id, self.conversation());
        self.tenant.keys().conversation(&name)
    }

    /// Of each of these tokens, whether it was issued in the conversation that the caller reaches. No key opens for that.
    pub(crate) fn issued(&self, tokens: &[Token]) -> Result<Vec<bool>, Refusal> {
        let is_new = self.conversation.is_none() && !self.has_tokens.load(Ordering::Relaxed);
        if tokens.is_empty() || (is_new && self.lent.is_none()) {
            return Ok(vec![false; tokens.len()]);
        }
        let (keys, own) = (self.tenant.keys(), self.own_conversation()?);
        Ok(keys.issued(own, self.lent.as_deref(), tokens)?)
    }

    /// Whether the caller uses keys under a grant. That it covers these operations, and as many values as there are to it, is
    /// seen before policy is told of it.
    pub(crate) fn is_lent(
        &self,
        operations: Operations,
        point: Point,
        values: impl FnOnce(&Grant) -> usize,
    ) -> Result<bool, Refusal> {
        if self.lent.is_none() {
            return Ok(false);
        }
        let grant = self.grant(operations, point)?;
        let fits = grant.fits(operations, values(&grant));
        match (fits, grant.info().values) {
            (Ok(()), _) => Ok(true),
            (Err(_), Some(most)) => Err(Refusal::TooManyValues { most }),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Waits until every export that is to have what the log says of this request before its caller does, has it.
    pub(crate) async fn delivered(&self) -> Result<(), Refusal> {
        if !self.shipping.is_awaited(self.tenant.id()) {
            return Ok(());
        }
        self.settled().await?;
        self.shipping
            .before_reply(&self.engine, &self.roster, &self.tenant)
            .await
    }

    /// A grant to sign one request with a provider's key, lent to a connector. Its use is recorded as every other is.
    pub(crate) fn lend(&self, key: SigningKey, plugin: &Plugin) -> Result<Grant, Refusal> {
        self.unrefused()?;
        let subject = Subject::Plugin(plugin.reference().clone());
        Ok(self.tenant.keys().mint(GrantRequest {
            signing: Some(key),
            uses: Some(1),
            request: Some(self.id),
            point: Some(Point::Egress),
            caller: Some(self.caller.id.clone()),
            generation: Some(self.roster.generation()),
            ..GrantRequest::new(
                subject,
                Operations::MAC,
                self.purpose.clone(),
                std::time::Duration::from_secs(60),
            )
        })?)
    }

    /// A grant to put other text in the place of identifiers, lent to a transformer. Each use of it is recorded.
    pub(crate) fn lend_for_texts(&self, plugin: &Plugin) -> Result<Grant, Refusal> {
        self.unrefused()?;
        let subject = Subject::Plugin(plugin.reference().clone());
        Ok(self.tenant.keys().mint(GrantRequest {
            request: Some(self.id),
            point: Some(Point::Ingress),
            caller: Some(self.caller.id.clone()),
            generation: Some(self.roster.generation()),
            ..GrantRequest::new(
                subject,
                Operations::MAC | Operations::SEAL,
                self.purpose.clone(),
                std::time::Duration::from_secs(60),
            )
        })?)
    }

    /// What a connector is told of the request: nothing about who asks.
    pub(crate) fn info_for_connectors(&self) -> RequestInfo {
        let nobody = contract::Caller {
            id: String::new(),
            roles: Vec::new(),
            attributes: Vec::new(),
        };
        RequestInfo {
            caller: nobody,
            ..self.info.clone()
        }
    }

    /// Asks one plugin and records its judgement, whatever it is: question and answer sealed, digests keyed, fuel and
    /// time in the open. A failure becomes a refusal, after it was recorded (I6).
    pub(crate) async fn ask<T>(
        &self,
        point: Point,
        plugin: &Plugin,
        judgement: &Judgement,
        answered: impl FnOnce(Answer) -> Result<T, PluginFailure>,
    ) -> Result<T, Refusal> {
        let verdict = match self.may_ask(plugin, judgement)? {
            Ok(()) => self.engine.call(plugin, judgement, None).await,
            Err(why) => Verdict::not_run(why.code()),
        };
        self.judged(point, plugin, (judgement, judgement), &verdict)?;
        let name = || plugin.reference().name.clone();
        verdict
            .answer
            .and_then(answered)
            .map_err(|failure| Refusal::PluginFailed {
                point,
                plugin: name(),
                failure,
            })
    }

    /// Has those who are asked beside, if any are, judge what came to something here. No request waits for them.
    pub(crate) fn asked(
        &self,
        point: Point,
        judgement: &Judgement,
        plugin: &str,
        came: impl FnOnce() -> Came,
    ) {
        if let Some(shadow) = &self.shadow {
            shadow.see(self, point, judgement, plugin, came);
        }
    }

    /// Records a judgement that was made, with the question that began it: what a connector was asked to encode, where it signs that or
    /// decodes what came back. By that one it is known when it is asked again.
    pub(crate) fn judged(
        &self,
        point: Point,
        plugin: &Plugin,
        (judgement, began): (&Judgement, &Judgement),
        verdict: &Verdict,
    ) -> Result<(), Refusal> {
        if let Some(canary) = &self.canary {
            let (plugin, now) = (&plugin.reference().name, self.clock.now());
            canary.count(plugin, judgement.kind(), verdict, now);
        }
        if let Some(shadow) = &self.shadow {
            shadow.count(judgement, &plugin.reference().name, verdict);
        }
        let draft = Draft {
            point: Some(point),
            ..self.draft(EntryKind::Decision, "")
        };
        self.note(of_judgement(
            &self.tenant,
            Some(self.id),
            draft,
            plugin,
            judgement,
            verdict,
        )?);
        self.heard(point, plugin, (judgement, began), verdict)
    }

    /// Whether a plugin may be asked this, now.
    fn may_ask(
        &self,
        plugin: &Plugin,
        judgement: &Judgement,
    ) -> Result<Result<(), NotAsked>, KeyError> {
        let breakers = self.tenant.breakers();
        // A request may have come long before: the breaker goes by the time of each judgement.
        let now = self.clock.now();
        if !breakers.may_ask(plugin.reference(), now) {
            return Ok(Err(NotAsked::Resting));
        }
        if breakers.remembers() {
            let question = self.question(plugin, judgement)?;
            if breakers.is_quarantined(question, now) {
                return Ok(Err(NotAsked::Quarantined));
            }
        }
        Ok(Ok(()))
    }

    /// What came of a judgement, to whoever decides whether its plugin is asked again.
    fn heard(
        &self,
        point: Point,
        plugin: &Plugin,
        (judgement, began): (&Judgement, &Judgement),
        verdict: &Verdict,
    ) -> Result<(), Refusal> {
        let (breakers, now) = (self.tenant.breakers(), self.clock.now());
        let failure = verdict.answer.as_ref().err();
        let about = |kind, outcome| Draft {
            point: Some(point),
            plugin: Some(plugin.reference().clone()),
            ..self.draft(kind, outcome)
        };
        let (name, tenant) = (&plugin.reference().name, self.tenant.id());
        if let Some(changed) = breakers.heard(plugin.reference(), judgement.kind(), failure, now) {
            match changed {
                Changed::Opened => {
                    error!(plugin = %name, %tenant, "the plugin broke down again and again; it is not asked for 30 s, and requests are refused");
                }
                Changed::Closed => info!(plugin = %name, %tenant, "the plugin answers again"),
            }
            self.note(about(EntryKind::BreakerChanged, changed.code()));
        }
        if let Some(PluginFailure::Trapped(detail)) = failure
            && breakers.broke(self.question(plugin, began)?, now)
        {
            warn!(plugin = %name, %tenant, event = %self.id, "a question broke its plugin twice and is set aside");
            let mut draft = about(EntryKind::Quarantined, NotAsked::Quarantined.code());
            draft = draft.fact("judgement", judgement.kind());
            draft.reasons.push((*detail).to_owned());
            draft.payload = self.sealed(QUESTION, began.to_bytes().expose())?;
            self.note(draft);
        }
        Ok(())
    }

    /// By what a question to a plugin is known when it is asked again: with tokens by their kinds alone, for each conversation draws
    /// its own.
    fn question(&self, plugin: &Plugin, judgement: &Judgement) -> Result<Fingerprint, KeyError> {
        let PluginRef {
            digest, settings, ..
        } = plugin.reference();
        let named = [b"question".as_slice(), &digest.0, &settings.0].concat();
        let matter = Phi::new(String::from_utf8_lossy(judgement.matter().expose()).into_owned());
        let mut bytes = Phi::new(named);
        let mut end = 0;
        for (place, token) in Token::scan(matter.expose()) {
            let before = matter.expose().get(end..place.start).unwrap_or_default();
            bytes.expose_mut().extend_from_slice(before.as_bytes());
            let kind = token.kind().as_str();
            bytes.expose_mut().extend_from_slice(kind.as_bytes());
            end = place.end;
        }
        let rest = matter.expose().get(end..).unwrap_or_default();
        bytes.expose_mut().extend_from_slice(rest.as_bytes());
        self.tenant.keys().fingerprint(bytes.expose())
    }
}

/// Name of the payload of a `quarantined` entry, bound into its seal.
pub(crate) const QUESTION: &str = "question";

/// Name of the payload of a `decision` entry, bound into its seal.
pub(crate) const JUDGEMENT: &str = "judgement";

/// Fills in the entry of a judgement; exporters' judgements belong to no request.
pub(crate) fn of_judgement(
    tenant: &Tenant,
    request: Option<EventId>,
    mut draft: Draft,
    plugin: &Plugin,
    judgement: &Judgement,
    verdict: &Verdict,
) -> Result<Draft, KeyError> {
    let (input, output) = (judgement.to_bytes(), verdict.to_bytes());
    draft = outline(draft, plugin, verdict);
    draft.input = Some(fingerprint(tenant, &input)?);
    draft.output = Some(fingerprint(tenant, &output)?);
    let payload = Phi::new(
        [
            b"{\"input\":",
            input.expose().as_slice(),
            b",\"output\":",
            output.expose(),
            b"}",
        ]
        .concat(),
    );
    draft.payload = Some(
        tenant
            .keys()
            .seal_payload(request, JUDGEMENT, payload.expose())?,
    );
    Ok(draft)
}

/// Fills in what of a judgement stands in the open.
pub(crate) fn outline(mut draft: Draft, plugin: &Plugin, verdict: &Verdict) -> Draft {
    summarise(verdict, &mut draft);
    draft.plugin = Some(plugin.reference().clone());
    draft.fuel = Some(verdict.fuel);
    draft.micros = Some(verdict.micros());
    draft
}

fn fingerprint(tenant: &Tenant, bytes: &Phi<Vec<u8>>) -> Result<Fingerprint, KeyError> {
    tenant.keys().fingerprint(bytes.expose())
}

/// What a judgement comes to, in codes and counts.
pub(crate) fn summarise(verdict: &Verdict, draft: &mut Draft) {
    let mut count = |name: &str, number: usize| {
        *draft.counts.entry(name.to_owned()).or_default() +=
            u64::try_from(number).unwrap_or(u64::MAX);
    };
    draft.outcome = match &verdict.answer {
        Err(failure) => {
            draft.reasons.extend(failure.detail().map(str::to_owned));
            failure.code()
        }
        Ok(Answer::Decided(Ok(decision))) => {
            draft.reasons = reason_codes(decision);
            effect(decision.effect)
        }
        Ok(Answer::Detected(Ok(spans))) => {
            spans
                .iter()
                .for_each(|span| count(crate::chain::deidentify::kind(span), 1));
            if spans.is_empty() {
                "none-found"
            } else {
                "found"
            }
        }
        Ok(Answer::Planned(Ok(contract::Plan::Call(_)))) => "call",
        Ok(Answer::Planned(Ok(contract::Plan::Answer(_)))) => "answered",
        Ok(Answer::Signed(Ok(_))) => "signed",
        Ok(Answer::Decoded(Ok(events))) => {
            count("events", events.len());
            "decoded"
        }
        Ok(Answer::Exported(Ok(_))) => "encoded",
        Ok(Answer::Transformed(Ok(_))) => "transformed",
        Ok(Answer::Judged(verdict)) => match verdict {
            contract::Verdict::Delivered => "delivered",
            contract::Verdict::RetryAfterSeconds(_) => "retry-after",
            contract::Verdict::Rejected(why) => {
                draft.reasons.push(code(why).to_owned());
                "rejected"
            }
        },
        Ok(Answer::Confirming(_)) => "confirming",
        // An error of the plugin's own became a failure before it came here.
        Ok(
            Answer::Decided(Err(_))
            | Answer::Detected(Err(_))
            | Answer::Planned(Err(_))
            | Answer::Signed(Err(_))
            | Answer::Decoded(Err(_))
            | Answer::Exported(Err(_))
            | Answer::Transformed(Err(_)),
        ) => "reported-error",
    }
    .to_owned();
}

/// The name of an effect, as the log has it.
pub(crate) const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
        Effect::NotApplicable => "not-applicable",
        Effect::Indeterminate => "indeterminate",
    }
}

/// A decider's reason codes, held to the form of a code: a plugin's free text does not reach the log.
pub(crate) fn reason_codes(decision: &Decision) -> Vec<String> {
    decision
        .reasons
        .iter()
        .take(16)
        .map(|reason| code(&reason.code).to_owned())
        .collect()
}

/// The name of a kind of entry, as the log writes it.
pub(crate) fn kind_name(kind: EntryKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => String::new(),
    }
}

/// `text`, if it is a code: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`.
pub(crate) fn code(text: &str) -> &str {
    let holds = (1..=64).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        });
    if holds { text } else { "withheld" }
}
