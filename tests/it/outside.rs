//! Suites that others wrote, carried in `tests/outside`, whose README says where they come from and how they were chosen.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nephron_engine::Limits;
use nephron_engine::vet::{Grants, VetError, vet};

fn outside(suite: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("outside")
        .join(suite)
}

/// In a workspace of its own: what wasmtime's runner asks of wasmtime, the product and its tests are built without.
#[test]
fn the_component_models_reference_tests_hold_on_the_configuration_that_serves() {
    let built = Path::new(env!("CARGO_BIN_EXE_nephron-in-test"));
    let target = built.ancestors().nth(2).unwrap().join("outside");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["test", "--locked", "--manifest-path"])
        .arg(outside("component-model/Cargo.toml"))
        .env("CARGO_TARGET_DIR", target);
    let output = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{told}");
    assert!(said.contains("1 passed"), "{said}");
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
