//! `nephron audit checkpoint`: the newest signed state of a log.

use std::io::{self, Write as _};

use anyhow::Context as _;
use nephron_audit::Reader;

use super::Which;
use crate::cli::Failure;

/// Print a log's newest checkpoint (C2SP tlog-checkpoint): its name, how many entries it had, the root over them, signed.
///
/// The gateway makes one each time it stops and as often as `[log] checkpoint-every` says. A copy that is kept elsewhere is what
/// `audit-verify --checkpoint` holds the log against, years later.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let folder = args.which.folder("asked for its checkpoint")?;
    let reader = Reader::open(&folder).context("the log cannot be read")?;
    let newest = reader
        .newest_checkpoint()
        .context("the checkpoints cannot be read")?;
    let newest = newest.with_context(|| {
        format!(
            "`{}` has no checkpoint yet: the gateway makes one when it stops, and each hour",
            folder.display()
        )
    })?;
    let mut out = io::stdout().lock();
    out.write_all(newest.note.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::output)
}
