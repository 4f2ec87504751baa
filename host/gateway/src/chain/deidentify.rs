//! Stage 5: [`Permitted`] → [`Cleared`]. Detectors say where identifiers are; the host puts tokens in their place and
//! keeps the values sealed. What lies outside the spans is copied byte for byte.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::collections::{BTreeMap, BTreeSet};

use nephron_engine::contract::{Message, Part, Span};
use nephron_engine::{Answer, Judgement, Messages};
use nephron_keys::{KeyError, LITERAL, Seeker, Token};
use nephron_model::{EntryKind, Kind, Phi, Point};
use serde::{Deserialize, Serialize};

use crate::case::{Case, code};
use crate::chain::decide::{Duties, Permitted};
use crate::receive::Call;
use crate::refusal::Refusal;
use crate::swap::Came;

/// A call that holds no identifier that the detectors found. Only this stage can make one, and a connector can only be
/// handed one (I2).
pub struct Cleared {
    call: Call,
    duties: Duties,
    issued: Vec<Token>,
}

impl Cleared {
    /// The call, what must be done with it, and the token of each identifier.
    pub(super) fn into_parts(self) -> (Call, Duties, Vec<Token>) {
        (self.call, self.duties, self.issued)
    }
}

/// One replacement, as the sealed payload of a `deidentified` entry lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Index of the message.
    pub message: usize,
    /// Index of the part within the message.
    pub part: usize,
    /// First byte in the original text.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// Kind of identifier; `literal` for user text that had the form of a token.
    pub kind: String,
    /// What stands there now.
    pub token: String,
}

/// Name of the payload of a `deidentified` entry, bound into its seal.
pub const REPLACEMENTS: &str = "replacements";

/// Replaces every identifier in the call by a token.
pub(crate) async fn deidentify(case: &Case, permitted: Permitted) -> Result<Cleared, Refusal> {
    let (mut call, duties) = permitted.into_parts();
    let replaced = replace(case, call.messages.expose()).await?;
    call.messages = replaced.messages;
    Ok(Cleared {
        call,
        duties,
        issued: replaced.tokens,
    })
}

/// Texts that a caller wants back without their identifiers.
pub(crate) struct Texts(pub(crate) Phi<Messages>);

/// Texts in which each identifier that the detectors found is a token.
pub(crate) struct Tokenized {
    replaced: Replaced,
}

impl Tokenized {
    /// The texts, in the order in which they were given.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let messages = self.replaced.messages.expose().0.iter();
        messages.filter_map(|message| text_of(message.parts.first()?))
    }

    /// What was found, in order, each with the token that stands there now.
    pub(crate) fn finds(&self) -> impl Iterator<Item = (&Found, &Token)> {
        self.replaced.finds.iter().zip(&self.replaced.tokens)
    }
}

/// The same for texts that go back to the caller and to no model.
pub(crate) async fn tokenize(
    case: &Case,
    permitted: Permitted<Texts>,
) -> Result<Tokenized, Refusal> {
    // Identities are withheld in any case.
    let (Texts(texts), _duties) = permitted.into_parts();
    let replaced = replace(case, texts.expose()).await?;
    Ok(Tokenized { replaced })
}

/// Messages with tokens, and what stood in the tokens' places.
struct Replaced {
    messages: Phi<Messages>,
    finds: Vec<Found>,
    tokens: Vec<Token>,
}

