//! `[[anchor]]`: a place apart that takes the checkpoints of the host's log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nephron_audit::WitnessKey;

use super::endpoint::of_kind;
use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::route::refuse_second;
use super::upstream::{Reach, Upstream};
use super::url::BaseUrl;
use crate::address::is_public;

/// A place apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What the log calls it.
    pub name: String,
    /// What it is.
    pub place: AnchorPlace,
}

/// What an anchor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorPlace {
    /// A folder elsewhere, such as a mount that cannot be rewritten.
    Directory(PathBuf),
    /// A time-stamp authority (RFC 3161), asked over HTTP.
    TimestampAuthority(AnchorService),
    /// A witness (C2SP tlog-witness), and the key of its cosignatures.
    Witness(AnchorService, WitnessKey),
    /// A server that a plugin of kind exporter, by its name, speaks to: S3 under Object Lock.
    Exporter(String, Box<Upstream>),
}

/// How a service is reached. What it answers is signed, so that the way there need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorService {
    /// Its address.
    pub url: BaseUrl,
    /// Roots to trust in place of the web's, in PEM.
    pub authority: Option<PathBuf>,
    /// Whether it may be at an address that is not public.
    pub allows_private: bool,
}

impl Anchor {
    /// The plugin that speaks to it, if one does.
    pub(crate) fn plugin(&self) -> Option<&str> {
        match &self.place {
            AnchorPlace::Exporter(plugin, _) => Some(plugin),
            AnchorPlace::Directory(_)
            | AnchorPlace::TimestampAuthority(_)
            | AnchorPlace::Witness(..) => None,
        }
    }

    /// The server that a plugin speaks to, if it is one.
    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        match &self.place {
            AnchorPlace::Exporter(_, upstream) => Some(upstream),
            AnchorPlace::Directory(_)
            | AnchorPlace::TimestampAuthority(_)
            | AnchorPlace::Witness(..) => None,
        }
    }

    pub(super) fn read<'a>(
        table: &mut Table<'a>,
        plugins: &Names<'a>,
        names: &mut BTreeMap<String, usize>,
    ) -> Option<Self> {
        let written = table.required("name", "name = \"worm\"");
        let name = written.as_ref().and_then(Value::name);
        if let (Some(value), Some(name)) = (&written, &name) {
            refuse_second(value, "name", name, names);
        }
        let directory = table.value("directory");
        let authority = table.value("timestamp-authority");
        let witness = table.value("witness");
        let key = table.value("witness-key");
        let exporter = table.value("exporter");
        let url = table.value("url");
        let reach = Reach::read(table);
        if exporter.is_none() {
            for value in url.iter().chain(reach.values()) {
                value.fault("belongs to an anchor with `exporter`; add that, or remove it");
            }
        }
        let allows_private = reach.allows_private();
        let roots = match table.value("ca") {
            Some(value) => Some(value.path()?),
            None => None,
        };
        let service = |value: &Value<'_>| service(value, roots.clone(), allows_private);
        let place = match (directory, authority, witness, exporter) {
            (Some(value), None, None, None) => AnchorPlace::Directory(value.path()?),
            (None, Some(value), None, None) => AnchorPlace::TimestampAuthority(service(&value)?),
            (None, None, None, Some(value)) => {
                let plugin = of_kind(&value, plugins, &[PluginKind::Exporter]);
                let Some(url) = url else {
                    table.missing("url", "url = \"https://s3.eu-central-1.amazonaws.com\"");
                    return None;
                };
                let upstream = reach.upstream(name.clone(), &url, "s3");
                AnchorPlace::Exporter(plugin?, Box::new(upstream?))
            }
            (None, None, Some(value), None) => {
                let Some(key) = key else {
                    table.missing("witness-key", "witness-key = \"witness.example+…\"");
                    return None;
                };
                AnchorPlace::Witness(service(&value)?, key.parsed()?)
            }
            (None, None, None, None) => {
                table.missing(
                    "directory",
                    "directory = \"/mnt/worm/nephron\"` or `timestamp-authority`, `witness` or `exporter = \"s3\"",
                );
                return None;
            }
            (first, second, third, fourth) => {
                let mut given = [fourth, third, second, first].into_iter().flatten();
                if let Some(value) = given.next() {
                    value.fault("stands beside another place; give each anchor a table of its own");
                }
                return None;
            }
        };
        Some(Self { name: name?, place })
    }
}

fn service(
    value: &Value<'_>,
    authority: Option<PathBuf>,
    allows_private: bool,
) -> Option<AnchorService> {
    let url: BaseUrl = value.parsed()?;
    let is_private = |address| !(is_public(address) || url.is_loopback() || allows_private);
    if url.address().is_some_and(is_private) {
        value.fault(
            "is an address of a private network; if it is meant, set `private-addresses = true`",
        );
    }
    let allows_private = allows_private || url.is_loopback();
    Some(AnchorService {
        url,
        authority,
        allows_private,
    })
}
