//! The command line: one file per subcommand, each with its `Args` and its `run`.
//!
//! Data goes to standard output, words to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 a check found a
//! fault, 4 refused ([`failure`]).

mod api_key;
mod around;
mod associate;
mod audit;
mod check;
mod classify;
mod compile_worker;
mod completions;
mod custody;
mod deidentify;
mod demo;
mod dev;
mod embedded;
mod failure;
mod grant;
mod key;
mod logging;
mod panics;
mod pki;
mod plugin;
mod remote;
mod rerun;
mod review;
mod run;
mod serve;
mod style;
mod table;
mod tenant;
mod text;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

pub(crate) use failure::Failure;

/// Route PHI requests through sandboxed plugins to a language model, and record every decision.
#[derive(clap::Parser)]
#[command(
    name = "nephron",
    version,
    arg_required_else_help = true,
    propagate_version = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 a check found a fault, 4 refused."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand is told.
#[derive(clap::Args)]
pub(crate) struct Globals {
    /// When to write in colour; `auto` is on a terminal that does not ask for NO_COLOR
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: clap::ColorChoice,
    /// The least grave events of nephron's own log that are written to standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "LEVEL")]
    log_level: logging::Level,
    /// How they are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: logging::Format,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Take an invented clinical note through the whole chain and show what happens
    Demo(demo::Args),
    /// Take one request from a JSON file through the chain
    Run(run::Args),
    /// Take the identifiers out of files: text, JSON Lines, FHIR, HL7 v2
    Deidentify(deidentify::Args),
    /// Serve requests of OpenAI-compatible clients
    Serve(serve::Args),
    /// Build a plugin and ask it its cases, whenever one of its files is saved
    Dev(dev::Args),
    /// Check a configuration and report everything that is wrong with it
    Check(check::Args),
    /// Show which fields of sample records a classification covers
    Classify(classify::Args),
    /// Build, test and inspect plugins, and exchange those that serve
    Plugin(plugin::Args),
    /// Show and check who may see what is sent, and the agreements with them
    Associate(associate::Args),
    /// Make keys for clients
    ApiKey(api_key::Args),
    /// Show, rotate and destroy tenants' keys
    Key(key::Args),
    /// Mint, list and end grants: what callers may use tenants' keys for, how often and for how long
    Grant(grant::Args),
    /// Create, list, export and terminate tenants
    Tenant(tenant::Args),
    /// List and close reviews of accesses in an emergency
    Review(review::Args),
    /// Make a certificate authority and certificates for trying out
    Pki(pki::Args),
    /// Read and verify audit logs
    Audit(audit::Args),
    /// Run what was judged through a candidate, and list what would have come out otherwise
    WhatIf(rerun::WhatIf),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Compile one component, for the gateway that started this process
    #[command(hide = true)]
    CompileWorker,
}

/// Reads the arguments, does what they ask, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    panics::install();
    keep_memory_private();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return failure::of_usage(&usage),
    };
    style::choose(cli.globals.color);
    // The worker owns its streams and brings a runtime of its own.
    let done = if matches!(cli.command, Command::CompileWorker) {
        compile_worker::run()
    } else {
        run(cli.command, &cli.globals)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// No core dump, no debugger of another process of the same user: what is in memory stays there. Where the system does not
/// want to, the program is worth more than that.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _refused = setrlimit(Resource::Core, none);
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// As many files open at the same time as the system allows: a tenant's log keeps some, whether anybody asks for it or not.
fn open_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let _refused = setrlimit(Resource::Nofile, all);
}

fn run(command: Command, globals: &Globals) -> Result<(), Failure> {
    open_many_files();
    logging::start(globals.log_level, globals.log_format);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    runtime.block_on(async {
        match command {
            Command::Demo(args) => Box::pin(demo::run(args, globals)).await,
            Command::Run(args) => Box::pin(run::run(args, globals)).await,
            Command::Deidentify(args) => Box::pin(deidentify::run(args, globals)).await,
            Command::Serve(args) => Box::pin(serve::run(args, globals)).await,
            Command::Dev(args) => Box::pin(dev::run(args, globals)).await,
            Command::Associate(args) => associate::run(args, globals).await,
            Command::ApiKey(args) => api_key::run(args, globals).await,
            Command::Key(args) => key::run(args, globals).await,
            Command::Grant(args) => grant::run(args, globals).await,
            Command::Tenant(args) => tenant::run(args, globals).await,
            Command::Review(args) => review::run(args, globals).await,
            Command::Pki(args) => pki::run(args, globals).await,
            Command::Check(args) => check::run(args, globals).await,
            Command::Classify(args) => classify::run(args, globals).await,
            Command::Plugin(args) => plugin::run(args, globals).await,
            Command::Audit(args) => audit::run(args, globals).await,
            Command::WhatIf(args) => args.run().await,
            Command::Completions(args) => completions::run(args, globals).await,
            Command::CompileWorker => compile_worker::run(),
        }
    })
}

