//! Hostile components that no Rust toolchain would build: each is made here, byte by byte, when a test asks for it.
//!
//! One folder holds one misbehaviour, as in `tests/guests`, whose README is the index of both. What a component must
//! have beside its misbehaviour (memory, allocator, `describe`, `configure`) is in `world.rs`; read that first.

#![expect(
    clippy::expect_used,
    reason = "what is made here has no input, so that a fault is one of this file and must stop the test"
)]

mod world;

#[path = "claims-a-gigabyte/make.rs"]
pub mod claims_a_gigabyte;
#[path = "claims-ten-million-spans/make.rs"]
pub mod claims_ten_million_spans;
#[path = "forges-a-key-handle/make.rs"]
pub mod forges_a_key_handle;
#[path = "imports-sockets/make.rs"]
pub mod imports_sockets;
#[path = "is-a-compile-bomb/make.rs"]
pub mod is_a_compile_bomb;
#[path = "is-a-core-module/make.rs"]
pub mod is_a_core_module;
#[path = "is-padding/make.rs"]
pub mod is_padding;
#[path = "is-truncated/make.rs"]
pub mod is_truncated;
#[path = "malformed-answers/make.rs"]
pub mod malformed_answers;
#[path = "repeats-a-megabyte/make.rs"]
pub mod repeats_a_megabyte;

#[cfg(test)]
mod tests;
