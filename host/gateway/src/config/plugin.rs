//! `[[plugin]]`: a component, what it is set to, what it may use and what it was granted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nephron_engine::Limits;
use nephron_engine::vet::{Grants, World};
use nephron_model::Digest;
use nephron_registry::Reference;

use super::reader::{Table, Value};
use super::settings;

/// A plugin as the operator configured it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The operator's name for it, which stands in log entries and which other parts of the configuration use.
    pub name: String,
    /// What it does.
    pub kind: PluginKind,
    /// Where it is.
    pub component: Component,
    /// The component's digest, if the operator pins it.
    pub digest: Option<Digest>,
    /// Where the statements of those who vouch for it are, if not beside the component.
    pub statements: Option<PathBuf>,
    /// What it is configured with: a JSON object.
    pub settings: serde_json::Value,
    /// The files that some of the settings are read from.
    pub settings_files: Vec<PathBuf>,
    /// Conformance cases that it must keep to be staged: a folder.
    pub cases: Option<PathBuf>,
    /// What a call of it may use.
    pub limits: Limits,
    /// What it was granted beyond its world's vocabulary.
    pub grants: Grants,
}

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// Permits or denies.
    Decider,
    /// Finds identifiers.
    Detector,
    /// Finds identifiers and writes what stands for them, with a lent key.
    Transformer,
    /// Speaks to a model.
    Connector,
    /// Ships log entries.
    Exporter,
}

impl PluginKind {
    pub(super) const WORDS: [(&str, Self); 5] = [
        ("decider", Self::Decider),
        ("detector", Self::Detector),
        ("transformer", Self::Transformer),
        ("connector", Self::Connector),
        ("exporter", Self::Exporter),
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decider => "decider",
            Self::Detector => "detector",
            Self::Transformer => "transformer",
            Self::Connector => "connector",
            Self::Exporter => "exporter",
        }
    }

    /// The world that its component must be built against.
    #[must_use]
    pub const fn world(self) -> World {
        match self {
            Self::Decider => World::AccessPolicy,
            Self::Detector => World::Deidentifier,
            Self::Transformer => World::KeyedDeidentifier,
            Self::Connector => World::LlmConnector,
            Self::Exporter => World::AuditExporter,
        }
    }

    /// What a component of this world is, as a plugin.
    pub(crate) const fn of_world(world: World) -> Self {
        match world {
            World::AccessPolicy => Self::Decider,
            World::Deidentifier => Self::Detector,
            World::KeyedDeidentifier => Self::Transformer,
            World::LlmConnector | World::SigningLlmConnector => Self::Connector,
            World::AuditExporter | World::SigningAuditExporter | World::ConfirmingAuditExporter => {
                Self::Exporter
            }
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS
            .into_iter()
            .find(|(known, _)| *known == word)
            .map(|(_, kind)| kind)
    }
}

/// The folder of components of registries, within the data folder.
pub(crate) const PULLED: &str = "host/pulled";

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// One of those that come with Nephron, by the name of its folder under `plugins/`.
    FirstParty(String),
    /// A file.
    File(PathBuf),
    /// One of a registry, by digest: `nephron plugin pull` has put it into the data folder.
    Registry(Reference),
}

impl Component {
    /// Its file, where those that come with Nephron are in `first_party`, and those of registries in the folder `data`.
    pub(crate) fn path(&self, first_party: &Path, data: &Path) -> PathBuf {
        match self {
            Self::FirstParty(name) => first_party.join(format!("{name}.component.wasm")),
            Self::File(path) => path.clone(),
            Self::Registry(reference) => {
                let name = format!("{}.component.wasm", reference.manifest().hex());
                data.join(PULLED).join(name)
            }
        }
    }

