use super::super::story::{Story, headers};
use super::*;
use clap::Parser;
use nephron_model::{Digest, Draft, PluginRef};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    incident: Incident,
}

fn plugin(mut story: Story, name: &str) -> Story {
    story = story.and(EntryKind::Decision, "permit", &[], &[]);
    if let Some(draft) = story.drafts.last_mut() {
        draft.plugin = Some(PluginRef {
            digest: Digest::of(name.as_bytes()),
            name: name.to_owned(),
            settings: Digest::of(b"settings"),
            version: "0.1.0".to_owned(),
        });
    }
    story
}

/// Three requests, an hour an entry: of a physician about Alma to the lab, of the same about Bo and two records inside, and of a
/// biller about nobody to the lab, which has not ended.
fn drafts() -> Vec<Draft> {
    let lab = [("endpoint", "there"), ("associate", "lab")];
    let one = Story::new("FAV", "dr.okafor", "TREAT").and(
        EntryKind::RequestOpened,
        "admitted",
        &[("patient", "alma")],
        &[],
    );
    let one = plugin(one, "access")
        .and(
            EntryKind::Deidentified,
            "cleared",
            &[],
            &[("name", 2), ("by-rule", 2)],
        )
        .and(EntryKind::Sending, "intent", &lab, &[])
        .and(EntryKind::Sending, "intent", &lab, &[])
        .and(EntryKind::Reidentified, "restored", &[], &[])
        .and(EntryKind::RequestClosed, "answered", &[], &[]);
    let two = Story::new("FAW", "dr.okafor", "HPAYMT").and(
        EntryKind::RequestOpened,
        "admitted",
        &[("patient", "bo alma"), ("context", "r1 r2")],
        &[],
    );
    let two = plugin(two, "other")
        .and(
            EntryKind::Deidentified,
            "cleared",
            &[],
            &[("name", 1), ("mrn", 1)],
        )
        .and(
            EntryKind::Sending,
            "in-sandbox",
            &[("endpoint", "local")],
            &[],
        )
        .and(EntryKind::RequestClosed, "answered", &[], &[]);
    let three = Story::new("FAX", "billing", "HPAYMT")
        .and(EntryKind::RequestOpened, "admitted", &[], &[])
        .and(EntryKind::Sending, "intent", &lab, &[]);
    [one.drafts, two.drafts, three.drafts].concat()
}

fn scope(arguments: &[&str]) -> Scope {
    let line = ["scope"].iter().chain(arguments);
    let incident = Line::try_parse_from(line).unwrap().incident;
    let mut survey = Survey::new(&incident);
    headers(drafts())
        .iter()
        .for_each(|header| survey.meet(header));
    survey.finish(true)
}

#[test]
fn what_a_caller_touched_is_counted() {
    let counts = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    assert_eq!(
        scope(&["--caller", "dr.okafor"]),
        Scope {
            looked_at: 15,
            requests: 2,
            first: Some("2026-11-22T01:03:22Z".parse().unwrap()),
            last: Some("2026-11-22T12:03:22Z".parse().unwrap()),
            patients: 2,
            without_patient: 0,
            records: 2,
            identifiers: counts(&[("name", 3), ("mrn", 1)]),
            restored: 1,
            endpoints: counts(&[("there", 2), ("local", 1)]),
            callers: counts(&[("dr.okafor", 2)]),
            purposes: counts(&[("TREAT", 1), ("HPAYMT", 1)]),
            by_patient: Some(counts(&[("alma", 2), ("bo", 1)])),
        }
    );
}

#[test]
fn a_request_counts_if_all_that_is_given_holds_of_it_within_the_period() {
    let requests = |arguments: &[&str]| {
        let scope = scope(arguments);
        (scope.requests, scope.patients, scope.without_patient)
    };
    assert_eq!(requests(&["--associate", "lab"]), (2, 1, 1));
    assert_eq!(requests(&["--plugin", "access"]), (1, 1, 0));
    // By two entries of one request.
    assert_eq!(
        requests(&["--plugin", "access", "--associate", "lab"]),
        (1, 1, 0)
    );
    assert_eq!(
        requests(&["--plugin", "other", "--associate", "lab"]),
        (0, 0, 0)
    );
    assert_eq!(requests(&["--caller", "nobody"]), (0, 0, 0));
    let later = ["--caller", "dr.okafor", "--from", "2026-11-22T08:00:00Z"];
    assert_eq!(requests(&later), (1, 2, 0));
    let earlier = ["--associate", "lab", "--to", "2026-11-22T04:00:00Z"];
    assert_eq!(requests(&earlier), (0, 0, 0));
    // It began before the period, and named its patient then.
    let within = [
        "--associate",
        "lab",
        "--from",
        "2026-11-22T04:00:00Z",
        "--to",
        "2026-11-22T05:00:00Z",
    ];
    assert_eq!(requests(&within), (1, 1, 0));
}

#[test]
fn an_incident_is_somebodys() {
    assert!(Line::try_parse_from(["scope", "--from", "2026-11-22"]).is_err());
}
