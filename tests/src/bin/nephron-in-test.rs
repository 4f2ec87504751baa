//! The command line as `nephron` has it, built with the tests: cargo gives an integration test the path of its own
//! package's binaries only.

fn main() -> std::process::ExitCode {
    nephron_gateway::cli::main()
}
