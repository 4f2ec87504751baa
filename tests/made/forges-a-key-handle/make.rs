//! A transformer that leaves the key it was lent and uses handle 7, which nobody gave it.
//!
//! A handle is an index into a table that the component runtime keeps for this instance alone, so that a number made up
//! finds nothing, whatever keys other tenants have in use.

use crate::world;

/// The component's bytes.
#[must_use]
pub fn component() -> Vec<u8> {
    let imports = r#"
        (import "nephron:plugin/keys@0.1.0" "[method]key.mac" (func $mac (param i32 i32 i32 i32)))
    "#;
    // Detecting finds nothing; transforming asks for a sum under handle 7 over 16 bytes.
    let functions = r#"
        (func (export "nephron:plugin/detector@0.1.0#detect") (param i32) (result i32) (i32.const 1024))
        (func $forge (export "nephron:plugin/transformer@0.1.0#deidentify") (param i32) (result i32)
            (call $mac (i32.const 7) (i32.const 16) (i32.const 16) (i32.const 2048))
            (i32.const 1024))
        (export "nephron:plugin/transformer@0.1.0#reidentify" (func $reidentify))
        (func $reidentify (param i32) (result i32) (call $forge (local.get 0)))
    "#;
    world::component(
        "forges-a-key-handle",
        "keyed-deidentifier",
        1,
        imports,
        functions,
    )
}
