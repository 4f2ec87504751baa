//! `nephron plugin sign`: a vendor's signature on a component.

use std::io::Write as _;
use std::path::PathBuf;

use super::stated;
use crate::cli::{Failure, Globals};

/// Sign a component as its vendor: its digest, kind, name, version and counter, for a time.
///
/// The statement (docs/formats/statements.md) goes to COMPONENT.statements.jsonl, where a gateway whose configuration has `[trust]`
/// looks for it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    #[command(flatten)]
    stated: stated::Args,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let vetted = stated::vetted(&args.component)?;
    let key = args.stated.open_key()?;
    let path = args.stated.state(&args.component, &vetted, &key, None)?;
    let out = &mut anstream::stdout().lock();
    writeln!(out, "signed {} in {}", vetted.digest(), path.display()).map_err(Failure::output)
}
