//! What the configuration declares by name, and whether those who name it name what is there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::fault::{nearest, shown};
use super::reader::{Reader, Value};

/// The names of one family of tables, gathered before any of them is read, so that the order of the file is free.
pub(super) struct Names<'a> {
    family: &'static str,
    declared: BTreeMap<&'a str, Declared<'a>>,
    used: RefCell<BTreeSet<&'a str>>,
    /// A name could not be read: then nothing is known of names that are not here.
    is_partial: bool,
}

/// A table that carries a name.
#[derive(Clone, Copy)]
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    at: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Declared<'a> {
    /// The text of one of its keys, where it is text; whoever reads the table says so where it is not.
    pub(super) fn peek(&self, key: &str) -> Option<&'a str> {
        self.table.get(key)?.get_ref().as_str()
    }

    /// The texts in one of its keys, where that is a list.
    pub(super) fn peek_list(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let list = self
            .table
            .get(key)
            .and_then(|list| list.get_ref().as_array());
        list.into_iter()
            .flatten()
            .filter_map(|value| value.get_ref().as_str())
    }
}

impl<'a> Names<'a> {
    /// Gathers the `key` of each `[[family]]`, and refuses one that is given twice.
    pub(super) fn gather(
        reader: &'a Reader<'a>,
        root: &'a DeTable<'a>,
        family: &'static str,
        key: &'static str,
    ) -> Self {
        let mut names = Self {
            family,
            declared: BTreeMap::new(),
            used: RefCell::default(),
            is_partial: reader.is_unread(),
        };
        let Some(tables) = root.get(family) else {
            return names;
        };
        let tables = tables.get_ref().as_array();
        names.is_partial |= tables.is_none();
        for table in tables.into_iter().flatten() {
            let table = table.get_ref().as_table();
            let Some((table, value)) = table.and_then(|table| Some((table, table.get(key)?)))
            else {
                names.is_partial = true;
                continue;
            };
            // A name that breaks the rule is refused where its table is read.
            let Some(name) = value.get_ref().as_str().filter(|name| is_name(name)) else {
                names.is_partial = true;
                continue;
            };
            let at = value.span().start;
            if let Some(first) = names.declared.get(name) {
                let line = reader.line(first.at);
                reader.fault(
                    at,
                    format_args!(
                        "{family} `{}` is there twice, first in line {line}; rename one",
                        shown(name)
                    ),
                );
            } else {
                names.declared.insert(name, Declared { name, at, table });
            }
        }
        names
    }

    /// What `value` names; a fault where there is no such thing.
    pub(super) fn find(&self, value: &Value<'a>) -> Option<Declared<'a>> {
        let found = self.find_unused(value)?;
        self.used.borrow_mut().insert(found.name);
        Some(found)
    }

    /// The same, without counting as its use.
    pub(super) fn find_unused(&self, value: &Value<'a>) -> Option<Declared<'a>> {
        let name = value.text()?;
        if let Some(declared) = self.declared.get(name) {
            return Some(*declared);
        }
        let (family, given) = (self.family, shown(name));
        if let Some(meant) = nearest(name, self.declared.keys().copied()) {
            self.used.borrow_mut().insert(meant);
            value.fault(format_args!(
                "names {family} `{given}`, which there is not; did you mean `{meant}`?"
            ));
        } else if !self.is_partial {
            value.fault(format_args!(
                "names {family} `{given}`, which there is not; add a `[[{family}]]` of that name"
            ));
        }
        None
    }

    /// What has this name, without counting as its use.
    pub(super) fn peek(&self, name: &str) -> Option<Declared<'a>> {
        self.declared.get(name).copied()
    }

    /// Says which are named by nothing. Silent where a part of the file could not be read, as it may name them.
    pub(super) fn refuse_unused(&self, reader: &Reader<'_>, remedy: &str) {
        if reader.is_unread() {
            return;
        }
        let used = self.used.borrow();
        for declared in self
            .declared
            .values()
            .filter(|declared| !used.contains(declared.name))
        {
            let (family, name) = (self.family, shown(declared.name));
            reader.fault(
                declared.at,
                format_args!("{family} `{name}` is used by nothing; {remedy}, or remove it"),
            );
        }
    }
}

impl Value<'_> {
    /// A name of a plugin, an endpoint or an associate.
    pub(super) fn name(&self) -> Option<String> {
        self.text_that(
            "must be 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter",
            is_name,
        )
    }
}

/// 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
