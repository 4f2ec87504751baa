//! The policies as they are evaluated: which of them can hold of a request at all, and what they then ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy_core::ast::{
    ActionConstraint, Effect, Entity, EntityType, EntityUID, Expr, Literal, Policy, PolicySet,
    PrincipalOrResourceConstraint, SlotEnv, ValueKind,
};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;

use crate::request::Asked;
use crate::rules::Rule;
use crate::store::{Store, found};

/// The policies, in the order of their text.
pub(crate) struct Scoped {
    policies: Vec<Judged>,
    /// Policies whose head says `action == A`, and those about any action, by their place.
    by_action: BTreeMap<EntityUID, Vec<usize>>,
    /// What may be about any action: heads without an action, or with `in`, which follows a hierarchy.
    any: Vec<usize>,
}

/// One policy.
///
/// Cedar's condition of a policy is its head and then its body, and a head cannot fail to evaluate. So a policy whose
/// head is false is false, and any other is what its body is.
pub(crate) struct Judged {
    principal: PrincipalOrResourceConstraint,
    action: ActionConstraint,
    resource: PrincipalOrResourceConstraint,
    /// What stands in `when` and `unless`.
    body: Option<Arc<Expr>>,
    pub(crate) effect: Effect,
    pub(crate) asks_about_caller: bool,
}

/// What a body came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Satisfied,
    Unsatisfied,
    /// It could not be evaluated.
    Failed,
}

impl Scoped {
    /// Sorts `all`, each policy at the place of its rule.
    pub(crate) fn new(
        all: &PolicySet,
        rules: &[Rule],
        store: &Store,
        callers: &EntityType,
    ) -> Self {
        let in_order = rules.iter().filter_map(|rule| all.get(rule.id.as_ref()));
        let policies: Vec<Judged> = in_order
            .map(|policy| Judged::new(policy, store, callers))
            .collect();
        let mut by_action: BTreeMap<EntityUID, Vec<usize>> = BTreeMap::new();
        for policy in &policies {
            if let ActionConstraint::Eq(action) = &policy.action {
                by_action.entry(action.as_ref().clone()).or_default();
            }
        }
        let mut any = Vec::new();
        for (place, policy) in policies.iter().enumerate() {
            if let ActionConstraint::Eq(action) = &policy.action {
                by_action
                    .entry(action.as_ref().clone())
                    .or_default()
                    .push(place);
            } else {
                any.push(place);
                by_action.values_mut().for_each(|about| about.push(place));
            }
        }
        Self {
            policies,
            by_action,
            any,
        }
    }

    /// The policies whose heads hold, each with the place of its rule.
    pub(crate) fn about<'a>(
        &'a self,
        asked: &Asked,
        store: &Store,
        known: &Entities,
    ) -> Vec<(usize, &'a Judged)> {
        let caller = &asked.caller;
        let roles: Vec<_> = store.roles(caller).collect();
        let caller_is_below = |uid: &EntityUID| {
            let holds =
                |(role, entity): &(&EntityUID, Option<&_>)| *role == uid || below(*entity, uid);
            roles.iter().any(holds)
        };
        let (action, target) = (found(known, &asked.action), found(known, &asked.target));
        let about = self.by_action.get(asked.action.as_ref());
        let places = about.unwrap_or(&self.any).iter();
        let policies = places.filter_map(|place| Some((*place, self.policies.get(*place)?)));
        policies
            .filter(|(_, policy)| {
                holds(&policy.principal, &caller.uid, caller_is_below)
                    && holds(&policy.resource, &asked.target, |uid| below(target, uid))
                    && match &policy.action {
                        ActionConstraint::Any | ActionConstraint::Eq(_) => true,
                        ActionConstraint::In(actions) => actions
                            .iter()
                            .any(|one| *one == asked.action || below(action, one)),
                    }
            })
            .collect()
    }
}

impl Judged {
    fn new(policy: &Policy, store: &Store, callers: &EntityType) -> Self {
        let body = policy.non_scope_constraints_arc().cloned();
        let asks = |body: &Arc<Expr>| store.asks_about_callers(body, callers);
        Self {
            principal: policy.principal_constraint().into_inner(),
            action: policy.action_constraint().clone(),
            resource: policy.resource_constraint().into_inner(),
            asks_about_caller: body.as_ref().is_some_and(asks),
            body,
            effect: policy.effect(),
        }
    }

    /// Evaluates the body.
    pub(crate) fn held(&self, evaluator: &Evaluator<'_>, no_slots: &SlotEnv) -> Held {
        let Some(body) = &self.body else {
            return Held::Satisfied;
        };
        match evaluator.interpret(body, no_slots) {
            Ok(value) => match value.value_kind() {
                ValueKind::Lit(Literal::Bool(true)) => Held::Satisfied,
                ValueKind::Lit(Literal::Bool(false)) => Held::Unsatisfied,
                // A condition that is no boolean is an error in Cedar.
                ValueKind::Lit(_)
                | ValueKind::Set(_)
                | ValueKind::Record(_)
                | ValueKind::ExtensionValue(_) => Held::Failed,
            },
            Err(_) => Held::Failed,
        }
    }
}

/// Whether what a head says of its principal or resource holds of `entity`. No head has a slot: templates are refused.
fn holds(
    constraint: &PrincipalOrResourceConstraint,
    entity: &EntityUID,
    is_below: impl Fn(&EntityUID) -> bool,
) -> bool {
    let named = constraint.get_euid();
    let is_in = || named.is_some_and(|named| **named == *entity || is_below(named));
    match constraint {
        PrincipalOrResourceConstraint::Any => true,
        PrincipalOrResourceConstraint::Eq(_) => named.is_some_and(|named| **named == *entity),
        PrincipalOrResourceConstraint::In(_) => is_in(),
        PrincipalOrResourceConstraint::Is(kind) => **kind == *entity.entity_type(),
        PrincipalOrResourceConstraint::IsIn(kind, _) => **kind == *entity.entity_type() && is_in(),
    }
}

fn below(entity: Option<&Entity>, uid: &EntityUID) -> bool {
    entity.is_some_and(|entity| entity.is_descendant_of(uid))
}
