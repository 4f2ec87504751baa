//! Turns a plugin's source folder into a component, on a machine that has cargo, or Python, and little else.
//!
//! Used by `nephron demo`, by `nephron plugin build` and by the test harness at first use. [`build()`] reads each
//! folder's [`Manifest`]. For plugins in Rust it sees to a standard library for `wasm32-unknown-unknown`, compiles each in a
//! cargo invocation of its own and wraps the core module as a component that imports nothing but what its world names.
//! Plugins in other languages are made by their language's tool (`lang.rs`), which is fetched at first use.
//!
//! It knows nothing of tenants, requests or the sandbox, and links no other crate of the host. It judges no plugin:
//! a component that asks for too much is built all the same, and refused by the engine.
//!
//! Where the standard library comes from, in this order; the first that serves is remembered under
//! `target/plugins/`:
//!
//! 1. the toolchain has it;
//! 2. `rustup target add wasm32-unknown-unknown`;
//! 3. the toolchain has `rust-src`: cargo builds the library with the plugins;
//! 4. Debian's package `rust-src` of exactly the compiler's version, fetched by an apt that is told to keep all its
//!    state under `target/plugins/` and to check signatures: cargo builds the library from that.
//!
//! To try the fourth way on a machine whose rustup works, without harming its toolchain (`$R` is any scratch folder):
//!
//! ```text
//! RUSTUP_HOME=$R/rustup rustup toolchain install 1.95.0 --profile minimal    # a toolchain of its own, no wasm target
//! mkdir $R/bin; printf '#!/bin/sh\nexit 1\n' > $R/bin/rustup; chmod +x $R/bin/rustup
//! PATH=$R/bin:$R/rustup/toolchains/1.95.0-x86_64-unknown-linux-gnu/bin:$PATH CARGO_TARGET_DIR=$R/target \
//!     cargo test -p nephron-forge a_built_plugin_imports_its_world_alone
//! ```
//!
//! Read `build.rs` first, then `toolchain.rs` for Rust and `lang.rs` for the others.

mod build;
mod cargo;
mod debian;
mod fuse;
mod lang;
mod machine;
mod manifest;
mod mend;
mod progress;
mod run;
mod seal;
mod toolbox;
mod toolchain;
mod workspace;
mod wrap;

pub use build::{BuildError, Built, Options, build};
pub use debian::DebianError;
pub use fuse::FuseError;
pub use lang::MakeError;
pub use manifest::{Lang, Manifest, ManifestError};
pub use progress::{Progress, report_to_stderr};
pub use run::RunError;
pub use seal::SealError;
pub use toolbox::ToolError;
pub use toolchain::{Attempt, ToolchainError};
pub use workspace::{WorkspaceError, find_workspace, plugin_folders};
pub use wrap::{WrapError, wrap};
