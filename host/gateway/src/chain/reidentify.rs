//! Stage 7: [`Answered`] → [`Restored`]. The answer is searched for identifiers of its own, the deciders are asked
//! whether this caller may see identities, and tokens of this conversation become values again.

use std::collections::BTreeMap;
use std::ops::Range;

use nephron_engine::Messages;
use nephron_engine::contract::{Message, Part, Value};
use nephron_keys::{Operations, Token};
use nephron_model::{EntryKind, Phi, Point};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::case::Case;
use crate::chain::connect::Answered;
use crate::chain::decide::{Duties, ask_deciders};
use crate::chain::deidentify::detect;
use crate::refusal::Refusal;

/// An answer as this caller may see it.
pub struct Restored {
    pub(crate) text: Phi<String>,
    pub(crate) stopped: Option<String>,
}

/// The sealed payload of a `reidentified` entry.
#[derive(Serialize, Deserialize)]
pub struct Restoration {
    /// The answer as the model gave it.
    pub answered: String,
    /// The answer as the caller got it.
    pub restored: String,
}

impl Zeroize for Restoration {
    fn zeroize(&mut self) {
        self.answered.zeroize();
        self.restored.zeroize();
    }
}

/// Name of the payload of a `reidentified` entry, bound into its seal.
pub const RESTORATION: &str = "restoration";

/// Puts identities back, if this caller may see them.
pub(crate) async fn reidentify(case: &Case, answered: Answered) -> Result<Restored, Refusal> {
    let (text, stopped, duties) = answered.into_parts();
    let tokens: Vec<(Range<usize>, Token)> = Token::scan(text.expose()).collect();
    let of_its_own = identifiers_outside(case, &text, &tokens).await?;

    let permission = if tokens.is_empty() && of_its_own.is_empty() {
        Permission::Granted
    } else {
        may_see_identities(case, duties, &tokens).await?
    };
    let (restored, outcome, unknown) = match permission {
        Permission::Withheld(why) => (mask(text.expose(), &of_its_own), why, 0),
        Permission::Granted if tokens.is_empty() => (text.clone(), "nothing-to-restore", 0),
        Permission::Granted => {
            let mut asked: Vec<Token> = tokens.iter().map(|(_, token)| token.clone()).collect();
            asked.sort_unstable();
            asked.dedup();
            let grant = case.grant(Operations::DETOKENIZE, Point::Rehydrate)?;
            let values = grant.detokenize(&asked).await?;
            let values: BTreeMap<Token, Option<Phi<String>>> =
                asked.into_iter().zip(values).collect();
            let unknown = values.values().filter(|value| value.is_none()).count();
            (
                put_back(text.expose(), &tokens, &values)?,
                "restored",
                unknown,
            )
        }
    };
    let mut draft = case.draft(EntryKind::Reidentified, outcome);
    draft.point = Some(Point::Rehydrate);
    for (name, number) in [
        ("tokens", tokens.len()),
        ("unknown-tokens", unknown),
        ("identifiers-in-answer", of_its_own.len()),
    ] {
        draft
            .counts
            .insert(name.to_owned(), u64::try_from(number).unwrap_or(u64::MAX));
    }
    let both = Phi::new(Restoration {
        answered: text.expose().clone(),
        restored: restored.expose().clone(),
    });
    let both = Phi::new(serde_json::to_vec(both.expose()).unwrap_or_default());
    draft.payload = case.sealed(RESTORATION, both.expose())?;
    case.note(draft);
    Ok(Restored {
        text: restored,
        stopped,
    })
}

/// Where the answer holds identifiers that are not our tokens: the model made them up, or knew them. In order.
async fn identifiers_outside(
    case: &Case,
    text: &Phi<String>,
    tokens: &[(Range<usize>, Token)],
) -> Result<Vec<Range<usize>>, Refusal> {
    let parts = vec![Part::Text(text.expose().clone())];
    let message = Message {
        role: "assistant".to_owned(),
        name: None,
        parts,
    };
    let spans = detect(
        case,
        Point::Rehydrate,
        Phi::new(Messages(vec![message])).expose(),
    )
    .await?;
    let index = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut found: Vec<Range<usize>> = spans
        .iter()
        .flat_map(|span| outside(index(span.start)..index(span.end), tokens))
        .filter(|piece| {
            let piece = text.expose().get(piece.clone());
            piece.is_some_and(|piece| piece.contains(char::is_alphanumeric))
        })
        .collect();
    found.sort_unstable_by_key(|range| (range.start, range.end));
    Ok(found)
}

