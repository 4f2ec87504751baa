//! Compile off the request's path: by default in a child process with CPU and memory limits, because a component can
//! be small and still take minutes and gigabytes to compile.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nephron_model::Digest;
use serde::{Deserialize, Serialize};
use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::{Limits, PluginFailure};

/// What a plugin says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One fault in a plugin's settings, as the plugin put it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Path of the key at fault.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{key}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A configured, frozen and compiled component.
pub struct Prepared {
    pub(crate) descriptor: Descriptor,
    /// Digest of the frozen component, before compilation.
    pub(crate) frozen: Digest,
    frozen_bytes: u64,
    pub(crate) native: Vec<u8>,
}

impl Prepared {
    /// Bytes of the component with its configured memory in it, before compilation.
    #[must_use]
    pub const fn frozen_bytes(&self) -> u64 {
        self.frozen_bytes
    }

    /// Bytes of native code.
    #[must_use]
    pub const fn native_bytes(&self) -> usize {
        self.native.len()
    }
}

/// Why a vetted component cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The plugin refuses its settings.
    #[error("the plugin refuses its settings: {}", list(.0))]
    Settings(Vec<Problem>),
    /// `describe` or `configure` failed.
    #[error("the plugin {0} while it was configured")]
    Failed(PluginFailure),
    /// Its memory cannot be frozen.
    #[error("the configured plugin cannot be frozen: {0}")]
    Snapshot(String),
    /// It does not fit the host's functions.
    #[error("the component does not fit the contract: {0}")]
    Link(String),
    /// Cranelift refused it.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// The compiling process was ended, or ended itself, at its limits.
    #[error(
        "compiling took more than {seconds} s of CPU or {memory} bytes of memory, and was stopped"
    )]
    Limits {
        /// CPU seconds allowed.
        seconds: u64,
        /// Bytes allowed.
        memory: u64,
    },
    /// The compiling process could not be run.
    #[error("the compiler `{program}` did not run to its end")]
    Process {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl PrepareError {
    /// Which case it is, as the log has it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings-refused",
            Self::Failed(failure) => failure.code(),
            Self::Snapshot(_) => "cannot-be-frozen",
            Self::Link(_) => "does-not-fit",
            Self::Compile(_) => "cannot-be-compiled",
            Self::Limits { .. } => "compile-limits",
            Self::Process { .. } => "no-compiler",
        }
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
impl PrepareError {
    pub(crate) fn snapshot(error: wasmtime::Error) -> Self {
        Self::Snapshot(format!("{error:#}"))
    }

    pub(crate) fn link(error: wasmtime::Error) -> Self {
        Self::Link(format!("{error:#}"))
    }

    pub(crate) fn compile(error: wasmtime::Error) -> Self {
        Self::Compile(format!("{error:#}"))
    }
}

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process: for components that the host's own build made, and for tests.
    InProcess,
    /// In a child process, which must call [`serve`] on its standard streams.
    Process {
        /// The program, usually this very one.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Order {
    settings: String,
    limits: Limits,
    length: u64,
}

#[derive(Serialize, Deserialize)]
enum Report {
    Prepared {
        descriptor: Descriptor,
        frozen: Digest,
        frozen_bytes: u64,
    },
    Settings(Vec<Problem>),
    Failed {
        code: String,
    },
    Snapshot(String),
    Link(String),
    Compile(String),
}

impl Compiler {
    /// Configures, freezes and compiles.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn prepare(
        &self,
        component: &[u8],
        settings: &str,
        limits: &Limits,
    ) -> Result<Prepared, PrepareError> {
        match self {
            Self::InProcess => prepare(component, settings, limits).await,
            Self::Process { program, arguments } => {
                let order = Order {
                    settings: settings.to_owned(),
                    limits: limits.clone(),
                    length: u64::try_from(component.len()).unwrap_or(u64::MAX),
                };
                let (program, arguments, component) =
                    (program.clone(), arguments.clone(), component.to_vec());
                let run = move || in_child(&program, &arguments, &order, &component);
                tokio::task::spawn_blocking(run)
                    .await
                    .map_err(|error| PrepareError::Compile(error.to_string()))?
            }
        }
    }
}

fn in_child(
    program: &Path,
    arguments: &[String],
    order: &Order,
    component: &[u8],
) -> Result<Prepared, PrepareError> {
    let process = |source| PrepareError::Process {
        program: program.to_owned(),
        source,
    };
    let stopped = || PrepareError::Limits {
        seconds: order.limits.compile_seconds,
        memory: order.limits.compile_memory,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(process)?;
    let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(stopped());
    };
    let mut header =
        serde_json::to_vec(order).map_err(|error| PrepareError::Compile(error.to_string()))?;
    header.push(b'\n');
    // The child reads everything before it answers, so writing first cannot deadlock. A child that died early breaks
    // the pipe; how it died says why.
    let _sent = to.write_all(&header).and_then(|()| to.write_all(component));
    drop(to);
    let mut answer = Vec::new();
    let read = from.read_to_end(&mut answer);
    let status = child.wait().map_err(process)?;
    read.map_err(process)?;
    // SIGHUP, SIGINT, SIGTERM: whoever stops this process by its group stops the compiler, too.
    if let Some(signal @ (1 | 2 | 15)) = status.signal() {
        let told = format!("it was told to stop by signal {signal}");
        return Err(process(std::io::Error::other(told)));
    }
    let Some(line) = answer
        .iter()
        .position(|byte| *byte == b'\n')
        .filter(|_| status.success())
    else {
        return Err(stopped());
    };
    let native = answer.split_off(line + 1);
    let report = serde_json::from_slice(&answer)
        .map_err(|error| PrepareError::Compile(error.to_string()))?;
    match report {
        Report::Prepared {
            descriptor,
            frozen,
            frozen_bytes,
        } => Ok(Prepared {
            descriptor,
            frozen,
            frozen_bytes,
            native,
        }),
        Report::Settings(problems) => Err(PrepareError::Settings(problems)),
        Report::Failed { code } => Err(PrepareError::Failed(match code.as_str() {
            "out-of-fuel" => PluginFailure::OutOfFuel,
            "out-of-memory" => PluginFailure::OutOfMemory,
            _ => PluginFailure::Trapped("while configured"),
        })),
        Report::Snapshot(text) => Err(PrepareError::Snapshot(text)),
        Report::Link(text) => Err(PrepareError::Link(text)),
        Report::Compile(text) => Err(PrepareError::Compile(text)),
    }
}

