//! A file of `[[field]]` tables: a tenant's classification schema.

use std::path::Path;

use toml::de::DeTable;

use super::fault::Faults;
use super::reader::{Reader, Table};
use super::{Fault, identity, read_text};
use crate::chain::deidentify::{KIND_RULE, known_kind};
use crate::classification::{Class, Classification, FieldPath, FieldRule};

impl Classification {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`Faults`]: everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = read_text(path).map_err(|error| {
            let message = format!("cannot read the classification: {error}; correct the path");
            Faults::new(vec![Fault {
                file: path.to_owned(),
                line: 0,
                column: 0,
                message,
            }])
        })?;
        Self::parse(&text, path)
    }

    /// Reads a schema that is at hand. `file` says where it is from.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Self, Faults> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (document, syntax) = DeTable::parse_recoverable(text);
        let reader = Reader::new(text, file, &[], &syntax, &|_| ());
        let mut above: Vec<(FieldPath, usize)> = Vec::new();
        let rules = reader.root(document.get_ref(), |root| {
            root.some("field", |table| FieldRule::read(table, &mut above))
        });
        reader.finish(Some(Self {
            file: file.to_owned(),
            rules,
        }))
    }
}

impl FieldRule {
    fn read(table: &mut Table<'_>, above: &mut Vec<(FieldPath, usize)>) -> Option<Self> {
        let path = table.required("path", "path = \"patient.mrn\"");
        let class = table.required("class", "class = \"phi\"");
        let class = class.and_then(|class| class.choice(&Class::ALL));
        let kind = table.value("kind").map(|value| {
            let kind = known_kind(value.text()?);
            if kind.is_none() {
                value.fault(format_args!("must be {KIND_RULE}"));
            } else if class == Some(Class::Public) {
                value.fault("says what is sealed, and what is public is not; leave it out");
            }
            kind
        });
        let purposes = table.value("purposes").map(|value| {
            if class == Some(Class::Public) {
                value.fault("says for what is sealed, and what is public is not; leave it out");
            }
            identity::words(&value, super::reader::Value::parsed)
        });
        let path = path.and_then(|value| {
            let path: FieldPath = value.parsed()?;
            if let Some((first, line)) = above.iter().find(|(first, _)| first.covers(&path)) {
                value.fault(format_args!(
                    "is never looked at: `{first}` of line {line} stands for it too, and the first counts; put this one before it"
                ));
            }
            above.push((path.clone(), value.reader().line(value.at())));
            Some(path)
        });
        Some(Self {
            path: path?,
            class: class?,
            kind: match kind {
                Some(kind) => kind?,
                None => known_kind("other")?,
            },
            purposes: match purposes {
                Some(purposes) => purposes?,
                None => Vec::new(),
            },
        })
    }
}
