//! A working decider followed by 200 MB of zeros, in a custom section that no reader needs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::world::{self, PERMITS};

/// Bytes of the zeros: 200 MB.
pub const PADDING: u32 = 200_000_000;

/// Writes the component to `path` and gives its length in bytes. The file is sparse: the zeros take no room on disk.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path) -> io::Result<u64> {
    let mut file = File::create(path)?;
    let head = head();
    file.write_all(&head)?;
    let length = head.len() as u64 + u64::from(PADDING);
    file.set_len(length)?;
    Ok(length)
}

/// Everything before the zeros: the component, and the header of a custom section (id 0, size, name `padding`).
pub(crate) fn head() -> Vec<u8> {
    const NAME: &[u8] = b"\x07padding";
    let mut bytes = world::component("is-padding", "access-policy", 1, "", PERMITS);
    bytes.push(0);
    let mut size = PADDING + 8;
    // LEB128, as every size in Wasm: seven bits a byte, the lowest first.
    while size >= 0x80 {
        bytes.push(0x80 | (size & 0x7f).to_le_bytes()[0]);
        size >>= 7;
    }
    bytes.push(size.to_le_bytes()[0]);
    bytes.extend_from_slice(NAME);
    bytes
}
