use nephron_model::{Digest, Signer as _};
use proptest::prelude::*;

use super::*;
use crate::note::NamedKey;
use crate::note::tests::TestKey;
use crate::{Checkpoint, NoteError, note};

const ORIGIN: &str = "nephron/st-marys/0011223344556677";

fn log(seed: u8) -> String {
    let key = TestKey::new(seed).public_key();
    VerifierKey::new(ORIGIN, key).unwrap().to_string()
}

fn witness(name: &str, seed: u8) -> String {
    let key = NamedKey::new(name, TestKey::new(seed).public_key(), 4);
    key.unwrap().to_string()
}

fn parse(text: &str) -> Result<Policy, InvalidPolicy> {
    Policy::parse(text.as_bytes())
}

/// `text` with keys in place of `LOG`, and of `A` to `F`, those of six witnesses.
fn written(text: &str) -> String {
    let mut text = text.replace("LOG", &log(1));
    for (name, seed) in [
        ("A", 10),
        ("B", 11),
        ("C", 12),
        ("D", 13),
        ("E", 14),
        ("F", 15),
    ] {
        let key = witness(&format!("{}.example", name.to_lowercase()), seed);
        text = text.replace(&format!("={name}"), &key);
    }
    text
}

/// Two groups of three, and one over both: the shape of the example in tlog-policy.
const NESTED: &str = "# who is asked\n\
    log LOG\n\n\
    witness X1 =A\n\
    \twitness   X2\t=B https://x2.example/\n\
    witness X3 =C\n\
    group X-witnesses 2 X1 X2 X3\n\
    witness Y1 =D\nwitness Y2 =E\nwitness Y3 =F\n\
    group Y-witnesses any Y1 Y2 Y3\n\
    group X-and-Y all X-witnesses Y-witnesses\n\
    quorum X-and-Y\n";

#[test]
fn a_policy_reads_as_it_is_written_and_names_are_bytes() {
    let policy = parse(&written(NESTED)).unwrap();
    assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 6));
    let groups: Vec<_> = policy.groups.iter().map(|it| it.threshold).collect();
    assert_eq!(groups, [2, 1, 2]);
    assert_eq!(policy.quorum, Quorum::Of(Member::Group(2)));
    assert!(policy.log(ORIGIN).is_some() && policy.log("nephron/general/0011").is_none());
    assert_eq!(parse("quorum none").unwrap().quorum, Quorum::None);
    // The letter K and the sign for kelvin are two names, and so are bytes that are no UTF-8.
    let text = [
        written("witness K =A\nwitness \u{212a} =B\nwitness ").into_bytes(),
        b"\xff\x80".to_vec(),
        written(" =C\ngroup g all K \u{212a} ").into_bytes(),
        b"\xff\x80\nquorum g\n".to_vec(),
    ];
    let policy = Policy::parse(&text.concat()).unwrap();
    assert_eq!(policy.groups[0].members.len(), 3);
    // No log of its own: then that of the key that was given.
    let key: VerifierKey = log(1).parse().unwrap();
    assert!(!policy.lists_logs() && policy.or_log(Some(&key)).lists_logs());
}

