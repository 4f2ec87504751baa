//! `cargo xtask dist`: what an operator runs, in one folder that `sha256sum -c SHA256SUMS` checks.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::components::{build_folders, hex};
use crate::{cargo, root};

/// The programs, as `target/release` has them.
const PROGRAMS: [&str; 2] = ["nephron", "audit-verify"];
/// The list of digests.
const SUMS: &str = "SHA256SUMS";

/// Builds programs and first-party components, and puts them into `dist/` of the target folder. `nephron` looks for
/// components in `plugins/` beside itself, so the folder can be moved as a whole.
pub(crate) fn run() -> anyhow::Result<()> {
    let built = build_folders(&["plugins"])?;
    // Components lie in `plugins/` of the target folder, wherever `CARGO_TARGET_DIR` has put that.
    let components = built.first().and_then(|built| built.component.parent());
    let target = components
        .and_then(Path::parent)
        .context("no plugin was built")?;
    let target_text = target
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    cargo(&[
        "build",
        "--release",
        "--locked",
        "--target-dir",
        target_text,
        "--package",
        "nephron-gateway",
        "--bin",
        "nephron",
        "--package",
        "nephron-audit",
        "--bin",
        "audit-verify",
    ])?;

    let dist = target.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)
            .with_context(|| format!("`{}` cannot be emptied", dist.display()))?;
    }
    let plugins = dist.join("plugins");
    fs::create_dir_all(&plugins)
        .with_context(|| format!("`{}` cannot be made", plugins.display()))?;
    for program in PROGRAMS {
        copy(&target.join("release").join(program), &dist)?;
    }
    // Apache-2.0, section 4(a): whoever receives the work receives the licence.
    copy(&root()?.join("LICENSE"), &dist)?;
    for plugin in &built {
        copy(&plugin.component, &plugins)?;
    }
    let sums = sums(&dist)?;
    fs::write(dist.join(SUMS), &sums).with_context(|| format!("`{SUMS}` cannot be written"))?;
    write!(io::stdout(), "{}\n{sums}", dist.display()).context("standard output")
}

fn copy(file: &Path, into: &Path) -> anyhow::Result<()> {
    let name = file
        .file_name()
        .with_context(|| format!("`{}` names no file", file.display()))?;
    fs::copy(file, into.join(name))
        .with_context(|| format!("`{}` cannot be copied", file.display()))?;
    Ok(())
}

/// A line for each file in `folder` and its folders, sorted by path, as `sha256sum` writes them.
fn sums(folder: &Path) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for item in
            fs::read_dir(&next).with_context(|| format!("`{}` cannot be listed", next.display()))?
        {
            let path = item?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes =
                fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            let name = path.strip_prefix(folder)?.display().to_string();
            lines.push((name, hex(&Sha256::digest(&bytes))));
        }
    }
    lines.sort();
    Ok(lines
        .into_iter()
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_line_in_the_form_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plugins")).unwrap();
        // FIPS 180-4's example "abc", and the empty message.
        fs::write(folder.path().join("plugins/b"), "abc").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(
            sums(folder.path()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  plugins/b\n"
        );
    }
}
