//! What a hostile set of our own says: texts in every bad way of writing, with invented people, in `sets/hostile.txt`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail by panicking; its helpers stand outside test functions"
)]

use std::collections::BTreeMap;

use nephron_sdk::Plugin;
use safe_harbor::SafeHarbor;

/// Letters and digits: those of identifiers, those of them that are covered, the others, those of them that are covered.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    identifiers: usize,
    caught: usize,
    others: usize,
    flagged: usize,
}

/// A block's text and where its identifiers stand, in bytes.
fn read(marked: &str) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut spans, mut rest) = (String::new(), Vec::new(), marked);
    while let Some((before, after)) = rest.split_once("[[") {
        let (inside, after) = after.split_once("]]").unwrap();
        let (_, identifier) = inside.split_once(':').unwrap();
        text.push_str(before);
        spans.push((text.len(), text.len() + identifier.len()));
        text.push_str(identifier);
        rest = after;
    }
    (text + rest, spans)
}

fn counts(settings: &str) -> BTreeMap<String, Counts> {
    let detector = match SafeHarbor::configure(serde_json::from_str(settings).unwrap()) {
        Ok(detector) => detector,
        Err(problems) => panic!("{problems:?}"),
    };
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for block in include_str!("sets/hostile.txt").split("\n## ").skip(1) {
        let (category, marked) = block.split_once('\n').unwrap();
        let (text, spans) = read(marked.trim_end().strip_suffix("\n--").unwrap());
        let found = detector.find(&[&text]).remove(0);
        let counts = counts.entry(category.to_owned()).or_default();
        for (at, _) in text.char_indices().filter(|(_, c)| c.is_alphanumeric()) {
            let covered = found.iter().any(|one| (one.start..one.end).contains(&at));
            if spans
                .iter()
                .any(|(start, end)| (*start..*end).contains(&at))
            {
                counts.identifiers += 1;
                counts.caught += usize::from(covered);
            } else {
                counts.others += 1;
                counts.flagged += usize::from(covered);
            }
        }
    }
    counts
}

fn sum(counts: &BTreeMap<String, Counts>) -> Counts {
    counts.values().fold(Counts::default(), |sum, one| Counts {
        identifiers: sum.identifiers + one.identifiers,
        caught: sum.caught + one.caught,
        others: sum.others + one.others,
        flagged: sum.flagged + one.flagged,
    })
}

#[test]
fn hostile_writing_hides_little_and_little_else_is_taken() {
    let counts = counts("{}");
    let all = sum(&counts);
    assert!(
        all.caught * 100 >= all.identifiers * 94 && all.flagged * 100 <= all.others * 4,
        "{counts:#?}"
    );
    let kept = counts.get("kept").unwrap();
    assert!(kept.flagged * 100 <= kept.others * 2, "{kept:?}");
}

#[test]
fn each_step_of_the_dial_catches_no_less() {
    let [balanced, strict, paranoid] = ["balanced", "strict", "paranoid"]
        .map(|recall| sum(&counts(&format!(r#"{{"recall": "{recall}"}}"#))));
    assert!(
        balanced.caught <= strict.caught && strict.caught < paranoid.caught,
        "{balanced:?} {strict:?} {paranoid:?}"
    );
    assert!(balanced.flagged < strict.flagged && strict.flagged < paranoid.flagged);
    assert!(
        paranoid.caught * 100 >= paranoid.identifiers * 97,
        "{paranoid:?}"
    );
}
