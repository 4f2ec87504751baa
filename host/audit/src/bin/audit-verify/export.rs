//! `audit-verify --export FILE`: the entries of a period, by themselves.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use nephron_audit::{ProvenExport, VerifierKey, verify_export};
use serde::Serialize;

use crate::{Unreadable, in_one_line, print_verdict, tell};

/// What an export shows, as one JSON object.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ExportVerdict {
    verified: bool,
    /// Why not.
    fault: Option<String>,
    /// The log.
    origin: String,
    #[serde(flatten)]
    proven: Option<ProvenExport>,
}

pub(crate) fn run(path: &Path, key: &VerifierKey, json: bool) -> Result<bool, Box<dyn Error>> {
    let file = File::open(path).map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let verdict = match verify_export(BufReader::new(file), key) {
        Ok(proven) => ExportVerdict {
            verified: true,
            fault: None,
            origin: key.name().to_owned(),
            proven: Some(proven),
        },
        Err(fault) => ExportVerdict {
            verified: false,
            fault: Some(in_one_line(&fault)),
            origin: key.name().to_owned(),
            proven: None,
        },
    };
    tell(&verdict, json, |out, in_colour| {
        print(out, &verdict, in_colour)
    })?;
    Ok(verdict.verified)
}

fn print(out: &mut dyn io::Write, verdict: &ExportVerdict, in_colour: bool) -> io::Result<()> {
    print_verdict(out, verdict.verified, in_colour)?;
    writeln!(out, "log      {}", verdict.origin)?;
    if let Some(proven) = &verdict.proven {
        let note = &proven.note;
        let from = note.from.as_deref().unwrap_or("the beginning");
        let to = note.to.as_deref().unwrap_or("the checkpoint");
        writeln!(out, "period   {from} to {to}")?;
        writeln!(out, "entries  {} to before {}", note.first, note.end)?;
        writeln!(
            out,
            "of       {} entries that the checkpoint covers",
            proven.covered
        )?;
        let complete = match proven.complete {
            true => "nothing of the period is missing",
            false => "entries that came after the checkpoint may be missing",
        };
        writeln!(out, "complete {complete}")?;
        writeln!(out, "payloads {}, sealed", proven.payloads)?;
        writeln!(out, "exported {}, as it says itself", note.exported)?;
    }
    if let Some(fault) = &verdict.fault {
        writeln!(out, "fault    {fault}")?;
    }
    Ok(())
}
