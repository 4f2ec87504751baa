//! What a cipher leaves on the stack: round keys, and the last block of a text.

use std::hint::black_box;

/// Bytes that are overwritten, from where the work began downward. The ciphers and hashes here use less than half.
const DEPTH: usize = 16 * 1024;

/// Runs `work`, then overwrites the stack below the caller's frame, where `work` had its own.
pub(crate) fn swept<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    sweep();
    done
}

/// Never inlined, so that nothing of `work` lies in the caller's frame.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn sweep() {
    let mut below = [0u8; DEPTH];
    black_box(&mut below);
}
