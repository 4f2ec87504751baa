//! The binary `nephron`. Its commands are in `cli/`, one file each.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    nephron_gateway::cli::main()
}
