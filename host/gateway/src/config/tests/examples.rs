//! The examples that come with Nephron.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::super::{Config, read, read_text};

/// The folder of examples, from this crate's.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

#[test]
fn the_quickstart_is_right() {
    let config = Config::load(&example("quickstart/gateway.toml"))
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.tenants.len(), 1);
    assert!(
        config
            .endpoints
            .iter()
            .all(|endpoint| endpoint.upstream.is_none())
    );
}

#[test]
fn the_annotated_example_is_right_and_shows_every_key() {
    let path = example("gateway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let asked = RefCell::new(BTreeSet::new());
    let told = |key: &str| {
        asked.borrow_mut().insert(key.to_owned());
    };
    let config =
        read(&text, &path, &read_text, &[], &told).unwrap_or_else(|faults| panic!("{faults}"));
    let asked = asked.into_inner();

    let mut shown = BTreeSet::new();
    keys(&DeTable::parse(&text).unwrap().into_inner(), "", &mut shown);
    // An alternative stands under the header of its table.
    let mut header = "";
    for line in text.lines() {
        if line.starts_with('[') {
            header = line;
        } else if let Some(alternative) = line.strip_prefix('#')
            && alternative.starts_with(|c: char| c.is_ascii_lowercase())
        {
            let one = format!("{header}\n{alternative}");
            keys(
                &DeTable::parse(&one).expect(line).into_inner(),
                "",
                &mut shown,
            );
            // It holds in the place of the line above it.
            let above = text
                .lines()
                .take_while(|other| *other != line)
                .last()
                .unwrap();
            parse_beside(
                &text.replacen(&format!("{above}\n{line}"), alternative, 1),
                &path,
            );
        }
    }
    let hidden: Vec<_> = asked.difference(&shown).collect();
    assert!(
        hidden.is_empty(),
        "examples/gateway.toml does not show {hidden:?}"
    );

    let is_default = |line: &&str| line.ends_with("# default");
    let bare: Vec<&str> = text.lines().filter(|line| !is_default(line)).collect();
    assert!(bare.len() + 20 < text.lines().count());
    let without = parse_beside(&bare.join("\n"), &path);
    assert!(
        without == config,
        "something marked as a default is not one"
    );
}

fn parse_beside(text: &str, path: &Path) -> Config {
    Config::parse(text, path, &read_text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Paths of all keys in a table, as the reader writes them.
fn keys(table: &DeTable<'_>, within: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table.iter() {
        let path = if within.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{within}.{}", key.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(table) => keys(table, &path, found),
            DeValue::Array(values) => {
                values
                    .iter()
                    .filter_map(|v| v.get_ref().as_table())
                    .for_each(|table| keys(table, &path, found));
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
        found.insert(path);
    }
}
