//! Conformance cases: what a plugin must make of an input, in no programming language (`tests/conformance/README.md`).
//!
//! [`Suite`] reads cases and has a plugin answer them through the sandbox; `nephron plugin test` and the tests of this repository
//! run the same code. A case is of a [`World`], and one file a kind of plugin says how it is checked.

mod asking;
mod connector;
mod decider;
mod detector;
mod every;
mod expected;
mod exporter;
mod http;
mod lending;
mod transformer;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nephron_engine::compile::Compiler;
use nephron_engine::vet::{Vetted, World};
use nephron_engine::{Engine, Judgement, Limits, LoadError, Plugin, Said};
use nephron_model::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

use asking::Asking;
pub use every::every;
pub(crate) use lending::Lender;

/// How a plugin fared in one case.
#[derive(Debug)]
pub struct Outcome {
    /// The case's file without its ending; those that every plugin of a world must keep begin with `every/`.
    pub name: String,
    /// SHA-256 of the case, byte for byte as its file has it.
    pub case: Digest,
    /// SHA-256 of the settings (JSON) under which it was asked.
    pub settings: Digest,
    /// What the case says that it is.
    pub description: String,
    /// What is not as the case says; nothing where all is.
    pub fault: Option<String>,
    /// What the plugin said of itself in the last call, if something is not as the case says.
    pub said: Vec<Said>,
    /// Calls made.
    pub calls: u64,
    /// Fuel of all calls together: the same in every run.
    pub fuel: u64,
    /// Time of all calls together.
    pub elapsed: Duration,
}

/// One case, as it was read.
#[derive(Clone)]
pub struct Case {
    name: String,
    place: String,
    /// Of its text.
    digest: Digest,
    description: String,
    settings: Option<Value>,
    /// What is of its world alone.
    rest: Map<String, Value>,
}

/// Cases that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A folder or file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no JSON object with a `description`.
    #[error("{place}: {source}; docs/conformance.md says what a case holds")]
    Form {
        /// The file.
        place: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Case {
    /// Every case in `folder`: its files that end in `.json`, by name. Without the folder there are none.
    ///
    /// # Errors
    /// [`CaseError`].
    pub fn all_in(folder: &Path) -> Result<Vec<Self>, CaseError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| CaseError::Read { path, source }
        };
        let items = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            items => items.map_err(unreadable(folder))?,
        };
        let mut paths = Vec::new();
        for item in items {
            let path = item.map_err(unreadable(folder))?.path();
            paths.extend((path.extension() == Some("json".as_ref())).then_some(path));
        }
        paths.sort();
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Self::parse(&name, &path.display().to_string(), &text)
        };
        paths.into_iter().map(read).collect()
    }

    /// Parses one; errors name `place`.
    ///
    /// # Errors
    /// [`CaseError::Form`].
    pub fn parse(name: &str, place: &str, text: &str) -> Result<Self, CaseError> {
        #[derive(Deserialize)]
        struct Whole {
            description: String,
            settings: Option<Value>,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        let Whole {
            description,
            settings,
            rest,
        } = serde_json::from_str(text).map_err(|source| CaseError::Form {
            place: place.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            place: place.to_owned(),
            digest: Digest::of(text.as_bytes()),
            description,
            settings,
            rest,
        })
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it asks of a plugin of `world`, whatever it expects: one question, or as many as it has inputs.
    ///
    /// # Errors
    /// What is wrong with the case.
    pub fn questions(&self, world: World) -> Result<Vec<Judgement>, String> {
        match world {
            World::AccessPolicy => decider::questions(self),
            World::Deidentifier => detector::questions(self),
            World::KeyedDeidentifier => transformer::questions(self),
            World::LlmConnector | World::SigningLlmConnector => connector::questions(self),
            World::AuditExporter | World::SigningAuditExporter | World::ConfirmingAuditExporter => {
                exporter::questions(self)
            }
        }
    }

    /// Whether it is one of those that every plugin of a world keeps.
    pub(crate) fn is_every_plugins(&self) -> bool {
        self.name.starts_with("every/")
    }

    /// Whether it is an exchange that was recorded: what went, or what came and what that means.
    pub(crate) fn is_recorded_exchange(&self) -> bool {
        let has = |field| self.rest.contains_key(field);
        has("call") && has("request") || has("response") && has("events")
    }

    /// What is of its world, in the form of that world.
    fn read<C: serde::de::DeserializeOwned>(&self) -> Result<C, String> {
        let rest = Value::Object(self.rest.clone());
        serde_json::from_value(rest).map_err(|error| format!("the case itself is faulty: {error}"))
    }
}

/// A component and the cases that it is to keep.
pub struct Suite<'a> {
    /// The sandbox.
    pub engine: &'a Engine,
    /// The component.
    pub vetted: &'a Vetted,
    /// What one call may use.
    pub limits: &'a Limits,
    /// Where it is compiled.
    pub compiler: &'a Compiler,
    /// Settings of cases that have none of their own.
    pub settings: Option<Value>,
}

