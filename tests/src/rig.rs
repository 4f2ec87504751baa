//! A gateway in a scratch folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use nephron_audit::{Entry, Reader};
use nephron_engine::compile::Compiler;
use nephron_gateway::config::Config;
use nephron_gateway::reply::Reply;
use nephron_gateway::{Gateway, LOG, OpenError, RECORD, RootAccess, Start, Surroundings, Tenant};
use nephron_keys::{Cost, Grant, GrantRequest, Operations, Passphrase, Subject};
use nephron_model::{EntryKind, EventId, FixedClock, Records as _, TenantId};
use tempfile::TempDir;

/// When every test happens, unless it moves the clock: 2026-11-22T00:03:22Z, in seconds since the epoch.
pub const NOW: u64 = 1_795_305_802;

/// What a test asks of its gateway. The default: Cedar with the example policies, Safe Harbor, and a connector that
/// echoes what it sees.
#[derive(Clone, Default)]
pub struct Setup {
    decider: Option<String>,
    detector: Option<String>,
    connector: Option<String>,
    endpoint: Option<String>,
    route: Option<&'static str>,
    second_decider: Option<&'static str>,
    more: String,
    replaced: Vec<(String, String)>,
    at: Option<u64>,
    is_as_configured: bool,
    compiler: Option<Compiler>,
    log: nephron_audit::Options,
}

impl Setup {
    /// With this guest as the one decider; `settings` in TOML.
    #[must_use]
    pub fn decider(mut self, guest: &str, settings: &str) -> Self {
        self.decider = Some(plugin("access", "decider", guest, settings));
        self
    }

    /// With one more decider, by its name, which [`Setup::and`] describes.
    #[must_use]
    pub fn second_decider(mut self, name: &'static str) -> Self {
        self.second_decider = Some(name);
        self
    }

    /// With this guest as the one detector.
    #[must_use]
    pub fn detector(mut self, guest: &str, settings: &str) -> Self {
        self.detector = Some(plugin("finder", "detector", guest, settings));
        self
    }

    /// With this guest as the connector, answering inside the sandbox.
    #[must_use]
    pub fn connector(mut self, guest: &str, settings: &str) -> Self {
        self.connector = Some(plugin("model", "connector", guest, settings));
        self
    }

    /// With a real HTTP exchange with the server at `url`, whose associate has this agreement (TOML, or nothing), under
    /// this `[egress]` policy.
    #[must_use]
    pub fn upstream(mut self, url: &str, agreement: &str, egress: &str) -> Self {
        self.connector = Some(plugin("model", "connector", "openai-compatible", ""));
        self.endpoint = Some(there(url, "2m", agreement, egress));
        self
    }

    /// With a real HTTP exchange with the server at `url`, spoken to by this connector under this `[endpoint.credential]`.
    #[must_use]
    pub fn spoken(
        mut self,
        connector: &str,
        settings: &str,
        url: &str,
        credential: &str,
        egress: &str,
    ) -> Self {
        self.connector = Some(plugin("model", "connector", connector, settings));
        self.endpoint = Some(there(url, "2m", "", egress) + credential);
        self
    }

    /// With a real HTTP exchange with the server at `url`, spoken to by this connector, which is lent a key; `access` says
    /// of what (TOML).
    #[must_use]
    pub fn signing(mut self, connector: &str, url: &str, access: &str, egress: &str) -> Self {
        let connector = plugin("model", "connector", connector, "");
        self.connector = Some(format!("{connector}[plugin.grant]\nkeys = true\n"));
        self.endpoint = Some(there(url, "10s", "", egress) + access);
        self
    }

    /// With a route for one model that nobody asks for, and none for the others.
    #[must_use]
    pub fn without_default_route(mut self) -> Self {
        self.route = Some("another-model");
        self
    }

