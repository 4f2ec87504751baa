//! The one integration binary. Each module proves one thing; names carry the invariant they hold.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise, and so does what it calls"
)]

mod agreements;
mod anthropic;
mod aot;
mod bedrock;
mod blobs;
mod canary;
mod chain;
mod conformance;
mod demo;
mod fallback;
mod hostile;
mod identity;
mod own;
mod record_then_act;
mod replay;
mod serve;
mod small_model;
mod tidy;
mod tokens;

/// The command line, as a program of its own.
fn nephron() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_BIN_EXE_nephron-in-test"))
}
