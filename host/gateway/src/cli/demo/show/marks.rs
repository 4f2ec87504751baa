//! Identifiers and the tokens that stand for them, found again in every text of the report.

use anstyle::{AnsiColor, Style};

use super::Flow;
use crate::cli::demo::Report;
use crate::cli::style::Look;

/// The replaced stretches of the note, in its order; one that does not fit the text, or laps over another, is left out.
pub(super) struct Marks<'r> {
    marks: Vec<Mark<'r>>,
    /// Kinds in the order of their first mark; the place is the colour's.
    kinds: Vec<&'r str>,
}

struct Mark<'r> {
    start: usize,
    end: usize,
    /// The identifier as it stood.
    value: &'r str,
    token: &'r str,
    /// Place in the kinds.
    kind: usize,
}

/// A stretch of a text that holds tokens.
enum Stretch<'t, 'm> {
    Plain(&'t str),
    Token(&'m Mark<'m>),
}

impl<'r> Marks<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let mut spans: Vec<_> = report.spans.iter().collect();
        spans.sort_by_key(|span| (span.start, span.end));
        let mut found = Self {
            marks: Vec::new(),
            kinds: Vec::new(),
        };
        let mut end = 0;
        for span in spans.into_iter().filter(|span| span.start < span.end) {
            let Some(value) = report
                .sent
                .get(span.start..span.end)
                .filter(|_| span.start >= end)
            else {
                continue;
            };
            end = span.end;
            let known = found.kinds.iter().position(|kind| *kind == span.kind);
            let kind = known.unwrap_or_else(|| {
                found.kinds.push(&span.kind);
                found.kinds.len() - 1
            });
            found.marks.push(Mark {
                start: span.start,
                end,
                value,
                token: &span.token,
                kind,
            });
        }
        found
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Each kind, its style, and how many marks it has.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, Style, usize)> {
        self.kinds.iter().enumerate().map(|(place, kind)| {
            let found = self.marks.iter().filter(|mark| mark.kind == place).count();
            (*kind, colour(place), found)
        })
    }

    /// The note with each identifier marked: in colour underlined and followed by its kind, else in double brackets.
    pub(super) fn in_sent(&self, sent: &str, look: Look) -> Flow {
        let mut flow = Flow::default();
        let mut at = 0;
        for mark in &self.marks {
            flow.push(sent.get(at..mark.start).unwrap_or_default(), Style::new());
            let kind = self.kinds.get(mark.kind).copied().unwrap_or_default();
            let style = colour(mark.kind);
            if look.in_colour {
                flow.push(mark.value, style.underline());
                flow.push(&format!("\u{b7}{kind}"), style.dimmed());
            } else {
                flow.push(&format!("[[{}|{kind}]]", mark.value), Style::new());
            }
            at = mark.end;
        }
        flow.push(sent.get(at..).unwrap_or_default(), Style::new());
        flow
    }

    /// The text as it is, with its tokens in the colour of their identifiers.
    pub(super) fn tokens_in(&self, text: &str, look: Look) -> Flow {
        let mut flow = Flow::default();
        for stretch in self.stretches(text) {
            match stretch {
                Stretch::Plain(text) => flow.push(text, Style::new()),
                Stretch::Token(mark) => flow.push(mark.token, look.style(colour(mark.kind).bold())),
            }
        }
        flow
    }

    /// The text that the caller received, with what stands in the place of a token of `answered` highlighted.
    ///
    /// The report does not say where identities were put back, so the two texts are laid side by side. From the first
    /// place where they do not agree, nothing is highlighted.
    pub(super) fn in_restored(&self, answered: &str, restored: &str, look: Look) -> Flow {
        let mut flow = Flow::default();
        let mut rest = restored;
        let stretches = self.stretches(answered);
        for (place, stretch) in stretches.iter().enumerate() {
            let (taken, style) = match stretch {
                Stretch::Plain(text) => (*text, Style::new()),
                Stretch::Token(mark) => {
                    let follows = match stretches.get(place + 1) {
                        Some(Stretch::Plain(text)) => text,
                        Some(Stretch::Token(_)) | None => "",
                    };
                    let fits = |value: &&str| {
                        rest.strip_prefix(*value)
                            .is_some_and(|rest| rest.starts_with(follows))
                    };
                    // One token may stand for several spellings of one value, and may also have been left as it is.
                    let of_token = self.marks.iter().filter(|other| other.token == mark.token);
                    let value = of_token
                        .map(|other| other.value)
                        .filter(fits)
                        .max_by_key(|value| value.len());
                    match value {
                        Some(value) => (value, look.style(colour(mark.kind).underline())),
                        None => (mark.token, look.style(colour(mark.kind).bold())),
                    }
                }
            };
            let Some(after) = rest.strip_prefix(taken) else {
                break;
            };
            flow.push(taken, style);
            rest = after;
        }
        flow.push(rest, Style::new());
        flow
    }

    fn stretches<'t>(&self, text: &'t str) -> Vec<Stretch<'t, '_>> {
        let mut stretches = Vec::new();
        let mut rest = text;
        loop {
            let tokens = self.marks.iter().filter(|mark| !mark.token.is_empty());
            let next = tokens
                .filter_map(|mark| Some((rest.find(mark.token)?, mark)))
                .min_by_key(|(at, _)| *at);
            let split = next.and_then(|(at, mark)| {
                let (before, token) = rest.split_at_checked(at)?;
                Some((before, mark, token.strip_prefix(mark.token)?))
            });
            let Some((before, mark, after)) = split else {
                break;
            };
            if !before.is_empty() {
                stretches.push(Stretch::Plain(before));
            }
            stretches.push(Stretch::Token(mark));
            rest = after;
        }
        if !rest.is_empty() {
            stretches.push(Stretch::Plain(rest));
        }
        stretches
    }
}

/// The colour of the kind that came `place`-th. Red is left to what is wrong, and black and white to the screen.
fn colour(place: usize) -> Style {
    const COLOURS: [AnsiColor; 5] = [
        AnsiColor::Magenta,
        AnsiColor::Yellow,
        AnsiColor::Cyan,
        AnsiColor::Green,
        AnsiColor::Blue,
    ];
    COLOURS
        .get(place % COLOURS.len())
        .map(|colour| colour.on_default())
        .unwrap_or_default()
}
