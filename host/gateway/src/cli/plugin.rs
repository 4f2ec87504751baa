//! `nephron plugin`: components, before they serve.

mod build;
mod inspect;

use super::{Failure, Globals};

/// Build and inspect plugins.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Build(build::Args),
    Inspect(inspect::Args),
}

pub(crate) async fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::Build(args) => build::run(args, globals).await,
        Command::Inspect(args) => inspect::run(args, globals).await,
    }
}
