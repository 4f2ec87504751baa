//! Every file that `nephron plugin new` can lay down: the SDKs, and the examples, which are its templates.
//!
//! `the_examples_and_sdks_are_embedded_whole` in `new.rs` holds these lists to the folders.

/// Where a file lies in its folder, and its text.
pub(super) type File = (&'static str, &'static str);

macro_rules! files {
    ($base:literal: $($path:literal,)+) => {
        &[$(($path, include_str!(concat!("../../../../../../", $base, "/", $path)))),+]
    };
}

/// The manifest of this workspace, which says what the Rust SDK needs.
pub(super) const WORKSPACE: &str = include_str!("../../../../../../Cargo.toml");

/// The SDK for Rust, with the contract.
pub(super) const SDK_RUST: &[File] = files!(
    "sdk/rust":
    "Cargo.toml",
    "src/answer.rs",
    "src/blob.rs",
    "src/conversation.rs",
    "src/endpoint.rs",
    "src/entry.rs",
    "src/heap.rs",
    "src/known.rs",
    "src/lib.rs",
    "src/plugin.rs",
    "src/sigv4.rs",
    "src/sse.rs",
    "src/worlds.rs",
    "wit/host.wit",
    "wit/plugin.wit",
    "wit/types.wit",
);

/// The SDK for Python, with the contract.
pub(super) const SDK_PYTHON: &[File] = files!(
    "sdk/python":
    "bindings/componentize_py_types.py",
    "bindings/wit_world/__init__.py",
    "bindings/wit_world/exports/__init__.py",
    "bindings/wit_world/exports/connector.py",
    "bindings/wit_world/exports/decider.py",
    "bindings/wit_world/exports/detector.py",
    "bindings/wit_world/exports/exporter.py",
    "bindings/wit_world/exports/plugin.py",
    "bindings/wit_world/exports/transformer.py",
    "bindings/wit_world/imports/__init__.py",
    "bindings/wit_world/imports/diagnostics.py",
    "bindings/wit_world/imports/exchange.py",
    "bindings/wit_world/imports/keys.py",
    "bindings/wit_world/imports/types.py",
    "connector.py",
    "nephron_sdk/__init__.py",
    "nephron_sdk/entry.py",
    "nephron_sdk/keyed.py",
    "wit/host.wit",
    "wit/plugin.wit",
    "wit/types.wit",
);

/// The SDK for JavaScript and TypeScript, with the contract.
pub(super) const SDK_JS: &[File] = files!(
    "sdk/js":
    "nephron.d.ts",
    "nephron.js",
    "wit/host.wit",
    "wit/plugin.wit",
    "wit/types.wit",
);

/// The SDK for C, with the contract.
pub(super) const SDK_C: &[File] = files!(
    "sdk/c":
    "nephron.h",
    "nephron_entry.h",
    "nephron_keyed.h",
    "plugin.h",
    "wit/host.wit",
    "wit/plugin.wit",
    "wit/types.wit",
);

/// The example `c-decider`.
pub(super) const C_DECIDER: &[File] = files!(
    "examples/plugins/c-decider":
    "README.md",
    "cases/a-nurse-bills.json",
    "cases/a-nurse-treats.json",
    "cases/marketing.json",
    "cases/nothing-is-permitted.json",
    "plugin.c",
    "plugin.toml",
    "plugin_test.c",
    "settings.json",
);

/// The example `c-detector`.
pub(super) const C_DETECTOR: &[File] = files!(
    "examples/plugins/c-detector":
    "README.md",
    "cases/labelled-numbers.json",
    "cases/no-such-number.json",
    "cases/places-are-bytes.json",
    "plugin.c",
    "plugin.toml",
    "plugin_test.c",
    "settings.json",
);

/// The example `c-transformer`.
pub(super) const C_TRANSFORMER: &[File] = files!(
    "examples/plugins/c-transformer":
    "README.md",
    "cases/json-is-refused.json",
    "cases/labelled-numbers.json",
    "cases/pseudonyms.json",
    "cases/what-is-known.json",
    "plugin.c",
    "plugin.toml",
    "plugin_test.c",
    "settings.json",
);

/// The example `c-exporter`.
pub(super) const C_EXPORTER: &[File] = files!(
    "examples/plugins/c-exporter":
    "README.md",
    "cases/a-time-that-cannot-be-written.json",
    "cases/another-separator.json",
    "cases/lines.json",
    "plugin.c",
    "plugin.toml",
    "plugin_test.c",
    "settings.json",
);

