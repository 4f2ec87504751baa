//! Many tenants: those longest not asked for are closed, and open again for whoever asks.

use nephron_audit::Reader;
use nephron_gateway::LOG;
use nephron_model::{EntryKind, TenantId};
use nephron_tests::{Rig, Setup};

const NOTE: &str = "Patient: Zebulon Quackenbush has asthma.";
const BOTH: [&str; 2] = ["st-marys", "lakeside"];

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn one_open() -> Setup {
    Setup::default().and("[limits]\nopen-tenants = 1\n")
}

fn open(rig: &Rig) -> Vec<&'static str> {
    let mut names = BOTH.to_vec();
    names.retain(|name| rig.gateway.tenant(&id(name)).is_some());
    names
}

async fn ask(rig: &Rig, tenant: &str) -> Option<String> {
    let asked = rig.ask_as(
        tenant,
        "dr.okafor",
        "physician",
        "TREAT",
        Some("ward-7"),
        NOTE,
    );
    asked.await.text().map(|text| text.expose().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_nobody_asks_for_rests_until_somebody_does() {
    let rig = one_open().open().await;
    assert_eq!(open(&rig), ["st-marys"]);
    assert_eq!(rig.gateway.why_closed(&id("lakeside")), None);
    assert!(!rig.folder.path().join("tenants/lakeside").exists());

    let first = ask(&rig, "lakeside").await.unwrap();
    assert_eq!(open(&rig), BOTH);
    rig.gateway.settle();
    assert_eq!(open(&rig), ["lakeside"]);
    // Somebody has it: it stays open.
    let held = rig.gateway.tenant(&id("lakeside")).unwrap();
    ask(&rig, "st-marys").await.unwrap();
    rig.gateway.settle();
    assert_eq!(
        open(&rig),
        ["lakeside"],
        "st-marys rests though it was asked for later"
    );
    drop(held);

    // What a conversation holds outlives the rest: the same person has the same token.
    ask(&rig, "st-marys").await.unwrap();
    rig.gateway.settle();
    assert_eq!(open(&rig), ["st-marys"]);
    assert_eq!(ask(&rig, "lakeside").await.unwrap(), first);

    let folder = rig.close();
    let rig = one_open().open_in(folder).await.unwrap();
    assert_eq!(open(&rig), ["st-marys"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_tenants_come_to_rest() {
    let rig = std::sync::Arc::new(one_open().open().await);
    let is_done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let settling = {
        let (rig, is_done) = (std::sync::Arc::clone(&rig), std::sync::Arc::clone(&is_done));
        std::thread::spawn(move || {
            let mut rested = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let before = open(&rig).len();
                rig.gateway.settle();
                rested += usize::from(open(&rig).len() < before);
                std::thread::yield_now();
            }
            rested
        })
    };
    let asking = (0..4).map(|number| {
        let rig = std::sync::Arc::clone(&rig);
        tokio::spawn(async move {
            for round in 0..10 {
                let tenant = BOTH[(number + round) % 2];
                assert!(ask(&rig, tenant).await.is_some(), "{tenant}, round {round}");
            }
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(settling.join().unwrap() > 0, "none came to rest");
    let rig = std::sync::Arc::into_inner(rig).unwrap();
    let folder = rig.close();
    for tenant in BOTH {
        let log = folder.path().join("tenants").join(tenant).join(LOG);
        let reader = Reader::open(&log).unwrap();
        let entries = reader.entries(0..reader.head().entries);
        let closed =
            entries.filter(|entry| entry.as_ref().unwrap().header.kind == EntryKind::RequestClosed);
        assert_eq!(closed.count(), 20, "{tenant}");
    }
}