#[test]
fn a_policy_that_is_malformed_names_its_line_and_what_to_do() {
    for (text, expected) in [
        ("", "line 1: no line has a quorum: add"),
        ("log LOG\n\n# end\n", "line 3: no line has a quorum: add"),
        (
            "logs LOG\nquorum none",
            "line 1: `logs` begins no line of a policy: write `log`,",
        ),
        (
            "quorum none\r\n",
            "line 1: it holds the byte 0x0d: save it with plain line feeds",
        ),
        ("quorum none\u{b}", "line 1: it holds the byte 0x0b"),
        ("log\nquorum none", "line 1: write it as `log KEY [URL]`"),
        (
            "log LOG u x\nquorum none",
            "line 1: write it as `log KEY [URL]`",
        ),
        (
            "log =A\nquorum none",
            "line 1: the log's key cannot be read: expected",
        ),
        (
            "witness w LOG\nquorum w",
            "line 1: the witness's key cannot be read: expected",
        ),
        (
            "witness w\nquorum none",
            "line 1: write it as `witness NAME KEY [URL]`",
        ),
        (
            "log LOG\nlog LOG\nquorum none",
            "line 2: line 1 has the same key",
        ),
        (
            "witness a =A\nwitness b =A\nquorum a",
            "line 2: line 1 has the same key",
        ),
        (
            "witness a =A\nwitness a =B\nquorum a",
            "line 2: line 1 defines `a` already",
        ),
        (
            "witness none =A\nquorum none",
            "line 1: `none` stands for a quorum of nobody",
        ),
        (
            "quorum a\nwitness a =A",
            "line 1: no line above defines `a`: correct",
        ),
        (
            "witness a =A\ngroup g all a g\nquorum g",
            "line 2: no line above defines `g`",
        ),
        (
            "witness a =A\ngroup g all a none\nquorum g",
            "line 2: `none` can be the quorum",
        ),
        (
            "witness a =A\ngroup g all a a\nquorum g",
            "line 2: `a` is a member in line 2 already",
        ),
        (
            "witness a =A\ngroup g any a\ngroup h all g a\nquorum h",
            "line 3: `a` is a member in line 2 already",
        ),
        (
            "group g all\nquorum g",
            "line 1: write it as `group NAME THRESHOLD MEMBER...`",
        ),
        (
            "witness a =A\ngroup g 2 a\nquorum g",
            "line 2: the threshold must be `all`, `any`, or a number from 1 to 1",
        ),
        (
            "witness a =A\ngroup g 0 a\nquorum g",
            "line 2: the threshold must be",
        ),
        (
            "witness a =A\ngroup g +1 a\nquorum g",
            "line 2: the threshold must be",
        ),
        (
            "witness a =A\ngroup g 01 a\nquorum g",
            "line 2: the threshold must be",
        ),
        (
            "quorum none\nquorum none",
            "line 2: line 1 has a quorum already",
        ),
        ("quorum", "line 1: write it as `quorum NAME`"),
        ("quorum none # nobody", "line 1: write it as `quorum NAME`"),
    ] {
        let said = parse(&written(text)).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    // What a terminal would take for a command is not shown as it is.
    let said = parse("\u{9b}2J x\n").unwrap_err().to_string();
    assert!(!said.chars().any(char::is_control), "{said:?}");
}

/// How far the six witnesses of [`NESTED`] vouch, with 0 for not at all, and what that comes to.
fn judged(each: [u64; 6]) -> PolicyVerdict {
    let witnessed = Witnessed::test(100, &each);
    parse(&written(NESTED)).unwrap().judge(&witnessed)
}

#[test]
fn a_quorum_vouches_as_far_as_enough_of_its_members_do() {
    for (each, entries) in [
        ([9, 9, 9, 9, 9, 9], Some(9)),
        ([3, 9, 5, 4, 0, 0], Some(4)),
        ([3, 9, 5, 7, 2, 0], Some(5)),
        ([3, 0, 5, 0, 0, 8], Some(3)),
        ([3, 0, 0, 9, 9, 9], None),
        ([9, 9, 9, 0, 0, 0], None),
        ([0; 6], None),
    ] {
        let verdict = judged(each);
        assert_eq!(verdict.entries, entries, "{each:?}");
        assert_eq!(verdict.met, entries.is_some());
        assert_eq!(verdict.lacking.is_empty(), verdict.met);
    }
    let verdict = judged([3, 0, 0, 9, 9, 9]);
    let said: Vec<String> = verdict.lacking.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "`X-and-Y` needs 2 and has 1; not there: `X-witnesses`",
            "`X-witnesses` needs 2 and has 1; not there: `X2`, `X3`",
        ]
    );
    assert_eq!(verdict.to_string(), "quorum `X-and-Y` is NOT met");
    assert_eq!(
        verdict.witnesses[0].to_string(),
        "`X1` (a.example) vouches for the first 3 entries, cosigned 1970-01-01T00:00:07.000000000Z"
    );
    assert_eq!(
        verdict.witnesses[1].to_string(),
        "`X2` (b.example) vouches for nothing of it"
    );
    // One witness alone, and nobody.
    let alone = parse(&written("witness w =A\nquorum w")).unwrap();
    let verdict = alone.judge(&Witnessed::test(100, &[0]));
    assert_eq!(verdict.lacking[0].to_string(), "`w` has not cosigned");
    let nobody = parse(&written("witness w =A\nquorum none")).unwrap();
    let verdict = nobody.judge(&Witnessed::test(100, &[0]));
    assert_eq!((verdict.met, verdict.entries), (true, Some(100)));
    // Without the log's own signature a quorum of nobody is nobody's word.
    let verdict = nobody.judge(&Witnessed::test(0, &[0]));
    assert!(
        !verdict.met
            && verdict
                .to_string()
                .contains("no checkpoint that holds is signed")
    );
}

