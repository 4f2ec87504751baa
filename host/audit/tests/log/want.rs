//! A view whose store lacks room, files, memory or threads is let rest and tried again; nothing is set aside, and the journal answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nephron_audit::view::{
    Addition, RecordName, Row, Shelf, Term, TermKey, View, ViewError, ViewStanding, Views,
};
use nephron_audit::{CloseError, Head, Location, Log, Options};
use nephron_model::{EntryKind, Records as _, Space};

use crate::support::{check, fill, options, place, request, try_open, views};

/// What takes so long does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every call of the store says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// What the good store says.
    Nothing,
    InWant,
    Failed,
}

/// Opens views that fail for as long as they are told to.
#[derive(Clone)]
struct Moody {
    good: Arc<dyn Views>,
    says: Arc<AtomicU64>,
}

struct MoodyView {
    good: Box<dyn View>,
    moody: Moody,
}

impl Moody {
    fn new() -> Self {
        Self {
            good: views(),
            says: Arc::default(),
        }
    }

    fn says(&self, what: Says) {
        self.says.store(what as u64, Ordering::SeqCst);
    }

    fn enter(&self) -> Result<(), ViewError> {
        let says = self.says.load(Ordering::SeqCst);
        let text = "a test made the store fail".to_owned();
        match says {
            says if says == Says::Nothing as u64 => Ok(()),
            says if says == Says::InWant as u64 => Err(ViewError::InWant(text)),
            _ => Err(ViewError::Store(text)),
        }
    }

    fn options(&self) -> Options {
        Options {
            view: Arc::new(self.clone()),
            ..options()
        }
    }
}

impl MoodyView {
    fn enter(&self) -> Result<&dyn View, ViewError> {
        self.moody.enter().map(|()| self.good.as_ref())
    }
}

impl Views for Moody {
    fn open(&self, folder: &Path) -> Result<Box<dyn View>, ViewError> {
        self.enter()?;
        Ok(Box::new(MoodyView {
            good: self.good.open(folder)?,
            moody: self.clone(),
        }))
    }

    fn released(&self, folder: &Path) -> Result<(), ViewError> {
        self.good.released(folder)
    }
}

impl View for MoodyView {
    fn head(&self) -> Result<Head, ViewError> {
        self.enter()?.head()
    }
    fn add(&self, additions: &[Addition], head: Head) -> Result<(), ViewError> {
        self.enter()?.add(additions, head)
    }
    fn row(&self, sequence: u64) -> Result<Option<Row>, ViewError> {
        self.enter()?.row(sequence)
    }
    fn sequences(&self, term: TermKey) -> Result<Vec<u64>, ViewError> {
        self.enter()?.sequences(term)
    }
    fn records(
        &self,
        shelf: Shelf,
        names: &[RecordName],
    ) -> Result<Vec<Option<(u64, Location)>>, ViewError> {
        self.enter()?.records(shelf, names)
    }
    fn each_term(&self, each: &mut dyn FnMut(TermKey, u64)) -> Result<(), ViewError> {
        self.enter()?.each_term(each)
    }
    fn each_record(
        &self,
        each: &mut dyn FnMut(RecordName, u64, Location),
    ) -> Result<(), ViewError> {
        self.enter()?.each_record(each)
    }
    fn each_name(&self, each: &mut dyn FnMut([u8; 16])) -> Result<(), ViewError> {
        self.enter()?.each_name(each)
    }
    fn checkpoint(&self) -> Result<(), ViewError> {
        self.enter()?.checkpoint()
    }
}

fn repairs(log: &Log) -> usize {
    let entries = log.entries(0..u64::MAX).map(|entry| entry.unwrap().header);
    entries
        .filter(|header| header.kind == EntryKind::LogRepaired)
        .count()
}

/// Asks what 50 entries and their repairs answer.
#[track_caller]
fn serves(log: &Log) {
    let sealed = log.read(Space::VaultValue, b"token-6").unwrap();
    assert_eq!(sealed, Some(b"sealed-46".to_vec()));
    assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
    assert_eq!(log.entry(9).unwrap().unwrap().header.facts["number"], "8");
}

#[track_caller]
fn comes_to(log: &Log, standing: ViewStanding) {
    let began = Instant::now();
    while log.view_standing() != standing {
        assert!(began.elapsed() < PATIENCE, "{:?}", log.view_standing());
        log.try_view_again();
        std::thread::yield_now();
    }
}

#[test]
fn a_view_in_want_is_tried_again_and_not_set_aside() {
    let (place, moody) = (place(), Moody::new());
    let log = try_open(&place.path, moody.options()).unwrap();
    fill(&log, 0..25);
    let _held = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    assert_eq!(log.view_standing(), ViewStanding::Open);
    for round in 0..2 {
        moody.says(Says::InWant);
        fill(&log, 25 + 12 * round..25 + 12 * (round + 1));
        // Whoever asks finds it out, and is answered by the journal.
        assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
        comes_to(&log, ViewStanding::Missing);
        assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
        moody.says(Says::Nothing);
        // Nobody need ask.
        comes_to(&log, ViewStanding::Open);
    }
    fill(&log, 49..50);
    serves(&log);
    assert_eq!((log.set_aside(), repairs(&log)), (0, 0));
    assert!(!place.path.join("damaged").exists());
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
}

#[test]
fn a_log_whose_view_is_in_want_is_opened_and_closed_all_the_same() {
    let (place, moody) = (place(), Moody::new());
    let log = try_open(&place.path, moody.options()).unwrap();
    fill(&log, 0..25);
    let _held = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    moody.says(Says::InWant);
    fill(&log, 25..30);
    // It is not sealed, because nobody knows what its view holds.
    assert!(matches!(log.close(), Err(CloseError::View)));

    let log = try_open(&place.path, moody.options()).unwrap();
    assert_eq!(log.view_standing(), ViewStanding::Missing);
    fill(&log, 30..50);
    serves(&log);
    moody.says(Says::Nothing);
    comes_to(&log, ViewStanding::Open);
    serves(&log);
    assert_eq!((log.set_aside(), repairs(&log)), (0, 0));
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);

    // Nor is one that was closed before.
    moody.says(Says::InWant);
    let log = try_open(&place.path, moody.options()).unwrap();
    serves(&log);
    comes_to(&log, ViewStanding::Missing);
    assert!(log.close().is_ok(), "nothing came of it");
    moody.says(Says::Nothing);
    let log = try_open(&place.path, moody.options()).unwrap();
    serves(&log);
    assert_eq!((log.set_aside(), repairs(&log)), (0, 0));
}

#[test]
fn a_view_that_fails_again_and_again_leaves_few_copies_and_is_tried_again() {
    let (place, moody) = (place(), Moody::new());
    let log = try_open(&place.path, moody.options()).unwrap();
    fill(&log, 0..50);
    let _held = log.sequences(&Term::Kind(EntryKind::LogOpened)).unwrap();
    moody.says(Says::Failed);
    assert_eq!(log.of_request(request(2)).unwrap(), [7, 8, 9]);
    comes_to(&log, ViewStanding::Missing);
    serves(&log);
    // That there is damage, and how often, can be seen.
    let copies = std::fs::read_dir(place.path.join("damaged")).unwrap();
    assert_eq!(log.set_aside(), copies.count() as u64);
    assert!((1..=4).contains(&log.set_aside()), "{}", log.set_aside());
    moody.says(Says::Nothing);
    comes_to(&log, ViewStanding::Open);
    serves(&log);
    assert!(repairs(&log) > 0);
    log.close().unwrap();
    let verdict = check(&place.path);
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);
}
