//! `nephron plugin build`: from source folders to components.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_forge::{Built, Manifest, Options, find_workspace, plugin_folders};
use nephron_model::Digest;

use crate::cli::style::Look;
use crate::cli::table::{Align, Cell, Table, json_lines};
use crate::cli::text::number;
use crate::cli::{Failure, Globals};

/// Build plugins from their source folders, each of which holds a `plugin.toml`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Source folders; without any, the project that this folder is, else every first-party plugin of this checkout
    folders: Vec<PathBuf>,
    /// Where to build, instead of the workspace's own target folder; components come to its `plugins`
    #[arg(long, value_name = "FOLDER")]
    target_dir: Option<PathBuf>,
    /// Do without the network
    #[arg(long)]
    offline: bool,
    /// Print one JSON object for each plugin, with its full digest
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let Args {
        folders,
        target_dir,
        offline,
        json,
    } = args;
    let building = tokio::task::spawn_blocking(move || build(folders, target_dir, offline));
    let built = building.await.context("the build was broken off")??;
    let written = if json {
        json_lines(&built, &mut io::stdout().lock())
    } else {
        write_table(&built, Look::of_stdout(), &mut anstream::stdout().lock())
    };
    written.map_err(Failure::output)
}

/// Builds the project in `folder`, and gives its component.
pub(super) async fn component_of(
    folder: &Path,
    target_dir: Option<PathBuf>,
    offline: bool,
) -> anyhow::Result<PathBuf> {
    let folders = vec![folder.to_owned()];
    let building = tokio::task::spawn_blocking(move || build(folders, target_dir, offline));
    let built = building.await.context("the build was broken off")??;
    let built = built.into_iter().next().context("nothing was built")?;
    Ok(built.path)
}

/// What was built, as it is shown.
#[derive(serde::Serialize)]
struct Row {
    name: String,
    world: String,
    version: String,
    digest: Digest,
    bytes: u64,
    path: PathBuf,
}

fn build(
    mut folders: Vec<PathBuf>,
    target_dir: Option<PathBuf>,
    offline: bool,
) -> anyhow::Result<Vec<Row>> {
    if folders.is_empty() && Path::new(Manifest::FILE).is_file() {
        folders.push(PathBuf::from("."));
    } else if folders.is_empty() {
        let here = std::env::current_dir().context("the working folder cannot be named")?;
        let root = find_workspace(&here).context("the first-party plugins cannot be found")?;
        folders = plugin_folders(&root.join("plugins"))?;
    }
    let mut progress = nephron_forge::report_to_stderr();
    let mut options = Options::new(&mut progress);
    options.target_dir = target_dir;
    options.offline = offline;
    let built =
        nephron_forge::build(&folders, &mut options).context("the plugins cannot be built")?;
    built.into_iter().map(row).collect()
}

fn row(built: Built) -> anyhow::Result<Row> {
    let Built {
        name,
        world,
        version,
        component: path,
        digest,
        ..
    } = built;
    let size =
        std::fs::metadata(&path).with_context(|| format!("`{}` is gone again", path.display()))?;
    Ok(Row {
        name,
        world,
        version,
        digest: Digest(digest),
        bytes: size.len(),
        path,
    })
}

fn write_table(rows: &[Row], look: Look, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(
        0,
        &[
            ("name", Align::Left),
            ("world", Align::Left),
            ("version", Align::Left),
            ("digest", Align::Left),
            ("bytes", Align::Right),
            ("path", Align::Left),
        ],
    );
    let here = std::env::current_dir().unwrap_or_default();
    for row in rows {
        let path: &Path = row.path.strip_prefix(&here).unwrap_or(&row.path);
        let cells = vec![
            Cell::new(&row.name),
            Cell::new(&row.world),
            Cell::new(&row.version),
            Cell::new(row.digest.short()),
            Cell::new(number(row.bytes)),
            Cell::new(path.to_string_lossy()),
        ];
        table.push(cells, look, out)?;
    }
    table.finish(look, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn rows() -> Vec<Row> {
        let row = |name: &str, world: &str, bytes| Row {
            name: name.to_owned(),
            world: world.to_owned(),
            version: "0.1.0".to_owned(),
            digest: Digest::of(name.as_bytes()),
            bytes,
            path: PathBuf::from(format!("/t/plugins/{name}.component.wasm")),
        };
        vec![
            row("cedar-policy", "access-policy", 3_012_345),
            row("noop", "access-policy", 18_004),
        ]
    }

    #[test]
    fn a_row_says_what_was_built_and_where_it_is() {
        let mut out = Vec::new();
        write_table(
            &rows(),
            Look {
                in_colour: false,
                width: 100,
            },
            &mut out,
        )
        .unwrap();
        expect![[r#"
            name          world          version  digest            bytes  path
            cedar-policy  access-policy  0.1.0    4d64759c3934  3,012,345  /t/plugins/cedar-policy.component.wasm
            noop          access-policy  0.1.0    f4d960247b7a     18,004  /t/plugins/noop.component.wasm
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_script_reads_a_line_for_each_plugin() {
        let mut out = Vec::new();
        json_lines(&rows(), &mut out).unwrap();
        let lines: Vec<serde_json::Value> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["digest"], Digest::of(b"noop").to_string());
        assert_eq!(lines[1]["bytes"], 18_004);
    }

    #[test]
    fn a_folder_without_a_manifest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(vec![folder.path().to_owned()], None, true)
            .err()
            .unwrap();
        assert!(format!("{error:#}").contains("plugin.toml"), "{error:#}");
    }
}
