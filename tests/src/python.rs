//! Unmodified client libraries of the Python registry, in an environment of their own under `target`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Runs `tests/sdk/<script>` with the libraries of `tests/sdk/requirements.txt`, which are installed at first use.
/// Gives what it printed; panics with its errors if it failed.
#[must_use]
pub fn python(script: &str, environment: &[(&str, &str)]) -> String {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    let output = Command::new(ENVIRONMENT.join("bin/python"))
        .arg(sdk.join(script))
        .envs(environment.iter().copied())
        .output()
        .expect("python runs");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{script}:\n{out}\n{err}");
    out
}

static ENVIRONMENT: LazyLock<PathBuf> = LazyLock::new(|| {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).expect("the requirements");
    let target = crate::components::folder().parent().expect("target");
    let folder = target.join("tests-python");
    let made = folder.join("requirements-installed.txt");
    if std::fs::read_to_string(&made).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    let _none = std::fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    run(Command::new(folder.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&requirements));
    std::fs::write(&made, wanted).expect("a mark");
    folder
});

fn run(command: &mut Command) {
    // The tests of client libraries need Python 3.9 or newer.
    let output = command.output().expect("python3 runs");
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
