//! Stage 7: [`Answered`] → [`Restored`], or [`Answering`] → what is streamed. The answer is searched for identifiers of
//! its own, the deciders are asked whether this caller may see identities, and tokens of this conversation become values
//! again.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use nephron_engine::Messages;
use nephron_engine::contract::{Event, Message, Part, Value};
use nephron_keys::{Before, Operations, Seeker, Token, Written};
use nephron_model::{Draft, EntryKind, EventId, Kind, Phi, Point};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::case::Case;
use crate::chain::connect::{Answered, Answering};
use crate::chain::decide::{Duties, Permitted, ask_deciders, number, permit};
use crate::chain::deidentify::{detect, seeker};
use crate::refusal::Refusal;
use crate::reply::Outlet;
use crate::said::{Channel, Said, ToolCall};
use crate::wire::json::Json;

/// An answer as this caller may see it.
pub struct Restored {
    pub(crate) said: Phi<Said>,
}

/// The sealed payload of a `reidentified` entry.
#[derive(Default, Serialize, Deserialize)]
pub struct Restoration {
    /// The answer as the model gave it.
    pub answered: String,
    /// The answer as the caller got it.
    pub restored: String,
    /// The tool calls that the model asked for, as it wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered_calls: Vec<ToolCall>,
    /// The tool calls as the caller got them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored_calls: Vec<ToolCall>,
}

impl Zeroize for Restoration {
    fn zeroize(&mut self) {
        self.answered.zeroize();
        self.restored.zeroize();
        for call in self
            .answered_calls
            .iter_mut()
            .chain(&mut self.restored_calls)
        {
            call.arguments.zeroize();
        }
    }
}

/// Name of the payload of a `reidentified` entry, bound into its seal.
pub const RESTORATION: &str = "restoration";

/// Puts identities back, if this caller may see them.
pub(crate) async fn reidentify(case: &Case, answered: Answered) -> Result<Restored, Refusal> {
    let (said, duties, wants_json) = answered.into_parts();
    let tokens = tokens_of(case, said.expose())?;
    let of_its_own = identifiers_outside(case, said.expose(), &tokens).await?;
    let has_own = of_its_own.iter().any(|found| !found.is_empty());

    let permission = if tokens.iter().all(Vec::is_empty) && !has_own {
        Permission::Granted
    } else {
        may_see_identities(
            case,
            duties,
            tokens.iter().flatten().map(|written| &written.token),
        )
        .await?
    };
    let mut values = Values::default();
    let (mut restored, outcome) = match permission {
        Permission::Withheld(why) => (masked(case, &said, &of_its_own).await?, why),
        Permission::Granted if tokens.iter().all(Vec::is_empty) => {
            (said.clone(), "nothing-to-restore")
        }
        Permission::Granted => {
            let asked = tokens.iter().flatten().map(|written| &written.token);
            values.look_up(case, asked).await?;
            let mut restored = said.clone();
            let mut room = LARGEST_ANSWER;
            for ((channel, text), tokens) in said.expose().texts().into_iter().zip(&tokens) {
                let mut escaping = Escaping::of(channel, wants_json);
                let put = put_back(text, tokens, &values, &mut escaping, &mut room)?;
                *restored.expose_mut().text_mut(channel) = put.into_inner();
            }
            (restored, "restored")
        }
    };
    restored.expose_mut().name_calls(case.id);
    let counts = Counts {
        tokens: tokens.iter().map(Vec::len).sum(),
        unknown: values.unknown(),
        not_asked: 0,
        of_its_own: of_its_own.iter().map(Vec::len).sum(),
    };
    case.note(entry(case, outcome, counts, &said, &restored)?);
    Ok(Restored { said: restored })
}

/// Texts in which a caller wants tokens to become values again.
pub(crate) struct Tokens(pub(crate) Phi<Vec<String>>);

