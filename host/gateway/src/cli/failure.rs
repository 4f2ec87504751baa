//! How a command ends when it does not end well: an exit code, and the causes one below the other.

use std::io;
use std::process::ExitCode;

use super::style;
use super::text::visible_lines;

/// A command that did not come to what it was asked for.
pub(crate) struct Failure {
    code: u8,
    error: Option<anyhow::Error>,
}

impl Failure {
    /// Exit code when something did not work.
    const FAILED: u8 = 1;
    /// Exit code when the arguments make no sense; clap's own is the same.
    const USAGE: u8 = 2;
    /// Exit code when a check found a fault.
    const FAULT: u8 = 3;
    /// Exit code when a request was refused.
    const REFUSED: u8 = 4;

    /// The arguments make no sense together.
    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self {
            code: Self::USAGE,
            error: Some(error),
        }
    }

    /// A check found a fault.
    pub(crate) fn check(error: anyhow::Error) -> Self {
        Self {
            code: Self::FAULT,
            error: Some(error),
        }
    }

    /// A request was refused.
    pub(crate) fn refused(error: anyhow::Error) -> Self {
        Self {
            code: Self::REFUSED,
            error: Some(error),
        }
    }

    /// Standard output cannot be written. Whoever reads it may stop when they have seen enough, as `head` does: that
    /// is no failure.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self {
                code: 0,
                error: None,
            }
        } else {
            anyhow::Error::new(error)
                .context("standard output cannot be written")
                .into()
        }
    }

    /// What the process ends with.
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }

    /// The causes, one behind the other.
    pub(crate) fn causes(&self) -> String {
        let error = self.error.as_ref();
        error.map_or_else(String::new, |error| format!("{error:#}"))
    }

    /// Writes the causes to standard error and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        if let Some(error) = &self.error {
            // When even standard error is gone, the exit code still says it.
            let _unwritten = write_chain(error, &mut anstream::stderr().lock());
        }
        ExitCode::from(self.code())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            code: Self::FAILED,
            error: Some(error),
        }
    }
}

/// Help and version are no faults; anything else that clap has to say is about usage.
pub(super) fn of_usage(said: &clap::Error) -> ExitCode {
    let _unwritten = said.print();
    ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(Failure::USAGE))
}

/// One cause a line. A cause that repeats the end of the one before adds nothing and is left out.
fn write_chain(error: &anyhow::Error, out: &mut impl io::Write) -> io::Result<()> {
    let (bad, quiet) = (style::BAD, style::QUIET);
    let mut before = String::new();
    for (place, cause) in error.chain().enumerate() {
        let text = visible_lines(&cause.to_string());
        if place == 0 {
            writeln!(out, "{bad}error:{bad:#} {text}")?;
        } else if !before.ends_with(&text) {
            writeln!(out, "  {quiet}because:{quiet:#} {text}")?;
        }
        before = text;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(error: &anyhow::Error) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write_chain(error, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn causes_stand_one_below_the_other_and_none_twice() {
        let deepest = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::new(deepest)
            .context("`log` cannot be opened")
            .context("`log` cannot be opened");
        let error = error.context("tenant `st-marys` cannot be opened");
        assert_eq!(
            chain(&error),
            "error: tenant `st-marys` cannot be opened\n  because: `log` cannot be opened\n  because: no such file\n"
        );
    }

    #[test]
    fn what_a_plugin_wrote_into_a_cause_cannot_drive_the_terminal() {
        let error = anyhow::anyhow!("the plugin refuses its settings: \u{1b}[2J\u{9b}2J\rdone");
        assert_eq!(
            chain(&error),
            "error: the plugin refuses its settings: \\u{1b}[2J\\u{9b}2J\\rdone\n"
        );
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let closed = Failure::output(io::ErrorKind::BrokenPipe.into());
        assert!(closed.code == 0 && closed.error.is_none());
        let full = Failure::output(io::ErrorKind::StorageFull.into());
        assert!(full.code == 1 && full.error.is_some());
    }
}
