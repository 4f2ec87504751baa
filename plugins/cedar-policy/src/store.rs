//! The entities of the settings, and the caller among them.
//!
//! The host makes the caller of each request, and Cedar takes one more entity only by a copy of its store. Cedar looks
//! an entity up only to take its attributes, its tags or its place in a hierarchy. So a request whose policies cannot
//! ask that of its caller is decided with the entities of the settings as they are; for another, they are first cut down
//! to what the request can look up: what it names, what policies name, and what attributes of other entities refer to.
//! Each entity carries all of its ancestors, so none is needed for its own sake.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{
    Entity, EntityType, EntityUID, Expr, ExprKind, Literal, PartialValue, Var,
};
use cedar_policy_core::entities::{Dereference, Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;

use crate::request::{Asked, Caller, Unexpressed};

/// The entities of the settings.
pub(crate) struct Store {
    all: Entities,
    /// What any request may look up: whatever policies name, and whatever an attribute or a tag refers to.
    shared: Entities,
    /// Whether some entity is below a caller, whose own place is known only when it asks.
    holds_below_callers: bool,
    /// Whether some attribute or tag refers to a caller.
    refers_to_callers: bool,
}

impl Store {
    /// Sorts `all` by what `conditions` and attributes name.
    pub(crate) fn new<'a>(
        all: Entities,
        conditions: impl Iterator<Item = &'a Expr>,
        callers: &EntityType,
    ) -> Self {
        let mut referred = BTreeSet::new();
        for entity in all.iter() {
            for (_, value) in entity.attrs().chain(entity.tags()) {
                // A residual is of partial evaluation, of which settings have none.
                if let PartialValue::Value(value) = value {
                    referred.extend(value.all_literal_uids());
                }
            }
        }
        let refers_to_callers = referred.iter().any(|uid| uid.entity_type() == callers);
        let holds_below_callers = all
            .iter()
            .any(|entity| entity.ancestors().any(|uid| uid.entity_type() == callers));
        let mut named = referred;
        let literals = conditions
            .flat_map(Expr::subexpressions)
            .filter_map(literal);
        named.extend(literals.cloned());
        let shared = named
            .iter()
            .filter_map(|uid| telling(&all, uid).cloned().map(Arc::new));
        let shared = joined(
            &Entities::new(),
            shared,
            TCComputation::AssumeAlreadyComputed,
        );
        Self {
            shared: shared.unwrap_or_default(),
            all,
            holds_below_callers,
            refers_to_callers,
        }
    }

    /// Whether a condition can look the caller of a request up, which otherwise need not be in the store.
    pub(crate) fn asks_about_callers(&self, condition: &Expr, callers: &EntityType) -> bool {
        let is_caller = |part: &Expr| match literal(part) {
            Some(uid) => uid.entity_type() == callers,
            None => matches!(part.expr_kind(), ExprKind::Var(Var::Principal)),
        };
        self.refers_to_callers || condition.subexpressions().any(is_caller)
    }

    /// What a request is decided with, where no condition asks about its caller.
    ///
    /// # Errors
    /// As [`Store::cut`].
    pub(crate) fn known(&self, asked: &Asked) -> Result<Cow<'_, Entities>, Unexpressed> {
        if self.holds_below_callers {
            self.cut(asked).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(&self.all))
        }
    }

    /// What a request can look up, its caller too.
    ///
    /// # Errors
    /// [`Unexpressed::Refused`] when a role of the caller is, in the settings, below that same caller.
    pub(crate) fn cut(&self, asked: &Asked) -> Result<Entities, Unexpressed> {
        let caller = &asked.caller;
        let above = self.roles(caller).filter_map(|(_, role)| role);
        let above = above.flat_map(Entity::ancestors);
        let caller = caller.with_parents(caller.roles.iter().chain(above).cloned());
        let own = [&asked.action, &asked.target, &asked.purpose]
            .into_iter()
            .filter(|uid| found(&self.shared, uid).is_none())
            .filter_map(|uid| telling(&self.all, uid).cloned());
        // Cedar closes the hierarchy again where an entity may be below the caller, and so below the caller's roles.
        let closing = if self.holds_below_callers {
            TCComputation::ComputeNow
        } else {
            TCComputation::AssumeAlreadyComputed
        };
        joined(&self.shared, own.chain([caller]).map(Arc::new), closing)
    }

    /// All entities and the caller, which [`Store::cut`] must decide like.
    #[cfg(test)]
    pub(crate) fn whole(&self, asked: &Asked) -> Result<Entities, Unexpressed> {
        let caller = &asked.caller;
        let caller = caller.with_parents(caller.roles.iter().cloned());
        joined(&self.all, [Arc::new(caller)], TCComputation::ComputeNow)
    }

    /// The roles of a caller, each with its entity if the settings have one.
    pub(crate) fn roles<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> impl Iterator<Item = (&'a EntityUID, Option<&'a Entity>)> {
        caller
            .roles
            .iter()
            .map(|role| (role, found(&self.all, role)))
    }
}

/// The entity that a store has under `uid`.
pub(crate) fn found<'a>(store: &'a Entities, uid: &EntityUID) -> Option<&'a Entity> {
    match store.entity(uid) {
        Dereference::Data(entity) => Some(entity),
        // A residual is of partial stores, of which there are none here.
        Dereference::NoSuchEntity | Dereference::Residual(_) => None,
    }
}

fn joined(
    known: &Entities,
    added: impl IntoIterator<Item = Arc<Entity>>,
    closing: TCComputation,
) -> Result<Entities, Unexpressed> {
    let extensions = Extensions::all_available();
    known
        .clone()
        .upsert_entities(added, None::<&NoEntitiesSchema>, closing, extensions)
        .map_err(|_| Unexpressed::Refused)
}

/// The entity, unless it has no ancestor, attribute or tag: Cedar then answers as if it were not there.
fn telling<'a>(all: &'a Entities, uid: &EntityUID) -> Option<&'a Entity> {
    let tells = |entity: &&Entity| {
        entity.ancestors().next().is_some() || entity.attrs_len() > 0 || entity.tags_len() > 0
    };
    found(all, uid).filter(tells)
}

fn literal(part: &Expr) -> Option<&EntityUID> {
    if let ExprKind::Lit(Literal::EntityUID(uid)) = part.expr_kind() {
        Some(uid)
    } else {
        None
    }
}