/// Texts as this caller may see them.
pub(crate) struct RestoredTexts {
    /// In the order in which they were given.
    pub(crate) texts: Phi<Vec<String>>,
    /// Tokens that are values now.
    pub(crate) restored: usize,
    /// Tokens that stay as they stand: they were not issued in this conversation.
    pub(crate) unknown: usize,
}

/// Asks whether this caller may have the values of the tokens in these texts.
pub(crate) async fn permit_texts(
    case: &Case,
    Tokens(texts): Tokens,
) -> Result<Permitted<Tokens>, Refusal> {
    let tokens: Vec<Token> = tokens_in(case, texts.expose())?
        .into_iter()
        .flatten()
        .map(|written| written.token)
        .collect();
    let is_lent = case.is_lent(Operations::DETOKENIZE, Point::Rehydrate, |grant| {
        grant.values_of(&tokens)
    })?;
    let asked = (Point::Rehydrate, "restore", case.caller.id.as_str());
    permit(case, asked, facts(is_lent, tokens.iter()), Tokens(texts)).await
}

/// Puts identities back into texts that come from the caller, not from a model.
pub(crate) async fn restore_texts(
    case: &Case,
    permitted: Permitted<Tokens>,
) -> Result<RestoredTexts, Refusal> {
    let (Tokens(texts), duties) = permitted.into_parts();
    if duties.withhold_identities {
        // With its tokens the caller has it already.
        return Err(Refusal::withheld(Point::Rehydrate));
    }
    let written = tokens_in(case, texts.expose())?;
    let tokens: Vec<&Token> = written.iter().flatten().map(|it| &it.token).collect();
    let mut values = Values::default();
    values.look_up(case, tokens.iter().copied()).await?;
    let mut restored = Phi::new(Vec::with_capacity(texts.expose().len()));
    let mut room = LARGEST_ANSWER;
    for (text, tokens) in texts.expose().iter().zip(&written) {
        let mut escaping = Escaping::of(Channel::Text, false);
        let put = put_back(text, tokens, &values, &mut escaping, &mut room)?;
        restored.expose_mut().push(put.into_inner());
    }
    let is_known = |token: &&&Token| matches!(values.known.get(**token), Some(Some(_)));
    let known = tokens.iter().filter(is_known).count();
    let counts = Counts {
        tokens: tokens.len(),
        unknown: values.unknown(),
        ..Counts::default()
    };
    let as_one = |texts: &Phi<Vec<String>>| {
        Phi::new(Said {
            text: serde_json::to_string(texts.expose()).unwrap_or_default(),
            ..Said::default()
        })
    };
    let outcome = if tokens.is_empty() {
        "nothing-to-restore"
    } else {
        "restored"
    };
    case.note(entry(
        case,
        outcome,
        counts,
        &as_one(&texts),
        &as_one(&restored),
    )?);
    Ok(RestoredTexts {
        texts: restored,
        restored: known,
        unknown: tokens.len() - known,
    })
}

/// What was sent of a streamed answer.
#[derive(Default)]
pub(crate) struct Streamed {
    said: Phi<Said>,
    restored: Phi<Said>,
    is_open: bool,
    counts: Counts,
    values: Values,
    /// Why identities were left out, if they were.
    withheld: Option<&'static str>,
}

impl Streamed {
    /// Records what was sent, if something was.
    pub(crate) fn note(&self, case: &Case, is_whole: bool) -> Result<(), Refusal> {
        if self.is_open {
            let outcome = match is_whole {
                true if self.counts.tokens == 0 => self.withheld.unwrap_or("nothing-to-restore"),
                true => self.withheld.unwrap_or("restored"),
                false => "broken-off",
            };
            let mut counts = self.counts;
            counts.unknown = self.values.unknown();
            case.note(entry(case, outcome, counts, &self.said, &self.restored)?);
        }
        Ok(())
    }

    /// Why the model stopped, and what it counted.
    pub(crate) fn ending(&self) -> Said {
        self.restored.expose().ending()
    }
}

