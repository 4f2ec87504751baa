//! The few styles used everywhere, and what is known of the screen.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};

/// A heading, or the names of a table's columns.
pub(crate) const HEADING: Style = Style::new().bold();
/// Something is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something soon is not.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What the eye may pass over.
pub(crate) const QUIET: Style = Style::new().dimmed();

/// Follows the caller's wish from here on, on both streams.
pub(super) fn choose(color: clap::ColorChoice) {
    let choice = match color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// How standard output looks.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Styles are written.
    pub(crate) in_colour: bool,
    /// Columns of the screen.
    pub(crate) width: usize,
}

impl Look {
    /// Columns where there is no screen to ask.
    pub(crate) const WIDTH: usize = 100;

    /// What suits standard output: colour on a terminal unless it is unwanted (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let choice = anstream::AutoStream::choice(&stdout);
        let screen = stdout
            .is_terminal()
            .then(terminal_size::terminal_size)
            .flatten();
        let width = screen.map_or(Self::WIDTH, |(width, _)| usize::from(width.0));
        Self {
            in_colour: choice != anstream::ColorChoice::Never,
            width: width.clamp(40, 160),
        }
    }

    /// The style, where styles are written.
    pub(crate) const fn style(self, style: Style) -> Style {
        if self.in_colour { style } else { Style::new() }
    }
}

/// The style of an outcome, as the log has it: what let something happen, what kept it from happening, all others.
pub(crate) fn of_outcome(outcome: &str) -> Style {
    match outcome {
        "permit" => AnsiColor::Green.on_default(),
        "deny"
        | "indeterminate"
        | "refused"
        | "failed"
        | "trapped"
        | "out-of-fuel"
        | "out-of-memory"
        | "timed-out"
        | "too-many-host-calls"
        | "too-large"
        | "bad-answer"
        | "kept-key"
        | "reported-error"
        | "not-run" => BAD,
        _ => Style::new(),
    }
}
