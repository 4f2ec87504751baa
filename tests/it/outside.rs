//! Suites that others wrote, carried in `tests/outside`, whose README says where they come from and how they were chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nephron_engine::Limits;
use nephron_engine::vet::{Grants, VetError, vet};

#[path = "outside/script.rs"]
mod script;

fn outside(suite: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("outside")
        .join(suite)
}

/// What this host refuses of what the scripts use, by wasmtime's words: proposals that `FEATURES` leaves out, and modules of
/// several memories, which have no room in a slot of the pool.
const REFUSED: [&str; 11] = [
    "requires the component model async feature",
    "require the component model async feature",
    "the component model fixed-length lists feature",
    "require the component model map feature",
    "the `cm-implements` feature is not active",
    "requires the component model threading feature",
    "exceptions proposal not enabled",
    "gc proposal must be enabled",
    "threads must be enabled",
    "gc types are disallowed",
    "exceeds the per-instance limit",
];

#[tokio::test]
async fn the_component_models_reference_tests_hold_on_the_configuration_that_serves() {
    let engine = wasmtime::Engine::new(&nephron_engine::compile::pooled(100)).unwrap();
    let folder = outside("component-model");
    let mut all = script::Came::default();
    for room in ["binary", "linking", "resources", "validation", "values"] {
        for script in std::fs::read_dir(folder.join(room)).unwrap() {
            let script = script.unwrap().path();
            let name = script.strip_prefix(&folder).unwrap().display().to_string();
            let text = std::fs::read_to_string(&script).unwrap();
            let came = script::run(&engine, &name, &text, &REFUSED).await.unwrap();
            all.add(came);
        }
    }
    assert!(all.failed.is_empty(), "{}", all.failed.join("\n"));
    let used: BTreeSet<&str> = all.refused.keys().copied().collect();
    assert_eq!(used, BTreeSet::from(REFUSED));
    // Commands that held, and those about components that were refused.
    assert_eq!((all.held, all.passed_over), (966, 86));
}

/// Each program of the suite, by its name: as it was built, without custom sections.
fn wasi_programs() -> Vec<(String, Vec<u8>)> {
    super::unpacked(&outside("wasi-testsuite/components.tar.zst"))
}

#[test]
fn every_program_of_the_wasi_testsuite_is_refused() {
    use wasi_preview1_component_adapter_provider::{
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    };
    let everything = Grants {
        keys: true,
        null_wasi: true,
    };
    let refused = |bytes: Vec<u8>, granted| {
        vet(bytes, None, None, granted, &Limits::default()).map(|vetted| vetted.world())
    };
    let mut counted = BTreeMap::new();
    for (name, bytes) in wasi_programs() {
        let mut components = vec![bytes.clone()];
        if name.starts_with("wasm32-wasip1/") {
            assert!(
                matches!(
                    refused(bytes.clone(), everything),
                    Err(VetError::CoreModule)
                ),
                "{name}"
            );
            let component = wit_component::ComponentEncoder::default()
                .module(&bytes)
                .unwrap()
                .adapter(
                    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
                )
                .unwrap()
                .encode()
                .unwrap();
            components = vec![component];
        }
        for bytes in components {
            for granted in [Grants::default(), everything] {
                let error = refused(bytes.clone(), granted).unwrap_err();
                *counted.entry(error.code()).or_insert(0) += 1;
            }
        }
    }
    // Each twice: without a grant, and with every grant there is. Those for WASI 0.1 export a command and no world of the
    // contract; those for 0.3 have asynchronous functions.
    assert_eq!(
        counted,
        BTreeMap::from([("malformed", 2 * 55), ("no-such-world", 2 * 72)])
    );
}
