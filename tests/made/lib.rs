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
#[path = "past-advisories/make.rs"]
pub mod past_advisories;
#[path = "probes/make.rs"]
pub mod probes;
#[path = "repeats-a-megabyte/make.rs"]
pub mod repeats_a_megabyte;

/// The component of a name in `tests/guests/kit.toml`: a folder of this crate, and where a folder makes several, one of them
/// behind a slash. Without those that are too large to be held.
#[must_use]
pub fn component(name: &str) -> Option<Vec<u8>> {
    let one_of = |components: Vec<(&str, Vec<u8>)>, wanted: &str| {
        let mut found = components.into_iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, bytes)| bytes)
    };
    match name.split_once('/') {
        Some(("malformed-answers", fault)) => one_of(malformed_answers::components(), fault),
        Some(("past-advisories", class)) => one_of(past_advisories::components(), class),
        Some(("probes", probe)) => one_of(probes::components(), probe),
        Some(("claims-ten-million-spans", "with-room")) => {
            Some(claims_ten_million_spans::component_with_room())
        }
        Some(_) => None,
        None => match name {
            "claims-a-gigabyte" => Some(claims_a_gigabyte::component()),
            "claims-ten-million-spans" => Some(claims_ten_million_spans::component()),
            "forges-a-key-handle" => Some(forges_a_key_handle::component()),
            "imports-sockets" => Some(imports_sockets::component()),
            "is-a-compile-bomb" => Some(is_a_compile_bomb::component()),
            "is-a-core-module" => Some(is_a_core_module::component()),
            "is-truncated" => Some(is_truncated::component()),
            "repeats-a-megabyte" => Some(repeats_a_megabyte::component()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
