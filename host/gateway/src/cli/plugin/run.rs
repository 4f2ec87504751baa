//! `nephron plugin run`: one call, and everything that came of it.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_engine::{Engine, Limits, Rehearsed, Said, Verdict};
use serde::Serialize;

use super::said::Diagnostic;
use super::subject;
use crate::cli::style::{self, Look};
use crate::cli::text::{number, visible};
use crate::cli::{Failure, Globals};
use crate::conformance::{Case, Lender, Suite};

/// Ask a plugin once and show its answer, its fuel and what it said of itself.
///
/// The input is a case (docs/conformance.md); what it expects is not looked at. For invented data: what a plugin says of itself is
/// printed whole here, and only counted while it serves.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// The input, a JSON file in the form of a case
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,
    /// Print one JSON object for each call
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    /// As it is recorded (docs/formats/judgement.md).
    answer: serde_json::Value,
    failed: bool,
    fuel: u64,
    microseconds: u64,
    diagnostics: Vec<Diagnostic>,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let mut input = args.subject.input(&args.input)?;
    if let Some(input) = input.as_object_mut() {
        // A case says what it is; an input need not.
        input.entry("description").or_insert_with(|| "".into());
    }
    let case = Case::parse(
        "input",
        &args.input.display().to_string(),
        &input.to_string(),
    );
    let case = case.map_err(|fault| Failure::check(fault.into()))?;
    let subject = args.subject.open().await?;
    let questions = case.questions(subject.vetted.world());
    let questions =
        questions.map_err(|fault| Failure::check(anyhow::anyhow!("{}: {fault}", case.place())))?;
    let engine = Engine::new().context("the sandbox cannot be set up")?;
    let suite = Suite {
        engine: &engine,
        vetted: &subject.vetted,
        limits: &Limits::default(),
        compiler: &subject::compiler()?,
        settings: subject.settings,
    };
    let plugin = suite
        .load(&suite.settings_of(&case))
        .await
        .context("the plugin cannot be loaded")?;
    let lender = Lender::new().await?;
    let mut failed = false;
    for question in questions {
        let rehearsed = engine.rehearse(&plugin, &question, Some(lender.lend()?));
        let Rehearsed { verdict, said, .. } = rehearsed.await;
        let shown = Shown::new(&verdict, &said)?;
        failed |= shown.failed;
        let written = if args.json {
            write_json(&shown, &mut io::stdout().lock())
        } else {
            write(&shown, Look::of_stdout(), &mut anstream::stdout().lock())
        };
        written.map_err(Failure::output)?;
    }
    if failed {
        return Err(Failure::check(anyhow::anyhow!("the plugin gave no answer")));
    }
    Ok(())
}

impl Shown {
    fn new(verdict: &Verdict, said: &[Said]) -> anyhow::Result<Self> {
        let answer = serde_json::from_slice(verdict.to_bytes().expose());
        Ok(Self {
            answer: answer.context("the answer is no JSON")?,
            failed: verdict.answer.is_err(),
            fuel: verdict.fuel,
            microseconds: u64::try_from(verdict.elapsed.as_micros()).unwrap_or(u64::MAX),
            diagnostics: Diagnostic::all(said),
        })
    }
}

fn write_json(shown: &Shown, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, shown)?;
    writeln!(out)
}

fn write(shown: &Shown, look: Look, out: &mut impl Write) -> io::Result<()> {
    let quiet = look.style(style::QUIET);
    let answer = serde_json::to_string_pretty(&shown.answer)?;
    for line in answer.lines() {
        writeln!(out, "{}", visible(line))?;
    }
    let (fuel, microseconds) = (number(shown.fuel), number(shown.microseconds));
    writeln!(
        out,
        "{quiet}fuel{quiet:#}  {fuel}\n{quiet}µs{quiet:#}    {microseconds}"
    )?;
    for said in &shown.diagnostics {
        said.write(look, out)?;
    }
    Ok(())
}
