//! Styled text, laid out in lines that fit the screen. A break that is not in the text is told from one that is.

use std::io::{self, Write};

use anstyle::Style;

use crate::cli::style::{self, Look};
use crate::cli::text::{escape, width_of};

/// Text with a style for each character, and nothing in it that could drive a terminal.
#[derive(Default)]
pub(super) struct Flow {
    glyphs: Vec<(char, Style)>,
}

impl Flow {
    /// Adds text from elsewhere. Lines are kept; controls and what else must not reach a terminal become escapes, set
    /// off by their style. A lone carriage return ends a line too, as in HL7 version 2, where it ends a segment.
    pub(super) fn push(&mut self, text: &str, style: Style) {
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match escape(c).filter(|_| c != '\n') {
                Some(escape) => self
                    .glyphs
                    .extend(escape.chars().map(|c| (c, style::QUIET))),
                None => self.glyphs.push((c, style)),
            }
            if c == '\r' && characters.peek().is_some_and(|next| *next != '\n') {
                self.glyphs.push(('\n', style));
            }
        }
    }

    /// Writes a line of the text behind `|`, and what did not fit into it behind `:`.
    pub(super) fn write(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let quiet = look.style(style::QUIET);
        let room = look.width.saturating_sub(5).max(8);
        let ends_in_break = self.glyphs.last().is_some_and(|(c, _)| *c == '\n');
        let mut lines: Vec<&[(char, Style)]> = self.glyphs.split(|(c, _)| *c == '\n').collect();
        if ends_in_break {
            lines.pop();
        }
        for line in lines {
            for (place, row) in wrapped(line, room).into_iter().enumerate() {
                let gutter = if place == 0 { '|' } else { ':' };
                let gap = if row.is_empty() { "" } else { " " };
                write!(out, "   {quiet}{gutter}{quiet:#}{gap}")?;
                for run in row.chunk_by(|(_, one), (_, next)| one == next) {
                    let style =
                        look.style(run.first().map(|(_, style)| *style).unwrap_or_default());
                    let text: String = run.iter().map(|(c, _)| *c).collect();
                    write!(out, "{style}{text}{style:#}")?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

/// Parts `line` into rows of at most `room` columns: after a space where there is one in the row's second half, else
/// wherever it is full. Nothing is left out.
fn wrapped(mut line: &[(char, Style)], room: usize) -> Vec<&[(char, Style)]> {
    let mut rows = Vec::new();
    loop {
        let mut taken = 0;
        let fits = line.iter().take_while(|(c, _)| {
            taken += width_of(*c);
            taken <= room
        });
        let full = fits.count().max(1);
        if full >= line.len() {
            rows.push(line);
            return rows;
        }
        // A space that no longer fits may hang over the edge of the row that it ends.
        let after_space = line
            .iter()
            .take(full + 1)
            .rposition(|(c, _)| *c == ' ')
            .map(|place| place + 1);
        let at = after_space.filter(|at| *at > full / 2).unwrap_or(full);
        let Some((row, rest)) = line.split_at_checked(at) else {
            return rows;
        };
        rows.push(row);
        if rest.is_empty() {
            return rows;
        }
        line = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, width: usize) -> Vec<String> {
        let mut flow = Flow::default();
        flow.push(text, Style::new());
        let mut out = Vec::new();
        flow.write(
            Look {
                in_colour: false,
                width,
            },
            &mut out,
        )
        .unwrap();
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| line.trim_start().to_owned())
            .collect()
    }

    #[test]
    fn a_long_line_is_parted_after_a_space_and_loses_nothing() {
        assert_eq!(
            rows("one two three four", 15),
            ["| one two ", ": three four"]
        );
        assert_eq!(rows("0123456789abcdef", 15), ["| 0123456789", ": abcdef"]);
        assert_eq!(rows("漢字漢字漢字漢字", 15), ["| 漢字漢字漢", ": 字漢字"]);
        assert_eq!(rows("0123456789", 15), ["| 0123456789"]);
        assert_eq!(rows("012345678 x", 15), ["| 012345678 ", ": x"]);
        assert_eq!(rows("0123456789 ", 15), ["| 0123456789 "]);
        for text in [
            "a  b   c    d     e      f",
            &"x ".repeat(40),
            "ab".repeat(33).as_str(),
        ] {
            let joined: String = rows(text, 15)
                .iter()
                .filter_map(|row| row.get(2..))
                .collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn lines_of_the_text_are_kept_and_the_last_break_ends_the_last_line() {
        assert_eq!(rows("a\n\nb\n", 40), ["| a", "|", "| b"]);
        assert_eq!(rows("a\n\n", 40), ["| a", "|"]);
        assert_eq!(rows("", 40), ["|"]);
    }

    #[test]
    fn carriage_returns_are_seen_and_end_hl7_segments() {
        assert_eq!(
            rows("MSH|^~\\&\rPID|1\r", 40),
            ["| MSH|^~\\&\\r", "| PID|1\\r"]
        );
        assert_eq!(rows("a\r\nb\r\n", 40), ["| a\\r", "| b\\r"]);
    }
}
