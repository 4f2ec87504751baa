//! `nephron audit prune`: sealed payloads that were kept long enough are taken away.

use std::io::Write;

use nephron_audit::Day;
use nephron_model::TenantId;

use crate::cli::Failure;
use crate::cli::custody::perform;
use crate::cli::key::How;
use crate::cli::text::{number, visible};
use crate::custody::{Act, Done};

/// Take away the sealed payloads that are older than `[log] retention`; headers stay, and everything verifies as before.
///
/// A gateway does it by itself once an hour. Of a tenant on legal hold nothing is taken away, nor where the log's time leaps, until
/// somebody says what day it is. Exit code 1 when something could not be done.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this tenant
    #[arg(long, short)]
    tenant: Option<TenantId>,
    /// Only count what would be taken away; nothing is changed or recorded
    #[arg(long)]
    dry_run: bool,
    /// Who you are; the system's user is recorded beside it
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Why now
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// What day it is, so that a clock that was put wrong prunes nothing: asked for where the log has nothing for over a month
    #[arg(long, value_name = "YYYY-MM-DD")]
    today: Option<Day>,
    #[command(flatten)]
    how: How,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let act = Act::Prune {
        tenant: args.tenant,
        counts_only: args.dry_run,
        by: args.by,
        reason: args.reason,
        today: args.today,
    };
    let done = perform(&args.how.config, act).await?;
    let mut out = std::io::stdout().lock();
    let written = if args.how.json {
        serde_json::to_writer(&mut out, &done)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write(&done, args.dry_run, &mut out)
    };
    written.map_err(Failure::output)?;
    let failed = done.pruned.iter().filter(|one| one.problem.is_some());
    let failed: Vec<&str> = failed.map(|one| one.tenant.as_str()).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("not pruned: {}", failed.join(", ")).into()),
    }
}

fn write(done: &Done, counts_only: bool, out: &mut dyn Write) -> std::io::Result<()> {
    for one in &done.pruned {
        let (tenant, found) = (&one.tenant, &one.found);
        match (&one.problem, found.last) {
            (Some(problem), _) => writeln!(out, "{tenant}: {}", visible(problem))?,
            (None, None) => writeln!(out, "{tenant}: no payload was kept long enough")?,
            (None, Some(last)) => {
                let (payloads, bytes) = (number(found.payloads), number(found.bytes));
                let would = if counts_only { "would be " } else { "" };
                writeln!(
                    out,
                    "{tenant}: {payloads} payloads, {bytes} bytes, up to entry {last} {would}pruned"
                )?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::Pruned;
    use expect_test::expect;
    use nephron_audit::Prunable;

    #[test]
    fn each_tenant_has_a_line() {
        let one = |tenant: &str, last, problem: Option<&str>| Pruned {
            tenant: tenant.parse().unwrap(),
            found: Prunable {
                last,
                payloads: 1200,
                bytes: 4_000_000,
            },
            problem: problem.map(str::to_owned),
        };
        let done = Done {
            pruned: vec![
                one("st-marys", Some(17), None),
                one("riverside", None, None),
                one("hilltop", None, Some("on hold\u{1b}[2J")),
            ],
            ..Done::default()
        };
        let shown = |counts_only| {
            let mut out = Vec::new();
            write(&done, counts_only, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        expect![[r"
            st-marys: 1,200 payloads, 4,000,000 bytes, up to entry 17 pruned
            riverside: no payload was kept long enough
            hilltop: on hold\u{1b}[2J
        "]]
        .assert_eq(&shown(false));
        assert!(shown(true).contains("up to entry 17 would be pruned"));
    }
}
