//! `nephron associate`: who may see what is sent, under which agreement, and what is lacking.

mod check;
mod diagram;
mod list;
mod mermaid;
mod svg;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nephron_model::{Clock as _, SystemClock, Timestamp};

use nephron_trust::Vouch;

use super::around::first_party_folder;
use super::style::{BAD, GOOD, QUIET, WARNING};
use super::{Failure, Globals};
use crate::associates::{Associates, Standing};
use crate::config::{self, Config};
use crate::workshop::vouched_for_all;

/// Show and check the register of associates: business associates, their subcontractors, and the agreements with them.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the associates with their agreements
    List(list::Args),
    /// Say for each endpoint which text may go there and why not, and what lapses soon
    Check(check::Args),
    /// Draw the chain from the covered entity to the last subprocessor
    Diagram(diagram::Args),
}

/// What the three are told.
#[derive(clap::Args)]
struct Register {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// The day to look at; today without this
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    at: Option<Timestamp>,
    /// What counts as soon, such as `30d`; `egress.warn-before` without this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    within: Option<Duration>,
}

/// The register on a day.
struct Opened {
    config: Config,
    associates: Associates,
    now: Timestamp,
    /// Who vouches for each plugin, by its name; what is refused is vouched for by nobody.
    vouched: BTreeMap<String, Vec<Vouch>>,
    within: Duration,
}

impl Register {
    fn open(&self) -> Result<Opened, Failure> {
        let config = Config::load(&self.config).map_err(|faults| Failure::check(faults.into()))?;
        let now = self.at.unwrap_or_else(|| SystemClock.now());
        let vouched = match config.trust {
            Some(_) => vouched_for_all(&config, &first_party_folder()?, now),
            None => BTreeMap::new(),
        };
        Ok(Opened {
            associates: Associates::of(&config),
            now,
            vouched,
            within: self.within.unwrap_or(config.egress.warn_before),
            config,
        })
    }
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::List(args) => list::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Diagram(args) => diagram::run(&args),
    }
}

/// The first moment of a day in UTC.
fn day(text: &str) -> Result<Timestamp, &'static str> {
    let fault = "must be a day, such as 2027-01-31";
    format!("{text}T00:00:00Z").parse().map_err(|_| fault)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("must be a whole number and its unit, such as 30d")
}

/// The style of a standing, on a terminal.
const fn style_of(standing: Standing) -> anstyle::Style {
    match standing {
        Standing::InForce(_) => GOOD,
        Standing::Lapsing(_) | Standing::NotYet(_) => WARNING,
        Standing::Lapsed(_) | Standing::Unsigned | Standing::Terminated | Standing::Missing => BAD,
        Standing::NotNeeded => QUIET,
    }
}

#[cfg(test)]
mod tests;
