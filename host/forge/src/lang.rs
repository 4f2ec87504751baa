//! Plugins in other languages than Rust: from a source folder to a component, by the tool that the language has.
//!
//! A project holds `plugin.py`, `plugin.js`, `plugin.ts` or `plugin.c`, and in `sdk` the SDK of its language, whose `wit`
//! is the contract it is built against. One file for each tool: `python.rs`, `script.rs`, `c.rs`.

mod c;
mod python;
mod script;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasm_metadata::{AddMetadata, AddMetadataField, Version};

use crate::fuse::{FuseError, fuse};
use crate::run::{Line, RunError, indented, run};
use crate::seal::SealError;
use crate::toolbox::{ToolError, Toolbox};
use crate::workspace::is_checkout;
use crate::wrap::{WrapError, replace, sha256};
use crate::{Lang, Manifest, Progress};

/// A plugin that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// Its source is not there.
    #[error("`{}` is missing: a plugin in {} has its source there", path.display(), lang.name())]
    NoSource {
        /// Where it would be.
        path: PathBuf,
        /// The language.
        lang: Lang,
    },
    /// It has no SDK.
    #[error(
        "`{}` is missing: a project holds the SDK of its language, with the contract in `sdk/wit` \
         (`nephron plugin new` lays it there)", path.display()
    )]
    NoSdk {
        /// Where it would be.
        path: PathBuf,
    },
    /// The language's tool is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The tool could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tool refused the source.
    #[error("{tool} refuses it ({status}){}", indented(said))]
    Refused {
        /// The tool.
        tool: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: Vec<String>,
    },
    /// The contract in `sdk/wit` has no such world, or none can be read.
    #[error("the contract in `{}` cannot be used: {why}", path.display())]
    Contract {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What the tool made cannot be a plugin.
    #[error("what {tool} made cannot be sealed")]
    Seal {
        /// The tool.
        tool: &'static str,
        /// Why.
        #[source]
        source: SealError,
    },
    /// What the tool made cannot become one module.
    #[error("what {tool} made cannot become one module")]
    Fuse {
        /// The tool.
        tool: &'static str,
        /// Why.
        #[source]
        source: FuseError,
    },
    /// What the tool made cannot say what it is.
    #[error("what {tool} made cannot be given its name: {why}")]
    Describe {
        /// The tool.
        tool: &'static str,
        /// Why.
        why: String,
    },
    /// The module cannot become a component.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// A file cannot be read or written.
    #[error("cannot read or write `{}`", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where a project is built if nobody says where: as cargo is told, else in the checkout that it lies in, else in itself.
pub(crate) fn target_of(folder: &Path) -> PathBuf {
    if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(target);
    }
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let checkout = whole.ancestors().find(|folder| is_checkout(folder));
    checkout.unwrap_or(folder).join("target")
}

/// One plugin that is to be made.
pub(crate) struct Making<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) folder: &'a Path,
    /// For what stands between source and component. Only this build uses it.
    pub(crate) work: &'a Path,
    pub(crate) component: &'a Path,
    pub(crate) toolbox: &'a Toolbox<'a>,
}

/// Raised when the same sources would make another component: another tool, or other work on what it makes.
const RECIPE: u32 = 5;

/// What a component was made of.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    recipe: u32,
    sources: [u8; 32],
    component: [u8; 32],
}

