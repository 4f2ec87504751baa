//! `nephron associate list`: the register as a table.

use std::io::{self, Write};

use super::super::style::Look;
use super::super::table::{Align, Cell, Table};
use super::{Associates, Failure, Opened, Register, style_of};
use crate::config::Associate;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) register: Register,
    /// Print one JSON object: `associates`, with every field
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let opened = args.register.open()?;
    let out = &mut anstream::stdout().lock();
    let written = if args.json {
        writeln!(out, "{}", report(&opened))
    } else {
        table(&opened, Look::of_stdout(), out)
    };
    written.map_err(Failure::output)
}

/// Names of the endpoints that it runs.
fn runs<'a>(opened: &'a Opened, associate: &Associate) -> Vec<&'a str> {
    let endpoints = opened.config.endpoints.iter();
    endpoints
        .filter(|endpoint| endpoint.associate.as_ref() == Some(&associate.name))
        .map(|endpoint| endpoint.name.as_str())
        .collect()
}

pub(super) fn report(opened: &Opened) -> serde_json::Value {
    let associate = |associate: &Associate| {
        let standing = Associates::standing(associate, opened.now, opened.within);
        let agreement = associate.agreement.as_ref().map(|agreement| {
            serde_json::json!({
                "id": agreement.id,
                "services": agreement.services,
                "from": agreement.from.day(),
                "until": agreement.until.day(),
                "document": agreement.document.map(|digest| digest.to_string()),
                "no-training": agreement.excludes_training,
                "right-to-audit": agreement.allows_audit,
                "breach-notice-hours": agreement.breach_notice.map(|time| time.as_secs() / 3600),
            })
        });
        serde_json::json!({
            "name": associate.name,
            "role": associate.role.as_str(),
            "standing": standing.as_str(),
            "agreement": agreement,
            "endpoints": runs(opened, associate),
            "subprocessors": associate.subprocessors,
            "residency": associate.residency,
            "soc2-report": associate.soc2_report.map(|day| day.day()),
        })
    };
    let associates: Vec<_> = opened.associates.all().iter().map(associate).collect();
    serde_json::json!({ "at": opened.now.day(), "associates": associates })
}

pub(super) fn table(opened: &Opened, look: Look, out: &mut impl Write) -> io::Result<()> {
    let columns = [
        "associate",
        "role",
        "standing",
        "agreement",
        "endpoints",
        "subprocessors",
        "residency",
        "SOC 2",
        "breach notice",
        "clauses",
    ];
    let mut table = Table::new(0, &columns.map(|title| (title, Align::Left)));
    for associate in opened.associates.all() {
        let standing = Associates::standing(associate, opened.now, opened.within);
        let agreement = associate.agreement.as_ref();
        let clauses = agreement.map(|agreement| {
            let clauses = [
                agreement.excludes_training.then_some("no training"),
                agreement.allows_audit.then_some("audit"),
            ];
            clauses.into_iter().flatten().collect::<Vec<_>>().join(", ")
        });
        let notice = agreement.and_then(|agreement| agreement.breach_notice);
        let row = vec![
            Cell::new(&associate.name),
            Cell::new(associate.role.as_str()),
            Cell::styled(standing.to_string(), style_of(standing)),
            Cell::new(agreement.map_or("", |agreement| &agreement.id)),
            Cell::new(runs(opened, associate).join(", ")),
            Cell::new(associate.subprocessors.join(", ")),
            Cell::new(associate.residency.join(", ")),
            Cell::new(
                associate
                    .soc2_report
                    .map(|day| day.day())
                    .unwrap_or_default(),
            ),
            Cell::new(
                notice
                    .map(|time| format!("{} h", time.as_secs() / 3600))
                    .unwrap_or_default(),
            ),
            Cell::new(clauses.unwrap_or_default()),
        ];
        table.push(row, look, out)?;
    }
    table.finish(look, out)
}
