//! Where a call's own memory lies: side by side, and not in the holes that `configure` left.
//!
//! Each call starts from the image of `configure`'s memory, and the host lays back each page that a call wrote to. It
//! does so in place for as long as they lie in few runs (wasmtime: 32); beyond that it gives pages back to the system,
//! and the next call has to fetch them one by one. The holes that building tables leaves are many and small.

use std::hint::black_box;

/// Bytes that a call has before its memory must grow.
const ROOM: usize = 1 << 20;

/// Sizes of the plugs, in bytes: the largest first, so that the small ones are few.
const PLUGS: [usize; 13] = [
    64 << 10,
    32 << 10,
    16 << 10,
    8 << 10,
    4 << 10,
    2 << 10,
    1 << 10,
    512,
    256,
    128,
    64,
    32,
    8,
];

/// Leaves one free stretch in the heap. All other holes are filled, for good.
pub(crate) fn leave_one_hole() {
    let room = black_box(vec![0u8; ROOM]);
    for size in PLUGS {
        let before = pages();
        while pages() == before {
            black_box(Vec::<u8>::with_capacity(size)).leak();
        }
    }
    drop(room);
}

/// Pages of the component's memory. It grows when no hole is left that fits.
fn pages() -> usize {
    core::arch::wasm32::memory_size::<0>()
}
