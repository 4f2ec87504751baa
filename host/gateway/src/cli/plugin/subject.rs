//! What `test`, `run` and `bench` are about: a project, which is built first, or a component.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nephron_engine::Limits;
use nephron_engine::compile::Compiler;
use nephron_engine::vet::{self, Grants, Vetted};
use serde_json::Value;

use super::build::component_of;
use crate::cli::Failure;
use crate::conformance::{Case, every};

/// Which plugin, and how it is loaded.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub(in crate::cli) struct Args {
    /// A project, which is built first, or a component
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    plugin: PathBuf,
    #[command(flatten)]
    pub(super) how: How,
}

/// How a plugin is built and loaded.
#[derive(clap::Args, Clone)]
pub(super) struct How {
    /// Its settings, a JSON file; a project's own are in `settings.json`
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Folder of cases; a project's own is `cases`
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,
    /// Stand in for WASI with what grants nothing, as `grant.null-wasi` does
    #[arg(long)]
    null_wasi: bool,
    /// Where a project is built, instead of its own target folder
    #[arg(long, value_name = "FOLDER")]
    target_dir: Option<PathBuf>,
    /// Build without the network
    #[arg(long)]
    offline: bool,
}

/// A plugin that was vetted, with its settings and cases. Nothing of it has run.
pub(in crate::cli) struct Subject {
    pub(super) name: String,
    /// Its file.
    pub(super) component: PathBuf,
    pub(super) vetted: Vetted,
    pub(super) settings: Option<Value>,
    pub(super) cases: Vec<Case>,
    /// How long building took, if it was built.
    pub(super) built_in: Option<Duration>,
}

impl Args {
    pub(in crate::cli) async fn open(&self) -> Result<Subject, Failure> {
        self.how.open(&self.plugin).await
    }

    /// What one call is asked: a JSON file.
    pub(super) fn input(&self, path: &Path) -> Result<Value, Failure> {
        let cases = self.how.cases_of(&self.plugin).unwrap_or_default();
        let named = std::fs::read_dir(&cases).into_iter().flatten().flatten();
        let mut named: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
        named.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        named.sort();
        if path.exists() || named.is_empty() {
            return read_json(path);
        }
        let named: Vec<String> = named
            .iter()
            .map(|path| format!("\n  {}", path.display()))
            .collect();
        let (path, named) = (path.display(), named.concat());
        Err(anyhow::anyhow!("`{path}` is not there; of the project's cases, one of{named}").into())
    }

    /// The project's folder, as the file system names it.
    pub(in crate::cli) fn folder(&self) -> anyhow::Result<PathBuf> {
        let plugin = self.plugin.display();
        anyhow::ensure!(
            self.plugin.is_dir(),
            "`{plugin}` is no folder; name the folder of a project"
        );
        let folder = self.plugin.canonicalize();
        folder.with_context(|| format!("`{plugin}` cannot be found"))
    }
}

impl How {
    fn cases_of(&self, plugin: &Path) -> Option<PathBuf> {
        self.cases.clone().or_else(|| own_of(plugin, "cases"))
    }

    /// Builds and vets. Its cases are those of every plugin of its world, then its own.
    pub(super) async fn open(&self, plugin: &Path) -> Result<Subject, Failure> {
        let is_project = plugin.is_dir();
        let begun = Instant::now();
        let component = if is_project {
            component_of(plugin, self.target_dir.clone(), self.offline).await?
        } else {
            plugin.to_owned()
        };
        let built_in = is_project.then(|| begun.elapsed());
        let limits = Limits::default();
        let grants = Grants {
            keys: true,
            null_wasi: self.null_wasi,
        };
        let vetted = vet::read(&component, &limits)
            .and_then(|bytes| vet::vet(bytes, None, None, grants, &limits));
        let vetted = vetted.map_err(|refusal| {
            let about = format!("`{}` is refused", component.display());
            Failure::check(anyhow::Error::new(refusal).context(about))
        })?;
        let mut cases = every(vetted.world()).context("the cases of every plugin")?;
        if let Some(folder) = self.cases_of(plugin) {
            cases.extend(Case::all_in(&folder).map_err(|fault| Failure::check(fault.into()))?);
        }
        let settings = self
            .settings
            .clone()
            .or_else(|| own_of(plugin, "settings.json").filter(|file| file.is_file()));
        Ok(Subject {
            name: name_of(&component),
            component,
            vetted,
            settings: settings.as_deref().map(read_json).transpose()?,
            cases,
            built_in,
        })
    }
}

/// What is called `name` in the project that `plugin` is.
fn own_of(plugin: &Path, name: &str) -> Option<PathBuf> {
    plugin.is_dir().then(|| plugin.join(name))
}

/// The name of a component's file, without what every such file has.
fn name_of(component: &Path) -> String {
    let name = component.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".wasm").unwrap_or(&name);
    name.strip_suffix(".component").unwrap_or(name).to_owned()
}

pub(super) fn read_json(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    let parsed = serde_json::from_str(&text);
    parsed.map_err(|error| {
        let about = format!("`{}` is no JSON", path.display());
        Failure::check(anyhow::Error::new(error).context(about))
    })
}

/// This very program, as a gateway has components compiled.
pub(super) fn compiler() -> anyhow::Result<Compiler> {
    let program = std::env::current_exe().context("this program cannot find its own file")?;
    Ok(Compiler::Process {
        program,
        arguments: vec!["compile-worker".to_owned()],
    })
}
