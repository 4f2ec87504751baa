//! `nephron deidentify`: files without their identifiers, through the same detectors in the same sandbox as the gateway's.

mod explain;
mod labelled;
mod piece;
mod progress;
mod scan;
mod source;
mod transform;
mod write;

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use nephron_keys::Cost;
use nephron_model::{Caller, Purpose, TenantId};
use tokio::task::JoinHandle;

use super::text::number;
use super::{Failure, Globals, embedded};
use crate::batch::{Asked, Finds, Refused, Run, Tally};
use crate::config::Config;
use crate::receive::Statement;
use crate::wire::fields::is_structural;
use crate::wire::known::Known;
use crate::{Gateway, Refusal, RootAccess};
use explain::Explain;
use labelled::Record;
use piece::{Change, Question};
use progress::Progress;
use source::{Format, Piece, Source};
use transform::{Transformed, transformed};
use write::Writer;

/// Take the identifiers out of files
///
/// Without `--config` it works by itself: with the detectors and policies that come with it, and a log under
/// $XDG_STATE_HOME/nephron (~/.local/state/nephron).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Text, JSON Lines, JSON, FHIR (JSON, NDJSON) or HL7 v2; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are; otherwise it is told by their names and by how they begin
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write each file into this folder under its own name, and not to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Read lines of {"id","text"} and write {"id","spans":[{"start","end","label"}]}, in code points
    #[arg(long, conflicts_with_all = ["format", "explain", "json"])]
    spans: bool,
    /// Show the text with each identifier marked, and by what it was found
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<Explain>,
    /// Write one JSON object for each text: the cleared text and what was found
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    /// Write what was done to each text, by counts and without values, into this file: one JSON object a line
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// What is known of the patient: a JSON file (docs/formats/http.md)
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Leave what was found out of the log, where the tenant's policy permits `deidentify-uncounted`
    #[arg(long)]
    no_log: bool,
    /// No progress on standard error
    #[arg(long, short)]
    quiet: bool,
    /// Have a transformer write what stands in the place of identifiers, and not labels
    ///
    /// `deid-text` moves dates, exchanges names and numbers and makes ages and places coarser; `deid-fhir` follows a configuration of
    /// Microsoft's anonymisation tools. Both have a key of the tenant's. With `--config`, `chain.transformer` says it.
    #[arg(long, value_parser = ["deid-text", "deid-fhir"], value_name = "PLUGIN", conflicts_with_all = ["config", "spans", "explain"])]
    transform: Option<String>,
    /// Its settings: a JSON object (its README)
    #[arg(long, value_name = "FILE", requires = "transform")]
    transform_settings: Option<PathBuf>,
    /// How the detector leans where it is not sure
    #[arg(long, value_parser = ["balanced", "strict", "paranoid"], conflicts_with = "config")]
    recall: Option<String>,
    /// A configuration, with its tenants, policies and detectors
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Keep keys and log in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// Whose files they are, where the configuration has several tenants
    #[arg(long, requires = "config")]
    tenant: Option<TenantId>,
    /// Who asks
    #[arg(long, value_name = "ID", default_value = "operator")]
    caller: String,
    /// In which roles
    #[arg(long = "role", value_name = "ROLE", default_value = "operator")]
    roles: Vec<String>,
    /// For what: an HL7 v3 PurposeOfUse code
    #[arg(long, default_value = "HOPERAT")]
    purpose: Purpose,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let files = match args.files.as_slice() {
        [] => vec![PathBuf::from("-")],
        named => named.to_vec(),
    };
    let known = read_known(args.known.as_deref())?;
    let caller = caller(&args)?;
    // Every file is looked at before anything is opened or written.
    let sources: Vec<Source> = files
        .iter()
        .enumerate()
        .map(|(index, path)| Source::open(index, path, forced_format(&args)))
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = sources
        .iter()
        .map(|source| source.name().to_owned())
        .collect();
    let writer = Writer::new(&args, &files, names)?;

    let (gateway, tenant) = open(&args).await?;
    let size = source::size_of(&files);
    let asked = Asked {
        statement: Statement {
            tenant,
            caller,
            purpose: args.purpose.clone(),
        },
        files: files.len(),
        bytes: usize::try_from(size).unwrap_or(usize::MAX),
        is_counted: !args.no_log,
    };
    let ended = match Run::begin(&gateway, asked).await {
        Ok(run) => through(&args, run, sources, known, writer, size).await,
        Err(refused) => Err(failure(&refused)),
    };
    let exported = gateway.export().await;
    gateway.close().context("the log cannot be closed")?;
    ended?;
    exported.context("it is done, but its entries could not be exported")?;
    Ok(())
}

