//! A decider whose reason claims a text of 1 GiB in a memory of 64 KiB: a pointer and a length, with nothing behind them.

use crate::world;

/// The component's bytes.
#[must_use]
pub fn component() -> Vec<u8> {
    // At 1024 `ok` of a decision with the one reason at 1056, whose text is `some` of 0x4000_0000 bytes at 1024.
    let functions = r#"
        (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32) (i32.const 1024))
        (data (i32.const 1032) "\20\04\00\00\01\00\00\00")
        (data (i32.const 1064) "\01\00\00\00\00\04\00\00\00\00\00\40")
    "#;
    world::component("claims-a-gigabyte", "access-policy", 1, "", functions)
}
