//! `nephron api-key`: keys for clients, each shown once, and what is known of those that there are.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nephron_keys::ApiKey;
use nephron_model::{Clock as _, Purpose, SystemClock, TenantId, Timestamp};

use super::style::Look;
use super::table::{Align, Cell, Table, json_lines};
use super::{Failure, Globals, style};
use crate::authenticate::last_use;
use crate::config::{self, Config, Holder, is_name};
use crate::wire::fields::is_structural;

/// Make and list keys for clients.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Draw a key: the key on the first line, which is shown this once, then what goes into the configuration
    New(New),
    /// List the keys of a configuration, when each ends and when it was last used
    List(List),
}

#[derive(clap::Args)]
struct List {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object for each key, one a line
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct New {
    /// What the log will call it
    #[arg(long, required_unless_present = "rotate", value_parser = name)]
    id: Option<String>,
    /// Whose requests these are
    #[arg(long, required_unless_present = "rotate")]
    tenant: Option<TenantId>,
    /// The person or system that holds it, never a shared account
    #[arg(long, required_unless_present = "rotate", value_parser = structural)]
    caller: Option<String>,
    /// A role, in the words of your policy; can be given several times
    #[arg(long = "role", required_unless_present = "rotate", value_parser = structural)]
    roles: Vec<String>,
    /// A purpose of use (HL7 v3), the usual one first; can be given several times
    #[arg(long = "purpose", default_value = "TREAT")]
    purposes: Vec<Purpose>,
    /// In place of this key, for the same holder and purposes: put it beside the other, change the client, take the other away
    #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "caller", "roles", "purposes"])]
    rotate: Option<String>,
    /// The configuration that has the key to rotate
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// The first day on which it is no longer taken, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", default_value_t = in_a_year(), value_parser = date)]
    expires: String,
    /// Print one JSON object: `key`, `digest` and `toml`
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    match args.command {
        Command::New(new) => draw(new),
        Command::List(list) => {
            let config = Config::load(&list.config);
            let config = config.map_err(|faults| Failure::check(faults.into()))?;
            let rows = rows(&config, &last_use::read(&config.data), SystemClock.now());
            let out = &mut anstream::stdout().lock();
            let written = if list.json {
                json_lines(&rows, out)
            } else {
                write_table(&rows, Look::of_stdout(), out)
            };
            written.map_err(Failure::output)
        }
    }
}

fn draw(new: New) -> Result<(), Failure> {
    let key = ApiKey::draw().context("no key can be drawn")?;
    let digest = key.digest().to_string();
    let (id, holder) = match &new.rotate {
        None => (new.id, None),
        Some(rotated) => {
            let config = Config::load(&new.config);
            let config = config.map_err(|faults| Failure::check(faults.into()))?;
            let known = |id: &str| config.api_keys.iter().find(|key| key.id == id);
            let held = known(rotated).map(|key| key.holder.clone());
            let held = held.with_context(|| {
                format!("`{}` has no `[[api-key]]` of that id", new.config.display())
            })?;
            let next = (2..).map(|number: u32| format!("{rotated}-{number}"));
            let free = || {
                next.into_iter()
                    .find(|id| is_name(id) && known(id).is_none())
            };
            (new.id.or_else(free), Some(held))
        }
    };
    let holder = match (holder, new.tenant, new.caller) {
        (Some(holder), _, _) => holder,
        (None, Some(tenant), Some(caller)) => Holder {
            tenant,
            caller,
            roles: new.roles,
            purposes: new.purposes,
            expires: SystemClock.now(),
        },
        (None, _, _) => return Err(anyhow::anyhow!("the key needs a tenant and a caller").into()),
    };
    let list = |words: &[String]| format!("[\"{}\"]", words.join("\", \""));
    let purposes: Vec<String> = holder.purposes.iter().map(Purpose::to_string).collect();
    let (roles, purposes) = (list(&holder.roles), list(&purposes));
    let (tenant, caller, expires) = (&holder.tenant, &holder.caller, &new.expires);
    let id = id.context("the key needs an id (`--id`)")?;
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

/// A key of the configuration.
#[derive(serde::Serialize)]
struct Row {
    id: String,
    tenant: TenantId,
    caller: String,
    /// The first day on which it is no longer taken.
    expires: String,
    state: State,
    /// `null` where nothing is known of a use.
    last_used: Option<String>,
}

/// Whether a key is taken, and for how long still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It is.
    Good,
    /// It is, for less than 30 days.
    EndsSoon,
    /// It is not.
    Expired,
}

impl State {
    /// That of a key that ends then.
    pub(super) fn at(expires: Timestamp, now: Timestamp) -> Self {
        const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);
        if expires <= now {
            Self::Expired
        } else if expires <= now.plus(SOON) {
            Self::EndsSoon
        } else {
            Self::Good
        }
    }
}

fn rows(config: &Config, last: &BTreeMap<String, Timestamp>, now: Timestamp) -> Vec<Row> {
    let row = |key: &config::ApiKey| Row {
        id: key.id.clone(),
        tenant: key.holder.tenant.clone(),
        caller: key.holder.caller.clone(),
        expires: seconds(key.holder.expires),
        state: State::at(key.holder.expires, now),
        last_used: last.get(&key.digest.to_string()).copied().map(seconds),
    };
    config.api_keys.iter().map(row).collect()
}

/// To the second, in UTC.
fn seconds(at: Timestamp) -> String {
    let whole = Timestamp {
        nanoseconds: 0,
        ..at
    };
    whole.to_string().replace(".000000000", "")
}

fn write_table(rows: &[Row], look: Look, out: &mut impl Write) -> std::io::Result<()> {
    let columns = ["id", "tenant", "caller", "expires", "state", "last use"];
    let mut table = Table::new(0, &columns.map(|title| (title, Align::Left)));
    for row in rows {
        let state = match row.state {
            State::Good => Cell::new("good"),
            State::EndsSoon => Cell::styled("ends soon", style::BAD),
            State::Expired => Cell::styled("expired", style::BAD),
        };
        let cells = vec![
            Cell::new(&row.id),
            Cell::new(row.tenant.as_str()),
            Cell::new(&row.caller),
            Cell::new(&row.expires),
            state,
            Cell::new(row.last_used.as_deref().unwrap_or("-")),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)
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
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    super::pki::date(super::pki::now() + year)
}
