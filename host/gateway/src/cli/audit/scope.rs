//! `nephron audit scope`: whose data an incident could have touched.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use anyhow::Context as _;
use nephron_audit::{Header, Reader};
use nephron_model::{EntryKind, EventId, Timestamp};
use serde::Serialize;

use super::patient::patients;
use super::period::Period;
use super::search::is_of;
use super::{Which, whole};
use crate::chain::deidentify::is_kind;
use crate::cli::Failure;
use crate::cli::style::{self, Look};
use crate::cli::text::{number, visible};

/// Count what an incident could have touched: requests, patients, records, kinds of identifiers, endpoints, of a caller, a plugin or an associate.
///
/// Counted are all requests for which everything given holds in the period: asked by that caller, judged by that plugin, sent to that
/// associate. Exit code 3 when the log is damaged; what could be read is counted.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    incident: Incident,
    /// List each patient too, by digest, with the number of requests
    #[arg(long)]
    patients: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What happened to whom, and when.
#[derive(clap::Args)]
#[group(id = "of", multiple = true)]
struct Incident {
    #[command(flatten)]
    period: Period,
    /// A credential of this caller was in other hands
    #[arg(long, value_name = "ID", required_unless_present_any = ["plugin", "associate"])]
    caller: Option<String>,
    /// This plugin, by name, or this component, by digest, did what it should not
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// This associate had a breach
    #[arg(long, value_name = "NAME")]
    associate: Option<String>,
}

/// What was touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Scope {
    /// Entries of the log that were looked at.
    looked_at: u64,
    /// Requests that were touched.
    requests: u64,
    /// Time of their first entry in the period, and of their last.
    #[serde(serialize_with = "in_text")]
    first: Option<Timestamp>,
    #[serde(serialize_with = "in_text")]
    last: Option<Timestamp>,
    /// Distinct patients whom those requests named.
    patients: u64,
    /// Requests that named no patient: whom they are about is in their sealed texts alone.
    without_patient: u64,
    /// Distinct records that clients said they gave as context.
    records: u64,
    /// Identifiers that were found and replaced, by kind.
    identifiers: BTreeMap<String, u64>,
    /// Requests whose answer got its identities back.
    restored: u64,
    /// Exchanges, by endpoint.
    endpoints: BTreeMap<String, u64>,
    /// Requests, by caller.
    callers: BTreeMap<String, u64>,
    /// Requests, by purpose.
    purposes: BTreeMap<String, u64>,
    /// Requests, by patient; where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_patient: Option<BTreeMap<String, u64>>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let folder = args.which.folder("looked at")?;
    let mut survey = Survey::new(&args.incident);
    let reader = Reader::survey(&folder, |met| survey.meet(met.header));
    let reader = reader.context("the log cannot be read")?;
    let scope = survey.finish(args.patients);
    let mut out = anstream::stdout().lock();
    let written = if args.json {
        serde_json::to_writer(&mut out, &scope)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write(&scope, Look::of_stdout(), &mut out)
    };
    written.map_err(Failure::output)?;
    whole(&reader, &folder)
}

/// What is known of a request that has not ended.
#[derive(Default)]
struct Touched {
    is_of_caller: bool,
    is_of_plugin: bool,
    is_of_associate: bool,
    /// Its first entry in the period, and its last.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    caller: Option<String>,
    purpose: Option<String>,
    patients: Vec<String>,
    records: Vec<String>,
    identifiers: BTreeMap<String, u64>,
    endpoints: BTreeMap<String, u64>,
    is_restored: bool,
}

/// Takes the entries of a log, in order.
struct Survey<'a> {
    incident: &'a Incident,
    open: HashMap<EventId, Touched>,
    scope: Scope,
    /// Requests, by patient.
    patients: HashMap<String, u64>,
    records: HashMap<String, u64>,
}

impl<'a> Survey<'a> {
    fn new(incident: &'a Incident) -> Self {
        Self {
            incident,
            open: HashMap::new(),
            scope: Scope::default(),
            patients: HashMap::new(),
            records: HashMap::new(),
        }
    }

    fn meet(&mut self, header: &Header) {
        self.scope.looked_at += 1;
        let Some(request) = header.request else {
            return;
        };
        let touched = self.open.entry(request).or_default();
        touched.meet(header);
        self.incident.look(header, touched);
        let is_over = matches!(
            header.kind,
            EntryKind::RequestClosed | EntryKind::RequestRefused
        );
        if is_over && let Some(touched) = self.open.remove(&request) {
            self.take(touched);
        }
    }