/// The child's side of [`Compiler::Process`]: reads one order, limits itself, works, reports.
///
/// # Errors
/// When the streams break or the limits cannot be set; the parent sees a failed process.
pub fn serve(mut input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    let mut header = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        input.read_exact(&mut byte)?;
        header.extend_from_slice(&byte);
    }
    let order: Order = serde_json::from_slice(&header)?;
    let mut component = Vec::new();
    input.take(order.length).read_to_end(&mut component)?;
    hold_to(&order.limits)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let prepared = runtime.block_on(prepare(&component, &order.settings, &order.limits));
    let (report, native) = match prepared {
        Ok(prepared) => (
            Report::Prepared {
                descriptor: prepared.descriptor,
                frozen: prepared.frozen,
                frozen_bytes: prepared.frozen_bytes,
            },
            prepared.native,
        ),
        Err(error) => (
            match error {
                PrepareError::Settings(problems) => Report::Settings(problems),
                PrepareError::Failed(failure) => Report::Failed {
                    code: failure.code().to_owned(),
                },
                PrepareError::Snapshot(text) => Report::Snapshot(text),
                PrepareError::Link(text) => Report::Link(text),
                PrepareError::Compile(text) => Report::Compile(text),
                PrepareError::Limits { .. } | PrepareError::Process { .. } => {
                    Report::Compile(error.to_string())
                }
            },
            Vec::new(),
        ),
    };
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.write_all(&native)?;
    output.flush()
}

/// What is added to the compiler's niceness: beside those who serve it gets a tenth of a core that all want, and so an end.
const BEHIND: i32 = 10;

/// Limits this process: CPU time, and memory that it can write to. Address space is left alone, since wasmtime
/// reserves far more than it uses.
fn hold_to(limits: &Limits) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at = |limit: u64| Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::Cpu, at(limits.compile_seconds))?;
    setrlimit(Resource::Data, at(limits.compile_memory))?;
    setrlimit(Resource::Core, at(0))?;
    // Requests come first. Where that is refused, compiling takes as much of the processor as they do.
    let _priority = rustix::process::nice(BEHIND);
    Ok(())
}

async fn prepare(
    component: &[u8],
    settings: &str,
    limits: &Limits,
) -> Result<Prepared, PrepareError> {
    // The draft runs `configure` once: compile it fast, not well.
    let draft = wasmtime::Engine::new(&config(OptLevel::None)).map_err(PrepareError::compile)?;
    let frozen = crate::snapshot::freeze(&draft, component, settings, limits).await?;
    let engine = wasmtime::Engine::new(&pooled(1)).map_err(PrepareError::compile)?;
    let native = engine
        .precompile_component(&frozen.component)
        .map_err(PrepareError::compile)?;
    Ok(Prepared {
        descriptor: frozen.descriptor,
        frozen: Digest::of(&frozen.component),
        frozen_bytes: u64::try_from(frozen.component.len()).unwrap_or(u64::MAX),
        native,
    })
}

/// What a component may be made of: WebAssembly 3.0 without garbage collection, exceptions, threads and 64-bit memories, and
/// components whose functions answer when they return. Said whole, so that neither a crate's feature nor a newer wasmtime
/// lets in what nobody here has looked at.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC)
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64);

/// What every engine here has: Cranelift only, fuel and epochs, and nothing that would let two runs differ (I8).
fn config(opt_level: OptLevel) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_opt_level(opt_level)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(FEATURES, true)
        .wasm_features(FEATURES.complement(), false)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .max_wasm_stack(512 << 10);
    config
}

/// The engine that serves: a pool with room for `concurrent` calls, each starting from copy-on-write images. Public, so
/// that suites which others wrote can be run against it.
#[must_use]
pub fn pooled(concurrent: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(concurrent)
        .total_core_instances(concurrent.saturating_mul(8).max(40))
        .total_memories(concurrent.saturating_mul(2).max(4))
        .total_tables(concurrent.saturating_mul(4).max(40))
        .total_stacks(concurrent)
        .max_core_instances_per_component(40)
        .max_memories_per_component(4)
        .max_tables_per_component(40)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(Limits::TABLE_CEILING)
        .max_memory_size(Limits::MEMORY_CEILING)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = config(OptLevel::Speed);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