/// Answers while the model does, if this caller may see identities; else only once the whole answer was searched.
///
/// That the answer will be restored is asked before its first byte and recorded; for which kinds follows from the
/// tokens of the request. A token of another kind stays as it is.
pub(crate) async fn stream(
    case: &Case,
    mut answering: Answering<'_>,
    streamed: &mut Streamed,
    outlet: &Outlet,
) -> Result<(), Refusal> {
    // Until the model has said something, whatever goes wrong is an ordinary refusal.
    let mut ahead = Vec::new();
    while let Some(events) = answering.next().await? {
        let is_said = events.iter().any(begins);
        ahead.extend(events);
        if is_said {
            break;
        }
    }
    let issued: BTreeSet<&Token> = answering.issued().iter().collect();
    let permission = may_see_identities(case, answering.duties(), issued.iter().copied()).await?;
    if let Permission::Withheld(why) = permission {
        return withheld(case, answering, ahead, streamed, outlet, why).await;
    }
    let kinds: BTreeSet<Kind> = issued.iter().map(|token| token.kind().clone()).collect();
    let mut intent = case.draft(EntryKind::Reidentified, "restoring");
    intent.point = Some(Point::Rehydrate);
    let recorded = if issued.is_empty() {
        case.record(intent).await?
    } else {
        // The use of the key is waited for, and this entry stands before it.
        let commit = case.record_ahead(intent)?;
        streamed
            .values
            .look_up(case, issued.iter().copied())
            .await?;
        case.recorded(commit).await?
    };
    case.delivered().await?;
    streamed.is_open = true;
    outlet.open(recorded, case.id).await?;

    let wants_json = answering.wants_json();
    let mut passing = Passing {
        vault: case,
        event: case.id,
        seeker: Seeker::new(kinds.iter().cloned()),
        kinds: &kinds,
        wants_json,
        held: BTreeMap::new(),
        room: LARGEST_ANSWER,
        outlet,
    };
    loop {
        for event in std::mem::take(&mut ahead) {
            passing.take(event, streamed).await?;
        }
        match answering.next().await? {
            Some(events) => ahead = events,
            None => break,
        }
    }
    passing.end(streamed).await?;
    let tokens = tokens_of(case, streamed.said.expose())?;
    let own = identifiers_outside(case, streamed.said.expose(), &tokens).await?;
    streamed.counts.of_its_own = own.iter().map(Vec::len).sum();
    Ok(())
}

/// Whether the model has begun to answer with this: with words, also those of a refusal, with a call, or by thinking, of which
/// nothing goes out but that it answers.
fn begins(event: &Event) -> bool {
    match event {
        Event::Text(_) | Event::ToolCall(_) => true,
        Event::Other(other) => matches!(other.name.as_str(), "refusal" | "reasoning"),
        Event::Stopped(_) | Event::Used(_) | Event::Model(_) => false,
    }
}

/// Where the values of tokens are.
trait Vault {
    /// The value of each; nothing for one that was not issued in this conversation.
    async fn values(&self, asked: &[Token]) -> Result<Vec<Option<Phi<String>>>, Refusal>;

    /// Whether each was issued in this conversation.
    fn issued(&self, tokens: &[Token]) -> Result<Vec<bool>, Refusal>;
}

impl Vault for Case {
    /// In one use of the key.
    async fn values(&self, asked: &[Token]) -> Result<Vec<Option<Phi<String>>>, Refusal> {
        let grant = self.grant(Operations::DETOKENIZE, Point::Rehydrate)?;
        Ok(grant.detokenize(asked).await?)
    }

    fn issued(&self, tokens: &[Token]) -> Result<Vec<bool>, Refusal> {
        Self::issued(self, tokens)
    }
}

/// An answer on its way through.
struct Passing<'a, V> {
    vault: &'a V,
    event: EventId,
    /// Knows those kinds, in all forms.
    seeker: Seeker,
    /// Kinds about which policy was asked.
    kinds: &'a BTreeSet<Kind>,
    wants_json: bool,
    held: BTreeMap<Channel, Held>,
    /// Bytes that may still be sent.
    room: usize,
    outlet: &'a Outlet,
}

