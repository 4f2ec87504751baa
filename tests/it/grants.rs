//! Grants as an operator handles them: on the gateway's machine, under policy, by name and for a reason.

use std::time::Duration;

use nephron_audit::Entry;
use nephron_model::EntryKind;
use nephron_tests::{NOW, Rig, Served, Setup};
use serde_json::{Value, json};

use super::custody::{FILE, Operator, configuration};
use super::own::{done, field, key_of, post, refused};

const GROUND: [&str; 4] = ["--by", "Dana Reyes", "--reason", "ticket 7"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &GROUND].concat()
}

fn operator(folder: &tempfile::TempDir, served: &Served) -> Operator {
    Operator {
        configuration: configuration(folder.path(), served.data(), FILE),
        token: None,
    }
}

/// Two uses of record numbers by the scribe, but for what `more` says.
fn mint(more: &[&'static str]) -> Vec<&'static str> {
    let scribe = ["grant", "mint", "st-marys", "--subject", "s.ito"];
    let terms = ["--purpose", "TREAT", "--operation", "open", "--uses", "2"];
    let all = [&scribe[..], &terms, &["--kind", "mrn"], more].concat();
    with(&all)
}

fn of_event(rig: &Rig, answer: &Value) -> Vec<Entry> {
    rig.entries(answer["event"].as_str().map(|id| id.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lends_what_policy_permits_sees_what_is_left_and_ends_it() {
    let (scribe, toml) = key_of("s.ito", "scribe", "TREAT");
    let served = Setup::default().and(&toml).serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = operator(&folder, &served);
    let ask = json!({ "fields": [field("1", "value", &json!("90210557"))] });
    let sealed = done(&served, "/v1/fields/seal", &ask).await["fields"][0]["sealed"].clone();

    let minted = operator.done(&mint(&["--lifetime", "8h"]));
    let grant = &minted["grant"];
    let id = grant["id"].as_str().unwrap();
    let by = grant["minter"].as_str().unwrap();
    assert!(by.starts_with("Dana Reyes (operator uid="), "{by}");
    let [kinds, purpose, values, expires] =
        ["kinds", "purpose", "values", "expires"].map(|name| grant[name].clone());
    assert_eq!(
        json!([kinds, purpose, values, expires]),
        json!([["mrn"], "TREAT", 100, "2026-11-22T08:03:22.000000000Z"])
    );
    let open = json!({ "fields": [field("1", "sealed", &sealed)], "grant": id });
    let received = post(&served, "/v1/fields/open", &scribe, &open).await;
    assert_eq!(received.status, 200, "{}", received.text);

    let list = with(&["grant", "list", "st-marys"]);
    let table = operator.run(&list);
    let table = String::from_utf8(table.stdout).unwrap();
    let mut lines = table.lines();
    let titles: Vec<_> = lines.next().unwrap().split("  ").collect();
    assert!(titles.concat().contains("not after"), "{table}");
    let row: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        row[..7],
        [
            id,
            "s.ito",
            "TREAT",
            "open",
            "mrn",
            "2026-11-22T08:03:22Z",
            "1"
        ]
    );
    let listed = operator.done(&list);
    assert_eq!(listed["grants"][0]["uses"], 1);

    let revoke = with(&["grant", "revoke", "st-marys", id]);
    let revoked = operator.done(&revoke);
    assert_eq!(revoked["revoked"], id);
    let received = post(&served, "/v1/fields/open", &scribe, &open).await;
    assert_eq!(refused(&received), (404, "key-refused".to_owned()));
    let (code, said) = operator.refused(&revoke);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("`not-found`"), "{said}");
    assert_eq!(operator.done(&list)["grants"], json!([]));

    let rig = served.reopened().await;
    let story = of_event(&rig, &minted);
    let kinds: Vec<_> = story.iter().map(|entry| entry.header.kind).collect();
    assert_eq!(
        kinds,
        [
            EntryKind::RequestOpened,
            EntryKind::Decision,
            EntryKind::Decision,
            EntryKind::GrantMinted,
            EntryKind::RequestClosed
        ]
    );
    let opened = &story[0].header;
    let facts = ["authentication", "by", "operation", "reason", "roles"]
        .map(|name| opened.facts[name].as_str());
    assert_eq!(
        facts,
        ["operator", by, "mint-grant", "ticket 7", "operator"]
    );
    let ended = of_event(&rig, &revoked)
        .into_iter()
        .find(|entry| entry.header.kind == EntryKind::GrantEnded);
    let ended = ended.unwrap().header;
    assert_eq!(
        (ended.outcome.as_str(), ended.caller.as_deref()),
        ("revoked", Some(by))
    );
    let log = rig.log_folder();
    let _folder = rig.close();
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lends_nothing_that_policy_denies_or_without_a_name_and_a_reason() {
    // A role alone makes nobody an operator.
    let (pretender, toml) = key_of("s.ito", "operator", "TREAT");
    let served = Setup::default().and(&toml).serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = operator(&folder, &served);
    let ask = json!({ "subject": "s.ito", "operations": ["open"], "lifetime": 60 });
    let received = post(&served, "/v1/grants", &pretender, &ask).await;
    assert_eq!(refused(&received), (403, "denied".to_owned()));

    for (arguments, code, what) in [
        (mint(&["--lifetime", "2d"]), 4, "denied at `admin`"),
        (mint(&["--lifetime", "31d"]), 4, "`lifetime` must be"),
        (
            mint(&["--lifetime", "8h", "--operation", "mac"]),
            4,
            "`operations` must be",
        ),
        (mint(&["--lifetime", "8h", "--any-kind"]), 2, "--kind"),
        (mint(&["--lifetime", "soon"]), 2, "such as 8h"),
        (
            with(&["grant", "revoke", "st-marys", "all-of-them"]),
            4,
            "the id of a grant",
        ),
        (
            with(&["grant", "list", "nobody"]),
            4,
            "no tenant `nobody` is configured",
        ),
        (
            vec![
                "grant", "list", "st-marys", "--by", " ", "--reason", "ticket 7",
            ],
            1,
            "for a person to do",
        ),
        (
            vec!["grant", "list", "st-marys", "--by", "Dana Reyes"],
            2,
            "--reason",
        ),
    ] {
        let (ended, said) = operator.refused(&arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(what), "{arguments:?}: {said}");
    }
    assert_eq!(
        operator.done(&with(&["grant", "list", "st-marys"]))["grants"],
        json!([])
    );
    // Where nobody serves there is nobody to permit it.
    let rig = served.reopened().await;
    let (code, said) = operator.refused(&with(&["grant", "list", "st-marys"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("only one that serves"), "{said}");
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX).map(Result::unwrap);
    let refusals = entries
        .filter(|entry| entry.header.kind == EntryKind::RequestRefused)
        .filter(|entry| entry.header.facts["by"].starts_with("Dana Reyes ("));
    assert_eq!(refusals.count(), 3, "those that were malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_ran_ahead_is_taken_as_it_is_by_a_person() {
    let served = Setup::default().serve("").await;
    let folder = tempfile::tempdir().unwrap();
    let operator = operator(&folder, &served);
    let take = with(&["tenant", "clock", "st-marys"]);
    let (_, said) = operator.refused(&take);
    assert!(said.contains("nothing to take"), "{said}");

    served.clock.set(NOW + 30 * 86_400);
    let ask = json!({ "subject": "dr.okafor", "operations": ["open"], "lifetime": 3600 });
    done(&served, "/v1/grants", &ask).await;
    served.clock.set(NOW);
    let text = json!({ "text": "Patient: Zebulon Quackenbush has asthma." });
    let deidentify = async |served: &Served| {
        let received = post(served, "/v1/deidentify", &served.physician, &text).await;
        received.status
    };
    assert_eq!(deidentify(&served).await, 503);
    operator.done(&take);
    assert_eq!(deidentify(&served).await, 200);
    let listed = operator.done(&with(&["grant", "list", "st-marys"]));
    assert_eq!(listed["grants"], json!([]));
    served.clock.advance(Duration::from_secs(60));
    assert_eq!(deidentify(&served).await, 200);
    // What reads less than it has read since then goes back once more.
    served.clock.set(NOW + 30);
    assert_eq!(deidentify(&served).await, 503);
    served.clock.set(NOW + 60);

    let rig = served.reopened().await;
    let tenant = rig.tenant();
    let entries = tenant.log().entries(0..u64::MAX).map(Result::unwrap);
    let told: Vec<_> = entries
        .filter(|entry| [EntryKind::GrantEnded, EntryKind::ClockTaken].contains(&entry.header.kind))
        .collect();
    let outcomes: Vec<_> = told
        .iter()
        .map(|entry| entry.header.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["revoked", "taken"]);
    for entry in &told {
        assert_eq!(entry.header.facts["reason"], "ticket 7");
    }
    assert_eq!(
        told[1].header.facts["wrong-until"],
        "2026-12-22T00:03:22.000000000Z"
    );
}
