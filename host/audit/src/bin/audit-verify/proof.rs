//! `audit-verify --proof FILE`: of one entry, or of growth.

use std::error::Error;
use std::io;
use std::path::Path;

use nephron_audit::{
    Checkpoint, EntryProof, GrowthProof, Header, PolicyVerdict, SignedCheckpoint, VerifierKey,
};
use nephron_model::Digest;
use serde::Serialize;

use crate::trust::Trust;
use crate::{in_one_line, print_policy, print_verdict, read, tell};

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
    /// What the policy says of the proof's checkpoint, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyVerdict>,
}

impl ProofVerdict {
    /// It holds, as far as the policy says so.
    fn of(
        &mut self,
        checkpoint: Checkpoint,
        note: &str,
        trust: &Trust,
    ) -> Result<(), Box<dyn Error>> {
        self.policy = trust.judge(&checkpoint, note)?;
        self.verified = self.policy.as_ref().is_none_or(|policy| policy.met);
        self.origin = checkpoint.origin;
        self.entries = Some(checkpoint.size);
        self.root = Some(checkpoint.root);
        Ok(())
    }
}

pub(crate) fn run(proof: &Path, trust: &Trust, json: bool) -> Result<bool, Box<dyn Error>> {
    let key = trust.key.as_ref();
    let mut verdict = ProofVerdict {
        origin: key.map_or_else(String::new, |key| key.name().to_owned()),
        ..ProofVerdict::default()
    };
    if let Err(error) = check_proof(&read(proof)?, trust, &mut verdict) {
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
    trust: &Trust,
    verdict: &mut ProofVerdict,
) -> Result<(), Box<dyn Error>> {
    if !text.starts_with("old ") {
        let proof = EntryProof::parse(text)?;
        verdict.sequence = Some(proof.sequence());
        let proven = proof.verify(&trust.key_of(proof.note())?)?;
        verdict.hash = Some(proven.hash);
        verdict.header = Some(proven.header);
        return verdict.of(proven.checkpoint, proof.note(), trust);
    }
    let proof = GrowthProof::parse(text)?;
    let key = trust.key_of(proof.note())?;
    let old = older(&proof, &key, trust)?;
    verdict.since = Some(old.size);
    let grown = proof.verify(&old, &key)?;
    verdict.of(grown, proof.note(), trust)
}

/// The checkpoint that a proof of growth begins at. Beside it there may be others, which a policy's witnesses cosigned.
fn older(
    proof: &GrowthProof,
    key: &VerifierKey,
    trust: &Trust,
) -> Result<Checkpoint, Box<dyn Error>> {
    let is_old = |note: &str| {
        let read = SignedCheckpoint::read(note);
        trust.kept.len() == 1 || read.is_ok_and(|it| it.checkpoint.size == proof.old())
    };
    let old = trust.kept.iter().find(|kept| is_old(&kept.note));
    let old = old.ok_or(
        "a proof of growth is held against one older checkpoint: give it with `--checkpoint`",
    )?;
    Ok(SignedCheckpoint::open(&old.note, key)?.checkpoint)
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
    if let Some(policy) = &verdict.policy {
        print_policy(out, policy, in_colour)?;
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
