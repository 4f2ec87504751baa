//! The one integration binary. Each module proves one thing; names carry the invariant they hold.

mod agreements;
mod canary;
mod chain;
mod demo;
mod hostile;
mod record_then_act;
mod replay;
mod tidy;
mod tokens;

/// The command line, as a program of its own.
fn nephron() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_BIN_EXE_nephron-in-test"))
}
