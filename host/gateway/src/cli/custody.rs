//! What `nephron key` and `nephron tenant` have in common: who does the act, and how a destruction is confirmed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use nephron_model::{SystemClock, TenantId};

use super::Failure;
use super::style::{self, Look};
use super::table::{Align, Cell, Table};
use crate::RootAccess;
use crate::config::Config;
use crate::control::{self, Answered, Asked};
use crate::custody::{Act, Custody, Done, Served, Standing, State};
use crate::inquiry::{Inquiry, Told};

/// Has the gateway that serves this configuration do it, or does it here if none does.
pub(super) async fn perform(config: &Path, act: Act) -> Result<Done, Failure> {
    let config = Config::load(config).map_err(|faults| Failure::check(faults.into()))?;
    let asked = Asked::Keys(act.clone());
    if let Some(answered) = ask(&config.data, &asked, |_, _| ()).await? {
        return answered.done().ok_or_else(misunderstood);
    }
    let custody = alone(&config).await?;
    let done = custody.act(&Served::new(), act, &user()).await;
    closed(custody, done)
}

/// Has the gateway that serves this configuration tell what needs a tenant's keys, or looks here if none does.
pub(super) async fn inquire(config: &Path, inquiry: Inquiry) -> Result<Told, Failure> {
    let config = Config::load(config).map_err(|faults| Failure::check(faults.into()))?;
    let asked = Asked::Inquiry(inquiry.clone());
    if let Some(answered) = ask(&config.data, &asked, |_, _| ()).await? {
        return answered.told().ok_or_else(misunderstood);
    }
    let custody = alone(&config).await?;
    let told = custody.inquire(&Served::new(), inquiry, &user()).await;
    closed(custody, told)
}

/// The data folder, opened for one act.
async fn alone(config: &Config) -> Result<Custody, Failure> {
    let access = RootAccess::of(&config.root_key).map_err(anyhow::Error::from)?;
    let (clock, schedule) = (Arc::new(SystemClock), config.key_rotation);
    let retention = config.log.retention;
    let custody = Custody::alone(&config.data, &access, clock, schedule, retention).await;
    Ok(custody.map_err(anyhow::Error::from)?)
}

/// What came of the act, once the data folder is closed again.
fn closed<T, E>(custody: Custody, done: Result<T, E>) -> Result<T, Failure>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let closed = custody.close();
    let done = done.map_err(anyhow::Error::from)?;
    closed.map_err(anyhow::Error::from)?;
    Ok(done)
}

fn user() -> String {
    control::operator(rustix::process::getuid().as_raw())
}

/// What the gateway that has the data folder open answers, if one has and does not refuse.
pub(super) async fn ask(
    data: &Path,
    asked: &Asked,
    progress: impl FnMut(u64, u64),
) -> Result<Option<Answered>, Failure> {
    let answered = control::ask(data, asked, progress).await;
    let answered = answered.context("the gateway that has the data folder open does not answer")?;
    answered.map(unless_failed).transpose()
}

/// What was answered, or why it was refused.
pub(super) fn unless_failed(answered: Answered) -> Result<Answered, Failure> {
    match answered {
        Answered::Failed(causes) => {
            let mut causes = causes.into_iter().rev();
            let deepest = causes.next().unwrap_or_default();
            let error = causes.fold(anyhow::Error::msg(deepest), anyhow::Error::context);
            Err(error.into())
        }
        answered @ (Answered::Done(_)
        | Answered::Plugins(_)
        | Answered::Progress(..)
        | Answered::Ran(_)
        | Answered::Told(_)
        | Answered::Lent(_)) => Ok(answered),
    }
}

/// The gateway answered something else than what was asked.
pub(super) fn misunderstood() -> Failure {
    anyhow::anyhow!(
        "the gateway is of another version than this command; restart it, or use its own"
    )
    .into()
}

/// Asks a person to type the tenant's name; a script gives it with `--confirm`.
pub(super) fn confirm(tenant: &TenantId, given: Option<&str>) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
            let mut terminal = anstream::stderr().lock();
            let bad = style::BAD;
            let asked = write!(
                terminal,
                "{bad}Everything that is sealed for tenant `{tenant}` becomes unreadable, for ever:{bad:#} values of tokens, fields, \
                 payloads of its log.\nType the tenant's name to go on: "
            );
            asked
                .and_then(|()| terminal.flush())
                .map_err(Failure::output)?;
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.context("nothing can be read from the terminal")?;
            line.trim().to_owned()
        }
        None => {
            return Err(Failure::usage(anyhow::anyhow!(
                "what this destroys does not come back; name the tenant once more with `--confirm {tenant}`"
            )));
        }
    };
    if typed == tenant.as_str() {
        return Ok(());
    }
    Err(Failure::refused(anyhow::anyhow!(
        "nothing was done: that is not the name of tenant `{tenant}`"
    )))
}

/// Writes one JSON object for each tenant, or what the provider said and a table.
pub(super) fn write(done: &Done, json: bool, table: WriteTable) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    let written = if json {
        serde_json::to_writer(&mut out, done)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        let answers = done.answers.iter();
        let mut said = answers.map(|one| (super::text::visible(&one.kek), &one.answer));
        said.try_for_each(|(kek, answer)| writeln!(out, "{kek}: {}", super::text::visible(answer)))
            .and_then(|()| table(&done.tenants, Look::of_stdout(), &mut out))
    };
    written.map_err(Failure::output)
}

/// Writes how tenants stand.
pub(super) type WriteTable = fn(&[Standing], Look, &mut dyn std::io::Write) -> std::io::Result<()>;

pub(super) fn state(standing: &Standing) -> Cell {
    match standing.state {
        State::Live => Cell::new("live"),
        State::Destroyed => Cell::styled("destroyed", style::QUIET),
        State::Missing => Cell::styled("missing", style::BAD),
        State::Unreadable => Cell::styled("unreadable", style::BAD),
    }
}

/// Why some of them cannot be opened, and which are on hold.
pub(super) fn write_problems(
    tenants: &[Standing],
    out: &mut dyn std::io::Write,
) -> std::io::Result<()> {
    for standing in tenants {
        if let Some(problem) = &standing.problem {
            let problem = super::text::visible(problem);
            writeln!(out, "{}: {problem}", standing.tenant)?;
        }
    }
    for standing in tenants {
        if let Some(hold) = &standing.hold {
            let (by, reason) = (
                super::text::visible(&hold.by),
                super::text::visible(&hold.reason),
            );
            let (tenant, since) = (&standing.tenant, day(&hold.since));
            writeln!(
                out,
                "{tenant}: on legal hold since {since} by {by}: {reason}"
            )?;
        }
    }
    Ok(())
}

/// The day of a time as entries write it.
pub(super) fn day(at: &str) -> &str {
    at.split_once('T').map_or(at, |(day, _)| day)
}

pub(super) fn table<const N: usize>(titles: [&'static str; N]) -> Table {
    Table::new(0, &titles.map(|title| (title, Align::Left)))
}
