//! The command line as `nephron` has it, built with the tests: cargo gives an integration test the path of its own
//! package's binaries only.

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> std::process::ExitCode {
    nephron_gateway::cli::main()
}
