//! Which policies can say anything about an action.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicySet, PolicySetError};

/// Policies, sorted by the action they are about.
///
/// A policy whose head says `action == A` is false of every other action, and a head cannot fail to evaluate, so that
/// leaving it out changes no decision, no reason and no error.
pub(crate) struct Scoped {
    by_action: BTreeMap<EntityUid, PolicySet>,
    /// What may be about any action: heads without an action, or with `in`, which follows a hierarchy.
    any: PolicySet,
}

impl Scoped {
    /// # Errors
    /// None that Cedar tells of: the ids of `all` differ already.
    pub(crate) fn new(all: &PolicySet) -> Result<Self, Box<PolicySetError>> {
        let about = |policy: &Policy| match policy.action_constraint() {
            ActionConstraint::Eq(action) => Some(action),
            ActionConstraint::Any | ActionConstraint::In(_) => None,
        };
        let mut by_action = BTreeMap::new();
        let actions: BTreeSet<EntityUid> = all.policies().filter_map(about).collect();
        for action in actions {
            let concerned = all
                .policies()
                .filter(|policy| about(policy).is_none_or(|own| own == action));
            let concerned = PolicySet::from_policies(concerned.cloned())?;
            by_action.insert(action, concerned);
        }
        let any = all.policies().filter(|policy| about(policy).is_none());
        let any = PolicySet::from_policies(any.cloned())?;
        Ok(Self { by_action, any })
    }

    /// The policies that can hold of `action`.
    pub(crate) fn about(&self, action: &EntityUid) -> &PolicySet {
        self.by_action.get(action).unwrap_or(&self.any)
    }
}
