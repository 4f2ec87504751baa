//! Plugins in an OCI registry: pushed with what is stated of them, pulled by digest.
//!
//! A component is an artifact as the CNCF's Wasm working group lays it out: a config of
//! `application/vnd.wasm.config.v0+json` and one layer of `application/wasm`. Each statement about it (a DSSE envelope,
//! `docs/formats/statements.md`) is a referrer: an artifact whose `subject` is the component's manifest. A registry without the
//! referrers API has them under the tag that the OCI Distribution Specification 1.1 gives.
//!
//! A [`Reference`] holds the digest of the component's manifest, so a registry can withhold what it names but not change it. Statements
//! vouch for themselves; what to make of them is `host/trust`'s. Nothing of what is fetched runs here.

mod artifact;
mod client;
mod reference;

pub use artifact::component_named_by;
pub use client::{Access, Pulled, Registry, RegistryError};
pub use reference::{Destination, Reference, ReferenceError};
