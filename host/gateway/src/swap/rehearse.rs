//! A candidate answers its conformance cases before it is staged: those that every plugin of its world keeps, and those that the
//! operator names for it.

use std::path::Path;
use std::sync::Arc;

use nephron_engine::{Engine, Plugin};

use super::SwapError;
use crate::config::Config;
use crate::conformance::{Case, CaseError, check, every};
use crate::roster::Roster;

/// Has each plugin that does not serve already as it is answer its cases.
///
/// # Errors
/// [`SwapError::Cases`], [`SwapError::Unfit`].
pub(super) async fn rehearse(
    engine: &Engine,
    config: &Config,
    candidate: &Roster,
    serving: Option<&Roster>,
) -> Result<(), SwapError> {
    for configured in &config.plugins {
        let name = configured.name.as_str();
        let Some(plugin) = candidate.plugin(name) else {
            continue;
        };
        let serves = serving.and_then(|serving| serving.plugin(name));
        let is_new = serves.is_none_or(|serves| !is_same(serves, plugin));
        let cases = every(plugin.world()).and_then(|mut cases| {
            if !is_new {
                cases.clear();
            }
            if let Some(folder) = &configured.cases {
                cases.extend(named(folder)?);
            }
            Ok(cases)
        });
        let cases = cases.map_err(|source| SwapError::Cases {
            plugin: name.to_owned(),
            source,
        })?;
        for case in &cases {
            let outcome = check(engine, plugin, case).await;
            if let Some(fault) = outcome.fault {
                return Err(SwapError::Unfit {
                    plugin: name.to_owned(),
                    case: outcome.name,
                    fault,
                });
            }
        }
    }
    Ok(())
}

/// Whether two are one: what was kept of what served is loaded anew at a start.
fn is_same(one: &Arc<Plugin>, other: &Arc<Plugin>) -> bool {
    let is_as = || one.reference() == other.reference() && one.limits() == other.limits();
    Arc::ptr_eq(one, other) || is_as()
}

/// The cases in a folder, which is there: whoever names one does not mean none.
fn named(folder: &Path) -> Result<Vec<Case>, CaseError> {
    match folder.metadata() {
        Ok(_) => Case::all_in(folder),
        Err(source) => Err(CaseError::Read {
            path: folder.to_owned(),
            source,
        }),
    }
}
