//! Judgements can be re-run (I8).

use nephron_gateway::replay::Replayer;
use nephron_model::EntryKind;
use nephron_tests::{CANARY_NOTE, MockModel, Setup};

#[tokio::test]
async fn i8_each_recorded_decision_run_again_gives_the_same_bytes() {
    let server = MockModel::start(200, "About {user} - done.").await;
    let setup =
        Setup::default().upstream(&server.url(), "", "cleared-without-baa = \"safe-harbor\"");
    let rig = setup.open().await;
    let reply = rig.ask(CANARY_NOTE).await;
    let engine = nephron_engine::Engine::new().unwrap();
    let grant = rig.auditor();
    let mut replayer = Replayer::new(rig.folder.path(), &engine);
    let mut judged = Vec::new();
    for entry in rig.entries(reply.event()) {
        if entry.header.kind != EntryKind::Decision {
            continue;
        }
        let replayed = replayer.replay(&grant, &entry).await.unwrap();
        assert!(
            replayed.same_answer,
            "entry {} by {}",
            entry.header.sequence, replayed.plugin.name
        );
        assert!(
            replayed.same_fuel,
            "entry {} by {}",
            entry.header.sequence, replayed.plugin.name
        );
        judged.push(entry.header.outcome);
    }
    assert_eq!(
        judged,
        [
            "permit",
            "found",
            "permit",
            "call",
            "decoded",
            "none-found",
            "permit"
        ]
    );
}

#[tokio::test]
async fn i8_a_failure_is_a_recorded_answer_too() {
    let rig = Setup::default().decider("traps", "").open().await;
    let reply = rig.ask("Chest pain.").await;
    let engine = nephron_engine::Engine::new().unwrap();
    let entries = rig.entries(reply.event());
    let decision = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Decision)
        .unwrap();
    let mut replayer = Replayer::new(rig.folder.path(), &engine);
    let replayed = replayer.replay(&rig.auditor(), decision).await.unwrap();
    assert!(replayed.same_answer && replayed.same_fuel);
}

#[tokio::test]
async fn i8_a_judgement_is_run_again_under_the_limits_that_it_had() {
    let few = "\n[plugin.limits]\nfuel = 2000\n";
    let rig = Setup::default().decider("does-nothing", few).open().await;
    let reply = rig.ask("Chest pain.").await;
    assert_eq!(reply.refusal().unwrap().code(), "plugin-failed");
    let entries = rig.entries(reply.event());
    let decision = entries
        .iter()
        .find(|entry| entry.header.kind == EntryKind::Decision)
        .unwrap();
    assert_eq!(decision.header.outcome, "out-of-fuel");
    let engine = nephron_engine::Engine::new().unwrap();
    let mut replayer = Replayer::new(rig.folder.path(), &engine);
    let replayed = replayer.replay(&rig.auditor(), decision).await.unwrap();
    assert!(replayed.same_answer && replayed.same_fuel);
}