/// The example `c-connector`.
pub(super) const C_CONNECTOR: &[File] = files!(
    "examples/plugins/c-connector":
    "README.md",
    "cases/another-path.json",
    "cases/cut-off.json",
    "cases/streamed.json",
    "cases/the-server-fails.json",
    "cases/unknown-option.json",
    "cases/whole.json",
    "plugin.c",
    "plugin.toml",
    "plugin_test.c",
    "settings.json",
);

/// The example `js-decider`.
pub(super) const JS_DECIDER: &[File] = files!(
    "examples/plugins/js-decider":
    "README.md",
    "cases/a-nurse-bills.json",
    "cases/a-nurse-treats.json",
    "cases/marketing.json",
    "cases/nothing-is-permitted.json",
    "package.json",
    "plugin.js",
    "plugin.test.js",
    "plugin.toml",
    "settings.json",
);

/// The example `js-detector`.
pub(super) const JS_DETECTOR: &[File] = files!(
    "examples/plugins/js-detector":
    "README.md",
    "cases/labelled-numbers.json",
    "cases/no-such-number.json",
    "cases/places-are-bytes.json",
    "package.json",
    "plugin.js",
    "plugin.test.js",
    "plugin.toml",
    "settings.json",
);

/// The example `js-connector`.
pub(super) const JS_CONNECTOR: &[File] = files!(
    "examples/plugins/js-connector":
    "README.md",
    "cases/another-path.json",
    "cases/cut-off.json",
    "cases/streamed.json",
    "cases/the-server-fails.json",
    "cases/unknown-option.json",
    "cases/whole.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.js",
    "settings.json",
);

/// The example `js-transformer`.
pub(super) const JS_TRANSFORMER: &[File] = files!(
    "examples/plugins/js-transformer":
    "README.md",
    "cases/json-is-refused.json",
    "cases/labelled-numbers.json",
    "cases/pseudonyms.json",
    "cases/what-is-known.json",
    "package.json",
    "plugin.js",
    "plugin.test.js",
    "plugin.toml",
    "settings.json",
);

/// The example `js-exporter`.
pub(super) const JS_EXPORTER: &[File] = files!(
    "examples/plugins/js-exporter":
    "README.md",
    "cases/a-time-that-cannot-be-written.json",
    "cases/another-separator.json",
    "cases/lines.json",
    "package.json",
    "plugin.js",
    "plugin.test.js",
    "plugin.toml",
    "settings.json",
);

/// The example `python-connector`.
pub(super) const PYTHON_CONNECTOR: &[File] = files!(
    "examples/plugins/python-connector":
    "README.md",
    "cases/another-path.json",
    "cases/cut-off.json",
    "cases/streamed.json",
    "cases/the-server-fails.json",
    "cases/unknown-option.json",
    "cases/whole.json",
    "plugin.py",
    "plugin.toml",
    "settings.json",
    "tests/__init__.py",
    "tests/test_plugin.py",
);

/// The example `python-decider`.
pub(super) const PYTHON_DECIDER: &[File] = files!(
    "examples/plugins/python-decider":
    "README.md",
    "cases/a-nurse-bills.json",
    "cases/a-nurse-treats.json",
    "cases/marketing.json",
    "cases/nothing-is-permitted.json",
    "plugin.py",
    "plugin.toml",
    "settings.json",
    "tests/__init__.py",
    "tests/test_plugin.py",
);

/// The example `python-detector`.
pub(super) const PYTHON_DETECTOR: &[File] = files!(
    "examples/plugins/python-detector":
    "README.md",
    "cases/labelled-numbers.json",
    "cases/no-such-number.json",
    "cases/places-are-bytes.json",
    "plugin.py",
    "plugin.toml",
    "settings.json",
    "tests/__init__.py",
    "tests/test_plugin.py",
);

/// The example `python-exporter`.
pub(super) const PYTHON_EXPORTER: &[File] = files!(
    "examples/plugins/python-exporter":
    "README.md",
    "cases/a-time-that-cannot-be-written.json",
    "cases/another-separator.json",
    "cases/lines.json",
    "plugin.py",
    "plugin.toml",
    "settings.json",
    "tests/__init__.py",
    "tests/test_plugin.py",
);

