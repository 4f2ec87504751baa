//! Components, built once for each run of the tests by one child cargo, in the same target folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

static COMPONENTS: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    let workspace = workspace();
    let mut folders = nephron_forge::plugin_folders(&workspace.join("plugins")).expect("plugins");
    folders.extend(nephron_forge::plugin_folders(&workspace.join("tests/guests")).expect("guests"));
    let mut progress = nephron_forge::report_to_stderr();
    let built = nephron_forge::build(&folders, &mut nephron_forge::Options::new(&mut progress));
    built
        .expect("plugins and guests build")
        .into_iter()
        .map(|built| (built.name, built.component))
        .collect()
});

static NEPHRON: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "nephron-gateway",
            "--bin",
            "nephron",
            "--message-format",
            "json",
        ])
        .current_dir(workspace())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executables =
        messages.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    executables.last().expect("cargo built the binary")
});

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The component of the plugin or guest of that name.
#[must_use]
pub fn component(name: &str) -> &'static Path {
    COMPONENTS
        .get(name)
        .expect("a plugin or guest of that name")
}

/// The folder that all of them lie in.
pub(crate) fn folder() -> &'static Path {
    component("does-nothing")
        .parent()
        .expect("a file lies in a folder")
}

/// The binary `nephron`.
#[must_use]
pub fn nephron() -> &'static Path {
    &NEPHRON
}
