//! `[[export]]`: where log entries are shipped.

use std::collections::BTreeMap;
use std::time::Duration;

use nephron_model::TenantId;

use super::associate::list;
use super::endpoint::of_kind;
use super::identity::known_tenant;
use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::route::refuse_second;
use super::upstream::{Reach, Upstream};
use super::url::BaseUrl;

/// Where log entries are shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// What the log calls it, and what its cursor is kept under.
    pub name: String,
    /// Name of the plugin, of kind exporter, that encodes them.
    pub plugin: String,
    /// Where they go.
    pub place: ExportPlace,
    /// The most entries that are encoded at once.
    pub batch: u64,
    /// Whose entries; those of every log, the host's too, where nobody is named.
    pub tenants: Vec<TenantId>,
    /// How long an answer waits until what the log says of it is delivered, if it does.
    pub before_reply: Option<Duration>,
    /// The age of an entry that is not delivered at which somebody is told.
    pub late_after: Duration,
}

/// What takes log entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportPlace {
    /// A plain file name, in the folder `exports` of each tenant.
    File(String),
    /// A server, by one HTTP request for each batch.
    Http(Upstream),
    /// A server, by one connection of TLS for each batch, to which the bytes are written as they are.
    Stream(Upstream),
}

impl Export {
    /// Whether it ships entries of this tenant's log.
    #[must_use]
    pub fn is_for(&self, tenant: &TenantId) -> bool {
        self.tenants.is_empty() || self.tenants.contains(tenant)
    }

    /// The server, if there is one.
    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        match &self.place {
            ExportPlace::File(_) => None,
            ExportPlace::Http(upstream) | ExportPlace::Stream(upstream) => Some(upstream),
        }
    }

    pub(super) fn read<'a>(
        table: &mut Table<'a>,
        plugins: &Names<'a>,
        tenants: &[TenantId],
        seen: &mut Seen,
    ) -> Option<Self> {
        let plugin = table.required("plugin", "plugin = \"name of an exporter\"");
        let by_plugin = plugin
            .as_ref()
            .and_then(|value| of_kind(value, plugins, &[PluginKind::Exporter]));
        let own_name = table.value("name");
        let name = match &own_name {
            Some(value) => value.name(),
            None => by_plugin.clone(),
        };
        match (&own_name, &plugin, &name) {
            (Some(value), _, Some(name)) => refuse_second(value, "name", name, &mut seen.names),
            (None, Some(value), Some(name)) => {
                let line = value.reader().line(value.at());
                if seen.names.insert(name.clone(), line).is_some() {
                    value.fault("stands in another export too; give this one a `name` of its own");
                }
            }
            (Some(_) | None, _, _) => {}
        }
        let place = place(table, name.as_ref(), seen);
        let batch = table.count("batch", 1..=10_000, 100);
        let tenants = list(table, "tenants", "a list of ids of tenants", |value| {
            known_tenant(value, tenants)
        });
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(300));
        let limit = table.duration("before-reply-time", least..=most, Duration::from_secs(5));
        let waits = table.flag("before-reply");
        let late_after = table.duration(
            "late-after",
            Duration::from_secs(1)..=Duration::from_secs(7 * 86_400),
            Duration::from_secs(900),
        );
        Some(Self {
            name: name?,
            plugin: by_plugin?,
            place: place?,
            batch,
            tenants,
            before_reply: waits.then_some(limit),
            late_after,
        })
    }
}

/// What two exports must not share.
#[derive(Default)]
pub(super) struct Seen {
    names: BTreeMap<String, usize>,
    files: BTreeMap<String, usize>,
}

fn place<'a>(table: &mut Table<'a>, name: Option<&String>, seen: &mut Seen) -> Option<ExportPlace> {
    let file = table.value("file");
    let url = table.value("url");
    let stream = table.value("stream");
    let reach = Reach::read(table);
    match (file, url, stream) {
        (Some(file), None, None) => {
            for value in reach.values() {
                value.fault("stands at an export to a file; remove it");
            }
            let name = file.text_that(
                "must be a plain file name: 1 to 100 of letters, digits, `.`, `_` and `-`, not starting with a dot",
                is_file_name,
            );
            if let Some(name) = &name {
                refuse_second(&file, "file", name, &mut seen.files);
            }
            name.map(ExportPlace::File)
        }
        (None, Some(url), None) => reach
            .upstream(name.cloned(), &url, "s3")
            .map(ExportPlace::Http),
        (None, None, Some(stream)) => {
            for value in reach.headers() {
                value.fault("belongs to requests over HTTP, and `stream` knows none; remove it, or give `tls` a certificate and a key");
            }
            let base = address(&stream);
            reach
                .at(name.cloned(), &stream, base, "")
                .map(ExportPlace::Stream)
        }
        (None, None, None) => {
            table.missing(
                "file",
                "file = \"audit.jsonl\"` or `url = \"https://…\"` or `stream = \"tls://collector.example:6514\"",
            );
            None
        }
        (first, second, third) => {
            if let Some(value) = [third, second, first].into_iter().flatten().next() {
                value.fault("stands beside another place; give each export a table of its own");
            }
            None
        }
    }
}

/// `tls://host:port`. There is no usual port: RFC 5425 has 6514, other protocols have others.
fn address(value: &Value<'_>) -> Option<BaseUrl> {
    const RULE: &str =
        "must be `tls://`, a host, `:` and a port, such as \"tls://collector.example:6514\"";
    let is_address = |text: &str| {
        let rest = text.strip_prefix("tls://");
        rest.is_some_and(|rest| {
            !rest.contains('/')
                && rest
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| !port.is_empty())
        })
    };
    let text = value.text_that(RULE, is_address)?;
    let url: Result<BaseUrl, _> = text.replacen("tls://", "https://", 1).parse();
    url.map_err(|error| value.fault(error)).ok()
}

fn is_file_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
