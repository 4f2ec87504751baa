//! The entities of the settings, cut down to what one request can look up.
//!
//! Cedar looks an entity up only to take its attributes, its tags or its place in a hierarchy, and each entity carries
//! all of its ancestors. So the store of a request needs the entities that its own names, the policies' text and the
//! attributes of other entities can lead to, and no ancestor for its own sake. The rest would be copied and checked
//! for cycles on every request, for nothing.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{Entities, Entity, EntityUid, EvalResult, PolicySet};

use crate::request::{Caller, Unexpressed};

/// The entities of the settings, ready to be cut.
pub(crate) struct Store {
    all: Entities,
    /// What any request may look up: whatever policies name, and whatever an attribute or a tag refers to.
    shared: Entities,
}

impl Store {
    /// Sorts `all` by what `policies` and attributes name.
    ///
    /// # Errors
    /// None that Cedar tells of: `shared` is a part of `all`, which holds together already.
    pub(crate) fn new(all: Entities, policies: &PolicySet) -> Result<Self, Box<EntitiesError>> {
        let mut named: BTreeSet<EntityUid> = policies
            .policies()
            .flat_map(|policy| policy.entity_literals())
            .collect();
        for entity in all.iter() {
            let values = entity.attrs().chain(entity.tags());
            // A value that cannot be read is a residual of partial evaluation, of which settings have none.
            for value in values.filter_map(|(_, value)| value.ok()) {
                refer(&value, &mut named);
            }
        }
        let shared = named.iter().filter_map(|uid| telling(&all, uid)).cloned();
        let shared = Entities::from_entities(shared, None)?;
        Ok(Self { all, shared })
    }

    /// What a request of `caller` that names `named` can look up.
    ///
    /// # Errors
    /// [`Unexpressed::Refused`] when Cedar refuses an attribute of the caller, or when a role of the caller is, in the
    /// settings, below that same caller.
    pub(crate) fn cut(
        &self,
        caller: Caller,
        named: &[EntityUid; 3],
    ) -> Result<Entities, Unexpressed> {
        let roles = caller.roles.iter();
        let above = roles.filter_map(|role| self.all.ancestors(role)).flatten();
        let parents: HashSet<EntityUid> = caller.roles.iter().chain(above).cloned().collect();
        let own = named
            .iter()
            .filter(|uid| self.shared.get(uid).is_none())
            .filter_map(|uid| telling(&self.all, uid))
            .cloned();
        // Cedar closes the hierarchy again: an entity may be below the caller, and so below the caller's roles.
        joined(&self.shared, caller.with_parents(parents)?, own)
    }

    /// All entities and the caller, which [`Store::cut`] must decide like.
    #[cfg(test)]
    pub(crate) fn whole(
        &self,
        caller: Caller,
        _: &[EntityUid; 3],
    ) -> Result<Entities, Unexpressed> {
        let parents = caller.roles.iter().cloned().collect();
        joined(&self.all, caller.with_parents(parents)?, [])
    }
}

fn joined(
    known: &Entities,
    caller: Entity,
    own: impl IntoIterator<Item = Entity>,
) -> Result<Entities, Unexpressed> {
    let added = own.into_iter().chain([caller]);
    known
        .clone()
        .upsert_entities(added, None)
        .map_err(|_| Unexpressed::Refused)
}

/// The entity, unless it has no ancestor, attribute or tag: Cedar then answers as if it were not there.
fn telling<'a>(all: &'a Entities, uid: &EntityUid) -> Option<&'a Entity> {
    let entity = all.get(uid)?;
    let is_below = all
        .ancestors(uid)
        .is_some_and(|mut above| above.next().is_some());
    (is_below || entity.attrs().next().is_some() || entity.tags().next().is_some())
        .then_some(entity)
}

fn refer(value: &EvalResult, named: &mut BTreeSet<EntityUid>) {
    match value {
        EvalResult::EntityUid(uid) => {
            named.insert(uid.clone());
        }
        EvalResult::Set(set) => set.iter().for_each(|item| refer(item, named)),
        EvalResult::Record(record) => record.iter().for_each(|(_, item)| refer(item, named)),
        EvalResult::Bool(_)
        | EvalResult::Long(_)
        | EvalResult::String(_)
        | EvalResult::ExtensionValue(_) => {}
    }
}
