use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use nephron_model::Space;
use pollster::block_on;

use super::*;
use crate::root::RootProvider as _;
use crate::seal::version_of;
use crate::testing::MemoryLog;
use crate::ward::{Ward, kind};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn rotate(ward: &Ward) -> Result<u32, TenantKeyError> {
    block_on(ward.keys.rotate(&Boundary::ROTATED, "schedule"))
}

/// What is sealed under each boundary, and what an outsider would recognise it by.
struct Sealed {
    payload: Vec<u8>,
    field: Vec<u8>,
    token: crate::Token,
    fingerprint: nephron_model::Fingerprint,
}

impl Sealed {
    fn by(ward: &Ward) -> Self {
        let values = [(kind("name"), "Jane Example")];
        Self {
            payload: ward.keys.seal_payload(None, "prompt", b"note").unwrap(),
            field: block_on(ward.grant().seal(b"field", "c")).unwrap(),
            token: block_on(ward.grant().tokenize(&values)).unwrap().remove(0),
            fingerprint: ward.keys.fingerprint(b"record").unwrap(),
        }
    }

    fn versions(&self) -> [Option<u32>; 2] {
        [&self.payload, &self.field].map(|sealed| version_of(sealed))
    }

    fn opens(&self, keys: &TenantKeys, ward: &Ward) {
        let grant = keys.mint(ward.request()).unwrap();
        let payload = block_on(grant.open_payload(&self.payload, None, "prompt")).unwrap();
        assert_eq!(payload.expose(), b"note");
        let field = block_on(grant.open(&self.field, "c")).unwrap();
        assert_eq!(field.expose(), b"field");
        let values = block_on(grant.detokenize(std::slice::from_ref(&self.token))).unwrap();
        let value = values.into_iter().next().flatten().unwrap();
        assert_eq!(value.expose(), "Jane Example");
        assert_eq!(keys.fingerprint(b"record").unwrap(), self.fingerprint);
    }
}

/// A file that only its owner may touch.
fn put(ward: &Ward, name: &str, text: &[u8]) {
    use cap_std::fs::{Permissions, PermissionsExt as _};
    ward.dir().write(name, text).unwrap();
    ward.dir()
        .set_permissions(name, Permissions::from_mode(0o600))
        .unwrap();
}

fn outcomes(log: &MemoryLog, from: usize) -> Vec<String> {
    let drafts = log.drafts().into_iter().skip(from);
    let changes = drafts.filter(|draft| draft.kind == EntryKind::KeyChanged);
    changes.map(|draft| draft.outcome).collect()
}

#[test]
fn after_a_rotation_the_new_version_seals_and_every_version_opens() {
    let ward = Ward::new("st-marys");
    let before = Sealed::by(&ward);
    assert_eq!(rotate(&ward).unwrap(), 2);
    let after = Sealed::by(&ward);
    assert_eq!(
        (before.versions(), after.versions()),
        ([Some(1); 2], [Some(2); 2])
    );
    // The same value keeps its token, and the same record its digest.
    assert_eq!(after.token, before.token);
    let reopened = ward.reopen().unwrap();
    for keys in [&ward.keys, &reopened] {
        before.opens(keys, &ward);
        after.opens(keys, &ward);
    }
    assert_eq!(reopened.status().unwrap(), ward.keys.status().unwrap());
    assert_eq!(outcomes(&ward.log, 1), ["rotating", "created"]);
}

#[test]
fn entries_name_the_version_that_a_use_seals_or_opens_under() {
    let ward = Ward::new("st-marys");
    let old = block_on(ward.grant().seal(b"field", "c")).unwrap();
    rotate(&ward).unwrap();
    block_on(ward.grant().open(&old, "c")).unwrap();
    assert_eq!(ward.last().facts["key-version"], "1");
    block_on(ward.grant().seal(b"field", "c")).unwrap();
    assert_eq!(ward.last().facts["key-version"], "2");
}

#[test]
fn an_envelope_whose_version_was_rewritten_does_not_open() {
    let ward = Ward::new("st-marys");
    rotate(&ward).unwrap();
    let mut sealed = block_on(ward.grant().seal(b"field", "c")).unwrap();
    for version in [0_u8, 1, 3, 255] {
        sealed[9] = version;
        let refused = block_on(ward.grant().open(&sealed, "c"));
        assert!(matches!(refused, Err(KeyError::AuthenticationFailed)));
    }
}

