//! `audit-verify --disclosure FILE`: one field of one entry, by itself.

use std::error::Error;
use std::io;
use std::path::Path;

use nephron_audit::{FieldDisclosure, Header, PolicyVerdict};
use serde::Serialize;

use crate::trust::Trust;
use crate::{in_one_line, print_policy, print_verdict, read, tell};

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
    /// What the policy says of that, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyVerdict>,
}

pub(crate) fn run(path: &Path, trust: &Trust, json: bool) -> Result<bool, Box<dyn Error>> {
    let mut verdict = DisclosureVerdict {
        verified: false,
        fault: None,
        origin: trust
            .key
            .as_ref()
            .map_or_else(String::new, |key| key.name().to_owned()),
        field: None,
        header: None,
        entries: None,
        policy: None,
    };
    if let Err(error) = check(&read(path)?, trust, &mut verdict) {
        verdict.fault = Some(in_one_line(error.as_ref()));
    }
    tell(&verdict, json, |out, in_colour| {
        print(out, &verdict, in_colour)
    })?;
    Ok(verdict.verified)
}

fn check(text: &str, trust: &Trust, verdict: &mut DisclosureVerdict) -> Result<(), Box<dyn Error>> {
    let disclosure = FieldDisclosure::parse(text)?;
    verdict.field = Some(disclosure.field().to_owned());
    let proof = disclosure.proof()?;
    let proven = disclosure.verify(&trust.key_of(proof.note())?)?;
    verdict.policy = trust.judge(&proven.checkpoint, proof.note())?;
    verdict.verified = verdict.policy.as_ref().is_none_or(|policy| policy.met);
    verdict.origin = proven.checkpoint.origin;
    verdict.entries = Some(proven.checkpoint.size);
    verdict.header = Some(proven.header);
    Ok(())
}

fn print(out: &mut dyn io::Write, verdict: &DisclosureVerdict, in_colour: bool) -> io::Result<()> {
    print_verdict(out, verdict.verified, in_colour)?;
    writeln!(out, "log      {}", verdict.origin)?;
    if let Some(field) = &verdict.field {
        writeln!(out, "field    {field:?}")?;
    }
    if let Some(policy) = &verdict.policy {
        print_policy(out, policy, in_colour)?;
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