fn forced_format(args: &Args) -> Option<Format> {
    if args.spans {
        Some(Format::Jsonl)
    } else {
        args.format
    }
}

fn failure(refused: &Refused) -> Failure {
    let place = refused.event.map(|event| format!(" (event {event})"));
    super::run::refused(&refused.refusal, &place.unwrap_or_default())
}

fn caller(args: &Args) -> Result<Caller, Failure> {
    let is_named =
        is_structural(&args.caller, 200) && args.roles.iter().all(|role| is_structural(role, 64));
    if !is_named {
        let error = anyhow::anyhow!("--caller and --role take letters, digits and `._:/-@` alone");
        return Err(Failure::usage(error));
    }
    Ok(Caller {
        id: args.caller.clone(),
        roles: args.roles.clone(),
    })
}

fn read_known(path: Option<&Path>) -> Result<Arc<Known>, Failure> {
    let Some(path) = path else {
        return Ok(Arc::default());
    };
    let bytes =
        std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let known = Known::of_file(&bytes)
        .with_context(|| format!("`{}` says nothing that can be looked for", path.display()));
    Ok(Arc::new(known.map_err(Failure::usage)?))
}

/// The gateway that the configuration describes, or one of its own.
async fn open(args: &Args) -> Result<(Gateway, TenantId), Failure> {
    if let Some(path) = &args.config {
        let config = Config::load(path).map_err(|faults| Failure::check(faults.into()))?;
        let tenant = match (&args.tenant, config.tenants.as_slice()) {
            (Some(tenant), _) => tenant.clone(),
            (None, [only]) => only.clone(),
            (None, _) => {
                let error = anyhow::anyhow!(
                    "the configuration has several tenants; name one with --tenant"
                );
                return Err(Failure::usage(error));
            }
        };
        return Ok((super::around::open(&config).await?, tenant));
    }
    let data = match &args.data {
        Some(data) => data.clone(),
        None => state_folder()?,
    };
    crate::gateway::make_private(&data).with_context(|| {
        format!(
            "the data folder `{}` cannot be made; name one with --data",
            data.display()
        )
    })?;
    let mut text = include_str!("deidentify/gateway.toml").to_owned();
    if let Some(recall) = &args.recall {
        text.push_str(&format!("[plugin.settings]\nrecall = \"{recall}\"\n"));
    }
    if let Some(transformer) = &args.transform {
        text = with_transformer(&text, transformer);
    }
    let mut config = embedded::parse(&text, "deidentify.toml", &data)?;
    if let Some(path) = &args.transform_settings {
        let settings = read_settings(path)?;
        let mut plugins = config.plugins.iter_mut();
        let transformer =
            plugins.find(|plugin| Some(&plugin.name) == config.chain.transformer.as_ref());
        if let Some(transformer) = transformer {
            transformer.settings = settings;
        }
    }
    let components = match embedded::build_plugins(&config) {
        Ok(components) => components,
        // No checkout is here: those that were installed beside the program.
        Err(error) => super::around::first_party_folder().map_err(|_| error)?,
    };
    let root = RootAccess::Passphrase(embedded::passphrase(&data, true)?, Cost::RECOMMENDED);
    let gateway = Gateway::open(&config, super::around::surroundings(root, components)?)
        .await
        .context("the sandbox cannot be opened")?;
    let tenant = config.tenants.first().context("no tenant is configured")?;
    Ok((gateway, tenant.clone()))
}

