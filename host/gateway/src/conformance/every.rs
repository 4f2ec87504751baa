//! Cases that every plugin of a world keeps, whatever it is for: it answers, or says that it cannot, and the same twice.

use nephron_engine::vet::World;

use super::{Case, CaseError};

macro_rules! cases {
    ($world:literal: $($name:literal),+) => {
        &[$((concat!("every/", $name), include_str!(concat!("../../../../tests/conformance/", $world, "/every/", $name, ".json")))),+]
    };
}

const DECIDERS: &[(&str, &str)] =
    cases!("access-policy": "nothing-is-known", "words-of-no-policy", "values-of-every-type");
const DETECTORS: &[(&str, &str)] =
    cases!("deidentifier": "no-messages", "any-writing", "parts-of-every-type", "what-is-known");
const CONNECTORS: &[(&str, &str)] = cases!("llm-connector": "a-conversation-of-every-part", "no-bytes", "not-of-this-api", "statuses");
const EXPORTERS: &[(&str, &str)] = cases!("audit-exporter": "no-entries", "statuses");

/// Those for plugins of `world`.
///
/// # Errors
/// Never in what is released: a test reads them all.
pub fn every(world: World) -> Result<Vec<Case>, CaseError> {
    let cases = match world {
        World::AccessPolicy => DECIDERS,
        World::Deidentifier | World::KeyedDeidentifier => DETECTORS,
        World::LlmConnector | World::SigningLlmConnector => CONNECTORS,
        World::AuditExporter | World::SigningAuditExporter | World::ConfirmingAuditExporter => {
            EXPORTERS
        }
    };
    let parse = |(name, text): &(&str, &str)| Case::parse(name, name, text);
    cases.iter().map(parse).collect()
}
