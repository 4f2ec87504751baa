//! `audit-verify FOLDER`: an auditor's check of one log, without the host, its keys or its runtime.

mod disclosure;
mod export;
mod proof;
mod trust;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::trust::Trust;

use clap::{ArgGroup, Parser};
use nephron_audit::{
    Commitment, Head, KeptCheckpoint, PolicyVerdict, Progress, Verdict, VerifierKey, VerifyOptions,
    ViewCheck, verify,
};
use nephron_model::Digest;
use serde::Serialize;

/// Verify a log: recompute every entry from first to last and compare it with everything that vouches for it. Or verify a
/// proof, an export or a disclosure, without the log.
///
/// Nothing in FOLDER is written. Exit code: 0 verified, 1 could not be read, 2 usage, 3 faults or gaps were found.
#[derive(Parser)]
#[command(name = "audit-verify", group = ArgGroup::new("trusted").multiple(true))]
struct Arguments {
    /// The log's folder, the one that holds `journal`
    #[arg(required_unless_present = "alone", conflicts_with = "alone")]
    folder: Option<PathBuf>,
    /// Print the verdict as one JSON object
    #[arg(long)]
    json: bool,
    /// A hash noted earlier (`sha256:...`), of the entry before number N; the log may have grown since
    #[arg(long, value_name = "HASH", requires = "expect_entries")]
    expect_head: Option<Digest>,
    /// How many entries the log had when HASH was noted
    #[arg(long, value_name = "N", requires = "expect_head")]
    expect_entries: Option<u64>,
    /// Count it as a fault if the log was not closed cleanly
    #[arg(long)]
    require_seal: bool,
    /// The log's public key, as `nephron audit vkey` prints it; every checkpoint must be signed by it
    #[arg(long, value_name = "KEY", group = "trusted")]
    vkey: Option<VerifierKey>,
    /// A policy (C2SP tlog-policy): which logs and witnesses count, and how many of the witnesses must vouch for what is verified.
    /// What they cosigned is looked for in `checkpoints`, in `--checkpoint`, and for the host's log in `host/anchors`
    #[arg(long, value_name = "FILE", group = "trusted")]
    policy: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere, or a folder of them; the log may have grown since. May be given more than once
    #[arg(long, value_name = "PATH", requires = "trusted")]
    checkpoint: Vec<PathBuf>,
    /// The host's log, as `nephron` keeps it in `host/record/log`: whatever it committed to of this log must hold
    #[arg(long, value_name = "FOLDER", conflicts_with = "alone")]
    host_log: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: verify only what came after it, from the segment on that holds its last entry. The key must
    /// have signed it, and the tree on disk must lead to it; otherwise everything is read
    #[arg(long, value_name = "FILE", requires = "trusted", conflicts_with_all = ["expect_head", "alone"])]
    since: Option<PathBuf>,
    /// How many threads check entries. Default: as many as the machine has cores. The verdict is the same
    #[arg(long, value_name = "N", conflicts_with = "alone")]
    threads: Option<NonZeroUsize>,
    /// A proof instead of a log: of one entry, or, with the older --checkpoint, that the log grew and did nothing else
    #[arg(long, value_name = "FILE", group = "alone", requires = "trusted", conflicts_with_all = ["expect_head", "require_seal"])]
    proof: Option<PathBuf>,
    /// An archive of a period instead of a log, as `nephron audit export` writes it
    #[arg(long, value_name = "FILE", group = "alone", requires = "trusted", conflicts_with_all = ["expect_head", "require_seal"])]
    export: Option<PathBuf>,
    /// One field of one entry instead of a log, as `nephron audit disclose` writes it
    #[arg(long, value_name = "FILE", group = "alone", requires = "trusted", conflicts_with_all = ["expect_head", "require_seal"])]
    disclosure: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            let mut words = io::stderr().lock();
            let mut cause: Option<&dyn Error> = Some(error.as_ref());
            let mut prefix = "audit-verify: ";
            while let Some(error) = cause {
                // If even standard error is gone, the exit code still says it.
                drop(writeln!(words, "{prefix}{error}"));
                prefix = "  because: ";
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let mut kept = Vec::new();
    for path in &arguments.checkpoint {
        let all = KeptCheckpoint::all_at(path);
        kept.extend(all.map_err(|source| Unreadable {
            path: path.clone(),
            source,
        })?);
    }
    let json = arguments.json;
    let trust = Trust::of(arguments.vkey.clone(), arguments.policy.as_deref(), kept)?;
    match arguments {
        Arguments { folder: Some(folder), .. } => run_log(arguments, folder, trust),
        Arguments { proof: Some(proof), .. } => proof::run(proof, &trust, json),
        Arguments { export: Some(file), .. } => export::run(file, &trust, json),
        Arguments { disclosure: Some(file), .. } => disclosure::run(file, &trust, json),
        _ => Err("name the folder of a log; or a file with `--proof`, `--export` or `--disclosure`, and the key with `--vkey` or `--policy`".into()),
    }
}

/// Something that was named, and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be read", path = path.display())]
struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

/// Prints a verdict: as one JSON object, or as `print` writes it for people.
fn tell(
    verdict: &impl Serialize,
    json: bool,
    print: impl FnOnce(&mut dyn io::Write, bool) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, verdict)?;
        writeln!(out)?;
    } else {
        let in_colour = io::stdout().is_terminal();
        print(&mut out, in_colour)?;
    }
    out.flush()
}

/// A fault and what it comes from.
fn in_one_line(error: &dyn Error) -> String {
    let because = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", because.unwrap_or_default())
}

