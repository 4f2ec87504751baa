//! `nephron plugin`: components, before they serve and while they do.

mod bench;
mod build;
mod certify;
mod change;
mod inspect;
mod keygen;
mod new;
mod pull;
mod push;
mod run;
mod said;
mod sign;
mod stated;
mod subject;
mod test;
mod verify;

use super::{Failure, Globals};

pub(super) use subject::Args as Subject;
pub(super) use test::{Report, report};

/// Make, build, test, inspect, sign and certify plugins, push and pull them, and exchange those that serve.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    New(new::Args),
    Build(build::Args),
    Test(test::Args),
    Run(run::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Keygen(keygen::Args),
    Sign(sign::Args),
    Certify(certify::Args),
    Verify(verify::Args),
    Push(push::Args),
    Pull(pull::Args),
    Stage(change::Stage),
    Shadow(change::Shadow),
    Canary(change::Canary),
    Activate(change::Activate),
    Rollback(change::Rollback),
    Retire(change::Retire),
    Status(change::Status),
}

pub(crate) async fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::New(args) => new::run(args, globals).await,
        Command::Build(args) => build::run(args, globals).await,
        Command::Test(args) => test::run(args, globals).await,
        Command::Run(args) => run::run(args, globals).await,
        Command::Bench(args) => bench::run(args, globals).await,
        Command::Inspect(args) => inspect::run(args, globals).await,
        Command::Keygen(args) => keygen::run(args, globals).await,
        Command::Sign(args) => sign::run(args, globals).await,
        Command::Certify(args) => certify::run(args, globals).await,
        Command::Verify(args) => verify::run(args, globals).await,
        Command::Push(args) => push::run(args, globals).await,
        Command::Pull(args) => pull::run(args, globals).await,
        Command::Stage(args) => args.run().await,
        Command::Shadow(args) => args.run().await,
        Command::Canary(args) => args.run().await,
        Command::Activate(args) => args.run().await,
        Command::Rollback(args) => args.run().await,
        Command::Retire(args) => args.run().await,
        Command::Status(args) => args.run().await,
    }
}
