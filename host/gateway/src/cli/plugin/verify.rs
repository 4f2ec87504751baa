//! `nephron plugin verify`: whether who counts vouches for a component.

use std::io::{self, Write};
use std::path::PathBuf;

use nephron_model::{Clock as _, Digest, SystemClock};
use nephron_trust::{Offered, Role, TrustError, Vouch};
use serde::Serialize;

use super::stated;
use crate::cli::style::{self, Look};
use crate::cli::text::visible;
use crate::cli::{Failure, Globals};
use crate::config::{Config, PluginKind};
use crate::workshop;

/// Say who vouches for a component, by the `[trust]` of a configuration.
///
/// Nothing of it runs. Which counters have served only the host's log knows: `nephron plugin stage` looks there. Exit code 3 when it would
/// be refused.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Its statements, if they are not beside it
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    component: Digest,
    kind: &'static str,
    vouched: Vec<Vouch>,
    /// The code of why it would be refused, and why.
    code: Option<&'static str>,
    refused: Option<String>,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::check(faults.into()))?;
    let Some(trust) = &config.trust else {
        return Err(Failure::check(anyhow::anyhow!(
            "`{}` has no `[trust]`: every component is loaded, whoever made it; add `[trust]` with a `[[trust.vendor]]`",
            args.config.display()
        )));
    };
    let vetted = stated::vetted(&args.component)?;
    let kind = PluginKind::of_world(vetted.world()).as_str();
    let offered = Offered {
        component: vetted.digest(),
        kind,
        world: Some(vetted.world().name()),
    };
    let judged = workshop::statements(args.statements.as_deref(), &args.component)
        .and_then(|text| trust.policy.judge(offered, &text, SystemClock.now()));
    let report = Report {
        component: vetted.digest(),
        kind,
        code: judged.as_ref().err().map(TrustError::code),
        refused: judged.as_ref().err().map(ToString::to_string),
        vouched: judged.unwrap_or_default(),
    };
    let written = if args.json {
        let out = &mut io::stdout().lock();
        serde_json::to_writer(&mut *out, &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write(&report, Look::of_stdout(), &mut anstream::stdout().lock())
    };
    if let (Some(code), Some(why)) = (report.code, &report.refused) {
        return Err(Failure::check(anyhow::anyhow!("{code}: {why}")));
    }
    written.map_err(Failure::output)
}

fn write(report: &Report, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (good, bad) = (look.style(style::GOOD), look.style(style::BAD));
    writeln!(out, "{} {}", report.kind, report.component)?;
    for vouch in &report.vouched {
        let what = match vouch.role {
            Role::Vendor => "signed",
            Role::Certifier => "certified",
        };
        let (by, name, version) = (&vouch.by, visible(&vouch.name), visible(&vouch.version));
        let (counter, until) = (vouch.counter, &vouch.until);
        writeln!(
            out,
            "{good}{what}{good:#} by {by}: {name} {version}, counter {counter}, until {until}"
        )?;
        if vouch.role == Role::Certifier {
            let of = |all: &[String]| match all.is_empty() {
                true => "none".to_owned(),
                false => visible(&all.join(", ")),
            };
            let (associates, agreements) = (of(&vouch.associates), of(&vouch.agreements));
            writeln!(
                out,
                "  associates {associates}; agreements {agreements}; text {}",
                serde_json::to_string(&vouch.classes)?
            )?;
        }
    }
    if report.vouched.is_empty() && report.refused.is_none() {
        writeln!(
            out,
            "{bad}unsigned{bad:#}, and `accept-unsigned-plugins` takes it"
        )?;
    }
    Ok(())
}
