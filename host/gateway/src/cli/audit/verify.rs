//! `nephron audit verify`: whether a log is whole, and if not, where.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgGroup;
use nephron_audit::{
    Commitment, Committed, Head, KeptCheckpoint, Policy, PolicyVerdict, Progress, Verdict,
    VerifierKey, VerifyOptions, ViewCheck, Witnessed,
};
use nephron_model::{Digest, TenantId};
use serde::Serialize;

use super::{Logs, log_of};
use crate::cli::style::{self, Look};
use crate::cli::text::{number, plural, visible};
use crate::cli::{Failure, Globals};

/// Verify logs: read them from first to last, recompute every entry, and change nothing.
///
/// Exit code 3 when a fault was found. `audit-verify` does the same without the rest of this program.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("trusted").multiple(true))]
pub(super) struct Args {
    /// Log folders, each of which holds `journal`
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    folders: Vec<PathBuf>,
    /// A configuration, whose tenants' logs are meant
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this tenant of the configuration; `host` is the host's own log
    #[arg(long, short, requires = "config", conflicts_with = "folders")]
    tenant: Option<TenantId>,
    /// A head noted earlier, which the log must still hold; it may have grown since
    #[arg(long, value_name = "HASH", requires = "expect_entries")]
    expect_head: Option<Digest>,
    /// How many entries the log had when HASH was noted
    #[arg(long, value_name = "N", requires = "expect_head")]
    expect_entries: Option<u64>,
    /// Count it as a fault if a log was not closed cleanly
    #[arg(long)]
    require_seal: bool,
    /// The log's public key, as `nephron audit vkey` printed it once: every checkpoint must be signed by it
    #[arg(long, value_name = "KEY", group = "trusted")]
    vkey: Option<VerifierKey>,
    /// A policy (C2SP tlog-policy): which logs and witnesses count, and how many of the witnesses must vouch for each log, by itself or
    /// by the host's, which commits to it
    #[arg(long, value_name = "FILE", group = "trusted")]
    policy: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere, or a folder of them, which the log must still hold; it may have grown since
    #[arg(long, value_name = "PATH", requires = "trusted")]
    checkpoint: Vec<PathBuf>,
    /// A checkpoint of the log that was kept elsewhere: verify only what came after it, from the segment on that holds its last
    /// entry. The key must have signed it
    #[arg(
        long,
        value_name = "FILE",
        requires = "trusted",
        conflicts_with = "expect_head"
    )]
    since: Option<PathBuf>,
    /// The host's log: whatever it committed to of these must hold. With a configuration, its own is looked at in any case
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    host_log: Option<PathBuf>,
    /// How many threads check entries. Default: as many as the machine has cores. The verdicts are the same
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print each verdict as one JSON object
    #[arg(long)]
    json: bool,
}

/// One log that is to be verified.
struct Named {
    folder: PathBuf,
    /// What the host's log said last of the tenant whose log is meant to be there.
    newest: Option<Committed>,
}

/// What the logs are held against, besides themselves.
struct Against {
    expected_head: Option<Head>,
    checkpoints: Vec<KeptCheckpoint>,
    since: Option<KeptCheckpoint>,
    committed: Option<Vec<Committed>>,
    policy: Option<Policy>,
    /// How far those of the policy vouch for the host's log.
    host_witnessed: Option<Witnessed>,
}

