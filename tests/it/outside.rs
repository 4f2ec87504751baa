//! Suites that others wrote, carried in `tests/outside`, whose README says where they come from and how they were chosen.

use std::collections::BTreeMap;
use std::io::Read as _;
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

#[tokio::test]
async fn the_component_models_reference_tests_hold_on_the_configuration_that_serves() {
    let engine = wasmtime::Engine::new(&nephron_engine::compile::pooled(100)).unwrap();
    let folder = outside("component-model");
    let (mut passed, mut failed) = (0, Vec::new());
    for room in ["binary", "linking", "resources", "validation", "values"] {
        for script in std::fs::read_dir(folder.join(room)).unwrap() {
            let script = script.unwrap().path();
            let name = script.strip_prefix(&folder).unwrap().display().to_string();
            let text = std::fs::read_to_string(&script).unwrap();
            match script::run(&engine, &name, &text).await {
                Ok(commands) => passed += commands,
                Err(error) => failed.push(error),
            }
        }
    }
    println!("{passed}\n{}", failed.join("\n"));
    panic!();
}

/// Each program of the suite, by its name: as it was built, without custom sections.
fn wasi_programs() -> Vec<(String, Vec<u8>)> {
    let packed = std::fs::read(outside("wasi-testsuite/components.tar.zst")).unwrap();
    let unpacked = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).unwrap();
    let mut archive = tar::Archive::new(unpacked);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

#[test]
fn i3_every_program_of_the_wasi_testsuite_is_refused() {
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
                println!("{name}: {error}");
                *counted.entry(error.code()).or_insert(0) += 1;
            }
        }
    }
    panic!("{counted:?}");
}