/// The end of what has come for one channel, which may yet become a token.
struct Held {
    text: Phi<String>,
    /// What was sent before it.
    before: Before,
    escaping: Escaping,
}

impl Held {
    const fn new(escaping: Escaping) -> Self {
        Self {
            text: Phi::new(String::new()),
            before: Before::Open,
            escaping,
        }
    }

    /// What can go out once `piece` has come, and what in it reads like a token: all but the end of it that may yet
    /// become one, unless it `is_last`.
    fn take(&mut self, piece: &str, is_last: bool, seeker: &Seeker) -> (Phi<String>, Vec<Written>) {
        let text = self.text.expose_mut();
        text.push_str(piece);
        let sought = seeker.read(self.before, text, is_last);
        let rest = text.split_off(sought.settled);
        self.before = sought.before;
        (
            std::mem::replace(&mut self.text, Phi::new(rest)),
            sought.found,
        )
    }
}

impl<V: Vault> Passing<'_, V> {
    /// Takes one event: its text goes out up to where it may yet become a token.
    async fn take(&mut self, event: Event, streamed: &mut Streamed) -> Result<(), Refusal> {
        let mut piece = Phi::new(Said::default());
        piece.expose_mut().take(event.clone());
        streamed.said.expose_mut().take(event.clone());
        if let Event::ToolCall(mut delta) = event {
            let index = delta.index;
            let is_new = !streamed.restored.expose().tool_calls.contains_key(&index);
            let has_name = delta.name.is_some();
            delta.arguments = String::new();
            // A call has the id with which it begins: clients add up what comes after it.
            delta.id = delta.id.filter(|_| is_new);
            let restored = streamed.restored.expose_mut();
            restored.take(Event::ToolCall(delta));
            restored.name_calls(self.event);
            if let Some(call) = restored.tool_calls.get(&index)
                && (is_new || has_name)
            {
                let id = is_new.then(|| call.id.clone());
                let name = has_name.then(|| call.name.clone());
                self.outlet.call(index, id, name).await?;
            }
        } else {
            let ending = Phi::new(piece.expose().ending());
            streamed.restored.expose_mut().end_as(ending.expose());
        }
        for (channel, text) in piece.expose().texts() {
            if !text.is_empty() {
                self.pass(channel, text, false, streamed).await?;
            }
        }
        Ok(())
    }

    async fn pass(
        &mut self,
        channel: Channel,
        piece: &str,
        is_last: bool,
        streamed: &mut Streamed,
    ) -> Result<(), Refusal> {
        let wants_json = self.wants_json;
        let held = self
            .held
            .entry(channel)
            .or_insert_with(|| Held::new(Escaping::of(channel, wants_json)));
        let (ready, found) = held.take(piece, is_last, &self.seeker);
        let written = standing(self.vault, found)?;
        let tokens: Vec<&Token> = written.iter().map(|it| &it.token).collect();
        streamed.counts.tokens += tokens.len();
        let is_asked = |token: &&Token| self.kinds.contains(token.kind());
        let asked = streamed
            .values
            .wanted(tokens.iter().copied().filter(is_asked));
        streamed.values.look_up(self.vault, asked.iter()).await?;
        let values = &streamed.values;
        let is_known = |token: &&&Token| values.known.contains_key(**token);
        streamed.counts.not_asked += tokens.len() - tokens.iter().filter(is_known).count();
        // The room is taken when it is sent.
        let mut room = self.room;
        let restored = put_back(
            ready.expose(),
            &written,
            &streamed.values,
            &mut held.escaping,
            &mut room,
        )?;
        self.send(channel, restored, streamed).await
    }

    /// The answer has ended: what was held back is read as it stands.
    async fn end(&mut self, streamed: &mut Streamed) -> Result<(), Refusal> {
        let channels: Vec<Channel> = self.held.keys().copied().collect();
        for channel in channels {
            self.pass(channel, "", true, streamed).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        channel: Channel,
        text: Phi<String>,
        streamed: &mut Streamed,
    ) -> Result<(), Refusal> {
        let length = text.expose().len();
        if length == 0 {
            return Ok(());
        }
        self.room = self.room.checked_sub(length).ok_or_else(too_large)?;
        let restored = streamed.restored.expose_mut();
        restored.text_mut(channel).push_str(text.expose());
        self.outlet.text(channel, text).await
    }
}

