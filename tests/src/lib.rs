//! The harness: components built at first use, a gateway in a scratch folder, a mock model server on loopback.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "a test stops at the first surprise"
)]

mod components;
mod debian;
mod examples;
mod identity_provider;
mod loopback;
mod mock_anthropic;
mod mock_model;
mod oci_registry;
mod played_model;
mod rig;
mod rsyslog;
mod sdk;
mod served;
mod softhsm;
mod timestamp_authority;

pub use components::component;
pub use examples::{RUST_EXAMPLES, built, example, own_tests};
pub use identity_provider::IdentityProvider;
pub use loopback::Answering;
pub use mock_anthropic::{MockAnthropic, UPSTREAM_DETAIL};
pub use mock_model::MockModel;
pub use oci_registry::OciRegistry;
pub use played_model::{PlayedModel, Turn};
pub use rig::{NOW, PASSPHRASE, Rig, Setup, compiled_into};
pub use rsyslog::Rsyslog;
pub use sdk::{Background, sdk};
pub use served::{Received, Served, Stopping};
pub use softhsm::SoftHsm;
pub use timestamp_authority::TimestampAuthority;

/// A note with unmistakable identifiers, all invented: wherever one of [`CANARIES`] turns up, PHI leaked.
pub const CANARY_NOTE: &str = "\
Patient: Zebulon Quackenbush
MRN: 90210557
Date of Birth: 03/14/1951
Phone: (503) 555-0187, email zebulon.quackenbush@letterbox.example
SSN 219-09-9999

Mr. Quackenbush was admitted on 11/02/2026 with chest pain. Troponin was negative. Metoprolol 25 mg twice daily was
started. Quackenbush was discharged in good condition.
";

/// What must never be seen outside the vault and the sealed payloads.
pub const CANARIES: [&str; 6] = [
    "Zebulon",
    "Quackenbush",
    "90210557",
    "555-0187",
    "zebulon.quackenbush",
    "219-09-9999",
];
