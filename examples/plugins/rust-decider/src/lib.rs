//! Permits what is asked for a purpose by whoever has a role for it: `{"permit": {"TREAT": ["nurse"]}}`.

use std::collections::{BTreeMap, BTreeSet};

use nephron_sdk::decider::{Decider, Decision, Effect, Query, Reason};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

/// What the operator sets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The roles that each purpose permits.
    pub permit: BTreeMap<String, BTreeSet<String>>,
}

/// The settings as they are: what `configure` leaves is where each call begins.
#[derive(Debug)]
pub struct ByPurpose(Settings);

impl Plugin for ByPurpose {
    type Settings = Settings;
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self(settings))
    }
}

impl Decider for ByPurpose {
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        let Some(roles) = self.0.permit.get(&query.info.purpose) else {
            return Ok(denied("purpose-not-permitted"));
        };
        if !query
            .info
            .caller
            .roles
            .iter()
            .any(|role| roles.contains(role))
        {
            return Ok(denied("role-not-permitted"));
        }
        Ok(Decision {
            effect: Effect::Permit,
            reasons: vec![],
            obligations: vec![],
        })
    }
}

fn denied(code: &str) -> Decision {
    let reason = Reason {
        code: code.to_owned(),
        text: None,
        policy: None,
    };
    Decision {
        effect: Effect::Deny,
        reasons: vec![reason],
        obligations: vec![],
    }
}

nephron_sdk::export!(decider: ByPurpose);

#[cfg(test)]
mod tests {
    use super::*;
    use nephron_sdk::decider::{Caller, RequestInfo};
    use nephron_sdk::types::{Instant, Sensitivity};

    fn decide(purpose: &str, role: &str) -> Decision {
        let roles = BTreeSet::from(["nurse".to_owned()]);
        let permit = BTreeMap::from([("TREAT".to_owned(), roles)]);
        let info = RequestInfo {
            id: "01M8".to_owned(),
            tenant: "st-marys".to_owned(),
            received_at: Instant {
                seconds: 0,
                nanoseconds: 0,
            },
            caller: Caller {
                id: "n.adeyemi".to_owned(),
                roles: vec![role.to_owned()],
                attributes: vec![],
            },
            purpose: purpose.to_owned(),
            sensitivity: Sensitivity::Phi,
            attributes: vec![],
        };
        let query = Query {
            info,
            point: "ingress".to_owned(),
            action: "chat".to_owned(),
            target: "any".to_owned(),
            facts: vec![],
        };
        ByPurpose(Settings { permit }).decide(query).unwrap()
    }

    #[test]
    fn a_role_for_the_purpose_is_permitted_and_nothing_else() {
        assert!(matches!(decide("TREAT", "nurse").effect, Effect::Permit));
        assert_eq!(
            decide("TREAT", "clerk").reasons[0].code,
            "role-not-permitted"
        );
        assert_eq!(
            decide("HMARKT", "nurse").reasons[0].code,
            "purpose-not-permitted"
        );
    }
}
