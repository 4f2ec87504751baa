//! What one call may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

/// Limits of a plugin. The defaults suit the first-party plugins with room to spare; an operator may set others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Fuel for one call: roughly one unit per Wasm instruction, counted deterministically.
    pub fuel: u64,
    /// Fuel for `configure`, which runs once, off the request's path.
    pub configure_fuel: u64,
    /// Wall-clock time for one call, host calls included.
    pub deadline: Duration,
    /// Bytes of linear memory, at most [`Limits::MEMORY_CEILING`].
    pub memory: usize,
    /// Elements of all tables.
    pub table_elements: usize,
    /// Bytes that the host copies out of the guest in one crossing: a result, or the arguments of a host call.
    pub copied: usize,
    /// Host calls in one call.
    pub host_calls: u32,
    /// Wall-clock time spent inside host calls in one call; it counts against `deadline` too.
    pub host_call_time: Duration,
    /// Bytes of the component's file.
    pub component: u64,
    /// CPU seconds for compiling it.
    pub compile_seconds: u64,
    /// Bytes of memory for compiling it.
    pub compile_memory: u64,
}

impl Limits {
    /// What a memory slot of the pool holds: no plugin can be given more.
    pub const MEMORY_CEILING: usize = 64 << 20;
    /// What a table slot of the pool holds.
    pub const TABLE_CEILING: usize = 20_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 2_000_000_000,
            configure_fuel: 20_000_000_000,
            deadline: Duration::from_secs(2),
            memory: Self::MEMORY_CEILING,
            table_elements: Self::TABLE_CEILING,
            copied: 16 << 20,
            host_calls: 1_000,
            host_call_time: Duration::from_secs(1),
            component: 32 << 20,
            compile_seconds: 120,
            compile_memory: 3 << 30,
        }
    }
}

/// Holds one store to its limits and remembers which one it hit, because all that the guest sees is a failed
/// allocation, and all that the host sees of that is a trap.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    table_elements: usize,
    pub(crate) refused_memory: bool,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: limits.memory.min(Limits::MEMORY_CEILING),
            table_elements: limits.table_elements.min(Limits::TABLE_CEILING),
            refused_memory: false,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = desired <= self.memory;
        self.refused_memory |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = desired <= self.table_elements;
        self.refused_memory |= !granted;
        Ok(granted)
    }
}
