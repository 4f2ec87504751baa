//! No BAA, no PHI (I10).

use std::time::Duration;

use nephron_gateway::Refusal;
use nephron_tests::{MockModel, Setup};

const AGREEMENT: &str = "[associate.agreement]\nstatus = \"signed\"\nid = \"BAA-2026-014\"\nservices = [\"there\"]\nfrom = \"2026-01-01\"\nuntil = \"2027-01-01\"";

#[tokio::test]
async fn i10_without_an_agreement_nothing_leaves_unless_policy_names_the_method() {
    let server = MockModel::start(200, "ok").await;
    for (agreement, egress, status) in [
        ("", "", 403),
        ("", "cleared-without-baa = \"expert-determination\"", 403),
        ("", "cleared-without-baa = \"safe-harbor\"", 200),
        (AGREEMENT, "", 200),
    ] {
        let before = server.seen().len();
        let rig = Setup::default()
            .upstream(&server.url(), agreement, egress)
            .open()
            .await;
        let reply = rig.ask("Chest pain.").await;
        assert_eq!(reply.status(), status, "{agreement} {egress}");
        assert_eq!(
            server.seen().len() - before,
            usize::from(status == 200),
            "{agreement} {egress}"
        );
    }
}

#[tokio::test]
async fn i10_an_agreement_that_has_ended_covers_nothing() {
    let server = MockModel::start(200, "ok").await;
    let rig = Setup::default()
        .upstream(&server.url(), AGREEMENT, "")
        .open()
        .await;
    assert_eq!(rig.ask("Chest pain.").await.status(), 200);
    rig.clock.advance(Duration::from_secs(60 * 86_400));
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (403, "no-agreement")
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn i10_one_link_of_the_chain_that_is_not_covered_stops_identifiable_text() {
    let server = MockModel::start(200, "ok").await;
    let behind = |until: &str| {
        format!(
            "subprocessors = [\"chips\"]\n{AGREEMENT}\n[[associate]]\nname = \"chips\"\nresidency = [\"US\"]\n\
             agreement = {{ id = \"SUB-7\", status = \"signed\", services = [\"there\"], from = 2026-01-01, until = {until} }}"
        )
    };
    let narrowed = || Setup::default().detector("safe-harbor", "kinds = [\"date\"]");
    let us = "regions = [\"US\"]";
    for (until, egress, region, reasons) in [
        ("2027-01-01", "", "", vec![]),
        ("2027-01-01", us, "US-VA", vec![]),
        ("2027-01-01", us, "DE", vec!["wrong-region"]),
        (
            "2026-11-22",
            "",
            "",
            vec!["subprocessor-uncovered", "agreement-lapsed"],
        ),
    ] {
        let before = server.seen().len();
        let setup = narrowed().upstream(&server.url(), &behind(until), egress);
        let region = format!("region = \"{region}\"\n");
        let rig = match egress {
            "" => setup.open().await,
            _ => setup.and(&region).open().await,
        };
        let reply = rig.ask("Patient: Zebulon Quackenbush.").await;
        let refusal = reply.refusal();
        assert_eq!(refusal.map(Refusal::reasons).unwrap_or_default(), reasons);
        assert_eq!(refusal.is_none(), reasons.is_empty());
        assert_eq!(
            server.seen().len() - before,
            usize::from(reasons.is_empty())
        );
        let closed = rig.entries(reply.event()).pop().unwrap();
        assert_eq!(closed.header.reasons, reasons, "the log has them too");
    }
}

#[tokio::test]
async fn i10_the_method_is_what_the_detectors_amount_to_and_not_what_policy_wishes() {
    let server = MockModel::start(200, "ok").await;
    let narrowed = Setup::default().detector("safe-harbor", "kinds = [\"date\"]");
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let rig = narrowed.upstream(&server.url(), "", cleared).open().await;
    let reply = rig.ask("Patient: Zebulon Quackenbush.").await;
    assert_eq!(
        (reply.status(), reply.refusal().unwrap().code()),
        (403, "no-agreement")
    );
    assert!(server.seen().is_empty());
}
