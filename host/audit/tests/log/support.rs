//! What the tests share: small logs of invented requests, and copies of them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nephron_audit::view::{PartedViews, SledViews, Views};
use nephron_audit::{Disk, Log, OpenError, Options, RealDisk, Verdict, VerifyError, VerifyOptions};
use nephron_model::{
    Clock, Draft, EntryKind, EventId, FixedClock, NotSigned, Record, Recorder as _, Signer, Space,
    TenantId, Timestamp,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tempfile::TempDir;

/// A folder for one log, removed at the end.
pub(crate) struct Place {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn place() -> Place {
    place_in(&std::env::temp_dir())
}

/// The same in memory, where the machine has that: for tests that open many logs, and whose matter is not what a disk keeps.
pub(crate) fn place_in_memory() -> Place {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => place_in(memory),
        false => place(),
    }
}

fn place_in(holder: &Path) -> Place {
    let folder = tempfile::tempdir_in(holder).unwrap();
    let path = folder.path().join("log");
    Place {
        _folder: folder,
        path,
    }
}

pub(crate) fn tenant() -> TenantId {
    "st-marys".parse().unwrap()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::at(1_795_305_802))
}

pub(crate) fn options() -> Options {
    with_disk(Arc::new(RealDisk))
}

/// A key that signs checkpoints.
pub(crate) struct TestKey(Ed25519KeyPair);

impl TestKey {
    pub(crate) fn new(seed: u8) -> Arc<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Arc::new(Self(pair.unwrap()))
    }
}

impl Signer for TestKey {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.0.sign(message).as_ref().try_into().unwrap())
    }
}

/// Small segments, so that a short log has several, and a small view, so that a test can read it all.
pub(crate) fn with_disk(disk: Arc<dyn Disk>) -> Options {
    Options {
        segment_size: 16 << 10,
        disk,
        view: views(),
        ..Options::default()
    }
}

pub(crate) fn views() -> Arc<dyn Views> {
    Arc::new(in_parts_of(PartedViews::default().entries))
}

/// The same in parts of so many entries.
pub(crate) fn in_parts_of(entries: u64) -> PartedViews {
    let parts = SledViews {
        segment_size: 512 << 10,
        ..SledViews::default()
    };
    PartedViews {
        parts: Arc::new(parts),
        entries,
    }
}

/// Verifies a log with one thread and with several, which find the same, byte for byte.
pub(crate) fn verify(path: &Path, options: VerifyOptions<'_>) -> Result<Verdict, VerifyError> {
    let with_one = VerifyOptions {
        expected_head: options.expected_head,
        require_seal: options.require_seal,
        key: options.key.clone(),
        checkpoints: options.checkpoints.clone(),
        committed: options.committed.clone(),
        since: options.since.clone(),
        policy: options.policy.clone(),
        host_witnessed: options.host_witnessed.clone(),
        skip_view: options.skip_view,
        views: options.views.clone(),
        threads: NonZeroUsize::new(1),
        progress: None,
    };
    let with_several = VerifyOptions {
        threads: NonZeroUsize::new(3),
        ..options
    };
    let one = nephron_audit::verify(path, with_one);
    let several = nephron_audit::verify(path, with_several);
    let said = |verdict: &Result<Verdict, VerifyError>| match verdict {
        Ok(verdict) => serde_json::to_string(verdict).unwrap(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said(&one), said(&several));
    several
}

/// Verifies a log of [`options`].
pub(crate) fn check(path: &Path) -> Verdict {
    let options = VerifyOptions {
        views: Some(views()),
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

pub(crate) fn open(path: &Path) -> Log {
    try_open(path, options()).unwrap()
}

pub(crate) fn try_open(path: &Path, options: Options) -> Result<Log, OpenError> {
    Log::open(path, &tenant(), clock(), options)
}

pub(crate) fn request(number: u64) -> EventId {
    let at = Timestamp {
        seconds: 1_795_305_802,
        nanoseconds: 0,
    };
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    EventId::new(at, random)
}

/// The `number`-th invented entry: different sizes, some with a payload, some with records.
pub(crate) fn draft(number: u64) -> Draft {
    let mut draft = Draft::new(EntryKind::PassedOver, "permit").about(request(number / 3));
    draft.caller = Some(format!("nurse-{}", number % 4));
    draft.reasons = vec!["role".to_owned(); usize::try_from(number % 5).unwrap()];
    draft = draft.fact("number", number.to_string());
    if number % 3 == 1 {
        draft.payload = Some(vec![
            u8::try_from(number % 251).unwrap();
            usize::try_from(number * 37 % 900).unwrap()
        ]);
    }
    if number % 4 == 2 {
        draft.records = vec![
            Record {
                space: Space::VaultValue,
                key: format!("token-{}", number % 10).into_bytes(),
                value: format!("sealed-{number}").into_bytes(),
            },
            Record {
                space: Space::Grant,
                key: number.to_be_bytes().to_vec(),
                value: vec![7; 40],
            },
        ];
    }
    draft
}

/// Records the entries `range`, each waited for.
pub(crate) fn fill(log: &Log, range: std::ops::Range<u64>) {
    for number in range {
        let _recorded = log.record(draft(number)).wait().unwrap();
    }
}

/// Every file below `folder`, by path.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
}

/// The path of a segment.
pub(crate) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal/{number:08}.wal"))
}

/// Changes one file.
pub(crate) fn alter(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

/// The frames of a segment: offset, length and sequence, read as `docs/formats/log.md` draws them.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(usize, usize, u64)> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut frames = Vec::new();
    let mut at = 128;
    while at + 40 <= bytes.len() && &bytes[at..at + 4] == b"NFR1" {
        let length = (40 + word(at + 24) + word(at + 28) + word(at + 32)).next_multiple_of(8);
        let sequence = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
        frames.push((at, length, sequence));
        at += length;
    }
    frames
}

/// A note that says of a log of the same origin and size that it had another root, signed by the key of this seed.
pub(crate) fn forged_note(of: &nephron_audit::Checkpoint, seed: u8) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = TestKey::new(seed);
    let root = STANDARD.encode(nephron_model::Digest::of(b"another").0);
    let text = format!("{}\n{}\n{root}\n", of.origin, of.size);
    let typed = [&[1], key.public_key().as_slice()].concat();
    let id = nephron_model::Digest::of(&[of.origin.as_bytes(), b"\n", &typed].concat());
    let signature = [&id.0[..4], &key.sign(text.as_bytes()).unwrap()].concat();
    format!(
        "{text}\n\u{2014} {} {}\n",
        of.origin,
        STANDARD.encode(signature)
    )
}
