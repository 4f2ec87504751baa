//! Write Nephron plugins in Rust.
//!
//! A plugin is one type. It implements [`Plugin`] (what it is, how it takes its settings) and the trait of its
//! world, then exports itself with one line:
//!
//! ```
//! use nephron_sdk::{Error, Plugin, Problem, decider::*};
//!
//! /// Permits nothing.
//! pub struct Never;
//!
//! impl Plugin for Never {
//!     type Settings = NoSettings;
//!     const NAME: &str = "never";
//!     const VERSION: &str = "0.1.0";
//!
//!     fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Decider for Never {
//!     fn decide(&self, _: Query) -> Result<Decision, Error> {
//!         Ok(Decision { effect: Effect::Deny, reasons: vec![], obligations: vec![] })
//!     }
//! }
//!
//! # use nephron_sdk::NoSettings;
//! nephron_sdk::export!(decider: Never);
//! ```
//!
//! The host calls `configure` once, off the request's path, and freezes the memory it leaves behind; each later call
//! starts from that image, in a fresh instance. So build tables and parse policies in `configure`, keep them in the
//! type, and expect nothing to be remembered from one call to the next. There is no clock, no randomness and no
//! network: time is an input, and a transformer draws from its lent key.
//!
//! On any target but Wasm, [`export!`] expands to nothing, so that a plugin's logic has ordinary unit tests.

#[cfg(feature = "http-connector")]
pub mod answer;
#[cfg(feature = "http-connector")]
pub mod blob;
#[cfg(feature = "http-connector")]
pub mod conversation;
#[cfg(any(feature = "audit-entry", feature = "http-connector"))]
pub mod endpoint;
#[cfg(feature = "audit-entry")]
pub mod entry;
#[cfg(target_arch = "wasm32")]
mod heap;
pub mod known;
mod plugin;
#[cfg(feature = "aws-sigv4")]
pub mod sigv4;
#[cfg(feature = "http-connector")]
pub mod sse;
mod worlds;

pub use plugin::{NoSettings, Plugin, Problem};
pub use worlds::{connector, decider, detector, exporter, keyed, signer};

/// The vocabulary shared by every kind of plugin: `nephron:plugin/types`.
pub mod types {
    pub use crate::worlds::base::nephron::plugin::types::{
        Attribute, BlobRef, Caller, Error, Instant, Message, OtherError, Part, RequestInfo,
        Sensitivity, Span, Value,
    };
}

/// Structured diagnostics: `nephron:plugin/diagnostics`. The host scrubs and caps every value.
pub mod diagnostics {
    pub use crate::worlds::base::nephron::plugin::diagnostics::{Level, log};
}

pub use types::Error;

/// What stands in a text where nothing else may: `[NAME]`, as sets of labelled notes have it.
#[must_use]
pub fn label(kind: &str) -> String {
    match kind {
        "age" => "[AGE90]".to_owned(),
        "other" => "[ID]".to_owned(),
        kind => format!("[{}]", kind.replace('-', "").to_uppercase()),
    }
}

/// What [`export!`] expands to needs these names; plugins do not.
#[doc(hidden)]
pub mod __private {
    pub use crate::worlds::{
        base, confirmer_export, connector_export, decider_export, detector_export, exporter_export,
        signer_export, transformer_export,
    };
}

/// Exports a plugin from its component: `export!(decider: MyType)`, with `decider`, `detector`, `transformer` (which
/// exports the detector too), `connector`, `signer` (which exports the connector too), `exporter`, `signing_exporter` (which
/// exports the signer too) or `confirming_exporter` (the confirmer too). Once in a crate whose `crate-type` holds `cdylib`.
#[macro_export]
macro_rules! export {
    (decider: $plugin:ty) => {
        $crate::__export!($plugin: decider_export export_decider_export);
    };
    (detector: $plugin:ty) => {
        $crate::__export!($plugin: detector_export export_detector_export);
    };
    (transformer: $plugin:ty) => {
        $crate::__export!($plugin: detector_export export_detector_export, transformer_export export_transformer_export);
    };
    (connector: $plugin:ty) => {
        $crate::__export!($plugin: connector_export export_connector_export);
    };
    (signer: $plugin:ty) => {
        $crate::__export!($plugin: connector_export export_connector_export, signer_export export_signer_export);
    };
    (exporter: $plugin:ty) => {
        $crate::__export!($plugin: exporter_export export_exporter_export);
    };
    (signing_exporter: $plugin:ty) => {
        $crate::__export!($plugin: exporter_export export_exporter_export, signer_export export_signer_export);
    };
    (confirming_exporter: $plugin:ty) => {
        $crate::__export!($plugin: exporter_export export_exporter_export, confirmer_export export_confirmer_export);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty: $($module:ident $export:ident),+) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::__private::base::Exported<$plugin>;
            $crate::__private::base::export_plugin!(Exported with_types_in $crate::__private::base);
            $($crate::__private::$module::$export!(Exported with_types_in $crate::__private::$module);)+
        };
    };
}
