//! A message of HL7 version 2 as its segments, fields, repetitions and components, each with its place in the text
//! (HL7 v2.5.1, chapter 2, section 2.5).

/// Where something stands: bytes of the text, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    pub(crate) fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// What `mark` parts in it. Inside a value a delimiter is escaped, so that each that stands there is one.
    pub(crate) fn parts(self, text: &str, mark: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.of(text).split(mark).map(move |part| {
            let place = Self {
                start,
                end: start + part.len(),
            };
            start = place.end + mark.len_utf8();
            place
        })
    }

    /// Whether it says something: it is not empty, and not `""`, by which a value is deleted.
    pub(crate) fn is_told(&self, text: &str) -> bool {
        !matches!(self.of(text).trim(), "" | "\"\"")
    }
}

/// The delimiters that a message names in its first segment.
#[derive(Clone, Copy)]
pub(crate) struct Delimiters {
    pub(crate) field: char,
    pub(crate) component: char,
    pub(crate) repetition: char,
}

/// A line of a message.
pub(crate) enum Line<'t> {
    /// A segment: its name, its delimiters, and its fields, of which the first is number 1. In the segments that name the
    /// delimiters those are fields 1 and 2, and are left out here: `first` is 3 then.
    Segment {
        name: &'t str,
        delimiters: Delimiters,
        first: usize,
        fields: Place,
    },
    /// A line inside a message that is no segment.
    Stray(Place),
}

/// The lines of the messages in `text`. A message begins at a line that names its delimiters; in a text that does not begin
/// with one, it ends at the first line that is no segment, and prose goes on.
pub(crate) fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut delimiters: Option<Delimiters> = None;
    let is_whole =
        header(text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{b}')).is_some();
    let mut start = 0;
    for written in text.split_inclusive(['\r', '\n']) {
        let place = Place {
            start,
            end: start + written.trim_end_matches(['\r', '\n']).len(),
        };
        start += written.len();
        // Blocks of the transport (MLLP) begin with VT and end with FS.
        let line = place.of(text);
        let bare = line.trim_start_matches([' ', '\u{b}']);
        let place = Place {
            start: place.end - bare.len(),
            end: place.end - (bare.len() - bare.trim_end_matches('\u{1c}').len()),
        };
        let line = place.of(text);
        if let Some(named) = header(line) {
            delimiters = Some(named);
            let skipped = line.char_indices().skip(4).find(|(_, c)| *c == named.field);
            lines.push(Line::Segment {
                name: line.get(..3).unwrap_or_default(),
                delimiters: named,
                first: 3,
                fields: Place {
                    start: skipped.map_or(place.end, |(at, c)| place.start + at + c.len_utf8()),
                    end: place.end,
                },
            });
            continue;
        }
        let Some(known) = delimiters.filter(|_| !line.is_empty()) else {
            continue;
        };
        match segment(line, known) {
            Some(name) => lines.push(Line::Segment {
                name,
                delimiters: known,
                first: 1,
                fields: Place {
                    start: (place.start + 3 + known.field.len_utf8()).min(place.end),
                    end: place.end,
                },
            }),
            None if is_whole => lines.push(Line::Stray(place)),
            None => delimiters = None,
        }
    }
    lines
}

/// The delimiters, if the line is one that names them: `MSH|^~\&|`.
fn header(line: &str) -> Option<Delimiters> {
    let rest = ["MSH", "FHS", "BHS"]
        .iter()
        .find_map(|name| line.strip_prefix(name))?;
    let mut marks = rest.chars();
    let field = marks
        .next()
        .filter(|c| !c.is_alphanumeric() && !c.is_whitespace())?;
    let mut named = marks.take_while(|c| *c != field && !c.is_alphanumeric() && !c.is_whitespace());
    Some(Delimiters {
        field,
        component: named.next()?,
        repetition: named.next().unwrap_or('~'),
    })
}

/// The name of a segment: a letter, and two letters or digits, then the delimiter of fields or nothing.
fn segment(line: &str, delimiters: Delimiters) -> Option<&str> {
    let (name, rest) = line.split_at_checked(3)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (is_name && (rest.is_empty() || rest.starts_with(delimiters.field))).then_some(name)
}
