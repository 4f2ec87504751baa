//! Components, built once for each run of the tests, in the same target folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static COMPONENTS: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    let workspace = workspace();
    let mut folders = nephron_forge::plugin_folders(&workspace.join("plugins")).expect("plugins");
    folders.extend(nephron_forge::plugin_folders(&workspace.join("tests/guests")).expect("guests"));
    // That is for a benchmark, which builds it itself: minutes of Cedar with other features.
    folders.retain(|folder| !folder.ends_with("whole-cedar"));
    // Examples in Rust are members of the same workspace; the others are built when their tests ask for them.
    folders.extend(crate::RUST_EXAMPLES.map(crate::example));
    let mut progress = nephron_forge::report_to_stderr();
    let built = nephron_forge::build(&folders, &mut nephron_forge::Options::new(&mut progress));
    built
        .expect("plugins and guests build")
        .into_iter()
        .map(|built| (built.name, built.component))
        .collect()
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
