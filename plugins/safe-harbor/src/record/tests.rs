//! Each line is a text of invented people; what is to be found in it stands between `‹` and `›`.

use nephron_sdk::known::Fact;

use super::*;
use crate::token::Document;

fn facts() -> Vec<Fact> {
    let fact = |kind: &str, of: &str, value: &str| Fact {
        kind: kind.to_owned(),
        of: of.to_owned(),
        value: value.to_owned(),
    };
    vec![
        fact("name", "patient", "Thistlewood, Alma Jane"),
        fact("name", "relative", "May Long"),
        fact("name", "staff", "Dr. Imogen van der Castellane, MD"),
        fact("name", "staff", "Parkinson, Osric"),
        fact("date", "patient", "1956-03-12"),
        fact("date", "encounter", "2024-11-05T08:30:00Z"),
        fact("mrn", "patient", "MRN-00483920"),
        fact("ssn", "patient", "900-12-3456"),
        fact("phone", "patient", "+1 (503) 555-0144"),
        fact("phone", "relative", "+44 20 7946 0958"),
        fact("email", "patient", "alma.t@mail.example"),
        fact(
            "geo",
            "patient",
            "412 Larkspur Lane, Apt 5, Wobblegrove, OR 97201",
        ),
        fact("geo", "encounter", "Quillon General Hospital"),
    ]
}

fn check(kind: Kind, lines: &str) {
    let lexicon = Lexicon::new(&[]);
    let record = Record::new(&facts(), &lexicon).unwrap();
    let mut wrong = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let text = line.replace(['‹', '›'], "").replace('⏎', "\n");
        let lower = text.to_ascii_lowercase();
        let document = Document::new(&text, &lower, &lexicon);
        let mut found = Vec::new();
        record.find(&document, &mut found);
        found.retain(|one| one.kind == kind);
        let mut marked = text.clone();
        for one in crate::found::settle(&text, found).iter().rev() {
            marked.insert(one.end, '›');
            marked.insert(one.start, '‹');
        }
        if marked.replace('\n', "⏎") != line {
            wrong.push(marked);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_every_order_case_and_damage() {
    check(
        Kind::Name,
        "
        seen today, ‹alma thistlewood› is well
        ‹THISTLEWOOD, ALMA J› and ‹Thistlewood›'s chart
        ‹A. Thistlewood› or ‹Alma J. Thistlewood› or ‹Thistlewood A›
        ‹Th1stlewoocl› and ‹Thistelwood› and ‹Alrna›
        ‹AlmaThistlewood› and ‹Thistle-⏎wood› and ‹ALMA^THISTLEWOOD›
        Pt ‹AT› denies pain; ‹A.T.› slept; ‹A.J.T.› ate
        AT 8 AM the pump was stopped
        She may long for home, it may be
        ‹May Long› called; so did ‹Long, May›; ask ‹May› again
        In May the swelling went; a long day
        Parkinson's disease, per Dr. ‹Parkinson›
        ‹imogen van der castellane› agrees with ‹Castelane›
        the wooden thistle
        ",
    );
}

#[test]
fn dates_are_found_in_every_form() {
    check(
        Kind::Date,
        "
        born ‹03/12/1956›, ‹3-12-56›, ‹12.3.1956›, ‹1956-03-12›, ‹1956/3/12›
        ‹March 12, 1956›, ‹12 March 1956›, ‹12th of March 1956›, ‹Mar 12 '56›, ‹12MAR1956›
        ‹19560312›, ‹03121956›, ‹20241105083000›
        every ‹March 12›, since ‹March 1956›, ‹03/1956›
        on 04/12/1956 and 2024-11-06, 3/12 strength, in 1956
        admitted ‹5 Nov 2024›
        ",
    );
}

#[test]
fn numbers_are_found_however_they_are_parted_and_with_one_fault() {
    check(
        Kind::Mrn,
        "‹483920›, ‹MRN-00483920›, ‹mrn 00483920›, #‹00483920›, ‹483 920›, ‹4839Z0›, ‹483290›, 483999, 14839207",
    );
    check(
        Kind::Ssn,
        "‹900-12-3456›, ‹900123456›, ‹900 12 3456›, ‹9OO-12-34S6›, ssn ending in ‹3456›, ***-**-‹3456›, 3456 steps",
    );
    check(
        Kind::Phone,
        "‹503.555.0144›, +‹1 503 555 0144›, (‹503) 555-0144›, ‹555-0144›, last four ‹0144›, ‹020 7946 0958›, +‹44 20 7946 0958›",
    );
    check(
        Kind::Email,
        "‹ALMA.T@MAIL.EXAMPLE›, ‹alma.t @ mail . example›",
    );
}

#[test]
fn addresses_are_found_part_by_part() {
    check(
        Kind::Geo,
        "
        lives at ‹412 Larkspur Ln Apt 5, Wobblegrove, OR 97201›; ZIP ‹97201›
        from ‹wobblegrove›, on ‹Larkspur Street›, near ‹Wobblgrove›
        ‹412 LARKSPUR LANE›
        at ‹Quillon General Hospital›, back to ‹Quillon›
        a general hospital in OR
        ",
    );
}

#[test]
fn a_fact_that_the_contract_does_not_have_is_an_error() {
    let lexicon = Lexicon::new(&[]);
    let mut facts = facts();
    facts[0].of = "neighbour".to_owned();
    assert!(Record::new(&facts, &lexicon).is_err());
    facts[0].of = "patient".to_owned();
    facts[0].kind = "shoe-size".to_owned();
    assert!(Record::new(&facts, &lexicon).is_err());
}