    fn take(&mut self, touched: Touched) {
        if !(touched.is_of_caller && touched.is_of_plugin && touched.is_of_associate) {
            return;
        }
        let scope = &mut self.scope;
        let (first, last) = (touched.first.or(scope.first), touched.last.or(scope.last));
        scope.first = scope.first.min(first).or(first);
        scope.last = scope.last.max(last);
        scope.requests += 1;
        scope.restored += u64::from(touched.is_restored);
        scope.without_patient += u64::from(touched.patients.is_empty());
        for patient in touched.patients {
            *self.patients.entry(patient).or_default() += 1;
        }
        for record in touched.records {
            *self.records.entry(record).or_default() += 1;
        }
        let add = |sums: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>| {
            for (name, count) in counts {
                *sums.entry(name).or_default() += count;
            }
        };
        add(&mut scope.identifiers, touched.identifiers);
        add(&mut scope.endpoints, touched.endpoints);
        if let Some(caller) = touched.caller {
            *scope.callers.entry(caller).or_default() += 1;
        }
        if let Some(purpose) = touched.purpose {
            *scope.purposes.entry(purpose).or_default() += 1;
        }
    }

    fn finish(mut self, with_patients: bool) -> Scope {
        for (_, touched) in std::mem::take(&mut self.open) {
            self.take(touched);
        }
        let size = |of: &HashMap<String, u64>| crate::cli::text::count(of.len());
        self.scope.patients = size(&self.patients);
        self.scope.records = size(&self.records);
        self.scope.by_patient = with_patients.then(|| self.patients.into_iter().collect());
        self.scope
    }
}

impl Touched {
    fn meet(&mut self, header: &Header) {
        if self.caller.is_none() {
            self.caller.clone_from(&header.caller);
            self.purpose = header.purpose.as_ref().map(ToString::to_string);
        }
        let kind = header.kind;
        if kind == EntryKind::RequestOpened {
            self.patients = patients(header).map(str::to_owned).collect();
            let context = header.facts.get("context");
            let records = context.into_iter().flat_map(|all| all.split(' '));
            self.records = records.map(str::to_owned).collect();
        }
        if kind == EntryKind::Deidentified {
            let kinds = header.counts.iter().filter(|(name, _)| is_kind(name));
            for (kind, count) in kinds {
                *self.identifiers.entry(kind.clone()).or_default() += count;
            }
        }
        if kind == EntryKind::Sending {
            let endpoint = header.facts.get("endpoint").cloned();
            let exchanges = self.endpoints.entry(endpoint.unwrap_or_default());
            *exchanges.or_default() += 1;
        }
        self.is_restored |= kind == EntryKind::Reidentified && header.outcome == "restored";
    }
}

impl Incident {
    /// Takes note of what this entry shows of its request.
    fn look(&self, header: &Header, touched: &mut Touched) {
        if !self.period.holds(header) {
            return;
        }
        touched.first.get_or_insert(header.time);
        touched.last = Some(header.time);
        let by = |id: &String| header.caller.as_ref() == Some(id);
        let sent_to = |name: &String| {
            header.kind == EntryKind::Sending && header.facts.get("associate") == Some(name)
        };
        touched.is_of_caller |= self.caller.as_ref().is_none_or(by);
        touched.is_of_plugin |= self.plugin.as_ref().is_none_or(|name| is_of(header, name));
        touched.is_of_associate |= self.associate.as_ref().is_none_or(sent_to);
    }
}

fn in_text<S: serde::Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

fn write(scope: &Scope, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (heading, quiet) = (look.style(style::HEADING), look.style(style::QUIET));
    let mut line =
        |name: &str, value: String| writeln!(out, "{heading}{name:<12}{heading:#}{value}");
    line("requests", number(scope.requests))?;
    if let (Some(first), Some(last)) = (scope.first, scope.last) {
        line("first", first.to_string())?;
        line("last", last.to_string())?;
    }
    let unnamed = number(scope.without_patient);
    let patients = number(scope.patients);
    line(
        "patients",
        format!("{patients}; {unnamed} requests named none"),
    )?;
    line("records", number(scope.records))?;
    line("restored", number(scope.restored))?;
    let tables = [
        ("identifiers", &scope.identifiers),
        ("endpoints", &scope.endpoints),
        ("callers", &scope.callers),
        ("purposes", &scope.purposes),
    ];
    for (name, counts) in tables {
        let each = counts.iter();
        let each = each.map(|(name, count)| format!("{} {}", number(*count), visible(name)));
        let each: Vec<String> = each.collect();
        line(
            name,
            if each.is_empty() {
                "-".to_owned()
            } else {
                each.join(", ")
            },
        )?;
    }
    for (patient, count) in scope.by_patient.iter().flatten() {
        writeln!(out, "{:>10}  {}", number(*count), visible(patient))?;
    }
    let entries = number(scope.looked_at);
    writeln!(out, "{quiet}{entries} entries were looked at{quiet:#}")
}

#[cfg(test)]
mod tests;
