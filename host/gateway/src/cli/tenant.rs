//! `nephron tenant`: those that there are, how one begins, what is kept of it, and how one ends.

mod export;

use std::io::Write as _;

use nephron_model::TenantId;

use super::custody::{self, confirm, perform, state, write_problems};
use super::key::How;
use super::style::Look;
use super::table::Cell;
use super::{Failure, Globals};
use crate::custody::{Act, Standing};

/// Create, list, export, hold and terminate tenants, and take the clock as it is.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a tenant's folder, log and keys. A gateway serves it once its configuration names it, and makes it then if need be
    Create {
        /// Its name: 1 to 63 of `a-z`, `0-9` and `-`
        tenant: TenantId,
        #[command(flatten)]
        how: How,
    },
    /// List the tenants of the data folder
    List {
        #[command(flatten)]
        how: How,
    },
    /// Copy a tenant's log, which verifies by itself, with a list of what was copied. Sealed things stay sealed
    Export(export::Args),
    /// Keep everything of a tenant, whatever its age: nothing is pruned and no key destroyed until the hold is released
    Hold(Deed),
    /// Release a tenant from its legal hold
    Release(Deed),
    /// Take this machine's clock as it is, though it has read a later time, which was wrong. Until then nothing is lent for as long as it
    /// reads less than that. Grants that are live are ended
    Clock(Deed),
    /// End a tenant: its keys are destroyed, here and at their provider, and the log says so and stays. The six years for which
    /// it is kept are yours to keep
    Terminate {
        /// Whose
        tenant: TenantId,
        /// The tenant's name once more, where no terminal can be asked
        #[arg(long, value_name = "TENANT")]
        confirm: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

/// What a person does, and why.
#[derive(clap::Args)]
struct Deed {
    /// Whose
    tenant: TenantId,
    /// Who you are; the system's user is recorded beside it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why: the matter, such as the number of a case or ticket
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: How,
}

impl Deed {
    async fn run(self, act: impl FnOnce(TenantId, String, String) -> Act) -> Result<(), Failure> {
        let act = act(self.tenant, self.by, self.reason);
        let done = perform(&self.how.config, act).await?;
        custody::write(&done, self.how.json, write_table)
    }
}

fn hold(holds: bool) -> impl FnOnce(TenantId, String, String) -> Act {
    move |tenant, by, reason| Act::Hold {
        tenant,
        holds,
        by,
        reason,
    }
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::Create { tenant, how } => {
            let toml = format!("\n[[tenant]]\nid = \"{tenant}\"\n");
            let done = perform(&how.config, Act::Create(tenant)).await?;
            custody::write(&done, how.json, write_table)?;
            if how.json {
                return Ok(());
            }
            let mut out = std::io::stdout().lock();
            out.write_all(toml.as_bytes()).map_err(Failure::output)
        }
        Command::List { how } => {
            let done = perform(&how.config, Act::Look(None)).await?;
            custody::write(&done, how.json, write_table)
        }
        Command::Export(args) => export::run(args).await,
        Command::Hold(deed) => deed.run(hold(true)).await,
        Command::Release(deed) => deed.run(hold(false)).await,
        Command::Clock(deed) => {
            let take = |tenant, by, reason| Act::TakeClock { tenant, by, reason };
            deed.run(take).await
        }
        Command::Terminate {
            tenant,
            confirm: given,
            how,
        } => {
            confirm(&tenant, given.as_deref())?;
            let done = perform(&how.config, Act::Terminate(tenant)).await?;
            custody::write(&done, how.json, write_table)
        }
    }
}

fn write_table(
    tenants: &[Standing],
    look: Look,
    mut out: &mut dyn std::io::Write,
) -> std::io::Result<()> {
    let titles = [
        "tenant", "keys", "served", "entries", "provider", "version", "due",
    ];
    let mut table = custody::table(titles);
    for standing in tenants {
        let or_none = |text: Option<String>| Cell::new(text.as_deref().unwrap_or("-"));
        let newest = standing.versions.last();
        let due = Some(standing.due.join(" ")).filter(|due| !due.is_empty());
        let cells = vec![
            Cell::new(standing.tenant.as_str()),
            state(standing),
            Cell::new(if standing.served { "yes" } else { "no" }),
            or_none(standing.entries.map(|entries| entries.to_string())),
            or_none(standing.provider.clone()),
            or_none(newest.map(|newest| newest.version.to_string())),
            or_none(due),
        ];
        table.push(cells, look, &mut out)?;
    }
    table.finish(look, &mut out)?;
    write_problems(tenants, out)
}