#[test]
fn each_boundary_is_due_by_its_own_period_and_rotates_alone() {
    let ward = Ward::new("st-marys");
    let schedule = Schedule {
        field: DAY,
        ..Schedule::DEFAULT
    };
    let due = || ward.keys.due(&schedule).unwrap();
    ward.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(due(), []);
    ward.clock.advance(Duration::from_secs(1));
    assert_eq!(due(), [Boundary::Field]);
    block_on(ward.keys.rotate(&due(), "schedule")).unwrap();
    assert_eq!(due(), []);
    assert_eq!(Sealed::by(&ward).versions(), [Some(1), Some(2)]);
    ward.clock.advance(Schedule::QUARTER - DAY);
    assert_eq!(due(), Boundary::ROTATED);
    let seals: Vec<_> = ward.keys.status().unwrap().versions;
    let seals: Vec<_> = seals.into_iter().map(|version| version.seals).collect();
    assert_eq!(
        seals,
        [
            vec![Boundary::Vault, Boundary::AuditPayload],
            vec![Boundary::Field]
        ]
    );
}

#[test]
fn a_provider_makes_a_key_for_each_version_and_the_older_files_are_wrapped_anew() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    let before = Sealed::by(&ward);
    let old_file = ward.dir().read("kek-1.json").unwrap();
    let from = ward.log.drafts().len();
    rotate(&ward).unwrap();
    rotate(&ward).unwrap();
    assert_eq!(
        outcomes(&ward.log, from),
        [
            "rotating",
            "created",
            "rewrapped",
            "rewrapped-all",
            "rotating",
            "created",
            "rewrapped",
            "rewrapped",
            "rewrapped-all"
        ]
    );
    let progress: Vec<_> = ward
        .log
        .drafts()
        .into_iter()
        .filter_map(|draft| draft.facts.get("progress").cloned())
        .collect();
    assert_eq!(progress, ["1/1", "1/2", "2/2"]);
    let status = ward.keys.status().unwrap();
    let newest = status.keks.last().unwrap();
    assert!(
        status
            .versions
            .iter()
            .all(|version| version.kek.as_ref() == Some(&newest.name))
    );
    assert_eq!(
        shelf.labels(),
        [
            "nephron-root",
            "nephron-st-marys-1",
            "nephron-st-marys-2",
            "nephron-st-marys-3"
        ]
    );

    // Not before copies have aged; then what wraps nothing is destroyed, and only that.
    let retire = || block_on(ward.keys.destroy_retired(DAY)).unwrap().answers;
    assert_eq!(retire(), []);
    ward.clock.advance(DAY);
    let answers = retire();
    assert_eq!(answers.len(), 2);
    assert_eq!(ward.last().facts["answer"], "taken off the shelf");
    assert_eq!(shelf.labels(), ["nephron-root", "nephron-st-marys-3"]);
    assert_eq!(retire(), []);
    before.opens(&ward.reopen().unwrap(), &ward);

    // A copy of file and log from before is worth nothing now.
    put(&ward, "kek-1.json", &old_file);
    let log = MemoryLog::new();
    for ((space, key), value) in ward.log.records() {
        log.forge(space, &key, &value);
    }
    log.forge(Space::Key, b"current", &Current::FIRST.record().value);
    let made = Fate::Created {
        file: Digest::of(&old_file),
    };
    log.forge(Space::Key, b"kek-1.json", &made.record("").value);
    let refused = Ward { log, ..ward }.reopen().err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::Root(RootError::KekGone { .. })),
        "{refused}"
    );
}

/// The log refuses at each entry of a rotation in turn, as a crash would.
#[test]
fn a_rotation_that_breaks_off_anywhere_is_taken_up_again() {
    for at in 0..5 {
        let (ward, _shelf) = Ward::on_shelf("st-marys");
        rotate(&ward).unwrap();
        let before = Sealed::by(&ward);
        let from = ward.log.drafts().len();
        ward.log.refuse_from(from + at);
        assert!(rotate(&ward).is_err(), "{at}");
        ward.log.accept();
        for keys in [&ward.keys, &ward.reopen().unwrap()] {
            before.opens(keys, &ward);
        }
        let reopened = ward.reopen().unwrap();
        block_on(reopened.finish()).unwrap();
        let status = reopened.status().unwrap();
        let kek = status.versions.last().unwrap().kek.clone();
        assert!(
            status.versions.iter().all(|version| version.kek == kek),
            "{at}"
        );
        let live = status.keks.iter().filter(|kek| kek.retired.is_none());
        assert_eq!(live.count(), 1, "{at}");
        let versions = status.versions.len();
        block_on(reopened.rotate(&Boundary::ROTATED, "schedule")).unwrap();
        assert_eq!(reopened.status().unwrap().versions.len(), versions + 1);
        before.opens(&ward.reopen().unwrap(), &ward);
    }
}

