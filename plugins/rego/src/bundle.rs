//! How the files of the settings become modules and data, as in OPA's bundles: a `data.json` stands for the object at its
//! folder's path, a `.rego` file is a module wherever it lies.

use std::collections::BTreeMap;

use nephron_sdk::Problem;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::Settings;
use crate::fault;

/// The path of a module that is given by itself.
pub(crate) const SINGLE: &str = "policy";

/// What the settings hold.
pub(crate) struct Bundle {
    /// By path.
    pub(crate) modules: BTreeMap<String, String>,
    pub(crate) data: Map<String, Json>,
    pub(crate) rego_version: u8,
}

/// A bundle's own description. What it says of signatures and of roots binds OPA's downloader; here the operator named each file.
#[derive(Deserialize, Default)]
struct Manifest {
    rego_version: Option<u8>,
    #[serde(default)]
    file_rego_versions: Map<String, Json>,
    #[serde(default)]
    wasm: Vec<Json>,
}

impl Bundle {
    /// Reads the settings. Every fault goes to `problems`.
    pub(crate) fn read(settings: &Settings, problems: &mut Vec<Problem>) -> Self {
        let mut bundle = Self {
            modules: BTreeMap::new(),
            data: Map::new(),
            rego_version: 1,
        };
        let mut manifest = Manifest::default();
        for (path, text) in &settings.bundle {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let faulty = |message: String| Problem::at(fault::key(path), message);
            match name {
                ".manifest" if folder.is_empty() => match serde_json::from_str(text) {
                    Ok(read) => manifest = read,
                    Err(error) => problems.push(faulty(error.to_string())),
                },
                "data.json" | "data.yaml" | "data.yml" => match object(text, name == "data.json") {
                    Ok(read) => {
                        let place = folder.split('/').filter(|part| !part.is_empty());
                        bundle.lay(place, read, &fault::key(path), problems);
                    }
                    Err(message) => problems.push(faulty(message)),
                },
                name if name.ends_with(".rego") => {
                    bundle.modules.insert(path.clone(), text.clone());
                }
                _ => problems.push(faulty(
                    "is neither a module (`….rego`), nor data (`data.json`, `data.yaml`), nor the `.manifest`; leave it out"
                        .to_owned(),
                )),
            }
        }
        if let Some(policy) = &settings.policy {
            bundle.modules.insert(SINGLE.to_owned(), policy.clone());
        }
        if bundle.modules.is_empty() {
            problems.push(Problem::at(
                "bundle",
                "holds no module, so nothing would ever be decided; give a `.rego` file, or a module as `policy`",
            ));
        }
        bundle.take_data(settings.data.as_ref(), problems);
        bundle.take_version(settings.rego_version, &manifest, problems);
        bundle
    }

    fn take_data(&mut self, given: Option<&Json>, problems: &mut Vec<Problem>) {
        let read = match given {
            None => return,
            Some(Json::Object(members)) => Ok(members.clone()),
            Some(Json::String(text)) => object(text, text.trim_start().starts_with('{')),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_)) => {
                Err("must be an object, or text that holds one".to_owned())
            }
        };
        match read {
            Ok(read) => self.lay([].into_iter(), read, "data", problems),
            Err(message) => problems.push(Problem::at("data", message)),
        }
    }

    fn take_version(
        &mut self,
        given: Option<u8>,
        manifest: &Manifest,
        problems: &mut Vec<Problem>,
    ) {
        if !manifest.file_rego_versions.is_empty() || !manifest.wasm.is_empty() {
            problems.push(Problem::at(
                fault::key(".manifest"),
                "`file_rego_versions` and `wasm` are not followed; give modules of one version, in source",
            ));
        }
        let version = given.or(manifest.rego_version).unwrap_or(1);
        match version {
            0 | 1 => self.rego_version = version,
            other => problems.push(Problem::at(
                "rego-version",
                format!("`{other}` is no version of Rego; known are 0 and 1"),
            )),
        }
    }

    /// Lays `read` at `place` of the data. What two files say of one place is a fault, unless both are objects.
    fn lay<'p>(
        &mut self,
        place: impl Iterator<Item = &'p str>,
        read: Map<String, Json>,
        key: &str,
        problems: &mut Vec<Problem>,
    ) {
        let mut read = read;
        let place: Vec<&str> = place.collect();
        for part in place.into_iter().rev() {
            read = Map::from_iter([(part.to_owned(), Json::Object(read))]);
        }
        let mut conflicts = Vec::new();
        merge(&mut self.data, read, "data", &mut conflicts);
        problems.extend(conflicts.into_iter().map(|path| {
            Problem::at(
                key,
                format!("`{path}` is also in another file; keep one of them"),
            )
        }));
    }
}

fn merge(
    into: &mut Map<String, Json>,
    more: Map<String, Json>,
    path: &str,
    conflicts: &mut Vec<String>,
) {
    for (name, value) in more {
        let path = format!("{path}.{name}");
        match (into.get_mut(&name), value) {
            (None, value) => {
                into.insert(name, value);
            }
            (Some(Json::Object(known)), Json::Object(more)) => {
                merge(known, more, &path, conflicts);
            }
            (Some(_), _) => conflicts.push(path),
        }
    }
}

/// The object that a text holds.
fn object(text: &str, is_json: bool) -> Result<Map<String, Json>, String> {
    let read: Result<Json, String> = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        yaml_serde::from_str(text).map_err(|error| error.to_string())
    };
    match read? {
        Json::Object(members) => Ok(members),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err("must hold an object".to_owned())
        }
    }
}
