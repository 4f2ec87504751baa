//! A plugin's settings: TOML as the operator wrote it, and whole files, made into one JSON object.

use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value as Json};
use toml::de::{DeTable, DeValue};

use super::Files;
use super::fault::shown;
use super::reader::{Table, Value};

/// Reads `[plugin.settings]`, whose keys are the plugin's own, and `[plugin.settings-files]`, which gives a file, or several by
/// names of their own, for a key. What the plugin thinks of them it says when it is configured. Gives the files' paths too.
pub(super) fn read(plugin: &mut Table<'_>, files: Files<'_>) -> (Json, Vec<PathBuf>) {
    let (mut settings, mut paths) = (Map::new(), Vec::new());
    plugin.section("settings", |table| {
        for (key, value) in table.entries() {
            settings.extend(json(value.raw(), &value).map(|json| (key.to_owned(), json)));
        }
    });
    plugin.section("settings-files", |table| {
        for (key, value) in table.entries() {
            if settings.contains_key(key) {
                value.fault(format_args!(
                    "is in `settings` too; keep `{}` in one of the two",
                    shown(key)
                ));
                continue;
            }
            let read = if matches!(value.raw(), DeValue::Table(_)) {
                value.table(|named| texts(named, files, &mut paths))
            } else {
                setting(&value, files, &mut paths)
            };
            settings.extend(read.map(|read| (key.to_owned(), read)));
        }
    });
    (Json::Object(settings), paths)
}

/// The texts of files by the names that the plugin shall know them by.
fn texts(named: &mut Table<'_>, files: Files<'_>, paths: &mut Vec<PathBuf>) -> Json {
    let read = named
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), setting(&value, files, paths)?)));
    Json::Object(read.collect())
}

/// The text of the file that a value names, as a setting.
fn setting(value: &Value<'_>, files: Files<'_>, paths: &mut Vec<PathBuf>) -> Option<Json> {
    let path = value.path()?;
    let text = text(value, &path, files)?;
    paths.push(path);
    Some(Json::String(text))
}

/// The text of the file at `path`, which a value names.
pub(super) fn text(value: &Value<'_>, path: &Path, files: Files<'_>) -> Option<String> {
    let read = files(path);
    if let Err(error) = &read {
        let path = path.display();
        value.fault(format_args!(
            "cannot be read from `{path}`: {error}; correct the path, which starts at the configuration's folder"
        ));
    }
    read.ok()
}

/// A date or time becomes its text; what JSON cannot hold is a fault at the setting that it stands in.
fn json(raw: &DeValue<'_>, setting: &Value<'_>) -> Option<Json> {
    match raw {
        DeValue::String(text) => Some(Json::String(text.clone().into_owned())),
        DeValue::Boolean(truth) => Some(Json::Bool(*truth)),
        DeValue::Datetime(moment) => Some(Json::String(moment.to_string())),
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let number = i64::from_str_radix(digits, radix).map(Number::from);
            let number = number
                .or_else(|_| u64::from_str_radix(digits, radix).map(Number::from))
                .ok();
            if number.is_none() {
                setting.fault("must be an integer of at most 64 bits");
            }
            number.map(Json::Number)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            if number.is_none() {
                setting.fault("must be a finite number: JSON has no `inf` and no `nan`");
            }
            number.map(Json::Number)
        }
        DeValue::Array(values) => {
            let values = values
                .iter()
                .filter_map(|value| json(value.get_ref(), setting));
            Some(Json::Array(values.collect()))
        }
        DeValue::Table(table) => Some(Json::Object(object(table, setting))),
    }
}

fn object(table: &DeTable<'_>, setting: &Value<'_>) -> Map<String, Json> {
    let entries = table.iter().filter_map(|(key, value)| {
        let key: &str = key.get_ref().as_ref();
        Some((key.to_owned(), json(value.get_ref(), setting)?))
    });
    entries.collect()
}
