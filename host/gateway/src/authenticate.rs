//! Stage 2: [`Received`] → [`Called`]: who asks, and how we know.

use crate::receive::Received;

/// How the caller's identity came to us. It stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The operator of this machine states it, on the command line or in a file.
    StatedByOperator,
}

impl Authentication {
    /// The name that stands in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatedByOperator => "stated-by-operator",
        }
    }
}

/// A request whose caller is known.
pub struct Called {
    pub(crate) received: Received,
    pub(crate) by: Authentication,
}

/// Accepts the identity that a local request states. The one way in until there is a listener.
#[must_use]
pub const fn stated_by_operator(received: Received) -> Called {
    Called {
        received,
        by: Authentication::StatedByOperator,
    }
}
