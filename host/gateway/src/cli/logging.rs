//! Where nephron's own `tracing` events go. Never PHI, and not the audit log.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Which events are written.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Level {
    /// Nothing
    Off,
    /// What wakes someone
    Error,
    /// What needs a look this week
    #[default]
    Warn,
    /// Changes of state
    Info,
    /// Steps, for whoever looks for a fault
    Debug,
    /// Everything
    Trace,
}

/// How events are written.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Sends events of at least `level` to standard error.
///
/// Only nephron's own crates are heard: what a library writes at `trace` has not been held to I9.
pub(super) fn start(level: Level, format: Format) {
    let level = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target("nephron", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    // A process has one subscriber; where an embedding program has set its own, that one stays.
    let _already_set = tracing_subscriber::registry()
        .with(lines.with_filter(ours))
        .try_init();
}
