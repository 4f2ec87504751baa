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
