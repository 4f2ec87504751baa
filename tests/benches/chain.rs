//! The chain without network, for a 2 KB note: latency, CPU for each request, and where it goes.
//!
//! `cargo bench -p nephron-tests`
//!
//! The split comes from the log itself: each entry says when it was written and how long its judgement took.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nephron_model::EntryKind;
use nephron_tests::{Rig, Setup};

const REQUESTS: usize = 1_000;
const WARM_UP: usize = 50;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let note = note();
    println!(
        "{REQUESTS} requests, one after another, a note of {} bytes, connector `extractive`",
        note.len()
    );
    let rig = Setup::default().connector("extractive", "").open().await;
    for _ in 0..WARM_UP {
        assert_eq!(rig.ask(&note).await.status(), 200);
    }
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut latencies = Vec::with_capacity(REQUESTS);
    let mut events = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let began = Instant::now();
        let reply = rig.ask(&note).await;
        latencies.push(began.elapsed());
        assert_eq!(reply.status(), 200);
        events.push(reply.event());
    }
    let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
    latencies.sort();
    let per_request =
        cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(REQUESTS).expect("a small number"));
    println!(
        "latency p50 {:>8.0} µs   p99 {:>8.0} µs",
        micros(&latencies, 50),
        micros(&latencies, 99)
    );
    println!(
        "CPU     {per_request:>12.0} µs a request, all threads   ({:.1} requests/s)",
        rate(wall)
    );
    split(&rig, &events);
}

/// Time inside each plugin, from the decisions' own entries.
fn split(rig: &Rig, events: &[Option<nephron_model::EventId>]) {
    let mut spent: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in events {
        for entry in rig.entries(*event) {
            let header = entry.header;
            let (EntryKind::Decision, Some(plugin), Some(point)) =
                (header.kind, header.plugin, header.point)
            else {
                continue;
            };
            spent
                .entry(format!("{:<10} {}", point.as_str(), plugin.name))
                .or_default()
                .extend(header.micros);
        }
    }
    println!("inside the sandbox, µs                p50      p99");
    for (what, mut times) in spent {
        times.sort_unstable();
        let at = |share: usize| {
            times
                .get(times.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        println!("  {what:<30} {:>8} {:>8}", at(50), at(99));
    }
}

fn rate(wall: Duration) -> f64 {
    f64::from(u32::try_from(REQUESTS).expect("a small number")) / wall.as_secs_f64()
}

fn micros(sorted: &[Duration], share: usize) -> f64 {
    sorted
        .get(sorted.len() * share / 100)
        .map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e6)
}

/// CPU time of this process, user and system, all threads.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("a process")
        .split_whitespace()
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
            .expect("a number")
    };
    // Fields 14 and 15 of proc(5), counted here from the third; a tick is 10 ms.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn note() -> String {
    let text = include_str!("../../examples/quickstart/notes/discharge-summary.txt");
    text.chars().take(2_000).collect()
}
