//! The binary `nephron`. Its commands are in `cli/`, one file each.

use std::process::ExitCode;

fn main() -> ExitCode {
    nephron_gateway::cli::main()
}
