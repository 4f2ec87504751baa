//! `nephron plugin test`: a plugin against the cases of its world and its own.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_engine::{Engine, Limits};
use nephron_model::Digest;
use serde::Serialize;

use super::said::Diagnostic;
use super::subject;
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::{count, number, plural, visible_lines};
use crate::cli::{Failure, Globals};
use crate::conformance::{Outcome, Suite};

/// Have a plugin answer conformance cases through the sandbox, each on fresh instances and each question twice.
///
/// First those that every plugin of its world keeps, then its own (docs/conformance.md). Exit code 3 when one fails.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write a report in JUnit's XML there too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What came of all cases.
#[derive(Serialize)]
pub(in crate::cli) struct Report {
    plugin: String,
    world: &'static str,
    digest: Digest,
    passed: usize,
    failed: usize,
    cases: Vec<Tested>,
}

#[derive(Serialize)]
struct Tested {
    name: String,
    /// SHA-256 of the case's file, and of the settings under which it was asked.
    case: Digest,
    settings: Digest,
    description: String,
    fault: Option<String>,
    /// What the plugin said in the call before the fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    said: Vec<Diagnostic>,
    calls: u64,
    fuel: u64,
    microseconds: u64,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let subject = args.subject.open().await?;
    let report = report(subject, false).await?;
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&report))
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    let written = if args.json {
        write_json(&report, &mut io::stdout().lock())
    } else {
        report.write(Look::of_stdout(), &mut anstream::stdout().lock())
    };
    written.map_err(Failure::output)?;
    report.verdict()
}

/// Has a plugin answer its cases; if it `is_certified` as a connector, also what no recorded exchange can show.
pub(in crate::cli) async fn report(
    subject: subject::Subject,
    is_certified: bool,
) -> Result<Report, Failure> {
    let engine = Engine::new().context("the sandbox cannot be set up")?;
    let suite = Suite {
        engine: &engine,
        vetted: &subject.vetted,
        limits: &Limits::default(),
        compiler: &subject::compiler()?,
        settings: subject.settings,
    };
    let mut cases = Vec::new();
    let ran = suite.run(&subject.cases, |outcome| cases.push(outcome.into()));
    ran.await.context("the plugin cannot be loaded")?;
    if is_certified {
        let ran = suite.certify(&subject.cases, |outcome| cases.push(outcome.into()));
        ran.await.context("the plugin cannot be loaded")?;
    }
    let failed = cases
        .iter()
        .filter(|case: &&Tested| case.fault.is_some())
        .count();
    Ok(Report {
        plugin: subject.name,
        world: subject.vetted.world().name(),
        digest: subject.vetted.digest(),
        passed: cases.len() - failed,
        failed,
        cases,
    })
}

impl Report {
    /// The table, with faults below it.
    pub(super) fn write(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        write(self, look, out)
    }

    /// What was not kept, and how.
    pub(in crate::cli) fn write_faults(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let bad = look.style(style::BAD);
        for case in &self.cases {
            if let Some(fault) = &case.fault {
                let (description, fault) = (visible_lines(&case.description), visible_lines(fault));
                writeln!(out, "\n{bad}{}{bad:#}: {description}\n  {fault}", case.name)?;
                for said in &case.said {
                    write!(out, "  ")?;
                    said.write(look, out)?;
                }
            }
        }
        Ok(())
    }

    /// How many cases were kept.
    pub(in crate::cli) const fn passed(&self) -> usize {
        self.passed
    }

    /// How many were not.
    pub(in crate::cli) const fn failed(&self) -> usize {
        self.failed
    }

    /// # Errors
    /// When a case was not kept.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        let failed = plural(self.failed, "case");
        Err(Failure::check(anyhow::anyhow!("{failed} not kept")))
    }

    /// As a certificate names it, by its digest: without times, so that whoever tests the same gets the same.
    ///
    /// # Errors
    /// Never with what a report holds.
    pub(super) fn lasting(&self) -> serde_json::Result<Vec<u8>> {
        let mut report = serde_json::to_value(self)?;
        let cases = report
            .get_mut("cases")
            .and_then(serde_json::Value::as_array_mut);
        for case in cases.into_iter().flatten() {
            case.as_object_mut().map(|case| case.remove("microseconds"));
        }
        let mut text = serde_json::to_vec_pretty(&report)?;
        text.push(b'\n');
        Ok(text)
    }
}

