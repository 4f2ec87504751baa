//! `nephron classify`: which values of sample records a classification schema has a path for, and which it has none for.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_model::TenantId;
use serde::Serialize;

use super::style::{self, Look};
use super::table::{Align, Cell, Table};
use super::text::{count, number, plural, visible};
use super::{Failure, Globals};
use crate::classification::{self, Class, Classification};
use crate::config::Config;
use crate::wire::json::{Json, malformed};

/// Show which fields of sample records a classification covers
///
/// Every value that is not null is counted under the first path of the schema that stands for it. Exit code 3 if there is none for
/// any. Values are not shown; names of fields are.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records: JSON objects, one after the other (JSON, JSON Lines, NDJSON) or in lists; `-`, or none, is standard input
    #[arg(value_name = "RECORDS")]
    records: Vec<PathBuf>,
    /// The schema: a file of `[[field]]` tables (docs/operate.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "tenant"])]
    schema: Option<PathBuf>,
    /// A configuration, whose tenant has one
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Whose, where several tenants have one
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let schema = schema(&args)?;
    let stdin = [PathBuf::from("-")];
    let files = match args.records.as_slice() {
        [] => stdin.as_slice(),
        named => named,
    };
    let mut coverage = Coverage::new(&schema);
    for file in files {
        coverage.add_file(file)?;
    }
    if coverage.records == 0 {
        let error = anyhow::anyhow!("there is no record to look at");
        return Err(Failure::usage(error));
    }
    let report = coverage.report();
    let written = if args.json {
        serde_json::to_writer(&mut io::stdout().lock(), &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(io::stdout().lock()))
    } else {
        write(&report, Look::of_stdout(), &mut anstream::stdout().lock())
    };
    written.map_err(Failure::output)?;
    match report.uncovered_values {
        0 => Ok(()),
        bare => Err(Failure::check(anyhow::anyhow!(
            "{} of {} values stand under no path of `{}`; add paths for them there",
            number(bare),
            number(report.values),
            report.schema.display()
        ))),
    }
}

fn schema(args: &Args) -> Result<Classification, Failure> {
    if let Some(path) = &args.schema {
        return Classification::load(path).map_err(|faults| Failure::check(faults.into()));
    }
    let mut config = Config::load(&args.config).map_err(|faults| Failure::check(faults.into()))?;
    let found = match &args.tenant {
        Some(tenant) => config.classifications.remove(tenant),
        None if config.classifications.len() > 1 => {
            let error =
                anyhow::anyhow!("several tenants have a classification; name one with --tenant");
            return Err(Failure::usage(error));
        }
        None => config.classifications.pop_first().map(|(_, schema)| schema),
    };
    found.ok_or_else(|| {
        let error = anyhow::anyhow!(
            "`{}` has no `classification` for whom is meant; name a schema with --schema",
            args.config.display()
        );
        Failure::usage(error)
    })
}

/// What was counted.
struct Coverage<'a> {
    schema: &'a Classification,
    records: u64,
    values: u64,
    /// Of each rule.
    rules: Vec<Tally>,
    /// Of each path without a rule, as it is shown, with whether `/v1/fields` could take it for a name.
    bare: BTreeMap<String, (Tally, bool)>,
    /// Of those without a rule that came when there were [`Coverage::MOST`] paths.
    beyond: Tally,
}

/// Where a value stands: as `/v1/fields` would be asked for it, and as it is shown, with `*` for an element of a list.
#[derive(Default)]
struct Path {
    name: String,
    shown: String,
}

impl Path {
    fn push(&mut self, step: &str, shown: &str) {
        for (path, step) in [(&mut self.name, step), (&mut self.shown, shown)] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(step);
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    values: u64,
    records: u64,
    /// The record that was counted last, from 1.
    last: u64,
}

impl Tally {
    fn add(&mut self, record: u64) {
        self.values += 1;
        if self.last != record {
            self.last = record;
            self.records += 1;
        }
    }
}

impl<'a> Coverage<'a> {
    /// Paths without a rule that are told apart: where names are data there is no end of them.
    const MOST: usize = 1_000;

    fn new(schema: &'a Classification) -> Self {
        Self {
            schema,
            records: 0,
            values: 0,
            rules: vec![Tally::default(); schema.rules.len()],
            bare: BTreeMap::new(),
            beyond: Tally::default(),
        }
    }

    fn add_file(&mut self, path: &std::path::Path) -> anyhow::Result<()> {
        let (name, reader) = super::open(path)?;
        let values = serde_json::Deserializer::from_reader(BufReader::new(reader));
        for value in values.into_iter::<Json>() {
            let value = match value {
                Ok(value) => value,
                Err(error) if error.is_io() => {
                    return Err(io::Error::from(error)).context(format!("`{name}` cannot be read"));
                }
                Err(error) => {
                    return Err(malformed(&error)).context(format!("`{name}` is malformed"));
                }
            };
            let records = if let Json::List(records) = value {
                records
            } else {
                vec![value]
            };
            for record in records {
                let Json::Object(_) = &record else {
                    anyhow::bail!(
                        "`{name}`: record {} is no JSON object; records are objects, one after the other or in a list",
                        number(self.records + 1)
                    );
                };
                self.records += 1;
                self.add(&record, &mut Path::default());
            }
        }
        Ok(())
    }

