//! `cargo xtask guests`: every component that this repository builds from source, first-party plugins first.

use std::io::{self, Write};

use anyhow::Context as _;
use nephron_forge::{Built, Options, build, plugin_folders, report_to_stderr};

use crate::root;

/// Builds the plugins and the test guests, and lists them. What `tests/made` makes byte by byte needs no building.
pub(crate) fn run() -> anyhow::Result<()> {
    let built = build_folders(&["plugins", "tests/guests"])?;
    let mut rows = Vec::with_capacity(built.len());
    for component in built {
        let size = std::fs::metadata(&component.component)
            .with_context(|| format!("`{}` is gone again", component.component.display()))?;
        rows.push((component, size.len()));
    }
    list(&rows, &mut io::stdout().lock()).context("standard output")
}

/// Builds every plugin in these folders of the checkout, with progress on standard error.
pub(crate) fn build_folders(parents: &[&str]) -> anyhow::Result<Vec<Built>> {
    let root = root()?;
    let mut folders = Vec::new();
    for parent in parents {
        folders.extend(plugin_folders(&root.join(parent))?);
    }
    let mut progress = report_to_stderr();
    build(&folders, &mut Options::new(&mut progress)).context("the plugins cannot be built")
}

/// `bytes` as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(rows: &[(Built, u64)], out: &mut impl Write) -> io::Result<()> {
    let widest = |text: fn(&Built) -> &str| {
        rows.iter()
            .map(|(built, _)| text(built).len())
            .max()
            .unwrap_or_default()
    };
    let (name, world) = (widest(|built| &built.name), widest(|built| &built.world));
    for (built, bytes) in rows {
        let Built {
            name: n,
            world: w,
            digest,
            ..
        } = built;
        writeln!(
            out,
            "{n:<name$}  {w:<world$}  {bytes:>10}  sha256:{}",
            hex(digest)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_name_world_size_and_digest() {
        let built = |name: &str, world: &str| Built {
            name: name.to_owned(),
            world: world.to_owned(),
            version: "0.1.0".to_owned(),
            folder: name.into(),
            component: name.into(),
            digest: [0xab; 32],
        };
        let rows = [
            (built("cedar-policy", "access-policy"), 3_012_345),
            (built("noop", "deidentifier"), 7),
        ];
        let mut out = Vec::new();
        list(&rows, &mut out).unwrap();
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "cedar-policy  access-policy     3012345  {digest}\nnoop          deidentifier            7  {digest}\n"
            )
        );
    }
}
