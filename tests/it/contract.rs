//! The contract only grows: what was built for a released version runs on every later one (`wit/frozen`).

use std::path::{Path, PathBuf};

use wit_component::semver_check;
use wit_parser::Resolve;

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// Files of a folder, by name, each with its text.
fn files(folder: &Path) -> Vec<(String, String)> {
    let items = std::fs::read_dir(folder).unwrap();
    let paths = items.map(|item| item.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension() == Some("wit".as_ref()))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// The released versions: the folders of `wit/frozen`.
fn frozen() -> Vec<String> {
    let items = std::fs::read_dir(wit().join("frozen")).unwrap();
    let folders = items
        .map(|item| item.unwrap())
        .filter(|item| item.path().is_dir());
    let mut versions: Vec<_> = folders
        .map(|item| item.file_name().into_string().unwrap())
        .collect();
    versions.sort();
    versions
}

/// What of the released `version` the contract `now` breaks: each world that a plugin of then would not fit any more.
fn broken(version: &str, now: &[(String, String)]) -> Vec<String> {
    let mut resolve = Resolve::default();
    let mut push = |files: &[(String, String)], renamed: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let text = renamed.map_or_else(|| text.clone(), |other| text.replace(version, other));
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        resolve.push_dir(folder.path()).unwrap().0
    };
    // Two packages of one version are one; the check itself looks at no version.
    let then = push(&files(&wit().join("frozen").join(version)), Some("0.0.1"));
    let now = push(now, None);
    let worlds = resolve.packages[then].worlds.clone();
    assert!(worlds.len() > 5, "{}", worlds.len());
    let mut broken = Vec::new();
    for (name, then) in worlds {
        match resolve.packages[now].worlds.get(&name) {
            None => broken.push(format!("{name}: gone")),
            Some(now) => {
                let checked = semver_check(resolve.clone(), then, *now);
                broken.extend(checked.err().map(|error| format!("{name}: {error:#}")));
            }
        }
    }
    broken
}

#[test]
fn the_contract_breaks_no_released_version() {
    let now = files(&wit());
    let versions = frozen();
    assert!(!versions.is_empty());
    for version in versions {
        let broken = broken(&version, &now);
        assert!(
            broken.is_empty(),
            "a plugin built for {version} would not fit any more; what breaks is a new 0.y, beside the old:\n{}",
            broken.join("\n")
        );
    }
}

#[test]
fn a_change_that_breaks_is_found_and_one_that_adds_is_not() {
    let changed = |from: &str, to: &str| {
        let mut now = files(&wit());
        let before = now.clone();
        for (_, text) in &mut now {
            *text = text.replacen(from, to, 1);
        }
        assert_ne!(before, now, "`{from}` is not in the contract");
        let broken = broken("0.1.0", &now);
        let worlds = broken.iter().map(|one| one.split(':').next().unwrap());
        worlds.map(str::to_owned).collect::<Vec<_>>()
    };
    let deciders = ["access-policy"];
    for (from, to, expected) in [
        // A case, a field, a parameter, a function that plugins of then do not export, a world.
        (
            "enum effect { permit,",
            "enum effect { permit, perhaps,",
            &deciders[..],
        ),
        (
            "record obligation { id: string,",
            "record obligation { id: string, code: string,",
            &deciders,
        ),
        (
            "decide: func(query: query)",
            "decide: func(query: query, twice: bool)",
            &deciders,
        ),
        (
            "world access-policy { include base; export decider; }",
            "world access-policy { include base; export decider; export detector; }",
            &deciders,
        ),
        ("world access-policy {", "world access-rule {", &deciders),
        // What the host gives may grow.
        (
            "log: func(level",
            "count: func(event: string);\n  @since(version = 0.1.0)\n  log: func(level",
            &[],
        ),
        (
            "world base {",
            "world hearing {}\n@since(version = 0.1.0)\nworld base {",
            &[],
        ),
    ] {
        assert_eq!(changed(from, to), expected, "{from} → {to}");
    }
}

#[test]
fn what_is_frozen_is_never_edited() {
    let sums = std::fs::read_to_string(wit().join("frozen/SHA256SUMS")).unwrap();
    let mut listed = Vec::new();
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(wit().join("frozen").join(path)).unwrap();
        let digest = nephron_model::Digest::of(&bytes).to_string();
        assert_eq!(digest, format!("sha256:{sum}"), "wit/frozen/{path}");
        listed.push(path.to_owned());
    }
    for version in frozen() {
        for (name, _) in files(&wit().join("frozen").join(&version)) {
            let path = format!("{version}/{name}");
            assert!(listed.contains(&path), "wit/frozen/SHA256SUMS lacks {path}");
        }
    }
}
