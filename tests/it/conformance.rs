//! Our plugins keep their conformance cases, and those of every plugin of their world (`tests/conformance/README.md`).

use std::path::{Path, PathBuf};

use nephron_engine::compile::Compiler;
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Engine, Limits};
use nephron_gateway::conformance::{Case, Suite, every};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The plugins of ours with the folder of their cases.
fn plugins() -> Vec<(String, PathBuf)> {
    let folders = nephron_forge::plugin_folders(&root().join("plugins")).unwrap();
    let cases = |folder: PathBuf| {
        let manifest = nephron_forge::Manifest::read(&folder).unwrap();
        // Worlds that do the same with a key or more have their cases together.
        let worlds = [
            "access-policy",
            "deidentifier",
            "llm-connector",
            "audit-exporter",
        ];
        let world = worlds
            .iter()
            .find(|world| manifest.world.ends_with(**world));
        let folder = root().join("tests/conformance").join(world.unwrap());
        (manifest.name.clone(), folder.join(manifest.name))
    };
    folders.into_iter().map(cases).collect()
}

#[tokio::test]
async fn our_deciders_and_detectors_keep_their_conformance_cases() {
    check(&["access-policy", "deidentifier"]).await;
}

#[tokio::test]
async fn our_connectors_keep_their_conformance_cases() {
    check(&["llm-connector"]).await;
}

#[tokio::test]
async fn our_exporters_keep_their_conformance_cases() {
    check(&["audit-exporter"]).await;
}

async fn check(worlds: &[&str]) {
    let mut checked = 0;
    for (name, folder) in plugins() {
        let of = |world: &&str| folder.parent().unwrap().ends_with(world);
        if worlds.iter().any(of) {
            let faults = faults(&name, &folder).await;
            assert!(faults.is_empty(), "{}", faults.join("\n"));
            checked += 1;
        }
    }
    assert!(checked > 3, "{checked}");
}

/// What is not as the cases of a plugin say.
async fn faults(name: &str, folder: &Path) -> Vec<String> {
    // Those that sign may be lent a key; these cases ask for no signature.
    let granted = Grants {
        keys: true,
        ..Grants::default()
    };
    faults_of(name, nephron_tests::component(name), folder, granted, None).await
}

/// The same of any component, with settings for cases that have none.
pub(crate) async fn faults_of(
    name: &str,
    component: &Path,
    folder: &Path,
    granted: Grants,
    settings: Option<serde_json::Value>,
) -> Vec<String> {
    let own = Case::all_in(folder).unwrap();
    assert!(
        !own.is_empty(),
        "`{name}` has no cases in {}",
        folder.display()
    );
    let limits = Limits::default();
    let bytes = std::fs::read(component).unwrap();
    let vetted = vet(bytes, None, None, granted, &limits).unwrap();
    let suite = Suite {
        engine: &Engine::new().unwrap(),
        vetted: &vetted,
        limits: &limits,
        compiler: &Compiler::InProcess,
        settings,
    };
    let mut cases = every(vetted.world()).unwrap();
    cases.extend(own);
    let mut faults = Vec::new();
    let ran = suite.run(&cases, |outcome| {
        let fault = outcome
            .fault
            .map(|fault| format!("{name}, {}: {fault}", outcome.name));
        faults.extend(fault);
    });
    ran.await
        .unwrap_or_else(|error| panic!("{name}: {:#}", chain(&error)));
    faults
}

/// What a certifier finds of a connector, under one call with its request and one response.
async fn uncertified(guest: &str, settings: Option<serde_json::Value>) -> Vec<String> {
    let call = r#"{"description": "A call.", "call": {"model": "m", "messages": [{"name": "ward", "parts": [{"text": "ping"},
        {"json": {"bed": "7"}}]}], "stop": ["end"], "want-stream": false, "options": {"tools": [{"type": "function"}]}},
        "request": {"method": "POST", "path": "/v1/chat/completions", "headers": [], "body": {}}}"#;
    let response = r#"{"description": "A response.", "any": true, "response": {"status": 200, "headers": [], "chunks": ["a short answer"]}}"#;
    let cases = [("call", call), ("response", response)];
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|(name, text)| Case::parse(name, name, text).unwrap())
        .collect();
    let limits = Limits::default();
    let bytes = std::fs::read(nephron_tests::component(guest)).unwrap();
    let vetted = vet(bytes, None, None, Grants::default(), &limits).unwrap();
    let suite = Suite {
        engine: &Engine::new().unwrap(),
        vetted: &vetted,
        limits: &limits,
        compiler: &Compiler::InProcess,
        settings,
    };
    let mut faults = Vec::new();
    let mut certified = 0;
    let ran = suite.certify(&cases, |outcome| {
        certified += 1;
        let name = outcome.name;
        faults.extend(outcome.fault.map(|fault| format!("{name}: {fault}")));
    });
    ran.await
        .unwrap_or_else(|error| panic!("{guest}: {:#}", chain(&error)));
    assert_eq!(certified, cases.len());
    faults
}

#[tokio::test]
async fn a_connector_that_breaks_a_property_is_not_certified() {
    // That the same question twice gives the same, no guest can break: the sandbox has no clock and no randomness of its own (I8);
    // the comparison has a test of its own.
    let by = |way: &str| Some(serde_json::json!({ "by": way }));
    for (guest, settings, expected) in [
        (
            "minds-the-cut",
            None,
            "certify/response: two cuts of one response give two answers",
        ),
        (
            "repeats-in-errors",
            None,
            "certify/call: an error repeats text of what it was given",
        ),
        (
            "strays",
            by("path"),
            "certify/call: it asks for a path that no case declares",
        ),
        (
            "strays",
            by("credential"),
            "certify/call: it asks for a credential that no case declares",
        ),
        ("swells", None, "certify/call: a call of "),
        ("floods-events", None, "certify/response: a response of "),
    ] {
        let faults = uncertified(guest, settings).await;
        let [fault] = faults.as_slice() else {
            panic!("{guest}: {faults:?}")
        };
        assert!(fault.starts_with(expected), "{guest}: {fault}");
    }
    // One that answers by itself breaks none.
    assert_eq!(uncertified("echoes", None).await, [""; 0]);
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

#[test]
fn no_case_is_of_a_plugin_that_is_gone() {
    let known: Vec<PathBuf> = plugins().into_iter().map(|(_, folder)| folder).collect();
    let folders = |path: &Path| -> Vec<PathBuf> {
        let items = std::fs::read_dir(path).unwrap();
        let paths = items.map(|item| item.unwrap().path());
        paths.filter(|path| path.is_dir()).collect()
    };
    for world in folders(&root().join("tests/conformance")) {
        for folder in folders(&world) {
            let is_known = folder.ends_with("every") || known.contains(&folder);
            assert!(is_known, "{} is of no plugin of ours", folder.display());
        }
    }
}