/// The example `python-transformer`.
pub(super) const PYTHON_TRANSFORMER: &[File] = files!(
    "examples/plugins/python-transformer":
    "README.md",
    "cases/json-is-refused.json",
    "cases/labelled-numbers.json",
    "cases/pseudonyms.json",
    "cases/what-is-known.json",
    "plugin.py",
    "plugin.toml",
    "settings.json",
    "tests/__init__.py",
    "tests/test_plugin.py",
);

/// The example `rust-decider`.
pub(super) const RUST_DECIDER: &[File] = files!(
    "examples/plugins/rust-decider":
    "Cargo.toml",
    "README.md",
    "cases/a-nurse-bills.json",
    "cases/a-nurse-treats.json",
    "cases/marketing.json",
    "cases/nothing-is-permitted.json",
    "plugin.toml",
    "settings.json",
    "src/lib.rs",
);

/// The example `rust-detector`.
pub(super) const RUST_DETECTOR: &[File] = files!(
    "examples/plugins/rust-detector":
    "Cargo.toml",
    "README.md",
    "cases/labelled-numbers.json",
    "cases/no-such-number.json",
    "cases/places-are-bytes.json",
    "plugin.toml",
    "settings.json",
    "src/lib.rs",
);

/// The example `rust-transformer`.
pub(super) const RUST_TRANSFORMER: &[File] = files!(
    "examples/plugins/rust-transformer":
    "Cargo.toml",
    "README.md",
    "cases/json-is-refused.json",
    "cases/labelled-numbers.json",
    "cases/pseudonyms.json",
    "cases/what-is-known.json",
    "plugin.toml",
    "settings.json",
    "src/lib.rs",
);

/// The example `rust-connector`.
pub(super) const RUST_CONNECTOR: &[File] = files!(
    "examples/plugins/rust-connector":
    "Cargo.toml",
    "README.md",
    "cases/another-path.json",
    "cases/cut-off.json",
    "cases/streamed.json",
    "cases/the-server-fails.json",
    "cases/unknown-option.json",
    "cases/whole.json",
    "plugin.toml",
    "settings.json",
    "src/lib.rs",
);

/// The example `rust-exporter`.
pub(super) const RUST_EXPORTER: &[File] = files!(
    "examples/plugins/rust-exporter":
    "Cargo.toml",
    "README.md",
    "cases/a-time-that-cannot-be-written.json",
    "cases/another-separator.json",
    "cases/lines.json",
    "plugin.toml",
    "settings.json",
    "src/lib.rs",
);

/// The example `ts-decider`.
pub(super) const TS_DECIDER: &[File] = files!(
    "examples/plugins/ts-decider":
    "README.md",
    "cases/a-nurse-bills.json",
    "cases/a-nurse-treats.json",
    "cases/marketing.json",
    "cases/nothing-is-permitted.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.ts",
    "settings.json",
    "tsconfig.json",
);

/// The example `ts-detector`.
pub(super) const TS_DETECTOR: &[File] = files!(
    "examples/plugins/ts-detector":
    "README.md",
    "cases/labelled-numbers.json",
    "cases/no-such-number.json",
    "cases/places-are-bytes.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.ts",
    "settings.json",
    "tsconfig.json",
);

/// The example `ts-connector`.
pub(super) const TS_CONNECTOR: &[File] = files!(
    "examples/plugins/ts-connector":
    "README.md",
    "cases/another-path.json",
    "cases/cut-off.json",
    "cases/streamed.json",
    "cases/the-server-fails.json",
    "cases/unknown-option.json",
    "cases/whole.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.ts",
    "settings.json",
    "tsconfig.json",
);

/// The example `ts-transformer`.
pub(super) const TS_TRANSFORMER: &[File] = files!(
    "examples/plugins/ts-transformer":
    "README.md",
    "cases/json-is-refused.json",
    "cases/labelled-numbers.json",
    "cases/pseudonyms.json",
    "cases/what-is-known.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.ts",
    "settings.json",
    "tsconfig.json",
);

/// The example `ts-exporter`.
pub(super) const TS_EXPORTER: &[File] = files!(
    "examples/plugins/ts-exporter":
    "README.md",
    "cases/a-time-that-cannot-be-written.json",
    "cases/another-separator.json",
    "cases/lines.json",
    "package.json",
    "plugin.test.js",
    "plugin.toml",
    "plugin.ts",
    "settings.json",
    "tsconfig.json",
);