#[test]
fn a_crash_before_a_rewrapped_file_is_renamed_is_finished_by_opening() {
    let (ward, _shelf) = Ward::on_shelf("st-marys");
    let before = Sealed::by(&ward);
    let folder = ward.dir();
    let old = folder.read("kek-1.json").unwrap();
    rotate(&ward).unwrap();
    folder
        .rename("kek-1.json", &folder, "kek-1.json.new")
        .unwrap();
    put(&ward, "kek-1.json", &old);
    before.opens(&ward.reopen().unwrap(), &ward);
    assert!(!folder.exists("kek-1.json.new"));
}

#[test]
fn a_provider_that_is_away_stops_a_rotation_and_nothing_else() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    let before = Sealed::by(&ward);
    shelf.is_away.store(true, Ordering::Relaxed);
    let refused = rotate(&ward).unwrap_err();
    assert!(matches!(refused, TenantKeyError::Root(_)), "{refused}");
    assert_eq!(ward.last().outcome, "not-rotated");
    assert!(ward.last().facts["answer"].contains("it is away"));
    before.opens(&ward.keys, &ward);
    assert_eq!(Sealed::by(&ward).versions(), [Some(1); 2]);
    shelf.is_away.store(false, Ordering::Relaxed);
    assert_eq!(rotate(&ward).unwrap(), 2);
}

#[test]
fn destroying_destroys_at_the_provider_and_records_its_answer() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    rotate(&ward).unwrap();
    let (grant, backup) = (ward.grant(), ward.dir().read("kek-2.json").unwrap());
    let from = ward.log.drafts().len();
    let shredded = block_on(ward.keys.destroy("test")).unwrap();
    assert_eq!(shredded.answers.len(), 2);
    assert_eq!(
        outcomes(&ward.log, from),
        ["destroyed", "kek-destroyed", "kek-destroyed"]
    );
    assert_eq!(ward.last().facts["answer"], "taken off the shelf");
    assert_eq!(shelf.labels(), ["nephron-root"]);
    assert!(matches!(
        block_on(grant.tokenize(&[])),
        Err(KeyError::Destroyed)
    ));
    assert_eq!(ward.dir().entries().unwrap().count(), 0);
    // A copy that is put back is refused, and removed.
    ward.dir().write("kek-2.json", &backup).unwrap();
    assert!(matches!(ward.reopen(), Err(TenantKeyError::Destroyed)));
    assert_eq!(ward.dir().entries().unwrap().count(), 0);
    let entries = ward.log.drafts().len();
    let again = block_on(ward.keys.destroy("test")).unwrap();
    assert_eq!((again.answers.len(), ward.log.drafts().len()), (0, entries));
}

#[test]
fn what_a_provider_did_not_destroy_is_dead_here_and_destroyed_by_the_next_call() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    shelf.is_away.store(true, Ordering::Relaxed);
    let failed = block_on(ward.keys.destroy("test")).unwrap_err();
    assert!(matches!(failed, TenantKeyError::Root(_)), "{failed}");
    assert!(matches!(
        ward.keys.fingerprint(b"x"),
        Err(KeyError::Destroyed)
    ));
    assert_eq!(
        outcomes(&ward.log, 0),
        ["creating", "created", "destroyed", "kek-kept"]
    );
    assert!(matches!(ward.reopen(), Err(TenantKeyError::Destroyed)));
    // The next process.
    shelf.is_away.store(false, Ordering::Relaxed);
    let dead = ward.dead();
    assert!(!dead.status().unwrap().is_live);
    block_on(dead.finish()).unwrap();
    assert_eq!(shelf.labels(), ["nephron-root"]);
}

#[test]
fn a_key_that_the_provider_has_no_more_is_told_from_a_wrong_one() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    let kek = ward.keys.status().unwrap().keks.remove(0).name;
    shelf.destroy(&kek).unwrap();
    let refused = ward.reopen().err().unwrap();
    assert!(
        matches!(&refused, TenantKeyError::Root(RootError::KekGone { kek: gone, .. }) if *gone == kek),
        "{refused}"
    );
    // It may be found again: nothing is given up unasked.
    let lost = ward.dead();
    block_on(lost.finish()).unwrap();
    assert!(ward.dir().exists("kek-1.json"));
    // What is there is still destroyed, with an entry.
    block_on(ward.keys.destroy("test")).unwrap();
    assert_eq!(ward.last().facts["answer"], "it was not there");
}

