//! An invocation of cargo: what it is told, and what is heard from it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;

use crate::Progress;
use crate::machine::Machine;
use crate::run::{Line, RunError, run};
use crate::toolchain::{Std, TARGET};

/// Longer than any build, shorter than for ever.
const COMPILING: Duration = Duration::from_secs(4 * 3600);

/// `cargo build` for the wasm target in the workspace `root`, the same whatever the user's own flags are.
pub(crate) fn build_command(machine: &Machine, root: &Path, target: &Path, std: &Std) -> Command {
    let mut cargo = machine.command("cargo");
    cargo
        .current_dir(root)
        .args(["build", "--target", TARGET, "--message-format", "json"]);
    cargo.args(["--manifest-path"]).arg(root.join("Cargo.toml"));
    if root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    // The last that fits counts: code that a build script wrote lies under `target`, wherever that is.
    let mut remapped = vec![
        (root.to_owned(), "/plugin"),
        (target.to_owned(), "/plugin/target"),
    ];
    if let Some(home) = cargo_home() {
        remapped.push((home.join("registry/src"), "/registry"));
    }
    if let Std::Source(library) = std {
        remapped.push((library.clone(), "/rustc/library"));
        cargo.arg("-Zbuild-std=std,panic_abort");
        // Cargo has no stable way to say either; both go no further than this child.
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    // A component's bytes, and so its digest, should not tell in whose home it was built. The variable also
    // outranks flags in the user's configuration, which are meant for native code.
    let mut flags = OsString::new();
    for (from, to) in remapped {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
    // The bar is the one place where cargo says how much there is to do.
    cargo
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100");
    cargo
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_QUIET", "false")
        .env("CARGO_TERM_VERBOSE", "false");
    cargo
}

fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// One of the JSON messages that cargo writes, a line each.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    fresh: bool,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// What a run of cargo came to.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    /// The package's module.
    pub(crate) module: Option<PathBuf>,
    /// The compiler's errors, then what cargo said itself; at most 200 lines.
    pub(crate) said: Vec<String>,
}

/// Runs `cargo` for the package `own`, reporting the warnings of the packages `all` that are being built: one may depend on another,
/// and those of other dependencies are not the author's.
pub(crate) fn compile(
    cargo: &mut Command,
    own: &str,
    all: &[&str],
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RunError> {
    let mut module = None;
    let mut warnings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut errors, mut said) = (Vec::new(), Vec::new());
    let status = run(cargo, COMPILING, |line| match line {
        Line::Out(line) => {
            let Ok(message) = serde_json::from_str::<Message>(&line) else {
                return;
            };
            let id = message.package_id.unwrap_or_default();
            if let Some(diagnostic) = message.message {
                let rendered = diagnostic.rendered.unwrap_or_default();
                if diagnostic.level.starts_with("error") {
                    errors.extend(rendered.lines().map(str::to_owned));
                } else if all.contains(&id.as_str()) {
                    warnings.entry(id).or_default().push(rendered);
                }
            } else if message.reason == "compiler-artifact" {
                // Cargo repeats a package's warnings when it has nothing to do for it; a person need not read them twice.
                let unread = warnings.remove(&id).unwrap_or_default();
                if !message.fresh {
                    unread
                        .into_iter()
                        .for_each(|warning| progress(Progress::Said(warning)));
                }
                let mut files = message.filenames.into_iter();
                let made = files.find(|file| file.extension() == Some("wasm".as_ref()));
                if id == own && made.is_some() {
                    module = made;
                }
            }
        }
        Line::Err(line) => match Progress::from_cargo(&line) {
            Some(step) => progress(step),
            None if is_routine(&line) => {}
            None if line.trim_start().starts_with("Blocking") => progress(Progress::Said(line)),
            None => said.push(line),
        },
    })?;
    errors.extend(said);
    errors.truncate(200);
    Ok(Outcome {
        status,
        module,
        said: errors,
    })
}

/// Whether a line only says what cargo does next, or is a piece of its bar.
fn is_routine(line: &str) -> bool {
    let line = line.trim();
    let verbs = [
        "Compiling",
        "Downloading",
        "Downloaded",
        "Updating",
        "Locking",
        "Adding",
        "Finished",
        "Building",
        "Fresh",
    ];
    line.is_empty()
        || line.starts_with("warning: `")
        || verbs.iter().any(|verb| line.starts_with(verb))
}