/// The configuration's text with a transformer that comes with Nephron.
fn with_transformer(text: &str, name: &str) -> String {
    let (chain, first) = ("[chain]\n", "[[plugin]]\n");
    let plugin = format!(
        "[[plugin]]\nname = \"{name}\"\nkind = \"transformer\"\ncomponent = \"{name}\"\n[plugin.grant]\nkeys = true\n\n"
    );
    text.replacen(first, &format!("{plugin}{first}"), 1)
        .replacen(chain, &format!("{chain}transformer = \"{name}\"\n"), 1)
}

fn read_settings(path: &Path) -> Result<serde_json::Value, Failure> {
    let shown = path.display();
    let read = std::fs::read(path).with_context(|| format!("`{shown}` cannot be read"))?;
    let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&read)
        .with_context(|| format!("`{shown}` is not a JSON object"))
        .map_err(Failure::usage)?;
    Ok(settings.into())
}

/// Where state that outlives a run belongs (XDG Base Directory Specification).
fn state_folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/state")));
    Ok(state
        .context("there is no home for the log of this run; name a folder with --data")?
        .join("nephron"))
}

/// Why a run ended before its end.
enum Stopped {
    /// A detector did not answer, about the text at this place.
    Refused(Box<Refusal>, String),
    Failed(Failure),
}

