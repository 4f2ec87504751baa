//! `nephron grant`: what callers may use tenants' keys for, how often and for how long.
//!
//! Policy is asked for each act, so that a gateway has to serve: only there are the deciders.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nephron_model::{Purpose, TenantId};
use serde_json::Value;

use super::custody::{ask, misunderstood};
use super::remote::Remote;
use super::style::Look;
use super::table::{Align, Cell, Table};
use super::text::visible;
use super::{Failure, Globals};
use crate::config::{self, Config};
use crate::control::Asked;
use crate::lending::{Lending, Lent, Terms, What};

/// Mint, list and end grants: what callers may use a tenant's keys for, how often and for how long.
///
/// The gateway that serves does it, once its deciders permit it to you: the caller that they see is `operator`. Who you are and why
/// stands in the tenant's log.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lend a caller some uses, for some time. Whoever holds it states the same purpose, and policy is asked at each use again
    Mint(Mint),
    /// List those that are live: for whom and for what, until when, and how many uses are left
    List {
        /// Whose keys
        tenant: TenantId,
        /// For which purpose of use you look
        #[arg(long, value_name = "CODE", default_value = PURPOSE)]
        purpose: Purpose,
        #[command(flatten)]
        how: How,
    },
    /// End one now
    Revoke {
        /// Whose keys
        tenant: TenantId,
        /// Which, by its id, as `list` shows it
        grant: String,
        /// For which purpose of use you end it
        #[arg(long, value_name = "CODE", default_value = PURPOSE)]
        purpose: Purpose,
        #[command(flatten)]
        how: How,
    },
}

/// Health care operations (HL7 v3 PurposeOfUse).
const PURPOSE: &str = "HOPERAT";

#[derive(clap::Args)]
struct Mint {
    /// Whose keys
    tenant: TenantId,
    /// The caller who may use it, by the id that the log has for him
    #[arg(long, value_name = "CALLER")]
    subject: String,
    /// For which purpose of use, such as TREAT
    #[arg(long, value_name = "CODE")]
    purpose: Purpose,
    /// What it may do: seal, open or detokenize; can be given several times
    #[arg(long = "operation", value_name = "NAME", required = true)]
    operations: Vec<String>,
    /// A kind of identifier that it covers, such as mrn; can be given several times
    #[arg(
        long = "kind",
        value_name = "NAME",
        required_unless_present = "any_kind"
    )]
    kinds: Vec<String>,
    /// It covers every kind
    #[arg(long, conflicts_with = "kinds")]
    any_kind: bool,
    /// How often it may be used
    #[arg(long, value_name = "N")]
    uses: u32,
    /// The most values that one use seals, opens or restores; 100 if left out
    #[arg(long, value_name = "N")]
    values: Option<u32>,
    /// How long it lives, such as 8h; 30d at most
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    lifetime: u32,
    #[command(flatten)]
    how: How,
}

/// By whom and why, at which gateway, and how it is printed.
#[derive(clap::Args)]
struct How {
    /// The configuration that the gateway was started with
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    remote: Remote,
    /// Who you are; the system's user is recorded beside it. With `--admin` it is the name that belongs to your certificate
    #[arg(long, value_name = "NAME", required_unless_present = "admin")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print one JSON object, as `/v1/grants` answers it
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::Mint(mint) => {
            let terms = Terms {
                subject: mint.subject,
                operations: mint.operations,
                kinds: (!mint.any_kind).then_some(mint.kinds),
                uses: mint.uses,
                values: mint.values,
                lifetime: mint.lifetime,
            };
            let how = mint.how;
            let write = |answer: &Value, out: &mut dyn Write| {
                write_table(answer.get("grant").into_iter(), Look::of_stdout(), out)
            };
            how.ask(mint.tenant, mint.purpose, What::Mint(terms), write)
                .await
        }
        Command::List {
            tenant,
            purpose,
            how,
        } => {
            let write = |answer: &Value, out: &mut dyn Write| {
                let grants = answer.get("grants").and_then(Value::as_array);
                write_table(grants.into_iter().flatten(), Look::of_stdout(), out)
            };
            how.ask(tenant, purpose, What::List, write).await
        }
        Command::Revoke {
            tenant,
            grant,
            purpose,
            how,
        } => {
            let write = |answer: &Value, out: &mut dyn Write| {
                writeln!(out, "ended {}", visible(text(answer, "revoked")))
            };
            how.ask(tenant, purpose, What::Revoke(grant), write).await
        }
    }
}

