//! House rules that no compiler holds: who depends on whom, who may name what, and that nothing is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod codes;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folders(path: &str) -> Vec<String> {
    let items = std::fs::read_dir(root().join(path))
        .unwrap()
        .map(|item| item.unwrap());
    let folders =
        items.filter(|item| item.path().join("Cargo.toml").exists() || path == "tests/made");
    let mut names: Vec<_> = folders
        .filter(|item| item.path().is_dir())
        .map(|item| item.file_name())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| name.into_string().unwrap())
        .collect()
}

/// Every Rust file below `path`, with its text.
pub(super) fn sources(path: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(path)];
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// Ordinary dependencies of each workspace member, ours and others'.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .unwrap();
    let ordinary = |package: &cargo_metadata::Package| {
        let normal = package
            .dependencies
            .iter()
            .filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), ordinary(package)))
        .collect()
}

#[test]
fn dependency_edges_are_those_of_the_map() {
    let ours = |names: &BTreeSet<String>| {
        names
            .iter()
            .filter(|name| name.starts_with("nephron-"))
            .cloned()
            .collect::<Vec<_>>()
    };
    let all = dependencies();
    for (name, expected) in [
        ("nephron-model", vec![]),
        ("nephron-audit", vec!["nephron-model"]),
        ("nephron-keys", vec!["nephron-model"]),
        ("nephron-registry", vec!["nephron-model"]),
        ("nephron-trust", vec!["nephron-keys", "nephron-model"]),
        ("nephron-engine", vec!["nephron-keys", "nephron-model"]),
        ("nephron-forge", vec![]),
        (
            "nephron-gateway",
            vec![
                "nephron-audit",
                "nephron-engine",
                "nephron-forge",
                "nephron-keys",
                "nephron-model",
                "nephron-registry",
                "nephron-trust",
            ],
        ),
        ("nephron-sdk", vec![]),
    ] {
        assert_eq!(
            ours(&all[name]),
            expected,
            "{name}; ARCHITECTURE.md has the map"
        );
    }
    let plugins = folders("plugins")
        .into_iter()
        .chain(folders("tests/guests"));
    for folder in plugins {
        let names = all
            .iter()
            .filter(|(name, _)| **name == folder || name.starts_with(&format!("{folder}-")));
        for (name, dependencies) in names {
            let ours = ours(dependencies);
            assert!(
                ours.iter().all(|name| name == "nephron-sdk"),
                "{name} depends on {ours:?}"
            );
        }
    }
}

#[test]
fn each_foreign_crate_stays_in_its_room() {
    for (foreign, rooms) in [
        ("wasmtime", vec!["nephron-engine"]),
        ("wasmtime-wizer", vec!["nephron-engine"]),
        ("aes-gcm", vec!["nephron-keys"]),
        ("argon2", vec!["nephron-keys"]),
        ("cryptoki", vec!["nephron-keys"]),
        ("getrandom", vec!["nephron-keys"]),
        ("memmap2", vec!["nephron-keys"]),
        ("ring", vec!["nephron-audit", "nephron-keys"]),
        ("oci-client", vec!["nephron-registry"]),
        ("sigstore-types", vec!["nephron-trust"]),
        ("sled", vec!["nephron-audit"]),
        ("tar", vec!["nephron-audit"]),
        ("hyper", vec!["nephron-gateway", "nephron-tests"]),
        ("rustls", vec!["nephron-gateway"]),
        ("rustls-webpki", vec!["nephron-gateway"]),
        ("tokio-rustls", vec!["nephron-gateway"]),
        ("rcgen", vec!["nephron-gateway"]),
        ("regorus", vec!["rego"]),
        ("fancy-regex", vec!["presidio-recognizers"]),
        ("yaml_serde", vec!["presidio-recognizers", "rego"]),
    ] {
        let users: Vec<_> = dependencies()
            .into_iter()
            .filter(|(_, names)| names.contains(foreign))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(users, rooms, "who uses {foreign}");
    }
}

#[test]
fn only_egress_dials_and_only_recorders_attest() {
    for (word, allowed) in [
        (
            "hyper_util::client",
            // The second only looks names up, for the first.
            vec!["host/gateway/src/egress.rs", "host/gateway/src/address.rs"],
        ),
        // An operator's command, which has nothing of any request.
        ("TcpStream", vec!["host/gateway/src/cli/remote.rs"]),
        (
            "Recorded::attest",
            vec![
                "host/audit/src/writer.rs",
                "host/audit/src/journal/writer.rs",
                "host/keys/src/testing.rs",
                "host/audit/src/intake.rs",
            ],
        ),
        (
            "Ed25519KeyPair",
            vec![
                "host/keys/src/checkpoint_key.rs",
                "host/keys/src/publisher_key.rs",
                "host/audit/benches/prove.rs",
            ],
        ),
        ("Component::deserialize", vec!["host/engine/src/aot.rs"]),
        ("unsafe {", vec!["host/engine/src/aot.rs"]),
        ("Ok(Cleared {", vec!["host/gateway/src/chain/deidentify.rs"]),
    ] {
        for (path, text) in sources("host") {
            let path = path.to_string_lossy().into_owned();
            let in_test = path.ends_with("tests.rs") || path.contains("/tests/");
            let in_test = in_test || path.contains("/benches/");
            if !in_test && text.contains(word) {
                assert!(
                    allowed.contains(&path.as_str()),
                    "`{word}` stands in {path}"
                );
            }
        }
    }
}