async fn replace(case: &Case, messages: &Messages) -> Result<Replaced, Refusal> {
    let spans = detect(case, Point::Ingress, messages).await?;
    let (mut literals, mut others) = literals(case, messages)?;
    let (finds, tokens) = loop {
        let finds = merge(&spans, literals.clone())?;
        let values: Vec<(Kind, &str)> = finds
            .iter()
            .filter_map(|found| Some((found.place.kind.clone(), found.place.text(messages)?)))
            .collect();
        let tokens = case.tokens(&values).await?;
        if tokens.len() != finds.len() {
            return Err(Refusal::Key(KeyError::NotFound));
        }
        // One that was drawn just now may be what the text happens to read like.
        let drawn: BTreeSet<&Token> = tokens.iter().collect();
        let (now, still) = others
            .into_iter()
            .partition(|(_, token)| drawn.contains(token));
        let now: Vec<(Place, Token)> = now;
        others = still;
        if now.is_empty() {
            break (finds, tokens);
        }
        literals.extend(now.into_iter().map(|(place, _)| place));
    };

    let messages = rewrite(messages, &finds, &tokens);
    let counts = counted(&finds);
    let replacements: Vec<Replacement> = finds
        .iter()
        .zip(&tokens)
        .map(|(found, token)| found.place.by(token))
        .collect();
    let listed = serde_json::to_vec(&replacements).unwrap_or_default();
    let mut draft = case
        .draft(EntryKind::Deidentified, "cleared")
        .fact("method", case.roster.method().unwrap_or("none"));
    draft.counts = counts;
    draft.payload = case.sealed(REPLACEMENTS, &listed)?;
    case.note(draft);
    Ok(Replaced {
        messages,
        finds,
        tokens,
    })
}

/// Asks every detector. Each sees the same text, and what the application knows; what any of them finds in the text counts.
pub(crate) async fn detect(
    case: &Case,
    point: Point,
    messages: &Messages,
) -> Result<Vec<Span>, Refusal> {
    let mut found = Vec::new();
    let judgement = Phi::new(Judgement::Detect {
        info: case.info.clone(),
        messages: messages
            .0
            .iter()
            .chain(case.known.messages())
            .cloned()
            .collect(),
    });
    let texts = messages.0.len();
    for plugin in case.roster.detectors() {
        let spans = case.ask(point, plugin, judgement.expose(), Answer::spans);
        let spans = spans.await?.into_iter();
        found.extend(
            spans.filter(|span| usize::try_from(span.message).is_ok_and(|index| index < texts)),
        );
    }
    case.asked(point, judgement.expose(), "", || Came::Found {
        spans: Some(found.clone()),
        messages: texts,
    });
    Ok(found)
}

/// A stretch of text to be replaced. Places of one text are in order and do not overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Index of the message and of the part within it.
    pub(crate) message: usize,
    pub(crate) part: usize,
    /// Bytes, the end exclusive.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

/// A place, and what its kind comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) place: Place,
    /// In millionths; more for text that had the form of a token, which outranks whatever a detector makes of it.
    confidence: u32,
    /// The detector's rule, if it named one by a code.
    pub(crate) rule: Option<String>,
}

/// How many there are, by kind, by what found them and by how sure that was.
pub(crate) fn counted<'f>(finds: impl IntoIterator<Item = &'f Found>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |name: String| *counts.entry(name).or_default() += 1;
    for found in finds {
        count(found.place.kind.to_string());
        if found.place.kind.as_str() != LITERAL {
            count(format!("by-{}", found.by()));
            count(format!("sure-{}", found.band()));
        }
    }
    counts
}

/// Whether a name under which [`counted`] counts is that of a kind.
pub(crate) fn is_kind(name: &str) -> bool {
    !name.starts_with("by-") && !name.starts_with("sure-")
}

impl Found {
    /// What found it, by the name of its rule: `record`, `model` or `rule`; or `unexamined`, if it is what nobody could name. Rules' own names stay out of the log: a detector
    /// has seen PHI (I9).
    pub(crate) fn by(&self) -> &'static str {
        match self.rule.as_deref() {
            Some(rule) if rule.starts_with("record-") => "record",
            Some(rule) if rule.starts_with("model-") => "model",
            Some(rule) if rule.starts_with("unexamined-") => "unexamined",
            Some(_) | None => "rule",
        }
    }

    /// In percent, the least that its confidence is: 90, 60 or 0.
    fn band(&self) -> &'static str {
        match self.confidence {
            900_000.. => "90",
            600_000.. => "60",
            _ => "0",
        }
    }

    /// How sure the detector was, from 0 to 1.
    pub(crate) fn confidence(&self) -> f64 {
        f64::from(self.confidence.min(MILLION)) / f64::from(MILLION)
    }
}

