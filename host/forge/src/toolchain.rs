//! The standard library for `wasm32-unknown-unknown`: found, installed, or built from source.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Progress;
use crate::debian;
use crate::machine::Machine;
use crate::run::{Line, RunError, failed, output_of, run};

/// What plugins are compiled for: nothing but WebAssembly, so that they import nothing but their world.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Where the standard library comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Std {
    /// The toolchain has it, compiled.
    Installed,
    /// Cargo compiles it from these sources, the folder named `library`.
    Source(PathBuf),
}

/// No way led to a standard library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// The compiler itself cannot be asked.
    #[error("cannot ask rustc about its targets; install Rust with rustup")]
    Rustc(#[source] RunError),
    /// Each way was tried and failed.
    #[error(
        "rustc {release} has no standard library for {TARGET}. Tried, in this order:{}\n\
         Run `rustup target add {TARGET}` where rustup can download, or put the sources of rustc {release} \
         (a folder `library`) at `{}/lib/rustlib/src/rust/library`",
        listed(attempts), sysroot.display()
    )]
    Exhausted {
        /// The compiler's version.
        release: String,
        /// The compiler's folder.
        sysroot: PathBuf,
        /// What was tried.
        attempts: Vec<Attempt>,
    },
}

/// One way to a standard library that led nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub what: String,
    /// Why it failed.
    pub why: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Finds or makes a standard library for the compiler that `folder`'s toolchain file chooses.
///
/// What had to be fetched lies under `cache` afterwards; nothing outside it changes, but that rustup may add the
/// target to its toolchain.
pub(crate) fn prepare(
    machine: &Machine,
    folder: &Path,
    cache: &Path,
    offline: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Std, ToolchainError> {
    let places = Places::ask(machine, folder)?;
    if places.has_target() {
        return Ok(Std::Installed);
    }
    let release = release(machine, folder)?;
    let memo = Memo {
        sysroot: places.sysroot.clone(),
        release: release.clone(),
    };
    if let Some(library) = memo.recall(cache) {
        return Ok(Std::Source(library));
    }

    let mut attempts = Vec::new();
    let mut note = |what: &str, why: String| {
        attempts.push(Attempt {
            what: what.to_owned(),
            why,
        })
    };
    note(
        "the toolchain",
        format!("no libstd in `{}`", places.target_libdir.display()),
    );

    let rustup = format!("rustup target add {TARGET}");
    if offline {
        note(
            &rustup,
            "not tried, because no network is to be used".to_owned(),
        );
    } else {
        progress(Progress::Seeking(rustup.clone()));
        match add_target(machine, folder, progress) {
            Ok(()) if places.has_target() => return Ok(Std::Installed),
            Ok(()) => note(
                &rustup,
                "it succeeded, but for another toolchain than rustc's".to_owned(),
            ),
            Err(error) => note(&rustup, error.to_string()),
        }
    }

    let sources = places.sysroot.join("lib/rustlib/src/rust/library");
    if is_library(&sources) {
        memo.keep(cache, &sources);
        return Ok(Std::Source(sources));
    }
    note(
        "the toolchain's rust-src",
        format!("no sources in `{}`", sources.display()),
    );

    let debian = format!("Debian's rust-src {release}");
    if offline {
        note(
            &debian,
            "not tried, because no network is to be used".to_owned(),
        );
    } else {
        progress(Progress::Seeking(debian.clone()));
        match debian::fetch_rust_src(machine, &release, cache, progress) {
            Ok(library) => {
                memo.keep(cache, &library);
                return Ok(Std::Source(library));
            }
            Err(error) => note(&debian, chain(&error)),
        }
    }
    Err(ToolchainError::Exhausted {
        release,
        sysroot: places.sysroot,
        attempts,
    })
}

/// Whether `folder` holds the sources of the standard library.
pub(crate) fn is_library(folder: &Path) -> bool {
    folder.join("Cargo.lock").is_file() && folder.join("std/Cargo.toml").is_file()
}

const ASKING: Duration = Duration::from_secs(60);
/// rustup's own patience is three tries of half a minute each for a connection.
const ADDING: Duration = Duration::from_secs(180);

struct Places {
    sysroot: PathBuf,
    target_libdir: PathBuf,
}

impl Places {
    fn ask(machine: &Machine, folder: &Path) -> Result<Self, ToolchainError> {
        let mut rustc = machine.command("rustc");
        rustc.current_dir(folder).args([
            "--print",
            "sysroot",
            "--print",
            "target-libdir",
            "--target",
            TARGET,
        ]);
        let said = output_of(&mut rustc, ASKING).map_err(ToolchainError::Rustc)?;
        let mut lines = said.lines().map(PathBuf::from);
        let sysroot = lines.next().unwrap_or_default();
        Ok(Self {
            sysroot,
            target_libdir: lines.next().unwrap_or_default(),
        })
    }

    fn has_target(&self) -> bool {
        let entries = std::fs::read_dir(&self.target_libdir)
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.file_name()).any(|name| {
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }
}

fn release(machine: &Machine, folder: &Path) -> Result<String, ToolchainError> {
    let mut rustc = machine.command("rustc");
    let said =
        output_of(rustc.current_dir(folder).arg("-vV"), ASKING).map_err(ToolchainError::Rustc)?;
    let release = said.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.unwrap_or_default().trim().to_owned())
}

fn add_target(
    machine: &Machine,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RunError> {
    let mut rustup = machine.command("rustup");
    rustup.current_dir(folder).args(["target", "add", TARGET]);
    let mut said = Vec::new();
    let status = run(
        &mut rustup,
        ADDING,
        |(Line::Out(line) | Line::Err(line))| {
            progress(Progress::Said(line.clone()));
            said.push(line);
        },
    )?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(&rustup, status, &said))
    }
}

/// Which sources served a toolchain, so that the next build does not knock on every door again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Memo {
    sysroot: PathBuf,
    release: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    toolchain: Memo,
    library: PathBuf,
}

impl Memo {
    const FILE: &str = "standard-library.json";

    fn recall(&self, cache: &Path) -> Option<PathBuf> {
        let kept: Kept =
            serde_json::from_slice(&std::fs::read(cache.join(Self::FILE)).ok()?).ok()?;
        (kept.toolchain == *self && is_library(&kept.library)).then_some(kept.library)
    }

    /// A memo that cannot be kept costs the next build some seconds and nothing else.
    fn keep(&self, cache: &Path, library: &Path) {
        let kept = Kept {
            toolchain: self.clone(),
            library: library.to_owned(),
        };
        if let Ok(text) = serde_json::to_vec(&kept) {
            let _unkept = std::fs::write(cache.join(Self::FILE), text);
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn listed(attempts: &[Attempt]) -> String {
    attempts
        .iter()
        .enumerate()
        .map(|(at, attempt)| format!("\n  {}. {attempt}", at + 1))
        .collect()
}

#[cfg(test)]
mod tests;
