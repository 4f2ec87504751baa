//! `[log]`: how the logs are vouched for, and how long what is sealed in them is kept.

use std::time::Duration;

use nephron_audit::Retention;

use super::reader::Table;

/// How logs are vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Between two checkpoints of each log, which the host's log commits to.
    pub checkpoint_every: Duration,
    /// Between two that each anchor takes.
    pub anchor_every: Duration,
    /// How long sealed payloads are kept; nothing: for ever.
    pub retention: Option<Retention>,
}

impl Log {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let minute = Duration::from_secs(60);
        let hour = Duration::from_secs(3600);
        Self {
            checkpoint_every: table.duration("checkpoint-every", minute..=24 * hour, hour),
            anchor_every: table.duration("anchor-every", minute..=24 * hour, 24 * hour),
            retention: table.value("retention").and_then(|value| value.parsed()),
        }
    }
}
