//! Grants as the story has them: what each may be used for, how often and until when, and what was made of that.

use std::collections::HashMap;

use nephron_model::Timestamp;

use super::GapKind;
use super::within::Within;
use crate::Header;

/// The fact that names a grant.
pub(super) const GRANT: &str = "grant";

#[derive(Default)]
pub(super) struct Grants(HashMap<String, Lent>);

/// A grant that has not ended. What its entry does not say is not held against a use.
struct Lent {
    /// Uses that are left, if they are counted.
    uses: Option<u64>,
    expires: Option<Timestamp>,
    /// Names, with commas between.
    operations: Option<String>,
    /// Uses after it expired. The host looks at the time before it records a use and again before it acts: what the log was slow to
    /// take it then refuses, and an entry says so.
    late: Vec<u64>,
}

impl Grants {
    /// Gives the grant's id.
    pub(super) fn mint(&mut self, header: &Header) -> Option<String> {
        let fact = |name: &str| header.facts.get(name);
        let grant = fact(GRANT)?.clone();
        let expires = fact("expires").and_then(|expires| expires.parse().ok());
        self.0.insert(
            grant.clone(),
            Lent {
                uses: fact("uses").and_then(|uses| uses.parse().ok()),
                // The log's time never goes back, the clock may have: then one that is minted seems to be over.
                expires: expires.filter(|expires| header.time <= *expires),
                operations: fact("operations").cloned(),
                late: Vec::new(),
            },
        );
        Some(grant)
    }

    /// A use, and what it lacks. Its time counts only if it `is_timed`.
    pub(super) fn use_key(
        &mut self,
        header: &Header,
        is_timed: bool,
        within: Option<&Within>,
    ) -> Option<GapKind> {
        let grant = header.facts.get(GRANT);
        let Some(lent) = grant.and_then(|grant| self.0.get_mut(grant)) else {
            let may_stand_before = grant.zip(within);
            let may_stand_before =
                may_stand_before.is_some_and(|(grant, within)| within.may_know_grant(grant));
            return (!may_stand_before).then_some(GapKind::UseWithoutGrant);
        };
        if is_timed && lent.expires.is_some_and(|expires| expires < header.time) {
            lent.late.push(header.sequence);
        }
        match &mut lent.uses {
            Some(0) => return Some(GapKind::UseWithoutGrant),
            Some(left) => *left -= 1,
            None => {}
        }
        let operation = header.facts.get("operation");
        let pair = lent.operations.as_ref().zip(operation);
        let is_covered = |(granted, used): (&String, &String)| {
            let used = used.split(',');
            used.into_iter()
                .all(|used| granted.split(',').any(|granted| granted == used))
        };
        (!pair.is_none_or(is_covered)).then_some(GapKind::UseBeyondGrant)
    }

    /// A refusal. One of a use that was recorded takes that back.
    pub(super) fn refuse(&mut self, header: &Header) {
        let grant = header.facts.get(GRANT);
        if let Some(lent) = grant.and_then(|grant| self.0.get_mut(grant))
            && header.reasons.iter().any(|reason| reason == "expired")
        {
            lent.late.pop();
        }
    }

    /// Ends a grant, and gives its uses that came too late.
    pub(super) fn end(&mut self, grant: &str) -> Vec<u64> {
        self.0.remove(grant).map_or_else(Vec::new, |lent| lent.late)
    }

    /// The same of all.
    pub(super) fn end_all(&mut self) -> Vec<u64> {
        let all = std::mem::take(&mut self.0).into_values();
        all.flat_map(|lent| lent.late).collect()
    }
}
