//! `nephron key`: how tenants' keys stand, and how they change.

use std::path::PathBuf;

use nephron_keys::Boundary;
use nephron_model::TenantId;

use super::custody::{self, confirm, day, perform, state, write_problems};
use super::style::{self, Look};
use super::table::Cell;
use super::{Failure, Globals};
use crate::custody::{Act, Standing};

/// Show, rotate and destroy tenants' keys.
///
/// A gateway that serves the configuration does it, without a pause; else this program does, and no gateway can start
/// meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show each version of the tenants' keys: what seals under it, what wraps it, what is due
    Status {
        /// Only this tenant
        tenant: Option<TenantId>,
        #[command(flatten)]
        how: How,
    },
    /// Make the next version of a tenant's key now; what was sealed before stays readable
    Rotate {
        /// Whose
        tenant: TenantId,
        /// For this boundary alone: vault, audit-payload or field; can be given several times
        #[arg(long = "boundary", value_name = "NAME", value_parser = boundary)]
        boundaries: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Destroy a tenant's keys, here and at their provider: all that was sealed under them is lost, for ever
    Destroy {
        /// Whose
        tenant: TenantId,
        /// The tenant's name once more, where no terminal can be asked
        #[arg(long, value_name = "TENANT")]
        confirm: Option<String>,
        #[command(flatten)]
        how: How,
    },
}

/// About which data, and how it is printed.
#[derive(clap::Args)]
pub(super) struct How {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Print one JSON object: `tenants`, and `answers` of the provider
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let (act, how) = match args.command {
        Command::Status { tenant, how } => (Act::Look(tenant), how),
        Command::Rotate {
            tenant,
            mut boundaries,
            how,
        } => {
            if boundaries.is_empty() {
                let all = Boundary::ROTATED.map(|boundary| boundary.as_str().to_owned());
                boundaries.extend(all);
            }
            (Act::Rotate(tenant, boundaries), how)
        }
        Command::Destroy {
            tenant,
            confirm: given,
            how,
        } => {
            confirm(&tenant, given.as_deref())?;
            (Act::Destroy(tenant), how)
        }
    };
    let done = perform(&how.config, act).await?;
    custody::write(&done, how.json, write_table)
}

pub(super) fn write_table(
    tenants: &[Standing],
    look: Look,
    mut out: &mut dyn std::io::Write,
) -> std::io::Result<()> {
    let titles = ["tenant", "keys", "version", "made", "seals", "wrapped by"];
    let mut table = custody::table(titles);
    for standing in tenants {
        let tenant = || Cell::new(standing.tenant.as_str());
        for version in &standing.versions {
            let is_due = |name: &&String| standing.due.contains(name);
            let seals = match version.seals.is_empty() {
                true => Cell::styled("opens only", style::QUIET),
                false if version.seals.iter().any(|name| is_due(&name)) => {
                    Cell::styled(format!("{} (due)", version.seals.join(" ")), style::WARNING)
                }
                false => Cell::new(version.seals.join(" ")),
            };
            let cells = vec![
                tenant(),
                state(standing),
                Cell::new(version.version.to_string()),
                Cell::new(day(&version.created)),
                seals,
                Cell::new(version.kek.as_deref().unwrap_or("the root key")),
            ];
            table.push(cells, look, &mut out)?;
        }
        if standing.versions.is_empty() {
            let none = [(); 4].map(|()| Cell::new("-"));
            let cells = [tenant(), state(standing)].into_iter().chain(none);
            table.push(cells.collect(), look, &mut out)?;
        }
    }
    table.finish(look, &mut out)?;
    for standing in tenants {
        if let Some((done, of)) = standing.rewrapped {
            let tenant = &standing.tenant;
            writeln!(out, "{tenant}: key files are wrapped anew, {done} of {of}")?;
        }
        for kek in standing.keks.iter().filter(|kek| kek.destroyed.is_none()) {
            if let Some(retired) = &kek.retired {
                let (tenant, since) = (&standing.tenant, day(retired));
                let name = super::text::visible(&kek.name);
                writeln!(
                    out,
                    "{tenant}: `{name}` wraps nothing since {since}, and is kept for backups"
                )?;
            }
        }
    }
    write_problems(tenants, out)
}

fn boundary(name: &str) -> Result<String, &'static str> {
    let mut known = Boundary::ROTATED.into_iter();
    match known.any(|boundary| boundary.as_str() == name) {
        true => Ok(name.to_owned()),
        false => Err("must be `vault`, `audit-payload` or `field`"),
    }
}
