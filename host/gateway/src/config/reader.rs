//! Takes keys out of parsed TOML one by one, remembers where each stood, and collects every fault instead of stopping.
//!
//! What reads a [`Table`] asks for the keys it knows; whatever is left over was misspelt or does not exist. A value
//! that cannot be read is `None` and has left a fault behind, so a reader may go on with what it has: a configuration
//! with any fault is never handed out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults, nearest, place, shown};

/// A key's former and present name, each with its whole path: `("plugin.limits.time", "plugin.limits.deadline")`.
pub(super) type Renamed = (&'static str, &'static str);

/// One configuration file being read.
pub(super) struct Reader<'a> {
    text: &'a str,
    file: &'a Path,
    renamed: &'a [Renamed],
    /// Lines with a syntax fault: what was recovered from them is not worth a second fault.
    broken: BTreeSet<usize>,
    faults: RefCell<Vec<Fault>>,
    /// Told the path of each key that is asked for.
    told: &'a dyn Fn(&str),
    unread: Cell<bool>,
}

impl<'a> Reader<'a> {
    /// Begins with the parser's faults.
    pub(super) fn new(
        text: &'a str,
        file: &'a Path,
        renamed: &'a [Renamed],
        syntax: &[toml::de::Error],
        told: &'a dyn Fn(&str),
    ) -> Self {
        let mut reader = Self {
            text,
            file,
            renamed,
            broken: BTreeSet::new(),
            faults: RefCell::default(),
            told,
            unread: Cell::new(!syntax.is_empty()),
        };
        for error in syntax {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, format_args!("this is not TOML: {}", error.message()));
        }
        reader.broken = reader
            .faults
            .borrow()
            .iter()
            .map(|fault| fault.line)
            .collect();
        reader
    }

    /// The whole document as a table.
    pub(super) fn root<T>(
        &'a self,
        entries: &'a DeTable<'a>,
        read: impl FnOnce(&mut Table<'a>) -> T,
    ) -> T {
        Table::new(self, String::new(), 0, Some(entries)).read(read)
    }

    /// A path that starts at the file's folder, unless it is absolute.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file
            .parent()
            .map_or_else(|| path.into(), |folder| folder.join(path))
    }

    /// Records a fault at a byte offset.
    pub(super) fn fault(&self, at: usize, message: impl std::fmt::Display) {
        let (line, column) = place(self.text, at);
        if !self.broken.contains(&line) {
            // Whatever an error repeats, a terminal gets it as text.
            let plain = |c: char| {
                if c.is_control() {
                    c.escape_default().to_string()
                } else {
                    c.to_string()
                }
            };
            let message = message.to_string().chars().map(plain).collect();
            self.faults.borrow_mut().push(Fault {
                file: self.file.to_owned(),
                line,
                column,
                message,
            });
        }
    }

    /// Takes over the faults of a file that this one names.
    pub(super) fn adopt(&self, faults: &Faults) {
        self.faults
            .borrow_mut()
            .extend_from_slice(faults.as_slice());
    }

    /// Whether something in the file could not be read, so that nothing can be said of what seems not to be there.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.get()
    }

    /// Line of a byte offset, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        place(self.text, at).0
    }

    /// The result, if nothing was wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Faults> {
        match (read, self.faults.into_inner()) {
            (Some(read), faults) if faults.is_empty() => Ok(read),
            (_, faults) => Err(Faults::new(faults)),
        }
    }
}

/// A table, of which keys are taken.
pub(super) struct Table<'a> {
    reader: &'a Reader<'a>,
    path: String,
    at: usize,
    /// `None` where the file has no such table and every key is at its default.
    entries: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    missing: Vec<(&'static str, String)>,
}

impl<'a> Table<'a> {
    fn new(
        reader: &'a Reader<'a>,
        path: String,
        at: usize,
        entries: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self {
            reader,
            path,
            at,
            entries,
            asked: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let read = read(&mut self);
        self.refuse_the_rest();
        read
    }

    /// The value of `key`, if it is there.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let path = self.path_of(key);
        (self.reader.told)(&path);
        let value = self.entries?.get(key)?;
        Some(Value {
            reader: self.reader,
            path,
            at: value.span().start,
            value: value.get_ref(),
        })
    }

