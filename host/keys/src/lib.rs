//! Keys: one per tenant, used under lent grants, never read.
//!
//! This crate draws every random byte, seals and opens every envelope, and keeps the vault of values that tokens
//! stand for. It records each use before the key opens (I1) without knowing the log: it is handed a
//! [`Recorder`](nephron_model::Recorder) and [`Records`](nephron_model::Records). No function gives key bytes (I4),
//! and it must never know wasmtime, HTTP or the log's format.
//!
//! Read in this order: [`RootKey`], with or without a [`RootProvider`], wraps [`TenantKeys`], which mints a [`Grant`], which seals, opens and tokenises.
//! The bytes are drawn in `docs/formats/envelope.md` and `docs/formats/tokens.md`.

mod api_key;
mod change;
mod checkpoint_key;
mod course;
mod error;
mod fate;
mod grant;
mod hex;
mod kek;
mod lasting;
mod page;
mod public_key;
mod publisher_key;
pub mod random;
mod ring;
mod root;
mod scope;
mod seal;
mod secret;
mod signing;
mod stack;
mod store;
mod tenant_key;
pub mod testing;
mod token;
mod vault;
#[cfg(test)]
mod ward;

pub use api_key::{ApiKey, ApiKeyDigest, InvalidApiKey};
pub use change::{KeyStatus, KeyVersion, Schedule, Shredded};
pub use checkpoint_key::CheckpointKey;
pub use error::{KeyError, Unavailability};
pub use grant::{FIELDS, Field, Grant, GrantRequest, Info, Subject};
pub use kek::Kek;
pub use lasting::{Lasting, is_grant_id};
pub use page::KeyMemory;
pub use public_key::{BadSignature, PublicKey, SignatureAlgorithm};
pub use publisher_key::{PublisherKey, PublisherKeyError};
pub use root::aws_kms::AwsKms;
pub use root::pkcs11::{Pkcs11, Token as Pkcs11Token};
pub use root::transit::Transit;
pub use root::wire::{Exchange, ReadSecret, WireAnswer, WireRequest};
pub use root::{Bound, Cost, Passphrase, RootError, RootKey, RootProvider};
pub use scope::{Kinds, Operations};
pub use seal::{Boundary, OVERHEAD, SealError};
pub use secret::{Key, MacKey};
pub use signing::SigningKey;
pub use store::FileError;
pub use tenant_key::{TenantKeyError, TenantKeys};
pub use token::{Before, InvalidToken, LITERAL, Seeker, Sought, Token, Written};
pub use vault::{Conversation, Underway};
