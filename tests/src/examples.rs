//! The examples in other languages than Rust, built at first use by the forge, with their toolchains under `target`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::rig::copy;
use crate::sdk::{installed, need, npm_install, run};

/// The examples in Rust: one of each kind.
pub const RUST_EXAMPLES: [&str; 5] = [
    "rust-connector",
    "rust-decider",
    "rust-detector",
    "rust-exporter",
    "rust-transformer",
];

/// The folder of an example.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
    examples.join(name)
}

/// Builds examples, and gives their components in that order.
#[must_use]
pub fn built(names: &[&str]) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = names.iter().map(|name| example(name)).collect();
    let mut progress = nephron_forge::report_to_stderr();
    let built = nephron_forge::build(&folders, &mut nephron_forge::Options::new(&mut progress));
    let built = built.expect("the examples build").into_iter();
    built.map(|built| built.component).collect()
}

/// What the examples in TypeScript need for their own tests, of the versions that each of them asks for.
static TYPESCRIPT: LazyLock<PathBuf> = LazyLock::new(|| {
    let wanted = example("ts-decider").join("package.json");
    installed("tests-typescript", &wanted, npm_install)
});

/// Runs an example's own tests as its README says.
pub fn own_tests(name: &str) {
    if name.starts_with("ts") {
        let asked = |folder: &Path| std::fs::read(folder.join("package.json")).expect("a list");
        assert!(asked(&example(name)) == asked(&TYPESCRIPT), "{name}");
        // What is built for the tests would lie in the checkout.
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let modules = "node_modules";
        copy(&example(name), scratch.path(), &example(name).join(modules));
        std::os::unix::fs::symlink(TYPESCRIPT.join(modules), scratch.path().join(modules))
            .expect("a link");
        let mut npm = Command::new("npm");
        run(npm.args(["test", "--silent"]).current_dir(scratch.path()));
        return;
    }
    let mut command = if name.starts_with("python") {
        let mut python = Command::new("python3");
        python.args(["-B", "-m", "unittest"]);
        python
    } else if name.starts_with("js") {
        need(&["npm", "--version"], &["nodejs", "npm"]);
        let mut node = Command::new("node");
        node.arg("--test");
        node
    } else {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let program = scratch.path().join("t");
        let mut cc = Command::new("cc");
        cc.args(["-std=c17", "-Wall", "-Wextra", "-Werror", "-I", "sdk", "-o"]);
        run(cc
            .arg(&program)
            .arg("plugin_test.c")
            .current_dir(example(name)));
        run(&mut Command::new(program));
        return;
    };
    run(command.current_dir(example(name)));
}