impl From<Outcome> for Tested {
    fn from(outcome: Outcome) -> Self {
        Self {
            name: outcome.name,
            case: outcome.case,
            settings: outcome.settings,
            description: outcome.description,
            fault: outcome.fault,
            said: Diagnostic::all(&outcome.said),
            calls: outcome.calls,
            fuel: outcome.fuel,
            microseconds: u64::try_from(outcome.elapsed.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

fn write_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

fn write(report: &Report, look: Look, out: &mut impl Write) -> io::Result<()> {
    let columns = [
        ("", Align::Left),
        ("case", Align::Left),
        ("calls", Align::Right),
        ("fuel", Align::Right),
        ("µs", Align::Right),
    ];
    let mut table = Table::new(0, &columns);
    for case in &report.cases {
        let verdict = match case.fault {
            None => Cell::styled("kept", style::GOOD),
            Some(_) => Cell::styled("failed", style::BAD),
        };
        let cells = vec![
            verdict,
            Cell::new(&case.name),
            Cell::new(number(case.calls)),
            Cell::new(number(case.fuel)),
            Cell::new(number(case.microseconds)),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)?;
    report.write_faults(look, out)?;
    let (plugin, world) = (&report.plugin, report.world);
    let (passed, failed) = (number(count(report.passed)), number(count(report.failed)));
    writeln!(
        out,
        "\n{plugin} ({world}): {passed} passed, {failed} failed"
    )
}

/// The form that Jenkins and others read: one suite, one `testcase` a case. Times are in seconds.
fn junit(report: &Report) -> String {
    let seconds = |microseconds: u64| {
        format!(
            "{}.{:06}",
            microseconds / 1_000_000,
            microseconds % 1_000_000
        )
    };
    let whole = report.cases.iter().map(|case| case.microseconds).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{}\">\n",
        escaped(&report.plugin),
        report.cases.len(),
        report.failed,
        seconds(whole),
    );
    for case in &report.cases {
        let (class, name) = (escaped(report.world), escaped(&case.name));
        let time = seconds(case.microseconds);
        let end = match &case.fault {
            None => "/>\n".to_owned(),
            Some(fault) => {
                let (message, text) = (escaped(&case.description), escaped(fault));
                format!(">\n<failure message=\"{message}\">{text}</failure>\n</testcase>\n")
            }
        };
        // Writing to a string cannot fail.
        let _written = write!(
            xml,
            "<testcase classname=\"{class}\" name=\"{name}\" time=\"{time}\"{end}"
        );
    }
    xml + "</testsuite>\n</testsuites>\n"
}

/// Text for XML 1.0, which has no word for most controls, not even escaped.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                out.extend(c.escape_default());
            }
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn report() -> Report {
        let case = |name: &str, fault: Option<&str>| Tested {
            name: name.to_owned(),
            case: Digest::of(b"case"),
            settings: Digest::of(b"{}"),
            description: "Two < three & \"four\".".to_owned(),
            fault: fault.map(str::to_owned),
            said: Vec::new(),
            calls: 2,
            fuel: 12_345,
            microseconds: 1_000_250,
        };
        Report {
            plugin: "gate".to_owned(),
            world: "access-policy",
            digest: Digest::of(b"gate"),
            passed: 1,
            failed: 1,
            cases: vec![
                case("every/nothing-is-known", None),
                case(
                    "a-nurse",
                    Some("effect: expected \"deny\", found \u{1b}[2J"),
                ),
            ],
        }
    }

    #[test]
    fn a_fault_stands_below_the_table_and_drives_no_terminal() {
        let mut out = Vec::new();
        let look = Look {
            in_colour: false,
            width: 100,
        };
        write(&report(), look, &mut out).unwrap();
        expect![[r#"
                    case                    calls    fuel         µs
            kept    every/nothing-is-known      2  12,345  1,000,250
            failed  a-nurse                     2  12,345  1,000,250

            a-nurse: Two < three & "four".
              effect: expected "deny", found \u{1b}[2J

            gate (access-policy): 1 passed, 1 failed
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn the_report_for_junit_is_well_formed_and_says_what_failed() {
        let text = junit(&report());
        let document = roxmltree::Document::parse(&text).unwrap();
        let suite = document.root_element().first_element_child().unwrap();
        assert_eq!(
            (suite.attribute("tests"), suite.attribute("failures")),
            (Some("2"), Some("1"))
        );
        let failure = document
            .descendants()
            .find(|node| node.has_tag_name("failure"));
        let failure = failure.unwrap();
        assert_eq!(
            failure.attribute("message"),
            Some("Two < three & \"four\".")
        );
        assert_eq!(
            failure.text(),
            Some("effect: expected \"deny\", found \\u{1b}[2J")
        );
        let case = failure.parent().unwrap();
        assert_eq!(case.attribute("name"), Some("a-nurse"));
        assert_eq!(case.attribute("time"), Some("1.000250"));
    }
}
