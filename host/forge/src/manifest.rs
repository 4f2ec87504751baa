//! `plugin.toml`, which stands in a plugin's folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a plugin's author says of it. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// The plugin's name: lower-case ASCII letters, digits and hyphens. Its component's file is named after it.
    pub name: String,
    /// The world of `nephron:plugin` that it is for, such as `access-policy`. The engine holds the component to it.
    pub world: String,
    /// What it is written in: Rust, if nothing is said.
    #[serde(default)]
    pub lang: Lang,
    /// Its version, by semantic versioning. A Rust plugin has it in its `Cargo.toml`, and not here.
    pub version: Option<String>,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lang {
    /// Rust: a cargo package.
    #[default]
    Rust,
    /// Python: `plugin.py`.
    Python,
    /// JavaScript: `plugin.js`, a module.
    Js,
    /// TypeScript: `plugin.ts`, a module.
    Ts,
    /// C: `plugin.c`.
    C,
}

impl Lang {
    /// Every language that plugins are built from.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::Js, Self::Ts, Self::C];

    /// As `plugin.toml` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::C => "c",
        }
    }
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file cannot be read; most often it is not there.
    #[error("cannot read `{}`; a plugin's folder holds a plugin.toml with `name` and `world`", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML, lacks a key, or holds one that is not known.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The manifest.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A name that could not name a file or a world.
    #[error("{}: `{key}` is `{value}`; use lower-case letters, digits and hyphens, a letter first", path.display())]
    Name {
        /// The manifest.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// A version where there must be none, or none where there must be one.
    #[error("{}: {message}", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl Manifest {
    /// The file's name within a plugin's folder.
    pub const FILE: &str = "plugin.toml";

    /// Reads the manifest of the plugin in `folder`.
    ///
    /// # Errors
    /// [`ManifestError`], whichever fault comes first.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(Self::FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(source) => Err(ManifestError::Read { path, source }),
        }
    }

    /// Reads a manifest from `text`; errors name `path`.
    ///
    /// # Errors
    /// [`ManifestError::Parse`] and [`ManifestError::Name`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let column = before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1;
            let line = before.matches('\n').count() + 1;
            ManifestError::Parse {
                path: path.to_owned(),
                line,
                column,
                message: error.message().to_owned(),
            }
        })?;
        for (key, value) in [("name", &manifest.name), ("world", &manifest.world)] {
            if !is_kebab_case(value) {
                return Err(ManifestError::Name {
                    path: path.to_owned(),
                    key,
                    value: value.clone(),
                });
            }
        }
        let message = match (manifest.lang, &manifest.version) {
            (Lang::Rust, Some(_)) => {
                "`version` stands in the Cargo.toml of a plugin in Rust; take it out here"
                    .to_owned()
            }
            (Lang::Python | Lang::Js | Lang::Ts | Lang::C, None) => format!(
                "a plugin in {} has its version here; add `version = \"0.1.0\"`",
                manifest.lang.name()
            ),
            (Lang::Rust, None) | (Lang::Python | Lang::Js | Lang::Ts | Lang::C, Some(_)) => {
                return Ok(manifest);
            }
        };
        let path = path.to_owned();
        Err(ManifestError::Version { path, message })
    }
}

fn is_kebab_case(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(known)
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Manifest::parse(text, Path::new("plugins/x/plugin.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_manifest_names_the_plugin_and_its_world() {
        let read = Manifest::parse(
            "name = \"safe-harbor\"\nworld = \"deidentifier\"\n",
            Path::new("p"),
        )
        .unwrap();
        assert_eq!(
            read,
            Manifest {
                name: "safe-harbor".to_owned(),
                world: "deidentifier".to_owned(),
                lang: Lang::Rust,
                version: None,
            }
        );
    }

    #[test]
    fn a_fault_is_placed_by_file_line_and_column() {
        assert_eq!(
            fault("name = \"x\"\n\nworlds = \"deidentifier\"\n"),
            "plugins/x/plugin.toml:3:1: unknown field `worlds`, expected one of `name`, `world`, `lang`, `version`"
        );
        assert!(
            fault("name = \"x\"\nworld = 3\n")
                .starts_with("plugins/x/plugin.toml:2:9: invalid type")
        );
        assert!(fault("name = \"x\"\n").contains("missing field `world`"));
        assert!(fault("name = \"x\nworld = \"y\"").starts_with("plugins/x/plugin.toml:1:"));
    }

    #[test]
    fn the_version_stands_where_the_language_has_it() {
        let of = |lang: &str, version: &str| {
            let text = format!("name = \"x\"\nworld = \"w\"\nlang = \"{lang}\"\n{version}");
            Manifest::parse(&text, Path::new("plugin.toml")).map(|manifest| manifest.lang)
        };
        for lang in Lang::ALL {
            let with = of(lang.name(), "version = \"0.1.0\"\n");
            let without = of(lang.name(), "");
            let (good, bad) = match lang {
                Lang::Rust => (without, with),
                Lang::Python | Lang::Js | Lang::Ts | Lang::C => (with, without),
            };
            assert_eq!(good.unwrap(), lang);
            assert!(bad.unwrap_err().to_string().contains("version"));
        }
        let unknown = of("cobol", "").unwrap_err().to_string();
        assert!(
            unknown.starts_with("plugin.toml:3:8: unknown variant `cobol`"),
            "{unknown}"
        );
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for name in ["../x", "", "X", "a b", "9x", "x-", "a/b", "a.b"] {
            assert!(
                fault(&format!("name = \"{name}\"\nworld = \"w\"")).contains("`name` is"),
                "{name}"
            );
        }
        assert!(fault("name = \"x\"\nworld = \"Access\"").contains("`world` is `Access`"));
    }

    #[test]
    fn a_missing_manifest_says_what_belongs_there() {
        let folder = tempfile::tempdir().unwrap();
        let error = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("plugin.toml") && error.contains("`name` and `world`"),
            "{error}"
        );
    }
}
