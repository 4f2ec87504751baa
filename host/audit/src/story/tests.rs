use nephron_model::Draft;

use super::*;

const AT: Timestamp = Timestamp {
    seconds: 1_795_305_802,
    nanoseconds: 0,
};

/// An entry of a story: kind, outcome, request, and facts.
type Told<'a> = (EntryKind, &'a str, u8, &'a [(&'a str, &'a str)]);

fn header(number: u64, (kind, outcome, request, facts): Told<'_>) -> Header {
    let mut draft = Draft::new(kind, outcome);
    draft.request = (request > 0).then(|| EventId::new(AT, [request; 10]));
    for (name, value) in facts {
        draft = draft.fact(name, *value);
    }
    let mut header = Header::of_draft(&mut draft, &"st-marys".parse().unwrap());
    header.sequence = number;
    header.time = AT;
    header
}

/// The gaps in what these headers tell.
fn found(headers: impl IntoIterator<Item = Header>, is_closed: bool) -> Vec<String> {
    let mut story = Story::default();
    for header in headers {
        story.meet(&header);
    }
    let gaps = story.finish(is_closed);
    gaps.iter().map(ToString::to_string).collect()
}

fn gaps(entries: &[Told<'_>], is_closed: bool) -> Vec<String> {
    found((0..).zip(entries).map(|(n, it)| header(n, *it)), is_closed)
}

const GRANT_A: &[(&str, &str)] = &[
    ("grant", "grant-a"),
    ("uses", "1"),
    ("operations", "tokenize,seal"),
    ("operation", "tokenize"),
];
const LAKE: &[(&str, &str)] = &[("exporter", "lake")];
const WORM: &[(&str, &str)] = &[("anchor", "worm")];
const KEK: &[(&str, &str)] = &[("kek", "kek-1")];

const WHOLE: [Told<'_>; 15] = [
    (EntryKind::RequestOpened, "admitted", 1, &[]),
    (EntryKind::Decision, "permit", 1, &[]),
    (EntryKind::GrantMinted, "minted", 1, GRANT_A),
    (EntryKind::KeyUsed, "permit", 1, GRANT_A),
    (EntryKind::Sending, "intent", 1, &[]),
    (EntryKind::Received, "answered", 1, &[]),
    (EntryKind::RequestClosed, "answered", 1, &[]),
    (EntryKind::Exported, "delivering", 0, LAKE),
    (EntryKind::Exported, "confirming", 0, LAKE),
    (EntryKind::Exported, "delivered", 0, LAKE),
    (EntryKind::Anchored, "anchoring", 0, WORM),
    (EntryKind::Anchored, "confirming", 0, WORM),
    (EntryKind::Anchored, "anchored", 0, WORM),
    (EntryKind::KeyChanged, "kek-destroying", 0, KEK),
    (EntryKind::KeyChanged, "kek-destroyed", 0, KEK),
];

#[test]
fn a_story_that_is_whole_has_no_gap_and_one_without_any_of_its_entries_has() {
    assert!(gaps(&WHOLE, true).is_empty());
    let lacking: [(&[usize], &str); 10] = [
        (&[0], "entry 0: a decision without a request"),
        (&[2], "entry 2: a key use without a grant"),
        (&[4], "entry 4: an outcome without an intent"),
        (&[5], "entry 4: an intent without an outcome"),
        (&[6], "entry 0: a request without an end"),
        (&[7, 8], "entry 7: a delivery without an intent"),
        (&[9], "entry 7: an intent without an outcome"),
        (&[10, 11], "entry 10: a delivery without an intent"),
        (&[12], "entry 10: an intent without an outcome"),
        (&[14], "entry 13: an intent without an outcome"),
    ];
    for (left_out, said) in lacking {
        let entries = (0..).zip(&WHOLE).filter(|(n, _)| !left_out.contains(n));
        let entries: Vec<_> = entries.map(|(_, entry)| *entry).collect();
        let gaps = gaps(&entries, true);
        assert!(gaps.iter().any(|gap| gap == said), "{said}: {gaps:?}");
    }
}

#[test]
fn a_grant_is_used_as_often_as_it_may_be_and_a_log_in_use_is_not_at_its_end() {
    let mut twice = WHOLE.to_vec();
    twice.insert(4, WHOLE[3]);
    assert_eq!(gaps(&twice, true), ["entry 4: a key use without a grant"]);
    assert!(gaps(&WHOLE[..5], false).is_empty());
    let told = gaps(&WHOLE[..5], true);
    let expected = [
        "entry 0: a request without an end",
        "entry 4: an intent without an outcome",
    ];
    assert_eq!(told, expected);
    for (end, begun) in [(8, 7), (9, 7), (11, 10), (12, 10), (14, 13)] {
        assert!(gaps(&WHOLE[..end], false).is_empty());
        let expected = format!("entry {begun}: an intent without an outcome");
        assert_eq!(gaps(&WHOLE[..end], true), [expected]);
    }
}

#[test]
fn what_came_of_an_intent_is_told_in_several_ways_and_what_never_left_needs_none() {
    for outcome in [
        "delivered",
        "failed",
        "refused",
        "set-aside",
        "outcome-unknown",
    ] {
        let told = [
            (EntryKind::Exported, "delivering", 0, LAKE),
            (EntryKind::Exported, outcome, 0, LAKE),
        ];
        assert!(gaps(&told, true).is_empty(), "{outcome}");
        let alone = gaps(&told[1..], true);
        assert_eq!(
            alone.is_empty(),
            outcome != "delivered",
            "{outcome}: {alone:?}"
        );
    }
    for outcome in ["kek-destroyed", "kek-kept", "outcome-unknown"] {
        let told = [WHOLE[13], (EntryKind::KeyChanged, outcome, 0, KEK)];
        assert!(gaps(&told, true).is_empty(), "{outcome}");
    }
    // One that another was meant for is none.
    let other: &[(&str, &str)] = &[("exporter", "other")];
    let told = [WHOLE[7], (EntryKind::Exported, "delivered", 0, other)];
    assert_eq!(gaps(&told, true).len(), 2);
    // As logs have it that were written before such an entry named its anchor.
    let told = [
        WHOLE[10],
        (EntryKind::Anchored, "confirming", 0, &[]),
        WHOLE[12],
    ];
    assert!(gaps(&told, true).is_empty());
}

/// What is found where a grant that ends at the tenth second is used at these seconds. A refusal is `u64::MAX`, and is of the use before.
fn used_at(minted: u64, seconds: &[u64]) -> Vec<String> {
    let at = |second: u64| Timestamp {
        seconds: AT.seconds + second,
        ..AT
    };
    let expires = at(10).to_string();
    let facts: &[(&str, &str)] = &[("grant", "grant-a"), ("expires", &expires)];
    let mut headers = vec![Header {
        time: at(minted),
        ..header(0, (EntryKind::GrantMinted, "minted", 0, facts))
    }];
    for second in seconds {
        let number = headers.len() as u64;
        let last = headers.last().unwrap().time;
        headers.push(match *second {
            u64::MAX => Header {
                time: last,
                reasons: vec!["expired".to_owned()],
                ..header(number, (EntryKind::KeyRefused, "deny", 0, facts))
            },
            second => Header {
                time: at(second).max(last),
                ..header(number, (EntryKind::KeyUsed, "permit", 0, facts))
            },
        });
    }
    found(headers, false)
}

#[test]
fn a_use_after_a_grant_expired_is_found_unless_the_host_took_it_back() {
    const LATE: &str = "a key use after its grant had expired";
    assert!(used_at(0, &[1, 10]).is_empty());
    assert_eq!(used_at(0, &[1, 11]), [format!("entry 2: {LATE}")]);
    assert_eq!(used_at(0, &[11, 12]).len(), 2);
    // The log took it late, and the host did not act on it: that is what it says next.
    assert!(used_at(0, &[9, 11, u64::MAX]).is_empty());
    assert_eq!(
        used_at(0, &[11, u64::MAX, 12]),
        [format!("entry 3: {LATE}")]
    );
    // The clock was put back: until it is where it was, the log's time stands still, and says nothing.
    assert!(used_at(20, &[3, 4]).is_empty());
    assert_eq!(used_at(0, &[20, 3, 4]), [format!("entry 1: {LATE}")]);
    // When the request ends, so does the grant; what was late stays late.
    let mut late = WHOLE[..7].to_vec();
    let minted: &[(&str, &str)] = &[
        ("grant", "grant-a"),
        ("expires", "2026-11-22T00:03:23.000000000Z"),
    ];
    late[2].3 = minted;
    late[3].3 = minted;
    let headers = (0..).zip(late).map(|(number, told)| Header {
        time: Timestamp {
            seconds: AT.seconds + number,
            ..AT
        },
        ..header(number, told)
    });
    // The grant is minted at its last second, by then nothing seems wrong; it is used two seconds later.
    let headers: Vec<Header> = headers
        .map(|header| match header.sequence {
            0..=2 => Header { time: AT, ..header },
            _ => header,
        })
        .collect();
    assert_eq!(found(headers, true), [format!("entry 3: {LATE}")]);
}

#[test]
fn a_use_for_what_its_grant_does_not_have_is_found() {
    let using = |operation: &'static str| {
        let facts: Vec<(&str, &str)> = vec![("grant", "grant-a"), ("operation", operation)];
        let mut entries = WHOLE[..7].to_vec();
        let facts: &[(&str, &str)] = facts.leak();
        entries[3].3 = facts;
        gaps(&entries, true)
    };
    for operation in ["tokenize", "seal", "seal,tokenize"] {
        assert!(using(operation).is_empty(), "{operation}");
    }
    for operation in ["detokenize", "open", "seal,open", "", "token"] {
        assert_eq!(
            using(operation),
            ["entry 3: a key use for what its grant does not have"],
            "{operation}"
        );
    }
    // What the entries do not say is not held against them.
    let mut entries = WHOLE[..7].to_vec();
    entries[2].3 = &[("grant", "grant-a")];
    assert!(gaps(&entries, true).is_empty());
}

