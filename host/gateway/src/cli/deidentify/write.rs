//! What is written of each piece, and where.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::explain::{self, Explain, Explained};
use super::piece::{Change, label, rewritten};
use super::source::Piece;
use super::transform::Transformed;
use super::{Answered, Args, Stopped};
use crate::batch::{BY_EXPERTS, Tally};
use crate::chain::deidentify::counted;
use crate::cli::Failure;
use crate::cli::style::Look;
use crate::cli::text::count;

/// Where everything goes.
pub(super) struct Writer<'a> {
    args: &'a Args,
    names: Vec<String>,
    /// With `--out`, the file of each; else standard output.
    files: Vec<PathBuf>,
    /// The one that is open, and which it is.
    open: Option<(usize, BufWriter<Box<dyn Write>>)>,
    manifest: Option<BufWriter<std::fs::File>>,
    look: Look,
    pub(super) method: Option<&'static str>,
}

/// What was done to one text, without its values.
#[derive(Serialize)]
struct Manifest<'r> {
    file: &'r str,
    number: u64,
    offset: u64,
    bytes: usize,
    /// Positions that were replaced, by kind and by what found them.
    counts: std::collections::BTreeMap<String, u64>,
    /// Those of them that nobody could name, and that were replaced for that.
    unexamined: u64,
    /// Those that were found again in what a transformer wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    /// What the transformer says of each text that it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    transformer: Option<&'r [serde_json::Value]>,
    method: Option<&'static str>,
}

/// One text, as `--json` has it.
#[derive(Serialize)]
struct Row<'r> {
    file: &'r str,
    number: u64,
    /// Byte of the file where the text begins.
    offset: u64,
    text: String,
    spans: Vec<SpanRow<'r>>,
}

