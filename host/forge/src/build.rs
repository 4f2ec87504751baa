//! From folders to components, one by one: a cargo invocation and a wrapping, or the tools of another language. Built
//! together, plugins would share the features of their dependencies, and a component's digest would depend on its
//! neighbours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::Deserialize;

use crate::cargo::{build_command, compile};
use crate::lang::{self, MakeError, Making};
use crate::machine::Machine;
use crate::run::{RunError, indented, output_of};
use crate::toolbox::Toolbox;
use crate::toolchain::{self, ToolchainError};
use crate::wrap::{WrapError, wrap_file};
use crate::{Lang, Manifest, ManifestError, Progress};

/// How to build.
pub struct Options<'a> {
    /// Where cargo and this crate keep what they make; `None` is the workspace's own target folder.
    pub target_dir: Option<PathBuf>,
    /// The cargo profile; `plugin` is the nephron workspace's own for this.
    pub profile: String,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Called with each step, on the calling thread.
    pub progress: &'a mut dyn FnMut(Progress),
    pub(crate) machine: Machine,
}

impl<'a> Options<'a> {
    /// The profile `plugin`, the workspace's own target folder, network allowed.
    pub fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            target_dir: None,
            profile: "plugin".to_owned(),
            offline: false,
            progress,
            machine: Machine::default(),
        }
    }
}

/// A plugin that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name, from its manifest.
    pub name: String,
    /// Its world, from its manifest. Nothing here has held the component to it.
    pub world: String,
    /// Its version, from its manifest or its `Cargo.toml`.
    pub version: String,
    /// Its source folder, as it was given.
    pub folder: PathBuf,
    /// The component's file, an absolute path: `plugins/<name>.component.wasm` in the target folder.
    pub component: PathBuf,
    /// The component's SHA-256.
    pub digest: [u8; 32],
}

/// Plugins that could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A `plugin.toml` is missing or wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Two folders would make the same component.
    #[error("`{}` and `{}` are both named `{name}`; rename one in its plugin.toml", first.display(), second.display())]
    SameName {
        /// The name.
        name: String,
        /// A folder that has it.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// Cargo cannot read a folder's package.
    #[error("cargo cannot read the package in `{}`", folder.display())]
    Package {
        /// The folder.
        folder: PathBuf,
        /// What cargo said.
        #[source]
        source: RunError,
    },
    /// The folder's `Cargo.toml` is no package of the workspace that it belongs to.
    #[error("`{}/Cargo.toml` is no package; it needs `[package]` and a place in its workspace's members", folder.display())]
    NoPackage {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no standard library to compile against.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Cargo could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The compiler or cargo refused.
    #[error(
        "compiling `{name}` failed ({status}){}{}",
        indented(said),
        remedy(said)
    )]
    Compile {
        /// The plugin.
        name: String,
        /// How cargo ended.
        status: ExitStatus,
        /// The compiler's errors, then cargo's last lines.
        said: Vec<String>,
    },
    /// The package made no module.
    #[error(
        "`{name}` made no Wasm module; its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`"
    )]
    NoModule {
        /// The plugin.
        name: String,
    },
    /// The module cannot become a component.
    #[error("cannot make `{name}` a component")]
    Wrap {
        /// The plugin.
        name: String,
        /// Why.
        #[source]
        source: WrapError,
    },
    /// A plugin in another language than Rust.
    #[error("cannot make `{name}`")]
    Make {
        /// The plugin.
        name: String,
        /// Why.
        #[source]
        source: Box<MakeError>,
    },
    /// A folder of ours cannot be made or locked.
    #[error("cannot use `{}`", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Builds the plugins in `folders` and gives them in that order.
///
/// One build at a time works in a target folder; another process waits. When nothing has changed, nothing is
/// written and no progress is reported.
///
/// # Errors
/// [`BuildError`], of the first that cannot be built. Those before it in its workspace are built; its own component from before, and
/// those behind it, stay as they were.
pub fn build(folders: &[PathBuf], options: &mut Options<'_>) -> Result<Vec<Built>, BuildError> {
    let mut manifests: Vec<(Manifest, &Path)> = Vec::new();
    for folder in folders {
        let manifest = Manifest::read(folder)?;
        if let Some((same, first)) = manifests
            .iter()
            .find(|(other, _)| other.name == manifest.name)
        {
            let (first, second) = ((*first).to_owned(), folder.clone());
            return Err(BuildError::SameName {
                name: same.name.clone(),
                first,
                second,
            });
        }
        manifests.push((manifest, folder));
    }

    let mut built = BTreeMap::new();
    let mut workspaces: Vec<Workspace> = Vec::new();
    let mut sources: BTreeMap<PathBuf, Vec<Source<'_>>> = BTreeMap::new();
    for (at, (manifest, folder)) in manifests.iter().enumerate() {
        if manifest.lang != Lang::Rust {
            built.insert(at, build_alone(manifest, folder, options)?);
            continue;
        }
        let package = match workspaces
            .iter()
            .find_map(|workspace| workspace.package_in(folder))
        {
            Some(package) => package,
            None => {
                let workspace = Workspace::ask(&options.machine, folder)?;
                let package = workspace.package_in(folder);
                workspaces.push(workspace);
                package.ok_or_else(|| BuildError::NoPackage {
                    folder: (*folder).to_owned(),
                })?
            }
        };
        let source = Source {
            at,
            manifest,
            folder,
            id: package.id,
            version: package.version,
        };
        sources
            .entry(package.workspace_root)
            .or_default()
            .push(source);
    }

    for workspace in workspaces {
        if let Some(sources) = sources.remove(&workspace.workspace_root) {
            built.extend(workspace.build(&sources, options)?);
        }
    }
    Ok(built.into_values().collect())
}

