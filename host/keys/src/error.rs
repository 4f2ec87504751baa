//! Why a key was not used. Says what, never about whom: no variant can carry text that was sealed or is to be.

use nephron_model::{NotRecorded, RecordsError, Timestamp};

use crate::random::RandomError;
use crate::seal::{NotAuthentic, SealError};
use crate::store::FileError;

/// A use of a key that did not happen. The variants are those of `key-error` in `wit/host.wit`, and one that no guest meets.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The grant does not cover this operation, kind or conversation.
    #[error(
        "the grant does not permit this use of the key; mint one that names the operation and the kinds"
    )]
    NotPermitted,
    /// The grant's time is over.
    #[error("the grant has expired; mint a new one")]
    Expired,
    /// The tenant's key was destroyed. Permanent: never retry.
    #[error("the tenant's key was destroyed; what was sealed under it cannot be read again")]
    Destroyed,
    /// The grant's uses are spent.
    #[error("the grant's uses are spent; mint a new one")]
    BudgetExhausted,
    /// What was to be opened was altered, or was sealed for another tenant, place or purpose.
    #[error("the sealed bytes do not authenticate for this tenant, place and purpose")]
    AuthenticationFailed,
    /// What was asked for does not exist: for callers to whom a missing value is an error.
    #[error("nothing is kept under this token or name")]
    NotFound,
    /// The wall clock went back, so that nothing new is lent, nor anything of which nobody can know any more when it ends.
    #[error(
        "the clock went back: it reads {reads} and has read {latest}. Grants are minted again once it is right; `nephron tenant clock` takes it as it is, if what it read before was wrong"
    )]
    ClockWentBack {
        /// What it reads.
        reads: Timestamp,
        /// The latest that it has read.
        latest: Timestamp,
    },
    /// The use could not be recorded, and so does not happen (I1).
    #[error("the use of the key could not be recorded, and so it was refused")]
    NotRecorded(#[from] NotRecorded),
    /// Something that the key needs does not answer.
    #[error("the key cannot be used now")]
    Unavailable(#[source] Unavailability),
}

/// What does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailability {
    /// The store of sealed values.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The random generator.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The cipher.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The key's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No free token was found, as happens when a conversation holds tens of millions of them.
    #[error("no free token is left in this conversation; begin a new one")]
    TokensExhausted,
}

impl KeyError {
    /// The reason code, as entries and the WIT write it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotPermitted => "not-permitted",
            Self::Expired => "expired",
            Self::Destroyed => "destroyed",
            Self::BudgetExhausted => "budget-exhausted",
            Self::AuthenticationFailed => "authentication-failed",
            Self::NotFound => "not-found",
            Self::ClockWentBack { .. } => "clock-went-back",
            Self::NotRecorded(_) => "not-recorded",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl<E: Into<Unavailability>> From<E> for KeyError {
    fn from(error: E) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<NotAuthentic> for KeyError {
    fn from(_: NotAuthentic) -> Self {
        Self::AuthenticationFailed
    }
}
