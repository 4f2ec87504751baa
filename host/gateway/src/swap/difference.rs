//! What a candidate changes, and whether that widens what plugins may do.

use std::collections::{BTreeMap, BTreeSet};

use nephron_engine::Limits;
use nephron_model::{Digest, PluginRef, Timestamp};
use nephron_trust::{DataClass, Vouch};
use serde::{Deserialize, Serialize};

use crate::config::{Chain, Plugin, PluginKind};
use crate::roster::{Manifest, Roster, Seat};

/// One thing that a candidate changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Difference {
    pub(crate) what: String,
    /// A plugin may do more than before, or less is looked at.
    pub(crate) widens: bool,
}

/// A roster, and the configuration that it was made from.
pub(super) struct Side<'a> {
    plugins: &'a [Plugin],
    chain: &'a Chain,
    manifest: Manifest,
    method: Option<&'static str>,
    /// What each plugin's component imports that gives it something to do, by the plugin's name, without versions.
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Side<'a> {
    pub(super) fn new(plugins: &'a [Plugin], chain: &'a Chain, roster: &Roster) -> Self {
        Self {
            plugins,
            chain,
            manifest: roster.manifest(),
            method: roster.method(),
            imports: plugins
                .iter()
                .filter_map(|plugin| {
                    let loaded = roster.plugin(&plugin.name)?;
                    Some((plugin.name.clone(), powers(loaded.imports())))
                })
                .collect(),
        }
    }

    fn imports(&self, name: &str) -> BTreeSet<String> {
        self.imports.get(name).cloned().unwrap_or_default()
    }

    fn plugin(&self, name: &str) -> Option<&'a Plugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    fn seat(&self, name: &str) -> Option<&Seat> {
        let mut seats = self.manifest.seats();
        seats.find(|seat| seat.plugin.name == name)
    }
}

/// What `new` changes in `old`: plugin by plugin, then the chain.
pub(super) fn differences(old: &Side<'_>, new: &Side<'_>, now: Timestamp) -> Vec<Difference> {
    let mut found = Vec::new();
    let both = old.plugins.iter().chain(new.plugins);
    let names: BTreeSet<&str> = both.map(|plugin| plugin.name.as_str()).collect();
    for name in names {
        match (old.plugin(name), new.plugin(name)) {
            (None, Some(plugin)) => found.push(Difference {
                what: format!(
                    "plugin `{name}` is new: a {}{}",
                    plugin.kind.as_str(),
                    importing(&new.imports(name))
                ),
                widens: plugin.grants.keys
                    || plugin.grants.null_wasi
                    || is_beyond_defaults(&plugin.limits),
            }),
            (Some(_), None) => found.push(Difference {
                what: format!("plugin `{name}` is gone"),
                widens: false,
            }),
            (Some(was), Some(is)) => {
                // In one of the two no chain may name it; the chain's own difference says so.
                if let (Some(before), Some(after)) = (old.seat(name), new.seat(name)) {
                    of_code(is, &before.plugin, &after.plugin, &mut found);
                    let vouched = (before.vouched.as_slice(), after.vouched.as_slice());
                    of_vouching(name, vouched, now, &mut found);
                    of_imports(name, &old.imports(name), &new.imports(name), &mut found);
                }
                of_authority(was, is, &mut found);
            }
            (None, None) => {}
        }
    }
    let chains = [
        ("deciders", &old.chain.deciders, &new.chain.deciders),
        ("detectors", &old.chain.detectors, &new.chain.detectors),
    ];
    for (place, was, is) in chains {
        if was != is {
            let (before, after) = (was.join(", "), is.join(", "));
            found.push(Difference {
                what: format!("`chain.{place}` was [{before}] and is [{after}]"),
                // What one decider permits is permitted, if no other denies it.
                widens: was.iter().any(|name| !is.contains(name))
                    || place == "deciders" && is.iter().any(|name| !was.contains(name)),
            });
        }
    }
    if old.method != new.method {
        let shown = |method: Option<&'static str>| method.unwrap_or("none");
        found.push(Difference {
            what: format!(
                "texts were de-identified by the method {} and are by {}",
                shown(old.method),
                shown(new.method)
            ),
            // By its method, cleared text may go where no agreement is (I10).
            widens: new.method.is_some(),
        });
    }
    let (was, is) = (&old.chain.transformer, &new.chain.transformer);
    if was != is {
        let shown = |name: &Option<String>| name.as_deref().unwrap_or("none").to_owned();
        found.push(Difference {
            what: format!(
                "`chain.transformer` was {} and is {}",
                shown(was),
                shown(is)
            ),
            // It is lent a key, and its word is what is written.
            widens: is.is_some(),
        });
    }
    found
}