/// The text of a small file.
fn read(path: &Path) -> Result<String, Unreadable> {
    std::fs::read_to_string(path).map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn run_log(arguments: &Arguments, folder: &Path, trust: Trust) -> Result<bool, Box<dyn Error>> {
    let expected = arguments.expect_head.zip(arguments.expect_entries);
    let Trust {
        key,
        policy,
        mut kept,
    } = trust;
    let (mut committed, mut host_witnessed) = (None, None);
    match (&arguments.host_log, &policy) {
        (Some(host), Some(policy)) => {
            let of_host;
            (of_host, kept) = kept.into_iter().partition(KeptCheckpoint::is_of_host);
            let (all, witnessed) = Commitment::all_below_by(host, policy, &of_host)?;
            (committed, host_witnessed) = (Some(all), Some(witnessed));
        }
        (Some(host), None) => committed = Some(Commitment::all_below(host)?),
        (None, _) => {}
    }
    if policy.is_some() {
        let beside = KeptCheckpoint::cosigned_beside(folder);
        kept.extend(beside.map_err(|source| Unreadable {
            path: folder.to_owned(),
            source,
        })?);
    }
    let since = match &arguments.since {
        Some(path) => Some(KeptCheckpoint {
            file: path.display().to_string(),
            note: read(path)?,
        }),
        None => None,
    };
    let shows_progress = io::stderr().is_terminal() && !arguments.json;
    // Where standard error is gone, nobody looks.
    let mut progress = |at: Progress| drop(write!(io::stderr(), "\r{at} "));
    let verdict = verify(
        folder,
        VerifyOptions {
            expected_head: expected.map(|(hash, entries)| Head { entries, hash }),
            require_seal: arguments.require_seal,
            key,
            checkpoints: kept,
            committed,
            since,
            policy,
            host_witnessed,
            threads: arguments.threads,
            progress: if shows_progress {
                Some(&mut progress)
            } else {
                None
            },
            ..VerifyOptions::default()
        },
    )?;
    if shows_progress {
        drop(write!(io::stderr(), "\r\x1b[K"));
    }
    tell(&verdict, arguments.json, |out, in_colour| {
        print(out, &verdict, in_colour)
    })?;
    Ok(verdict.is_whole())
}

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

fn print_verdict(out: &mut dyn io::Write, verified: bool, in_colour: bool) -> io::Result<()> {
    match (verified, in_colour) {
        (true, true) => writeln!(out, "{GREEN}verified{PLAIN}"),
        (true, false) => writeln!(out, "verified"),
        (false, true) => writeln!(out, "{RED}not verified{PLAIN}"),
        (false, false) => writeln!(out, "not verified"),
    }
}

fn print_policy(
    out: &mut dyn io::Write,
    policy: &PolicyVerdict,
    in_colour: bool,
) -> io::Result<()> {
    let (red, plain) = if in_colour { (RED, PLAIN) } else { ("", "") };
    writeln!(out, "policy   {policy}")?;
    for witness in &policy.witnesses {
        writeln!(out, "witness  {witness}")?;
    }
    for lacking in &policy.lacking {
        writeln!(out, "{red}lacks{plain}    {lacking}")?;
    }
    Ok(())
}

fn print(out: &mut dyn io::Write, verdict: &Verdict, in_colour: bool) -> io::Result<()> {
    let (red, plain) = if in_colour { (RED, PLAIN) } else { ("", "") };
    print_verdict(out, verdict.verified, in_colour)?;
    writeln!(out, "entries  {}", verdict.entries)?;
    if let Some(since) = verdict.since {
        let (from, last) = (verdict.from, verdict.entries.saturating_sub(1));
        writeln!(
            out,
            "since    the checkpoint of {since} entries; read were {from} to {last}"
        )?;
    }
    writeln!(out, "head     {}", verdict.head)?;
    let view = match verdict.view {
        ViewCheck::Checked => "agrees with the journal",
        ViewCheck::Absent => "absent; the next open builds it",
        ViewCheck::InUse => "not looked at: a writer is at work",
        ViewCheck::Unreadable => "unreadable; the next open builds it again",
        ViewCheck::Skipped => "left out",
    };
    let view_differs = verdict
        .faults
        .iter()
        .any(|fault| fault.file.starts_with("view"));
    writeln!(
        out,
        "view     {}",
        if view_differs { "see the faults" } else { view }
    )?;
    let seal = if verdict.sealed {
        "closed cleanly"
    } else {
        "none; compare the head with one that was noted elsewhere"
    };
    writeln!(out, "seal     {seal}")?;
    let signed = match verdict.vouched {
        Some(entries) => format!("; the given key signed the first {entries} entries"),
        None => "; give the key with `--vkey` to check who signed them".to_owned(),
    };
    writeln!(out, "checkpoints {} hold{signed}", verdict.checkpoints)?;
    if let Some(entries) = verdict.committed {
        writeln!(
            out,
            "host     its log committed to the first {entries} entries"
        )?;
    }
    if let Some(policy) = &verdict.policy {
        print_policy(out, policy, in_colour)?;
    }
    if verdict.pruned > 0 {
        let pruned = verdict.pruned;
        writeln!(
            out,
            "pruned   {pruned} payloads were kept long enough, as later entries say"
        )?;
    }
    for unchecked in &verdict.unchecked {
        writeln!(out, "not read {unchecked}")?;
    }
    for fault in &verdict.faults {
        writeln!(out, "{red}fault{plain}    {fault}")?;
    }
    for gap in &verdict.gaps {
        writeln!(out, "{red}gap{plain}      {gap}")?;
    }
    Ok(())
}
