use super::super::story::{Story, headers};
use super::*;
use nephron_model::Draft;

const ALMA: Fingerprint = Fingerprint([1; 32]);

/// A request about a patient that goes to one endpoint: ground, and what else the entries say.
fn sent(event: &str, purpose: &'static str, patient: Fingerprint, ground: &str) -> Story {
    let patient = patient.to_string();
    let to = [
        ("endpoint", "there"),
        ("associate", "lab"),
        ("ground", ground),
    ];
    Story::new(event, "dr.okafor", purpose)
        .and(
            EntryKind::RequestOpened,
            "admitted",
            &[("patient", &patient)],
            &[],
        )
        .and(
            EntryKind::Deidentified,
            "cleared",
            &[("method", "safe-harbor")],
            &[("name", 2), ("date", 1), ("by-rule", 3), ("sure-90", 3)],
        )
        .and(EntryKind::Sending, "intent", &to, &[])
        .and(EntryKind::Received, "answered", &to, &[])
        .and(EntryKind::RequestClosed, "answered", &[], &[])
}

fn account(drafts: Vec<Draft>, period: Period) -> Vec<Disclosure> {
    let mut account = Account::new(ALMA, period);
    headers(drafts)
        .iter()
        .for_each(|header| account.meet(header));
    account.found
}

#[test]
fn a_disclosure_says_when_to_whom_what_and_why() {
    let found = account(
        sent("FAV", "TREAT", ALMA, "agreement").drafts,
        Period::default(),
    );
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (one.time.as_str(), one.sequence),
        ("2026-11-22T03:03:22.000Z", 3)
    );
    assert_eq!(
        (
            one.associate.as_deref(),
            one.endpoint.as_str(),
            one.ground.as_str()
        ),
        (Some("lab"), "there", "agreement")
    );
    assert_eq!(
        (one.purpose.as_str(), one.caller.as_str()),
        ("TREAT", "dr.okafor")
    );
    assert_eq!(one.came.as_deref(), Some("answered"));
    assert_eq!(
        in_words(&one.information),
        "text cleared by safe-harbor without 1 date, 2 name"
    );
}

#[test]
fn what_stays_inside_what_is_about_others_and_what_was_never_sent_is_none() {
    let alma = ALMA.to_string();
    let inside = Story::new("FAW", "dr.okafor", "TREAT")
        .and(
            EntryKind::RequestOpened,
            "admitted",
            &[("patient", &alma)],
            &[],
        )
        .and(
            EntryKind::Sending,
            "in-sandbox",
            &[("endpoint", "local")],
            &[],
        )
        .and(EntryKind::RequestClosed, "answered", &[], &[]);
    let refused = Story::new("FAX", "dr.okafor", "TREAT")
        .and(
            EntryKind::RequestOpened,
            "admitted",
            &[("patient", &alma)],
            &[],
        )
        .and(
            EntryKind::PassedOver,
            "no-agreement",
            &[("endpoint", "there")],
            &[],
        )
        .and(EntryKind::RequestClosed, "no-agreement", &[], &[]);
    let other = sent("FAY", "TREAT", Fingerprint([2; 32]), "agreement");
    let drafts = [inside.drafts, refused.drafts, other.drafts].concat();
    assert!(account(drafts, Period::default()).is_empty());
}

#[test]
fn every_endpoint_that_was_tried_is_a_disclosure_of_its_own() {
    let alma = ALMA.to_string();
    let tried = Story::new("FAV", "dr.okafor", "PUBHLTH")
        .and(
            EntryKind::RequestOpened,
            "admitted",
            &[("patient", &alma)],
            &[],
        )
        .and(
            EntryKind::Deidentified,
            "cleared",
            &[("method", "none")],
            &[("name", 1)],
        )
        .and(
            EntryKind::Sending,
            "intent",
            &[("endpoint", "there")],
            &[("image", 2)],
        )
        .and(EntryKind::Received, "failed", &[("endpoint", "there")], &[])
        .and(
            EntryKind::Sending,
            "intent",
            &[("endpoint", "elsewhere")],
            &[],
        );
    let found = account(tried.drafts, Period::default());
    let each: Vec<_> = found
        .iter()
        .map(|one| (one.endpoint.as_str(), one.came.as_deref(), one.excepted))
        .collect();
    assert_eq!(
        each,
        [("there", Some("failed"), None), ("elsewhere", None, None)]
    );
    assert_eq!(
        in_words(&found[0].information),
        "text without 1 name, with 2 image"
    );
}

#[test]
fn what_the_regulation_excepts_is_named_and_nothing_else_is() {
    let cleared = Information {
        method: Some("safe-harbor".to_owned()),
        ..Information::default()
    };
    let with_image = Information {
        unsearched: [("image".to_owned(), 1)].into(),
        ..cleared.clone()
    };
    let bare = Information::default();
    for (purpose, information, expected) in [
        ("TREAT", &bare, Some("treatment, 164.528(a)(1)(i)")),
        ("HPAYMT", &bare, Some("payment, 164.528(a)(1)(i)")),
        (
            "HOPERAT",
            &bare,
            Some("health care operations, 164.528(a)(1)(i)"),
        ),
        ("PUBHLTH", &bare, None),
        ("HRESCH", &cleared, Some("de-identified, 164.502(d)(2)")),
        ("HRESCH", &with_image, None),
        ("HMARKT", &bare, None),
    ] {
        assert_eq!(excepted(purpose, information), expected, "{purpose}");
    }
}

#[test]
fn a_period_holds_what_was_sent_in_it_and_a_series_sums_one_recipient_and_purpose() {
    let drafts = ["FAV", "FAW", "FAX"]
        .map(|event| sent(event, "TREAT", ALMA, "agreement").drafts)
        .concat();
    let all = account(drafts.clone(), Period::default());
    let summed = series(&all);
    let [one] = summed.as_slice() else {
        panic!("{summed:?}");
    };
    assert_eq!(
        (one.first.as_str(), one.last.as_str(), one.count),
        ("2026-11-22T03:03:22.000Z", "2026-11-22T13:03:22.000Z", 3)
    );
    let period = Period {
        from: Some("2026-11-22T04:00:00Z".parse().unwrap()),
        to: Some("2026-11-22T13:00:00Z".parse().unwrap()),
    };
    let within: Vec<u64> = account(drafts, period)
        .iter()
        .map(|one| one.sequence)
        .collect();
    assert_eq!(within, [8]);
}
