//! Grants that are lent to a caller for some uses and some time.

use std::time::Duration;

use nephron_engine::contract::Value;
use nephron_keys::{GrantRequest, KeyError, Kinds, Lasting, Operations, Subject, TenantKeys};
use nephron_model::{EntryKind, EventId, Kind, Phi, Point};
use serde::Serialize;

use super::texts::conversation;
use super::written;
use crate::case::Case;
use crate::chain::decide::permit;
use crate::chain::deidentify::known_kind;
use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::wire::fields::{Fields, is_structural, wrong};
use crate::wire::json::Json;

/// Seconds that a grant may live: 30 days.
const LONGEST: u32 = 30 * 24 * 60 * 60;

/// Values of one use, where a grant does not say how many: as many fields as a request may have.
const USUAL_VALUES: u32 = 100;
const MOST_VALUES: u32 = 10_000;

/// A grant that a caller wants to mint.
pub(super) struct ToMint {
    subject: String,
    operations: Operations,
    kinds: Kinds,
    uses: Option<u32>,
    values: u32,
    lifetime: u32,
}

/// Reads what to mint, and of which of the minter's conversations it reaches the tokens.
pub(super) fn read_mint(fields: &mut Fields) -> Result<(ToMint, Option<String>), Malformed> {
    const SUBJECT: &str = "the id of a caller: 1 to 200 of letters, digits and `._:/-@`";
    const LIFETIME: &str = "seconds: a whole number from 1 to 2592000";
    let subject = fields.text_that("subject", SUBJECT, |subject| is_structural(subject, 200))?;
    let uses = fields.count("uses")?;
    if uses == Some(0) {
        return Err(wrong("uses", "a whole number from 1 to 4294967295"));
    }
    const VALUES: &str = "a whole number from 1 to 10000";
    let values = fields.count("values")?.unwrap_or(USUAL_VALUES);
    if !(1..=MOST_VALUES).contains(&values) {
        return Err(wrong("values", VALUES));
    }
    let lifetime = fields.count("lifetime")?;
    let lifetime = lifetime.filter(|seconds| (1..=LONGEST).contains(seconds));
    let to_mint = ToMint {
        subject: subject.ok_or_else(|| wrong("subject", SUBJECT))?,
        operations: operations(fields)?,
        kinds: kinds(fields)?,
        uses,
        values,
        lifetime: lifetime.ok_or_else(|| wrong("lifetime", LIFETIME))?,
    };
    Ok((to_mint, conversation(fields)?))
}

fn operations(fields: &mut Fields) -> Result<Operations, Malformed> {
    const RULE: &str = "a list of at least one of `seal`, `open` and `detokenize`";
    let named = |name: Json| {
        let operation = Operations::named(&name.into_text()?)?;
        let is_lent = TenantKeys::LASTING_OPERATIONS.contain(operation);
        is_lent.then_some(operation)
    };
    let names = fields.list("operations")?.unwrap_or_default();
    let operations: Option<Vec<_>> = names.into_iter().map(named).collect();
    let operations = operations.unwrap_or_default().into_iter();
    let operations = operations.fold(Operations::NONE, Operations::and);
    if operations == Operations::NONE {
        return Err(wrong("operations", RULE));
    }
    Ok(operations)
}

fn kinds(fields: &mut Fields) -> Result<Kinds, Malformed> {
    const RULE: &str = "a list of 1 to 32 kinds of identifier, or null for all";
    let Some(kinds) = fields.list("kinds")? else {
        return Ok(Kinds::Any);
    };
    if !(1..=32).contains(&kinds.len()) {
        return Err(wrong("kinds", RULE));
    }
    let kind = |kind: Json| known_kind(&kind.into_text()?);
    let kinds: Option<_> = kinds.into_iter().map(kind).collect();
    kinds.map(Kinds::Only).ok_or_else(|| wrong("kinds", RULE))
}

/// A grant as callers see it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    subject: &'a str,
    minter: &'a str,
    operations: Vec<&'static str>,
    kinds: Option<Vec<&'a str>>,
    purpose: &'a str,
    uses: Option<u64>,
    values: Option<u32>,
    expires: String,
}

impl<'a> Shown<'a> {
    fn of(grant: &'a Lasting) -> Self {
        Self {
            id: &grant.id,
            subject: &grant.subject,
            minter: &grant.minter,
            operations: grant.operations.names().collect(),
            kinds: named(&grant.kinds),
            purpose: grant.purpose.as_str(),
            uses: grant.uses,
            values: grant.values,
            expires: grant.expires.to_string(),
        }
    }
}

