//! `nephron audit disclosures`: to whom something about a patient went (45 CFR 164.528).

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use anyhow::Context as _;
use nephron_audit::{Header, Reader};
use nephron_model::{Clock as _, EntryKind, EventId, Fingerprint, SystemClock, Timestamp};
use serde::Serialize;

use super::patient::{About, Asker, digest};
use super::period::Period;
use super::show::to_the_millisecond;
use super::{Which, whole};
use crate::chain::deidentify::is_kind;
use crate::cli::Failure;
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::{count, number};

/// List what left for a model outside about a patient: when, to whom, what kinds of information, for what purpose.
///
/// For the accounting of disclosures (45 CFR 164.528), of the six years before now unless a period is given. Each says why it need not be
/// in the accounting, where the regulation excepts it; `--accountable` leaves those out. Only requests that named the patient
/// (`known.mrn`) are known to be about the patient. Suspensions at the request of an agency (164.528(a)(2)) are not kept here: take out
/// what one covers before the list is handed out. Exit code 3 when the log is damaged.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The patient's record number (`-`: read it from standard input), or its digest
    #[arg(long, value_name = "NUMBER")]
    patient: String,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    period: Period,
    /// Only those that the regulation does not except
    #[arg(long)]
    accountable: bool,
    /// One row for all to one recipient for one purpose, with the first, the last and how many (164.528(b)(3))
    #[arg(long)]
    summed: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What went to somebody outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Disclosure {
    time: String,
    event: EventId,
    /// The entry that says so.
    sequence: u64,
    /// The recipient, as the configuration names it.
    associate: Option<String>,
    endpoint: String,
    /// Why it was let go: `agreement` or `cleared-without-agreement`.
    ground: String,
    information: Information,
    purpose: String,
    caller: String,
    /// What came of the exchange; nothing where the log does not say.
    came: Option<String>,
    /// Why it need not be in the accounting.
    excepted: Option<&'static str>,
}

/// What kinds of information went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Information {
    /// The method by which the text had been de-identified; nothing where detectors ran that amount to none.
    method: Option<String>,
    /// Identifiers that tokens stood for in it, by kind. They did not go.
    replaced: BTreeMap<String, u64>,
    /// What nobody could search and went as it was, such as images, by kind.
    unsearched: BTreeMap<String, u64>,
}

/// The whole answer.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Accounting {
    patient: Fingerprint,
    from: String,
    to: Option<String>,
    disclosures: Vec<Disclosure>,
    /// Those by recipient and purpose.
    series: Vec<Series>,
    suspended: &'static str,
}

/// Disclosures to one recipient for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Series {
    associate: Option<String>,
    endpoint: String,
    purpose: String,
    first: String,
    last: String,
    count: u64,
}

const SUSPENDED: &str =
    "suspensions at the request of an agency (45 CFR 164.528(a)(2)) are not kept here";

/// Six years (164.528(a)(3)), leap days included.
const SIX_YEARS: u64 = (6 * 365 + 2) * 24 * 60 * 60;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let patient = digest(&args.patient, &args.which, &args.asker).await?;
    let folder = args.which.folder("asked")?;
    let from = args.period.from.unwrap_or_else(|| Timestamp {
        seconds: SystemClock.now().seconds.saturating_sub(SIX_YEARS),
        nanoseconds: 0,
    });
    let period = Period {
        from: Some(from),
        ..args.period
    };
    let mut account = Account::new(patient, period);
    let reader = Reader::survey(&folder, |met| account.meet(met.header));
    let reader = reader.context("the log cannot be read")?;
    let mut disclosures = account.found;
    if args.accountable {
        disclosures.retain(|one| one.excepted.is_none());
    }
    let accounting = Accounting {
        patient,
        from: from.to_string(),
        to: period.to.map(|to| to.to_string()),
        series: series(&disclosures),
        disclosures,
        suspended: SUSPENDED,
    };
    let mut out = anstream::stdout().lock();
    let written = if args.json {
        serde_json::to_writer(&mut out, &accounting)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write(&accounting, args.summed, Look::of_stdout(), &mut out)
    };
    written.map_err(Failure::output)?;
    whole(&reader, &folder)
}

/// Takes the entries of a log, in order, and keeps the disclosures about one patient.
struct Account {
    about: About,
    period: Period,
    /// What is known of the patient's requests that have not ended.
    open: HashMap<EventId, Information>,
    found: Vec<Disclosure>,
}

impl Account {
    fn new(patient: Fingerprint, period: Period) -> Self {
        Self {
            about: About::new(patient),
            period,
            open: HashMap::new(),
            found: Vec::new(),
        }
    }

    fn meet(&mut self, header: &Header) {
        let is_about = self.about.is_met(header);
        let Some(request) = header.request.filter(|_| is_about) else {
            return;
        };
        let kind = header.kind;
        if kind == EntryKind::Deidentified {
            let information = self.open.entry(request).or_default();
            let method = header.facts.get("method").filter(|it| *it != "none");
            information.method = method.cloned();
            let kinds = header.counts.iter().filter(|(name, _)| is_kind(name));
            information.replaced = kinds.map(|(name, count)| (name.clone(), *count)).collect();
        }
        // What a connector answers by itself goes nowhere.
        let leaves = kind == EntryKind::Sending && header.outcome == "intent";
        if leaves && self.period.holds(header) {
            let information = self.open.get(&request).cloned().unwrap_or_default();
            self.found.push(disclosure(header, request, information));
        }
        if kind == EntryKind::Received {
            let last = self.found.iter_mut().rev().find(|one| one.event == request);
            if let Some(one) = last.filter(|one| one.came.is_none()) {
                one.came = Some(header.outcome.clone());
            }
        }
        if kind == EntryKind::RequestClosed {
            self.open.remove(&request);
        }
    }
}

