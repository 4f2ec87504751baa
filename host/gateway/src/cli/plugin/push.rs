//! `nephron plugin push`: a component into a registry, with what is stated of it.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_model::Digest;
use nephron_registry::{Destination, Reference};
use serde::Serialize;

use super::pull::Reach;
use super::stated;
use crate::cli::{Failure, Globals};
use crate::workshop;

/// Put a component into an OCI registry, with what is stated of it, and print the reference by which a configuration names it.
///
/// The component is an artifact of the CNCF's Wasm layout, each statement a referrer to it. The same component has the same reference, however
/// often it is pushed.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// Where to: `oci://REGISTRY/REPOSITORY:TAG`
    #[arg(value_name = "DESTINATION")]
    destination: Destination,
    /// Its statements, if they are not beside it
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    reference: String,
    component: Digest,
    statements: usize,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let vetted = stated::vetted(&args.component)?;
    let statements = workshop::statements(args.statements.as_deref(), &args.component)
        .map_err(anyhow::Error::from)?;
    let registry = args.reach.registry(args.destination.registry())?;
    let interfaces = (vetted.imports(), vetted.exports());
    let pushed = registry
        .push(&args.destination, vetted.bytes(), interfaces, &statements)
        .await;
    let reference: Reference =
        pushed.with_context(|| format!("`{}` cannot be pushed to", args.destination))?;
    let lines = statements.lines().filter(|line| !line.trim().is_empty());
    let report = Report {
        reference: reference.to_string(),
        component: vetted.digest(),
        statements: lines.count(),
    };
    let out = &mut anstream::stdout().lock();
    let written = match args.json {
        true => serde_json::to_writer(&mut *out, &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => writeln!(out, "component = \"{}\"", report.reference),
    };
    written.map_err(Failure::output)
}