const MILLION: u32 = 1_000_000;

impl Place {
    fn text<'a>(&self, messages: &'a Messages) -> Option<&'a str> {
        text_of(messages.0.get(self.message)?.parts.get(self.part)?)?.get(self.start..self.end)
    }

    fn by(&self, token: &Token) -> Replacement {
        Replacement {
            message: self.message,
            part: self.part,
            start: self.start,
            end: self.end,
            kind: self.kind.to_string(),
            token: token.to_string(),
        }
    }
}

/// The text of a part that has one.
pub(crate) const fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) | Part::Json(text) => Some(text.as_str()),
        Part::Blob(_) => None,
    }
}

/// The identifiers of 45 CFR 164.514(b)(2)(i), by the names that detectors give them.
const KINDS: [&str; 19] = [
    "account",
    "age",
    "biometric",
    "date",
    "device",
    "email",
    "fax",
    "geo",
    "health-plan",
    "id",
    "ip",
    "license",
    "mrn",
    "name",
    "phone",
    "photo",
    "ssn",
    "url",
    "vehicle",
];

/// The kind of a span, if it is one of [`KINDS`]; else `other`. A kind stands in clear in tokens and in the log, and a
/// detector has seen PHI: a word of its own choosing could be a name (I9).
pub(crate) fn kind(span: &Span) -> &'static str {
    KINDS
        .into_iter()
        .find(|kind| *kind == span.kind)
        .unwrap_or("other")
}

/// Of whom [`known_kind`] knows.
pub(crate) const KIND_RULE: &str =
    "a kind of identifier of 45 CFR 164.514(b)(2)(i), such as `mrn` or `name`, or `other`";

/// The kind of that name, if it is one of [`KINDS`] or `other`: callers' words do not stand in the log either.
pub(crate) fn known_kind(name: &str) -> Option<Kind> {
    let is_known = KINDS.contains(&name) || name == "other";
    is_known.then(|| name.parse().ok()).flatten()
}

/// What finds tokens in texts: of any kind as they are issued, and of the kinds that stand here in the forms that
/// models give them.
pub(crate) fn seeker() -> Seeker {
    let kinds = KINDS.into_iter().chain(["other", LITERAL]);
    Seeker::new(kinds.filter_map(|kind| kind.parse().ok()))
}

/// A place that reads like a token.
type Likeness = (Place, Token);

/// User text that has the form of a token, or reads like one that was issued in this conversation; and beside it what
/// reads like one that was not, in case it is drawn now.
fn literals(case: &Case, messages: &Messages) -> Result<(Vec<Place>, Vec<Likeness>), Refusal> {
    let (exact, like) = tokens_in(messages)?;
    let asked: Vec<Token> = like.iter().map(|(_, token)| token.clone()).collect();
    let issued = case.issued(&asked)?;
    let (mut literals, mut others) = (exact, Vec::new());
    for (likeness, is_issued) in like.into_iter().zip(issued) {
        match is_issued {
            true => literals.push(likeness.0),
            false => others.push(likeness),
        }
    }
    Ok((literals, others))
}

/// Places that have the form of a token, and those that read like one.
fn tokens_in(messages: &Messages) -> Result<(Vec<Place>, Vec<Likeness>), Refusal> {
    let literal: Kind = LITERAL.parse().map_err(|_| no_kind())?;
    let seeker = seeker();
    let (mut exact, mut like) = (Vec::new(), Vec::new());
    for (message, content) in messages.0.iter().enumerate() {
        for (part, text) in content
            .parts
            .iter()
            .enumerate()
            .filter_map(|(part, p)| Some((part, text_of(p)?)))
        {
            for written in seeker.scan(text) {
                let place = Place {
                    message,
                    part,
                    start: written.range.start,
                    end: written.range.end,
                    kind: literal.clone(),
                };
                match written.is_exact {
                    true => exact.push(place),
                    false => like.push((place, written.token)),
                }
            }
        }
    }
    Ok((exact, like))
}

