//! A route with several endpoints, and endpoints that are asked again: each exchange has its own ground and entries.

use nephron_gateway::Refusal;
use nephron_model::EntryKind;
use nephron_tests::{MockModel, PlayedModel, Rig, Setup};

const LIVE: &str = "2027-01-01";

/// A route to `first`, which is set up like this, and then to `second`, whose agreement ends on this day.
async fn open(first: &str, setup: &str, second: &str, until: &str) -> Rig {
    let associate = |name: &str, endpoint: &str, until: &str| {
        format!(
            "[[associate]]\nname = \"{name}\"\n[associate.agreement]\nstatus = \"signed\"\nid = \"BAA\"\nservices = [\"{endpoint}\"]\n\
             from = 2026-01-01\nuntil = {until}\n"
        )
    };
    let endpoint = |name: &str, associate: &str, url: &str| {
        format!(
            "[[endpoint]]\nname = \"{name}\"\nconnector = \"model\"\nassociate = \"{associate}\"\nurl = \"{url}\"\n"
        )
    };
    let more = [
        associate("first-lab", "first", LIVE),
        associate("second-lab", "second", until),
        endpoint("second", "second-lab", second),
        endpoint("first", "first-lab", first),
        format!(
            "{setup}\n[[route]]\nmodel = \"any\"\nupstream-model = \"mock\"\n\
             endpoints = [\"first\", {{ name = \"second\", upstream-model = \"mock-two\" }}]\n"
        ),
    ];
    // The endpoint that the setup brings along is nobody's here.
    let setup = Setup::default()
        .upstream(second, "", "")
        .and(&more.concat());
    setup.open().await
}

/// What was sent where and what came of it, in order: endpoint, kind, outcome and reasons.
fn exchanges(rig: &Rig, event: Option<nephron_model::EventId>) -> Vec<String> {
    let told = [
        EntryKind::Sending,
        EntryKind::Received,
        EntryKind::PassedOver,
    ];
    let entries = rig.entries(event).into_iter();
    let entries = entries.filter(|entry| told.contains(&entry.header.kind));
    entries
        .map(|entry| {
            let header = entry.header;
            let endpoint = &header.facts["endpoint"];
            let words = [endpoint.as_str(), &header.outcome].into_iter();
            let words: Vec<&str> = words
                .chain(header.reasons.iter().map(String::as_str))
                .collect();
            words.join(" ")
        })
        .collect()
}

/// An address at which nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn where_one_endpoint_cannot_serve_the_next_does_and_the_log_has_both() {
    let other = MockModel::start(200, "from the other").await;
    let busy = MockModel::start(503, "").await;
    let limited = MockModel::start(429, "").await;
    for (there, came) in [
        (busy.url(), "first failed unavailable"),
        (limited.url(), "first failed unavailable"),
        (nobody().await, "first failed connection-failed"),
    ] {
        let rig = open(&there, "", &other.url(), LIVE).await;
        let reply = rig.ask("Chest pain.").await;
        assert_eq!(reply.text().unwrap().expose(), "from the other");
        let told = exchanges(&rig, reply.event());
        assert_eq!(
            told,
            ["first intent", came, "second intent", "second answered"]
        );
    }
    assert_eq!(other.seen().len(), 3);
}

#[tokio::test]
async fn each_endpoint_of_a_route_is_asked_for_its_own_model() {
    let busy = MockModel::start(503, "").await;
    let other = MockModel::start(200, "from the other").await;
    let rig = open(&busy.url(), "", &other.url(), LIVE).await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(reply.text().unwrap().expose(), "from the other");
    let model = |seen: Vec<Vec<u8>>| {
        let body: serde_json::Value = serde_json::from_slice(&seen[0]).unwrap();
        body["model"].as_str().unwrap().to_owned()
    };
    assert_eq!(model(busy.seen()), "mock");
    assert_eq!(model(other.seen()), "mock-two");
}