impl From<anyhow::Error> for Stopped {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What is wanted of each piece.
#[derive(Clone, Copy)]
struct How {
    /// It is a line of a labelled set.
    is_labelled: bool,
    /// A transformer is to write it.
    is_written: bool,
}

/// A piece, and what was found in it.
struct Answered {
    piece: Piece,
    record: Option<Record>,
    changes: Vec<Change>,
    finds: Finds,
    transformed: Option<Transformed>,
}

/// Takes all files through, in order, several pieces at a time.
async fn through(
    args: &Args,
    run: Run,
    sources: Vec<Source>,
    known: Arc<Known>,
    mut writer: Writer<'_>,
    size: u64,
) -> Result<(), Failure> {
    let began = Instant::now();
    writer.method = run.method();
    let run = Arc::new(run);
    let mut progress = Progress::new(size, args.quiet, args.out.is_none());
    let mut tally = Tally::default();
    let how = How {
        is_labelled: args.spans,
        is_written: run.transforms() && !args.spans && args.explain.is_none(),
    };
    let outcome = pump(how, &run, sources, &known, |answered| {
        let bytes = writer.write(answered, &mut tally)?;
        progress.add(bytes, tally.counts.get("texts").copied());
        Ok(())
    })
    .await;
    let outcome = outcome.and_then(|()| writer.end().map_err(Stopped::Failed));
    progress.end();
    // Every task has ended.
    let run = Arc::into_inner(run).context("a task of this program goes on")?;
    let summary = summary(&tally, began);
    match outcome {
        Ok(()) => {
            let ended = run.end(tally, Ok(())).await;
            ended.map_err(|refused| failure(&refused))?;
            if !args.quiet {
                drop(writeln!(anstream::stderr().lock(), "{summary}"));
            }
            Ok(())
        }
        Err(Stopped::Refused(refusal, place)) => Err(match run.end(tally, Err(*refusal)).await {
            Ok(event) => super::run::refused(&Refusal::CallerGone, &format!(" (event {event})")),
            Err(refused) => super::run::refused(&refused.refusal, &format!(" at {place}")),
        }),
        Err(Stopped::Failed(failure)) => {
            // What is told is why it failed.
            drop(run.end(tally, Err(Refusal::CallerGone)).await);
            Err(failure)
        }
    }
}

/// Asks about the pieces, several at a time, and hands on what was found, in order.
async fn pump(
    how: How,
    run: &Arc<Run>,
    sources: Vec<Source>,
    known: &Arc<Known>,
    mut take: impl FnMut(Answered) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let most = 2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut asked: VecDeque<JoinHandle<Result<Answered, Stopped>>> = VecDeque::new();
    let mut outcome = Ok(());
    let mut pieces = sources
        .into_iter()
        .flat_map(|mut source| std::iter::from_fn(move || source.next().transpose()))
        .fuse();
    loop {
        match outcome.is_ok().then(|| pieces.next()).flatten() {
            Some(Ok(piece)) => {
                let (run, known) = (Arc::clone(run), Arc::clone(known));
                asked.push_back(tokio::spawn(
                    async move { ask(&run, piece, &known, how).await },
                ));
                if asked.len() < most {
                    continue;
                }
            }
            Some(Err(error)) => outcome = Err(error.into()),
            None => {}
        }
        let Some(first) = asked.pop_front() else {
            return outcome;
        };
        // A call that is under way is never dropped, whatever happened.
        let answered = first.await.context("a task of this program broke down")?;
        outcome = match outcome {
            Ok(()) => answered.and_then(&mut take),
            Err(stopped) => Err(stopped),
        };
    }
}

async fn ask(
    run: &Run,
    piece: Piece,
    known: &Known,
    How {
        is_labelled,
        is_written,
    }: How,
) -> Result<Answered, Stopped> {
    let place = format!("text {} (byte {})", piece.number, piece.offset);
    let blank = Finds::default();
    let record = match is_labelled && !piece.text.trim().is_empty() {
        true => Some(
            Record::read(piece.text.trim_end())
                .with_context(|| format!("line {}", piece.number))?,
        ),
        false => None,
    };
    let of_record = record.as_ref().and_then(|record| record.known.as_deref());
    let of_record = of_record.map(|known| Known::of_file(known.get().as_bytes()));
    let of_record = of_record.transpose().with_context(|| place.clone())?;
    let (question, parts) = match &record {
        Some(record) => Question::of_text(&record.text),
        None => Question::of(&piece),
    };
    let finds = match piece.text.trim().is_empty() {
        true => blank,
        false => run
            .find(parts, of_record.as_ref().unwrap_or(known))
            .await
            .map_err(|refusal| Stopped::Refused(Box::new(refusal), place.clone()))?,
    };
    let known = of_record.as_ref().unwrap_or(known);
    let changes = question.changes(&finds);
    let transformed = match is_written && !piece.text.trim().is_empty() {
        true => Some(transformed(run, &piece, &changes, known, &place).await?),
        false => None,
    };
    Ok(Answered {
        changes,
        piece,
        record,
        finds,
        transformed,
    })
}

/// What a run came to, in a few words.
fn summary(tally: &Tally, began: Instant) -> String {
    let of = |name: &str| tally.counts.get(name).copied().unwrap_or_default();
    let is_kind = |name: &&String| {
        crate::chain::deidentify::is_kind(name)
            && !matches!(name.as_str(), "texts" | "bytes" | "transformed" | "left")
    };
    let kinds: Vec<String> = tally
        .counts
        .iter()
        .filter(|(name, _)| is_kind(name))
        .map(|(kind, count)| format!("{kind} {}", number(*count)))
        .collect();
    let found = match kinds.is_empty() {
        true => "nothing found".to_owned(),
        false => kinds.join(", "),
    };
    let seconds = began.elapsed().as_secs_f64();
    let left = match of("left") {
        0 => String::new(),
        left => format!(
            "\n{} of what was found is found again in what the transformer wrote",
            number(left)
        ),
    };
    format!(
        "{} {}, {} bytes in {seconds:.1} s: {found}{left}
what was not found is still there: whether this is de-identified (45 CFR 164.514) is \
         for whoever answers for it to say",
        number(of("texts")),
        if of("texts") == 1 { "text" } else { "texts" },
        number(of("bytes")),
    )
}
