//! `nephron tenant export`: a copy of a tenant's log that an auditor can verify, with nothing that opens it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_audit::{Verdict, VerifyOptions};
use nephron_model::{Clock as _, Digest, SystemClock, TenantId};
use serde::Serialize;

use crate::LOG;
use crate::cli::Failure;
use crate::cli::text::number;
use crate::config::Config;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Whose
    tenant: TenantId,
    /// The folder to make
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Copy the wrapped key files too: whoever has the root key, or its provider, can then open what is sealed
    #[arg(long)]
    with_keys: bool,
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print the list of what was copied, one JSON object
    #[arg(long)]
    json: bool,
}

/// What was copied, and how it verified: `tenant.json` in the export.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    format: &'static str,
    tenant: TenantId,
    exported: String,
    entries: u64,
    head: Digest,
    sealed: bool,
    files: Vec<Copied>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Copied {
    path: String,
    bytes: u64,
    digest: Digest,
}

/// Copies of a log that is being written; each may catch its writer in the middle of a frame.
const TRIES: usize = 5;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::check(faults.into()))?;
    let from = config.data.join("tenants").join(args.tenant.as_str());
    if !from.join(LOG).is_dir() {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no tenant `{}` in `{}`; `nephron tenant list` shows those that there are",
            args.tenant,
            config.data.join("tenants").display()
        )));
    }
    let manifest = export(&args, &from)?;
    let mut out = std::io::stdout().lock();
    let written = if args.json {
        serde_json::to_writer(&mut out, &manifest)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        let (entries, files) = (number(manifest.entries), manifest.files.len());
        let log = args.out.join(LOG);
        writeln!(
            out,
            "{entries} entries in {files} files; the copy verifies. An auditor runs `audit-verify {}`",
            log.display()
        )
    };
    written.map_err(Failure::output)
}

fn export(args: &Args, from: &Path) -> Result<Manifest, Failure> {
    crate::gateway::make_private(&args.out)
        .and_then(|()| std::fs::read_dir(&args.out))
        .with_context(|| format!("`{}` cannot be made", args.out.display()))?
        .next()
        .map_or(Ok(()), |_| {
            let out = args.out.display();
            Err(Failure::usage(anyhow::anyhow!(
                "`{out}` is not empty; name a new folder"
            )))
        })?;
    let mut files = Vec::new();
    let verdict = copy_log(&from.join(LOG), &args.out, &mut files)?;
    if args.with_keys {
        copy(&from.join("keys"), &args.out, "keys", false, &mut files)?;
    }
    let manifest = Manifest {
        format: "nephron tenant export 1",
        tenant: args.tenant.clone(),
        exported: SystemClock.now().to_string(),
        entries: verdict.entries,
        head: verdict.head,
        sealed: verdict.sealed,
        files,
    };
    let text = serde_json::to_vec_pretty(&manifest).context("the list cannot be written")?;
    write(&args.out.join("tenant.json"), &text)?;
    Ok(manifest)
}

/// Copies the log until the copy verifies.
fn copy_log(from: &Path, out: &Path, files: &mut Vec<Copied>) -> Result<Verdict, Failure> {
    let to = out.join(LOG);
    let mut left = TRIES;
    loop {
        files.clear();
        // The seal of a log that is closed covers all files. Beside a writer there is none, and its view is never at rest.
        let is_closed = from.join(CLOSED).is_file();
        copy(from, out, LOG, !is_closed, files)?;
        let verdict = nephron_audit::verify(&to, VerifyOptions::default());
        let verdict = verdict.context("the copy cannot be verified")?;
        if verdict.verified {
            return Ok(verdict);
        }
        left -= 1;
        if left == 0 {
            return Err(Failure::check(anyhow::anyhow!(
                "the copy in `{}` does NOT verify; run `nephron audit verify` on the tenant's log itself",
                to.display()
            )));
        }
        std::fs::remove_dir_all(&to).context("a copy cannot be removed")?;
    }
}

/// The seal of a log that was closed (docs/formats/log.md).
const CLOSED: &str = "closed.json";

/// Copies a folder; of the log of a writer not its view, which can be built again, nor its lock.
fn copy(
    from: &Path,
    out: &Path,
    name: &str,
    beside_writer: bool,
    files: &mut Vec<Copied>,
) -> Result<(), Failure> {
    let cannot = || format!("`{}` cannot be copied", from.display());
    crate::gateway::make_private(&out.join(name)).with_context(cannot)?;
    let items = std::fs::read_dir(from).with_context(cannot)?;
    let items: std::io::Result<Vec<_>> = items.collect();
    let mut items = items.with_context(cannot)?;
    items.sort_by_key(std::fs::DirEntry::file_name);
    for item in items {
        let file = item.file_name();
        let file = file.to_str().with_context(cannot)?;
        let kind = item.file_type().with_context(cannot)?;
        let within = format!("{name}/{file}");
        if beside_writer && name == LOG && (file.starts_with("view") || file == "lock") {
            continue;
        }
        if kind.is_dir() {
            copy(&item.path(), out, &within, beside_writer, files)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(item.path()).with_context(cannot)?;
            write(&out.join(&within), &bytes)?;
            files.push(Copied {
                path: within,
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                digest: Digest::of(&bytes),
            });
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(())
}
