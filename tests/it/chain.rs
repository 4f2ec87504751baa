//! The chain as a whole.

use nephron_gateway::{Manifest, REPLACEMENTS, Replacement, SENT};
use nephron_model::EntryKind::{
    Decision, Deidentified, GrantMinted, KeyUsed, Received, Reidentified, RequestClosed,
    RequestOpened, Sending,
};
use nephron_model::Records as _;
use nephron_model::Space;
use nephron_tests::{CANARIES, CANARY_NOTE, MockModel, Setup};

#[tokio::test]
async fn a_note_comes_back_as_it_went_and_the_model_saw_no_identifier() {
    let rig = Setup::default().open().await;
    let reply = rig.ask(CANARY_NOTE).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.text().unwrap().expose(), CANARY_NOTE);

    let entries = rig.entries(reply.event());
    let sending = entries
        .iter()
        .find(|entry| entry.header.kind == Sending)
        .unwrap();
    let seen = String::from_utf8(rig.payload(sending, SENT).await).unwrap();
    for canary in CANARIES {
        assert!(
            !seen.contains(canary),
            "the model saw `{canary}` in:\n{seen}"
        );
    }
    assert!(
        seen.contains("Troponin was negative. Metoprolol 25 mg twice daily"),
        "{seen}"
    );
    assert!(seen.contains("[NAME_"), "{seen}");
}

#[tokio::test]
async fn the_log_tells_the_story_in_order() {
    let rig = Setup::default().open().await;
    let reply = rig.ask(CANARY_NOTE).await;
    let story: Vec<(_, String)> = rig.story(reply.event());
    let kinds: Vec<_> = story.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            RequestOpened,
            Decision,
            Decision,
            GrantMinted,
            KeyUsed,
            Deidentified,
            Decision,
            Decision,
            Sending,
            Received,
            Decision,
            Decision,
            GrantMinted,
            KeyUsed,
            Reidentified,
            RequestClosed,
        ]
    );
    let outcomes: Vec<&str> = story.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(outcomes[1], "permit");
    assert_eq!(outcomes[2], "found");
    assert_eq!(outcomes.last(), Some(&"answered"));
}

#[tokio::test]
async fn i7_every_entry_of_a_request_names_one_generation_that_the_log_still_knows() {
    let rig = Setup::default().open().await;
    let reply = rig.ask("Seen by Dr. Alma Thistlewood.").await;
    let entries = rig.entries(reply.event());
    let generation = rig.gateway.roster().generation();
    assert!(
        entries
            .iter()
            .all(|entry| entry.header.generation == Some(generation))
    );
    let kept = rig
        .tenant()
        .log()
        .read(Space::Generation, &generation.0)
        .unwrap()
        .unwrap();
    let manifest: Manifest = serde_json::from_slice(&kept).unwrap();
    assert_eq!(manifest.deciders[0].plugin.name, "access");
    let judged = entries
        .iter()
        .filter_map(|entry| entry.header.plugin.as_ref());
    let known: Vec<_> = manifest.seats().map(|seat| &seat.plugin).collect();
    for plugin in judged {
        assert!(known.contains(&plugin), "{plugin:?}");
    }
}

#[tokio::test]
async fn i2_bytes_outside_the_spans_reach_the_model_unchanged() {
    let rig = Setup::default().open().await;
    let reply = rig.ask(CANARY_NOTE).await;
    let entries = rig.entries(reply.event());
    let of = |kind| {
        entries
            .iter()
            .find(|entry| entry.header.kind == kind)
            .unwrap()
    };
    let replacements = rig.payload(of(Deidentified), REPLACEMENTS).await;
    let replacements: Vec<Replacement> = serde_json::from_slice(&replacements).unwrap();
    let (mut expected, mut from) = (String::new(), 0);
    for place in &replacements {
        expected.push_str(&CANARY_NOTE[from..place.start]);
        expected.push_str(&place.token);
        from = place.end;
    }
    expected.push_str(&CANARY_NOTE[from..]);
    assert_eq!(
        String::from_utf8(rig.payload(of(Sending), SENT).await).unwrap(),
        expected
    );
    let counts = of(Deidentified).header.counts.iter();
    let of_kinds =
        counts.filter(|(name, _)| !name.starts_with("by-") && !name.starts_with("sure-"));
    let counted: u64 = of_kinds.map(|(_, count)| count).sum();
    assert_eq!(counted, replacements.len() as u64);
}

#[tokio::test]
async fn over_http_the_log_holds_exactly_what_was_sent_and_what_came_back() {
    let server = MockModel::start(200, "About {user} - done.").await;
    let rig = Setup::default()
        .upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"")
        .open()
        .await;
    let reply = rig.ask(CANARY_NOTE).await;
    assert_eq!(reply.status(), 200, "{}", reply.body().expose());
    assert_eq!(
        reply.text().unwrap().expose(),
        &format!("About {CANARY_NOTE} - done.")
    );

    let entries = rig.entries(reply.event());
    let sending = entries
        .iter()
        .find(|entry| entry.header.kind == Sending)
        .unwrap();
    assert_eq!(vec![rig.payload(sending, SENT).await], server.seen());
    assert_eq!(sending.header.facts["ground"], "cleared-without-agreement");
    let received = entries
        .iter()
        .find(|entry| entry.header.kind == Received)
        .unwrap();
    let came = rig.payload(received, nephron_gateway::RECEIVED).await;
    assert_eq!(vec![came], server.answered());
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_apart_and_leaves_an_outcome() {
    let server = MockModel::start(500, "Zebulon").await;
    let rig = Setup::default()
        .upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"")
        .open()
        .await;
    let reply = rig.ask("Chest pain.").await;
    let refusal = reply.refusal().unwrap();
    assert_eq!(
        (reply.status(), refusal.code(), refusal.reasons()),
        (502, "upstream-failed", vec!["unavailable".to_owned()])
    );
    assert!(
        !reply.body().expose().contains("Zebulon"),
        "upstream detail never passes through"
    );

    let gone = Setup::default().upstream(
        "http://127.0.0.1:1",
        "",
        "cleared-without-baa = \"safe-harbor\"",
    );
    let rig = gone.open().await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (502, "upstream-failed")
    );
    let story = rig.story(reply.event());
    assert!(
        story.contains(&(Received, "failed".to_owned())),
        "{story:?}"
    );
    assert_eq!(
        story.last(),
        Some(&(RequestClosed, "upstream-failed".to_owned()))
    );
}

