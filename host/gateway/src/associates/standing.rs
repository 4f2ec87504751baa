//! How agreements stand, for people: on a day, and with what is about to lapse.

use std::time::Duration;

use nephron_model::Timestamp;
use tracing::{error, warn};

use super::{Associates, NoGround};
use crate::config::{Associate, Role};

/// How the agreement with an associate stands on a day. Prints as a few words with the day that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in force, until this day.
    InForce(Timestamp),
    /// It is in force, and lapses on this day, which is near.
    Lapsing(Timestamp),
    /// It begins on this day.
    NotYet(Timestamp),
    /// It lapsed on this day.
    Lapsed(Timestamp),
    /// It is a draft.
    Unsigned,
    /// It was terminated.
    Terminated,
    /// There is none.
    Missing,
    /// There is none, and none is needed: the associate sees no identifiable text.
    NotNeeded,
}

impl Standing {
    /// Its name, where a script reads it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InForce(_) => "in-force",
            Self::Lapsing(_) => "lapsing",
            Self::NotYet(_) => "not-begun",
            Self::Lapsed(_) => "lapsed",
            Self::Unsigned => "unsigned",
            Self::Terminated => "terminated",
            Self::Missing => "missing",
            Self::NotNeeded => "not-needed",
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InForce(until) => write!(f, "in force until {}", until.day()),
            Self::Lapsing(until) => write!(f, "lapses on {}", until.day()),
            Self::NotYet(from) => write!(f, "begins on {}", from.day()),
            Self::Lapsed(until) => write!(f, "lapsed on {}", until.day()),
            Self::Unsigned => f.write_str("not signed"),
            Self::Terminated => f.write_str("terminated"),
            Self::Missing => f.write_str("no agreement"),
            Self::NotNeeded => f.write_str("none needed"),
        }
    }
}

/// An agreement that someone has to see to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    /// With whom it is.
    pub(crate) associate: String,
    /// Its id, as the operator registered it.
    pub(crate) agreement: String,
    /// [`Standing::Lapsing`] or [`Standing::Lapsed`].
    pub(crate) standing: Standing,
}

impl Alert {
    /// Says it in the process's own log: lapsed keeps text from going, and wakes someone; lapsing needs a look.
    pub(crate) fn tell(&self) {
        let Self {
            associate,
            agreement,
            standing,
        } = self;
        if matches!(standing, Standing::Lapsed(_)) {
            error!(%associate, %agreement, %standing, "an agreement has lapsed");
        } else {
            warn!(%associate, %agreement, %standing, "an agreement lapses soon");
        }
    }
}

impl Associates {
    /// How the agreement with `associate` stands; near is what lapses `within` this time.
    pub(crate) fn standing(associate: &Associate, now: Timestamp, within: Duration) -> Standing {
        let Some(agreement) = &associate.agreement else {
            return match associate.role {
                Role::None => Standing::NotNeeded,
                Role::BusinessAssociate | Role::Subcontractor | Role::CoveredEntity => {
                    Standing::Missing
                }
            };
        };
        match agreement.in_force(now) {
            Ok(()) if agreement.until <= now.plus(within) => Standing::Lapsing(agreement.until),
            Ok(()) => Standing::InForce(agreement.until),
            Err(NoGround::NotYet) => Standing::NotYet(agreement.from),
            Err(NoGround::Unsigned) => Standing::Unsigned,
            Err(NoGround::Terminated) => Standing::Terminated,
            Err(
                NoGround::Lapsed
                | NoGround::NoAgreement
                | NoGround::ServiceNotCovered
                | NoGround::TrainingNotExcluded
                | NoGround::NotForPhi
                | NoGround::NotCertified
                | NoGround::WrongRegion
                | NoGround::SubprocessorUncovered { .. },
            ) => Standing::Lapsed(agreement.until),
        }
    }

    /// The agreements that have lapsed, or do within the time that policy names.
    pub(crate) fn alerts(&self, now: Timestamp) -> Vec<Alert> {
        self.alerts_within(now, self.policy.warn_before)
    }

    /// The same within this time, in the order of the register.
    pub(crate) fn alerts_within(&self, now: Timestamp, within: Duration) -> Vec<Alert> {
        let alert = |associate: &Associate| {
            let standing = Self::standing(associate, now, within);
            let is_due = matches!(standing, Standing::Lapsing(_) | Standing::Lapsed(_));
            let agreement = associate.agreement.as_ref().filter(|_| is_due)?;
            Some(Alert {
                associate: associate.name.clone(),
                agreement: agreement.id.clone(),
                standing,
            })
        };
        self.associates.iter().filter_map(alert).collect()
    }
}