proptest! {
    /// Whoever vouches for more vouches for less: a quorum vouches for so many entries exactly if those who vouch for as many or
    /// more, and nobody else, make it.
    #[test]
    fn a_quorum_at_a_size_is_the_quorum_of_those_who_vouch_so_far(each in prop::array::uniform6(0u64..6), size in 1u64..6) {
        let has = |place: usize| each[place] >= size;
        let x = (0..3).filter(|place| has(*place)).count() >= 2;
        let y = (3..6).any(has);
        let vouches = judged(each).entries.is_some_and(|entries| entries >= size);
        prop_assert_eq!(vouches, x && y);
    }

    #[test]
    fn no_file_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), words in "(log|witness|group|quorum| |\n|a|b|none|1|all|#){0,40}") {
        drop(Policy::parse(&bytes));
        drop(Policy::parse(words.as_bytes()));
    }
}

/// A checkpoint of `size` that the log of `seed` signed, with lines of witnesses: name, seed and time.
fn cosigned(size: u64, seed: u8, witnesses: &[(&str, u8, u64)]) -> String {
    let checkpoint = Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: Digest::of(b"root"),
    };
    let signed = note::sign(ORIGIN, &checkpoint.to_text(), &TestKey::new(seed)).unwrap();
    let lines = witnesses.iter().map(|(name, seed, time)| {
        crate::cosignature::tests::line(&signed, name, &TestKey::new(*seed), *time)
    });
    signed.clone() + &lines.collect::<String>()
}

#[test]
fn only_who_is_listed_and_signed_what_counts_counts() {
    let policy = parse(&written(
        "log LOG\nwitness w =A\nwitness v =B\ngroup g all w v\nquorum g",
    ));
    let policy = policy.unwrap();
    let checkpoint = |size| Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: Digest::of(b"root"),
    };
    let judge = |notes: &[&str]| {
        let notes = notes.iter().copied();
        policy.judge_checkpoint(&checkpoint(5), notes)
    };
    let met = |notes: &[&str]| judge(notes).unwrap().met;
    let (w, v) = (("a.example", 10, 7), ("b.example", 11, 8));
    assert!(met(&[&cosigned(5, 1, &[w, v])]));
    // Each in a file of its own, as witnesses are asked one after the other.
    assert!(met(&[&cosigned(5, 1, &[w]), &cosigned(5, 1, &[v])]));
    assert!(!met(&[&cosigned(5, 1, &[w])]));
    // Another size says nothing of this checkpoint here: nothing shows that one grew from the other.
    assert!(!met(&[&cosigned(5, 1, &[w]), &cosigned(6, 1, &[v])]));
    // A witness who is not listed: another key under the same name, and another name.
    assert!(!met(&[&cosigned(5, 1, &[w, ("b.example", 77, 8)])]));
    assert!(!met(&[&cosigned(5, 1, &[w, ("c.example", 11, 8)])]));
    // Not the log's word, though witnesses saw it.
    let strange = cosigned(5, 2, &[w, v]);
    assert!(!met(&[&strange]));
    assert_eq!(judge(&[&strange]).unwrap().signed, None);
    // A line of a witness that is none.
    let altered = cosigned(5, 1, &[w, v]).replace("\n5\n", "\n6\n");
    assert_eq!(judge(&[&altered]), Err(NoteError::BadSignature));
    // A witness may state any time at all.
    let late = judge(&[&cosigned(5, 1, &[("a.example", 10, u64::MAX), v])]).unwrap();
    let said = late.witnesses[0].cosigned.clone().unwrap();
    assert_eq!(said, format!("{} seconds after 1970", u64::MAX));
}
