//! `nephron audit replay` and `nephron what-if`: recorded judgements, run again.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_model::{EventId, Point, TenantId};

use super::Failure;
use super::around;
use super::custody::{ask, misunderstood};
use super::remote::Remote;
use super::style::{self, Look};
use super::text::{number, visible};
use crate::config::Config;
use crate::control::{self, Asked};
use crate::rerun::{Ran, Rerun, What};
use crate::swap::by_gravity;

/// Run the judgements of one event again, by the components, settings and limits that judged then, on what they were given then.
///
/// Says whether each answer is the same, byte for byte. Exit code 3 when one is not, or cannot be run again.
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// The event, as the reply and the log name it
    event: EventId,
    #[command(flatten)]
    common: Common,
}

/// Run what was judged through a candidate, and list what would have come out otherwise. Nothing that serves is touched.
///
/// The candidate is a configuration that differs from the one that serves in `[[plugin]]` and `[chain]` alone. All of its deciders decide together,
/// and its detectors find together; a connector is held against the one of the same name.
#[derive(clap::Args)]
pub(crate) struct WhatIf {
    /// The candidate's configuration
    #[arg(long, value_name = "FILE")]
    candidate: PathBuf,
    /// Only requests that came since then (RFC 3339, in UTC, such as 2026-11-26T00:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// The configuration that the gateway was started with
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Only in the log of this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    #[command(flatten)]
    remote: Remote,
    /// Who you are; the system's user is recorded beside it. With `--admin` it is the name that belongs to your certificate
    #[arg(long, value_name = "NAME", required_unless_present = "admin")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ran = self.common.run(What::Replay(self.event)).await?;
        if ran.same == ran.judgements && ran.not_run.is_empty() {
            return Ok(());
        }
        Err(Failure::check(anyhow::anyhow!(
            "{} of {} judgements came out the same",
            ran.same,
            ran.judgements + ran.not_run.values().sum::<u64>()
        )))
    }
}

impl WhatIf {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        // Elsewhere it is a file beside the gateway's configuration.
        let candidate = match self.common.remote.is_named() {
            true => self.candidate,
            false => {
                std::path::absolute(self.candidate).context("the working folder cannot be named")?
            }
        };
        let what = What::WhatIf {
            candidate,
            since: self.since,
        };
        let ran = self.common.run(what).await?;
        let not_run = ran.not_run.values().sum::<u64>();
        if not_run == 0 && ran.not_looked_at.is_empty() {
            return Ok(());
        }
        Err(Failure::check(anyhow::anyhow!(
            "{not_run} judgements were not run, and {} tenants' logs are not open: the candidate was not tried on all there is",
            ran.not_looked_at.len()
        )))
    }
}

impl Common {
    async fn run(self, what: What) -> Result<Ran, Failure> {
        let Self {
            config,
            remote,
            tenant,
            by,
            reason,
            json,
        } = self;
        let rerun = Rerun {
            what,
            tenant,
            by: by.unwrap_or_default(),
            reason,
        };
        let ran = rerun_there_or_here(&config, &remote, rerun, io::stderr().is_terminal() && !json)
            .await?;
        let mut out = anstream::stdout().lock();
        let written = if json {
            serde_json::to_writer(&mut out, &ran)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            write(&ran, Look::of_stdout(), &mut out)
        };
        written.map_err(Failure::output)?;
        Ok(ran)
    }
}

/// Has the gateway that serves do it, or opens the data folder for it if none does.
async fn rerun_there_or_here(
    config: &Path,
    remote: &Remote,
    rerun: Rerun,
    with_progress: bool,
) -> Result<Ran, Failure> {
    let show = |done: u64, of: u64| {
        if with_progress {
            let percent = (u128::from(done) * 100)
                .checked_div(u128::from(of))
                .unwrap_or(100);
            let mut line = io::stderr().lock();
            // Progress that cannot be shown is no reason to stop.
            let _unwritten = write!(line, "\r{percent:3} %  {} judgements ", number(done))
                .and_then(|()| line.flush());
        }
    };
    let data = Config::data_folder(config);
    let asked = Asked::Rerun(rerun.clone());
    let answered = match remote.ask(&asked, show).await? {
        Some(answered) => Some(answered),
        None => ask(&data, &asked, show).await?,
    };
    let ran = match answered {
        Some(answered) => answered.ran().ok_or_else(misunderstood)?,
        None => {
            let config = Config::load(config).map_err(|faults| Failure::check(faults.into()))?;
            let gateway = around::open(&config).await?;
            let by = control::operator(rustix::process::getuid().as_raw());
            let (progress, mut shown) = tokio::sync::mpsc::channel(1);
            let ran = {
                let mut running = std::pin::pin!(gateway.rerun(rerun, &by, &progress));
                loop {
                    tokio::select! {
                        ran = &mut running => break ran,
                        Some((done, of)) = shown.recv() => show(done, of),
                    }
                }
            };
            let closed = gateway.close();
            let ran = ran.map_err(anyhow::Error::from)?;
            let _heads = closed.map_err(anyhow::Error::from)?;
            ran
        }
    };
    if with_progress {
        let _unwritten = write!(io::stderr(), "\r\x1b[K");
    }
    Ok(ran)
}

fn write(ran: &Ran, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (heading, quiet) = (look.style(style::HEADING), look.style(style::QUIET));
    if let Some(candidate) = ran.candidate {
        writeln!(out, "{heading}candidate{heading:#}   {candidate}")?;
    }
    let same = match ran.candidate {
        Some(_) => "that come to the same",
        None => "with the same answer, byte for byte",
    };
    writeln!(
        out,
        "{heading}judgements{heading:#}  {}, {} {same}",
        number(ran.judgements),
        number(ran.same)
    )?;
    for (difference, count) in by_gravity(&ran.differences) {
        writeln!(out, "{:>10}  {}", number(*count), visible(difference))?;
    }
    for (reason, count) in &ran.not_run {
        let count = number(*count);
        writeln!(out, "{quiet}{count:>10}  not run: {reason}{quiet:#}")?;
    }
    for one in &ran.differing {
        let event = one.event.map(|event| event.to_string()).unwrap_or_default();
        let (tenant, sequence) = (&one.tenant, one.sequence);
        let (point, what) = (
            one.point.map(Point::as_str),
            visible(&one.differences.join(", ")),
        );
        let whose = visible(one.plugin.as_deref().or(point).unwrap_or_default());
        writeln!(out, "{event}  {tenant} entry {sequence}  {whose}: {what}")?;
    }
    if ran.is_cut {
        writeln!(out, "{quiet}and more{quiet:#}")?;
    }
    for tenant in &ran.not_looked_at {
        writeln!(
            out,
            "{quiet}not looked at: {tenant}, whose log is not open{quiet:#}"
        )?;
    }
    Ok(())
}
