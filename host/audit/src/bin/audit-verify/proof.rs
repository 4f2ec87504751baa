//! `audit-verify --proof FILE`: of one entry, or of growth.

use std::error::Error;
use std::io;
use std::path::Path;

use nephron_audit::{
    Checkpoint, EntryProof, GrowthProof, Header, KeptCheckpoint, SignedCheckpoint, VerifierKey,
};
use nephron_model::Digest;
use serde::Serialize;

use crate::{in_one_line, print_verdict, read, tell};

/// What a proof shows, as one JSON object.
#[derive(Default, Serialize)]
struct ProofVerdict {
    verified: bool,
    /// Why not.
    fault: Option<String>,
    /// The log.
    origin: String,
    /// Entries that the proof's checkpoint covers.
    entries: Option<u64>,
    root: Option<Digest>,
    /// Of a proof of one entry: its place, its hash and what it says.
    sequence: Option<u64>,
    hash: Option<Digest>,
    header: Option<Header>,
    /// Of a proof of growth: entries in the older checkpoint.
    since: Option<u64>,
}

impl ProofVerdict {
    fn of(&mut self, checkpoint: Checkpoint) {
        self.verified = true;
        self.origin = checkpoint.origin;
        self.entries = Some(checkpoint.size);
        self.root = Some(checkpoint.root);
    }
}

pub(crate) fn run(
    proof: &Path,
    key: &VerifierKey,
    kept: &[KeptCheckpoint],
    json: bool,
) -> Result<bool, Box<dyn Error>> {
    let mut verdict = ProofVerdict {
        origin: key.name().to_owned(),
        ..ProofVerdict::default()
    };
    if let Err(error) = check_proof(&read(proof)?, key, kept, &mut verdict) {
        verdict.fault = Some(in_one_line(error.as_ref()));
    }
    tell(&verdict, json, |out, in_colour| {
        print_proof(out, &verdict, in_colour)
    })?;
    Ok(verdict.verified)
}

/// A proof of growth begins with `old`; anything else is to be one of an entry.
fn check_proof(
    text: &str,
    key: &VerifierKey,
    kept: &[KeptCheckpoint],
    verdict: &mut ProofVerdict,
) -> Result<(), Box<dyn Error>> {
    if !text.starts_with("old ") {
        let proof = EntryProof::parse(text)?;
        verdict.sequence = Some(proof.sequence());
        let proven = proof.verify(key)?;
        verdict.of(proven.checkpoint);
        verdict.hash = Some(proven.hash);
        verdict.header = Some(proven.header);
        return Ok(());
    }
    let proof = GrowthProof::parse(text)?;
    let [old] = kept else {
        return Err(
            "a proof of growth is held against one older checkpoint: give it with `--checkpoint`"
                .into(),
        );
    };
    let old = SignedCheckpoint::open(&old.note, key)?.checkpoint;
    verdict.since = Some(old.size);
    verdict.of(proof.verify(&old, key)?);
    Ok(())
}

fn print_proof(out: &mut dyn io::Write, verdict: &ProofVerdict, in_colour: bool) -> io::Result<()> {
    print_verdict(out, verdict.verified, in_colour)?;
    writeln!(out, "log      {}", verdict.origin)?;
    if let Some(sequence) = verdict.sequence {
        writeln!(out, "entry    {sequence}")?;
    }
    if let Some(hash) = verdict.hash {
        writeln!(out, "hash     {hash}")?;
    }
    if let Some(since) = verdict.since {
        writeln!(out, "since    {since} entries")?;
    }
    if let Some(entries) = verdict.entries {
        writeln!(out, "of       {entries} entries")?;
    }
    if let Some(header) = &verdict.header {
        serde_json::to_writer_pretty(&mut *out, header)?;
        writeln!(out)?;
    }
    if let Some(fault) = &verdict.fault {
        writeln!(out, "fault    {fault}")?;
    }
    Ok(())
}