#[test]
fn an_end_that_counts_other_entries_than_there_are_is_found() {
    let counting = |entries: &[Told<'_>], count: Option<u64>| {
        let headers = (0..).zip(entries).map(|(number, told)| {
            let mut header = header(number, *told);
            if let Some(count) = count.filter(|_| header.kind == EntryKind::RequestClosed) {
                header.counts.insert(ENTRIES.to_owned(), count);
            }
            header
        });
        found(headers, true)
    };
    // Those of others in between are not its own.
    let mut entries = WHOLE[..7].to_vec();
    entries.insert(3, (EntryKind::RequestOpened, "admitted", 2, &[]));
    entries.insert(4, WHOLE[7]);
    entries.push((EntryKind::Exported, "delivered", 0, LAKE));
    entries.push((EntryKind::RequestClosed, "answered", 2, &[]));
    let told = counting(&entries, Some(5));
    // The other request has none, and its end says five too.
    let missing = "an end of a request that counts other entries than there are";
    assert_eq!(told, [format!("entry 10: {missing}")]);
    assert!(counting(&WHOLE, Some(5)).is_empty());
    assert!(counting(&WHOLE, None).is_empty());
    for count in [0, 4, 6] {
        assert_eq!(
            counting(&WHOLE, Some(count)),
            [format!("entry 6: {missing}")]
        );
    }
    let mut shorter = WHOLE.to_vec();
    shorter.remove(1);
    assert_eq!(counting(&shorter, Some(5)), [format!("entry 5: {missing}")]);
}
