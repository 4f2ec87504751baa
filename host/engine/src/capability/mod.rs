//! What a guest may be lent, one file per import. A world that does not name an import is never linked to it.

pub mod diagnostics;
pub mod key;
pub mod null_wasi;

use std::time::{Duration, Instant};

use crate::Limits;
use crate::bindings::v0_1::{exchange, types};
use crate::failure::Stop;
use crate::limits::Limiter;

/// The data of one store, and so of one call.
pub struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) budget: Budget,
    pub(crate) keys: wasmtime::component::ResourceTable,
    /// What a lent key authenticated in this call, and the codes.
    pub(crate) macs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) wasi: null_wasi::NullWasi,
    /// What the guest says of itself, where its author listens; nobody else may (I9).
    pub(crate) saying: Option<diagnostics::Saying>,
}

impl Guest {
    pub(crate) fn new(limits: &Limits, wasi: null_wasi::NullWasi) -> Self {
        let mut keys = wasmtime::component::ResourceTable::new();
        keys.set_max_capacity(16);
        Self {
            limiter: Limiter::new(limits),
            budget: Budget::new(limits),
            keys,
            macs: Vec::new(),
            wasi,
            saying: None,
        }
    }
}

/// Host calls that are left in this call.
#[derive(Debug)]
pub(crate) struct Budget {
    calls: u32,
    time: Duration,
}

impl Budget {
    fn new(limits: &Limits) -> Self {
        Self {
            calls: limits.host_calls,
            time: limits.host_call_time,
        }
    }

    /// Takes one call off.
    pub(crate) fn spend(&mut self) -> wasmtime::Result<()> {
        self.calls = self.calls.checked_sub(1).ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Takes off the time that a call took.
    pub(crate) fn charge(&mut self, took: Duration) -> wasmtime::Result<()> {
        self.time = self.time.checked_sub(took).ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Takes one call off and bounds how long `call` may take. Epochs alone do not stop a host call.
    pub(crate) async fn within<T>(&mut self, call: impl Future<Output = T>) -> wasmtime::Result<T> {
        self.spend()?;
        let started = Instant::now();
        let result = tokio::time::timeout(self.time, call)
            .await
            .map_err(|_| Stop::HostCalls)?;
        self.time = self.time.saturating_sub(started.elapsed());
        Ok(result)
    }
}

// Vocabulary only: these interfaces have no functions.
impl types::Host for Guest {}
impl exchange::Host for Guest {}