    /// The value of `key`, which must be there; `example` is what could be written.
    pub(super) fn required(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            self.missing(key, example);
        }
        value
    }

    /// Says that `key` must be there; `example` is what could be written.
    pub(super) fn missing(&mut self, key: &'static str, example: &str) {
        self.missing.push((key, example.to_owned()));
    }

    /// A fault of the table as a whole.
    pub(super) fn fault(&self, message: &str) {
        self.reader
            .fault(self.at, format!("`{}` {message}", self.path));
    }

    /// The table under `key`; where there is none, an empty one, so that every key takes its default.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        match self.value(key) {
            Some(value) => value.table(read),
            None => Some(Self::new(self.reader, self.path_of(key), self.at, None).read(read)),
        }
    }

    /// The tables of `[[key]]`, each read by `read`.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Vec<T> {
        self.value(key)
            .map(|value| value.tables(read))
            .unwrap_or_default()
    }

    /// The same, of which there must be at least one.
    pub(super) fn some<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.required(key, &format!("[[{key}]]")) else {
            return Vec::new();
        };
        if value
            .value
            .as_array()
            .is_some_and(|tables| tables.is_empty())
        {
            value.fault(format_args!("is empty; write at least one `[[{key}]]`"));
        }
        value.tables(read)
    }

    /// Every entry, whatever its key: for tables whose keys are the operator's own.
    pub(super) fn entries(&mut self) -> Vec<(&'a str, Value<'a>)> {
        let entries = self.entries.into_iter().flatten();
        let entries = entries.map(|(key, value)| {
            let key = key.get_ref().as_ref();
            let path = self.path_of(&shown(key));
            (
                key,
                Value {
                    reader: self.reader,
                    path,
                    at: value.span().start,
                    value: value.get_ref(),
                },
            )
        });
        let entries = entries.collect();
        self.entries = None;
        entries
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn refuse_the_rest(&self) {
        let mut meant = BTreeSet::new();
        for (key, _) in self.entries.into_iter().flatten() {
            let name: &str = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let path = self.path_of(&shown(name));
            let renamed = self
                .reader
                .renamed
                .iter()
                .find(|(former, _)| *former == path);
            let absent = self
                .asked
                .iter()
                .copied()
                .filter(|known| self.entries.is_none_or(|t| !t.contains_key(*known)));
            let message = if let Some((_, now)) = renamed {
                meant.extend(now.rsplit('.').next());
                format!("key `{path}` is now called `{now}`; rename it")
            } else if let Some(known) = nearest(name, absent) {
                meant.insert(known);
                format!("unknown key `{path}`; did you mean `{known}`?")
            } else {
                let mut known = self.asked.clone();
                known.sort_unstable();
                format!(
                    "unknown key `{path}`; remove it, or use one of `{}`",
                    known.join("`, `")
                )
            };
            self.reader.unread.set(true);
            self.reader.fault(key.span().start, message);
        }
        for (key, example) in &self.missing {
            // Where the file did not parse, the key may be there; where another was likely meant as it, that is enough.
            if self.reader.broken.is_empty() && !meant.contains(key) {
                self.reader.unread.set(true);
                self.reader.fault(
                    self.at,
                    format_args!("missing key `{}`; write `{example}`", self.path_of(key)),
                );
            }
        }
    }
}

/// A value and where it stands.
pub(super) struct Value<'a> {
    reader: &'a Reader<'a>,
    path: String,
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// A fault at this value; `message` goes on after its key.
    pub(super) fn fault(&self, message: impl std::fmt::Display) {
        self.reader
            .fault(self.at, format!("`{}` {message}", self.path));
    }

    /// Says what the value should be. The value itself is not repeated: it may be a secret at the wrong key.
    pub(super) fn expected(&self, what: &str) {
        self.reader.unread.set(true);
        let found = match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fault(format_args!("must be {what}, but is {found}"));
    }

    /// Byte offset in the file.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The file that it stands in.
    pub(super) const fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// The value as parsed.
    pub(super) const fn raw(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// Whether it is text.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// Text in quotes.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value.as_str() {
            Some(text) => Some(text),
            None => {
                self.expected("text in quotes");
                None
            }
        }
    }

    /// Text that follows a rule; where it does not, `rule` is the fault, without the text.
    pub(super) fn text_that(&self, rule: &str, holds: impl FnOnce(&str) -> bool) -> Option<String> {
        let text = self.text()?;
        if !holds(text) {
            self.fault(rule);
            return None;
        }
        Some(text.to_owned())
    }

    /// Text that parses; the error's message stands after the key.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Option<T> {
        match self.text()?.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.reader
                    .fault(self.at, format!("`{}`: {error}", self.path));
                None
            }
        }
    }

    /// A path: absolute, or relative to the configuration's folder, to which it is joined.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let rule = "must be a path: text that is not empty and holds no NUL";
        let path = self.text_that(rule, |text| !text.is_empty() && !text.contains('\0'))?;
        Some(self.reader.beside(&path))
    }

    /// One of a fixed set of words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let given = shown(text);
        match nearest(text, words.iter().copied()) {
            Some(word) => self.fault(format_args!("cannot be `{given}`; did you mean `{word}`?")),
            None => self.fault(format_args!(
                "cannot be `{given}`; use one of `{}`",
                words.join("`, `")
            )),
        }
        None
    }

    /// The table's content.
    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Table<'a>) -> T) -> Option<T> {
        let Some(entries) = self.value.as_table() else {
            self.expected("a table");
            return None;
        };
        Some(Table::new(self.reader, self.path.clone(), self.at, Some(entries)).read(read))
    }

    /// The tables of an array of tables.
    fn tables<T>(&self, mut read: impl FnMut(&mut Table<'a>) -> Option<T>) -> Vec<T> {
        let values = self.array("a list of tables, each under `[[…]]`");
        values
            .iter()
            .flatten()
            .filter_map(|value| value.table(&mut read).flatten())
            .collect()
    }

    /// The array's values.
    pub(super) fn array(&self, what: &str) -> Option<Vec<Self>> {
        let Some(values) = self.value.as_array() else {
            self.expected(what);
            return None;
        };
        let values = values.iter().map(|value| Self {
            reader: self.reader,
            path: self.path.clone(),
            at: value.span().start,
            value: value.get_ref(),
        });
        Some(values.collect())
    }
}
