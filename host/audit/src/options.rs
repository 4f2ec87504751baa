//! How a log is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::frame::{FRAME_HEADER, MAX_SEGMENT, SEGMENT_HEADER};
use crate::view::{PartedViews, Views};
use crate::{Disk, OpenError, RealDisk};

/// How a log is kept. [`Options::default`] is what production uses.
#[derive(Clone)]
pub struct Options {
    /// Bytes of a journal segment, 4 KiB to 1 GiB; a frame that needs more gets a segment of its own. Default 4 MiB.
    pub segment_size: u64,
    /// Entries that may wait for the disk; further callers are held up. Default 4096.
    pub queue_entries: usize,
    /// Bytes of frames that may wait for the disk. Default 64 MiB.
    pub queue_bytes: usize,
    /// Bytes that one entry may have, with payload and records. Default 32 MiB, at most 512 MiB.
    pub frame_limit: usize,
    /// Bytes of journal up to which all of it is read before the log is open. Of a longer one what the newest checkpoint covers is left for
    /// later, but for the segment with its last entry: a thread reads it while the log serves. Default 128 MiB.
    pub read_first: u64,
    /// How long a log may have nothing to do before it goes to rest: its view is closed and its threads end, until there is something. Until
    /// it was open for as long, a thirtieth of that is enough: who opens many does not want them all awake. Default 5 minutes.
    pub rest_after: Duration,
    /// The disk. A test puts one in that fails.
    pub disk: Arc<dyn Disk>,
    /// The store of the view.
    pub view: Arc<dyn Views>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 4 << 20,
            queue_entries: 4096,
            queue_bytes: 64 << 20,
            frame_limit: 32 << 20,
            read_first: 128 << 20,
            rest_after: Duration::from_secs(300),
            disk: Arc::new(RealDisk),
            view: Arc::new(PartedViews::default()),
        }
    }
}

/// Refuses options that the format cannot hold.
pub(crate) fn check(options: &Options) -> Result<(), OpenError> {
    let frame_limit = options.frame_limit as u64;
    let least = (SEGMENT_HEADER + FRAME_HEADER) as u64;
    let fault = |option, given, expected| {
        Err(OpenError::Options {
            option,
            given,
            expected,
        })
    };
    if !(4096..=MAX_SEGMENT).contains(&options.segment_size) {
        return fault("segment_size", options.segment_size, "4 KiB to 1 GiB");
    }
    if !(least..=512 << 20).contains(&frame_limit) {
        return fault("frame_limit", frame_limit, "168 bytes to 512 MiB");
    }
    Ok(())
}
