//! `nephron associate check`: each endpoint and each clearance through the function that decides, and what lapses soon.

use std::io::{self, Write};

use super::super::style::{BAD, GOOD, Look};
use super::super::table::{Align, Cell, Table};
use super::super::text::plural;
use super::{Failure, Opened, Register, style_of};
use crate::associates::{Alert, Ground, NoGround, Shown};
use crate::config::{Endpoint, METHODS, Role};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) register: Register,
    /// Print one JSON object: `endpoints`, `alerts` and `faults`
    #[arg(long)]
    pub(super) json: bool,
}

/// Whether text of one clearance may go to one endpoint.
struct Row<'a> {
    endpoint: &'a Endpoint,
    /// By which it was cleared; none is identifiable text.
    method: Option<&'static str>,
    result: Result<Ground, NoGround>,
    /// Somebody has to see to it.
    is_fault: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let opened = args.register.open()?;
    let out = &mut anstream::stdout().lock();
    check(&opened, args.json, Look::of_stdout(), out)
}

pub(super) fn check(
    opened: &Opened,
    json: bool,
    look: Look,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let rows = rows(opened);
    let alerts = opened.associates.alerts_within(opened.now, opened.within);
    let faults = rows.iter().filter(|row| row.is_fault).count() + alerts.len();
    let written = if json {
        writeln!(out, "{}", report(opened, &rows, &alerts, faults))
    } else {
        table(&rows, look, out).and_then(|()| tell(&alerts, look, out))
    };
    if faults > 0 {
        // That there are faults outweighs that nobody reads them to the end.
        let at = opened.now.day();
        let found = plural(faults, "fault");
        return Err(Failure::check(anyhow::anyhow!(
            "{found} in the register of associates as of {at}"
        )));
    }
    written.map_err(Failure::output)
}

fn rows(opened: &Opened) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for endpoint in &opened.config.endpoints {
        rows.push(Row::of(opened, endpoint, None));
        rows.extend(METHODS.map(|method| Row::of(opened, endpoint, Some(method))));
    }
    rows
}

impl<'a> Row<'a> {
    fn of(opened: &Opened, endpoint: &'a Endpoint, method: Option<&'static str>) -> Self {
        let associate = endpoint.associate.as_deref();
        let associate = associate.and_then(|name| opened.associates.associate(name));
        // Whoever is no business associate is meant to get no identifiable text.
        let is_meant = associate.is_none_or(|associate| associate.role != Role::None);
        let vouched = opened.vouched.get(&endpoint.connector);
        let vouched = vouched.map_or(&[][..], Vec::as_slice);
        let result = opened
            .associates
            .ground(endpoint, Shown::Text(method), vouched, opened.now);
        Self {
            endpoint,
            method,
            is_fault: method.is_none() && is_meant && result.is_err(),
            result,
        }
    }

    fn clearance(&self) -> &'static str {
        self.method.unwrap_or("identifiable")
    }

    fn because(&self) -> String {
        match &self.result {
            Ok(Ground::InSandbox) => "nothing leaves".to_owned(),
            Ok(Ground::Agreement { id }) => format!("agreement {id}"),
            Ok(Ground::Cleared { lacks }) => format!("cleared-without-baa; {lacks}"),
            Err(why) => why.to_string(),
        }
    }
}

fn report(opened: &Opened, rows: &[Row<'_>], alerts: &[Alert], faults: usize) -> serde_json::Value {
    let row = |row: &Row<'_>| {
        serde_json::json!({
            "endpoint": row.endpoint.name,
            "associate": row.endpoint.associate,
            "region": row.endpoint.region,
            "text": row.clearance(),
            "may-go": row.result.is_ok(),
            "ground": row.result.as_ref().ok().map(Ground::as_str),
            "reasons": row.result.as_ref().err().map(NoGround::reasons).unwrap_or_default(),
            "is-fault": row.is_fault,
        })
    };
    let alert = |alert: &Alert| {
        serde_json::json!({
            "associate": alert.associate,
            "agreement": alert.agreement,
            "standing": alert.standing.as_str(),
            "text": alert.standing.to_string(),
        })
    };
    serde_json::json!({
        "at": opened.now.day(),
        "endpoints": rows.iter().map(row).collect::<Vec<_>>(),
        "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
        "faults": faults,
    })
}

fn table(rows: &[Row<'_>], look: Look, out: &mut impl Write) -> io::Result<()> {
    let columns = [
        "endpoint",
        "associate",
        "region",
        "text",
        "may go",
        "because",
    ];
    let mut table = Table::new(0, &columns.map(|title| (title, Align::Left)));
    let mut above = None;
    for row in rows {
        let is_new = above != Some(&row.endpoint.name);
        above = Some(&row.endpoint.name);
        let once = |text: &Option<String>| {
            let text = text.as_deref().filter(|_| is_new);
            Cell::new(text.unwrap_or_default())
        };
        let (verdict, style) = match (&row.result, row.is_fault) {
            (Ok(_), _) => ("yes", GOOD),
            (Err(_), true) => ("no", BAD),
            (Err(_), false) => ("no", anstyle::Style::new()),
        };
        let cells = vec![
            Cell::new(if is_new { &row.endpoint.name } else { "" }),
            once(&row.endpoint.associate),
            once(&row.endpoint.region),
            Cell::new(row.clearance()),
            Cell::styled(verdict, style),
            Cell::new(row.because()),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)
}

fn tell(alerts: &[Alert], look: Look, out: &mut impl Write) -> io::Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = ["to renew", "agreement", "standing"];
    let mut table = Table::new(0, &columns.map(|title| (title, Align::Left)));
    for alert in alerts {
        let cells = vec![
            Cell::new(&alert.associate),
            Cell::new(&alert.agreement),
            Cell::styled(alert.standing.to_string(), style_of(alert.standing)),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)
}