impl Suite<'_> {
    /// Has the component answer `cases` in their order, and gives `each` outcome as it comes.
    ///
    /// Cases with equal settings share one configured plugin. A case without settings has the suite's, else `{}`; those of every
    /// plugin have the first case's if every case of its own has some.
    ///
    /// # Errors
    /// [`LoadError`] when the component takes the settings of a case not at all.
    pub async fn run(
        &self,
        cases: &[Case],
        mut each: impl FnMut(Outcome),
    ) -> Result<(), LoadError> {
        // Without the suite's settings, the cases of every plugin need some that the plugin takes.
        let mut own = cases.iter().filter(|case| !case.is_every_plugins());
        let is_plain = own.clone().any(|case| case.settings.is_none());
        let donor = own.next().filter(|_| !is_plain && self.settings.is_none());
        let mut loaded: BTreeMap<String, Plugin> = BTreeMap::new();
        for case in cases {
            let donor = donor.filter(|_| case.is_every_plugins());
            let settings = self.settings_of(donor.unwrap_or(case));
            if !loaded.contains_key(&settings) {
                let plugin = self.load(&settings).await?;
                loaded.insert(settings.clone(), plugin);
            }
            if let Some(plugin) = loaded.get(&settings) {
                each(check(self.engine, plugin, case).await);
            }
        }
        Ok(())
    }

    /// Has a connector keep what no recorded exchange can show, under each case of its own.
    ///
    /// # Errors
    /// [`LoadError`], as for [`Self::run`].
    pub async fn certify(
        &self,
        cases: &[Case],
        mut each: impl FnMut(Outcome),
    ) -> Result<(), LoadError> {
        let own = || cases.iter().filter(|case| !case.is_every_plugins());
        let declared = connector::Declared::of(own());
        let mut loaded: BTreeMap<String, Plugin> = BTreeMap::new();
        for case in own() {
            let settings = self.settings_of(case);
            if !loaded.contains_key(&settings) {
                let plugin = self.load(&settings).await?;
                loaded.insert(settings.clone(), plugin);
            }
            let Some(plugin) = loaded.get(&settings) else {
                continue;
            };
            let mut asking = Asking::new(self.engine, plugin);
            let checked = connector::certify(&mut asking, case, &declared).await;
            let name = format!("certify/{}", case.name);
            each(asking.outcome(case, name, CERTIFIED, checked));
        }
        Ok(())
    }

    /// The settings (JSON) of one case: its own, else the suite's, else `{}`.
    #[must_use]
    pub fn settings_of(&self, case: &Case) -> String {
        let own = case.settings.as_ref().or(self.settings.as_ref());
        own.map_or_else(|| "{}".to_owned(), Value::to_string)
    }

    /// Configures the component with settings (JSON).
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, settings: &str) -> Result<Plugin, LoadError> {
        let (limits, compiler) = (self.limits, self.compiler);
        let name = self.vetted.world().name();
        let load = self
            .engine
            .load(name, self.vetted, settings, limits, compiler, None);
        load.await
    }
}

/// What a connector keeps beside its cases.
const CERTIFIED: &str = "Without surprises: any cut of a response gives the same, nothing of the input is in errors, paths and credentials are those of the cases, what comes out is bounded, and a signature adds only itself.";

/// Has a configured plugin answer one case.
pub(crate) async fn check(engine: &Engine, plugin: &Plugin, case: &Case) -> Outcome {
    let mut asking = Asking::new(engine, plugin);
    let checked = match plugin.world() {
        World::AccessPolicy => decider::check(&mut asking, case).await,
        World::Deidentifier => detector::check(&mut asking, case).await,
        World::KeyedDeidentifier => transformer::check(&mut asking, case).await,
        World::LlmConnector | World::SigningLlmConnector => {
            connector::check(&mut asking, case).await
        }
        World::AuditExporter | World::SigningAuditExporter | World::ConfirmingAuditExporter => {
            exporter::check(&mut asking, case).await
        }
    };
    asking.outcome(case, case.name.clone(), &case.description, checked)
}

/// What was expected beside what was found, if they differ.
fn same<T: PartialEq + serde::Serialize>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
    let (found, expected) = (text(found), text(expected));
    Err(format!("{what}: expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests;
