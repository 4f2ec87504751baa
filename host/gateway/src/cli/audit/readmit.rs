//! `nephron audit readmit`: a tenant whose log was lost or put back serves again, and the host's log says who let it.

use std::path::PathBuf;
use std::sync::Arc;

use nephron_model::{Clock, SystemClock, TenantId};

use crate::cli::Failure;
use crate::config::Config;

/// Let a tenant serve again whose log no longer holds what the host's log committed to.
///
/// Entries are lost then, and `nephron audit verify` goes on saying so: this records only that somebody knows. Before it, put the
/// newest backup in place. The gateway must not be running.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The tenant; `host` where the host's own log is lost
    #[arg(value_name = "TENANT")]
    tenant: TenantId,
    /// Who decides this: a person's id, which stands in the host's log
    #[arg(long, value_name = "ID", value_parser = person)]
    by: String,
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
}

fn person(text: &str) -> Result<String, String> {
    use crate::wire::fields::{ID_RULE, is_structural};
    let is_id = is_structural(text, 200);
    is_id
        .then(|| text.to_owned())
        .ok_or_else(|| format!("expected {ID_RULE}"))
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::check(faults.into()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    crate::host_log::readmit(&config.data, &args.tenant, &args.by, &clock).await?;
    Ok(())
}
