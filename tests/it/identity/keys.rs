//! API keys: their last use, and their rotation.

use std::path::Path;

use nephron_tests::Setup;
use serde_json::Value;

use super::asking;

/// `nephron api-key`, about the annotated example.
fn api_key(arguments: &[&str]) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/gateway.toml");
    let output = std::process::Command::new(crate::nephron())
        .arg("api-key")
        .args(arguments)
        .arg("--config")
        .arg(example)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_key_is_known_after_the_gateway_has_stopped() {
    let served = Setup::default().serve("").await;
    for key in [served.physician.clone(), served.expired.clone()] {
        let _answer = served.post(Some(&key), &[], &asking()).await;
    }
    let rig = served.reopened().await;
    let kept = std::fs::read(rig.folder.path().join("host/api-keys.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let uses: Vec<&Value> = kept.as_object().unwrap().values().collect();
    // The expired one was refused, which is no use of it.
    assert_eq!(uses, ["2026-11-22T00:03:22.000000000Z"]);
}

#[test]
fn a_key_is_rotated_by_a_second_one_of_the_same_holder() {
    let report: Value =
        serde_json::from_str(&api_key(&["new", "--rotate", "ward-app", "--json"])).unwrap();
    let toml = report["toml"].as_str().unwrap();
    for line in [
        "id = \"ward-app-2\"",
        "tenant = \"st-marys\"",
        "caller = \"dr.okafor\"",
        "roles = [\"physician\"]",
        "purposes = [\"TREAT\"]",
    ] {
        assert!(toml.contains(line), "{line} in {toml}");
    }
    let listed: Value = serde_json::from_str(&api_key(&["list", "--json"])).unwrap();
    assert_eq!(listed["id"], "ward-app");
    assert_eq!(listed["expires"], "2027-01-01T00:00:00Z");
    assert_eq!(listed["last_used"], Value::Null);
}