/// What of `span` no token covers: a web address may go on before and after the token that stands in it.
fn outside(span: Range<usize>, tokens: &[(Range<usize>, Token)]) -> Vec<Range<usize>> {
    // Tokens are in order and do not overlap.
    let first = tokens.partition_point(|(token, _)| token.end <= span.start);
    let within = tokens.iter().skip(first).map(|(token, _)| token);
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
    tokens: &[(Range<usize>, Token)],
) -> Result<Permission, Refusal> {
    let mut kinds: Vec<String> = tokens
        .iter()
        .map(|(_, token)| token.kind().to_string())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let asked = ask_deciders(
        case,
        Point::Rehydrate,
        "restore",
        &case.caller.id,
        [
            ("kinds", Value::Texts(kinds)),
            (
                "tokens",
                Value::Number(i64::try_from(tokens.len()).unwrap_or(i64::MAX)),
            ),
        ],
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

/// Bytes of an answer with its identities.
const LARGEST_ANSWER: usize = 16 << 20;

/// The text with each known token replaced by its value, in one pass: a value that looks like a token is not looked at
/// again, and an unknown token stays as it stands.
fn put_back(
    text: &str,
    tokens: &[(Range<usize>, Token)],
    values: &BTreeMap<Token, Option<Phi<String>>>,
) -> Result<Phi<String>, Refusal> {
    let mut restored = Phi::new(String::with_capacity(text.len()));
    let mut from = 0;
    for (range, token) in tokens {
        if let Some(Some(value)) = values.get(token) {
            restored
                .expose_mut()
                .push_str(text.get(from..range.start).unwrap_or_default());
            restored.expose_mut().push_str(value.expose());
            from = range.end;
        }
        if restored.expose().len() > LARGEST_ANSWER {
            return Err(Refusal::AnswerTooLarge {
                limit: LARGEST_ANSWER,
            });
        }
    }
    restored
        .expose_mut()
        .push_str(text.get(from..).unwrap_or_default());
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_token_stays_and_a_value_is_not_looked_at_again() {
        let text = "a [NAME_7KQ2M] b [NAME_00000] c";
        let tokens: Vec<_> = Token::scan(text).collect();
        let known = Some(Phi::new("[NAME_00000]".to_owned()));
        let values = tokens
            .iter()
            .map(|(_, token)| token.clone())
            .zip([known, None])
            .collect();
        let restored = put_back(text, &tokens, &values).unwrap();
        assert_eq!(restored.expose(), "a [NAME_00000] b [NAME_00000] c");
    }

    #[test]
    fn an_answer_of_a_few_tokens_cannot_fill_the_memory() {
        let text = "[URL_7KQ2M]".repeat(20_000);
        let tokens: Vec<_> = Token::scan(&text).collect();
        let value = Some(Phi::new("x".repeat(100_000)));
        let values = [(tokens[0].1.clone(), value)].into_iter().collect();
        assert!(matches!(
            put_back(&text, &tokens, &values),
            Err(Refusal::AnswerTooLarge { .. })
        ));
    }

    #[test]
    fn what_reaches_beyond_a_token_is_masked_beside_it() {
        let text = "see https://portal.example/[MRN_7KQ2M]/quackenbush now";
        let tokens: Vec<_> = Token::scan(text).collect();
        let pieces = outside(4..50, &tokens);
        assert_eq!(
            mask(text, &pieces).expose(),
            "see [WITHHELD][MRN_7KQ2M][WITHHELD] now"
        );
        assert!(outside(tokens[0].0.clone(), &tokens).is_empty());
        assert_eq!(outside(0..3, &tokens), std::slice::from_ref(&(0..3)));
    }

    #[test]
    fn identifiers_of_the_models_own_are_masked() {
        assert_eq!(
            mask("see Ann Lee, 42", &[4..7, 4..11, 13..15]).expose(),
            "see [WITHHELD], [WITHHELD]"
        );
    }
}
