//! The register of associates, the agreements that cover them, and whether text may go to one of them (45 CFR
//! 164.308(b), 164.502(e), 164.504(e); I10).

mod standing;

use nephron_model::Timestamp;
use nephron_trust::{DataClass, Role as Vouching, Vouch};

use crate::config::{Agreement, Associate, Config, Egress, Endpoint, Role, Status};

pub(crate) use standing::{Alert, Standing};

/// Who may see what, as the operator registered it, and what policy asks of them.
pub(crate) struct Associates {
    associates: Vec<Associate>,
    policy: Egress,
    /// Whether identifiable text goes through certified connectors alone.
    asks_for_certificates: bool,
}

/// What is to go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'m> {
    /// Text that was cleared by this method of de-identification; by none it counts as identifiable.
    Text(Option<&'m str>),
    /// With bytes that nothing here can search: it counts as identifiable, whatever became of the text beside them.
    Unsearched,
}

impl<'m> Shown<'m> {
    /// The method by which all of it was cleared, if it was.
    pub(crate) const fn method(self) -> Option<&'m str> {
        match self {
            Self::Text(method) => method,
            Self::Unsearched => None,
        }
    }
}

/// On what ground text may go to an endpoint. It stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Nothing leaves: the connector answers inside the sandbox.
    InSandbox,
    /// Live agreements cover the endpoint and all who stand behind it.
    Agreement {
        /// Id of the one with its associate, as the operator registered it.
        id: String,
    },
    /// No agreement, but policy lets text go that was cleared by this method.
    Cleared {
        /// Why no agreement covers it.
        lacks: NoGround,
    },
}

impl Ground {
    /// The name that stands in the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::InSandbox => "in-sandbox",
            Self::Agreement { .. } => "agreement",
            Self::Cleared { .. } => "cleared-without-agreement",
        }
    }
}

/// Why there is no ground for sending identifiable text to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGround {
    /// No agreement is registered.
    #[error("no business associate agreement is registered")]
    NoAgreement,
    /// It is a draft.
    #[error("the agreement is not signed")]
    Unsigned,
    /// Its first day is yet to come.
    #[error("the agreement has not begun")]
    NotYet,
    /// Its last day is over.
    #[error("the agreement has lapsed")]
    Lapsed,
    /// It was ended before its time.
    #[error("the agreement was terminated")]
    Terminated,
    /// It does not name the endpoint.
    #[error("the agreement does not cover this endpoint")]
    ServiceNotCovered,
    /// Policy asks for a promise not to train on what is sent, and it has none.
    #[error("the agreement does not exclude training")]
    TrainingNotExcluded,
    /// An agreement covers the endpoint, and the operator does not let it see what cannot be searched.
    #[error("the endpoint has no `may-see-phi = true`")]
    NotForPhi,
    /// An agreement covers the endpoint, and nobody who counts certified for it the connector that would carry the text.
    #[error(
        "no live certificate of its connector names the agreement and the associate, and allows identifiable text; have it certified with both (`nephron plugin certify`)"
    )]
    NotCertified,
    /// The endpoint, or its associate, is in a region that policy does not name, or in none that is known.
    #[error("it is in no region of `egress.regions`")]
    WrongRegion,
    /// Somebody to whom the associate passes on what it is sent may not see it (45 CFR 164.502(e)(1)(ii)).
    #[error("the subprocessor `{name}` may not see it: {why}")]
    SubprocessorUncovered {
        /// Who.
        name: String,
        /// Why not.
        why: Box<Self>,
    },
}

