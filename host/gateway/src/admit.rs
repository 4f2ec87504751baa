//! Stage 3: [`Called`] → [`Admitted`]: the tenant's handles and one roster, held to the end.

use std::sync::Arc;

use nephron_engine::contract;
use nephron_keys::KeyError;
use nephron_model::{Draft, EntryKind, Sensitivity, Timestamp};

use crate::authenticate::{Called, Identity};
use crate::case::Case;
use crate::gateway::Gateway;
use crate::origin::Origin;
use crate::receive::Call;
use crate::refusal::Refusal;
use crate::swap::Place;
use crate::wire::known::Known;

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
/// [`Refusal::NoTenant`] and, when no id can be drawn or nothing sealed, [`Refusal::Key`]: there is no log to say it in. A request of a
/// tenant for a model that no route names has a case, and its refusal is recorded like any other (I6).
pub(crate) fn admit(gateway: &Gateway, called: Called) -> Result<Admission, Refusal> {
    let Called { received, identity } = called;
    let route = gateway.route(&received.call.model);
    let (mut case, mut opened) = open_case(gateway, identity, received.at, received.known)?;
    case.conversation = received.conversation;
    case.info.sensitivity = match received.sensitivity {
        Sensitivity::Public => contract::Sensitivity::Public,
        Sensitivity::Internal => contract::Sensitivity::Internal,
        Sensitivity::Pii => contract::Sensitivity::Pii,
        Sensitivity::Phi => contract::Sensitivity::Phi,
    };
    opened = opened.fact("route", route.map_or("none", |route| route.model.as_str()));
    count(&mut opened, received.bytes, &case.known);
    case.note(opened);
    // Before anybody is shown anything of it.
    if !case.tenant.keys().is_live() {
        return Ok(Admission::Refused(case, Refusal::Key(KeyError::Destroyed)));
    }
    Ok(match route {
        Some(_) => Admission::Granted(Admitted {
            case,
            call: received.call,
        }),
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
    let Called { received, identity } = called;
    let (mut case, opened) = open_case(gateway, identity, received.at, received.known)?;
    case.conversation = received.conversation;
    case.operation = Some(operation);
    let mut opened = opened.fact("operation", operation);
    count(&mut opened, received.bytes, &case.known);
    case.note(opened);
    Ok(Admitted {
        case,
        call: received.call,
    })
}

fn count(opened: &mut Draft, bytes: usize, known: &Known) {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    opened.counts.insert("bytes".to_owned(), bytes);
    for (kind, number) in known.counts() {
        opened.counts.insert(format!("known-{kind}"), *number);
    }
}

/// The case of a request that came `at` some time, and the entry of its opening, which is to be noted.
///
/// # Errors
/// As [`admit`].
pub(crate) fn open_case(
    gateway: &Gateway,
    identity: Identity,
    at: Timestamp,
    known: Known,
) -> Result<(Case, Draft), Refusal> {
    let Identity {
        tenant: tenant_id,
        caller,
        purpose,
        proof,
        mut origin,
    } = identity;
    let tenant = gateway
        .tenant(&tenant_id)
        .ok_or_else(|| gateway.why_not(&tenant_id))?;
    let emergency = gateway.emergency(&purpose);
    let id = gateway.event_id()?;
    let info = contract::RequestInfo {
        id: id.to_string(),
        tenant: tenant_id.to_string(),
        received_at: contract::Instant {
            seconds: at.seconds,
            nanoseconds: at.nanoseconds,
        },
        caller: contract::Caller {
            id: caller.id.clone(),
            roles: caller.roles.clone(),
            attributes: proof.attributes(),
        },
        purpose: purpose.to_string(),
        sensitivity: contract::Sensitivity::Phi,
        attributes: vec![contract::Attribute {
            name: "emergency".to_owned(),
            value: contract::Value::Boolean(emergency.is_some()),
        }],
    };
    let Place {
        roster,
        canary,
        shadow,
    } = gateway.swap().place_for(&tenant_id, &caller.id);
    let case = Case {
        tenant,
        roster,
        canary,
        shadow,
        engine: gateway.engine(),
        id,
        clock: Arc::clone(gateway.shared_clock()),
        caller,
        purpose,
        emergency,
        operation: None,
        lent: None,
        conversation: None,
        known,
        has_tokens: std::sync::atomic::AtomicBool::new(false),
        info,
        pending: std::sync::Mutex::default(),
        metrics: Arc::clone(gateway.metrics()),
        shipping: Arc::clone(gateway.shipping()),
    };
    let opened = case
        .draft(EntryKind::RequestOpened, "admitted")
        .fact("roles", case.caller.roles.join(" "));
    let opened = proof.on(opened);
    origin.expose_mut().patients = case.known.record_numbers().to_vec();
    let opened = Origin::add_to(&origin, &case.tenant, case.id, opened)?;
    Ok((case, opened))
}
