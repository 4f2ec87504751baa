//! A guest's failure, as data (I6).

use wasmtime::Trap;

/// Why a plugin did not answer. Holds codes and sizes, never text that the guest or the request supplied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginFailure {
    /// It trapped.
    #[error("trapped: {0}")]
    Trapped(&'static str),
    /// It used up its fuel.
    #[error("ran out of fuel")]
    OutOfFuel,
    /// It asked for more memory than it may have.
    #[error("ran out of memory")]
    OutOfMemory,
    /// It used up its wall-clock time.
    #[error("timed out")]
    TimedOut,
    /// It made more host calls than it may, or spent more time in them.
    #[error("made too many host calls")]
    TooManyHostCalls,
    /// Its answer, or an argument of a host call, was larger than the host copies.
    #[error("handed over more bytes than its limit")]
    TooLarge,
    /// Its answer breaks the contract.
    #[error("gave a bad answer: {0}")]
    BadAnswer(&'static str),
    /// It returned while it still held the key that it was lent.
    #[error("kept a borrowed key")]
    KeptKey,
    /// It answered that it could not judge.
    #[error("reported an error of its own: {code}")]
    Reported {
        /// Which case of the contract's `error`.
        code: &'static str,
        /// What of the call it is about, where a connector that encodes named it: a word that stood in the question.
        about: Option<String>,
        /// Whether the same question may be answered later, by what the plugin says. It stands in no record.
        is_passing: bool,
    },
    /// The host itself could not run it.
    #[error("could not be run: {0}")]
    NotRun(&'static str),
}

impl PluginFailure {
    /// The outcome code that stands in the log.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Trapped(_) => "trapped",
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfMemory => "out-of-memory",
            Self::TimedOut => "timed-out",
            Self::TooManyHostCalls => "too-many-host-calls",
            Self::TooLarge => "too-large",
            Self::BadAnswer(_) => "bad-answer",
            Self::KeptKey => "kept-key",
            Self::Reported { .. } => "reported-error",
            Self::NotRun(_) => "not-run",
        }
    }

    /// What the code leaves open, as a code too.
    #[must_use]
    pub const fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Trapped(detail)
            | Self::BadAnswer(detail)
            | Self::Reported { code: detail, .. }
            | Self::NotRun(detail) => Some(detail),
            Self::OutOfFuel
            | Self::OutOfMemory
            | Self::TimedOut
            | Self::TooManyHostCalls
            | Self::TooLarge
            | Self::KeptKey => None,
        }
    }

    /// Sorts a wasmtime error. `refused_memory` says that the guest had been refused memory before it trapped.
    pub(crate) fn from_wasmtime(error: &wasmtime::Error, refused_memory: bool) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Deadline => Self::TimedOut,
                Stop::HostCalls => Self::TooManyHostCalls,
            };
        }
        let Some(trap) = error.downcast_ref::<Trap>() else {
            // wasmtime's own types for these two are private; their texts are pinned by the hostile-guest tests.
            let text = format!("{error:#}");
            return if text.contains("fuel allocated for hostcalls has been exhausted") {
                Self::TooLarge
            } else if text.contains("borrow handles still remain") {
                Self::KeptKey
            } else if text.contains("maximum concurrent") {
                Self::NotRun("pool-exhausted")
            } else {
                Self::BadAnswer("does-not-lift")
            };
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other trap is one, and has no name of its own here"
        )]
        match trap {
            Trap::OutOfFuel => Self::OutOfFuel,
            Trap::Interrupt => Self::TimedOut,
            _ if refused_memory => Self::OutOfMemory,
            Trap::AllocationTooLarge => Self::OutOfMemory,
            Trap::StackOverflow => Self::Trapped("stack-overflow"),
            Trap::MemoryOutOfBounds => Self::Trapped("memory-out-of-bounds"),
            Trap::UnreachableCodeReached => Self::Trapped("unreachable"),
            Trap::IntegerDivisionByZero => Self::Trapped("division-by-zero"),
            Trap::CannotLeaveComponent | Trap::CannotEnterComponent => Self::Trapped("re-entered"),
            Trap::StringOutOfBounds | Trap::ListOutOfBounds => Self::BadAnswer("out-of-bounds"),
            Trap::InvalidChar | Trap::InvalidDiscriminant | Trap::UnalignedPointer => {
                Self::BadAnswer("does-not-lift")
            }
            _ => Self::Trapped("other"),
        }
    }
}

/// Raised by the host inside a call, to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("deadline passed")]
    Deadline,
    #[error("host-call budget spent")]
    HostCalls,
}
