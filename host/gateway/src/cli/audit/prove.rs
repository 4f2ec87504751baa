//! `nephron audit prove`: a proof that stands by itself, of one entry or of growth.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_audit::{Reader, SignedCheckpoint};

use super::Which;
use crate::cli::Failure;

/// Prove that one entry stands in a log, without showing any other; or that a log grew since a checkpoint and did nothing else.
///
/// `audit-verify --proof FILE --vkey KEY` checks it without the log. What the newest checkpoint does not cover yet cannot be
/// proved.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The entry, by its sequence, counted from 0 (C2SP tlog-proof)
    #[arg(long, value_name = "N", required_unless_present = "since")]
    entry: Option<u64>,
    /// An older checkpoint of the log, which the proof of growth begins at
    #[arg(long, value_name = "FILE", conflicts_with = "entry")]
    since: Option<PathBuf>,
    /// Write to this file and not to standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let folder = args.which.folder("proved from")?;
    let reader = Reader::open(&folder).context("the log cannot be read")?;
    let proof = match (args.entry, &args.since) {
        (Some(entry), _) => reader
            .prove(entry)
            .context("the entry cannot be proved")?
            .to_string(),
        (None, Some(since)) => {
            let note = std::fs::read_to_string(since)
                .with_context(|| format!("`{}` cannot be read", since.display()))?;
            let old = SignedCheckpoint::read(&note)
                .with_context(|| format!("`{}` is no checkpoint", since.display()))?;
            let proof = reader.prove_growth(old.checkpoint.size);
            proof.context("the growth cannot be proved")?.to_string()
        }
        (None, None) => {
            return Err(Failure::usage(anyhow::anyhow!(
                "name an entry with `--entry`, or an older checkpoint with `--since`"
            )));
        }
    };
    match &args.out {
        Some(path) => std::fs::write(path, proof)
            .with_context(|| format!("`{}` cannot be written", path.display()))
            .map_err(Failure::from),
        None => {
            let mut out = io::stdout().lock();
            out.write_all(proof.as_bytes())
                .and_then(|()| out.flush())
                .map_err(Failure::output)
        }
    }
}
