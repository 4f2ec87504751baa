//! Grants that an operator mints, lists and ends. Each act is a request like any other: its caller is the operator, the deciders are
//! asked as for `/v1/grants`, and the log has it from its opening to its end.

use std::sync::Arc;

use nephron_model::{EventId, Purpose, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Gateway;
use crate::authenticate::operator;
use crate::operations::{Name, answer_operator};
use crate::reply::Reply;
use crate::swap::{SwapError, Warrant};

/// What is asked, by whom and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Lending {
    pub(crate) tenant: TenantId,
    /// For which purpose of use: a grant is for the one for which it was minted.
    pub(crate) purpose: Purpose,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) what: What,
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Mint(Terms),
    /// The live ones.
    List,
    /// Ends the one of this id.
    Revoke(String),
}

/// What is to be minted, in the words of `/v1/grants`, which says what each may be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Terms {
    pub(crate) subject: String,
    pub(crate) operations: Vec<String>,
    /// Nothing means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kinds: Option<Vec<String>>,
    pub(crate) uses: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) values: Option<u32>,
    /// Seconds.
    pub(crate) lifetime: u32,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lent {
    /// What `/v1/grants` answers.
    Done(Value),
    /// It was refused, as the log says.
    Refused {
        event: Option<EventId>,
        message: String,
    },
}

/// Nothing was asked of policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LendingError {
    #[error("it is for a person to do, and for a reason")]
    NoGround(#[source] SwapError),
    #[error("what is asked cannot be written down")]
    Unwritten(#[source] serde_json::Error),
}

impl Gateway {
    /// Does what is asked, to its end. `user` is who asks, as the system names him, or what the certificate says of one who is
    /// elsewhere. Nothing where it panicked.
    pub(crate) async fn lend(
        self: &Arc<Self>,
        lending: Lending,
        user: String,
        certificate: Option<String>,
    ) -> Option<Result<Lent, LendingError>> {
        self.to_its_end(|gateway| async move { lend(&gateway, lending, &user, certificate).await })
            .await
    }
}

async fn lend(
    gateway: &Gateway,
    lending: Lending,
    user: &str,
    certificate: Option<String>,
) -> Result<Lent, LendingError> {
    let Lending {
        tenant,
        purpose,
        by,
        reason,
        what,
    } = lending;
    let warrant = Warrant::of(&by, user, &reason).map_err(LendingError::NoGround)?;
    let identity = operator(tenant, purpose, warrant, certificate);
    let (name, body) = match what {
        What::Mint(terms) => {
            let body = serde_json::to_vec(&terms).map_err(LendingError::Unwritten)?;
            (Name::MintGrant, body)
        }
        What::List => (Name::ListGrants, Vec::new()),
        What::Revoke(id) => (Name::RevokeGrant(id), Vec::new()),
    };
    Ok(
        match answer_operator(gateway, identity, &name, &body).await {
            Ok(done) => {
                let (_event, body) = done.into_parts();
                Lent::Done(serde_json::from_str(body.expose()).unwrap_or_default())
            }
            Err(reply) => refused(&reply),
        },
    )
}

fn refused(reply: &Reply) -> Lent {
    let message = reply.refusal().map(ToString::to_string);
    Lent::Refused {
        event: reply.event(),
        message: message.unwrap_or_default(),
    }
}
