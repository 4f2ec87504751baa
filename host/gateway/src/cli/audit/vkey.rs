//! `nephron audit vkey`: the key by which a log's checkpoints are verified.

use std::io::{self, Write as _};

use anyhow::Context as _;
use nephron_audit::Reader;

use super::Which;
use crate::cli::Failure;

/// Print the public key of a log (C2SP signed-note verifier key), which `audit-verify --vkey` takes.
///
/// Note it away from this machine when the log begins: whoever can change the log can change what is printed here.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let folder = args.which.folder("asked for its key")?;
    let reader = Reader::open(&folder).context("the log cannot be read")?;
    let key = reader.verifier_key().context("the log cannot be read")?;
    let key = key.with_context(|| {
        format!(
            "`{}` has no key yet: the gateway makes one when it next opens the log",
            folder.display()
        )
    })?;
    writeln!(io::stdout().lock(), "{key}").map_err(Failure::output)
}
