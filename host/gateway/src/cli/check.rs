//! `nephron check`: everything that is wrong with a configuration, at once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::text::{plural, visible};
use super::{Failure, Globals, style};
use crate::config::{Config, Faults};

/// Check a configuration and report everything that is wrong with it, one `file:line:column: message` a line.
///
/// Nothing is opened or made: neither keys nor tenants nor plugins are touched.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object: `faults`, and where there are none what was found
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match Config::load(&args.config) {
        Ok(config) => write_found(&args, &Found::of(&config), &mut out).map_err(Failure::output),
        Err(faults) => {
            // That there are faults outweighs that nobody reads them to the end.
            let _unwritten = write_faults(&args, &faults, &mut out);
            let found = plural(faults.as_slice().len(), "fault");
            Err(Failure::check(anyhow::anyhow!(
                "{found} in `{}`",
                args.config.display()
            )))
        }
    }
}

/// What a sound configuration holds.
#[derive(serde::Serialize)]
struct Found {
    tenants: usize,
    plugins: usize,
    deciders: usize,
    detectors: usize,
    associates: usize,
    endpoints: usize,
    routes: usize,
    exports: usize,
}

impl Found {
    fn of(config: &Config) -> Self {
        Self {
            tenants: config.tenants.len(),
            plugins: config.plugins.len(),
            deciders: config.chain.deciders.len(),
            detectors: config.chain.detectors.len(),
            associates: config.associates.len(),
            endpoints: config.endpoints.len(),
            routes: config.routes.len(),
            exports: config.exports.len(),
        }
    }
}

fn write_found(args: &Args, found: &Found, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let report = serde_json::json!({ "config": args.config, "faults": [], "found": found });
        return writeln!(out, "{report}");
    }
    let good = style::GOOD;
    let found = [
        plural(found.tenants, "tenant"),
        plural(found.plugins, "plugin"),
        plural(found.deciders, "decider"),
        plural(found.detectors, "detector"),
        plural(found.associates, "associate"),
        plural(found.endpoints, "endpoint"),
        plural(found.routes, "route"),
        plural(found.exports, "export"),
    ];
    let path = visible(&args.config.display().to_string());
    writeln!(out, "{good}ok{good:#}  {path}: {}", found.join(", "))
}

fn write_faults(args: &Args, faults: &Faults, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let report = serde_json::json!({ "config": args.config, "faults": faults });
        return writeln!(out, "{report}");
    }
    for fault in faults.as_slice() {
        let path: &Path = &fault.file;
        let quiet = style::QUIET;
        let path = visible(&path.display().to_string());
        let message = visible(&fault.message);
        writeln!(
            out,
            "{quiet}{path}:{}:{}:{quiet:#} {message}",
            fault.line, fault.column
        )?;
    }
    Ok(())
}
