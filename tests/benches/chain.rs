//! The chain without network, for a 2 KB note: latency, CPU for each request, and where it goes.
//!
//! `cargo bench -p nephron-tests`, or with `-- FOLDER` to choose the disk that the log is on.
//!
//! Stages come from the gateway's own `tracing` spans: a layer adds up the CPU time of the thread while a span is
//! entered, and the wall time from its start to its end. Threads come from the kernel (`schedstat`). Time inside the
//! sandbox comes from the log: each decision says how long it took.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nephron_model::{EntryKind, EventId};
use nephron_tests::{Rig, Setup};
use rustix::time::{ClockId, clock_gettime};
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

const REQUESTS: u32 = 2_000;
const WARM_UP: usize = 100;

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let folder: PathBuf = folder.map_or_else(std::env::temp_dir, Into::into);
    runtime.block_on(async {
        println!(
            "{REQUESTS} requests, one after another, a note of {} bytes",
            note().len()
        );
        let chain = Setup::default().connector("extractive", "");
        measure("the chain: Cedar, Safe Harbor, extractive", &chain, &folder).await;
        // What is left in `decide` is the engine and the record: store, limits, lift and lower, sealing, queueing.
        let nothing = Setup::default().decider("does-nothing", "");
        measure("a decider that does nothing", &nothing, &folder).await;
    });
}

async fn measure(what: &str, setup: &Setup, folder: &Path) {
    let note = note();
    let folder = tempfile::tempdir_in(folder).expect("a folder on that disk");
    let rig = setup.open_in(folder).await.expect("the gateway opens");
    for _ in 0..WARM_UP {
        assert_eq!(rig.ask(&note).await.status(), 200);
    }

    let stages = Stages::default();
    let subscriber = tracing_subscriber::registry().with(stages.clone());
    let (mut latencies, mut events) = (Vec::new(), Vec::new());
    let (threads, started) = (threads(), Instant::now());
    {
        let _measured = tracing::subscriber::set_default(subscriber);
        for _ in 0..REQUESTS {
            let began = Instant::now();
            let reply = rig.ask(&note).await;
            latencies.push(began.elapsed());
            assert_eq!(reply.status(), 200);
            events.push(reply.event());
        }
    }
    let (wall, spent) = (started.elapsed(), cpu_since(&threads));

    println!(
        "\n{what}\n{:<36} {:>8} {:>8} {:>8}",
        "µs", "p50", "p99", "CPU"
    );
    row("a request", &mut latencies, spent.values().sum());
    for (stage, Spent { mut wall, cpu }) in stages.take() {
        row(&format!("  stage {stage}"), &mut wall, cpu);
    }
    for (thread, cpu) in spent {
        row(&format!("  thread {thread}"), &mut [], cpu);
    }
    for (call, mut wall) in calls(&rig, &events) {
        row(
            &format!("  in the sandbox: {call}"),
            &mut wall,
            Duration::ZERO,
        );
    }
    println!(
        "  {:.0} requests/s",
        f64::from(REQUESTS) / wall.as_secs_f64()
    );
}

/// Prints the wall times' median and 99th percentile, and the CPU time of each request; what is not known is left out.
fn row(name: &str, wall: &mut [Duration], cpu: Duration) {
    wall.sort_unstable();
    let micros = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e6);
    let at = |share: usize| {
        wall.get(wall.len() * share / 100)
            .copied()
            .map_or_else(String::new, micros)
    };
    let cpu = if cpu.is_zero() {
        String::new()
    } else {
        micros(cpu / REQUESTS)
    };
    println!("{name:<36} {:>8} {:>8} {cpu:>8}", at(50), at(99));
}

/// What each stage took.
#[derive(Clone, Default)]
struct Stages(Arc<Mutex<Vec<(&'static str, Spent)>>>);

#[derive(Default)]
struct Spent {
    wall: Vec<Duration>,
    cpu: Duration,
}

/// One span: when it began, its CPU time so far, and the thread's CPU time when it was entered last.
struct Timing {
    began: Instant,
    cpu: Duration,
    entered: Duration,
}

impl Stages {
    fn add(&self, stage: &'static str, timing: &Timing) {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = stages.iter().position(|(name, _)| *name == stage);
        let place = place.unwrap_or_else(|| {
            stages.push((stage, Spent::default()));
            stages.len() - 1
        });
        if let Some((_, spent)) = stages.get_mut(place) {
            spent.wall.push(timing.began.elapsed());
            spent.cpu += timing.cpu;
        }
    }

    fn take(&self) -> Vec<(&'static str, Spent)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Stages {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Timing {
                began: Instant::now(),
                cpu: Duration::ZERO,
                entered: Duration::ZERO,
            });
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(timing) = span.extensions_mut().get_mut::<Timing>()
        {
            timing.entered = thread_time();
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(timing) = span.extensions_mut().get_mut::<Timing>()
        {
            timing.cpu += thread_time().saturating_sub(timing.entered);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(timing) = span.extensions().get::<Timing>()
        {
            self.add(span.name(), timing);
        }
    }
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// CPU time of every thread of this process, by its id, with its name.
fn threads() -> BTreeMap<String, (String, Duration)> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let thread = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let spent = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let nanoseconds = spent.split_whitespace().next()?.parse().ok()?;
        let id = path.file_name()?.to_string_lossy().into_owned();
        Some((
            id,
            (name.trim().to_owned(), Duration::from_nanos(nanoseconds)),
        ))
    };
    tasks.filter_map(thread).collect()
}

/// CPU time since `before`, by the threads' names.
fn cpu_since(before: &BTreeMap<String, (String, Duration)>) -> BTreeMap<String, Duration> {
    let mut spent: BTreeMap<String, Duration> = BTreeMap::new();
    for (id, (name, now)) in threads() {
        let then = before.get(&id).map_or(Duration::ZERO, |(_, then)| *then);
        // sled names each of its threads.
        let name = if name.starts_with("sled-io") {
            "sled-io"
        } else {
            &name
        };
        *spent.entry(name.to_owned()).or_default() += now.saturating_sub(then);
    }
    spent.retain(|_, cpu| *cpu / REQUESTS >= Duration::from_micros(1));
    spent
}

/// Time inside each plugin, from the decisions' own entries.
fn calls(rig: &Rig, events: &[Option<EventId>]) -> BTreeMap<String, Vec<Duration>> {
    let mut spent: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for event in events.iter().rev().take(500) {
        for entry in rig.entries(*event) {
            let header = entry.header;
            let (EntryKind::Decision, Some(plugin), Some(point)) =
                (header.kind, header.plugin, header.point)
            else {
                continue;
            };
            spent
                .entry(format!("{} at {}", plugin.name, point.as_str()))
                .or_default()
                .extend(header.micros.map(Duration::from_micros));
        }
    }
    spent
}

fn note() -> String {
    let text = include_str!("../../examples/quickstart/notes/discharge-summary.txt");
    text.chars().take(2_000).collect()
}
