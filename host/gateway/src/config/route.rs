//! What becomes of a request: `[chain]`, `[[route]]`, `[egress]` and `[limits]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::associate::{list, region};
use super::endpoint::{of_kind, plain_text};
use super::fault::shown;
use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use crate::wire::fields::UnknownFields;

/// Who judges a request, by names of plugins, each list in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Deciders; every one is asked, and a deny of any is a deny.
    pub deciders: Vec<String>,
    /// Detectors and transformers; the host merges what they find.
    pub detectors: Vec<String>,
    /// A transformer, which writes what becomes of files; requests to models have tokens.
    pub transformer: Option<String>,
}

/// Which endpoint serves a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The model as callers name it, or `*` for any that no other route names.
    pub model: String,
    /// At least one: the first serves it, and where that cannot be had the next.
    pub endpoints: Vec<RouteEndpoint>,
}

/// An endpoint of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEndpoint {
    /// Its name.
    pub name: String,
    /// The model to ask it for: its own, or that of the route; the caller's own word without either.
    pub upstream_model: Option<String>,
}

/// The methods of de-identification: 45 CFR 164.514(b)(2) and (b)(1).
pub const METHODS: [&str; 2] = ["safe-harbor", "expert-determination"];

/// What may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The method of de-identification, one of [`METHODS`], by which cleared text may go to an endpoint that no live
    /// agreement covers; without one, nothing may (I10).
    pub cleared_without_baa: Option<String>,
    /// Regions in which endpoints, and whoever stands behind them, must be; empty allows any.
    pub regions: Vec<String>,
    /// Whether text that may go without an agreement may go to any region too.
    pub cleared_to_any_region: bool,
    /// Whether only an agreement counts that forbids to train models on what is sent.
    pub requires_no_training: bool,
    /// How long before an agreement lapses it is said.
    pub warn_before: Duration,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            cleared_without_baa: None,
            regions: Vec::new(),
            cleared_to_any_region: false,
            requires_no_training: false,
            warn_before: Self::WARN_BEFORE,
        }
    }
}

/// What one request may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of its body: the key `request`.
    pub bytes: usize,
    /// Messages in it.
    pub messages: usize,
    /// What becomes of fields that nobody here knows.
    pub unknown_fields: UnknownFields,
}

impl Chain {
    pub(super) fn read<'a>(table: &mut Table<'a>, plugins: &Names<'a>) -> Self {
        Self {
            deciders: judges(
                table,
                "deciders",
                "deciders = [\"access\"]",
                plugins,
                &[PluginKind::Decider],
            ),
            detectors: judges(
                table,
                "detectors",
                "detectors = [\"safe-harbor\"]",
                plugins,
                &[PluginKind::Detector, PluginKind::Transformer],
            ),
            transformer: table
                .value("transformer")
                .and_then(|value| of_kind(&value, plugins, &[PluginKind::Transformer])),
        }
    }
}

/// A list of plugins of these kinds: at least one, none twice.
fn judges<'a>(
    table: &mut Table<'a>,
    key: &'static str,
    example: &str,
    plugins: &Names<'a>,
    kinds: &[PluginKind],
) -> Vec<String> {
    let Some(value) = table.required(key, example) else {
        return Vec::new();
    };
    let Some(values) = value.array("a list of names of plugins") else {
        return Vec::new();
    };
    if values.is_empty() {
        value.fault(format_args!(
            "names no plugin, and a request that nobody judges is refused; write `{example}`"
        ));
    }
    let mut names: Vec<String> = Vec::new();
    for value in &values {
        let Some(name) = of_kind(value, plugins, kinds) else {
            continue;
        };
        if names.contains(&name) {
            value.fault(format_args!("names plugin `{name}` twice; name it once"));
        }
        names.push(name);
    }
    names
}