/// Unites what the detectors found, and user text that has the form of a token, into places that do not overlap.
fn merge(spans: &[Span], literals: Vec<Place>) -> Result<Vec<Found>, Refusal> {
    let mut candidates = candidates(spans)?;
    candidates.extend(literals.into_iter().map(|place| Found {
        place,
        confidence: u32::MAX,
        rule: None,
    }));
    Ok(unite(candidates))
}

/// Unites what the detectors found into places that do not overlap.
pub(crate) fn united(spans: &[Span]) -> Result<Vec<Found>, Refusal> {
    candidates(spans).map(unite)
}

fn no_kind() -> Refusal {
    Refusal::Incomplete {
        missing: "a kind that is a name".to_owned(),
    }
}

fn candidates(spans: &[Span]) -> Result<Vec<Found>, Refusal> {
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let candidate = |span: &Span| {
        Ok(Found {
            place: Place {
                message: index(span.message),
                part: index(span.part),
                start: index(span.start),
                end: index(span.end),
                kind: kind(span).parse().map_err(|_| no_kind())?,
            },
            confidence: millionths(span.confidence),
            rule: span.rule.as_deref().map(code).map(str::to_owned),
        })
    };
    spans.iter().map(candidate).collect()
}

/// Where stretches overlap their union is one place, under the kind of the most confident, then of the longest.
fn unite(mut candidates: Vec<Found>) -> Vec<Found> {
    candidates.sort();

    // Each with the length of the one that gave it its kind.
    let mut merged: Vec<(Found, usize)> = Vec::with_capacity(candidates.len());
    for found in candidates {
        let place = &found.place;
        let length = place.end - place.start;
        match merged.last_mut() {
            Some((last, longest))
                if (last.place.message, last.place.part) == (place.message, place.part)
                    && place.start < last.place.end =>
            {
                last.place.end = last.place.end.max(place.end);
                if (found.confidence, length) > (last.confidence, *longest) {
                    last.place.kind = found.place.kind;
                    (last.confidence, last.rule) = (found.confidence, found.rule);
                    *longest = length;
                }
            }
            _ => merged.push((found, length)),
        }
    }
    merged.into_iter().map(|(found, _)| found).collect()
}

/// A confidence of 0 to 1, which the engine has checked, as a number that can be ordered.
fn millionths(confidence: f32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held to 0..=1 just before"
    )]
    let whole = (confidence.clamp(0.0, 1.0) * 1e6).round() as u32;
    whole
}

/// The messages with each place replaced by its token, and nothing else changed.
fn rewrite(messages: &Messages, finds: &[Found], tokens: &[Token]) -> Phi<Messages> {
    let places = finds.iter().map(|found| &found.place);
    let mut replacements = places.zip(tokens).peekable();
    let mut rewritten = Vec::with_capacity(messages.0.len());
    for (message, content) in messages.0.iter().enumerate() {
        let mut parts = Vec::with_capacity(content.parts.len());
        for (part, original) in content.parts.iter().enumerate() {
            let Some(text) = text_of(original) else {
                parts.push(original.clone());
                continue;
            };
            let mut cleared = String::with_capacity(text.len());
            let mut from = 0;
            while let Some((place, token)) =
                replacements.next_if(|(place, _)| (place.message, place.part) == (message, part))
            {
                cleared.push_str(text.get(from..place.start).unwrap_or_default());
                cleared.push_str(&token.to_string());
                from = place.end;
            }
            cleared.push_str(text.get(from..).unwrap_or_default());
            parts.push(match original {
                Part::Text(_) => Part::Text(cleared),
                Part::Json(_) | Part::Blob(_) => Part::Json(cleared),
            });
        }
        rewritten.push(Message {
            role: content.role.clone(),
            name: content.name.clone(),
            parts,
        });
    }
    Phi::new(Messages(rewritten))
}

#[cfg(test)]
#[path = "deidentify/tests.rs"]
mod tests;
