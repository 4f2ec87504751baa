//! Stage 7: [`Answered`] → [`Restored`]. The answer is searched for identifiers of its own, the deciders are asked
//! whether this caller may see identities, and tokens of this conversation become values again.

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

    let (restored, outcome, unknown) = match may_restore(case, duties, &tokens).await? {
        Permission::Withheld(why) => (text.clone(), why, 0),
        Permission::NothingToRestore => (text.clone(), "nothing-to-restore", 0),
        Permission::Granted => {
            let grant = case.grant(Operations::DETOKENIZE, Point::Rehydrate)?;
            let asked: Vec<Token> = tokens.iter().map(|(_, token)| token.clone()).collect();
            let values = grant.detokenize(&asked).await?;
            let unknown = values.iter().filter(|value| value.is_none()).count();
            (
                put_back(text.expose(), &tokens, &values),
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
        ("identifiers-in-answer", of_its_own),
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
    drop(case.record(draft));
    Ok(Restored {
        text: restored,
        stopped,
    })
}

/// How many identifiers the answer holds that are not our tokens: the model made them up, or knew them.
async fn identifiers_outside(
    case: &Case,
    text: &Phi<String>,
    tokens: &[(Range<usize>, Token)],
) -> Result<usize, Refusal> {
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
    let apart = |start: usize, end: usize| {
        tokens
            .iter()
            .all(|(range, _)| end <= range.start || range.end <= start)
    };
    Ok(spans
        .iter()
        .filter(|span| apart(index(span.start), index(span.end)))
        .count())
}

enum Permission {
    Granted,
    NothingToRestore,
    Withheld(&'static str),
}

/// A denial at `rehydrate` does not lose the caller the answer, only the identities in it. Anything else that goes
/// wrong there is a refusal as everywhere.
async fn may_restore(
    case: &Case,
    duties: Duties,
    tokens: &[(Range<usize>, Token)],
) -> Result<Permission, Refusal> {
    if tokens.is_empty() {
        return Ok(Permission::NothingToRestore);
    }
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
        Ok(more) if duties.and(more).withhold_identities => {
            Ok(Permission::Withheld("withheld-by-obligation"))
        }
        Ok(_) => Ok(Permission::Granted),
        Err(Refusal::Denied { .. }) => Ok(Permission::Withheld("withheld-by-decision")),
        Err(refusal) => Err(refusal),
    }
}

/// The text with each known token replaced by its value, in one pass: a value that looks like a token is not looked at
/// again, and an unknown token stays as it stands.
fn put_back(
    text: &str,
    tokens: &[(Range<usize>, Token)],
    values: &[Option<Phi<String>>],
) -> Phi<String> {
    let mut restored = Phi::new(String::with_capacity(text.len()));
    let mut from = 0;
    for ((range, _), value) in tokens.iter().zip(values) {
        if let Some(value) = value {
            restored
                .expose_mut()
                .push_str(text.get(from..range.start).unwrap_or_default());
            restored.expose_mut().push_str(value.expose());
            from = range.end;
        }
    }
    restored
        .expose_mut()
        .push_str(text.get(from..).unwrap_or_default());
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_token_stays_and_a_value_is_not_looked_at_again() {
        let text = "a [NAME_7KQ2M] b [NAME_00000] c";
        let tokens: Vec<_> = Token::scan(text).collect();
        let values = [Some(Phi::new("[NAME_00000]".to_owned())), None];
        let restored = put_back(text, &tokens, &values);
        assert_eq!(restored.expose(), "a [NAME_00000] b [NAME_00000] c");
    }
}
