//! Each script is run by wasmtime's own runner on the configuration that serves.

use std::collections::BTreeMap;
use std::path::Path;

use wasmtime_wast::{Async, SpectestConfig, WastContext};

fn run(script: &Path) -> Result<(), String> {
    let engine = wasmtime::Engine::new(&nephron_engine::compile::pooled(100)).unwrap();
    let mut context = WastContext::new(&engine, Async::Yes, |store| {
        store.set_fuel(u64::MAX).unwrap();
        store.set_epoch_deadline(u64::MAX / 2);
    });
    let spectest = SpectestConfig {
        use_shared_memory: false,
        suppress_prints: true,
    };
    context.register_spectest(&spectest).unwrap();
    let text = std::fs::read(script).unwrap();
    context
        .run_wast(&script.to_string_lossy(), &text)
        .map_err(|error| format!("{error:?}"))
}

#[test]
fn the_component_models_reference_tests_hold() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut failed = BTreeMap::new();
    let mut passed = 0;
    for room in std::fs::read_dir(&scripts).unwrap() {
        for script in std::fs::read_dir(room.unwrap().path()).unwrap() {
            let script = script.unwrap().path();
            let name = script.strip_prefix(&scripts).unwrap().display().to_string();
            match run(&script) {
                Ok(()) => passed += 1,
                Err(error) => {
                    failed.insert(name, error);
                }
            }
        }
    }
    for (s, f) in &failed {
        println!("{s}: {f}\n");
    }
    panic!("{passed} passed, {} failed", failed.len());
}
