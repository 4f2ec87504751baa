//! Components of released versions of the contract run on this host as they were built (`tests/golden/README.md`).

use std::path::{Path, PathBuf};

use nephron_engine::compile::Compiler;
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Engine, Limits};
use nephron_gateway::conformance::{Case, Suite, every};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// What `SHA256SUMS` lists: digest and path below `tests/golden`.
fn listed() -> Vec<(String, PathBuf)> {
    let sums = std::fs::read_to_string(golden().join("SHA256SUMS")).unwrap();
    let line = |line: &str| {
        let (sum, path) = line.split_once("  ").unwrap();
        (format!("sha256:{sum}"), golden().join(path))
    };
    sums.lines().map(line).collect()
}

#[test]
fn golden_components_are_those_that_were_built() {
    let listed = listed();
    for (sum, path) in &listed {
        let bytes = std::fs::read(path).unwrap();
        let digest = nephron_model::Digest::of(&bytes).to_string();
        assert_eq!(&digest, sum, "{}", path.display());
    }
    for version in std::fs::read_dir(golden()).unwrap() {
        let version = version.unwrap().path();
        if version.is_dir() {
            let frozen = golden().join("../../wit/frozen");
            assert!(frozen.join(version.file_name().unwrap()).is_dir());
            for item in std::fs::read_dir(version).unwrap() {
                let path = item.unwrap().path();
                let is_listed = listed.iter().any(|(_, listed)| *listed == path);
                assert!(path.is_dir() || is_listed, "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn golden_components_of_every_kind_run_on_this_host() {
    let engine = Engine::new().unwrap();
    let limits = Limits::default();
    let mut kinds = std::collections::BTreeSet::new();
    for (_, path) in listed() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let kind = name.split_once('-').unwrap().1;
        kinds.insert(kind.to_owned());
        let own = Case::all_in(&path.with_extension("")).unwrap();
        let own = if own.is_empty() {
            Case::all_in(&path.with_file_name(kind)).unwrap()
        } else {
            own
        };
        assert!(!own.is_empty(), "`{name}` has no cases");
        let granted = Grants {
            keys: kind == "keyed",
            ..Grants::default()
        };
        let bytes = std::fs::read(&path).unwrap();
        let vetted = vet(bytes, None, None, granted, &limits).unwrap();
        let suite = Suite {
            engine: &engine,
            vetted: &vetted,
            limits: &limits,
            compiler: &Compiler::InProcess,
            settings: None,
        };
        let mut cases = every(vetted.world()).unwrap();
        cases.extend(own);
        let mut faults = Vec::new();
        suite
            .run(&cases, |outcome| {
                let fault = outcome.fault;
                faults.extend(fault.map(|fault| format!("{name}, {}: {fault}", outcome.name)));
            })
            .await
            .unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
    let expected = ["connector", "decider", "detector", "exporter", "keyed"];
    assert!(kinds.iter().eq(expected), "{kinds:?}");
}