impl NoGround {
    /// The code that stands in the log and in the refusal's reasons.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAgreement => "no-agreement",
            Self::Unsigned => "agreement-unsigned",
            Self::NotYet => "agreement-not-begun",
            Self::Lapsed => "agreement-lapsed",
            Self::Terminated => "agreement-terminated",
            Self::ServiceNotCovered => "service-not-covered",
            Self::TrainingNotExcluded => "training-not-excluded",
            Self::NotForPhi => "endpoint-not-for-phi",
            Self::NotCertified => "connector-not-certified",
            Self::WrongRegion => "wrong-region",
            Self::SubprocessorUncovered { .. } => "subprocessor-uncovered",
        }
    }

    /// The code, and that of the reason behind it if there is one.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let behind = match self {
            Self::SubprocessorUncovered { why, .. } => Some(why.code()),
            Self::NoAgreement
            | Self::Unsigned
            | Self::NotYet
            | Self::Lapsed
            | Self::Terminated
            | Self::ServiceNotCovered
            | Self::TrainingNotExcluded
            | Self::NotForPhi
            | Self::NotCertified
            | Self::WrongRegion => None,
        };
        let codes = [Some(self.code()), behind];
        codes.into_iter().flatten().map(str::to_owned).collect()
    }
}

impl Agreement {
    /// Whether it is in force at this time.
    pub(crate) fn in_force(&self, now: Timestamp) -> Result<(), NoGround> {
        match self.status {
            Status::Draft => Err(NoGround::Unsigned),
            Status::Terminated => Err(NoGround::Terminated),
            Status::Signed if now < self.from => Err(NoGround::NotYet),
            Status::Signed if now >= self.until => Err(NoGround::Lapsed),
            Status::Signed => Ok(()),
        }
    }
}

