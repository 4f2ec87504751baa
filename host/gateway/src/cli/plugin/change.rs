//! `nephron plugin stage|activate|rollback|retire|status`: what serves, exchanged while requests are in flight.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_model::Digest;

use crate::cli::Failure;
use crate::cli::custody::{ask, misunderstood};
use crate::cli::remote::Remote;
use crate::cli::style::{self, Look};
use crate::cli::text::{count, number, visible};
use crate::config::Config;
use crate::control::Asked;
use crate::swap::{Bounds, Change, Difference, Findings, Shown, Standing, by_gravity, is_grave};

/// Make the configuration, as it is now, ready to serve: check it whole, vet and compile its plugins, list what changes.
///
/// What is missing of a registry is pulled before, but for a gateway elsewhere. What serves goes on serving. `[[plugin]]` and `[chain]` may differ from what the gateway was started with; anything else takes
/// a restart.
#[derive(clap::Args)]
pub(super) struct Stage {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
}

/// Let what is staged serve from the next request on. Those in flight end with what they began with.
///
/// What widens a plugin's authority, or may find or forbid less, must be activated by another person than the one who staged it, who
/// names what he has looked at with `--generation`.
#[derive(clap::Args)]
pub(super) struct Activate {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
    /// Only if this is what is staged (`sha256:...`, as `stage` prints it)
    #[arg(long, value_name = "DIGEST")]
    generation: Option<Digest>,
}

/// Ask what is staged beside what serves, and count where it would have come to something else. Nothing follows from its answers, no request
/// waits for them, and it is lent no key.
///
/// It ends with `activate`, `canary`, `retire`, or when something else is staged.
#[derive(clap::Args)]
pub(super) struct Shadow {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
    /// Requests in a hundred, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 100)]
    percent: u8,
    /// Only if this is what is staged (`sha256:...`, as `stage` prints it)
    #[arg(long, value_name = "DIGEST")]
    generation: Option<Digest>,
}

/// Let what is staged serve some callers: always the same ones, chosen by a digest of tenant and caller.
///
/// It ends with `activate` or `rollback`; and by itself, from the next request on, when more judgements of one plugin and kind fail, or they take
/// longer, than the bounds say: of those of the last two minutes, and of no less than 20.
#[derive(clap::Args)]
pub(super) struct Canary {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
    /// Callers in a hundred, 1 to 99
    #[arg(long, value_name = "N")]
    percent: u8,
    /// Percent of its judgements that may fail, beyond those that fail elsewhere
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    failures: u8,
    /// Percent that they may take of what they take elsewhere, the slowest five in a hundred left out
    #[arg(long, value_name = "PERCENT", default_value_t = 200)]
    time: u16,
    /// Milliseconds that they may take where less than 20 were made elsewhere
    #[arg(long, value_name = "MILLISECONDS", default_value_t = Bounds::LONGEST)]
    longest: u64,
    /// Percent of its judgements that may come to something else than they would have where it does not serve: whatever serves the
    /// others is asked beside. Not looked at if left out
    #[arg(long, value_name = "PERCENT")]
    divergence: Option<u8>,
    /// Only if this is what is staged (`sha256:...`, as `stage` prints it)
    #[arg(long, value_name = "DIGEST")]
    generation: Option<Digest>,
}

/// Let what served before serve again. The configuration still says otherwise: put it back too. What is rolled
/// back serves again when somebody stages and activates it.
#[derive(clap::Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
}

/// Let go of what is staged, and of what served before.
#[derive(clap::Args)]
pub(super) struct Retire {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    warrant: Warrant,
}

/// Show what serves, what is staged and what that changes, and what served before.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    to: To,
}

#[derive(clap::Args)]
struct To {
    /// The configuration that the gateway was started with
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    remote: Remote,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Warrant {
    /// Who you are; the system's user is recorded beside it. With `--admin` it is the name that belongs to your certificate
    #[arg(long, value_name = "NAME", required_unless_present = "admin")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Warrant {
    /// Who and why. Elsewhere the certificate says who.
    fn parts(self) -> (String, String) {
        (self.by.unwrap_or_default(), self.reason)
    }
}

impl Stage {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let file = std::path::absolute(&self.to.config);
        if !self.to.remote.is_named() {
            super::pull::missing(&self.to.config).await?;
        }
        let (by, reason) = self.warrant.parts();
        let change = Change::Stage {
            file: file.context("the working folder cannot be named")?,
            by,
            reason,
        };
        self.to.ask(change).await
    }
}

impl Activate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (by, reason) = self.warrant.parts();
        let generation = self.generation;
        let change = Change::Activate {
            generation,
            by,
            reason,
        };
        self.to.ask(change).await
    }
}

impl Canary {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (by, reason) = self.warrant.parts();
        let change = Change::Canary {
            generation: self.generation,
            percent: self.percent,
            bounds: Bounds {
                failures: self.failures,
                time: self.time,
                longest: self.longest,
                divergence: self.divergence,
            },
            by,
            reason,
        };
        self.to.ask(change).await
    }
}

