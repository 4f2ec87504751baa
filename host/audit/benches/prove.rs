//! What a proof of one entry costs to make and to verify, in a log of a million entries, and how long it is.
//!
//! Made from the tiles on disk, as `nephron audit prove` does; verified first by its hashes alone, then with the signature of
//! its checkpoint. Beside it the time for the whole log, which is what a chain without a tree asks for.
//!
//! `cargo bench -p nephron-audit --bench prove`, or with `-- ENTRIES`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, measures time, and stops at the first error"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nephron_audit::view::Term;
use nephron_audit::{EntryProof, Log, Options, VerifyOptions, verify};
use nephron_model::{
    Digest, Draft, EntryKind, Fingerprint, NotSigned, PluginRef, Point, Recorder as _, Signer,
    SystemClock,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const PROOFS: u64 = 2000;

struct Key(Ed25519KeyPair);

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.0.sign(message).as_ref().try_into().unwrap())
    }
}

/// A decision as the gateway records one.
fn decision(number: u64) -> Draft {
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
    draft
}

/// The median and the 99th of a hundred of what `act` takes, in microseconds.
fn measure(act: &mut dyn FnMut(u64)) -> (f64, f64) {
    let mut took: Vec<Duration> = (0..PROOFS)
        .map(|number| {
            let start = Instant::now();
            act(number);
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |hundredth: usize| {
        let took = took.get(took.len() * hundredth / 100).copied();
        took.unwrap_or_default().as_secs_f64() * 1e6
    };
    (at(50), at(99))
}

/// What the files below a folder take on the disk.
fn bytes_below(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(items) = std::fs::read_dir(folder) else {
        return 0;
    };
    items
        .map(|item| {
            let item = item.unwrap();
            match item.file_type().unwrap().is_dir() {
                true => bytes_below(&item.path()),
                false => item.metadata().unwrap().blocks() * 512,
            }
        })
        .sum()
}

fn main() {
    let entries = std::env::args().skip(1).find_map(|it| it.parse().ok());
    let entries: u64 = entries.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let tenant = "st-marys".parse().unwrap();
    let clock = Arc::new(SystemClock);
    let log = Log::open(&path, &tenant, clock, Options::default()).unwrap();
    log.sign_with(Arc::new(Key(
        Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
    )));
    let start = Instant::now();
    for number in 2..entries {
        drop(log.note(decision(number)));
    }
    let _recorded = log.record(decision(0)).wait().unwrap();
    let appended = start.elapsed();
    let start = Instant::now();
    let checkpoint = log.checkpoint().unwrap();
    let signed = start.elapsed();
    let key = log.verifier_key().unwrap().unwrap();
    println!("{entries} entries appended in {appended:.1?}; checkpoint after {signed:.1?} more");
    // An index answers only when the view holds everything.
    let opened = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    assert_eq!(opened, [0]);
    let start = Instant::now();
    let _one = log.record(decision(1)).wait().unwrap();
    let again = log.checkpoint().unwrap();
    println!("another, one entry later, {:.1?}", start.elapsed());
    assert_eq!(again.checkpoint.size, checkpoint.checkpoint.size + 1);

    // Spread over the log, and never twice the same.
    let place = |number: u64| number * 7_919_993 % entries;
    let mut proofs: Vec<EntryProof> = Vec::new();
    let (made, made_99) = measure(&mut |number| proofs.push(log.prove(place(number)).unwrap()));
    let of = |act: &dyn Fn(&EntryProof)| {
        let mut proofs = proofs.iter();
        measure(&mut |_| act(proofs.next().unwrap()))
    };
    let (hashed, hashed_99) = of(&|proof| assert!(proof.leads_to(&again.checkpoint)));
    let (verified, verified_99) = of(&|proof| drop(black_box(proof.verify(&key).unwrap())));
    let hashes = proofs.iter().map(|proof| proof.path().len() * 32).max();
    let texts = proofs.iter().map(|proof| proof.to_string().len()).max();
    println!("                            p50 us  p99 us");
    println!("made from disk             {made:7.1} {made_99:7.1}");
    println!("verified by its hashes     {hashed:7.1} {hashed_99:7.1}");
    println!("with parsing and signature {verified:7.1} {verified_99:7.1}");
    println!(
        "hashes {} bytes, file with header and checkpoint {} bytes, at most",
        hashes.unwrap_or_default(),
        texts.unwrap_or_default()
    );
    log.close().unwrap();
    let start = Instant::now();
    let options = VerifyOptions {
        skip_view: true,
        key: Some(key),
        ..VerifyOptions::default()
    };
    let verdict = verify(&path, options).unwrap();
    assert!(verdict.verified);
    println!("whole log verified in {:.1?}", start.elapsed());
    for part in ["journal", "tile", "checkpoints", "view"] {
        let bytes = bytes_below(&path.join(part));
        println!(
            "{part:<12} {:6.0} bytes an entry",
            bytes as f64 / entries as f64
        );
    }
    // As `nephron serve` opens one: what the newest checkpoint covers is read while it serves.
    let clock = Arc::new(SystemClock);
    let start = Instant::now();
    let log = Log::open(&path, &tenant, clock, Options::default()).unwrap();
    let opened = start.elapsed();
    let _recorded = log.record(decision(2)).wait().unwrap();
    let recorded = start.elapsed();
    assert!(log.wait_until_read());
    println!(
        "opened in {opened:.2?}, an entry durable after {recorded:.2?}, all of it read after {:.1?}",
        start.elapsed()
    );
    let start = Instant::now();
    log.close().unwrap();
    println!("closed and sealed in {:.2?}", start.elapsed());
}
