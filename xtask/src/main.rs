//! Chores of this repository, in plain Rust: nothing to install but the toolchain. `cargo xtask` lists them.

mod check;
mod components;
mod dist;
mod kit;
mod train;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

const USAGE: &str = "\
usage: cargo xtask <chore>

  check    format, lints and tests: what .ci/run runs
  guests   build every plugin and every test guest; list name, world, size and digest
  kit      write the hostile-plugin kit into a new folder, for another host: kit DIR
  dist     build what an operator runs into dist/ of the target folder, with SHA256SUMS
  train    make the model of safe-harbor anew from labelled notes: train NOTES.jsonl[.xz]

Exit codes: 0 done, 1 failed, 2 usage.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => check::run(),
        ["guests"] => components::run(),
        ["kit", folder] => kit::run(folder),
        ["dist"] => dist::run(),
        ["train", notes] => train::run(notes),
        ["help" | "-h" | "--help"] => io::stdout()
            .write_all(USAGE.as_bytes())
            .context("standard output"),
        _ => {
            // When even standard error is gone, the exit code still says it.
            drop(io::stderr().write_all(USAGE.as_bytes()));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The checkout that this program was built from.
fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().with_context(|| {
        format!(
            "`{}`, where xtask was built, is gone; run it in a checkout",
            root.display()
        )
    })
}

/// Runs cargo in the checkout, its output to ours, and fails as it fails.
fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    writeln!(io::stderr(), "==> {line}").context("standard error")?;
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root()?)
        .status()
        .with_context(|| format!("`{line}` cannot be run; is cargo on the PATH?"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}