    /// With more configuration.
    #[must_use]
    pub fn and(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// With this text of the configuration replaced.
    #[must_use]
    pub fn replacing(mut self, from: &str, to: &str) -> Self {
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    /// At this time, in seconds since the epoch, and not at [`NOW`].
    #[must_use]
    pub const fn at(mut self, seconds: u64) -> Self {
        self.at = Some(seconds);
        self
    }

    /// Which serves whatever served last from its folder.
    #[must_use]
    pub const fn as_configured(mut self) -> Self {
        self.is_as_configured = true;
        self
    }

    /// Whose components are compiled by this.
    #[must_use]
    pub fn compiled_by(mut self, compiler: Compiler) -> Self {
        self.compiler = Some(compiler);
        self
    }

    /// With logs kept like this.
    #[must_use]
    pub fn log(mut self, options: nephron_audit::Options) -> Self {
        self.log = options;
        self
    }

    /// The configuration's text, but for `data`.
    #[must_use]
    pub fn toml(&self) -> String {
        let cedar = "[[plugin]]\nname = \"access\"\nkind = \"decider\"\ncomponent = \"cedar-policy\"\n\
            [plugin.settings-files]\npolicies = \"access.cedar\"\nschema = \"access.cedarschema\"\nentities = \"purposes.json\"\n";
        let route = format!(
            "[[route]]\nmodel = \"{}\"\nendpoint = \"there\"\nupstream-model = \"mock\"\n",
            self.route.unwrap_or("*")
        );
        let endpoint = "[[endpoint]]\nname = \"there\"\nconnector = \"model\"\n";
        let second = self
            .second_decider
            .map_or(String::new(), |name| format!(", \"{name}\""));
        let chain = format!("[chain]\ndeciders = [\"access\"{second}]\ndetectors = [\"finder\"]\n");
        let text = [
            "[root-key]\nprovider = \"file\"\npassphrase = { environment = \"UNUSED\" }\n\
             [[tenant]]\nid = \"st-marys\"\n[[tenant]]\nid = \"lakeside\"\n",
            &chain,
            &route,
            self.decider.as_deref().unwrap_or(cedar),
            &self
                .detector
                .clone()
                .unwrap_or_else(|| plugin("finder", "detector", "safe-harbor", "")),
            &self
                .connector
                .clone()
                .unwrap_or_else(|| plugin("model", "connector", "echoes", "")),
            self.endpoint.as_deref().unwrap_or(endpoint),
            &self.more,
        ]
        .join("\n");
        let replaced = self.replaced.iter();
        replaced.fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// Opens the gateway.
    pub async fn open(&self) -> Rig {
        let folder = tempfile::tempdir().expect("a scratch folder");
        self.open_in(folder).await.expect("the gateway opens")
    }

    /// Opens the gateway on a folder that may hold data already. Time goes on from where its logs left it.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn open_in(&self, folder: TempDir) -> Result<Rig, OpenError> {
        let begins = self.at.unwrap_or(NOW).max(left_at(folder.path()));
        let clock = Arc::new(FixedClock::at(begins));
        copy_compiled(&folder.path().join("host"));
        let gateway = self.gateway(folder.path(), Arc::clone(&clock)).await?;
        Ok(Rig {
            folder,
            clock,
            gateway,
        })
    }

    /// Opens a gateway on the folder at `data` and closes it again.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn open_at(&self, data: &Path) -> Result<(), OpenError> {
        let gateway = self.gateway(data, Arc::new(FixedClock::at(NOW))).await?;
        gateway.close().expect("the logs close");
        Ok(())
    }

    /// The configuration that this comes to.
    #[must_use]
    pub fn config(&self) -> Config {
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
        let files = |path: &Path| match path.is_absolute() {
            true => std::fs::read_to_string(path),
            false => std::fs::read_to_string(policies.join(path.file_name().unwrap_or_default())),
        };
        Config::parse(&self.toml(), Path::new("test.toml"), &files).expect("a good configuration")
    }

    async fn gateway(&self, data: &Path, clock: Arc<FixedClock>) -> Result<Gateway, OpenError> {
        let mut config = self.config();
        config.data = data.to_owned();
        // What a test puts there is what is read anew.
        config.file = data.join("gateway.toml");
        let around = Surroundings {
            clock,
            root: RootAccess::Passphrase(Passphrase::new(PASSPHRASE.to_owned()), Cost::MINIMUM),
            first_party: crate::components::folder().to_owned(),
            compiler: self.compiler.clone().unwrap_or(Compiler::InProcess),
            log: self.log.clone(),
            start: match self.is_as_configured {
                true => Start::AsConfigured,
                false => Start::Examined,
            },
        };
        Gateway::open(&config, around).await
    }
}

/// The latest time that a log in a data folder has, in seconds since the epoch. One that cannot be read has none.
fn left_at(data: &Path) -> u64 {
    let tenants = std::fs::read_dir(data.join("tenants"))
        .into_iter()
        .flatten();
    let folders = tenants.map(|item| item.expect("an item").path());
    let folders = folders.chain([data.join(RECORD)]);
    let readers = folders.filter_map(|folder| Reader::open(&folder.join(LOG)).ok());
    let times = readers.filter_map(|reader| reader.newest());
    times.map(|time| time.seconds).max().unwrap_or_default()
}

/// The endpoint `there` and its associate.
fn there(url: &str, timeout: &str, agreement: &str, egress: &str) -> String {
    format!(
        "[[associate]]\nname = \"lab\"\n{agreement}\n[egress]\n{egress}\n\
         [[endpoint]]\nname = \"there\"\nconnector = \"model\"\nassociate = \"lab\"\nurl = \"{url}\"\ntimeout = \"{timeout}\"\n"
    )
}

fn plugin(name: &str, kind: &str, component: &str, settings: &str) -> String {
    format!(
        "[[plugin]]\nname = \"{name}\"\nkind = \"{kind}\"\ncomponent = \"{component}\"\n[plugin.settings]\n{settings}\n"
    )
}

/// A root key and the compiled first-party plugins, made once: compiling is most of what opening a gateway costs.
static COMPILED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let data = folder.path().to_owned();
    let make = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let clock = Arc::new(FixedClock::at(NOW));
        let gateway = runtime
            .block_on(Setup::default().gateway(&data, clock))
            .expect("the gateway opens");
        gateway.close().expect("the logs close");
    };
    std::thread::spawn(make)
        .join()
        .expect("the first gateway opens");
    folder
});

