//! What is right is read, and nothing panics.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::Expect;
use nephron_engine::Limits;
use proptest::prelude::*;

use super::{Component, Config, Faults, PluginKind, RootKey, SecretRef};

mod examples;
mod faults;

/// A configuration that is right and uses most of what there is.
const GOOD: &str = r#"data = "data"

[root-key]
provider = "file"
passphrase = { file = "passphrase" }

[[tenant]]
id = "st-marys"

[[plugin]]
name = "access"
kind = "decider"
component = "cedar-policy"
settings = { points = ["ingress"] }
settings-files = { policies = "access.cedar" }
limits = { deadline = "2s", memory = "64MiB", fuel = 1000 }

[[plugin]]
name = "safe-harbor"
kind = "detector"
component = "safe-harbor"

[[plugin]]
name = "cloud-model"
kind = "connector"
component = "plugins/ours.wasm"

[[plugin]]
name = "jsonl"
kind = "exporter"
component = "jsonl-export"

[chain]
deciders = ["access"]
detectors = ["safe-harbor"]

[[associate]]
name = "example-ai"
agreement = { id = "BAA-1", services = ["cloud"], from = 2026-01-01, until = "2027-01-01", status = "signed" }

[[endpoint]]
name = "cloud"
connector = "cloud-model"
url = "https://models.ai.example"
associate = "example-ai"
credential = { name = "key", secret = { environment = "KEY" } }

[[route]]
model = "*"
endpoint = "cloud"

[[export]]
plugin = "jsonl"
file = "audit.jsonl"
"#;

fn files(path: &Path) -> std::io::Result<String> {
    match path.to_str() {
        Some("etc/access.cedar") => Ok("permit (principal, action, resource);".to_owned()),
        _ => Err(Error::new(ErrorKind::NotFound, "no such file")),
    }
}

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, Path::new("etc/gateway.toml"), &files)
}

/// The faults without the file, or what was read.
fn report(result: &Result<Config, Faults>) -> String {
    match result {
        Ok(_) => "right".to_owned(),
        Err(faults) => faults.to_string().replace("etc/gateway.toml:", ""),
    }
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&report(&parse(text)));
}

/// Checks `GOOD` with `from` replaced by `to`.
#[track_caller]
fn change(from: &str, to: &str, expected: &Expect) {
    assert_eq!(
        GOOD.matches(from).count(),
        1,
        "{from:?} must stand once in GOOD"
    );
    check(&GOOD.replace(from, to), expected);
}

#[test]
fn what_is_right_is_read() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.data, Path::new("etc/data"));
    let passphrase = SecretRef::File(PathBuf::from("etc/passphrase"));
    assert_eq!(config.root_key, RootKey::File { passphrase });
    let [access, detector, connector, exporter] = &config.plugins[..] else {
        panic!("four plugins")
    };
    assert_eq!(
        access.component,
        Component::FirstParty("cedar-policy".to_owned())
    );
    assert_eq!(
        access.settings,
        serde_json::json!({ "points": ["ingress"], "policies": "permit (principal, action, resource);" })
    );
    assert_eq!(
        access.limits,
        Limits {
            fuel: 1_000,
            ..Limits::default()
        }
    );
    assert_eq!(
        (detector.kind, &detector.limits),
        (PluginKind::Detector, &Limits::default())
    );
    assert_eq!(
        connector.component,
        Component::File(PathBuf::from("etc/plugins/ours.wasm"))
    );
    assert_eq!(exporter.settings, serde_json::json!({}));
    let agreement = config.associates[0].agreement.as_ref().unwrap();
    assert_eq!(agreement.from.to_string(), "2026-01-01T00:00:00.000000000Z");
    assert_eq!(
        agreement.until.to_string(),
        "2027-01-01T00:00:00.000000000Z"
    );
    let endpoint = &config.endpoints[0];
    let upstream = endpoint.upstream.as_ref().unwrap();
    let credential = upstream.credential.as_ref().unwrap();
    assert_eq!(
        (&*credential.header, &*credential.prefix),
        ("authorization", "Bearer ")
    );
    assert_eq!(credential.secret, SecretRef::Environment("KEY".to_owned()));
    assert_eq!(
        (upstream.timeout, config.exports[0].batch),
        (Duration::from_secs(60), 100)
    );
    assert_eq!(
        (config.limits.bytes, config.limits.messages),
        (1 << 20, 1_000)
    );
    assert_eq!(config.egress.cleared_without_baa, None);
}