impl Route {
    pub(super) fn read<'a>(
        table: &mut Table<'a>,
        known: &Names<'a>,
        models: &mut BTreeMap<String, usize>,
    ) -> Option<Self> {
        let model = table.required("model", "model = \"*\"");
        let word = model.as_ref().and_then(plain_text);
        if let (Some(value), Some(word)) = (&model, &word) {
            refuse_second(value, "model", word, models);
        }
        let upstream_model = table.value("upstream-model").as_ref().and_then(plain_text);
        let one = table.value("endpoint");
        let several = table.value("endpoints");
        let endpoints = match (one, several) {
            (Some(one), None) => vec![one],
            (None, Some(several)) => several.array(
                "a list of names of endpoints, or of tables of `name` and `upstream-model`",
            )?,
            (Some(_), Some(several)) => {
                several.fault("cannot stand beside `endpoint`; remove one of the two");
                return None;
            }
            (None, None) => {
                table.missing("endpoint", "endpoint = \"local\"");
                return None;
            }
        };
        let mut served: Vec<RouteEndpoint> = Vec::new();
        for value in &endpoints {
            let of_route = upstream_model.clone();
            let Some(endpoint) = RouteEndpoint::read(value, known, of_route) else {
                continue;
            };
            if served.iter().any(|other| other.name == endpoint.name) {
                value.fault(format_args!(
                    "names endpoint `{}` twice; `retries` of the endpoint asks it again",
                    endpoint.name
                ));
            }
            served.push(endpoint);
        }
        if endpoints.is_empty() {
            table.fault("names no endpoint; name at least one");
        }
        Some(Self {
            model: word?,
            endpoints: served,
        })
    }
}

impl RouteEndpoint {
    /// A name, or a table of `name` and `upstream-model`.
    fn read<'a>(value: &Value<'a>, known: &Names<'a>, of_route: Option<String>) -> Option<Self> {
        let named = |value: &Value<'a>, upstream_model| {
            let name = known.find(value)?.name.to_owned();
            Some(Self {
                name,
                upstream_model,
            })
        };
        if value.is_text() {
            return named(value, of_route);
        }
        let read = |table: &mut Table<'a>| {
            let name = table.required("name", "name = \"local\"");
            let own = table.value("upstream-model").as_ref().and_then(plain_text);
            named(&name?, own.or(of_route))
        };
        value.table(read).flatten()
    }
}

impl Egress {
    const DAY: Duration = Duration::from_secs(86_400);
    const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);

    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let method = table.value("cleared-without-baa");
        let method = method.and_then(|value| value.choice(&METHODS.map(|word| (word, word))));
        Self {
            cleared_without_baa: method.map(str::to_owned),
            regions: list(table, "regions", "a list of regions", region),
            cleared_to_any_region: table.flag("cleared-to-any-region"),
            requires_no_training: table.flag("require-no-training"),
            warn_before: table.duration(
                "warn-before",
                Self::DAY..=Self::DAY * 366,
                Self::WARN_BEFORE,
            ),
        }
    }
}

impl RequestLimits {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        // A request must fit into a plugin's memory, at most 64 MiB, together with what the plugin makes of it.
        let bytes = table.size("request", 1..=16 << 20, 1 << 20);
        let messages = table.count("messages", 1..=100_000, 1_000);
        let words = [
            ("refuse", UnknownFields::Refuse),
            ("drop", UnknownFields::Drop),
        ];
        let unknown_fields = table.value("unknown-fields");
        let unknown_fields = unknown_fields.and_then(|value| value.choice(&words));
        Self {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            messages: usize::try_from(messages).unwrap_or(usize::MAX),
            unknown_fields: unknown_fields.unwrap_or_default(),
        }
    }
}

/// Refuses a second table of the same word, telling where the first stands.
pub(super) fn refuse_second(
    value: &Value<'_>,
    what: &str,
    word: &str,
    seen: &mut BTreeMap<String, usize>,
) {
    let line = value.reader().line(value.at());
    if let Some(first) = seen.insert(word.to_owned(), line) {
        value.fault(format_args!(
            "gives {what} `{}` again, as line {first} does; remove one",
            shown(word)
        ));
    }
}