/// Whether any limit is above what a plugin has without a word in the configuration.
fn is_beyond_defaults(is: &Limits) -> bool {
    limits(&Limits::default(), is).any(|(_, default, is)| is > default)
}

/// The imports that give a component something to do: the contract's types, and what goes over HTTP, are words alone.
fn powers(imports: &[String]) -> BTreeSet<String> {
    let bare = imports.iter().map(|import| {
        import
            .split_once('@')
            .map_or(import.as_str(), |(bare, _)| bare)
    });
    bare.filter(|bare| !["nephron:plugin/types", "nephron:plugin/exchange"].contains(bare))
        .map(str::to_owned)
        .collect()
}

fn importing(imports: &BTreeSet<String>) -> String {
    let quoted: Vec<String> = imports.iter().map(|import| format!("`{import}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        quoted => format!(" that imports {}", quoted.join(", ")),
    }
}

/// What a component asks of the host that it did not ask before, though it was granted.
fn of_imports(
    name: &str,
    was: &BTreeSet<String>,
    is: &BTreeSet<String>,
    found: &mut Vec<Difference>,
) {
    let changes = [
        (is.difference(was), "now", true),
        (was.difference(is), "no longer", false),
    ];
    for (imports, how, widens) in changes {
        found.extend(imports.map(|import| Difference {
            what: format!("plugin `{name}` {how} imports `{import}`"),
            widens,
        }));
    }
}

/// Another component, or other settings. Of what looks for identifiers, and of what is lent a key, nobody can tell from the digests whether it
/// still does what it did; of a policy, its text is what was asked for. Another connector or exporter may ask for another path at its endpoint,
/// and for another credential of it.
fn of_code(plugin: &Plugin, was: &PluginRef, is: &PluginRef, found: &mut Vec<Difference>) {
    let name = &plugin.name;
    let is_opaque =
        plugin.grants.keys || matches!(plugin.kind, PluginKind::Detector | PluginKind::Transformer);
    let goes_out = matches!(plugin.kind, PluginKind::Connector | PluginKind::Exporter);
    let changes = [
        (was.digest, is.digest, "component", is_opaque || goes_out),
        (was.settings, is.settings, "settings", is_opaque),
    ];
    for (was, is, what, widens) in changes {
        if was != is {
            found.push(Difference {
                what: format!(
                    "plugin `{name}` has another digest of its {what}: was {was}, is {is}"
                ),
                widens,
            });
        }
    }
}

/// Other statements about a plugin. A certificate that names more than before lets it carry more.
fn of_vouching(
    name: &str,
    (was, is): (&[Vouch], &[Vouch]),
    now: Timestamp,
    found: &mut Vec<Difference>,
) {
    let statements =
        |all: &[Vouch]| -> BTreeSet<Digest> { all.iter().map(|vouch| vouch.statement).collect() };
    if statements(was) == statements(is) {
        return;
    }
    // One that has ended carries nothing any more.
    let (before, after) = (carries(was, now), carries(is, now));
    let more: Vec<String> = after.difference(&before).cloned().collect();
    let vouched = match more.as_slice() {
        [] => String::new(),
        more => format!("; now also for {}", more.join(", ")),
    };
    found.push(Difference {
        what: format!("plugin `{name}` is vouched for by other statements{vouched}"),
        widens: !more.is_empty(),
    });
}

/// For what certificates hold that are live: identifiable text, to an associate under an agreement.
fn carries(vouches: &[Vouch], now: Timestamp) -> BTreeSet<String> {
    let is_of_those =
        |vouch: &&Vouch| vouch.is_live(now) && vouch.classes.contains(&DataClass::Identifiable);
    let mut all = BTreeSet::new();
    for vouch in vouches.iter().filter(is_of_those) {
        for associate in &vouch.associates {
            let agreements = vouch.agreements.iter();
            all.extend(
                agreements
                    .map(|agreement| format!("identifiable text to {associate} under {agreement}")),
            );
        }
    }
    all
}

fn of_authority(was: &Plugin, is: &Plugin, found: &mut Vec<Difference>) {
    let name = &is.name;
    if was.kind != is.kind {
        let (before, after) = (was.kind.as_str(), is.kind.as_str());
        found.push(Difference {
            what: format!("plugin `{name}` was a {before} and is a {after}"),
            widens: true,
        });
    }
    for (limit, was, is) in limits(&was.limits, &is.limits) {
        if was != is {
            found.push(Difference {
                what: format!("plugin `{name}`: `limits.{limit}` was {was} and is {is}"),
                widens: is > was,
            });
        }
    }
    let grants = [
        ("keys", was.grants.keys, is.grants.keys),
        ("null-wasi", was.grants.null_wasi, is.grants.null_wasi),
    ];
    for (grant, was, is) in grants {
        if was != is {
            let now = if is { "now" } else { "no longer" };
            found.push(Difference {
                what: format!("plugin `{name}`: `grant.{grant}` is {now} given"),
                widens: is,
            });
        }
    }
}

/// Each limit, before and after: bytes, counts, or milliseconds.
fn limits(was: &Limits, is: &Limits) -> impl Iterator<Item = (&'static str, u128, u128)> {
    let size = |bytes: usize| u128::try_from(bytes).unwrap_or(u128::MAX);
    let of = |it: &Limits| -> [(&'static str, u128); 11] {
        [
            ("fuel", it.fuel.into()),
            ("configure-fuel", it.configure_fuel.into()),
            ("deadline", it.deadline.as_millis()),
            ("memory", size(it.memory)),
            ("table-elements", size(it.table_elements)),
            ("copied", size(it.copied)),
            ("host-calls", it.host_calls.into()),
            ("host-call-time", it.host_call_time.as_millis()),
            ("component", it.component.into()),
            ("compile-time", u128::from(it.compile_seconds) * 1000),
            ("compile-memory", it.compile_memory.into()),
        ]
    };
    let pairs = of(was).into_iter().zip(of(is));
    pairs.map(|((name, was), (_, is))| (name, was, is))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(found: &[Difference]) -> Vec<(&str, bool)> {
        let told = found.iter().map(|one| (one.what.as_str(), one.widens));
        told.collect()
    }

    #[test]
    fn an_import_that_is_new_widens_and_words_alone_are_none() {
        let imports = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            powers(&names)
        };
        let was = imports(&[
            "nephron:plugin/types@0.1.0",
            "nephron:plugin/diagnostics@0.1.0",
        ]);
        let is = imports(&[
            "nephron:plugin/types@0.1.1",
            "nephron:plugin/exchange@0.1.0",
            "wasi:clocks/wall-clock@0.2.6",
        ]);
        let mut found = Vec::new();
        of_imports("gate", &was, &is, &mut found);
        let expected = [
            ("plugin `gate` now imports `wasi:clocks/wall-clock`", true),
            (
                "plugin `gate` no longer imports `nephron:plugin/diagnostics`",
                false,
            ),
        ];
        assert_eq!(told(&found), expected);
        assert_eq!(importing(&is), " that imports `wasi:clocks/wall-clock`");
        found.clear();
        // Another version of the same is no other power.
        let newer = imports(&["nephron:plugin/diagnostics@0.1.1"]);
        of_imports("gate", &was, &newer, &mut found);
        assert_eq!(told(&found), []);
    }
}