/// A file, or standard input for `-`, with what messages call it.
fn open(path: &Path) -> anyhow::Result<(String, Box<dyn Read>)> {
    if path.as_os_str() == "-" {
        return Ok(("standard input".to_owned(), Box::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(path)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    Ok((path.display().to_string(), Box::new(opened)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_is_listed_but_the_worker() {
        let help = Cli::command().render_help().to_string();
        for name in [
            "demo",
            "run",
            "deidentify",
            "serve",
            "check",
            "classify",
            "plugin",
            "associate",
            "api-key",
            "key",
            "grant",
            "tenant",
            "review",
            "pki",
            "audit",
            "completions",
        ] {
            assert!(
                help.lines().any(|line| line.trim_start().starts_with(name)),
                "{name} in {help}"
            );
        }
        assert!(!help.contains("compile-worker"), "{help}");
        assert!(matches!(
            Cli::try_parse_from(["nephron", "compile-worker"]).map(|cli| cli.command),
            Ok(Command::CompileWorker)
        ));
    }

    #[test]
    fn contradictory_arguments_are_a_usage_error() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for arguments in [
            vec!["audit", "show"],
            vec!["audit", "search", "log", "--config", "gateway.toml"],
            vec!["audit", "search", "log", "--tenant", "st-marys"],
            vec!["audit", "show", "log", "--kind", "no-such-kind"],
            vec!["audit", "show", "log", "--request", "not an id"],
            vec!["audit", "verify"],
            vec!["audit", "verify", "log", "--tenant", "st-marys"],
            vec!["audit", "verify", "--tenant", "st-marys"],
            vec!["audit", "verify", "log", "--expect-head", &digest],
            vec![
                "audit",
                "verify",
                "log",
                "--expect-head",
                "sha256:0",
                "--expect-entries",
                "1",
            ],
            vec!["plugin", "push"],
            vec!["key", "rotate"],
            vec!["key", "rotate", "st-marys", "--boundary", "mac"],
            vec!["grant", "list", "st-marys"],
            vec![
                "grant", "revoke", "st-marys", "--by", "Dana", "--reason", "x",
            ],
            vec!["tenant", "export", "st-marys"],
            vec!["tenant", "create", "St Mary's"],
            vec!["associate"],
            vec!["associate", "check", "--within", "soon"],
            vec!["associate", "list", "--at", "tomorrow"],
            vec!["--color", "sometimes", "check"],
        ] {
            let parsed = Cli::try_parse_from(["nephron"].iter().chain(&arguments));
            assert_eq!(
                parsed.err().map(|error| error.exit_code()),
                Some(2),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn what_is_asked_for_in_earnest_parses() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for arguments in [
            vec![
                "audit", "show", "log", "--tail", "5", "--kind", "decision", "--json",
            ],
            vec![
                "audit",
                "show",
                "--config",
                "gateway.toml",
                "--tenant",
                "st-marys",
            ],
            vec![
                "audit",
                "show",
                "log",
                "--request",
                "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            ],
            vec![
                "audit",
                "show",
                "log",
                "--request",
                "Q69G5FAV",
                "--from",
                "3",
                "--to",
                "9",
            ],
            vec!["audit", "verify", "one", "two", "--require-seal"],
            vec![
                "audit",
                "verify",
                "log",
                "--expect-head",
                &digest,
                "--expect-entries",
                "1",
            ],
            vec!["associate", "check", "--within", "30d", "--json"],
            vec![
                "associate",
                "diagram",
                "--at",
                "2027-01-31",
                "--out",
                "x.svg",
            ],
            vec![
                "grant", "list", "st-marys", "--by", "Dana", "--reason", "x", "--json",
            ],
            vec!["plugin", "build"],
            vec![
                "plugin",
                "build",
                "plugins/safe-harbor",
                "--json",
                "--log-level",
                "debug",
            ],
            vec!["check", "--config", "x.toml", "--color", "never"],
        ] {
            let parsed = Cli::try_parse_from(["nephron"].iter().chain(&arguments));
            assert!(
                parsed.is_ok(),
                "{arguments:?}: {}",
                parsed.err().map(|e| e.to_string()).unwrap_or_default()
            );
        }
    }
}
