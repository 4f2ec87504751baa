//! Who vouches for a plugin: statements about components, the envelopes that they are signed in, and what an operator makes of
//! them.
//!
//! A statement ([`Statement`]) is a vendor's signature or a certifier's certificate. It travels in an envelope ([`Envelope`]),
//! one a line, beside the component. [`Policy`] says whose word counts, and [`Policy::judge`] holds what was offered to it.
//! The formats are in `docs/formats/statements.md`.
//!
//! This crate opens no file and no socket and knows no configuration; signatures are made and checked by `nephron-keys`.

mod envelope;
mod key;
mod policy;
mod statement;

pub use envelope::{Envelope, EnvelopeError};
pub use key::{KeyError, VerifyingKey};
pub use policy::{Offered, Party, Policy, TrustError, Vouch};
pub use statement::{
    CERTIFICATE, Certificate, Claim, DataClass, Role, SIGNATURE, Statement, StatementError, Window,
};
