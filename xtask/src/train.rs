//! `cargo xtask train NOTES`: makes the model of `plugins/safe-harbor` anew from labelled notes.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Trains on `notes`, JSON lines as `shared/data` has them, perhaps packed by xz.
pub(crate) fn run(notes: &str) -> anyhow::Result<()> {
    let notes = std::path::absolute(notes).context("the working folder is gone")?;
    let lines = unpacked(&notes)?;
    let lines = lines
        .to_str()
        .with_context(|| format!("`{}` is no UTF-8", lines.display()))?;
    crate::cargo(&[
        "run",
        "--release",
        "-p",
        "safe-harbor",
        "--example",
        "train",
        "--",
        lines,
        "plugins/safe-harbor/words/model.bin",
    ])
}

/// The file itself, or what `xz` unpacks of it into the target folder.
fn unpacked(notes: &Path) -> anyhow::Result<PathBuf> {
    if notes.extension() != Some(OsStr::new("xz")) {
        return Ok(notes.to_owned());
    }
    let lines = crate::root()?.join("target").join("train.jsonl");
    if let Some(folder) = lines.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("`{}` cannot be made", folder.display()))?;
    }
    let out =
        File::create(&lines).with_context(|| format!("`{}` cannot be made", lines.display()))?;
    let status = Command::new("xz")
        .args(["--decompress", "--stdout", "--keep"])
        .arg(notes)
        .stdout(out)
        .status()
        .context("`xz` cannot be run; install xz-utils")?;
    ensure!(
        status.success(),
        "`xz` cannot unpack `{}` ({status})",
        notes.display()
    );
    Ok(lines)
}
