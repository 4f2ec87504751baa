//! `nephron:plugin@0.1.0`, generated from `wit/`: one module per world, sharing the vocabulary of `base`.
//!
//! The generated records derive `Debug`, which cannot be turned off; wherever they hold request text the host keeps
//! them inside `Phi`, which has none (I9).

#![expect(
    missing_docs,
    reason = "generated from wit/, where each item has its line"
)]

/// What every world shares: types, exchange, diagnostics.
pub mod base {
    wasmtime::component::bindgen!({
        inline: "
            package nephron:host;
            world vocabulary {
                import nephron:plugin/types@0.1.0;
                import nephron:plugin/exchange@0.1.0;
                import nephron:plugin/diagnostics@0.1.0;
            }
        ",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        require_store_data_send: true,
    });
}

/// The lent key, which is never recorded and so needs no serde.
pub mod lent {
    wasmtime::component::bindgen!({
        inline: "
            package nephron:host;
            world lent { import nephron:plugin/keys@0.1.0; }
        ",
        path: "../../wit",
        imports: { default: async | trappable },
        with: { "nephron:plugin/keys.key": crate::capability::key::Lent },
        require_store_data_send: true,
    });
}

pub use base::nephron::plugin::{diagnostics, exchange, types};
pub use lent::nephron::plugin::keys;

/// What every world exports: `plugin`, to describe and configure it.
pub mod configurable {
    wasmtime::component::bindgen!({
        inline: "
            package nephron:host;
            world configurable { export nephron:plugin/plugin@0.1.0; }
        ",
        path: "../../wit",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// World `access-policy`.
pub mod access_policy {
    wasmtime::component::bindgen!({
        world: "nephron:plugin/access-policy",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/diagnostics": super::diagnostics,
        },
        require_store_data_send: true,
    });
}

/// World `deidentifier`.
pub mod deidentifier {
    wasmtime::component::bindgen!({
        world: "nephron:plugin/deidentifier",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/diagnostics": super::diagnostics,
        },
        require_store_data_send: true,
    });
}

/// World `keyed-deidentifier`.
pub mod keyed_deidentifier {
    wasmtime::component::bindgen!({
        world: "nephron:plugin/keyed-deidentifier",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/diagnostics": super::diagnostics,
            "nephron:plugin/keys": super::keys,
        },
        require_store_data_send: true,
    });
}

/// World `llm-connector`.
pub mod llm_connector {
    wasmtime::component::bindgen!({
        world: "nephron:plugin/llm-connector",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/diagnostics": super::diagnostics,
            "nephron:plugin/exchange": super::exchange,
        },
        require_store_data_send: true,
    });
}

/// What the worlds `signing-llm-connector` and `signing-audit-exporter` export beside what those without `signing` do.
pub mod signing {
    wasmtime::component::bindgen!({
        inline: "
            package nephron:host;
            world signing { export nephron:plugin/signer@0.1.0; }
        ",
        path: "../../wit",
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/exchange": super::exchange,
            "nephron:plugin/keys": super::keys,
        },
        require_store_data_send: true,
    });
}

/// What world `confirming-audit-exporter` exports beside what `audit-exporter` does.
pub mod confirming {
    wasmtime::component::bindgen!({
        inline: "
            package nephron:host;
            world confirming { export nephron:plugin/confirmer@0.1.0; }
        ",
        path: "../../wit",
        exports: { default: async },
        with: {
            "nephron:plugin/exchange": super::exchange,
        },
        require_store_data_send: true,
    });
}

/// World `audit-exporter`.
pub mod audit_exporter {
    wasmtime::component::bindgen!({
        world: "nephron:plugin/audit-exporter",
        path: "../../wit",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "nephron:plugin/types": super::types,
            "nephron:plugin/diagnostics": super::diagnostics,
            "nephron:plugin/exchange": super::exchange,
        },
        require_store_data_send: true,
    });
}
