//! The binary `nephron`. Its commands are in `cli/`, one file each.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    nephron_gateway::cli::main()
}
