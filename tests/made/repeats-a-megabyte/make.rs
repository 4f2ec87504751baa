//! A decider that answers 1 GiB out of two megabytes: 1,024 reasons whose texts are all the same 1 MiB of its memory.
//!
//! Every pointer is in bounds and every text is UTF-8, and the guest stays far below its memory limit; what grows is the
//! host that lifts the answer. A limit on what is copied from a guest in one call must stop it.

use crate::world;

/// The component's bytes.
#[must_use]
pub fn component() -> Vec<u8> {
    // At 1024 `ok` of a decision with 0x400 reasons of 32 bytes each, from 0x18_0000 on. The text is the zeros from
    // 0x8_0000 on, which are UTF-8. The query that is lowered into this memory ends long before.
    let functions = r#"
        (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32)
            (local $reason i32)
            (local.set $reason (i32.const 0x180000))
            (loop $next
                (i32.store offset=8 (local.get $reason) (i32.const 1))
                (i32.store offset=12 (local.get $reason) (i32.const 0x80000))
                (i32.store offset=16 (local.get $reason) (i32.const 0x100000))
                (local.set $reason (i32.add (local.get $reason) (i32.const 32)))
                (br_if $next (i32.lt_u (local.get $reason) (i32.const 0x188000))))
            (i32.const 1024))
        (data (i32.const 1032) "\00\00\18\00\00\04\00\00")
    "#;
    world::component("repeats-a-megabyte", "access-policy", 32, "", functions)
}
