//! Stage 2: [`Received`] → [`Called`]: who asks, and how we know.

use nephron_keys::{ApiKey, ApiKeyDigest};
use nephron_model::{Caller, Purpose, TenantId, Timestamp};

use crate::config;
use crate::receive::{Call, Received, Statement};

/// How the caller's identity came to us. It stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The operator of this machine states it, on the command line or in a file.
    StatedByOperator,
    /// A key that the operator issued, by its id.
    ApiKey {
        /// The id, which is no secret.
        id: String,
    },
}

impl Authentication {
    /// The name that stands in the log.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::StatedByOperator => "stated-by-operator",
            Self::ApiKey { .. } => "api-key",
        }
    }

    /// The id of the credential, if there is one.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::StatedByOperator => None,
            Self::ApiKey { id } => Some(id),
        }
    }
}

/// Who asks: one person or system, for one purpose, at one tenant.
#[derive(Clone)]
pub struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) caller: Caller,
    pub(crate) purpose: Purpose,
    pub(crate) by: Authentication,
}

/// A request whose caller is known.
pub struct Called<C = Call> {
    pub(crate) received: Received<C>,
    pub(crate) identity: Identity,
}

impl<C> Called<C> {
    /// What was received, from whom.
    #[must_use]
    pub const fn new(received: Received<C>, identity: Identity) -> Self {
        Self { received, identity }
    }
}

/// Accepts the identity that a local request states.
#[must_use]
pub fn stated_by_operator(statement: Statement) -> Identity {
    let Statement {
        tenant,
        caller,
        purpose,
    } = statement;
    Identity {
        tenant,
        caller,
        purpose,
        by: Authentication::StatedByOperator,
    }
}

/// Why nobody is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// There is no key.
    #[error("no API key; send `authorization: Bearer nph_…`")]
    NoKey,
    /// No key of this gateway: not its form, not its id, or not its secret.
    #[error("the API key is not one of this gateway's")]
    Unknown,
    /// The key's time is over.
    #[error("the API key has expired; ask the operator for a new one")]
    Expired,
    /// The key is not for that purpose of use.
    #[error("the API key is not for that purpose of use")]
    Purpose,
}

impl Unauthenticated {
    /// The code that stands in replies.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no-api-key",
            Self::Unknown => "invalid-api-key",
            Self::Expired => "expired-api-key",
            Self::Purpose => "purpose-not-granted",
        }
    }
}

/// Nobody is believed; if the key is one of ours, this is whose it is.
pub(crate) struct NotIdentified {
    pub(crate) why: Unauthenticated,
    pub(crate) holder: Option<Box<Identity>>,
}

impl From<Unauthenticated> for NotIdentified {
    fn from(why: Unauthenticated) -> Self {
        Self { why, holder: None }
    }
}

/// The keys that the operator issued.
pub(crate) struct ApiKeys(Vec<config::ApiKey>);

impl ApiKeys {
    pub(crate) const fn new(keys: Vec<config::ApiKey>) -> Self {
        Self(keys)
    }

    /// Who holds `key`, asking for `purpose` or, without one, for the key's first.
    ///
    /// # Errors
    /// [`NotIdentified`].
    pub(crate) fn identify(
        &self,
        key: Option<&str>,
        purpose: Option<&str>,
        now: Timestamp,
    ) -> Result<Identity, NotIdentified> {
        let presented = key.ok_or(Unauthenticated::NoKey)?;
        let presented: ApiKey = presented.parse().map_err(|_| Unauthenticated::Unknown)?;
        // Every key is compared, in constant time each: how long it takes tells nothing of which is right.
        let held = self.0.iter().fold(None, |found, key: &config::ApiKey| {
            let digest: &ApiKeyDigest = &key.digest;
            if digest.is_of(&presented) {
                Some(key)
            } else {
                found
            }
        });
        let held = held.ok_or(Unauthenticated::Unknown)?;
        let usual = held.purposes.first().ok_or(Unauthenticated::Purpose)?;
        let identity = |purpose: &Purpose| Identity {
            tenant: held.tenant.clone(),
            caller: Caller {
                id: held.caller.clone(),
                roles: held.roles.clone(),
            },
            purpose: purpose.clone(),
            by: Authentication::ApiKey {
                id: held.id.clone(),
            },
        };
        let not = |why| NotIdentified {
            why,
            holder: Some(Box::new(identity(usual))),
        };
        if held.expires <= now {
            return Err(not(Unauthenticated::Expired));
        }
        let purpose = match purpose {
            None => Some(usual),
            Some(asked) => held
                .purposes
                .iter()
                .find(|purpose| purpose.as_str() == asked),
        };
        purpose
            .map(identity)
            .ok_or_else(|| not(Unauthenticated::Purpose))
    }
}