fn disclosure(header: &Header, event: EventId, known: Information) -> Disclosure {
    let fact = |name: &str| header.facts.get(name).cloned();
    let purpose = header.purpose.as_ref().map(ToString::to_string);
    let purpose = purpose.unwrap_or_default();
    let information = Information {
        unsearched: header.counts.clone(),
        ..known
    };
    Disclosure {
        time: to_the_millisecond(header.time),
        event,
        sequence: header.sequence,
        associate: fact("associate"),
        endpoint: fact("endpoint").unwrap_or_default(),
        ground: fact("ground").unwrap_or_default(),
        excepted: excepted(&purpose, &information),
        information,
        purpose,
        caller: header.caller.clone().unwrap_or_default(),
        came: None,
    }
}

/// Why a disclosure need not be in the accounting, by the purpose that the caller stated (HL7 v3 PurposeOfUse) or by what went. A
/// purpose whose place under 45 CFR 164.501 depends on the case is excepted by none.
fn excepted(purpose: &str, information: &Information) -> Option<&'static str> {
    match purpose {
        "TREAT" | "ETREAT" | "COC" => Some("treatment, 164.528(a)(1)(i)"),
        "HPAYMT" | "CLMATTCH" | "COVAUTH" | "COVERAGE" | "ELIGDTRM" | "ELIGVER" | "ENROLLM"
        | "REMITADV" => Some("payment, 164.528(a)(1)(i)"),
        "HOPERAT" | "CAREMGT" | "HACCRED" | "HQUALIMP" | "PATADMIN" | "PATSFTY" => {
            Some("health care operations, 164.528(a)(1)(i)")
        }
        _ if information.method.is_some() && information.unsearched.is_empty() => {
            Some("de-identified, 164.502(d)(2)")
        }
        _ => None,
    }
}

/// By recipient and purpose, in the order of the first.
fn series(disclosures: &[Disclosure]) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for one in disclosures {
        let is_same = |series: &&mut Series| {
            series.associate == one.associate
                && series.endpoint == one.endpoint
                && series.purpose == one.purpose
        };
        match all.iter_mut().find(is_same) {
            Some(series) => {
                series.last.clone_from(&one.time);
                series.count += 1;
            }
            None => all.push(Series {
                associate: one.associate.clone(),
                endpoint: one.endpoint.clone(),
                purpose: one.purpose.clone(),
                first: one.time.clone(),
                last: one.time.clone(),
                count: 1,
            }),
        }
    }
    all
}

fn write(
    accounting: &Accounting,
    summed: bool,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    let columns = |titles: &[&'static str]| {
        let columns: Vec<_> = titles.iter().map(|title| (*title, Align::Left)).collect();
        Table::new(0, &columns)
    };
    let recipient = |associate: &Option<String>| Cell::new(associate.as_deref().unwrap_or("-"));
    if summed {
        let mut table = columns(&["first", "last", "count", "associate", "endpoint", "purpose"]);
        for one in &accounting.series {
            let cells = vec![
                Cell::new(&one.first),
                Cell::new(&one.last),
                Cell::new(number(one.count)),
                recipient(&one.associate),
                Cell::new(&one.endpoint),
                Cell::new(&one.purpose),
            ];
            table.push(cells, look, out)?;
        }
        table.finish(look, out)?;
    } else {
        let titles = [
            "time",
            "associate",
            "endpoint",
            "information",
            "purpose",
            "came",
            "excepted",
        ];
        let mut table = columns(&titles);
        for one in &accounting.disclosures {
            let cells = vec![
                Cell::styled(&one.time, style::QUIET),
                recipient(&one.associate),
                Cell::new(&one.endpoint),
                Cell::new(in_words(&one.information)),
                Cell::new(&one.purpose),
                Cell::new(one.came.as_deref().unwrap_or("unknown")),
                Cell::new(one.excepted.unwrap_or("no")),
            ];
            table.push(cells, look, out)?;
        }
        table.finish(look, out)?;
    }
    let quiet = look.style(style::QUIET);
    let until = accounting.to.as_deref().unwrap_or("now");
    writeln!(
        out,
        "{quiet}{} from {} to {until}; {SUSPENDED}{quiet:#}",
        number(count(accounting.disclosures.len())),
        accounting.from,
    )
}

fn in_words(information: &Information) -> String {
    let counted = |counts: &BTreeMap<String, u64>| -> String {
        let each = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut words = match &information.method {
        Some(method) => format!("text cleared by {method}"),
        None => "text".to_owned(),
    };
    if !information.replaced.is_empty() {
        words += &format!(" without {}", counted(&information.replaced));
    }
    if !information.unsearched.is_empty() {
        words += &format!(", with {}", counted(&information.unsearched));
    }
    words
}

#[cfg(test)]
mod tests;