    /// Counts every value below `value`, which stands at `path`.
    fn add(&mut self, value: &Json, path: &mut Path) {
        match value {
            Json::Null => {}
            Json::Object(entries) => {
                for (name, value) in entries {
                    self.add_below(value, path, name, name);
                }
            }
            Json::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.add_below(value, path, &index.to_string(), "*");
                }
            }
            Json::Embedded(value) => self.add(value, path),
            Json::Bool(_)
            | Json::Number(_)
            | Json::Exact(_)
            | Json::Weights(_)
            | Json::Text(_)
            | Json::Fixed(_)
            | Json::Name { .. } => self.add_value(path),
        }
    }

    fn add_below(&mut self, value: &Json, path: &mut Path, step: &str, shown: &str) {
        let lengths = (path.name.len(), path.shown.len());
        path.push(step, shown);
        self.add(value, path);
        path.name.truncate(lengths.0);
        path.shown.truncate(lengths.1);
    }

    fn add_value(&mut self, path: &Path) {
        self.values += 1;
        let rule = self.schema.rule(&path.name);
        let tally = match rule.and_then(|(index, _)| self.rules.get_mut(index)) {
            Some(tally) => tally,
            None if self.bare.len() < Self::MOST || self.bare.contains_key(&path.shown) => {
                let (tally, is_name) = self.bare.entry(path.shown.clone()).or_default();
                *is_name = classification::is_name(&path.name);
                tally
            }
            None => &mut self.beyond,
        };
        tally.add(self.records);
    }

    fn report(&self) -> Report<'_> {
        let paths = self.schema.rules.iter().zip(&self.rules);
        let bare = self.bare.iter().map(|(path, (tally, is_name))| Bare {
            path,
            why: if *is_name { "unclassified" } else { "no-name" },
            values: tally.values,
            records: tally.records,
        });
        let mut uncovered: Vec<Bare<'_>> = bare.collect();
        uncovered.sort_by_key(|bare| std::cmp::Reverse(bare.values));
        Report {
            schema: &self.schema.file,
            records: self.records,
            values: self.values,
            uncovered_values: self.values
                - self.rules.iter().map(|tally| tally.values).sum::<u64>(),
            paths: paths
                .map(|(rule, tally)| Covered {
                    path: rule.path.to_string(),
                    class: rule.class,
                    kind: (rule.class != Class::Public).then(|| rule.kind.to_string()),
                    purposes: rule.purposes.iter().map(ToString::to_string).collect(),
                    values: tally.values,
                    records: tally.records,
                })
                .collect(),
            uncovered,
            uncovered_values_of_further_paths: self.beyond.values,
        }
    }
}

/// What is printed. Counts of values, and of the records that they are in.
#[derive(Serialize)]
struct Report<'a> {
    schema: &'a std::path::Path,
    records: u64,
    values: u64,
    uncovered_values: u64,
    paths: Vec<Covered>,
    uncovered: Vec<Bare<'a>>,
    uncovered_values_of_further_paths: u64,
}

#[derive(Serialize)]
struct Covered {
    path: String,
    class: Class,
    kind: Option<String>,
    purposes: Vec<String>,
    values: u64,
    records: u64,
}

#[derive(Serialize)]
struct Bare<'a> {
    /// An element of a list is `*`.
    path: &'a str,
    /// `unclassified`, or `no-name` where `/v1/fields` could not be asked for it.
    why: &'static str,
    values: u64,
    records: u64,
}

fn write(report: &Report<'_>, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (good, bad) = (look.style(style::GOOD), look.style(style::BAD));
    let schema = visible(&report.schema.display().to_string());
    let sizes = format!(
        "{}, of which {} with {} are looked at",
        plural(report.paths.len(), "path"),
        plural(
            usize::try_from(report.records).unwrap_or(usize::MAX),
            "record"
        ),
        plural(
            usize::try_from(report.values).unwrap_or(usize::MAX),
            "value"
        ),
    );
    writeln!(out, "{schema}: {sizes}\n")?;
    let numbers = [("values", Align::Right), ("records", Align::Right)];
    let mut columns = vec![
        ("path", Align::Left),
        ("class", Align::Left),
        ("kind", Align::Left),
        ("purposes", Align::Left),
    ];
    columns.extend(numbers);
    let mut table = Table::new(2, &columns);
    for path in &report.paths {
        let is_met = path.values > 0;
        let style = if is_met {
            anstyle::Style::new()
        } else {
            style::QUIET
        };
        let purposes = match (path.class, path.purposes.as_slice()) {
            (Class::Public, _) => String::new(),
            (Class::Phi | Class::Pii | Class::Internal, []) => "every".to_owned(),
            (Class::Phi | Class::Pii | Class::Internal, some) => some.join(" "),
        };
        let texts = [
            path.path.clone(),
            path.class.as_str().to_owned(),
            path.kind.clone().unwrap_or_default(),
            purposes,
            number(path.values),
            number(path.records),
        ];
        let row = texts.into_iter().map(|text| Cell::styled(text, style));
        table.push(row.collect(), look, out)?;
    }
    table.finish(look, out)?;
    writeln!(out)?;
    if report.uncovered_values == 0 {
        return writeln!(out, "{good}every value stands under a path{good:#}");
    }
    let values = number(report.uncovered_values);
    writeln!(
        out,
        "{bad}{values} of {} values stand under no path{bad:#}\n",
        number(report.values)
    )?;
    let mut columns = vec![("path", Align::Left), ("why", Align::Left)];
    columns.extend(numbers);
    let mut table = Table::new(2, &columns);
    for bare in &report.uncovered {
        let why = match bare.why {
            "no-name" => "no name of letters, digits and `._:/-@`, or more than 64",
            _ => "",
        };
        let texts = [
            bare.path.to_owned(),
            why.to_owned(),
            number(bare.values),
            number(bare.records),
        ];
        table.push(texts.into_iter().map(Cell::new).collect(), look, out)?;
    }
    table.finish(look, out)?;
    match report.uncovered_values_of_further_paths {
        0 => Ok(()),
        values => writeln!(
            out,
            "  and {} values under further paths than the first {}; where names are data, `*` stands for them",
            number(values),
            number(count(Coverage::MOST))
        ),
    }
}