impl How {
    async fn ask(
        self,
        tenant: TenantId,
        purpose: Purpose,
        what: What,
        write: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let asked = Asked::Grants(Lending {
            tenant,
            purpose,
            by: self.by.unwrap_or_default(),
            reason: self.reason,
            what,
        });
        let answered = match self.remote.ask(&asked, |_, _| ()).await? {
            Some(answered) => answered,
            None => {
                let data = Config::data_folder(&self.config);
                let answered = ask(&data, &asked, |_, _| ()).await?;
                answered.with_context(|| {
                    let path = data.display();
                    format!("no gateway has `{path}` open, and only one that serves has the deciders that permit it; start it, or name one with `--admin`")
                })?
            }
        };
        let answer = match answered.lent().ok_or_else(misunderstood)? {
            Lent::Done(answer) => answer,
            Lent::Refused { event, message } => {
                let refused = anyhow::Error::msg(message);
                let event = event.map(|event| format!("refused, as event {event} in the log says"));
                return Err(Failure::refused(match event {
                    Some(event) => refused.context(event),
                    None => refused,
                }));
            }
        };
        let mut out = anstream::stdout().lock();
        let written = match self.json {
            true => writeln!(out, "{answer}"),
            false => write(&answer, &mut out),
        };
        written.map_err(Failure::output)
    }
}

fn write_table<'a>(
    grants: impl Iterator<Item = &'a Value>,
    look: Look,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let columns = [
        ("grant", Align::Left),
        ("subject", Align::Left),
        ("purpose", Align::Left),
        ("operations", Align::Left),
        ("kinds", Align::Left),
        ("not after", Align::Left),
        ("uses left", Align::Right),
        ("minted by", Align::Left),
    ];
    let mut table = Table::new(0, &columns);
    for grant in grants {
        let uses = grant.get("uses").and_then(Value::as_u64);
        let row = vec![
            Cell::new(text(grant, "id")),
            Cell::new(text(grant, "subject")),
            Cell::new(text(grant, "purpose")),
            Cell::new(words(grant, "operations").unwrap_or_default()),
            Cell::new(words(grant, "kinds").unwrap_or_else(|| "any".to_owned())),
            Cell::new(to_the_second(text(grant, "expires"))),
            Cell::new(uses.map_or_else(|| "no end".to_owned(), |uses| uses.to_string())),
            Cell::new(text(grant, "minter")),
        ];
        table.push(row, look, &mut out)?;
    }
    table.finish(look, &mut out)
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list of words, with blanks between.
fn words(object: &Value, name: &str) -> Option<String> {
    let list = object.get(name)?.as_array()?;
    let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    Some(words.join(" "))
}

/// A time without its fractions of a second.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

fn lifetime(text: &str) -> Result<u32, &'static str> {
    let lifetime =
        config::duration(text).ok_or("must be a whole number and its unit, such as 8h")?;
    let seconds = u32::try_from(lifetime.as_secs()).map_err(|_| "is too long; 30d at most")?;
    match Duration::from_secs(seconds.into()) == lifetime {
        true => Ok(seconds),
        false => Err("must be whole seconds"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_are_told_in_a_table_and_nothing_of_them_drives_the_terminal() {
        let grants = [
            json!({ "id": "grant-1", "subject": "s.ito", "minter": "Dana (operator uid=0)", "operations": ["open", "seal"],
                "kinds": ["mrn", "name"], "purpose": "TREAT", "uses": 3, "values": 100, "expires": "2026-11-22T01:03:22.000000000Z" }),
            json!({ "id": "grant-2", "subject": "x\u{1b}[2J", "minter": "dr.okafor", "operations": ["detokenize"],
                "kinds": null, "purpose": "TREAT", "uses": null, "values": 1, "expires": "2026-11-22T01:03:22Z" }),
        ];
        let look = Look {
            in_colour: false,
            width: 80,
        };
        let mut out = Vec::new();
        write_table(grants.iter(), look, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out,
            "grant    subject     purpose  operations  kinds     not after             uses left  minted by\n\
             grant-1  s.ito       TREAT    open seal   mrn name  2026-11-22T01:03:22Z          3  Dana (operator uid=0)\n\
             grant-2  x\\u{1b}[2J  TREAT    detokenize  any       2026-11-22T01:03:22Z     no end  dr.okafor\n"
        );
    }

    #[test]
    fn a_lifetime_is_in_whole_seconds() {
        assert_eq!(lifetime("8h"), Ok(28_800));
        assert_eq!(lifetime("30d"), Ok(2_592_000));
        assert!(lifetime("1500ms").is_err() && lifetime("soon").is_err());
    }
}
