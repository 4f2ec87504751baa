//! The gateway: the life of a request, one file a stage, and around it the process that operators run.
//!
//! Read `chain.rs` first, then the stages in order: [`receive`], [`authenticate`], [`admit`], then `chain/decide.rs`,
//! `chain/deidentify.rs`, `chain/connect.rs`, `chain/reidentify.rs`, `chain/export.rs`, then [`reply`]. Each takes what
//! the one before it made, in a type with private fields and one constructor, so that a stage left out does not compile.
//!
//! This crate knows sockets, HTTP, the configuration and the process. It never knows ciphers, hashes or key bytes.

mod address;
mod admin;
mod admit;
mod aftermath;
mod anchor;
mod associates;
pub mod authenticate;
mod batch;
mod breaker;
mod case;
pub mod chain;
mod classification;
pub mod cli;
pub mod config;
pub mod conformance;
mod control;
mod counters;
mod courier;
mod custody;
mod egress;
mod emergency;
mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gateway;
mod host_log;
mod http;
mod inquiry;
mod keeper;
mod lending;
mod metrics;
mod operations;
mod origin;
pub mod receive;
mod refusal;
pub mod replay;
pub mod reply;
mod rerun;
mod root;
mod roster;
mod said;
pub mod serve;
mod signing;
mod status;
mod swap;
mod tenant;
mod tls;
mod wire;
mod workshop;

pub use associates::NoGround;
pub use case::Case;
pub use chain::connect::{RECEIVED, SENT};
pub use chain::deidentify::{REPLACEMENTS, Replacement};
pub use chain::reidentify::{RESTORATION, Restoration};
pub use egress::EgressError;
pub use emergency::{Alerts, REASON};
pub use gateway::{Gateway, OpenError, Start, Surroundings};
pub use host_log::{CommitError, RECORD};
pub use origin::{ORIGIN, Origin};
pub use refusal::Refusal;
pub use root::{RootAccess, RootAccessError};
pub use roster::{Manifest, Roster, Seat};
pub use said::ToolCall;
pub use tenant::{LOG, Tenant, TenantError};
pub use tls::TlsError;
