//! `audit-verify FOLDER`: an auditor's check of one log, without the host, its keys or its runtime.

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nephron_audit::{Head, Progress, Verdict, VerifyOptions, ViewCheck, verify};
use nephron_model::Digest;

/// Verify a log: recompute every entry from first to last and compare it with everything that vouches for it.
///
/// Nothing in FOLDER is written. Exit code: 0 verified, 1 could not be read, 2 usage, 3 faults were found.
#[derive(Parser)]
#[command(name = "audit-verify")]
struct Arguments {
    /// The log's folder, the one that holds `journal`
    folder: PathBuf,
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
    let expected = arguments.expect_head.zip(arguments.expect_entries);
    let shows_progress = io::stderr().is_terminal() && !arguments.json;
    let mut progress = |at: Progress| {
        if shows_progress {
            let percent = (at.bytes * 100).checked_div(at.of_bytes).unwrap_or(100);
            drop(write!(
                io::stderr(),
                "\r{percent:3} %  {} entries ",
                at.entries
            ));
        }
    };
    let verdict = verify(
        &arguments.folder,
        VerifyOptions {
            expected_head: expected.map(|(hash, entries)| Head { entries, hash }),
            require_seal: arguments.require_seal,
            progress: Some(&mut progress),
            ..VerifyOptions::default()
        },
    )?;
    if shows_progress {
        drop(write!(io::stderr(), "\r\x1b[K"));
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &verdict)?;
        writeln!(out)?;
    } else {
        print(&mut out, &verdict, io::stdout().is_terminal())?;
    }
    out.flush()?;
    Ok(verdict.verified)
}

fn print(out: &mut impl io::Write, verdict: &Verdict, in_colour: bool) -> io::Result<()> {
    let (red, green, plain) = if in_colour {
        ("\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    if verdict.verified {
        writeln!(out, "{green}verified{plain}")?;
    } else {
        writeln!(out, "{red}not verified{plain}")?;
    }
    writeln!(out, "entries  {}", verdict.entries)?;
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
    for fault in &verdict.faults {
        writeln!(out, "{red}fault{plain}    {fault}")?;
    }
    Ok(())
}