/// The kinds by their names; nothing for all. Grants of this API name what they cover.
fn named(kinds: &Kinds) -> Option<Vec<&str>> {
    match kinds {
        Kinds::Any | Kinds::Except(_) => None,
        Kinds::Only(kinds) => Some(kinds.iter().map(Kind::as_str).collect()),
    }
}

#[derive(Serialize)]
struct Minted<'a> {
    event: EventId,
    grant: Shown<'a>,
}

/// Mints a grant, for the purpose of use of the request: who uses it states the same.
pub(super) async fn mint(case: &Case, mut to_mint: ToMint) -> Result<Phi<String>, Refusal> {
    let texts = |names: Vec<&str>| Value::Texts(names.into_iter().map(str::to_owned).collect());
    let kinds = named(&to_mint.kinds);
    let facts = [
        ("any-kind", Value::Boolean(kinds.is_none())),
        ("conversation", Value::Boolean(case.conversation.is_some())),
        ("kinds", texts(kinds.unwrap_or_default())),
        ("lifetime", Value::Number(to_mint.lifetime.into())),
        ("operations", texts(to_mint.operations.names().collect())),
        ("own", Value::Boolean(to_mint.subject == case.caller.id)),
        (
            "uses",
            Value::Number(to_mint.uses.unwrap_or_default().into()),
        ),
        ("values", Value::Number(to_mint.values.into())),
    ];
    let subject = to_mint.subject.clone();
    // Whether this caller may lend, and whether keys may be used so: what is forbidden there is not lent either.
    for point in [Point::Admin, Point::KeyUse] {
        let asked = (point, "mint-grant", subject.as_str());
        let permitted = permit(case, asked, facts.clone(), to_mint).await?;
        let (permitted, duties) = permitted.into_parts();
        if duties.withhold_identities {
            return Err(Refusal::withheld(point));
        }
        to_mint = permitted;
    }
    case.unrefused()?;
    let conversation = match &case.conversation {
        Some(_) => Some(case.own_conversation()?),
        None => None,
    };
    let minted = case.tenant.keys().mint_lasting(GrantRequest {
        uses: to_mint.uses.map(u64::from),
        values: Some(to_mint.values),
        kinds: to_mint.kinds,
        conversation,
        request: Some(case.id),
        point: Some(Point::Admin),
        caller: Some(case.caller.id.clone()),
        generation: Some(case.roster.generation()),
        ..GrantRequest::new(
            Subject::Caller(to_mint.subject),
            to_mint.operations,
            case.purpose.clone(),
            Duration::from_secs(to_mint.lifetime.into()),
        )
    });
    let grant = minted.await?;
    Ok(written(&Minted {
        event: case.id,
        grant: Shown::of(&grant),
    }))
}

#[derive(Serialize)]
struct Listed<'a> {
    event: EventId,
    grants: Vec<Shown<'a>>,
}

/// Whether a grant is the caller's, to use or to take back.
fn is_own(case: &Case, grant: &Lasting) -> bool {
    [&grant.subject, &grant.minter].contains(&&case.caller.id)
}

/// Lists the live grants: all for those whom policy lets, else the caller's own. A denial takes nothing away but the others'.
pub(super) async fn list(case: &Case) -> Result<Phi<String>, Refusal> {
    let asked = (Point::Admin, "list-grants", case.caller.id.as_str());
    let sees_all = match permit(case, asked, [], ()).await {
        Ok(permitted) => !permitted.into_parts().1.withhold_identities,
        Err(Refusal::Denied { .. }) => false,
        Err(refusal) => return Err(refusal),
    };
    let mut grants = case.tenant.keys().lasting()?;
    grants.retain(|grant| sees_all || is_own(case, grant));
    Ok(written(&Listed {
        event: case.id,
        grants: grants.iter().map(Shown::of).collect(),
    }))
}

#[derive(Serialize)]
struct Revoked<'a> {
    event: EventId,
    revoked: &'a str,
}

/// Ends a grant.
pub(super) async fn revoke(case: &Case, id: String) -> Result<Phi<String>, Refusal> {
    let grant = case.tenant.keys().lasting_of(&id)?;
    let grant = grant.ok_or(KeyError::NotFound)?;
    let facts = [("own", Value::Boolean(is_own(case, &grant)))];
    let asked = (Point::Admin, "revoke-grant", grant.subject.as_str());
    let (id, _duties) = permit(case, asked, facts, id).await?.into_parts();
    case.unrefused()?;
    let mut ended = case.draft(EntryKind::GrantEnded, "revoked");
    ended.point = Some(Point::Admin);
    case.tenant.keys().revoke(&id, ended).await?;
    Ok(written(&Revoked {
        event: case.id,
        revoked: &id,
    }))
}
