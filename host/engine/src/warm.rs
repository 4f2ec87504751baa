//! An instance that is kept between calls. For measuring what a fresh one costs, and for nothing else: a request never
//! meets an instance that another has used (I5).

use std::time::Instant;

use wasmtime::Store;

use crate::bindings::v0_1::access_policy::AccessPolicy;
use crate::capability::Guest;
use crate::capability::null_wasi::NullWasi;
use crate::contract::Query;
use crate::instance::new_store;
use crate::load::Pre;
use crate::{Answer, Engine, Plugin, PluginFailure, Verdict};

/// A decider that was instantiated once.
pub struct Warm {
    store: Store<Guest>,
    guest: AccessPolicy,
    fuel: u64,
}

impl Warm {
    /// Instantiates a decider.
    ///
    /// # Errors
    /// [`PluginFailure`] when it is no decider or cannot be instantiated.
    pub async fn new(engine: &Engine, plugin: &Plugin) -> Result<Self, PluginFailure> {
        let Pre::AccessPolicy(pre) = &plugin.pre else {
            return Err(PluginFailure::NotRun("another-world"));
        };
        let mut store = new_store(&engine.inner, &plugin.limits, NullWasi::default());
        let guest = pre.instantiate_async(&mut store).await;
        let guest = guest.map_err(|error| PluginFailure::from_wasmtime(&error, false))?;
        Ok(Self {
            store,
            guest,
            fuel: plugin.limits.fuel,
        })
    }

    /// Asks it once more.
    pub async fn decide(&mut self, query: &Query) -> Verdict {
        let started = Instant::now();
        let _fuelled = self.store.set_fuel(self.fuel);
        crate::instance::expire_after(&mut self.store, std::time::Duration::from_secs(60));
        let asked = self
            .guest
            .nephron_plugin_decider()
            .call_decide(&mut self.store, query)
            .await;
        let answer = asked
            .map(Answer::Decided)
            .map_err(|error| PluginFailure::from_wasmtime(&error, false));
        let fuel = self
            .fuel
            .saturating_sub(self.store.get_fuel().unwrap_or_default());
        Verdict {
            answer,
            fuel,
            elapsed: started.elapsed(),
        }
    }
}
