//! `nephron audit export`: the entries of a period, for other programs or for an auditor.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_audit::{Export, Reader, Surveyed};
use nephron_model::{Clock as _, SystemClock};

use super::period::Period;
use super::{Which, whole};
use crate::case::kind_name;
use crate::cli::Failure;
use crate::cli::text::number;

/// Export the entries of a period: their headers as JSON Lines or CSV, or an archive that verifies by itself.
///
/// Nothing that is sealed is opened. The archive is a tar of the headers, the signed checkpoint and the hashes that lead from one to
/// the other; `audit-verify --export FILE --vkey KEY` checks it offline. What the newest checkpoint does not cover is not in it. Exit
/// code 3 when the log is damaged.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    period: Period,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Jsonl)]
    format: Format,
    /// Put the sealed payloads into the archive too, sealed as they are
    #[arg(long)]
    payloads: bool,
    /// Write to this new file and not to standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Each header on a line, in the very bytes that its hash covers
    Jsonl,
    /// A table (RFC 4180), with facts and counts as JSON
    Csv,
    /// A tar that verifies by itself
    Archive,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.payloads && args.format != Format::Archive {
        return Err(Failure::usage(anyhow::anyhow!(
            "payloads go into an archive alone: `--format archive`"
        )));
    }
    if args.format == Format::Archive && args.out.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage(anyhow::anyhow!(
            "an archive is nothing for a terminal: name a file with `--out`"
        )));
    }
    let folder = args.which.folder("exported")?;
    match &args.out {
        None => write(args, &folder, &mut BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let cannot = || format!("`{}` cannot be written", path.display());
            let file = new_file(path).with_context(cannot)?;
            let mut out = BufWriter::new(file);
            write(args, &folder, &mut out)?;
            let file = out.into_inner().map_err(io::IntoInnerError::into_error);
            let synced = file.and_then(|file| file.sync_all());
            Ok(synced.with_context(cannot)?)
        }
    }
}

/// Whoever reads a log reads who works where, so it is this user's alone.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn write(args: &Args, folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    if args.format == Format::Archive {
        return archive(args, folder, out);
    }
    let mut written = match args.format {
        Format::Csv => write!(out, "{}\r\n", TITLES.join(",")),
        Format::Jsonl | Format::Archive => Ok(()),
    };
    let reader = Reader::survey(folder, |met| {
        if written.is_ok() && args.period.holds(met.header) {
            written = match args.format {
                Format::Csv => row(met).and_then(|row| out.write_all(row.as_bytes())),
                Format::Jsonl | Format::Archive => out
                    .write_all(met.header_bytes)
                    .and_then(|()| out.write_all(b"\n")),
            };
        }
    });
    let reader = reader.context("the log cannot be read")?;
    written
        .and_then(|()| out.flush())
        .map_err(Failure::output)?;
    whole(&reader, folder)
}

fn archive(args: &Args, folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let reader = Reader::open(folder).context("the log cannot be read")?;
    whole(&reader, folder)?;
    let export = Export {
        from: args.period.from,
        to: args.period.to,
        payloads: args.payloads,
        now: SystemClock.now(),
    };
    let exported = reader.export(&export, out);
    let exported = exported.context("the archive was not made")?;
    let entries = number(exported.end - exported.first);
    let mut said = format!("{entries} entries, {} payloads", number(exported.payloads));
    if exported.not_covered > 0 {
        said += &format!(
            "; {} more of the period are not in it: no checkpoint covers them yet",
            number(exported.not_covered)
        );
    }
    writeln!(anstream::stderr(), "{said}").map_err(Failure::output)
}

/// The columns of a table.
const TITLES: [&str; 19] = [
    "sequence",
    "time",
    "kind",
    "outcome",
    "request",
    "caller",
    "purpose",
    "point",
    "plugin",
    "plugin-version",
    "plugin-digest",
    "reasons",
    "counts",
    "facts",
    "fuel",
    "micros",
    "generation",
    "payload",
    "hash",
];

/// A row and its end (RFC 4180).
fn row(met: &Surveyed<'_>) -> io::Result<String> {
    let header = met.header;
    fn text(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let plugin = header.plugin.as_ref();
    let cells = [
        header.sequence.to_string(),
        header.time.to_string(),
        kind_name(header.kind),
        header.outcome.clone(),
        text(header.request),
        text(header.caller.as_ref()),
        text(header.purpose.as_ref()),
        text(header.point.map(|point| point.as_str())),
        text(plugin.map(|plugin| &plugin.name)),
        text(plugin.map(|plugin| &plugin.version)),
        text(plugin.map(|plugin| plugin.digest)),
        header.reasons.join(" "),
        serde_json::to_string(&header.counts)?,
        serde_json::to_string(&header.facts)?,
        text(header.fuel),
        text(header.micros),
        text(header.generation),
        text(header.payload),
        met.hash.to_string(),
    ];
    Ok(cells.map(quoted).join(",") + "\r\n")
}

/// A field, in quotes where it needs them. One that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV
/// injection): whoever needs the bytes takes JSON Lines.
fn quoted(field: String) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if is_formula {
        format!("'{field}")
    } else {
        field
    };
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, headers};
    use super::*;
    use nephron_model::{Digest, EntryKind};

    #[test]
    fn a_table_has_a_field_for_each_title_and_none_is_a_formula() {
        let story = Story::new("FAV", "@sum", "TREAT").and(
            EntryKind::Decision,
            "permit",
            &[("a", "say \"x\", y")],
            &[("name", 2)],
        );
        let headers = headers(story.drafts);
        let header = headers.last().unwrap();
        let met = Surveyed {
            header,
            header_bytes: &[],
            hash: Digest::of(b""),
        };
        let row = row(&met).unwrap();
        assert_eq!(
            row,
            "1,2026-11-22T01:03:22.000000000Z,decision,permit,01ARZ3NDEKTSV4RRFFQ69G5FAV,'@sum,TREAT,,,,,,\
             \"{\"\"name\"\":2}\",\"{\"\"a\"\":\"\"say \\\"\"x\\\"\", y\"\"}\",,,,,\
             sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n"
        );
        assert_eq!(quoted("=1+1".to_owned()), "'=1+1");
        assert_eq!(quoted("a\nb".to_owned()), "\"a\nb\"");
    }
}