#[test]
fn a_setting_may_be_several_files_by_name() {
    let files = "settings-files = { policies = \"access.cedar\", bundle = { \"a/b.rego\" = \"access.cedar\" } }";
    let config = parse(&GOOD.replace("settings-files = { policies = \"access.cedar\" }", files));
    let access = &config.unwrap().plugins[0];
    let text = &access.settings["policies"];
    assert!(text.is_string());
    assert_eq!(
        access.settings["bundle"],
        serde_json::json!({"a/b.rego": text})
    );
    assert_eq!(access.settings_files.len(), 2);
}

#[test]
fn settings_are_any_toml() {
    let settings = "settings = { a = 0x10, b = -1.5, c = [1, [true]], d = { e = 2026-01-01T00:00:00Z }, f = 18446744073709551615 }";
    let config = parse(&GOOD.replace("settings = { points = [\"ingress\"] }", settings)).unwrap();
    assert_eq!(
        config.plugins[0].settings,
        serde_json::json!({
            "a": 16, "b": -1.5, "c": [1, [true]], "d": { "e": "2026-01-01T00:00:00Z" }, "f": u64::MAX,
            "policies": "permit (principal, action, resource);",
        })
    );
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let absent = Config::load(&folder.path().join("gateway.toml")).unwrap_err();
    assert!(
        absent
            .to_string()
            .contains("gateway.toml: cannot read the configuration: No such file")
    );
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, GOOD).unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains("access.cedar`: No such file")
    );
    std::fs::write(
        folder.path().join("access.cedar"),
        "permit (principal, action, resource);",
    )
    .unwrap();
    assert_eq!(
        Config::load(&path).unwrap().data,
        folder.path().join("data")
    );
    std::fs::write(&path, b"data = \"\xff\"").unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains("valid UTF-8")
    );
}

/// Says nothing false of places, whatever was read.
fn is_sound(text: &str) {
    let Err(faults) = parse(text) else { return };
    assert!(!faults.as_slice().is_empty());
    let lines = text.split('\n').count();
    for fault in faults.as_slice() {
        assert!(
            (1..=lines).contains(&fault.line) && fault.column >= 1,
            "{fault}"
        );
        let line = text.split('\n').nth(fault.line - 1).unwrap();
        assert!(fault.column <= line.chars().count() + 1, "{fault}");
        assert!(!fault.message.contains(char::is_control), "{fault}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}|[\\[\\]{}=.,\"'#a-e0-9é \\n\\t-]{0,120}") {
        is_sound(&text);
    }

    #[test]
    fn no_spoilt_configuration_panics(
        at in 0..GOOD.len(),
        removed in 0..40_usize,
        added in "[\\[\\]{}=.,\"'#a-e0-9é \\n-]{0,8}",
    ) {
        let mut text = GOOD.to_owned();
        text.replace_range(at..(at + removed).min(GOOD.len()), &added);
        is_sound(&text);
    }

    #[test]
    fn no_value_at_the_wrong_key_panics(key in 0..60_usize, value in 0..60_usize) {
        let (keys, values): (Vec<_>, Vec<_>) = GOOD.lines().filter_map(|line| line.split_once(" = ")).unzip();
        let (key, value) = (keys[key % keys.len()], values[value % values.len()]);
        let lines = GOOD.lines().map(|line| if line.starts_with(&format!("{key} =")) { format!("{key} = {value}") } else { line.to_owned() });
        is_sound(&lines.collect::<Vec<_>>().join("\n"));
    }
}
