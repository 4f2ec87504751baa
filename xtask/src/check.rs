//! `cargo xtask check`: what continuous integration runs, in the same order.

use std::io::{self, Write as _};
use std::time::Instant;

use anyhow::Context as _;

use crate::cargo;

/// The commands of `.ci/run`, without `cargo`.
const STEPS: [&[&str]; 3] = [
    &["fmt", "--all", "--check"],
    &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ],
    &["test", "--workspace"],
];

/// Runs each step and says how long it took; stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    for step in STEPS {
        let begun = Instant::now();
        cargo(step)?;
        let seconds = begun.elapsed().as_secs_f64();
        writeln!(io::stderr(), "    ok after {seconds:.1} s").context("standard error")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_those_of_continuous_integration() {
        let script = std::fs::read_to_string(crate::root().unwrap().join(".ci/run")).unwrap();
        let theirs: Vec<&str> = script
            .lines()
            .filter_map(|line| line.strip_prefix("cargo "))
            .collect();
        let ours: Vec<String> = STEPS.iter().map(|step| step.join(" ")).collect();
        assert_eq!(theirs, ours);
    }
}
