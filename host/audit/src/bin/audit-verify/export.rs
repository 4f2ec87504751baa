//! `audit-verify --export FILE`: the entries of a period, by themselves.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use nephron_audit::{PolicyVerdict, ProvenExport, verify_export_by};
use serde::Serialize;

use crate::trust::Trust;
use crate::{Unreadable, in_one_line, print_policy, print_verdict, tell};

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
    /// What the policy says of its checkpoint, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyVerdict>,
}

pub(crate) fn run(path: &Path, trust: &Trust, json: bool) -> Result<bool, Box<dyn Error>> {
    let file = File::open(path).map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let mut verdict = ExportVerdict {
        verified: false,
        fault: None,
        origin: trust
            .key
            .as_ref()
            .map_or_else(String::new, |key| key.name().to_owned()),
        proven: None,
        policy: None,
    };
    if let Err(error) = check(BufReader::new(file), trust, &mut verdict) {
        verdict.fault = Some(in_one_line(error.as_ref()));
    }
    tell(&verdict, json, |out, in_colour| {
        print(out, &verdict, in_colour)
    })?;
    Ok(verdict.verified)
}

fn check(
    archive: impl Read,
    trust: &Trust,
    verdict: &mut ExportVerdict,
) -> Result<(), Box<dyn Error>> {
    let mut unlisted = None;
    let proven = verify_export_by(archive, |note| {
        let key = trust.key_of(note);
        key.map_err(|error| unlisted = Some(error)).ok()
    });
    if let Some(error) = unlisted {
        return Err(error);
    }
    let proven = proven?;
    let signed = &proven.signed;
    verdict.origin.clone_from(&signed.checkpoint.origin);
    verdict.policy = trust.judge(&signed.checkpoint, &signed.note)?;
    verdict.verified = verdict.policy.as_ref().is_none_or(|policy| policy.met);
    verdict.proven = Some(proven);
    Ok(())
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
    if let Some(policy) = &verdict.policy {
        print_policy(out, policy, in_colour)?;
    }
    if let Some(fault) = &verdict.fault {
        writeln!(out, "fault    {fault}")?;
    }
    Ok(())
}
