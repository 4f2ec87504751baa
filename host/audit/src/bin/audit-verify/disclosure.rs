//! `audit-verify --disclosure FILE`: one field of one entry, by itself.

use std::error::Error;
use std::io;
use std::path::Path;

use nephron_audit::{FieldDisclosure, Header, VerifierKey};
use serde::Serialize;

use crate::{in_one_line, print_verdict, read, tell};

/// What a disclosure shows, as one JSON object. The value is in the file.
#[derive(Serialize)]
struct DisclosureVerdict {
    verified: bool,
    /// Why not.
    fault: Option<String>,
    /// The log.
    origin: String,
    field: Option<String>,
    /// What the entry says.
    header: Option<Header>,
    /// Entries that the proof's checkpoint covers.
    entries: Option<u64>,
}

pub(crate) fn run(path: &Path, key: &VerifierKey, json: bool) -> Result<bool, Box<dyn Error>> {
    let mut verdict = DisclosureVerdict {
        verified: false,
        fault: None,
        origin: key.name().to_owned(),
        field: None,
        header: None,
        entries: None,
    };
    let disclosure = FieldDisclosure::parse(&read(path)?);
    let proven = disclosure.and_then(|disclosure| {
        verdict.field = Some(disclosure.field().to_owned());
        disclosure.verify(key)
    });
    match proven {
        Ok(proven) => {
            verdict.verified = true;
            verdict.entries = Some(proven.checkpoint.size);
            verdict.header = Some(proven.header);
        }
        Err(fault) => verdict.fault = Some(in_one_line(&fault)),
    }
    tell(&verdict, json, |out, in_colour| {
        print(out, &verdict, in_colour)
    })?;
    Ok(verdict.verified)
}

fn print(out: &mut dyn io::Write, verdict: &DisclosureVerdict, in_colour: bool) -> io::Result<()> {
    print_verdict(out, verdict.verified, in_colour)?;
    writeln!(out, "log      {}", verdict.origin)?;
    if let Some(field) = &verdict.field {
        writeln!(out, "field    {field:?}")?;
    }
    if let Some(header) = &verdict.header {
        writeln!(out, "entry    {}", header.sequence)?;
        serde_json::to_writer_pretty(&mut *out, header)?;
        writeln!(out)?;
    }
    if let Some(fault) = &verdict.fault {
        writeln!(out, "fault    {fault}")?;
    }
    Ok(())
}
