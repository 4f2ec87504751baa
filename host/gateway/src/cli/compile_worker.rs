//! `nephron compile-worker`: the child process in which a gateway compiles components.

use anyhow::Context as _;

use super::Failure;

/// Serves one order on the standard streams, which nothing else may touch meanwhile.
pub(crate) fn run() -> Result<(), Failure> {
    let done = nephron_engine::compile::serve(std::io::stdin().lock(), std::io::stdout().lock());
    Ok(done.context("the compile worker cannot serve; it is started by a gateway, not by hand")?)
}
