//! Stage 3: [`Called`] → [`Admitted`]: the tenant's handles and one roster, held to the end.

use nephron_engine::contract;
use nephron_model::{Draft, EntryKind, Sensitivity};

use crate::authenticate::{Called, Identity};
use crate::case::Case;
use crate::gateway::Gateway;
use crate::receive::Call;
use crate::refusal::Refusal;

/// A request that has a tenant, a roster and an event id, and whose opening is queued for the log.
pub(crate) struct Admitted<C = Call> {
    pub(crate) case: Case,
    pub(crate) call: C,
}

/// What becomes of a request whose tenant is known.
pub(crate) enum Admission {
    /// It goes on.
    Granted(Admitted),
    /// It does not, and the log says so.
    Refused(Case, Refusal),
}

/// Admits a request to a model.
///
/// # Errors
/// [`Refusal::NoTenant`] and, when no id can be drawn, [`Refusal::Key`]: there is no log to say it in. A request of a
/// tenant for a model that no route names has a case, and its refusal is recorded like any other (I6).
pub(crate) fn admit(gateway: &Gateway, called: Called) -> Result<Admission, Refusal> {
    let route = gateway.route(&called.received.call.model);
    let (Admitted { case, call }, opened) = open(gateway, called, None)?;
    case.note(opened.fact("route", route.map_or("none", |route| route.model.as_str())));
    Ok(match route {
        Some(_) => Admission::Granted(Admitted { case, call }),
        None => Admission::Refused(case, Refusal::NoRoute),
    })
}

/// Admits a request for something that no model answers; the log calls it `operation`.
///
/// # Errors
/// As [`admit`].
pub(crate) fn admit_operation<C>(
    gateway: &Gateway,
    called: Called<C>,
    operation: &'static str,
) -> Result<Admitted<C>, Refusal> {
    let (admitted, opened) = open(gateway, called, Some(operation))?;
    admitted.case.note(opened);
    Ok(admitted)
}

/// Gives a request its tenant, roster and event id. The entry of its opening is to be noted.
fn open<C>(
    gateway: &Gateway,
    called: Called<C>,
    operation: Option<&'static str>,
) -> Result<(Admitted<C>, Draft), Refusal> {
    let Called { received, identity } = called;
    let Identity {
        tenant: tenant_id,
        caller,
        purpose,
        by,
    } = identity;
    let tenant = gateway
        .tenant(&tenant_id)
        .ok_or_else(|| Refusal::NoTenant {
            tenant: tenant_id.to_string(),
        })?;
    let id = gateway.event_id()?;
    let info = contract::RequestInfo {
        id: id.to_string(),
        tenant: tenant_id.to_string(),
        received_at: contract::Instant {
            seconds: received.at.seconds,
            nanoseconds: received.at.nanoseconds,
        },
        caller: contract::Caller {
            id: caller.id.clone(),
            roles: caller.roles.clone(),
            attributes: Vec::new(),
        },
        purpose: purpose.to_string(),
        sensitivity: match received.sensitivity {
            Sensitivity::Public => contract::Sensitivity::Public,
            Sensitivity::Internal => contract::Sensitivity::Internal,
            Sensitivity::Pii => contract::Sensitivity::Pii,
            Sensitivity::Phi => contract::Sensitivity::Phi,
        },
        attributes: Vec::new(),
    };
    let case = Case {
        tenant,
        roster: gateway.roster(),
        engine: gateway.engine(),
        id,
        caller,
        purpose,
        operation,
        lent: None,
        conversation: received.conversation,
        has_tokens: std::sync::atomic::AtomicBool::new(false),
        info,
        pending: std::sync::Mutex::default(),
    };
    let mut opened = case
        .draft(EntryKind::RequestOpened, "admitted")
        .fact("authentication", by.as_str())
        .fact("roles", case.caller.roles.join(" "));
    if let Some(credential) = by.credential() {
        opened = opened.fact("credential", credential);
    }
    opened.counts.insert(
        "bytes".to_owned(),
        u64::try_from(received.bytes).unwrap_or(u64::MAX),
    );
    let call = received.call;
    Ok((Admitted { case, call }, opened))
}