impl Shadow {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (by, reason) = self.warrant.parts();
        let change = Change::Shadow {
            generation: self.generation,
            percent: self.percent,
            by,
            reason,
        };
        self.to.ask(change).await
    }
}

impl Rollback {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (by, reason) = self.warrant.parts();
        self.to.ask(Change::Rollback { by, reason }).await
    }
}

impl Retire {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (by, reason) = self.warrant.parts();
        self.to.ask(Change::Retire { by, reason }).await
    }
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.to.ask(Change::Look).await
    }
}

impl To {
    async fn ask(self, change: Change) -> Result<(), Failure> {
        let asked = Asked::Plugins(change);
        let answered = match self.remote.ask(&asked, |_, _| ()).await? {
            Some(answered) => answered,
            None => {
                let data = Config::data_folder(&self.config);
                let answered = ask(&data, &asked, |_, _| ()).await?;
                answered.with_context(|| {
                    let path = data.display();
                    format!("no gateway has `{path}` open; the next `nephron serve` follows the configuration as it is")
                })?
            }
        };
        let standing = answered.plugins().ok_or_else(misunderstood)?;
        let mut out = anstream::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut out, &standing)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            write(&standing, Look::of_stdout(), &mut out)
        };
        written.map_err(Failure::output)
    }
}

fn write(standing: &Standing, look: Look, out: &mut impl Write) -> io::Result<()> {
    let Standing {
        serving,
        staged,
        before,
        canary,
        shadow,
        draining,
        refused,
    } = standing;
    write_one("serving", serving, false, look, out)?;
    if let Some(staged) = staged {
        write_one("staged", staged, true, look, out)?;
    }
    if let Some(before) = before {
        write_one("before", before, false, look, out)?;
    }
    if let Some(canary) = canary {
        let (heading, bad) = (look.style(style::HEADING), look.style(style::BAD));
        let (tried, others) = (canary.canary, canary.others);
        writeln!(
            out,
            "{heading}canary   {heading:#} {}\n          {} % of callers: {} of {} judgements failed, {} of {} elsewhere",
            canary.generation,
            canary.percent,
            number(tried.failed),
            number(tried.judged),
            number(others.failed),
            number(others.judged)
        )?;
        if let Some(findings) = &canary.beside {
            write_findings(findings, look, out)?;
        }
        if let Some(why) = &canary.stopped {
            writeln!(out, "          {bad}stopped: {why}{bad:#}")?;
        }
    }
    if let Some(shadow) = shadow {
        let heading = look.style(style::HEADING);
        writeln!(
            out,
            "{heading}shadow   {heading:#} {}\n          {} % of requests",
            shadow.generation, shadow.percent
        )?;
        write_findings(&shadow.findings, look, out)?;
    }
    if *draining > 0 {
        let draining = number(count(*draining));
        writeln!(out, "draining  {draining} older, for requests in flight")?;
    }
    if let Some(refused) = refused {
        let bad = look.style(style::BAD);
        writeln!(out, "{bad}refused{bad:#}   {}", visible(refused))?;
    }
    Ok(())
}

fn write_findings(findings: &Findings, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (bad, quiet) = (look.style(style::BAD), look.style(style::QUIET));
    writeln!(
        out,
        "          {} of {} judgements come to something else",
        number(findings.differing),
        number(findings.compared)
    )?;
    for (difference, times) in by_gravity(&findings.differences) {
        let (style, times) = (
            if is_grave(difference) { bad } else { quiet },
            number(*times),
        );
        writeln!(out, "          {style}{difference:<18}{style:#} {times}")?;
    }
    for (why, times) in &findings.not_compared {
        writeln!(out, "          not compared: {why} {}", number(*times))?;
    }
    if findings.skipped > 0 {
        let skipped = number(findings.skipped);
        writeln!(out, "          skipped, as others waited: {skipped}")?;
    }
    let (cost, serving) = (findings.cost, findings.cost_of_serving);
    if let (Some(one), Some(other)) = (cost.average_fuel(), serving.average_fuel()) {
        writeln!(
            out,
            "          fuel for a call {}, of what serves {}",
            number(one),
            number(other)
        )?;
    }
    for one in &findings.events {
        writeln!(
            out,
            "          {quiet}{} {} {}: {}{quiet:#}",
            one.tenant,
            one.event,
            one.point.as_str(),
            one.differences.join(", ")
        )?;
    }
    Ok(())
}

fn write_one(
    role: &str,
    one: &Shown,
    with_differences: bool,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    let heading = look.style(style::HEADING);
    writeln!(out, "{heading}{role:<9}{heading:#} {}", one.generation)?;
    let (by, reason) = (visible(&one.by), visible(&one.reason));
    writeln!(out, "          since {} by {by}: {reason}", one.since)?;
    let differences = one.differences.iter().filter(|_| with_differences);
    for Difference { what, widens } in differences {
        let (mark, colour) = match widens {
            true => ("widens", style::WARNING),
            false => ("changes", style::QUIET),
        };
        let colour = look.style(colour);
        writeln!(
            out,
            "          {colour}{mark:<7}{colour:#} {}",
            visible(what)
        )?;
    }
    Ok(())
}
