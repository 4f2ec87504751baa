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
