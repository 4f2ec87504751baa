//! `nephron audit verify`: whether a log is whole, and if not, where.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use nephron_audit::{Head, Progress, Verdict, VerifyOptions, ViewCheck};
use nephron_model::{Digest, TenantId};
use serde::Serialize;

use super::configured;
use crate::cli::style::{self, Look};
use crate::cli::text::{number, plural, visible};
use crate::cli::{Failure, Globals};

/// Verify logs: read them from first to last, recompute every entry, and change nothing.
///
/// Exit code 3 when a fault was found. `audit-verify` does the same without the rest of this program.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Log folders, each of which holds `journal`
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    folders: Vec<PathBuf>,
    /// A configuration, whose tenants' logs are meant
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this tenant of the configuration
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
    /// Print each verdict as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, _: &Globals) -> Result<(), Failure> {
    let folders = match &args.config {
        Some(config) => configured(config, args.tenant.as_ref())?,
        None => args.folders.clone(),
    };
    let expected = args
        .expect_head
        .zip(args.expect_entries)
        .map(|(hash, entries)| Head { entries, hash });
    if expected.is_some() && folders.len() != 1 {
        return Err(Failure::usage(anyhow::anyhow!(
            "`--expect-head` is about one log, but {} were named",
            folders.len()
        )));
    }
    let mut written = Ok(());
    let mut unread: anyhow::Result<()> = Ok(());
    let mut broken = Vec::new();
    for folder in &folders {
        let verdict = match verify(folder, expected, args) {
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
        if !verdict.verified {
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

fn verify(
    folder: &Path,
    expected_head: Option<Head>,
    args: &Args,
) -> Result<Verdict, nephron_audit::VerifyError> {
    let on_terminal = io::stderr().is_terminal() && !args.json;
    let mut progress = |at: Progress| {
        let percent = (u128::from(at.bytes) * 100)
            .checked_div(u128::from(at.of_bytes))
            .unwrap_or(100);
        let mut line = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _unwritten = write!(line, "\r{percent:3} %  {} entries ", number(at.entries))
            .and_then(|()| line.flush());
    };
    let options = VerifyOptions {
        expected_head,
        require_seal: args.require_seal,
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use nephron_audit::{Fault, FaultKind};

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
            entries: 1812,
            head: Digest([0xab; 32]),
            verified: true,
            faults: Vec::new(),
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
        "#]].assert_eq(&shown(&sound()));
    }

    #[test]
    fn each_fault_names_entry_file_and_byte() {
        let fault = |entry, file: &str, offset, what| Fault {
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
              2 faults
                fault  entry 17: frame is damaged in `journal/00000000000000000000` at byte 12345
                fault  file does not belong here in `extra\u{1b}[2J`
        "#]].assert_eq(&shown(&broken));
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
