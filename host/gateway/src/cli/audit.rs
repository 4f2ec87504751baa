//! `nephron audit`: a tenant's log, read by people and checked without trust.

mod checkpoint;
mod disclose;
mod disclosures;
mod export;
mod patient;
mod period;
mod prove;
mod prune;
mod readmit;
mod scope;
mod search;
mod show;
#[cfg(test)]
mod story;
mod verify;
mod vkey;

use std::path::{Path, PathBuf};

use nephron_audit::Reader;
use nephron_model::TenantId;

use super::text::for_shell;
use super::{Failure, Globals};
use crate::config::Config;
use crate::host_log::is_known_of;
use crate::{LOG, RECORD};

/// Read and verify audit logs.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Show(show::Args),
    Search(search::Args),
    Disclosures(disclosures::Args),
    Scope(scope::Args),
    Export(export::Args),
    Disclose(disclose::Args),
    Verify(verify::Args),
    Vkey(vkey::Args),
    Checkpoint(checkpoint::Args),
    Prove(prove::Args),
    Prune(prune::Args),
    Readmit(readmit::Args),
    Replay(super::rerun::Replay),
}

pub(crate) async fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    // Nothing else waits for this runtime, so the work may block it.
    match args.command {
        Command::Show(args) => show::run(&args, globals).await,
        Command::Search(args) => search::run(args).await,
        Command::Disclosures(args) => disclosures::run(args).await,
        Command::Scope(args) => scope::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Disclose(args) => disclose::run(args).await,
        Command::Verify(args) => verify::run(&args, globals),
        Command::Vkey(args) => vkey::run(&args),
        Command::Checkpoint(args) => checkpoint::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Prune(args) => prune::run(args).await,
        Command::Readmit(args) => readmit::run(&args).await,
        Command::Replay(args) => args.run().await,
    }
}

/// The logs that a configuration stands for.
struct Logs {
    /// Of its tenants, or of the one that was asked for, by name.
    of: Vec<(TenantId, PathBuf)>,
    /// The folder in which any tenant's folder is.
    tenants: PathBuf,
    /// The host's, if there is one.
    host: Option<PathBuf>,
}

impl Logs {
    fn configured(config: &Path, tenant: Option<&TenantId>) -> Result<Self, Failure> {
        let config_file = config;
        let config = Config::load(config).map_err(|faults| Failure::check(faults.into()))?;
        let host = config.data.join(RECORD).join(LOG);
        let tenants = config.data.join("tenants");
        if let Some(id) = tenant.filter(|id| **id == TenantId::host()) {
            let of = vec![(id.clone(), host)];
            return Ok(Self {
                of,
                tenants,
                host: None,
            });
        }
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
        let of = asked.map(|id| (id.clone(), log_of(&tenants, id))).collect();
        Ok(Self {
            of,
            tenants,
            // One that is gone is looked for all the same.
            host: (host.is_dir() || is_known_of(&config.data)).then_some(host),
        })
    }

    /// The one log that is meant, where a command is about one.
    fn only(self, what: &str) -> Result<PathBuf, Failure> {
        let mut of = self.of.into_iter();
        match (of.next(), of.next()) {
            (Some((_, only)), None) => Ok(only),
            _ => Err(several(what)),
        }
    }
}

fn several(what: &str) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "the configuration has several tenants: name the one whose log is to be {what} with `--tenant`"
    ))
}

fn log_of(tenants: &Path, id: &TenantId) -> PathBuf {
    tenants.join(id.as_str()).join(LOG)
}

/// Damage is told by the exit code, after what could be read was shown.
fn whole(reader: &Reader, folder: &Path) -> Result<(), Failure> {
    match reader.damage() {
        [] => Ok(()),
        [first, ..] => {
            let folder = for_shell(folder);
            let error = anyhow::anyhow!(
                "the log is damaged: {first}; `nephron audit verify {folder}` tells all"
            );
            Err(Failure::check(error))
        }
    }
}

/// Which log a command is about.
#[derive(clap::Args)]
struct Which {
    /// The log's folder, the one that holds `journal`
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    folder: Option<PathBuf>,
    /// A configuration, whose tenant's log is meant
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant, where the configuration has several; `host` is the host's own log
    #[arg(long, short, requires = "config", conflicts_with = "folder")]
    tenant: Option<TenantId>,
}

impl Which {
    /// The tenant whose log is meant, where its keys are needed: not for a folder, which may be a copy.
    fn tenant(&self) -> Result<TenantId, Failure> {
        let Some(config) = &self.config else {
            return Err(Failure::usage(anyhow::anyhow!(
                "a folder has no keys: name the configuration with `--config`, or the patient by the digest that the log holds"
            )));
        };
        let mut of = Logs::configured(config, self.tenant.as_ref())?
            .of
            .into_iter();
        match (of.next(), of.next()) {
            (Some((only, _)), None) => Ok(only),
            _ => Err(several("asked")),
        }
    }

    fn folder(&self, what: &str) -> Result<PathBuf, Failure> {
        match (&self.folder, &self.config) {
            (Some(folder), _) => Ok(folder.clone()),
            (None, Some(config)) => Logs::configured(config, self.tenant.as_ref())?.only(what),
            (None, None) => Err(Failure::usage(anyhow::anyhow!(
                "name the log's folder, or a configuration with `--config`"
            ))),
        }
    }
}
