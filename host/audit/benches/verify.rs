//! Entries a second that verification checks, with 1, 2 and all threads, beside what plain SHA-256 makes of the same bytes.
//!
//! The log is like one that a gateway writes: of eight entries one has a payload of 2 KB. It is closed, so that its files are
//! held against the seal too, which hashes every byte once more; without the view and with it. Then since a checkpoint that covers all
//! but the last thousand entries.
//!
//! `cargo bench -p nephron-audit --bench verify`, or with `-- ENTRIES`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, measures time, and stops at the first error"
)]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nephron_audit::{KeptCheckpoint, Log, Options, VerifyOptions, verify};
use nephron_model::{
    Digest, Draft, EntryKind, Fingerprint, NotSigned, PluginRef, Point, Recorder as _, Signer,
    SystemClock,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const ROUNDS: usize = 5;

/// Signs checkpoints.
struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.0.sign(message).as_ref().try_into().unwrap())
    }
}

/// A decision as the gateway records one, or the bytes that were sent.
fn entry(number: u64) -> Draft {
    let mut draft = Draft::new(EntryKind::Decision, "permit");
    draft.point = Some(Point::Ingress);
    draft.caller = Some(format!("dr-{}", number % 40));
    draft.plugin = Some(PluginRef {
        digest: Digest([7; 32]),
        name: "cedar-policy".to_owned(),
        settings: Digest([8; 32]),
        version: "0.1.0".to_owned(),
    });
    draft.generation = Some(Digest([9; 32]));
    draft.fuel = Some(120_000 + number % 100);
    draft.input = Some(Fingerprint([1; 32]));
    draft.output = Some(Fingerprint([2; 32]));
    if number.is_multiple_of(8) {
        draft.payload = Some(vec![0x5a; 2048]);
    }
    draft
}

/// The median of what some runs take.
fn median(mut run: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took.get(ROUNDS / 2).copied().unwrap_or_default()
}

/// The journal's files, as they are in memory.
fn segments(folder: &Path) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder.join("journal")).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}

fn main() {
    let entries = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let entries: u64 = entries.unwrap_or(300_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let tenant = "st-marys".parse().unwrap();
    let log = Log::open(&path, &tenant, Arc::new(SystemClock), Options::default()).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    log.sign_with(Arc::new(Key(pair)));
    let mut kept = None;
    for number in 2..entries {
        drop(log.note(entry(number)));
        if number + 1_000 == entries {
            kept = Some(log.checkpoint().unwrap());
        }
    }
    let _recorded = log.record(entry(0)).wait().unwrap();
    let key = log.verifier_key().unwrap().unwrap();
    log.close().unwrap();
    let segments = segments(&path);
    let bytes: usize = segments.iter().map(Vec::len).sum();
    let hashed = median(|| {
        for segment in &segments {
            black_box(Digest::of(segment));
        }
    });
    drop(segments);
    let rate = |took: Duration| entries as f64 / took.as_secs_f64();
    println!("{entries} entries, {} MB of journal", bytes / 1_000_000);
    println!("                                 entries/s   of the rate of SHA-256");
    println!("SHA-256 of the journal, 1 thread {:9.0}", rate(hashed));
    let cores = std::thread::available_parallelism().unwrap();
    for (skip_view, what) in [(true, "journal and seal"), (false, "and the view    ")] {
        for threads in [NonZeroUsize::MIN, NonZeroUsize::new(2).unwrap(), cores] {
            let took = median(|| {
                let options = VerifyOptions {
                    skip_view,
                    require_seal: true,
                    threads: Some(threads),
                    ..VerifyOptions::default()
                };
                assert!(verify(&path, options).unwrap().verified);
            });
            let share = hashed.as_secs_f64() / took.as_secs_f64();
            println!(
                "{what}, {threads:2} threads     {:9.0}   {share:.2}",
                rate(took)
            );
        }
    }
    if let Some(kept) = kept {
        let took = median(|| {
            let options = VerifyOptions {
                key: Some(key.clone()),
                since: Some(KeptCheckpoint {
                    file: "kept".to_owned(),
                    note: kept.note.clone(),
                }),
                ..VerifyOptions::default()
            };
            let verdict = verify(&path, options).unwrap();
            assert!(verdict.verified && verdict.from > 0);
        });
        println!("since a checkpoint before the last thousand: {took:.2?}");
    }
    let start = Instant::now();
    let log = Log::open(&path, &tenant, Arc::new(SystemClock), Options::default()).unwrap();
    println!("opened for writing in {:.2?}", start.elapsed());
    drop(log);
}
