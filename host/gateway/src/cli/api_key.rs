//! `nephron api-key new`: a key for a client, shown once.

use std::io::Write as _;

use anyhow::Context as _;
use nephron_keys::ApiKey;
use nephron_model::{Purpose, TenantId};

use super::{Failure, Globals};
use crate::config::is_name;
use crate::wire::fields::is_structural;

/// Make keys for clients.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Draw a key: the key on the first line, which is shown this once, then what goes into the configuration
    New(New),
}

#[derive(clap::Args)]
struct New {
    /// What the log will call it
    #[arg(long, value_parser = name)]
    id: String,
    /// Whose requests these are
    #[arg(long)]
    tenant: TenantId,
    /// The person or system that holds it, never a shared account
    #[arg(long, value_parser = structural)]
    caller: String,
    /// A role, in the words of your policy; can be given several times
    #[arg(long = "role", required = true, value_parser = structural)]
    roles: Vec<String>,
    /// A purpose of use (HL7 v3), the usual one first; can be given several times
    #[arg(long = "purpose", default_value = "TREAT")]
    purposes: Vec<Purpose>,
    /// The first day on which it is no longer taken, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", default_value_t = in_a_year(), value_parser = date)]
    expires: String,
    /// Print one JSON object: `key`, `digest` and `toml`
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let Command::New(new) = args.command;
    let key = ApiKey::draw().context("no key can be drawn")?;
    let digest = key.digest().to_string();
    let list = |words: &[String]| format!("[\"{}\"]", words.join("\", \""));
    let purposes: Vec<String> = new.purposes.iter().map(Purpose::to_string).collect();
    let (roles, purposes) = (list(&new.roles), list(&purposes));
    let New {
        id,
        tenant,
        caller,
        expires,
        ..
    } = &new;
    let toml = format!(
        "[[api-key]]\nid = \"{id}\"\ndigest = \"{digest}\"\ntenant = \"{tenant}\"\ncaller = \"{caller}\"\n\
         roles = {roles}\npurposes = {purposes}\nexpires = \"{expires}\"\n"
    );
    let mut out = std::io::stdout().lock();
    let written = if new.json {
        let report = serde_json::json!({ "key": key.reveal(), "digest": digest, "toml": toml });
        writeln!(out, "{report}")
    } else {
        writeln!(out, "{}\n\n{}", key.reveal(), toml.trim_end())
    };
    written.map_err(Failure::output)
}

/// What may stand in the configuration at these places.
fn structural(text: &str) -> Result<String, &'static str> {
    if is_structural(text, 200) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 200 of letters, digits and `._:/-@`")
    }
}

/// A name, as the configuration has it.
fn name(text: &str) -> Result<String, &'static str> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter")
    }
}

/// A day, `YYYY-MM-DD`.
fn date(text: &str) -> Result<String, &'static str> {
    match humantime::parse_rfc3339(&format!("{text}T00:00:00Z")) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a day, such as 2027-01-31"),
    }
}

/// Today in a year, as `YYYY-MM-DD`.
fn in_a_year() -> String {
    let year = std::time::Duration::from_secs(365 * 24 * 60 * 60);
    super::pki::date(super::pki::now() + year)
}