/// The whole answer with its tokens, and without identifiers of the model's own.
async fn withheld(
    case: &Case,
    mut answering: Answering<'_>,
    ahead: Vec<Event>,
    streamed: &mut Streamed,
    outlet: &Outlet,
    why: &'static str,
) -> Result<(), Refusal> {
    for event in ahead {
        streamed.said.expose_mut().take(event);
    }
    answering.rest(&mut streamed.said).await?;
    let tokens = tokens_of(case, streamed.said.expose())?;
    let own = identifiers_outside(case, streamed.said.expose(), &tokens).await?;
    let mut masked = masked(case, &streamed.said, &own).await?;
    masked.expose_mut().name_calls(case.id);
    streamed.counts = Counts {
        tokens: tokens.iter().map(Vec::len).sum(),
        unknown: 0,
        not_asked: 0,
        of_its_own: own.iter().map(Vec::len).sum(),
    };
    streamed.withheld = Some(why);
    let mut intent = case.draft(EntryKind::Reidentified, "withholding");
    intent.point = Some(Point::Rehydrate);
    let recorded = case.record(intent).await?;
    case.delivered().await?;
    streamed.is_open = true;
    outlet.open(recorded, case.id).await?;
    streamed.restored = masked.clone();
    for (index, call) in &masked.expose().tool_calls {
        let (id, name) = (call.id.clone(), call.name.clone());
        outlet.call(*index, Some(id), Some(name)).await?;
    }
    for (channel, text) in masked.expose().texts() {
        if !text.is_empty() {
            outlet.text(channel, Phi::new(text.to_owned())).await?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tokens: usize,
    unknown: usize,
    /// Tokens of kinds about which policy was not asked.
    not_asked: usize,
    of_its_own: usize,
}

/// The entry of what the model said and what the caller got.
fn entry(
    case: &Case,
    outcome: &str,
    counts: Counts,
    said: &Phi<Said>,
    restored: &Phi<Said>,
) -> Result<Draft, Refusal> {
    let mut draft = case.draft(EntryKind::Reidentified, outcome);
    draft.point = Some(Point::Rehydrate);
    for (name, number) in [
        ("tokens", counts.tokens),
        ("unknown-tokens", counts.unknown),
        ("tokens-not-asked-about", counts.not_asked),
        ("identifiers-in-answer", counts.of_its_own),
    ] {
        draft
            .counts
            .insert(name.to_owned(), u64::try_from(number).unwrap_or(u64::MAX));
    }
    let (said, restored) = (said.expose(), restored.expose());
    let both = Phi::new(Restoration {
        answered: [said.text.as_str(), &said.refusal].concat(),
        restored: [restored.text.as_str(), &restored.refusal].concat(),
        answered_calls: said.tool_calls.values().cloned().collect(),
        restored_calls: restored.tool_calls.values().cloned().collect(),
    });
    for (field, text) in [
        ("answered", &both.expose().answered),
        ("restored", &both.expose().restored),
    ] {
        draft = case.committed(draft, field, text.as_bytes())?;
    }
    let both = Phi::new(serde_json::to_vec(both.expose()).unwrap_or_default());
    draft.payload = case.sealed(RESTORATION, both.expose())?;
    Ok(draft)
}

/// The tokens of one text, in order.
type Placed = Vec<Written>;

/// The tokens of each text, in the order of [`Said::texts`].
fn tokens_of(case: &Case, said: &Said) -> Result<Vec<Placed>, Refusal> {
    let texts: Vec<&str> = said.texts().into_iter().map(|(_, text)| text).collect();
    tokens_in(case, &texts)
}

/// The tokens of each text.
fn tokens_in<T: AsRef<str>>(case: &Case, texts: &[T]) -> Result<Vec<Placed>, Refusal> {
    let seeker = seeker();
    let texts = texts.iter().map(|text| seeker.scan(text.as_ref()));
    texts.map(|found| standing(case, found)).collect()
}

/// Those that are tokens: written as they are issued, or like one that was issued here. All else is ordinary text.
fn standing(vault: &impl Vault, found: Placed) -> Result<Placed, Refusal> {
    let like: Vec<Token> = found
        .iter()
        .filter(|written| !written.is_exact)
        .map(|written| written.token.clone())
        .collect();
    let mut issued = vault.issued(&like)?.into_iter();
    let is_token = |written: &Written| written.is_exact || issued.next() == Some(true);
    Ok(found.into_iter().filter(is_token).collect())
}

/// Where each text of the answer holds identifiers that are not our tokens: the model made them up, or knew them. In
/// order.
async fn identifiers_outside(
    case: &Case,
    said: &Said,
    tokens: &[Placed],
) -> Result<Vec<Vec<Range<usize>>>, Refusal> {
    let texts = said.texts();
    let parts = texts.iter().map(|(_, text)| Part::Text((*text).to_owned()));
    let message = Message {
        role: "assistant".to_owned(),
        name: None,
        parts: parts.collect(),
    };
    let spans = detect(
        case,
        Point::Rehydrate,
        Phi::new(Messages(vec![message])).expose(),
    )
    .await?;
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let of_part = |(part, ((_, text), tokens)): (usize, (&(Channel, &str), &Placed))| {
        let mut found: Vec<Range<usize>> = spans
            .iter()
            .filter(|span| index(span.part) == part)
            .flat_map(|span| outside(index(span.start)..index(span.end), tokens))
            .filter(|piece| {
                let piece = text.get(piece.clone());
                piece.is_some_and(|piece| piece.contains(char::is_alphanumeric))
            })
            .collect();
        found.sort_unstable_by_key(|range| (range.start, range.end));
        found
    };
    Ok(texts.iter().zip(tokens).enumerate().map(of_part).collect())
}

/// What of `span` no token covers: a web address may go on before and after the token that stands in it.
fn outside(span: Range<usize>, tokens: &[Written]) -> Vec<Range<usize>> {
    // Tokens are in order and do not overlap.
    let first = tokens.partition_point(|token| token.range.end <= span.start);
    let within = tokens.iter().skip(first).map(|token| &token.range);
    let mut pieces = Vec::new();
    let mut from = span.start;
    for token in within.take_while(|token| token.start < span.end) {
        pieces.push(from..token.start);
        from = token.end;
    }
    pieces.push(from..span.end);
    pieces.retain(|piece| piece.start < piece.end);
    pieces
}

/// The text without the identifiers that were found in it, for a caller who may not see identities.
fn mask(text: &str, found: &[Range<usize>]) -> Phi<String> {
    let mut masked = Phi::new(String::with_capacity(text.len()));
    let mut from = 0;
    for range in found.iter().filter(|range| !range.is_empty()) {
        if range.start >= from {
            masked
                .expose_mut()
                .push_str(text.get(from..range.start).unwrap_or_default());
            masked.expose_mut().push_str(MASK);
        }
        from = from.max(range.end);
    }
    masked
        .expose_mut()
        .push_str(text.get(from..).unwrap_or_default());
    masked
}

/// The answer without the identifiers that were found in it, for a caller who may not see identities.
///
/// The arguments of tool calls are searched with their escapes read, so that none hides a letter. Where masking leaves no
/// JSON, or there was none, they are withheld whole.
async fn masked(
    case: &Case,
    said: &Phi<Said>,
    found: &[Vec<Range<usize>>],
) -> Result<Phi<Said>, Refusal> {
    if said.expose().tool_calls.is_empty() {
        return Ok(mask_all(said, found));
    }
    let mut plain = said.clone();
    for call in plain.expose_mut().tool_calls.values_mut() {
        call.arguments = match Json::read(call.arguments.as_bytes()) {
            Ok(arguments) => arguments.to_text(),
            Err(_) => WITHHELD.to_owned(),
        };
    }
    let tokens = tokens_of(case, plain.expose())?;
    let found = identifiers_outside(case, plain.expose(), &tokens).await?;
    let mut masked = mask_all(&plain, &found);
    for call in masked.expose_mut().tool_calls.values_mut() {
        if Json::read(call.arguments.as_bytes()).is_err() {
            call.arguments = WITHHELD.to_owned();
        }
    }
    Ok(masked)
}

/// Arguments of which nothing may be shown.
const WITHHELD: &str = "{}";

/// The answer with each of its texts masked.
fn mask_all(said: &Phi<Said>, found: &[Vec<Range<usize>>]) -> Phi<Said> {
    let mut masked = said.clone();
    for ((channel, text), found) in said.expose().texts().into_iter().zip(found) {
        *masked.expose_mut().text_mut(channel) = mask(text, found).into_inner();
    }
    masked
}

/// What stands for an identifier of the model's own in an answer without identities.
const MASK: &str = "[WITHHELD]";

enum Permission {
    Granted,
    Withheld(&'static str),
}

/// A denial at `rehydrate` does not lose the caller the answer, only the identities in it. Anything else that goes
/// wrong there is a refusal as everywhere.
async fn may_see_identities(
    case: &Case,
    duties: Duties,
    tokens: impl Iterator<Item = &Token>,
) -> Result<Permission, Refusal> {
    let asked = ask_deciders(
        case,
        Point::Rehydrate,
        "restore",
        &case.caller.id,
        facts(false, tokens),
    )
    .await;
    match asked {
        // What left has left: a duty about where it may go comes too late here, and what cannot be carried out is a deny.
        Ok(more) if more.require_agreement => Err(Refusal::UnknownObligation {
            point: Point::Rehydrate,
            obligation: "require-agreement".to_owned(),
        }),
        Ok(more) if duties.and(more).withhold_identities => {
            Ok(Permission::Withheld("withheld-by-obligation"))
        }
        Ok(_) => Ok(Permission::Granted),
        Err(Refusal::Denied { .. }) => Ok(Permission::Withheld("withheld-by-decision")),
        Err(refusal) => Err(refusal),
    }
}

/// What deciders are told of the tokens whose values are wanted.
fn facts<'a>(is_lent: bool, tokens: impl Iterator<Item = &'a Token>) -> [(&'static str, Value); 3] {
    let mut kinds: Vec<String> = tokens.map(|token| token.kind().to_string()).collect();
    let count = kinds.len();
    kinds.sort_unstable();
    kinds.dedup();
    [
        ("grant", Value::Boolean(is_lent)),
        ("kinds", Value::Texts(kinds)),
        ("tokens", number(count)),
    ]
}

/// Bytes of an answer with its identities, all its texts together. It must fit into an entry beside what the model said.
const LARGEST_ANSWER: usize = 8 << 20;

const fn too_large() -> Refusal {
    Refusal::AnswerTooLarge {
        limit: LARGEST_ANSWER,
    }
}

/// The values of tokens that were asked for; nothing for those that were never issued here.
#[derive(Default)]
struct Values {
    known: BTreeMap<Token, Option<Phi<String>>>,
    /// How many were looked for beside those of the request.
    later: usize,
}

/// Different tokens that one streamed answer may look for beside those of the request: what a model makes up is not looked for
/// without end, for each look is two entries that are waited for. Further ones stay as they are. Tokens are counted and not
/// looks, so that it makes no difference how the answer was cut.
const MOST_LATER: usize = 64;

impl Values {
    /// Those of `tokens` that are not known and may yet be looked for, in their order, each once. They count as looked for.
    fn wanted<'t>(&mut self, tokens: impl Iterator<Item = &'t Token>) -> BTreeSet<Token> {
        let mut wanted = BTreeSet::new();
        for token in tokens {
            if self.later < MOST_LATER
                && !self.known.contains_key(token)
                && wanted.insert(token.clone())
            {
                self.later += 1;
            }
        }
        wanted
    }

    /// Asks the vault for those that are not known yet, at once.
    async fn look_up(
        &mut self,
        vault: &impl Vault,
        tokens: impl Iterator<Item = &Token>,
    ) -> Result<(), Refusal> {
        let unknown = |token: &&Token| !self.known.contains_key(*token);
        let asked: BTreeSet<Token> = tokens.filter(unknown).cloned().collect();
        if !asked.is_empty() {
            let asked: Vec<Token> = asked.into_iter().collect();
            let values = vault.values(&asked).await?;
            self.known.extend(asked.into_iter().zip(values));
        }
        Ok(())
    }

    fn unknown(&self) -> usize {
        self.known.values().filter(|value| value.is_none()).count()
    }
}

/// The text with each known token replaced by its value, in one pass: a value that looks like a token is not looked at
/// again, and an unknown token stays as it stands. Where the text is JSON a value is escaped.
fn put_back(
    text: &str,
    tokens: &[Written],
    values: &Values,
    escaping: &mut Escaping,
    room: &mut usize,
) -> Result<Phi<String>, Refusal> {
    let mut restored = Phi::new(String::with_capacity(text.len()));
    let mut from = 0;
    for written in tokens {
        if let Some(Some(value)) = values.known.get(&written.token) {
            let before = text.get(from..written.range.start).unwrap_or_default();
            escaping.walk(before);
            restored.expose_mut().push_str(before);
            escaping.push(restored.expose_mut(), value.expose());
            let ending = text.get(written.ending.clone()).unwrap_or_default();
            restored.expose_mut().push_str(ending);
            from = written.range.end;
        }
        if restored.expose().len() > *room {
            return Err(too_large());
        }
    }
    let rest = text.get(from..).unwrap_or_default();
    escaping.walk(rest);
    restored.expose_mut().push_str(rest);
    *room = room
        .checked_sub(restored.expose().len())
        .ok_or_else(too_large)?;
    Ok(restored)
}

/// How a value is written into a text: as it is, or as it stands inside a string of JSON (RFC 8259, section 7), which may
/// itself stand inside a string of JSON. How deep is seen from the backslashes before the last quotation mark.
struct Escaping {
    is_json: bool,
    /// Backslashes at the end of what was walked over.
    run: u32,
    /// Strings within strings.
    depth: u32,
}

impl Escaping {
    /// Deeper nesting is taken for this much.
    const DEEPEST: u32 = 4;

    const fn of(channel: Channel, wants_json: bool) -> Self {
        Self {
            is_json: match channel {
                Channel::Text => wants_json,
                Channel::Refusal => false,
                Channel::Arguments(_) => true,
            },
            run: 0,
            depth: 1,
        }
    }

    /// Takes note of text that goes before a value.
    fn walk(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.run = self.run.saturating_add(1),
                b'"' => {
                    // 0, 1, 3, 7 backslashes: the quotation mark of the first, second, third, fourth level.
                    let level = u32::BITS - self.run.leading_zeros() + 1;
                    self.depth = level.min(Self::DEEPEST);
                    self.run = 0;
                }
                _ => self.run = 0,
            }
        }
    }

    fn push(&mut self, text: &mut String, value: &str) {
        self.run = 0;
        if !self.is_json {
            text.push_str(value);
            return;
        }
        let mut escaped = Phi::new(value.to_owned());
        for _ in 0..self.depth {
            let quoted = Phi::new(serde_json::to_string(escaped.expose()).unwrap_or_default());
            let end = quoted.expose().len().saturating_sub(1);
            let inside = quoted.expose().get(1..end).unwrap_or_default();
            escaped = Phi::new(inside.to_owned());
        }
        text.push_str(escaped.expose());
    }
}

#[cfg(test)]
mod tests;
