//! Components of released versions of the contract run on this host as they were built (`tests/golden/README.md`).

use std::path::{Path, PathBuf};

use nephron_engine::compile::Compiler;
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Engine, Limits};
use nephron_gateway::conformance::{Case, Suite, every};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The versions of the contract that components are kept of.
fn versions() -> Vec<PathBuf> {
    let items = std::fs::read_dir(golden()).unwrap();
    let folders = items.map(|item| item.unwrap().path());
    folders.filter(|path| path.is_dir()).collect()
}

/// Each component by its path: some lie together in an archive, for most of each is the same.
fn components() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for version in versions() {
        for item in std::fs::read_dir(&version).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".wasm") {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            } else if name.ends_with(".tar.zst") {
                let packed = crate::unpacked(&path).into_iter();
                found.extend(packed.map(|(name, bytes)| (version.join(name), bytes)));
            } else {
                assert!(path.is_dir(), "{}", path.display());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn golden_components_are_those_that_were_built() {
    let mut sums: Vec<String> = components()
        .iter()
        .map(|(path, bytes)| {
            let digest = nephron_model::Digest::of(bytes).to_string();
            let path = path.strip_prefix(golden()).unwrap();
            format!(
                "{}  {}",
                digest.trim_start_matches("sha256:"),
                path.display()
            )
        })
        .collect();
    let listed = std::fs::read_to_string(golden().join("SHA256SUMS")).unwrap();
    let mut listed: Vec<&str> = listed.lines().collect();
    sums.sort();
    listed.sort_unstable();
    assert_eq!(sums, listed);
    for version in versions() {
        let frozen = golden().join("../../wit/frozen");
        assert!(frozen.join(version.file_name().unwrap()).is_dir());
    }
}

#[tokio::test]
async fn golden_components_of_every_kind_run_on_this_host() {
    let engine = Engine::new().unwrap();
    let limits = Limits::default();
    let mut names = std::collections::BTreeSet::new();
    for (path, bytes) in components() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let kind = name.split_once('-').unwrap().1;
        names.insert(name.to_owned());
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
    let mut expected = std::collections::BTreeSet::new();
    for language in ["c", "js", "python", "rust", "ts"] {
        for kind in ["connector", "decider", "detector", "exporter", "keyed"] {
            expected.insert(format!("{language}-{kind}"));
        }
    }
    assert_eq!(names, expected);
}
