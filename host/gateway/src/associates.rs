//! The register of business associates and the agreements that cover them (45 CFR 164.502(e), 164.504(e); I10).

use nephron_model::Timestamp;

use crate::config::{Associate, Endpoint};

/// Who may see what, as the operator registered it.
pub(crate) struct Associates {
    associates: Vec<Associate>,
    cleared_without_agreement: Option<String>,
}

/// On what ground text may go to an endpoint. It stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Nothing leaves: the connector answers inside the sandbox.
    InSandbox,
    /// A live agreement covers the endpoint.
    Agreement {
        /// Its id, as the operator registered it.
        id: String,
    },
    /// No agreement, but policy lets text go that was cleared by this method.
    Cleared,
}

impl Ground {
    /// The name that stands in the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::InSandbox => "in-sandbox",
            Self::Agreement { .. } => "agreement",
            Self::Cleared => "cleared-without-agreement",
        }
    }
}

impl Associates {
    pub(crate) const fn new(
        associates: Vec<Associate>,
        cleared_without_agreement: Option<String>,
    ) -> Self {
        Self {
            associates,
            cleared_without_agreement,
        }
    }

    /// The ground on which text that was cleared by `method` may go to `endpoint` at this time, if there is one.
    pub(crate) fn ground(
        &self,
        endpoint: &Endpoint,
        method: Option<&str>,
        now: Timestamp,
    ) -> Option<Ground> {
        if endpoint.url.is_none() {
            return Some(Ground::InSandbox);
        }
        let associate = self
            .associates
            .iter()
            .find(|associate| Some(&associate.name) == endpoint.associate.as_ref());
        let agreement = associate
            .and_then(|associate| associate.agreement.as_ref())
            .filter(|agreement| {
                agreement.services.contains(&endpoint.name)
                    && agreement.from <= now
                    && now < agreement.until
            });
        match agreement {
            Some(agreement) => Some(Ground::Agreement {
                id: agreement.id.clone(),
            }),
            None => (method.is_some() && self.cleared_without_agreement.as_deref() == method)
                .then_some(Ground::Cleared),
        }
    }
}
