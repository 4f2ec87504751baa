//! The sandbox: vet a component, compile it, configure and freeze it, call it within limits.
//!
//! Everything that is a judgement runs here, in a fresh instance for each call, and nothing that is an effect: this
//! crate knows no socket, no HTTP, no configuration file, no log and no key bytes. It lends a guest what its world
//! names and the operator granted, one file per import under [`capability`].
//!
//! Read in the order of a plugin's life: [`vet`], [`compile`], [`snapshot`], [`aot`], then [`instance`] for a call.

pub mod about;
pub mod aot;
pub mod bindings;
pub mod capability;
pub mod compile;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod instance;
mod judgement;
mod limits;
mod load;
mod snapshot;
mod ticker;
pub mod vet;
pub mod warm;

pub use capability::diagnostics::Said;
pub use failure::PluginFailure;
pub use instance::{Decoding, Engine, EngineError, Rehearsed, Verdict};
pub use judgement::{Answer, Judgement, KeyPlayed, Messages, NotRecordedForm, SIGNATURE};
pub use limits::Limits;
pub use load::{LoadError, Plugin};

/// The records of the contract, as the host uses them.
pub mod contract {
    pub use crate::bindings::v0_1::access_policy::exports::nephron::plugin::decider::{
        Decision, Effect, Obligation, Query, Reason,
    };
    pub use crate::bindings::v0_1::audit_exporter::exports::nephron::plugin::exporter::{
        Batch, Delivery, Entry, Verdict,
    };
    pub use crate::bindings::v0_1::diagnostics::Level;
    pub use crate::bindings::v0_1::exchange::HttpRequest;
    pub use crate::bindings::v0_1::keyed_deidentifier::exports::nephron::plugin::transformer::Outcome;
    pub use crate::bindings::v0_1::llm_connector::exports::nephron::plugin::connector::{
        ChatCall, Event, Plan, ToolCallDelta, Usage,
    };
    pub use crate::bindings::v0_1::types::{
        Attribute, BlobRef, Caller, Error, Instant, Message, OtherError, Part, RequestInfo,
        Sensitivity, Span, Value,
    };
}
