//! `nephron audit`: a tenant's log, read by people and checked without trust.

mod show;
mod verify;

use std::path::{Path, PathBuf};

use nephron_model::TenantId;

use super::{Failure, Globals};
use crate::LOG;
use crate::config::Config;

/// Read and verify audit logs.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Show(show::Args),
    Verify(verify::Args),
}

pub(crate) async fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    // Nothing else waits for this runtime, so the work may block it.
    match args.command {
        Command::Show(args) => show::run(&args, globals),
        Command::Verify(args) => verify::run(&args, globals),
    }
}

/// The log folders that `config` stands for: that of `tenant`, or of every tenant it names.
fn configured(config: &Path, tenant: Option<&TenantId>) -> Result<Vec<PathBuf>, Failure> {
    let config_file = config;
    let config = Config::load(config).map_err(|faults| Failure::check(faults.into()))?;
    if let Some(unknown) = tenant.filter(|tenant| !config.tenants.contains(tenant)) {
        let known: Vec<&str> = config.tenants.iter().map(TenantId::as_str).collect();
        let error = anyhow::anyhow!(
            "`{}` configures no tenant `{unknown}`; it has {}",
            config_file.display(),
            known.join(", ")
        );
        return Err(Failure::usage(error));
    }
    let asked = config
        .tenants
        .iter()
        .filter(|id| tenant.is_none_or(|tenant| tenant == *id));
    Ok(asked
        .map(|id| config.data.join("tenants").join(id.as_str()).join(LOG))
        .collect())
}
