//! `nephron completions`: what a shell needs to complete this command line.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::{Cli, Failure, Globals};

/// Print a completion script; for bash: `nephron completions bash > ~/.local/share/bash-completion/completions/nephron`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nephron", &mut script);
    std::io::stdout()
        .lock()
        .write_all(&script)
        .map_err(Failure::output)
}
