//! Access in an emergency ("break the glass"): permitted where policy says so, recorded as such, told to people at once, and
//! reviewed by somebody else afterwards.
//!
//! A review is a record that is committed with the entry of the access, and taken away with the entry that closes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nephron_audit::Log;
use nephron_audit::view::Term;
use nephron_engine::contract::Value;
use nephron_model::{Draft, EntryKind, EventId, Phi, Point, Purpose, Record, Records as _, Space};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::chain::decide::ask_deciders;
use crate::refusal::Refusal;

/// What calls for people, counted since the process began.
#[derive(Debug, Default)]
pub struct Alerts {
    emergencies: AtomicU64,
}

impl Alerts {
    /// Accesses in an emergency that were permitted.
    #[must_use]
    pub fn emergencies(&self) -> u64 {
        self.emergencies.load(Ordering::Relaxed)
    }
}

/// That a request is for an emergency.
pub(crate) struct Emergency {
    alerts: Arc<Alerts>,
    is_recorded: AtomicBool,
}

impl Emergency {
    pub(crate) const fn new(alerts: Arc<Alerts>) -> Self {
        Self {
            alerts,
            is_recorded: AtomicBool::new(false),
        }
    }
}

/// An access that somebody else has to look at.
#[derive(Serialize, Deserialize)]
pub(crate) struct Review {
    /// The request.
    pub(crate) event: EventId,
    pub(crate) caller: String,
    pub(crate) purpose: Purpose,
    /// The point at which it was first permitted.
    pub(crate) point: Point,
}

/// Takes note that something was permitted at `point`. The first permission of an emergency request is recorded, opens its
/// review, and is durable before anything follows from it.
pub(crate) async fn permitted(case: &Case, point: Point) -> Result<(), Refusal> {
    let Some(emergency) = &case.emergency else {
        return Ok(());
    };
    if emergency.is_recorded.load(Ordering::Relaxed) {
        return Ok(());
    }
    let review = Review {
        event: case.id,
        caller: case.caller.id.clone(),
        purpose: case.purpose.clone(),
        point,
    };
    let draft = Draft {
        point: Some(point),
        records: vec![Record {
            space: Space::Review,
            key: key(case.id),
            value: serde_json::to_vec(&review).unwrap_or_default(),
        }],
        ..case.draft(EntryKind::EmergencyAccess, "permitted")
    };
    let _recorded = case.record(draft).await?;
    emergency.is_recorded.store(true, Ordering::Relaxed);
    emergency.alerts.emergencies.fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        event = %case.id,
        tenant = %case.tenant.id(),
        purpose = %case.purpose,
        "access in an emergency was permitted; its review is open (`nephron review list`)"
    );
    Ok(())
}

fn key(event: EventId) -> Vec<u8> {
    event.to_string().into_bytes()
}

/// The review of that request, if it is open.
fn open(log: &Log, event: EventId) -> Result<Option<Review>, Refusal> {
    let kept = log.read(Space::Review, &key(event));
    let kept = kept.map_err(|_| Refusal::ReviewsUnreadable)?;
    match kept.filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => serde_json::from_slice(&value)
            .map(Some)
            .map_err(|_| Refusal::ReviewsUnreadable),
    }
}

/// What is known of a tenant's reviews between two looks.
#[derive(Default)]
pub(crate) struct Reviewing {
    /// Every access before this sequence was looked at.
    seen: u64,
    /// Those of them whose review was open then, by sequence. None is opened again.
    open: BTreeMap<u64, EventId>,
}

/// Lists the reviews that are open, oldest first, to whoever policy lets see them.
pub(crate) async fn list(case: &Case) -> Result<Vec<Review>, Refusal> {
    let tenant = &case.tenant;
    ask_deciders(case, Point::Admin, "review-list", tenant.id().as_str(), []).await?;
    // One at a time for each tenant, on a thread that may wait for the disk. It has the lock to its end, also if whoever
    // asked has gone.
    let mut reviewing = Arc::clone(tenant.reviewing()).lock_owned().await;
    let log = tenant.log().clone();
    let listing = tokio::task::spawn_blocking(move || list_open(&log, &mut reviewing));
    listing.await.map_err(|_| Refusal::ReviewsUnreadable)?
}

/// Reviews in one list. What does not fit is listed once some of these are closed.
const MOST: usize = 1_000;

fn list_open(log: &Log, reviewing: &mut Reviewing) -> Result<Vec<Review>, Refusal> {
    let unreadable = |_| Refusal::ReviewsUnreadable;
    let kind = Term::Kind(EntryKind::EmergencyAccess);
    for sequence in log.sequences(&kind).map_err(unreadable)? {
        if sequence >= reviewing.seen {
            let entry = log.entry(sequence).map_err(unreadable)?;
            let event = entry.and_then(|entry| entry.header.request);
            reviewing.open.extend(event.map(|event| (sequence, event)));
            reviewing.seen = sequence.saturating_add(1);
        }
    }
    let (mut reviews, mut closed) = (Vec::new(), Vec::new());
    for (sequence, event) in &reviewing.open {
        match open(log, *event)? {
            Some(review) => reviews.push(review),
            None => closed.push(*sequence),
        }
        if reviews.len() >= MOST {
            break;
        }
    }
    for sequence in closed {
        reviewing.open.remove(&sequence);
    }
    Ok(reviews)
}

/// Closes the review of `event`, for a reason that is sealed into the entry: whoever policy lets, but never the caller whose
/// access it is.
pub(crate) async fn close(
    case: &Case,
    event: EventId,
    reason: &Phi<String>,
) -> Result<(), Refusal> {
    // Two who close one review at once: the second finds none.
    let _one = case.tenant.reviewing().lock().await;
    let review = open(case.tenant.log(), event)?.ok_or(Refusal::NoReview)?;
    let facts = [("reviewed", Value::Text(review.caller.clone()))];
    ask_deciders(
        case,
        Point::Admin,
        "review-close",
        &event.to_string(),
        facts,
    )
    .await?;
    if review.caller == case.caller.id {
        return Err(Refusal::OwnReview);
    }
    let draft = Draft {
        point: Some(Point::Admin),
        payload: case.sealed(REASON, reason.expose().as_bytes())?,
        records: vec![Record {
            space: Space::Review,
            key: key(event),
            value: Vec::new(),
        }],
        ..case.draft(EntryKind::ReviewClosed, "closed")
    };
    let draft = draft
        .fact("review", event.to_string())
        .fact("reviewed", review.caller);
    let _recorded = case.record(draft).await?;
    Ok(())
}

/// Name of the payload of a `review-closed` entry, bound into its seal.
pub const REASON: &str = "reason";