#[tokio::test]
async fn an_endpoint_that_does_not_begin_in_time_is_given_up_for_the_next() {
    let other = MockModel::start(200, "from the other").await;
    let mut silent = PlayedModel::start().await;
    let rig = open(silent.url(), "timeout = \"300ms\"", &other.url(), LIVE).await;
    let (reply, turn) = tokio::join!(rig.ask("Chest pain."), silent.turn());
    assert_eq!(reply.text().unwrap().expose(), "from the other");
    let told = exchanges(&rig, reply.event());
    assert_eq!(told[1], "first failed timed-out");
    turn.hung_up().await;
}

#[tokio::test]
async fn i10_a_lapsed_agreement_is_passed_over_on_a_fallback_too() {
    let busy = MockModel::start(503, "").await;
    let other = MockModel::start(200, "from the other").await;
    let narrowed = open(&busy.url(), "", &other.url(), "2026-11-22").await;
    let reply = narrowed.ask("Chest pain.").await;
    let refusal = reply.refusal().unwrap();
    // That the first did not answer says more than that the second may not be asked.
    assert_eq!(
        (reply.status(), refusal.code(), refusal.reasons()),
        (503, "upstream-busy", vec!["unavailable".to_owned()])
    );
    assert_eq!(
        exchanges(&narrowed, reply.event()),
        [
            "first intent",
            "first failed unavailable",
            "second no-agreement agreement-lapsed"
        ]
    );
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_does_not_serve_us_is_passed_over_and_that_another_is_busy_says_more() {
    let other = MockModel::start(200, "from the other").await;
    let closed = MockModel::start(401, "").await;
    let rig = open(&closed.url(), "retries = 3", &other.url(), LIVE).await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(reply.text().unwrap().expose(), "from the other");
    assert_eq!(closed.seen().len(), 1, "asked again, it would say the same");
    assert_eq!(
        exchanges(&rig, reply.event())[1],
        "first failed refused-the-gateway"
    );

    let busy = MockModel::start(429, "").await;
    for (first, second) in [(&busy, &closed), (&closed, &busy)] {
        let rig = open(&first.url(), "", &second.url(), LIVE).await;
        let reply = rig.ask("Chest pain.").await;
        let code = reply.refusal().map(Refusal::code);
        assert_eq!((reply.status(), code), (429, Some("upstream-busy")));
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_or_has_begun_is_not_tried_elsewhere() {
    let other = MockModel::start(200, "from the other").await;
    let refusing = MockModel::start(400, "").await;
    let rig = open(&refusing.url(), "retries = 3", &other.url(), LIVE).await;
    assert!(rig.ask("Chest pain.").await.refusal().is_some());
    assert_eq!(refusing.seen().len(), 1);

    let mut played = PlayedModel::start().await;
    let rig = open(
        played.url(),
        "retries = 3\ntimeout = \"500ms\"",
        &other.url(),
        LIVE,
    )
    .await;
    let half = async {
        let turn = played.turn().await;
        turn.say("half of").await;
        turn.hung_up().await;
    };
    let (reply, ()) = tokio::join!(rig.ask("Chest pain."), half);
    assert_eq!(reply.refusal().map(Refusal::code), Some("upstream-failed"));
    let told = exchanges(&rig, reply.event());
    assert_eq!(told, ["first intent", "first failed timed-out"]);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_endpoint_is_asked_again_as_often_as_it_may_be_and_each_time_is_recorded() {
    let busy = MockModel::start(503, "").await;
    let other = MockModel::start(200, "from the other").await;
    let rig = open(&busy.url(), "retries = 2", &other.url(), LIVE).await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(reply.status(), 200);
    assert_eq!(busy.seen().len(), 3);
    let again = ["first intent", "first failed unavailable"];
    let mut told = again.repeat(3);
    told.extend(["second intent", "second answered"]);
    assert_eq!(exchanges(&rig, reply.event()), told);
}