impl Associates {
    /// The register of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let (associates, policy) = (config.associates.clone(), config.egress.clone());
        Self::new(associates, policy, config.trust.is_some())
    }

    const fn new(associates: Vec<Associate>, policy: Egress, asks_for_certificates: bool) -> Self {
        Self {
            associates,
            policy,
            asks_for_certificates,
        }
    }

    /// Whether what is `shown` may go to `endpoint` at this time, and on what ground. Its connector is `vouched` for by these.
    ///
    /// This function alone decides it. Everybody counts who sees what is sent: the endpoint's associate and, since an
    /// agreement binds a subcontractor too (45 CFR 164.504(e)(2)(ii)(D), (e)(5)), all who stand behind it.
    pub(crate) fn ground(
        &self,
        endpoint: &Endpoint,
        shown: Shown<'_>,
        vouched: &[Vouch],
        now: Timestamp,
    ) -> Result<Ground, NoGround> {
        if endpoint.upstream.is_none() {
            return Ok(Ground::InSandbox);
        }
        let runs = endpoint.associate.as_deref();
        let Some(runs) = runs.and_then(|name| self.associate(name)) else {
            return Err(NoGround::NoAgreement);
        };
        let behind = self.behind(runs);
        let misplaced = self.misplaced(endpoint, runs, &behind);
        let uncovered = self.covered(endpoint, runs, &behind, now);
        let lacks = match (&misplaced, uncovered) {
            (None, Ok(_)) if shown == Shown::Unsearched && !endpoint.may_see_phi => {
                return Err(NoGround::NotForPhi);
            }
            (None, Ok(agreement))
                if shown.method().is_none()
                    && self.asks_for_certificates
                    && !is_certified(vouched, agreement, runs, now) =>
            {
                return Err(NoGround::NotCertified);
            }
            (None, Ok(agreement)) => {
                return Ok(Ground::Agreement {
                    id: agreement.id.clone(),
                });
            }
            (None, Err(why)) => why,
            (Some(why), _) => why.clone(),
        };
        let method = shown.method();
        let may_leave = method.is_some() && self.policy.cleared_without_baa.as_deref() == method;
        if may_leave && (misplaced.is_none() || self.policy.cleared_to_any_region) {
            Ok(Ground::Cleared { lacks })
        } else {
            Err(lacks)
        }
    }

    /// All of them, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Associate] {
        &self.associates
    }

    /// Who has this name.
    pub(crate) fn associate(&self, name: &str) -> Option<&Associate> {
        self.associates
            .iter()
            .find(|associate| associate.name == name)
    }

    /// All who may see what `associate` is sent, each once, the nearest first. Who is [`Role::None`] sees nothing of it.
    pub(crate) fn behind<'a>(&'a self, associate: &'a Associate) -> Vec<&'a Associate> {
        let mut found = vec![associate];
        let mut next = 0;
        while let Some(one) = found.get(next) {
            let named = one.subprocessors.iter();
            let named = named.filter_map(|name| self.associate(name));
            for one in named.filter(|one| one.role != Role::None) {
                if found.iter().all(|known| known.name != one.name) {
                    found.push(one);
                }
            }
            next += 1;
        }
        found.remove(0);
        found
    }

    /// The agreement with who runs the endpoint, if it covers the endpoint and so do those of all behind it.
    fn covered<'a>(
        &self,
        endpoint: &Endpoint,
        runs: &'a Associate,
        behind: &[&Associate],
        now: Timestamp,
    ) -> Result<&'a Agreement, NoGround> {
        let agreement = self.covers(runs, endpoint, now)?;
        for one in behind {
            self.covers(one, endpoint, now)
                .map_err(|why| uncovered(one, why))?;
        }
        Ok(agreement)
    }

    /// The agreement with `associate`, if it covers the endpoint.
    fn covers<'a>(
        &self,
        associate: &'a Associate,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<&'a Agreement, NoGround> {
        let agreement = associate.agreement.as_ref();
        let agreement = agreement.filter(|_| associate.role != Role::None);
        let agreement = agreement.ok_or(NoGround::NoAgreement)?;
        agreement.in_force(now)?;
        if !agreement.services.contains(&endpoint.name) {
            return Err(NoGround::ServiceNotCovered);
        }
        if self.policy.requires_no_training && !agreement.excludes_training {
            return Err(NoGround::TrainingNotExcluded);
        }
        Ok(agreement)
    }

    /// Whether policy keeps text away from where the endpoint is, or where somebody keeps what it is sent. What is not
    /// known is no allowed region: an endpoint says its own, and a subprocessor, who has none, where it keeps things.
    fn misplaced(
        &self,
        endpoint: &Endpoint,
        runs: &Associate,
        behind: &[&Associate],
    ) -> Option<NoGround> {
        let allowed = |region: &String| {
            let regions = self.policy.regions.iter();
            regions.into_iter().any(|allowed| holds(allowed, region))
        };
        if self.policy.regions.is_empty() {
            return None;
        }
        let is_placed = endpoint.region.as_ref().is_some_and(allowed);
        if !is_placed || !runs.residency.iter().all(allowed) {
            return Some(NoGround::WrongRegion);
        }
        behind
            .iter()
            .find(|one| one.residency.is_empty() || !one.residency.iter().all(allowed))
            .map(|one| uncovered(one, NoGround::WrongRegion))
    }
}

/// Whether somebody who counts certified the connector for identifiable text under this agreement with this associate.
fn is_certified(
    vouched: &[Vouch],
    agreement: &Agreement,
    associate: &Associate,
    now: Timestamp,
) -> bool {
    vouched.iter().any(|vouch| {
        vouch.role == Vouching::Certifier
            && vouch.is_live(now)
            && vouch.classes.contains(&DataClass::Identifiable)
            && vouch.agreements.contains(&agreement.id)
            && vouch.associates.contains(&associate.name)
    })
}

fn uncovered(subprocessor: &Associate, why: NoGround) -> NoGround {
    NoGround::SubprocessorUncovered {
        name: subprocessor.name.clone(),
        why: Box::new(why),
    }
}

/// Whether `region` is `allowed` or a part of it: a country's code (ISO 3166-1) holds those of its parts (ISO 3166-2), as
/// `US` holds `US-VA`.
fn holds(allowed: &str, region: &str) -> bool {
    let is_country = allowed.len() == 2 && allowed.bytes().all(|byte| byte.is_ascii_uppercase());
    region
        .strip_prefix(allowed)
        .is_some_and(|rest| rest.is_empty() || (is_country && rest.starts_with('-')))
}

#[cfg(test)]
mod tests;
