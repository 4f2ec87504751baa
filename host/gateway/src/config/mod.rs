//! The configuration: one TOML file, read once when the process starts, checked whole, handed on in narrow parts.
//!
//! Read [`Config`] for what there is and `examples/gateway.toml` for how it is written. Everything that is wrong is
//! reported at once ([`Faults`]), each fault with its line and column and with what to do. Keys nobody knows are
//! refused. Secrets are named, not held ([`SecretRef`]).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nephron_keys::Schedule;
use nephron_model::{Purpose, TenantId};
use toml::de::DeTable;

mod admin;
mod anchor;
mod associate;
mod aws;
mod classification;
mod endpoint;
mod export;
mod fault;
mod identity;
mod listen;
mod log;
mod names;
mod oidc;
mod plugin;
mod quantity;
mod reader;
mod registry;
mod root_key;
mod route;
mod secret;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod trust;
mod units;
mod upstream;
mod url;

pub use admin::{Admin, Operator, OperatorRole};
pub use anchor::{Anchor, AnchorPlace, AnchorService};
pub use associate::{Agreement, Associate, Role, Status};
pub use aws::{AccessKey, AwsSigV4};
pub use endpoint::Endpoint;
pub use export::{Export, ExportPlace};
pub use fault::{Fault, Faults};
pub use identity::{ApiKey, ClientCertificate, Holder, Mark};
pub use listen::{Clients, Listen, Tls};
pub use log::Log;
pub use oidc::{Oidc, TenantOf};
pub(crate) use plugin::PULLED;
pub use plugin::{Component, Plugin, PluginKind};
pub use registry::Registry;
pub use root_key::{KeyService, RootKey};
pub use route::{Chain, Egress, METHODS, RequestLimits, Route, RouteEndpoint};
pub use secret::{SecretError, SecretRef};
pub use status::StatusListener;
pub use trust::Trust;
pub use upstream::{Credential, Upstream, UpstreamTls};
pub use url::{BaseUrl, InvalidUrl};

pub use crate::classification::{Classification, NotAdmitted};
pub use crate::wire::fields::UnknownFields;
pub(crate) use names::is_name;
pub(crate) use units::duration;

use associate::Known;
use names::Names;
use reader::{Reader, Renamed, Table};

/// What the operator configured, checked: names name what is there, and every path starts at the file's folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The folder that tenants' folders and the root key are in.
    pub data: PathBuf,
    /// What wraps the tenants' keys.
    pub root_key: RootKey,
    /// How long each key lasts.
    pub key_rotation: Schedule,
    /// Those served, at least one, each once.
    pub tenants: Vec<TenantId>,
    /// What the fields of its applications' records are, of each tenant that says so.
    pub classifications: BTreeMap<TenantId, Classification>,
    /// Every plugin, each used by something below.
    pub plugins: Vec<Plugin>,
    /// Registries that components come from, and how each is reached.
    pub registries: Vec<Registry>,
    /// Who vouches for plugins, if the operator says so; without it nobody is asked for.
    pub trust: Option<Trust>,
    /// Who judges a request.
    pub chain: Chain,
    /// Who runs endpoints.
    pub associates: Vec<Associate>,
    /// Who answers.
    pub endpoints: Vec<Endpoint>,
    /// Which endpoint serves a model; at least one.
    pub routes: Vec<Route>,
    /// What may leave.
    pub egress: Egress,
    /// Where log entries are shipped.
    pub exports: Vec<Export>,
    /// What one request may have.
    pub limits: RequestLimits,
    /// How logs are vouched for.
    pub log: Log,
    /// Places apart that take checkpoints.
    pub anchors: Vec<Anchor>,
    /// Where clients connect; `nephron serve` needs it.
    pub listen: Option<Listen>,
    /// Where operators look, if anywhere.
    pub status: Option<StatusListener>,
    /// From where operators elsewhere change what serves, if from anywhere.
    pub admin: Option<Admin>,
    /// Who they are.
    pub api_keys: Vec<ApiKey>,
    /// The same, by certificate.
    pub client_certificates: Vec<ClientCertificate>,
    /// The same, by whoever vouches for them.
    pub oidc: Vec<Oidc>,
    /// Purposes of use that are emergencies.
    pub emergencies: Vec<Purpose>,
    /// Whether plugins and chain are taken over as soon as a file changes.
    pub watch: bool,
}

/// Keys that were called otherwise once. Whoever still writes the former name is told the present one.
const RENAMED: &[Renamed] = &[];

/// The most bytes that the configuration, or a file it takes settings from, may have.
const LARGEST: u64 = 16 << 20;

/// Reads the text of a file that the configuration names.
type Files<'f> = &'f dyn Fn(&Path) -> std::io::Result<String>;