#[test]
fn i9_what_holds_phi_has_no_debug_no_display_and_no_serialize() {
    let text = read("host/model/src/phi.rs");
    assert!(!text.contains("derive"), "Phi derives nothing");
    for (path, text) in sources("host") {
        for forbidden in ["Debug for Phi", "Display for Phi", "Serialize for Phi"] {
            assert!(
                !text.contains(forbidden),
                "{forbidden} in {}",
                path.display()
            );
        }
    }
}

#[test]
fn a_crate_whose_tests_are_not_run_has_none() {
    let rooms = ["host", "plugins", "tests/guests"].map(|room| (room, folders(room)));
    for (room, names) in rooms {
        for name in names {
            let manifest = read(format!("{room}/{name}/Cargo.toml"));
            for (path, text) in sources(&format!("{room}/{name}")) {
                let path = path.display();
                let documented = text.lines().any(|line| {
                    let comment = line
                        .trim()
                        .strip_prefix("///")
                        .or_else(|| line.trim().strip_prefix("//!"));
                    comment.is_some_and(|comment| {
                        ["```", "```rust", "```no_run"].contains(&comment.trim())
                    })
                });
                // A fence that opens as `text` closes as if it were code.
                let documented = documented && !text.contains("```text");
                assert!(
                    !(documented && manifest.contains("doctest = false")),
                    "{path}: an example that nobody compiles"
                );
                let tests = text.contains("#[test]") || text.contains("::test]");
                assert!(
                    !(tests && manifest.contains("\ntest = false")),
                    "{path}: a test that nobody runs"
                );
            }
        }
    }
}

#[test]
fn every_guest_has_its_test_and_its_row() {
    let sources = ["tests/it", "tests/src"].into_iter().flat_map(sources);
    let mut tests: String = sources.map(|(_, text)| text).collect();
    tests.push_str(&read("tests/guests/kit.toml"));
    let index = read("tests/guests/README.md");
    for guest in folders("tests/guests") {
        assert!(
            tests.contains(&format!("\"{guest}\""))
                || ["does-nothing", "whole-cedar"].contains(&guest.as_str()),
            "no test names the guest `{guest}`"
        );
        assert!(
            index.contains(&format!("`{guest}`")),
            "tests/guests/README.md lacks `{guest}`"
        );
    }
    for made in folders("tests/made") {
        assert!(
            [
                format!("\"{made}\""),
                format!("\"{made}/"),
                made.replace('-', "_")
            ]
            .iter()
            .any(|name| tests.contains(name)),
            "no test names `{made}`"
        );
        assert!(
            index.contains(&format!("`{made}`")),
            "tests/guests/README.md lacks `{made}`"
        );
    }
}

#[test]
fn every_plugin_has_a_readme_and_a_manifest() {
    for plugin in folders("plugins") {
        let folder = root().join("plugins").join(&plugin);
        assert!(
            folder.join("README.md").exists(),
            "plugins/{plugin}/README.md"
        );
        let manifest = nephron_forge::Manifest::read(&folder).unwrap();
        assert_eq!(manifest.name, plugin);
    }
}

#[test]
fn every_invariant_has_its_paragraph_and_its_test() {
    let architecture = read("ARCHITECTURE.md");
    let tests: String = ["tests/it", "host"]
        .into_iter()
        .flat_map(sources)
        .map(|(_, text)| text.to_lowercase())
        .collect();
    for number in 1..=10 {
        assert!(
            architecture.contains(&format!("**I{number} ")),
            "ARCHITECTURE.md has no paragraph on I{number}"
        );
        assert!(
            tests.contains(&format!("fn i{number}_")) || number == 2,
            "no test carries i{number}_ in its name"
        );
    }
}

#[test]
fn every_key_of_the_configuration_is_in_the_annotated_example() {
    let text = read("examples/gateway.toml");
    let files = |path: &Path| std::fs::read_to_string(path);
    let path = root().join("examples/gateway.toml");
    let config = nephron_gateway::config::Config::parse(&text, &path, &files);
    config.unwrap_or_else(|faults| panic!("{faults}"));
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    for document in documents {
        let text = read(document);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(
                root().join(link).exists(),
                "{document} links to {link}, which is not there"
            );
        }
    }
}

#[test]
fn tests_do_not_sleep_and_none_is_ignored() {
    for folder in ["tests/it", "tests/src", "host", "plugins", "sdk"] {
        for (path, text) in sources(folder) {
            let path = path.to_string_lossy().into_owned();
            assert!(
                !text.contains(concat!("#[", "ignore")),
                "{path} ignores a test"
            );
            // The engine's ticker is a clock, not a synchronisation.
            let sleeps = text.contains(concat!("thread::", "sleep"))
                || text.contains(concat!("time::", "sleep("));
            assert!(
                !sleeps || path == "host/engine/src/ticker.rs" || path.starts_with("host/forge"),
                "{path} sleeps"
            );
        }
    }
}