#[tokio::test]
async fn deny_overrides_and_a_refusal_is_closed_in_the_log() {
    let rig = Setup::default().open().await;
    let reply = rig
        .ask_as(
            "st-marys",
            "mk.lund",
            "marketer",
            "HMARKT",
            None,
            CANARY_NOTE,
        )
        .await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (403, "denied")
    );
    let story = rig.story(reply.event());
    assert_eq!(
        story,
        [
            (RequestOpened, "admitted".to_owned()),
            (Decision, "deny".to_owned()),
            (RequestClosed, "denied".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_researcher_gets_the_answer_without_identities() {
    let rig = Setup::default().open().await;
    let reply = rig
        .ask_as(
            "st-marys",
            "r.ashgrove",
            "researcher",
            "HRESCH",
            None,
            CANARY_NOTE,
        )
        .await;
    let text = reply.text().unwrap();
    let text = text.expose();
    assert!(
        text.contains("[NAME_") && !text.contains("Quackenbush"),
        "{text}"
    );
    let last = rig.story(reply.event());
    assert!(
        last.iter()
            .any(|(kind, outcome)| *kind == Reidentified && outcome.starts_with("withheld")),
        "{last:?}"
    );
}

#[tokio::test]
async fn an_obligation_that_the_host_does_not_know_is_a_deny() {
    let rig = Setup::default()
        .decider("unknown-obligation", "")
        .open()
        .await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (403, "unknown-obligation")
    );
}

#[tokio::test]
async fn a_log_that_was_closed_verifies_and_goes_on_where_it_was() {
    let setup = Setup::default();
    let rig = setup.open().await;
    let first = rig.ask(CANARY_NOTE).await.event().unwrap();
    let folder = rig.close();
    let log = folder.path().join("tenants/st-marys/log");
    let verdict = nephron_audit::verify(&log, nephron_audit::VerifyOptions::default()).unwrap();
    assert!(verdict.verified && verdict.sealed, "{:?}", verdict.faults);

    let rig = setup.open_in(folder).await.unwrap();
    assert!(rig.entries(Some(first)).len() > 10);
    let again = rig.ask(CANARY_NOTE).await;
    assert_eq!(again.text().unwrap().expose(), CANARY_NOTE);
}

#[tokio::test]
async fn entries_are_exported_once_each_and_hold_no_phi() {
    let more = "[[plugin]]\nname = \"jsonl\"\nkind = \"exporter\"\ncomponent = \"jsonl-export\"\n\
        [[export]]\nplugin = \"jsonl\"\nfile = \"audit.jsonl\"\nbatch = 7\n";
    let rig = Setup::default().and(more).open().await;
    rig.ask(CANARY_NOTE).await;
    rig.gateway.export().await.unwrap();
    // With nothing new there is nothing to say, and nothing is said about that.
    let head = rig.tenant().log().head();
    rig.gateway.export().await.unwrap();
    assert_eq!(rig.tenant().log().head(), head);
    let upto = rig.tenant().log().head().entries;
    rig.ask(CANARY_NOTE).await;
    rig.gateway.export().await.unwrap();
    let file = rig
        .folder
        .path()
        .join("tenants/st-marys/exports/audit.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let sequences: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(sequences.len() as u64 > upto);
    assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn a_caller_without_a_right_to_identities_gets_none_of_the_models_own() {
    let server = MockModel::start(200, "It was Zebulon Quackenbush, MRN 90210557.").await;
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let rig = Setup::default()
        .upstream(&server.url(), "", cleared)
        .open()
        .await;
    let asked =
        |caller, role, purpose| rig.ask_as("st-marys", caller, role, purpose, None, "Who was it?");
    let withheld = asked("r.ashgrove", "researcher", "HRESCH").await;
    let text = withheld.text().unwrap();
    let text = text.expose();
    assert!(
        text.contains("[WITHHELD]") && !text.contains("Quackenbush") && !text.contains("90210557"),
        "{text}"
    );
    let shown = asked("dr.okafor", "physician", "TREAT").await;
    assert_eq!(
        shown.text().unwrap().expose(),
        "It was Zebulon Quackenbush, MRN 90210557."
    );
}

#[tokio::test]
async fn i6_a_model_that_no_route_names_is_a_recorded_refusal() {
    let server = MockModel::start(200, "ok").await;
    let rig = Setup::default()
        .upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"")
        .without_default_route()
        .open()
        .await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (404, "no-route")
    );
    let story = rig.story(reply.event());
    let outcomes: Vec<_> = story
        .iter()
        .map(|(kind, outcome)| (*kind, outcome.as_str()))
        .collect();
    assert_eq!(
        outcomes,
        [(RequestOpened, "admitted"), (RequestClosed, "no-route")]
    );
}
