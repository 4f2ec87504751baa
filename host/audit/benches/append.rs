//! Durable records a second with 1, 8 and 32 writers, beside what the disk gives to a bare `write + fdatasync` loop.
//!
//! The bare loop writes the same frames, byte for byte as long, in the same groups as the log just wrote them, into a
//! preallocated file of zeros. Both take short turns and medians are compared, because the machine's mood changes from
//! second to second. The view follows while the log writes; before the bare loop's turn it is let finish.
//!
//! `cargo bench -p nephron-audit`, or with `-- FOLDER` to choose the disk.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, measures time, and stops at the first error"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use nephron_audit::view::Term;
use nephron_audit::{Disk, Log, OpenedFile, Options, RealDisk};
use nephron_model::{
    Digest, Draft, EntryKind, EventId, Fingerprint, PluginRef, Point, Recorder as _, SystemClock,
    Timestamp,
};

const ROUNDS: usize = 11;
const TIME: Duration = Duration::from_millis(250);
const ZEROS: usize = 16 << 20;

/// The real disk, which notes the length of every write to a segment in use.
#[derive(Default)]
struct NotingDisk(Mutex<Vec<usize>>);

impl Disk for NotingDisk {
    fn write_at(&self, file: &OpenedFile, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        if file
            .path
            .extension()
            .is_some_and(|extension| extension == "wal")
        {
            self.0.lock().unwrap().push(bytes.len());
        }
        RealDisk.write_at(file, bytes, offset)
    }
}

/// A decision as the gateway records one.
fn decision(writer: u64, number: u64) -> Draft {
    let at = Timestamp {
        seconds: 1_795_305_802,
        nanoseconds: 0,
    };
    let mut random = [0; 10];
    for (byte, value) in random
        .iter_mut()
        .zip((writer << 32 | (number / 8)).to_be_bytes())
    {
        *byte = value;
    }
    let mut draft = Draft::new(EntryKind::Decision, "permit").about(EventId::new(at, random));
    draft.point = Some(Point::Ingress);
    draft.caller = Some("dr-okafor".to_owned());
    draft.plugin = Some(PluginRef {
        digest: Digest([7; 32]),
        name: "cedar-policy".to_owned(),
        settings: Digest([8; 32]),
        version: "0.1.0".to_owned(),
    });
    draft.generation = Some(Digest([9; 32]));
    draft.fuel = Some(120_000 + number % 100);
    draft.micros = Some(35);
    draft.input = Some(Fingerprint([1; 32]));
    draft.output = Some(Fingerprint([2; 32]));
    draft
}

struct Round {
    per_second: f64,
    /// Lengths of the writes, in order.
    writes: Vec<usize>,
    records: u64,
    /// Microseconds from call to proof: the median and the 99th of a hundred.
    latency: (f64, f64),
}

fn open(folder: &Path, disk: Arc<NotingDisk>) -> Log {
    let options = Options {
        disk,
        ..Options::default()
    };
    let tenant = "st-marys".parse().unwrap();
    Log::open(folder, &tenant, Arc::new(SystemClock), options).unwrap()
}

/// One writer: records, waits for the proof, and records again until the time is up.
async fn write(log: &Log, writer: u64, start: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut number = 0;
    while start.elapsed() < TIME {
        let draft = decision(writer, number);
        let before = Instant::now();
        let _recorded = log.record(draft).await.unwrap();
        latencies.push(before.elapsed());
        number += 1;
    }
    latencies
}

/// How many write at once, and on how many threads they wait.
#[derive(Clone, Copy)]
struct Writers {
    count: usize,
    threads: usize,
}

fn log_round(log: &Log, disk: &NotingDisk, writers: Writers) -> Round {
    disk.0.lock().unwrap().clear();
    let start = Instant::now();
    let threads = writers.threads.min(writers.count);
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let tasks = (thread..writers.count).step_by(threads);
                let tasks = tasks.map(|writer| write(log, writer as u64, start));
                let tasks: FuturesUnordered<_> = tasks.collect();
                scope.spawn(|| pollster::block_on(tasks.collect::<Vec<_>>()).concat())
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    let writes = std::mem::take(&mut *disk.0.lock().unwrap());
    // An index answers only when the view holds everything.
    assert_eq!(
        log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap(),
        [0]
    );
    latencies.sort_unstable();
    let at = |hundredth: usize| {
        let latency = latencies.get(latencies.len() * hundredth / 100).copied();
        latency.unwrap_or_default().as_secs_f64() * 1e6
    };
    Round {
        per_second: latencies.len() as f64 / elapsed,
        writes,
        records: latencies.len() as u64,
        latency: (at(50), at(99)),
    }
}

/// Writes and syncs the same lengths again, for as long as the log took; returns records a second.
fn bare_round(file: &File, round: &Round) -> f64 {
    let bytes = vec![0x5a; round.writes.iter().copied().max().unwrap_or_default()];
    let start = Instant::now();
    let mut offset = 0;
    let mut done = 0;
    for length in &round.writes {
        if start.elapsed() > TIME {
            break;
        }
        if offset + length > ZEROS {
            offset = 0;
        }
        file.write_all_at(bytes.get(..*length).unwrap(), offset as u64)
            .unwrap();
        rustix::fs::fdatasync(file).unwrap();
        offset += length;
        done += 1;
    }
    let grouping = round.records as f64 / round.writes.len() as f64;
    f64::from(done) * grouping / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let folder = tempfile::Builder::new()
        .prefix("append-bench-")
        .tempdir_in(folder.map_or_else(std::env::temp_dir, Into::into))
        .unwrap();
    let zeros = folder.path().join("zeros");
    std::fs::write(&zeros, vec![0; ZEROS]).unwrap();
    let file = File::options().write(true).open(&zeros).unwrap();
    file.sync_all().unwrap();
    println!(
        "writers  threads   log/s   bare/s  ratio  records/sync  bytes/record  p50 us  p99 us"
    );
    let on = |threads| [1, 8, 32].map(|count| Writers { count, threads });
    // As the gateway writes, from tasks on a thread for each core; and each writer on a thread of its own.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for writers in on(cores).into_iter().chain(on(usize::MAX)) {
        let (mut log, mut bare, mut ratio, mut half, mut tail) =
            (vec![], vec![], vec![], vec![], vec![]);
        let (mut grouping, mut size) = (vec![], vec![]);
        let path = folder.path().join("log");
        let disk = Arc::new(NotingDisk::default());
        let open_log = open(&path, Arc::clone(&disk));
        for _ in 0..ROUNDS {
            let round = log_round(&open_log, &disk, writers);
            let bare_rate = bare_round(&file, &round);
            log.push(round.per_second);
            bare.push(bare_rate);
            ratio.push(round.per_second / bare_rate);
            half.push(round.latency.0);
            tail.push(round.latency.1);
            grouping.push(round.records as f64 / round.writes.len() as f64);
            size.push(round.writes.iter().sum::<usize>() as f64 / round.records as f64);
        }
        drop(open_log);
        std::fs::remove_dir_all(path).unwrap();
        println!(
            "{:7}  {:7} {:7.0}  {:7.0}  {:5.2}  {:12.1}  {:12.0}  {:6.0}  {:6.0}",
            writers.count,
            writers.threads.min(writers.count),
            median(log),
            median(bare),
            median(ratio),
            median(grouping),
            median(size),
            median(half),
            median(tail)
        );
    }
}
