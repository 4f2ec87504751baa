use std::path::Path;

use nephron_model::{Digest, Space};
use tempfile::TempDir;

use super::*;
use crate::view::Term;

/// Parts of ten entries, and one store for all of them, filled with the same.
struct Both {
    folder: TempDir,
    parted: Option<Box<dyn View>>,
    whole: Box<dyn View>,
    head: Head,
}

fn views() -> PartedViews {
    PartedViews {
        entries: 10,
        ..PartedViews::default()
    }
}

impl Both {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            parted: Some(views().open(&folder.path().join("parted")).unwrap()),
            whole: SledViews::default()
                .open(&folder.path().join("whole"))
                .unwrap(),
            folder,
            head: Head::START,
        }
    }

    fn parted(&self) -> &dyn View {
        self.parted.as_deref().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("parted")
    }

    /// Adds `count` entries: each of one of three callers and of a request of its own, each fifth with a record of one shelf.
    fn add(&mut self, count: u64) {
        let first = self.head.entries;
        let additions: Vec<_> = (first..first + count).map(addition).collect();
        let last = additions.last().unwrap();
        self.head = Head {
            entries: last.row.sequence + 1,
            hash: last.row.hash,
        };
        self.parted().add(&additions, self.head).unwrap();
        self.whole.add(&additions, self.head).unwrap();
    }

    fn reopen(&mut self) {
        let path = self.path();
        close(&views(), self.parted.take().unwrap(), &path).unwrap();
        self.parted = Some(views().open(&path).unwrap());
    }

    fn agree(&self) {
        let (parted, whole) = (self.parted(), &self.whole);
        assert_eq!(parted.head().unwrap(), self.head);
        for sequence in 0..self.head.entries + 2 {
            assert_eq!(parted.row(sequence).unwrap(), whole.row(sequence).unwrap());
            let term = term(&format!("request {sequence}"));
            assert_eq!(
                parted.sequences(term).unwrap(),
                whole.sequences(term).unwrap()
            );
        }
        for caller in 0..4 {
            let term = term(&format!("caller {caller}"));
            assert_eq!(
                parted.sequences(term).unwrap(),
                whole.sequences(term).unwrap()
            );
        }
        let names: Vec<_> = (0..5).map(name).collect();
        for place in ["shelf", "none"] {
            let shelf = Shelf::of(place.as_bytes());
            assert_eq!(
                parted.records(shelf, &names).unwrap(),
                whole.records(shelf, &names).unwrap()
            );
        }
        let all = |view: &dyn View| {
            let (mut terms, mut records) = (Vec::new(), Vec::new());
            view.each_term(&mut |term, sequence| terms.push((term, sequence)))
                .unwrap();
            view.each_record(&mut |name, sequence, at| records.push((name, sequence, at.offset)))
                .unwrap();
            terms.sort_unstable();
            records.sort_unstable();
            (terms, records)
        };
        assert_eq!(all(parted), all(whole.as_ref()));
        parted.checkpoint().unwrap();
    }
}

fn term(text: &str) -> TermKey {
    Term::Caller(text.to_owned()).key()
}

fn name(number: u64) -> RecordName {
    RecordName::of(Space::Grant, &number.to_le_bytes())
}

fn addition(sequence: u64) -> Addition {
    let record = (Shelf::of(b"shelf"), name(sequence % 4));
    Addition {
        row: Row {
            sequence,
            at: Location {
                segment: 0,
                offset: sequence * 100,
            },
            hash: Digest::of(&sequence.to_le_bytes()),
            header: format!("header {sequence}").into_bytes(),
        },
        terms: vec![
            term(&format!("caller {}", sequence % 3)),
            term(&format!("request {sequence}")),
        ],
        records: sequence
            .is_multiple_of(5)
            .then_some(record)
            .into_iter()
            .collect(),
    }
}

#[test]
fn parts_answer_as_one_store_does_before_and_after_they_were_closed() {
    let mut both = Both::new();
    both.agree();
    for count in [3, 7, 1, 12, 30, 9, 1] {
        both.add(count);
        both.agree();
        both.reopen();
        both.agree();
    }
    let parts = parts_in(&both.path()).unwrap();
    assert_eq!(parts, [0, 10, 23, 53]);
}

#[test]
fn a_crash_while_one_part_follows_another_loses_nothing() {
    let mut both = Both::new();
    both.add(10);
    both.reopen();
    // Before the next part holds anything: with its names and without its folder, and with an empty folder.
    let parted = both.parted.take().unwrap();
    let names = Names::of(parted.as_ref()).unwrap();
    names.write(&Names::path(&both.path(), 0)).unwrap();
    both.parted = Some(parted);
    both.reopen();
    both.agree();
    let path = both.path();
    close(&views(), both.parted.take().unwrap(), &path).unwrap();
    fs::create_dir(path_of(&path, 10)).unwrap();
    both.parted = Some(views().open(&path).unwrap());
    both.agree();
    both.add(4);
    both.reopen();
    both.agree();
}

#[test]
fn what_is_missing_or_altered_between_parts_is_found_at_opening() {
    let spoilt = |spoil: fn(&Path)| {
        let mut both = Both::new();
        both.add(10);
        both.add(10);
        both.add(5);
        let path = both.path();
        close(&views(), both.parted.take().unwrap(), &path).unwrap();
        spoil(&path);
        views().open(&path).is_err()
    };
    assert!(!spoilt(|_| ()));
    assert!(spoilt(|path| fs::remove_file(Names::path(path, 0)).unwrap()));
    assert!(spoilt(
        |path| fs::write(Names::path(path, 10), [0; 8]).unwrap()
    ));
    assert!(spoilt(|path| fs::remove_dir_all(path_of(path, 0)).unwrap()));
    assert!(spoilt(|path| fs::remove_dir_all(path_of(path, 10)).unwrap()));
    assert!(spoilt(|path| fs::rename(
        path_of(path, 20),
        path_of(path, 21)
    )
    .unwrap()));
    assert!(spoilt(|path| fs::create_dir(path.join("strange")).unwrap()));
}