pub(super) fn run(args: &Args, _: &Globals) -> Result<(), Failure> {
    let mut unread: anyhow::Result<()> = Ok(());
    let policy = policy(args)?;
    let (mut checkpoints, mut host_witnessed) = (kept(&args.checkpoint)?, None);
    let mut commitments = |host: &Option<PathBuf>, unread: &mut anyhow::Result<()>| {
        let host = host.as_deref().filter(|host| host.exists())?;
        let committed = match &policy {
            Some(policy) => {
                let of_host =
                    checkpoints.extract_if(.., |it| args.host_log.is_some() && it.is_of_host());
                let of_host: Vec<KeptCheckpoint> = of_host.collect();
                let read = Commitment::all_below_by(host, policy, &of_host);
                read.map(|(committed, witnessed)| {
                    host_witnessed = Some(witnessed);
                    committed
                })
            }
            None => Commitment::all_below(host),
        };
        committed.map_err(|error| *unread = Err(error.into())).ok()
    };
    let (logs, committed) = match &args.config {
        Some(config) => {
            let logs = Logs::configured(config, args.tenant.as_ref())?;
            let committed = commitments(&logs.host, &mut unread);
            let all = args.tenant.is_none();
            (named(logs, committed.iter().flatten(), all), committed)
        }
        None => {
            let folders = args.folders.iter().cloned();
            let named = |folder| Named {
                folder,
                newest: None,
            };
            (
                folders.map(named).collect(),
                commitments(&args.host_log, &mut unread),
            )
        }
    };
    let expected = args.expect_head.zip(args.expect_entries);
    let is_about_one = expected.is_some() || args.vkey.is_some() || args.since.is_some();
    if logs.len() != 1 && is_about_one {
        return Err(Failure::usage(anyhow::anyhow!(
            "`--expect-head`, `--vkey` and `--since` are about one log, but {} were named",
            logs.len()
        )));
    }
    let against = Against {
        expected_head: expected.map(|(hash, entries)| Head { entries, hash }),
        checkpoints,
        since: since(args.since.as_deref())?,
        committed,
        policy,
        host_witnessed,
    };
    let mut written = Ok(());
    let mut broken = Vec::new();
    for Named { folder, newest } in &logs {
        let verdict = match newest {
            // Of a folder that somebody names and that is not there, nothing is known.
            _ if !folder.exists() && args.config.is_some() => {
                Ok(Verdict::on_missing(newest.as_ref()))
            }
            Some(_) | None => verify(folder, &against, args),
        };
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                // The others are looked at all the same: a fault in one of them must not go unsaid.
                unread = unread.and(Err(anyhow::Error::new(error)
                    .context(format!("the log `{}` cannot be verified", folder.display()))));
                continue;
            }
        };
        if written.is_ok() {
            written = if args.json {
                write_json(folder, &verdict, &mut io::stdout().lock())
            } else {
                write(
                    folder,
                    &verdict,
                    Look::of_stdout(),
                    &mut anstream::stdout().lock(),
                )
            };
        }
        if !verdict.is_whole() {
            broken.push(format!("`{}`", folder.display()));
        }
    }
    // A fault is said by the exit code even if nobody reads the verdict to its end.
    if broken.is_empty() {
        unread?;
        written.map_err(Failure::output)
    } else {
        Err(Failure::check(anyhow::anyhow!(
            "NOT verified: {}",
            broken.join(", ")
        )))
    }
}

/// The logs of a configuration. If `all` are meant, so are those of tenants that the host's log knows and the configuration no
/// longer does, and the host's own.
fn named<'a>(logs: Logs, committed: impl Iterator<Item = &'a Committed>, all: bool) -> Vec<Named> {
    let mut newest: BTreeMap<TenantId, Committed> = BTreeMap::new();
    for committed in committed {
        newest.insert(committed.commitment.tenant.clone(), committed.clone());
    }
    let mut named = Vec::new();
    for (id, folder) in logs.of {
        let newest = newest.remove(&id);
        named.push(Named { folder, newest });
    }
    if all {
        named.extend(newest.into_iter().map(|(id, newest)| Named {
            folder: log_of(&logs.tenants, &id),
            newest: Some(newest),
        }));
        named.extend(logs.host.map(|folder| Named {
            folder,
            newest: None,
        }));
    }
    named
}

fn policy(args: &Args) -> anyhow::Result<Option<Policy>> {
    let Some(path) = &args.policy else {
        return Ok(None);
    };
    let file = std::fs::read(path);
    let file = file.with_context(|| format!("`{}` cannot be read", path.display()))?;
    let policy = Policy::parse(&file);
    let policy = policy.with_context(|| format!("`{}` is no policy", path.display()))?;
    let policy = policy.or_log(args.vkey.as_ref());
    anyhow::ensure!(
        policy.lists_logs(),
        "the policy `{}` lists no log: add `log KEY`, or give the log's key with `--vkey`",
        path.display()
    );
    Ok(Some(policy))
}

fn since(path: Option<&Path>) -> anyhow::Result<Option<KeptCheckpoint>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let note = std::fs::read_to_string(path);
    let note = note.with_context(|| format!("`{}` cannot be read", path.display()))?;
    let file = path.display().to_string();
    Ok(Some(KeptCheckpoint { file, note }))
}

fn kept(paths: &[PathBuf]) -> anyhow::Result<Vec<KeptCheckpoint>> {
    let mut kept = Vec::new();
    for path in paths {
        let all = KeptCheckpoint::all_at(path);
        kept.extend(all.with_context(|| format!("`{}` cannot be read", path.display()))?);
    }
    Ok(kept)
}