fn copy_compiled(host: &Path) {
    if host.exists() {
        return;
    }
    let compiled = COMPILED.path();
    copy(&compiled.join("host"), host, &compiled.join(RECORD));
}

/// Puts a root key and the compiled plugins of the default [`Setup`] into a data folder, for a process that opens it with
/// [`PASSPHRASE`].
pub fn compiled_into(data: &Path) {
    copy_compiled(&data.join("host"));
}

/// What seals the root key of every gateway here.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// All of a folder but one path, links followed.
pub(crate) fn copy(from: &Path, to: &Path, but: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for item in std::fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        let target = to.join(item.file_name());
        if item.path() == but {
            // Another host's log knows other tenants.
        } else if item.path().is_dir() {
            copy(&item.path(), &target, but);
        } else {
            std::fs::copy(item.path(), target).expect("a copy");
        }
    }
}

/// A gateway in a scratch folder.
pub struct Rig {
    /// Its data folder.
    pub folder: TempDir,
    /// Its clock.
    pub clock: Arc<FixedClock>,
    /// The gateway.
    pub gateway: Gateway,
}

impl Rig {
    /// A physician's request for treatment at St Mary's about this text.
    pub async fn ask(&self, text: &str) -> Reply {
        self.ask_as("st-marys", "dr.okafor", "physician", "TREAT", None, text)
            .await
    }

    /// A request with everything named.
    pub async fn ask_as(
        &self,
        tenant: &str,
        caller: &str,
        role: &str,
        purpose: &str,
        conversation: Option<&str>,
        text: &str,
    ) -> Reply {
        let mut request = serde_json::json!({
            "tenant": tenant,
            "caller": { "id": caller, "roles": [role] },
            "purpose": purpose,
            "model": "any",
            "messages": [{ "role": "user", "content": text }],
        });
        if let Some(conversation) = conversation {
            request["conversation"] = conversation.into();
        }
        self.gateway.handle(request.to_string().as_bytes()).await
    }

    /// St Mary's.
    #[must_use]
    pub fn tenant(&self) -> Arc<Tenant> {
        self.gateway
            .tenant(&st_marys())
            .expect("the tenant is open")
    }

    /// The folder of St Mary's log.
    #[must_use]
    pub fn log_folder(&self) -> PathBuf {
        self.folder.path().join("tenants/st-marys/log")
    }

    /// What the host's log says.
    #[must_use]
    pub fn host_entries(&self) -> Vec<Entry> {
        let folder = self.folder.path().join(RECORD).join(LOG);
        let reader = Reader::open(&folder).expect("the host's log");
        let entries = reader.entries(0..reader.head().entries);
        entries.map(|entry| entry.expect("readable")).collect()
    }

    /// All that the log says.
    #[must_use]
    pub fn all_entries(&self) -> Vec<Entry> {
        let entries = self.tenant().log().entries(0..u64::MAX);
        entries.map(|entry| entry.expect("readable")).collect()
    }

    /// What the log says about a request.
    #[must_use]
    pub fn entries(&self, event: Option<EventId>) -> Vec<Entry> {
        let tenant = self.tenant();
        let sequences = tenant
            .log()
            .of_request(event.expect("an event"))
            .expect("an index");
        let entry = |sequence| {
            tenant
                .log()
                .entry(sequence)
                .expect("readable")
                .expect("there")
        };
        sequences.into_iter().map(entry).collect()
    }

    /// Kinds and outcomes of what the log says about a request.
    #[must_use]
    pub fn story(&self, event: Option<EventId>) -> Vec<(EntryKind, String)> {
        self.entries(event)
            .into_iter()
            .map(|entry| (entry.header.kind, entry.header.outcome))
            .collect()
    }

    /// An auditor's grant to open payloads.
    #[must_use]
    pub fn auditor(&self) -> Grant {
        let subject = Subject::Caller("auditor".to_owned());
        let purpose = "HOPERAT".parse().expect("a purpose");
        let lifetime = std::time::Duration::from_secs(600);
        let request = GrantRequest::new(subject, Operations::OPEN_PAYLOAD, purpose, lifetime);
        self.tenant().keys().mint(request).expect("a grant")
    }

    /// The payload of an entry.
    pub async fn payload(&self, entry: &Entry, what: &str) -> Vec<u8> {
        let sealed = entry.payload.as_ref().expect("a payload");
        let opened = self
            .auditor()
            .open_payload(sealed, entry.header.request, what)
            .await;
        opened.expect("the payload opens").expose().clone()
    }

    /// Closes the gateway and gives the folder back.
    #[must_use]
    pub fn close(self) -> TempDir {
        self.gateway.close().expect("the logs close");
        self.folder
    }
}

fn st_marys() -> TenantId {
    "st-marys".parse().expect("a tenant")
}
