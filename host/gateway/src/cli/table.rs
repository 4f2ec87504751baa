//! Rows in columns, for people; and a line of JSON for each, for scripts.

use std::io::{self, Write};

use anstyle::Style;
use serde::Serialize;

use super::style::{self, Look};
use super::text::{visible, width};

/// On which side a column is even.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// One field of a row. Its text is made visible when the cell is.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: visible(text.as_ref()),
            style,
        }
    }
}

/// A table that is written in pages, so that a long one is not held in memory. A column is as wide as its widest cell
/// so far.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    widths: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
    has_begun: bool,
}

impl Table {
    /// Rows that are held before they are written.
    const PAGE: usize = 1000;
    /// Between two columns.
    const GAP: usize = 2;

    pub(crate) fn new(indent: usize, columns: &[(&'static str, Align)]) -> Self {
        let widths = columns.iter().map(|(title, _)| width(title)).collect();
        Self {
            columns: columns.to_vec(),
            widths,
            rows: Vec::new(),
            indent,
            has_begun: false,
        }
    }

    /// Adds a row, and writes a page when one is full.
    pub(crate) fn push(
        &mut self,
        row: Vec<Cell>,
        look: Look,
        out: &mut impl Write,
    ) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < Self::PAGE {
            Ok(())
        } else {
            self.finish(look, out)
        }
    }

    /// Writes what is held; the titles before the first row, and alone if there is none.
    pub(crate) fn finish(&mut self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            for (widest, cell) in self.widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            let titles = self
                .columns
                .iter()
                .map(|(title, _)| Cell::styled(title, style::HEADING))
                .collect();
            self.write_row(titles, look, out)?;
        }
        rows.into_iter()
            .try_for_each(|row| self.write_row(row, look, out))
    }

    fn write_row(&self, row: Vec<Cell>, look: Look, out: &mut impl Write) -> io::Result<()> {
        let mut line = " ".repeat(self.indent);
        let mut owed = 0;
        for ((cell, widest), (_, align)) in row.into_iter().zip(&self.widths).zip(&self.columns) {
            let spare = widest.saturating_sub(width(&cell.text));
            let (before, after) = if *align == Align::Right {
                (spare, 0)
            } else {
                (0, spare)
            };
            let style = look.style(cell.style);
            // Spaces wait for something to stand after them, so that no line ends in any.
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(owed + before));
                line.push_str(&format!("{style}{}{style:#}", cell.text));
                owed = after + Self::GAP;
            } else {
                owed += widest + Self::GAP;
            }
        }
        writeln!(out, "{line}")
    }
}

/// Rows as JSON, one object a line.
pub(crate) fn json_lines<T: Serialize>(rows: &[T], out: &mut impl Write) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_even_and_lines_end_in_no_space() {
        let look = Look {
            in_colour: false,
            width: 80,
        };
        let mut table = Table::new(
            1,
            &[
                ("name", Align::Left),
                ("µs", Align::Right),
                ("note", Align::Left),
            ],
        );
        let mut out = Vec::new();
        for (name, micros, note) in [
            ("漢字", "1", "wide"),
            ("plain", "1,000", ""),
            ("", "20", "\u{1b}[31m"),
        ] {
            let row = vec![
                Cell::styled(name, style::GOOD),
                Cell::new(micros),
                Cell::new(note),
            ];
            table.push(row, look, &mut out).unwrap();
        }
        table.finish(look, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            " name      µs  note\n \
              漢字       1  wide\n \
              plain  1,000\n \
              \u{20}         20  \\u{1b}[31m\n"
        );
    }

    #[test]
    fn titles_are_written_once_however_many_pages() {
        let look = Look {
            in_colour: true,
            width: 80,
        };
        let mut table = Table::new(0, &[("title", Align::Left)]);
        let mut out = Vec::new();
        for row in 0..2 * Table::PAGE {
            table
                .push(vec![Cell::new(row.to_string())], look, &mut out)
                .unwrap();
        }
        table.finish(look, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            (text.lines().count(), text.matches("title").count()),
            (2 * Table::PAGE + 1, 1)
        );
    }
}
