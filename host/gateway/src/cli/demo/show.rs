//! The demo on a screen, in five parts readable at a glance.

mod flow;
mod marks;

use std::io::{self, Write};
use std::path::Path;

use super::Report;
use crate::cli::style::{self, Look};
use crate::cli::table::{Align, Cell, Table};
use crate::cli::text::{count, for_shell, number, plural, visible, width};
use flow::Flow;
use marks::Marks;

/// Writes the report as suits standard output, where `out` leads.
pub(super) fn show(report: &Report, note_title: &str, out: &mut impl Write) -> io::Result<()> {
    // What the user typed runs again as it was typed: under `cargo run` there is no `nephron` on the path.
    let program = std::env::args_os()
        .next()
        .unwrap_or_else(|| "nephron".into());
    let page = Page {
        report,
        marks: Marks::of(report),
        look: Look::of_stdout(),
        program: for_shell(program.as_ref()),
    };
    page.write(note_title, out)
}

struct Page<'r> {
    report: &'r Report,
    marks: Marks<'r>,
    look: Look,
    program: String,
}

impl Page<'_> {
    fn write(&self, note_title: &str, out: &mut impl Write) -> io::Result<()> {
        self.sent(note_title, out)?;
        self.seen(out)?;
        self.came_back(out)?;
        self.decisions(out)?;
        self.log(out)?;
        self.next(out)
    }

    fn heading(&self, part: u8, title: &str, more: &str, out: &mut impl Write) -> io::Result<()> {
        let (heading, quiet) = (
            self.look.style(style::HEADING),
            self.look.style(style::QUIET),
        );
        let gap = if part == 1 { "" } else { "\n" };
        write!(out, "{gap}{heading}{part}  {title}{heading:#}")?;
        if !more.is_empty() {
            write!(out, "  {quiet}{}{quiet:#}", visible(more))?;
        }
        writeln!(out)
    }

    fn sent(&self, note_title: &str, out: &mut impl Write) -> io::Result<()> {
        self.heading(1, "The note as the caller sent it", note_title, out)?;
        self.marks
            .in_sent(&self.report.sent, self.look)
            .write(self.look, out)?;
        let mut legend = format!(
            "   {} found and replaced",
            plural(self.marks.len(), "identifier")
        );
        for (place, (kind, style, found)) in self.marks.kinds().enumerate() {
            let (separator, style) = (if place == 0 { ": " } else { ", " }, self.look.style(style));
            legend.push_str(&format!(
                "{separator}{} {style}{}{style:#}",
                number(count(found)),
                visible(kind)
            ));
        }
        if self.marks.len() > 0 && !self.look.in_colour {
            legend.push_str("; marked [[as it stood|kind]]");
        }
        writeln!(out, "{legend}")
    }

    fn seen(&self, out: &mut impl Write) -> io::Result<()> {
        let seen = &self.report.seen_by_model;
        let more = format!(
            "{}, model {}",
            plural(seen.len(), "byte"),
            self.report.model
        );
        self.heading(2, "What the model endpoint sees, byte for byte", &more, out)?;
        self.marks.tokens_in(seen, self.look).write(self.look, out)
    }

    fn came_back(&self, out: &mut impl Write) -> io::Result<()> {
        let (answered, restored) = (&self.report.answered, &self.report.restored);
        self.heading(3, "What the model answered", "", out)?;
        self.marks
            .tokens_in(answered, self.look)
            .write(self.look, out)?;
        let heading = self.look.style(style::HEADING);
        if answered == restored {
            return writeln!(
                out,
                "   {heading}The caller received{heading:#} the same: no identity was put back"
            );
        }
        writeln!(
            out,
            "   {heading}What the caller received, identities restored{heading:#}"
        )?;
        self.marks
            .in_restored(answered, restored, self.look)
            .write(self.look, out)
    }

    fn decisions(&self, out: &mut impl Write) -> io::Result<()> {
        let decisions = &self.report.decisions;
        let fuel = decisions
            .iter()
            .fold(0_u64, |sum, row| sum.saturating_add(row.fuel));
        let micros = decisions
            .iter()
            .fold(0_u64, |sum, row| sum.saturating_add(row.micros));
        let more = format!(
            "{}, each on a fresh instance; {} fuel and {} µs in all",
            plural(decisions.len(), "call"),
            number(fuel),
            number(micros)
        );
        self.heading(4, "What each plugin decided", &more, out)?;
        let mut table = Table::new(
            3,
            &[
                ("point", Align::Left),
                ("plugin", Align::Left),
                ("version", Align::Left),
                ("digest", Align::Left),
                ("outcome", Align::Left),
                ("fuel", Align::Right),
                ("µs", Align::Right),
            ],
        );
        for row in decisions {
            let digest = row.digest.strip_prefix("sha256:").unwrap_or(&row.digest);
            let cells = vec![
                Cell::new(&row.point),
                Cell::new(&row.plugin),
                Cell::new(&row.version),
                Cell::styled(digest.get(..12).unwrap_or(digest), style::QUIET),
                Cell::styled(&row.outcome, style::of_outcome(&row.outcome)),
                Cell::new(number(row.fuel)),
                Cell::new(number(row.micros)),
            ];
            table.push(cells, self.look, out)?;
        }
        table.finish(self.look, out)
    }

    fn log(&self, out: &mut impl Write) -> io::Result<()> {
        let (log, tampered) = (&self.report.log, &self.report.tampered);
        let more = format!("event {}", self.report.event);
        self.heading(5, "What the log holds", &more, out)?;
        writeln!(
            out,
            "   the log   {} entries, head {}",
            number(log.entries),
            visible(&log.head)
        )?;
        let read_back = "every entry read back and recomputed from the first";
        if log.verified {
            writeln!(
                out,
                "             {}  {read_back}",
                self.verdict(style::GOOD, "verified")
            )?;
        } else {
            writeln!(
                out,
                "             {}",
                self.verdict(style::BAD, "NOT verified")
            )?;
        }
        let (file, offset) = (visible(&tampered.file), number(tampered.offset));
        writeln!(
            out,
            "   a copy    one byte flipped: byte {offset} of {file}"
        )?;
        if tampered.verified {
            let verdict = self.verdict(style::BAD, "verified");
            return writeln!(
                out,
                "             {verdict}  which must not be: please report this"
            );
        }
        let place = tampered
            .entry
            .map(|entry| format!("entry {}: ", number(entry)))
            .unwrap_or_default();
        // Here it is good news.
        let verdict = self.verdict(
            style::GOOD,
            &format!("NOT verified: {place}{}", visible(&tampered.what)),
        );
        writeln!(out, "             {verdict}")
    }

    fn verdict(&self, style: anstyle::Style, verdict: &str) -> String {
        let style = self.look.style(style);
        format!("{style}{verdict}{style:#}")
    }

    fn next(&self, out: &mut impl Write) -> io::Result<()> {
        let (program, folder) = (&self.program, &self.report.folder);
        let log = if folder.is_empty() {
            writeln!(
                out,
                "\nThe log lay in a temporary folder and is gone. To go on:"
            )?;
            (
                "demo --data FOLDER".to_owned(),
                "keep tenant, keys and log in a folder",
            )
        } else {
            writeln!(out, "\nThe log is in {}. To go on:", visible(folder))?;
            (
                format!("audit show {}", for_shell(Path::new(folder))),
                "read it",
            )
        };
        let steps = [
            log,
            (
                "demo --note FILE".to_owned(),
                "a note of your own; `-` is standard input",
            ),
            (
                "demo --upstream URL --model NAME".to_owned(),
                "an OpenAI-compatible server instead of the sandbox",
            ),
        ];
        let quiet = self.look.style(style::QUIET);
        let widest = steps
            .iter()
            .map(|(command, _)| width(command))
            .max()
            .unwrap_or_default();
        for (command, what) in steps {
            let gap = " ".repeat(widest.saturating_sub(width(&command)));
            writeln!(out, "   {program} {command}{gap}  {quiet}# {what}{quiet:#}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
