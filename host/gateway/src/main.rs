//! The binary `nephron`. Its commands are in `cli/`, one file each.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// What is given back is overwritten: texts of requests lie in many buffers that no type of ours marks (I9).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> ExitCode {
    nephron_gateway::cli::main()
}