impl Config {
    /// Reads a configuration and the files that its plugins take settings from. Its paths are absolute, however it was named: so
    /// two readings of one file are equal.
    ///
    /// # Errors
    /// [`Faults`]: everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = read_text(path).map_err(|error| unreadable(path, &error))?;
        let absolute = absolute(path);
        Self::parse(&text, &absolute, &read_text).map_err(|faults| faults.of_file(&absolute, path))
    }

    /// `[trust]` as the file at `path` has it, whatever else is wrong there but its syntax; nothing where it has none.
    ///
    /// # Errors
    /// [`Faults`]: what is wrong with the section, with a file that it names, or with the syntax.
    pub(crate) fn load_trust(path: &Path) -> Result<Option<Trust>, Faults> {
        let text = read_text(path).map_err(|error| unreadable(path, &error))?;
        let file = &absolute(path);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let (document, syntax) = DeTable::parse_recoverable(text);
        let reader = Reader::new(text, file, RENAMED, &syntax, &|_| ());
        let trust = reader.root(document.get_ref(), |root| {
            let trust = root.value("trust");
            let _others = root.entries();
            match trust {
                Some(value) => Some(Some(
                    value
                        .table(|table| Trust::read(table, &read_text))
                        .flatten()?,
                )),
                None => Some(None),
            }
        });
        reader.finish(trust)
    }

    /// The files that plugins are read from, other than those that come with Nephron.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.plugins
            .iter()
            .flat_map(|plugin| {
                let component = match &plugin.component {
                    Component::File(path) => Some(path),
                    // What was pulled is held to its digest when it is loaded.
                    Component::FirstParty(_) | Component::Registry(_) => None,
                };
                let all = plugin.settings_files.iter().chain(component);
                all.chain(&plugin.statements).map(PathBuf::as_path)
            })
            .chain(
                self.trust
                    .iter()
                    .filter_map(|trust| trust.revoked_file.as_deref()),
            )
            .chain(
                self.classifications
                    .values()
                    .map(|schema| schema.file.as_path()),
            )
    }

    /// The data folder of the configuration in `path`, whatever else is wrong with it.
    pub(crate) fn data_folder(path: &Path) -> PathBuf {
        let text = read_text(path).unwrap_or_default();
        let (document, _) = DeTable::parse_recoverable(&text);
        let named = document.get_ref().get("data");
        let named = named.and_then(|value| value.get_ref().as_str());
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        folder.join(named.unwrap_or("data"))
    }

    /// Reads a configuration that is at hand. `file` says where it is from: paths start at its folder, and faults name
    /// it. `files` reads the files that plugins take settings from.
    ///
    /// # Errors
    /// [`Faults`]: everything that is wrong with it.
    pub fn parse(
        text: &str,
        file: &Path,
        files: &dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Self, Faults> {
        read(text, file, files, RENAMED, &|_| ())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Faults {
    let message = format!(
        "cannot read the configuration: {error}; correct the path, or begin with a copy of `examples/gateway.toml`"
    );
    Faults::new(vec![Fault {
        file: path.to_owned(),
        line: 0,
        column: 0,
        message,
    }])
}

/// The file, by the one name that its folder has; as it is named, if that cannot be found out.
fn absolute(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let whole = folder.canonicalize().ok().zip(path.file_name());
    whole.map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
}

/// Reads the whole. `told` hears the path of each key that is asked for, whether it is there or not.
fn read(
    text: &str,
    file: &Path,
    files: Files<'_>,
    renamed: &[Renamed],
    told: &dyn Fn(&str),
) -> Result<Config, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    let reader = Reader::new(text, file, renamed, &syntax, told);
    let config = config(&reader, document.get_ref(), file, files);
    reader.finish(config)
}

fn config<'a>(
    reader: &'a Reader<'a>,
    document: &'a DeTable<'a>,
    file: &Path,
    files: Files<'_>,
) -> Option<Config> {
    let gather = |family, key| Names::gather(reader, document, family, key);
    let (plugins, associates) = (gather("plugin", "name"), gather("associate", "name"));
    let endpoints = gather("endpoint", "name");
    let known = Known {
        plugins: &plugins,
        associates: &associates,
        endpoints: &endpoints,
    };
    let config = reader.root(document, |root| {
        let data = root
            .value("data")
            .map_or_else(|| Some(reader.beside("data")), |value| value.path());
        let root_key = root.required("root-key", "[root-key]");
        let root_key = root_key
            .and_then(|value| value.table(RootKey::read))
            .flatten();
        let key_rotation = root.section("key-rotation", root_key::schedule);
        let (mut ids, mut classifications) = (BTreeMap::new(), BTreeMap::new());
        let tenants = root.some("tenant", |table| {
            let schema = table.value("classification");
            let schema = schema.map(|value| classification(&value, files));
            let id = tenant(table, &mut ids)?;
            if let Some(schema) = schema {
                classifications.insert(id.clone(), schema?);
            }
            Some(id)
        });
        let read_plugins = root.some("plugin", |table| Plugin::read(table, files));
        let mut registry_hosts = BTreeMap::new();
        let registries = root.each("registry", |table| {
            Registry::read(table, &mut registry_hosts)
        });
        let trust = root.value("trust");
        let trust = trust.map(|value| value.table(|table| Trust::read(table, files)).flatten());
        let chain = root.required("chain", "[chain]");
        let chain = chain.and_then(|value| value.table(|table| Chain::read(table, &plugins)));
        let read_associates = root.each("associate", |table| Associate::read(table, &known));
        let read_endpoints = root.some("endpoint", |table| Endpoint::read(table, &known));
        let mut models = BTreeMap::new();
        let routes = root.some("route", |table| Route::read(table, &endpoints, &mut models));
        let egress = root.section("egress", Egress::read);
        let mut seen_exports = export::Seen::default();
        let exports = root.each("export", |table| {
            Export::read(table, &plugins, &tenants, &mut seen_exports)
        });
        let limits = root.section("limits", RequestLimits::read);
        let log = root.section("log", Log::read);
        let mut anchor_names = BTreeMap::new();
        let anchors = root.each("anchor", |table| {
            Anchor::read(table, &plugins, &mut anchor_names)
        });
        let listen = root.value("listen");
        let listen = listen.map(|value| value.table(Listen::read).flatten());
        let status = root.value("status");
        let status = status.map(|value| value.table(StatusListener::read).flatten());
        let admin = root.value("admin");
        let admin = admin.map(|value| value.table(Admin::read).flatten());
        let (mut keys, mut certificates) = (identity::Seen::default(), identity::Seen::default());
        let api_keys = root.each("api-key", |table| {
            ApiKey::read(table, &tenants, &mut keys)
        });
        let are_asked_for = listen.as_ref().is_none_or(|listen| {
            let tls = listen.as_ref().and_then(|listen| listen.tls.as_ref());
            tls.is_some_and(|tls| tls.clients.is_some())
        });
        let client_certificates = root.each("client-certificate", |table| {
            if !are_asked_for && !reader.is_unread() {
                table.fault("is never looked at: add `client-ca` to `[listen.tls]`, so that clients are asked for certificates");
            }
            ClientCertificate::read(table, &tenants, &mut certificates)
        });
        let (mut providers, mut named) = (identity::Seen::default(), BTreeMap::new());
        let holders = api_keys.iter().map(|key| &key.holder);
        let holders = holders.chain(client_certificates.iter().map(|known| &known.holder));
        let holders: Vec<_> = holders.map(|holder| holder.tenant.clone()).collect();
        let oidc = root.each("oidc", |table| {
            Oidc::read(table, &tenants, &mut providers, &mut named, &holders)
        });
        let emergencies = root.section("emergency", |table| {
            let purposes = table.value("purposes")?;
            identity::words(&purposes, reader::Value::parsed)
        });
        let watch = root.section("reload", |table| table.flag("watch"));
        Some(Config {
            file: file.to_owned(),
            data: data?,
            root_key: root_key?,
            key_rotation: key_rotation?,
            tenants,
            classifications,
            plugins: read_plugins,
            registries,
            trust: match trust {
                Some(trust) => Some(trust?),
                None => None,
            },
            chain: chain?,
            associates: read_associates,
            endpoints: read_endpoints,
            routes,
            egress: egress?,
            exports,
            limits: limits?,
            log: log?,
            anchors,
            listen: match listen {
                Some(listen) => Some(listen?),
                None => None,
            },
            status: match status {
                Some(status) => Some(status?),
                None => None,
            },
            admin: match admin {
                Some(admin) => Some(admin?),
                None => None,
            },
            api_keys,
            client_certificates,
            oidc,
            emergencies: emergencies.flatten().unwrap_or_default(),
            watch: watch?,
        })
    });
    plugins.refuse_unused(
        reader,
        "name it in `[chain]`, an `[[endpoint]]`, an `[[export]]` or an `[[anchor]]`",
    );
    associates.refuse_unused(reader, "name it in an `[[endpoint]]` or as a subprocessor");
    endpoints.refuse_unused(reader, "name it in a `[[route]]`");
    config
}

fn tenant(table: &mut Table<'_>, ids: &mut BTreeMap<String, usize>) -> Option<TenantId> {
    let value = table.required("id", "id = \"st-marys\"")?;
    let id: TenantId = value.parsed()?;
    if id == TenantId::host() {
        value.fault("is the name of the host's own log and keys; give the tenant another");
        return None;
    }
    route::refuse_second(&value, "id", id.as_str(), ids);
    Some(id)
}

/// The schema in the file that a value names. Its faults are told in its own file's places.
fn classification(value: &reader::Value<'_>, files: Files<'_>) -> Option<Classification> {
    let path = value.path()?;
    let text = settings::text(value, &path, files)?;
    match Classification::parse(&text, &path) {
        Ok(schema) => Some(schema),
        Err(faults) => {
            value.reader().adopt(&faults);
            None
        }
    }
}

pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST) {
        Ok(text)
    } else {
        Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("the file has more than {LARGEST} bytes"),
        ))
    }
}
