//! A small, valid decider whose one needless function takes Cranelift many minutes to compile.
//!
//! The function is a loop around [`BLOCKS`] nested blocks. Behind each block's end stands a branch table to all blocks
//! still open, and the loop, so that there are about `BLOCKS`² / 2 edges; and each of [`LOCALS`] locals has another value
//! on another path, so that every edge carries nearly every local into a phi. Time grows with the edges times the locals,
//! size with the edges alone, and it is one function, so that no number of threads helps.

use std::fmt::Write;

use crate::world::{self, PERMITS};

/// Nested blocks, each the target of every branch table before it.
const BLOCKS: usize = 500;

/// Locals whose value depends on the path.
const LOCALS: usize = 300;

/// Locals that one block assigns.
const ASSIGNED: usize = 4;

/// The component's bytes: less than 1 MiB.
#[must_use]
pub fn component() -> Vec<u8> {
    let functions = format!("{PERMITS}{}", bomb(BLOCKS, LOCALS));
    world::component("is-a-compile-bomb", "access-policy", 1, "", &functions)
}

/// The function, whose parameter is local 0 and steers every branch.
fn bomb(blocks: usize, locals: usize) -> String {
    let mut text = String::from("(func (param i32) (local");
    text.push_str(&" i64".repeat(locals));
    text.push_str(")\nloop\n");
    text.push_str(&"block\n".repeat(blocks));
    branch(&mut text, blocks + 1);
    for block in 0..blocks {
        text.push_str("end\n");
        for assigned in 0..ASSIGNED {
            // Strides without a common factor, so that the assignments wander over all locals.
            let to = 1 + (block * 7 + assigned * 13) % locals;
            let from = 1 + (block * 11 + assigned * 5 + 3) % locals;
            writeln!(
                text,
                "local.get {to} i64.const 3 i64.mul local.get {from} i64.add local.set {to}"
            )
            .expect("a string takes any text");
        }
        text.push_str("local.get 0 i32.const 1 i32.add local.set 0\n");
        branch(&mut text, blocks - block);
    }
    text.push_str("end)\n");
    text
}

/// A branch table over the `labels` innermost labels, chosen by local 0.
fn branch(text: &mut String, labels: usize) {
    text.push_str("local.get 0 br_table");
    for label in 0..labels {
        write!(text, " {label}").expect("a string takes any text");
    }
    text.push('\n');
}