fn verify(
    folder: &Path,
    against: &Against,
    args: &Args,
) -> Result<Verdict, nephron_audit::VerifyError> {
    let mut checkpoints = against.checkpoints.clone();
    if against.policy.is_some() {
        let beside = KeptCheckpoint::cosigned_beside(folder);
        checkpoints.extend(beside.map_err(|source| nephron_audit::VerifyError::Folder {
            path: folder.to_owned(),
            source,
        })?);
    }
    let on_terminal = io::stderr().is_terminal() && !args.json;
    let mut progress = |at: Progress| {
        let mut line = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _unwritten = write!(line, "\r{at} ").and_then(|()| line.flush());
    };
    let options = VerifyOptions {
        expected_head: against.expected_head,
        require_seal: args.require_seal,
        key: args.vkey.clone(),
        checkpoints,
        committed: against.committed.clone(),
        since: against.since.clone(),
        policy: against.policy.clone(),
        host_witnessed: against.host_witnessed.clone(),
        threads: args.threads,
        progress: if on_terminal {
            Some(&mut progress)
        } else {
            None
        },
        ..VerifyOptions::default()
    };
    let verdict = nephron_audit::verify(folder, options);
    if on_terminal {
        let _unwritten = write!(io::stderr(), "\r\x1b[K");
    }
    verdict
}

#[derive(Serialize)]
struct InFolder<'a> {
    folder: &'a Path,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

fn write_json(folder: &Path, verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &InFolder { folder, verdict })?;
    writeln!(out)
}

fn write(folder: &Path, verdict: &Verdict, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (quiet, good, bad) = (
        look.style(style::QUIET),
        look.style(style::GOOD),
        look.style(style::BAD),
    );
    let entries = match verdict.entries {
        1 => "1 entry".to_owned(),
        entries => format!("{} entries", number(entries)),
    };
    let said = format!("{entries}, head {}", verdict.head);
    if verdict.verified {
        writeln!(out, "{good}verified{good:#}  {said}")?;
    } else {
        writeln!(out, "{bad}NOT verified{bad:#}  {said}")?;
    }
    writeln!(
        out,
        "  {quiet}log{quiet:#}   {}",
        visible(&folder.to_string_lossy())
    )?;
    if let Some(since) = verdict.since {
        let (since, from) = (number(since), number(verdict.from));
        let last = number(verdict.entries.saturating_sub(1));
        writeln!(
            out,
            "  {quiet}part{quiet:#}  since the checkpoint of {since} entries: entries {from} to {last} were read"
        )?;
    }
    let view = match verdict.view {
        ViewCheck::Checked => "held against the journal",
        ViewCheck::Absent => "absent; the next opening builds it",
        ViewCheck::InUse => "not looked at: a writer is at work",
        ViewCheck::Unreadable => "unreadable; the next opening builds it again",
        ViewCheck::Skipped => "left out",
    };
    writeln!(out, "  {quiet}view{quiet:#}  {view}")?;
    let seal = if verdict.sealed {
        "closed cleanly"
    } else {
        "none: what is missing at the very end would not show; pass a head noted elsewhere with `--expect-head`"
    };
    writeln!(out, "  {quiet}seal{quiet:#}  {seal}")?;
    let signed = match verdict.vouched {
        Some(entries) => format!(
            "; the given key signed the first {} entries",
            number(entries)
        ),
        None => String::new(),
    };
    let held = plural(
        usize::try_from(verdict.checkpoints).unwrap_or(usize::MAX),
        "checkpoint",
    );
    writeln!(out, "  {quiet}tree{quiet:#}  {held} hold{signed}")?;
    if let Some(entries) = verdict.committed {
        let entries = number(entries);
        writeln!(
            out,
            "  {quiet}host{quiet:#}  its log committed to the first {entries} entries"
        )?;
    }
    if let Some(policy) = &verdict.policy {
        write_policy(policy, look, out)?;
    }
    if verdict.pruned > 0 {
        let pruned = number(verdict.pruned);
        writeln!(
            out,
            "  {quiet}kept{quiet:#}  {pruned} payloads were kept long enough and are pruned, as later entries say"
        )?;
    }
    for unchecked in &verdict.unchecked {
        writeln!(out, "  {quiet}left{quiet:#}  {unchecked}")?;
    }
    if !verdict.faults.is_empty() {
        writeln!(out, "  {}", plural(verdict.faults.len(), "fault"))?;
    }
    for fault in &verdict.faults {
        writeln!(
            out,
            "    {bad}fault{bad:#}  {}",
            visible(&fault.to_string())
        )?;
    }
    if !verdict.gaps.is_empty() {
        let gaps = plural(verdict.gaps.len(), "gap");
        writeln!(
            out,
            "  {gaps} in the story: the host did not record what it should have"
        )?;
    }
    for gap in &verdict.gaps {
        writeln!(out, "    {bad}gap{bad:#}    {gap}")?;
    }
    Ok(())
}