#[test]
fn one_change_at_a_time() {
    let ward = Ward::new("st-marys");
    let mut context = Context::from_waker(Waker::noop());
    ward.log.hold();
    let mut rotating = pin!(ward.keys.rotate(&Boundary::ROTATED, "schedule"));
    assert!(rotating.as_mut().poll(&mut context).is_pending());
    assert!(matches!(
        block_on(ward.keys.destroy("test")),
        Err(TenantKeyError::Busy)
    ));
    ward.log.release();
    let rotated = loop {
        if let Poll::Ready(rotated) = rotating.as_mut().poll(&mut context) {
            break rotated;
        }
    };
    assert_eq!(rotated.unwrap(), 2);
    block_on(ward.keys.destroy("test")).unwrap();
    assert!(matches!(rotate(&ward), Err(TenantKeyError::Destroyed)));
}

/// How often `masked`, which is a secret with every bit turned over, stands turned over again in the memory of this process.
/// So the search itself leaves no copy.
fn copies_of(masked: &[Vec<u8>]) -> usize {
    use std::os::unix::fs::FileExt as _;
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let (mut found, mut firsts) = (0, [false; 256]);
    for masked in masked {
        firsts[usize::from(!masked[0])] = true;
    }
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let (from, to) = range.split_once('-').unwrap();
        let at = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = (at(from), at(to));
        if !rights.starts_with("rw") || to - from > 1 << 30 {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        const PAGE: usize = 4096;
        // Other tests give pages back meanwhile; those read as zeros.
        for (page, at) in bytes.chunks_mut(PAGE).zip((from..).step_by(PAGE)) {
            let _gone = memory.read_exact_at(page, at);
        }
        for start in (0..bytes.len()).step_by(PAGE) {
            let end = bytes.len().min(start + PAGE);
            if bytes[start..end] == [0; PAGE] {
                continue;
            }
            for at in start..end {
                let is_it = |masked: &&Vec<u8>| {
                    let rest = bytes[at..].iter().map(|byte| !byte);
                    bytes.len() - at >= masked.len()
                        && rest.zip(masked.iter()).all(|(a, b)| a == *b)
                };
                if firsts[usize::from(bytes[at])] {
                    found += masked.iter().filter(is_it).count();
                }
            }
        }
    }
    found
}

#[test]
fn i4_a_key_lies_in_memory_once_and_not_at_all_when_it_was_destroyed() {
    let ward = Ward::new("st-marys");
    let masked = ward.keys.inner().with_rings(|rings| {
        let ring = rings.lookup();
        let keys = [
            &ring.vault,
            &ring.audit_payload,
            &ring.field,
            &ring.token,
            &ring.fingerprint,
            &ring.mac,
        ];
        let mask = |key: &&crate::Key| key.bytes().iter().map(|byte| !byte).collect::<Vec<u8>>();
        Ok(keys.iter().map(mask).collect::<Vec<_>>())
    });
    let masked = masked.unwrap();
    let sealed = Sealed::by(&ward);
    sealed.opens(&ward.keys, &ward);
    block_on(ward.grant().mac(b"data")).unwrap();
    // Once each, where they are kept; what was derived on the way is gone.
    assert_eq!(copies_of(&masked), masked.len());
    block_on(ward.keys.destroy("test")).unwrap();
    assert_eq!(copies_of(&masked), 0);
}

#[test]
fn i1_a_provider_is_asked_for_nothing_that_is_not_recorded_first() {
    let (ward, shelf) = Ward::on_shelf("st-marys");
    let labels = shelf.labels();
    ward.log.refuse_from(ward.log.drafts().len());
    assert!(matches!(rotate(&ward), Err(TenantKeyError::NotRecorded(_))));
    assert!(block_on(ward.keys.destroy("test")).is_err());
    let folder = tempfile::tempdir().unwrap();
    let created = block_on(TenantKeys::create(
        crate::ward::dir(&folder),
        "general".parse().unwrap(),
        &ward.root,
        ward.clock.clone(),
        std::sync::Arc::new(ward.log.clone()),
        std::sync::Arc::new(MemoryLog::new()),
    ));
    assert!(matches!(created, Err(TenantKeyError::NotRecorded(_))));
    assert_eq!(shelf.labels(), labels);
}
