//! The machine as child processes see it: where programs are found, and what of our environment reaches them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

/// Starts programs by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Where programs are looked for instead of in our `PATH`.
    pub(crate) path: Option<OsString>,
}

impl Machine {
    /// A command with no standard input and none of the variables that a cargo around us has set.
    ///
    /// Under `cargo run`, `cargo test`, clippy or a coverage tool our environment holds compiler flags, wrappers and
    /// package variables; a nested cargo would take them for the user's and rebuild, or break, every plugin.
    /// `RUSTUP_TOOLCHAIN` stays: it names the toolchain that the caller uses, which is known to be installed.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| leads_cargo_astray(name)) {
            command.env_remove(name);
        }
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        // Children run in the workspace, so a relative folder would be another one there.
        if let Some(Ok(folder)) = env::var_os("CARGO_TARGET_DIR").map(std::path::absolute) {
            command.env("CARGO_TARGET_DIR", folder);
        }
        command.stdin(Stdio::null());
        command
    }
}

/// Variables about *where crates come from* are the user's and stay; about *how to compile*, they go.
const KEPT: [&str; 9] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_BUILD_JOBS",
    "CARGO_TERM_",
    "CARGO_TARGET_DIR",
];

fn leads_cargo_astray(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let flags = [
        "RUSTC",
        "RUSTFLAGS",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
    ];
    let ours = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    ours || name == "CARGO" || flags.contains(&name) || name.starts_with("RUSTC_")
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_wrappers_of_a_cargo_around_us_do_not_reach_the_child() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_INCREMENTAL",
            "CARGO_MAKEFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_PROFILE_PLUGIN_LTO",
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            "CLIPPY_ARGS",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
        ] {
            assert!(leads_cargo_astray(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_REGISTRIES_OURS_INDEX",
            "CARGO_HTTP_PROXY",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "HOME",
        ] {
            assert!(!leads_cargo_astray(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn this_very_test_runs_under_a_cargo_whose_variables_the_child_does_not_see() {
        assert!(
            env::var_os("CARGO_MANIFEST_DIR").is_some(),
            "cargo sets it for tests"
        );
        let output = Machine::default().command("env").output().unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !seen.contains("CARGO_MANIFEST_DIR=") && seen.contains("PATH="),
            "{seen}"
        );
    }
}