/// Bytes of the text as it was, half-open.
#[derive(Serialize)]
struct SpanRow<'r> {
    start: usize,
    end: usize,
    kind: &'r str,
    label: String,
    confidence: f64,
    rule: Option<&'r str>,
    by: &'static str,
    method: Option<&'static str>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        args: &'a Args,
        files: &[PathBuf],
        names: Vec<String>,
    ) -> Result<Self, Failure> {
        let mut written = Vec::new();
        if let Some(out) = &args.out {
            std::fs::create_dir_all(out)
                .with_context(|| format!("`{}` cannot be made", out.display()))?;
            for file in files {
                let name = match file.as_os_str() == "-" {
                    true => "standard-input".as_ref(),
                    false => file
                        .file_name()
                        .context("a file without a name cannot be written")?,
                };
                let path = out.join(name);
                if path.exists() || written.contains(&path) {
                    let error = anyhow::anyhow!(
                        "`{}` is there already; remove it, or name another folder with --out",
                        path.display()
                    );
                    return Err(Failure::usage(error));
                }
                written.push(path);
            }
        }
        Ok(Self {
            args,
            names,
            files: written,
            open: None,
            manifest: match &args.manifest {
                Some(path) => Some(BufWriter::new(made(path)?)),
                None => None,
            },
            look: match args.out {
                Some(_) => Look {
                    in_colour: false,
                    width: Look::WIDTH,
                },
                None => Look::of_stdout(),
            },
            method: None,
        })
    }

    /// Where what belongs to the file `index` goes.
    fn out(&mut self, index: usize) -> Result<&mut BufWriter<Box<dyn Write>>, Failure> {
        let place = if self.files.is_empty() { 0 } else { index };
        let is_open = self.open.as_ref().is_some_and(|(open, _)| *open == place);
        if !is_open {
            self.end()?;
            let out: Box<dyn Write> = match self.files.get(place) {
                None => Box::new(std::io::stdout()),
                Some(path) => Box::new(made(path)?),
            };
            let mut out = BufWriter::with_capacity(1 << 16, out);
            if self.args.explain == Some(Explain::Html) {
                out.write_all(explain::PAGE.as_bytes())
                    .map_err(Failure::output)?;
            }
            self.open = Some((place, out));
        }
        let (_, out) = self
            .open
            .as_mut()
            .context("nothing is open to be written")?;
        Ok(out)
    }

    /// Writes what was found in one piece, and gives its length.
    pub(super) fn write(&mut self, answered: Answered, tally: &mut Tally) -> Result<u64, Stopped> {
        let Answered {
            piece,
            record,
            changes,
            finds,
            transformed,
        } = answered;
        let text = record.as_ref().map_or(&piece.text, |record| &record.text);
        tally.add(
            text.len(),
            &finds,
            changes.iter().map(|change| &change.found),
        );
        let mut method = self.method;
        if let Some(transformed) = &transformed {
            tally.transformed(transformed);
            if transformed.is_by_experts {
                method = Some(BY_EXPERTS);
            }
        }
        let (args, look) = (self.args, self.look);
        let name = self.names.get(piece.file).cloned().unwrap_or_default();
        self.note(&name, &piece, &changes, transformed.as_ref(), method)?;
        let out = self.out(piece.file).map_err(Stopped::Failed)?;
        let explained = Explained {
            file: &name,
            number: piece.number,
            text: &piece.text,
            changes: &changes,
            method,
        };
        let written = if args.spans {
            match &record {
                Some(record) => writeln!(out, "{}", record.predicted(&changes)?),
                None => Ok(()),
            }
        } else if args.json {
            let row = Row {
                file: &name,
                number: piece.number,
                offset: piece.offset,
                text: cleared(&piece, &changes, transformed),
                spans: changes.iter().map(|change| row(change, method)).collect(),
            };
            let line = serde_json::to_string(&row).context("a line cannot be written")?;
            writeln!(out, "{line}")
        } else {
            match args.explain {
                Some(Explain::Text) => explained.write_text(look, out),
                Some(Explain::Html) => explained.write_html(out),
                None => out.write_all(cleared(&piece, &changes, transformed).as_bytes()),
            }
        };
        written.map_err(|error| Stopped::Failed(Failure::output(error)))?;
        Ok(count(piece.text.len()))
    }

    fn note(
        &mut self,
        file: &str,
        piece: &Piece,
        changes: &[Change],
        transformed: Option<&Transformed>,
        method: Option<&'static str>,
    ) -> anyhow::Result<()> {
        let Some(manifest) = &mut self.manifest else {
            return Ok(());
        };
        let counts = counted(changes.iter().map(|change| &change.found));
        let row = Manifest {
            file,
            number: piece.number,
            offset: piece.offset,
            bytes: piece.text.len(),
            unexamined: counts.get("by-unexamined").copied().unwrap_or_default(),
            counts,
            left: transformed.map(|transformed| transformed.left),
            transformer: transformed.map(|transformed| transformed.manifests.as_slice()),
            method,
        };
        let line = serde_json::to_string(&row).context("a line cannot be written")?;
        writeln!(manifest, "{line}").context("the manifest cannot be written")
    }

    /// Writes what is to come at the end of what is open.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if let Some(manifest) = &mut self.manifest {
            manifest.flush().context("the manifest cannot be written")?;
        }
        let Some((_, mut out)) = self.open.take() else {
            return Ok(());
        };
        if self.args.explain == Some(Explain::Html) {
            out.write_all(explain::END.as_bytes())
                .map_err(Failure::output)?;
        }
        out.flush().map_err(Failure::output)
    }
}

/// What is written of a piece.
fn cleared(piece: &Piece, changes: &[Change], transformed: Option<Transformed>) -> String {
    match transformed {
        Some(transformed) => transformed.text,
        None => rewritten(&piece.text, changes),
    }
}

fn row<'c>(change: &'c Change, method: Option<&'static str>) -> SpanRow<'c> {
    let found = &change.found;
    SpanRow {
        start: change.start,
        end: change.end,
        kind: found.place.kind.as_str(),
        label: label(found.place.kind.as_str()),
        confidence: found.confidence(),
        rule: found.rule.as_deref(),
        by: found.by(),
        method,
    }
}

/// A file that nobody else can read.
fn made(path: &Path) -> anyhow::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("`{}` cannot be written", path.display()))
}
