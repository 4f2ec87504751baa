//! `nephron plugin bench`: what a plugin costs, from its source to a call.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nephron_engine::aot::AotCache;
use nephron_engine::{Engine, Judgement, Limits, Plugin};
use nephron_keys::{Cost, Passphrase, RootKey};
use serde::Serialize;

use super::subject::{self, How, Subject};
use crate::cli::style::Look;
use crate::cli::table::{Align, Cell, Table, json_lines};
use crate::cli::text::{count, number};
use crate::cli::{Failure, Globals};
use crate::conformance::{Lender, Suite};

/// Measure what plugins cost: building, loading, and a call on a fresh instance.
///
/// A call is the first question of a plugin's own first case, or of those of every plugin where it has none. Several plugins are
/// called in turns, so that what else the machine does falls on each of them: compare them within one run.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Projects, which are built first, or components
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    plugins: Vec<PathBuf>,
    #[command(flatten)]
    how: How,
    /// How many calls
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Print one JSON object for each plugin
    #[arg(long)]
    json: bool,
}

/// Times are in microseconds.
#[derive(Serialize)]
struct Row {
    plugin: String,
    world: &'static str,
    /// From its source; only of a project, and next to nothing if nothing had changed.
    build: Option<u64>,
    component_bytes: u64,
    /// With its configured memory.
    snapshot_bytes: u64,
    native_bytes: u64,
    /// Configure, freeze, compile.
    first_load: u64,
    /// From the cache of compiled plugins.
    cached_load: u64,
    call_p50: u64,
    call_p99: u64,
    fuel: u64,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let engine = Engine::new().context("the sandbox cannot be set up")?;
    let mut measured = Vec::new();
    for plugin in &args.plugins {
        let subject = args.how.open(plugin).await?;
        measured.push(Measured::load(&engine, subject).await?);
    }
    let mut left = args.calls;
    while left > 0 {
        let turn = left.min(TURN);
        left -= turn;
        for one in &mut measured {
            one.call(&engine, turn).await?;
        }
    }
    let rows: Vec<Row> = measured.into_iter().map(Measured::row).collect();
    let written = if args.json {
        json_lines(&rows, &mut io::stdout().lock())
    } else {
        write(&rows, Look::of_stdout(), &mut anstream::stdout().lock())
    };
    written.map_err(Failure::output)
}

/// Calls of one plugin before it is the next one's turn: the first few find other plugins' memory in the processor's caches.
const TURN: u32 = 50;

/// A plugin that is measured.
struct Measured {
    row: Row,
    plugin: Plugin,
    question: Judgement,
    lender: Lender,
    times: Vec<Duration>,
}

impl Measured {
    /// Loads it, and measures that.
    async fn load(engine: &Engine, subject: Subject) -> Result<Self, Failure> {
        let limits = Limits::default();
        let compiler = subject::compiler()?;
        let case = subject.cases.iter().find(|case| !case.is_every_plugins());
        let case = case
            .or_else(|| subject.cases.first())
            .context("there is no case")?;
        let world = subject.vetted.world();
        let questions = case
            .questions(world)
            .map_err(|fault| anyhow::anyhow!("{}: {fault}", case.place()))?;
        let question = questions
            .into_iter()
            .next()
            .context("the case asks nothing")?;
        let suite = Suite {
            engine,
            vetted: &subject.vetted,
            limits: &limits,
            compiler: &compiler,
            settings: subject.settings.clone(),
        };
        let settings = suite.settings_of(case);

        let begun = Instant::now();
        let prepared = compiler
            .prepare(subject.vetted.bytes(), &settings, &limits)
            .await;
        let prepared = prepared.context("the plugin cannot be loaded")?;
        let first_load = begun.elapsed();
        let (snapshot_bytes, native_bytes) = (prepared.frozen_bytes(), prepared.native_bytes());

        let folder = tempfile::tempdir().context("no scratch folder can be made")?;
        let dir = cap_std::fs::Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority());
        let passphrase = Passphrase::new("of a key that nothing else has".to_owned());
        let root = RootKey::create(
            &dir.context("the scratch folder")?,
            &passphrase,
            Cost::MINIMUM,
        );
        let key = root.context("no key can be made")?.mac_key("aot");
        let cache = AotCache::new(&folder.path().join("aot"), key).context("the scratch folder")?;
        let load = || {
            engine.load(
                &subject.name,
                &subject.vetted,
                &settings,
                &limits,
                &compiler,
                Some(&cache),
            )
        };
        load().await.context("the plugin cannot be loaded")?;
        let begun = Instant::now();
        let plugin = load().await.context("the plugin cannot be loaded")?;
        let cached_load = begun.elapsed();

        let row = Row {
            plugin: subject.name,
            world: world.name(),
            build: subject.built_in.map(microseconds),
            component_bytes: count(subject.vetted.bytes().len()),
            snapshot_bytes,
            native_bytes: count(native_bytes),
            first_load: microseconds(first_load),
            cached_load: microseconds(cached_load),
            call_p50: 0,
            call_p99: 0,
            fuel: 0,
        };
        Ok(Self {
            row,
            plugin,
            question,
            lender: Lender::new().await?,
            times: Vec::new(),
        })
    }

    /// Calls it so many times.
    async fn call(&mut self, engine: &Engine, times: u32) -> Result<(), Failure> {
        for _ in 0..times {
            let key = self.lender.lend()?;
            let begun = Instant::now();
            let verdict = engine.call(&self.plugin, &self.question, Some(key)).await;
            self.times.push(begun.elapsed());
            self.row.fuel = verdict.fuel;
            let name = || format!("`{}` gives no answer", self.row.plugin);
            verdict.answer.with_context(name)?;
        }
        Ok(())
    }

    fn row(mut self) -> Row {
        self.times.sort();
        let at = |percent: usize| {
            let place = self.times.len().saturating_sub(1) * percent / 100;
            microseconds(self.times.get(place).copied().unwrap_or_default())
        };
        Row {
            call_p50: at(50),
            call_p99: at(99),
            ..self.row
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn write(rows: &[Row], look: Look, out: &mut impl Write) -> io::Result<()> {
    let columns = [
        ("plugin", Align::Left),
        ("world", Align::Left),
        ("build ms", Align::Right),
        ("component KB", Align::Right),
        ("snapshot KB", Align::Right),
        ("first load ms", Align::Right),
        ("cached load ms", Align::Right),
        ("call p50 µs", Align::Right),
        ("p99 µs", Align::Right),
        ("fuel", Align::Right),
    ];
    let mut table = Table::new(0, &columns);
    for row in rows {
        let tenths = |microseconds: u64| {
            format!(
                "{}.{}",
                number(microseconds / 1_000),
                microseconds % 1_000 / 100
            )
        };
        let cells = vec![
            Cell::new(&row.plugin),
            Cell::new(row.world),
            Cell::new(
                row.build
                    .map_or_else(|| "–".to_owned(), |time| number(time / 1_000)),
            ),
            Cell::new(number(row.component_bytes / 1_000)),
            Cell::new(number(row.snapshot_bytes / 1_000)),
            Cell::new(tenths(row.first_load)),
            Cell::new(tenths(row.cached_load)),
            Cell::new(number(row.call_p50)),
            Cell::new(number(row.call_p99)),
            Cell::new(number(row.fuel)),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)
}