impl Making<'_> {
    /// Makes the component, unless it is there and nothing has changed. Gives its SHA-256.
    pub(crate) fn make(&self, progress: &mut dyn FnMut(Progress)) -> Result<[u8; 32], MakeError> {
        let source = self.source();
        if !source.is_file() {
            return Err(MakeError::NoSource {
                path: source,
                lang: self.manifest.lang,
            });
        }
        let wit = self.wit();
        if !wit.is_dir() {
            return Err(MakeError::NoSdk { path: wit });
        }
        let stamp_path = self.component.with_extension("stamp");
        let sources = self.sources()?;
        let stamp = |component| Stamp {
            recipe: RECIPE,
            sources,
            component,
        };
        let last = std::fs::read(&stamp_path).unwrap_or_default();
        if let (Ok(last), Ok(made)) = (
            serde_json::from_slice::<Stamp>(&last),
            std::fs::read(self.component),
        ) {
            let digest = sha256(&made);
            if last == stamp(digest) {
                return Ok(digest);
            }
        }
        self.clear()?;
        std::fs::create_dir_all(self.work).map_err(files(self.work))?;
        let made = match self.manifest.lang {
            Lang::Python => self.python(progress)?,
            Lang::Js | Lang::Ts => self.script(progress)?,
            Lang::C => self.c(progress)?,
            Lang::Rust => {
                return Err(MakeError::NoSource {
                    path: source,
                    lang: Lang::Rust,
                });
            }
        };
        let made = self.described(&made)?;
        let digest = sha256(&made);
        replace(self.component, &made)?;
        let text = serde_json::to_vec(&stamp(digest)).unwrap_or_default();
        replace(&stamp_path, &text)?;
        self.clear()?;
        Ok(digest)
    }

    /// The plugin's own file.
    fn source(&self) -> PathBuf {
        self.folder.join(match self.manifest.lang {
            Lang::Rust => "src/lib.rs",
            Lang::Python => "plugin.py",
            Lang::Js => "plugin.js",
            Lang::Ts => "plugin.ts",
            Lang::C => "plugin.c",
        })
    }

    fn sdk(&self) -> PathBuf {
        self.folder.join("sdk")
    }

    fn wit(&self) -> PathBuf {
        self.sdk().join("wit")
    }

    /// The contract cannot be used.
    fn unusable(&self, error: &anyhow::Error) -> MakeError {
        MakeError::Contract {
            path: self.wit(),
            why: format!("{error:#}"),
        }
    }

    /// Runs a tool in the folder for what is between.
    fn run(&self, tool: &'static str, command: &mut Command) -> Result<(), MakeError> {
        let mut said = Vec::new();
        command.current_dir(self.work);
        let status = run(command, MAKING, |(Line::Out(line) | Line::Err(line))| {
            said.push(line);
        })?;
        if status.success() {
            return Ok(());
        }
        said.retain(|line| !line.trim().is_empty());
        let from = said.len().saturating_sub(SHOWN);
        let said = said.split_off(from);
        Err(MakeError::Refused { tool, status, said })
    }

    /// What a tool has written.
    fn made(&self, name: &str) -> Result<Vec<u8>, MakeError> {
        let path = self.work.join(name);
        std::fs::read(&path).map_err(files(&path))
    }

    /// `component`, whose modules `tool` linked to one another, with one in their place.
    fn fused(&self, tool: &'static str, component: &[u8]) -> Result<Vec<u8>, MakeError> {
        fuse(component).map_err(|source| MakeError::Fuse { tool, source })
    }

    /// `component` with what it is called and what it was made of, for whoever inspects it.
    fn described(&self, component: &[u8]) -> Result<Vec<u8>, MakeError> {
        let (lang, tool) = match self.manifest.lang {
            Lang::Rust => return Ok(component.to_vec()),
            Lang::Python => ("Python", python::TOOL),
            Lang::Js => ("JavaScript", script::TOOL),
            Lang::Ts => ("TypeScript", script::TOOL),
            Lang::C => ("C", c::TOOL),
        };
        let unfit = |error: anyhow::Error| MakeError::Describe {
            tool: tool.name,
            why: format!("{error:#}"),
        };
        let mut said = AddMetadata::default();
        said.name = AddMetadataField::Set(self.manifest.name.clone());
        if let Some(version) = &self.manifest.version {
            said.version = AddMetadataField::Set(Version::new(version.clone()));
        }
        said.language.push((lang.to_owned(), String::new()));
        said.processed_by
            .push((tool.name.to_owned(), tool.version.to_owned()));
        said.to_wasm(component).map_err(unfit)
    }

    fn clear(&self) -> Result<(), MakeError> {
        match std::fs::remove_dir_all(self.work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files(self.work)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A digest of everything in the project that could be part of the plugin.
    fn sources(&self) -> Result<[u8; 32], MakeError> {
        let mut digest = Sha256::new();
        let mut open = vec![self.folder.to_owned()];
        while let Some(path) = open.pop() {
            let name = path.strip_prefix(self.folder).unwrap_or(&path);
            digest.update(name.as_os_str().as_encoded_bytes());
            if path.is_dir() {
                let entries = std::fs::read_dir(&path)
                    .and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
                let entries = entries.map_err(files(&path))?;
                let mut inside: Vec<PathBuf> = entries
                    .into_iter()
                    .filter(|entry| is_source(&entry.file_name()))
                    .map(|entry| entry.path())
                    .collect();
                inside.sort();
                open.extend(inside);
            } else {
                digest.update(sha256(&std::fs::read(&path).map_err(files(&path))?));
            }
        }
        Ok(digest.finalize().into())
    }
}

/// Whether what is called that may be part of a plugin. Cases and settings are read when it runs.
fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let others = [
        "target",
        "cases",
        "settings.json",
        "__pycache__",
        "README.md",
    ];
    !name.starts_with('.') && !others.contains(&&*name)
}

/// Longer than any tool takes, shorter than for ever.
const MAKING: Duration = Duration::from_secs(1_800);
/// Lines of what a tool said.
const SHOWN: usize = 40;

fn files(path: &Path) -> impl FnOnce(io::Error) -> MakeError {
    let path = path.to_owned();
    move |source| MakeError::Files { path, source }
}