    /// A bare name is a first-party plugin; what begins with `oci://` is in a registry; else what holds a `/` or ends in `.wasm` is a
    /// file.
    fn read(value: &Value<'_>) -> Option<Self> {
        let text = value.text()?;
        if Reference::is_meant(text) {
            return value.parsed().map(Self::Registry);
        }
        if text.contains('/')
            || Path::new(text)
                .extension()
                .is_some_and(|extension| extension == "wasm")
        {
            return value.path().map(Self::File);
        }
        let rule = "must name a plugin that comes with Nephron, such as \"safe-harbor\", or a file, such as \"plugins/ours.wasm\"";
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        value.text_that(rule, is_name).map(Self::FirstParty)
    }
}

impl Plugin {
    pub(super) fn read(table: &mut Table<'_>, files: super::Files<'_>) -> Option<Self> {
        let name = table
            .required("name", "name = \"access\"")
            .and_then(|value| value.name());
        let kind = table
            .required("kind", "kind = \"detector\"")
            .and_then(|value| value.choice(&PluginKind::WORDS));
        let component = table
            .required("component", "component = \"safe-harbor\"")
            .and_then(|value| Component::read(&value));
        let digest = table.value("digest").and_then(|value| value.parsed());
        let statements = match table.value("statements") {
            Some(value) => {
                if matches!(component, Some(Component::Registry(_))) {
                    value.fault("cannot stand at a component of a registry: `nephron plugin pull` puts its statements beside it; remove it");
                }
                Some(value.path()?)
            }
            None => None,
        };
        let (settings, settings_files) = settings::read(table, files);
        let cases = table.value("cases").and_then(|value| value.path());
        let limits = table.section("limits", limits);
        let grants = table.section("grant", |grant| grants(grant, kind));
        Some(Self {
            name: name?,
            kind: kind?,
            component: component?,
            digest,
            statements,
            settings,
            settings_files,
            cases,
            limits: limits?,
            grants: grants?,
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// One page of Wasm memory.
const PAGE: u64 = 64 << 10;

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let compile_time = table.duration(
        "compile-time",
        SECOND..=HOUR,
        Duration::from_secs(default.compile_seconds),
    );
    Limits {
        fuel: table.count("fuel", 1..=u64::MAX, default.fuel),
        configure_fuel: table.count("configure-fuel", 1..=u64::MAX, default.configure_fuel),
        deadline: table.duration("deadline", MILLISECOND..=HOUR, default.deadline),
        memory: narrow(table.size(
            "memory",
            PAGE..=widen(Limits::MEMORY_CEILING),
            widen(default.memory),
        )),
        table_elements: narrow(table.count(
            "table-elements",
            0..=widen(Limits::TABLE_CEILING),
            widen(default.table_elements),
        )),
        copied: narrow(table.size(
            "copied",
            1..=widen(Limits::MEMORY_CEILING),
            widen(default.copied),
        )),
        host_calls: u32::try_from(table.count(
            "host-calls",
            0..=u64::from(u32::MAX),
            u64::from(default.host_calls),
        ))
        .unwrap_or(u32::MAX),
        host_call_time: table.duration(
            "host-call-time",
            MILLISECOND..=HOUR,
            default.host_call_time,
        ),
        component: table.size("component", 1..=1 << 30, default.component),
        compile_seconds: compile_time
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX),
        compile_memory: table.size("compile-memory", 64 << 20..=1 << 40, default.compile_memory),
    }
}

fn grants(table: &mut Table<'_>, kind: Option<PluginKind>) -> Grants {
    let keys = table.flag("keys");
    let can_be_lent_one = [
        PluginKind::Transformer,
        PluginKind::Connector,
        PluginKind::Exporter,
    ];
    if keys && kind.is_some_and(|kind| !can_be_lent_one.contains(&kind)) {
        table.fault(
            "has `keys = true`, but only a transformer, a connector or an exporter can be lent a key; remove it",
        );
    }
    Grants {
        keys,
        null_wasi: table.flag("null-wasi"),
    }
}

fn widen(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn narrow(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