fn write_policy(policy: &PolicyVerdict, look: Look, out: &mut impl Write) -> io::Result<()> {
    let (quiet, bad) = (look.style(style::QUIET), look.style(style::BAD));
    writeln!(
        out,
        "  {quiet}word{quiet:#}  {}",
        visible(&policy.to_string())
    )?;
    for witness in &policy.witnesses {
        writeln!(out, "        {}", visible(&witness.to_string()))?;
    }
    for lacking in &policy.lacking {
        writeln!(
            out,
            "    {bad}lacks{bad:#}  {}",
            visible(&lacking.to_string())
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use nephron_audit::{Fault, FaultKind, Lacking, Vouches};

    fn shown(verdict: &Verdict) -> String {
        let mut out = Vec::new();
        write(
            Path::new("data/tenants/st-marys/log"),
            verdict,
            Look {
                in_colour: false,
                width: 100,
            },
            &mut out,
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn sound() -> Verdict {
        Verdict {
            from: 0,
            since: None,
            unchecked: Vec::new(),
            entries: 1812,
            head: Digest([0xab; 32]),
            root: Some(Digest([0xcd; 32])),
            pruned: 0,
            checkpoints: 0,
            vouched: None,
            committed: None,
            policy: None,
            verified: true,
            faults: Vec::new(),
            gaps: Vec::new(),
            view: ViewCheck::Checked,
            sealed: true,
        }
    }

    #[test]
    fn a_sound_log_says_how_far_it_reaches() {
        expect![[r#"
            verified  1,812 entries, head sha256:abababababababababababababababababababababababababababababababab
              log   data/tenants/st-marys/log
              view  held against the journal
              seal  closed cleanly
              tree  0 checkpoints hold
        "#]].assert_eq(&shown(&sound()));
    }

    #[test]
    fn each_fault_names_entries_file_and_bytes() {
        let fault = |entry: Option<u64>, file: &str, offset: Option<u64>, what| Fault {
            entry_end: entry.map(|entry| entry + 3),
            offset_end: offset.map(|offset| offset + 100),
            entry,
            file: file.to_owned(),
            offset,
            what,
        };
        let broken = Verdict {
            verified: false,
            sealed: false,
            faults: vec![
                fault(
                    Some(17),
                    "journal/00000000000000000000",
                    Some(12_345),
                    FaultKind::FrameDamaged,
                ),
                fault(None, "extra\u{1b}[2J", None, FaultKind::UnknownFile),
            ],
            ..sound()
        };
        expect![[r#"
            NOT verified  1,812 entries, head sha256:abababababababababababababababababababababababababababababababab
              log   data/tenants/st-marys/log
              view  held against the journal
              seal  none: what is missing at the very end would not show; pass a head noted elsewhere with `--expect-head`
              tree  0 checkpoints hold
              2 faults
                fault  entries 17 to 19: frame is damaged in `journal/00000000000000000000` at bytes 12345 to 12444
                fault  file does not belong here in `extra\u{1b}[2J`
        "#]].assert_eq(&shown(&broken));
    }

    #[test]
    fn a_policy_says_who_vouches_and_who_is_missing() {
        let verdict = Verdict {
            verified: false,
            policy: Some(PolicyVerdict {
                quorum: "two".to_owned(),
                met: false,
                entries: None,
                signed: Some(1812),
                witnesses: vec![Vouches {
                    name: "w1".to_owned(),
                    key: "w1.example".to_owned(),
                    entries: Some(1700),
                    cosigned: Some("2026-11-22T00:03:22.000000000Z".to_owned()),
                }],
                lacking: vec![Lacking {
                    name: "two".to_owned(),
                    needs: 2,
                    has: 1,
                    lacks: vec!["w2".to_owned()],
                }],
            }),
            faults: vec![Fault {
                entry: None,
                entry_end: None,
                file: "policy".to_owned(),
                offset: None,
                offset_end: None,
                what: FaultKind::QuorumNotMet,
            }],
            ..sound()
        };
        expect![[r#"
            NOT verified  1,812 entries, head sha256:abababababababababababababababababababababababababababababababab
              log   data/tenants/st-marys/log
              view  held against the journal
              seal  closed cleanly
              tree  0 checkpoints hold
              word  quorum `two` is NOT met
                    `w1` (w1.example) vouches for the first 1700 entries, cosigned 2026-11-22T00:03:22.000000000Z
                lacks  `two` needs 2 and has 1; not there: `w2`
              1 fault
                fault  too few witnesses vouch for this log in `policy`
        "#]].assert_eq(&shown(&verdict));
    }

    #[test]
    fn a_script_reads_folder_and_verdict_in_one_object() {
        let mut out = Vec::new();
        write_json(Path::new("log"), &sound(), &mut out).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (&read["folder"], &read["verified"], &read["entries"]),
            (&"log".into(), &true.into(), &1812.into())
        );
    }
}
