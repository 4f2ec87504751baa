//! What was found, for people: the text with each identifier marked, and why each was taken for one. It shows the identifiers.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::piece::{Change, label};
use crate::cli::style::{HEADING, Look, QUIET};
use crate::cli::text::{visible, visible_lines};

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Explain {
    /// In colour on a terminal, else in double brackets
    Text,
    /// A page that needs nothing else
    Html,
}

/// One piece and what is said of it.
pub(super) struct Explained<'p> {
    pub(super) file: &'p str,
    pub(super) number: u64,
    pub(super) text: &'p str,
    pub(super) changes: &'p [Change],
    /// The method that the detectors amount to, if to one.
    pub(super) method: Option<&'static str>,
}

impl Explained<'_> {
    /// The text up to each change, the change with what stood there, and the rest.
    fn stretches(&self) -> impl Iterator<Item = (&str, Option<(&Change, &str)>)> {
        let ends = std::iter::once(0).chain(self.changes.iter().map(|change| change.end));
        let changes = self.changes.iter().map(Some).chain([None]);
        ends.zip(changes).map(|(from, change)| match change {
            Some(change) => {
                let before = self.text.get(from..change.start).unwrap_or_default();
                let value = self.text.get(change.start..change.end).unwrap_or_default();
                (before, Some((change, value)))
            }
            None => (self.text.get(from..).unwrap_or_default(), None),
        })
    }

    /// For a terminal, or a file.
    pub(super) fn write_text(&self, look: Look, out: &mut impl Write) -> io::Result<()> {
        let (heading, quiet) = (look.style(HEADING), look.style(QUIET));
        writeln!(
            out,
            "{heading}{}, text {}{heading:#}",
            visible(self.file),
            self.number
        )?;
        for (before, change) in self.stretches() {
            write!(out, "{}", visible_lines(before))?;
            let Some((change, value)) = change else {
                continue;
            };
            let (kind, value) = (
                label(change.found.place.kind.as_str()),
                visible_lines(value),
            );
            if look.in_colour {
                let style = colour(&kind).underline();
                let name = colour(&kind).dimmed();
                write!(out, "{style}{value}{style:#}{name}\u{b7}{kind}{name:#}")?;
            } else {
                write!(out, "[[{value}|{kind}]]")?;
            }
        }
        if !self.text.ends_with('\n') {
            writeln!(out)?;
        }
        for row in self.rows() {
            let [bytes, kind, rule, by, confidence, method] = &row;
            writeln!(
                out,
                "{quiet}   {bytes:>15}  {kind:<10} {rule:<28} {by:<6} {confidence:>5}  {method}{quiet:#}"
            )?;
        }
        writeln!(out)
    }

    /// Where, what, by which rule, of which sort, how surely, and by which method of de-identification.
    fn rows(&self) -> impl Iterator<Item = [String; 6]> {
        let method = self.method.unwrap_or("none");
        self.changes.iter().map(move |change| {
            let found = &change.found;
            [
                format!("{}–{}", change.start, change.end),
                label(found.place.kind.as_str()),
                found.rule.as_deref().unwrap_or("-").to_owned(),
                found.by().to_owned(),
                format!("{:.2}", found.confidence()),
                method.to_owned(),
            ]
        })
    }

    /// A section of the page.
    pub(super) fn write_html(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "<section><h2>{}, text {}</h2>",
            escaped(self.file),
            self.number
        )?;
        write!(out, "<pre>")?;
        for (before, change) in self.stretches() {
            write!(out, "{}", escaped(&visible_lines(before)))?;
            let Some((change, value)) = change else {
                continue;
            };
            let found = &change.found;
            let kind = label(found.place.kind.as_str());
            write!(
                out,
                "<mark class=\"{}\" title=\"{kind}, {} ({}), {:.2}, {}\">{}<small>{kind}</small></mark>",
                found.place.kind,
                escaped(found.rule.as_deref().unwrap_or("-")),
                found.by(),
                found.confidence(),
                self.method.unwrap_or("none"),
                escaped(&visible_lines(value)),
            )?;
        }
        writeln!(
            out,
            "</pre>\n<table><tr><th>bytes<th>kind<th>rule<th>found by<th>confidence<th>method</tr>"
        )?;
        for row in self.rows() {
            let cells = row.map(|cell| format!("<td>{}", escaped(&cell))).concat();
            writeln!(out, "<tr>{cells}</tr>")?;
        }
        writeln!(out, "</table></section>")
    }
}

/// What stands before all sections of a page. It runs nothing and loads nothing.
pub(super) const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<title>What was found</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
pre{white-space:pre-wrap;background:#f6f6f4;padding:1rem;border-radius:6px}\
mark{background:#ffe9a8;border-radius:3px;padding:0 2px}mark.name{background:#ffd0e0}mark.date,mark.age{background:#cfe8ff}\
mark.geo{background:#d3f3d0}mark small{font-size:.65em;opacity:.7;margin-left:3px}\
table{border-collapse:collapse;font-size:.85em}td,th{padding:.15rem .7rem;text-align:left;border-bottom:1px solid #ddd}\
@media(prefers-color-scheme:dark){body{background:#1c1c1c;color:#eee}pre{background:#2a2a2a}mark{color:#111}}\
</style></head><body><h1>What was found</h1>\
<p>This page shows the identifiers: treat it as you treat the texts. What is not marked may still identify somebody; \
whether a text is de-identified in the sense of 45 CFR 164.514 is for whoever answers for it to say.</p>\n";

/// What stands behind them.
pub(super) const END: &str = "</body></html>\n";

fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut escaped, c| {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                other => escaped.push(other),
            }
            escaped
        })
}

/// Red is left to what is wrong.
fn colour(label: &str) -> Style {
    match label {
        "NAME" => AnsiColor::Magenta,
        "DATE" | "AGE90" => AnsiColor::Cyan,
        "GEO" => AnsiColor::Green,
        "PHONE" | "FAX" | "EMAIL" | "URL" | "IP" => AnsiColor::Blue,
        _ => AnsiColor::Yellow,
    }
    .on_default()
}
