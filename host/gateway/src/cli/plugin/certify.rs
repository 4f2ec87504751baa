//! `nephron plugin certify`: a component through its suite, and a certificate that says so.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use nephron_model::Digest;
use nephron_trust::{Certificate, DataClass};

use super::{stated, subject, test};
use crate::cli::style::Look;
use crate::cli::{Failure, Globals};
use crate::config::PluginKind;
use crate::gateway::write_durably;

/// Have a plugin pass its conformance cases, and certify that it did.
///
/// What `nephron plugin test` asks is asked; of a connector also what no recorded exchange can show (docs/conformance.md). The report, the
/// same for the same component and cases, goes to a file, and its digest into the certificate. Exit code 3, and no
/// certificate, when anything is not kept.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The component
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
    #[command(flatten)]
    how: subject::How,
    #[command(flatten)]
    stated: stated::Args,
    /// An associate that a connector is certified to speak to, by the operator's name
    #[arg(long, value_name = "NAME")]
    associate: Vec<String>,
    /// The agreement (BAA) that it is certified under, by its id
    #[arg(long, value_name = "ID")]
    agreement: Vec<String>,
    /// What text it may carry
    #[arg(long, value_enum, default_value_t = Carries::Cleared)]
    carries: Carries,
    /// Where the report goes; COMPONENT.conformance.json without this
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What text a connector may carry.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Carries {
    /// Cleared by a method of de-identification.
    Cleared,
    /// Identifiable too.
    Identifiable,
}

impl Carries {
    fn classes(self) -> Vec<DataClass> {
        match self {
            Self::Cleared => vec![DataClass::Cleared],
            Self::Identifiable => vec![DataClass::Cleared, DataClass::Identifiable],
        }
    }
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let key = args.stated.open_key()?;
    let subject = args.how.open(&args.component).await?;
    let is_connector = PluginKind::of_world(subject.vetted.world()) == PluginKind::Connector;
    if matches!(args.carries, Carries::Identifiable) && args.agreement.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "identifiable text goes only where an agreement covers it; name it with `--agreement`, and its `--associate`"
        )));
    }
    if is_connector && !subject.cases.iter().any(|case| case.is_recorded_exchange()) {
        return Err(Failure::check(anyhow::anyhow!(
            "no case of its own has a recorded exchange, a `call` with its `request` or a `response` with its `events`; give them with `--cases`"
        )));
    }
    let (component, vetted) = (subject.component.clone(), subject.vetted.clone());
    let report = test::report(subject, is_connector).await?;
    let written = report.write(Look::of_stdout(), &mut anstream::stdout().lock());
    report.verdict()?;
    written.map_err(Failure::output)?;
    let text = report.lasting().context("the report cannot be written")?;
    let path = args.report.clone().unwrap_or_else(|| {
        let mut name = component.as_os_str().to_owned();
        name.push(".conformance.json");
        PathBuf::from(name)
    });
    write_durably(&path, &text)
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    let version = vetted
        .exports()
        .iter()
        .find_map(|name| name.split_once('@'));
    let version = version.map_or("0", |(_, version)| version);
    let certificate = Certificate {
        world: format!("{}@{version}", vetted.world().name()),
        report: Digest::of(&text),
        associates: args.associate.clone(),
        agreements: args.agreement.clone(),
        classes: match is_connector {
            true => args.carries.classes(),
            false => Vec::new(),
        },
    };
    let statements = args
        .stated
        .state(&component, &vetted, &key, Some(certificate))?;
    let out = &mut anstream::stdout().lock();
    writeln!(
        out,
        "certified {} in {}, report in {}",
        vetted.digest(),
        statements.display(),
        path.display()
    )
    .map_err(Failure::output)
}
