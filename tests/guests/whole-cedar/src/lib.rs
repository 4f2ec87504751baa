//! A decider that hands every policy to Cedar's own authorizer, as the spike did that the bound on a fresh instance was
//! taken from. `plugins/cedar-policy` sorts policies beforehand and is far faster.

use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, EntityUid, PolicySet, Request,
};
use nephron_sdk::decider::{Decider, Decision, Effect, Query};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

/// What the bench sets.
#[derive(Deserialize)]
pub struct Settings {
    policies: String,
}

/// Policies, and the authorizer that goes through them all.
pub struct WholeCedar {
    policies: PolicySet,
    authorizer: Authorizer,
    entities: Entities,
}

impl Plugin for WholeCedar {
    type Settings = Settings;
    const NAME: &str = "whole-cedar";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let policies = PolicySet::from_str(&settings.policies).map_err(|error| {
            vec![Problem {
                key: Some("policies".to_owned()),
                message: error.to_string(),
            }]
        })?;
        Ok(Self {
            policies,
            authorizer: Authorizer::new(),
            entities: Entities::empty(),
        })
    }
}

impl Decider for WholeCedar {
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        let request = request(&query).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let response = self
            .authorizer
            .is_authorized(&request, &self.policies, &self.entities);
        Ok(Decision {
            effect: match response.decision() {
                CedarDecision::Allow => Effect::Permit,
                CedarDecision::Deny => Effect::Deny,
            },
            reasons: Vec::new(),
            obligations: Vec::new(),
        })
    }
}

fn request(query: &Query) -> Result<Request, Box<dyn std::error::Error>> {
    let named = |kind: &str, id: &str| -> Result<EntityUid, Box<dyn std::error::Error>> {
        Ok(EntityUid::from_str(&format!("{kind}::\"{id}\""))?)
    };
    Ok(Request::new(
        named("Caller", &query.info.caller.id)?,
        named("Action", &query.action)?,
        named("Target", &query.target)?,
        Context::empty(),
        None,
    )?)
}

nephron_sdk::export!(decider: WholeCedar);