/// Makes one plugin with the tool of its language.
fn build_alone(
    manifest: &Manifest,
    folder: &Path,
    options: &mut Options<'_>,
) -> Result<Built, BuildError> {
    let target = match &options.target_dir {
        Some(target) => target.clone(),
        None => lang::target_of(folder),
    };
    let target = std::path::absolute(&target).unwrap_or(target);
    let components = target.join("plugins");
    let _lock = lock(&components, options.progress)?;
    let name = manifest.name.clone();
    let component = components.join(format!("{name}.component.wasm"));
    let making = Making {
        manifest,
        folder: &std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
        work: &components.join(format!("{name}.work")),
        component: &component,
        toolbox: &Toolbox {
            machine: &options.machine,
            folder: target.join("toolchains"),
            offline: options.offline,
        },
    };
    let digest = making
        .make(options.progress)
        .map_err(|source| BuildError::Make {
            name: name.clone(),
            source: Box::new(source),
        })?;
    Ok(Built {
        name,
        world: manifest.world.clone(),
        version: manifest.version.clone().unwrap_or_default(),
        folder: folder.to_owned(),
        component,
        digest,
    })
}

/// Asking cargo about a package reads manifests only.
const ASKING: Duration = Duration::from_secs(120);

/// A plugin to be built: its place in what was asked for, and cargo's name for its package.
struct Source<'a> {
    at: usize,
    manifest: &'a Manifest,
    folder: &'a Path,
    id: String,
    version: String,
}

/// What `cargo metadata` says.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    version: String,
    manifest_path: PathBuf,
}

/// A package with its workspace: its id is a full one, for a plugin may bear the name of one of its dependencies.
struct Located {
    id: String,
    version: String,
    workspace_root: PathBuf,
}

impl Workspace {
    fn ask(machine: &Machine, folder: &Path) -> Result<Self, BuildError> {
        let mut cargo = machine.command("cargo");
        cargo.args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--manifest-path",
        ]);
        let said = output_of(cargo.arg(folder.join("Cargo.toml")), ASKING);
        let said = said.map_err(|source| BuildError::Package {
            folder: folder.to_owned(),
            source,
        })?;
        serde_json::from_str(&said).map_err(|_| BuildError::NoPackage {
            folder: folder.to_owned(),
        })
    }

    fn package_in(&self, folder: &Path) -> Option<Located> {
        let manifest = folder.join("Cargo.toml").canonicalize().ok()?;
        let is_here = |package: &&Package| {
            package
                .manifest_path
                .canonicalize()
                .is_ok_and(|path| path == manifest)
        };
        let package = self.packages.iter().find(is_here)?;
        let (id, version) = (package.id.clone(), package.version.clone());
        Some(Located {
            id,
            version,
            workspace_root: self.workspace_root.clone(),
        })
    }

    fn build(
        self,
        sources: &[Source<'_>],
        options: &mut Options<'_>,
    ) -> Result<Vec<(usize, Built)>, BuildError> {
        let target = options
            .target_dir
            .clone()
            .unwrap_or_else(|| self.target_directory.clone());
        let target = std::path::absolute(&target).unwrap_or(target);
        let components = target.join("plugins");
        let _lock = lock(&components, options.progress)?;

        let root = &self.workspace_root;
        let std = toolchain::prepare(
            &options.machine,
            root,
            &components,
            options.offline,
            options.progress,
        )?;
        let mut built = Vec::new();
        let all: Vec<&str> = sources.iter().map(|source| source.id.as_str()).collect();
        for source in sources {
            let name = &source.manifest.name;
            let mut cargo = build_command(&options.machine, root, &target, &std);
            cargo
                .args(["--profile", &options.profile])
                .arg("--target-dir")
                .arg(&target)
                .args(["--package", &source.id]);
            if options.offline {
                cargo.arg("--offline");
            }
            let outcome = compile(&mut cargo, &source.id, &all, options.progress)?;
            if !outcome.status.success() {
                return Err(BuildError::Compile {
                    name: name.clone(),
                    status: outcome.status,
                    said: outcome.said,
                });
            }
            let module = outcome
                .module
                .ok_or_else(|| BuildError::NoModule { name: name.clone() })?;
            let component = components.join(format!("{name}.component.wasm"));
            let digest = wrap_file(&module, &component, || {
                (options.progress)(Progress::Wrapping(name.clone()))
            })
            .map_err(|source| BuildError::Wrap {
                name: name.clone(),
                source,
            })?;
            let (name, world) = (name.clone(), source.manifest.world.clone());
            let (version, folder) = (source.version.clone(), source.folder.to_owned());
            built.push((
                source.at,
                Built {
                    name,
                    world,
                    version,
                    folder,
                    component,
                    digest,
                },
            ));
        }
        Ok(built)
    }
}

/// Holds the folder against other processes until the file is dropped.
fn lock(folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<File, BuildError> {
    let path = folder.join(".lock");
    let locked = std::fs::create_dir_all(folder).and_then(|()| {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        if file.try_lock().is_err() {
            progress(Progress::Waiting);
            file.lock()?;
        }
        Ok(file)
    });
    locked.map_err(|source| BuildError::Files { path, source })
}

fn remedy(said: &[String]) -> &'static str {
    if said
        .iter()
        .any(|line| line.contains("because --locked was passed"))
    {
        "\nCargo.lock is behind the manifests; run `cargo metadata --format-version=1` there once to update it"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
