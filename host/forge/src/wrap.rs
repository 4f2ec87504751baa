//! Wrapping a core module as a component.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

/// A module that cannot become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// The bytes are no WebAssembly module.
    #[error("this is no WebAssembly core module")]
    NotAModule(#[source] wasmparser::BinaryReaderError),
    /// They are a component already.
    #[error("this is a component already; only core modules are wrapped")]
    AlreadyAComponent,
    /// No custom section says which world the module is for.
    #[error(
        "the module has no component type section; export a plugin with `nephron_sdk::export!`"
    )]
    NoComponentType,
    /// The module wants functions that no world gives.
    #[error(
        "the module imports {}, which no world gives; a dependency brings it in \
         (`cargo tree --target wasm32-unknown-unknown` shows which): turn off the feature that does, often `js`, \
         `wasm-bindgen`, a clock or a random source", names.join(", ")
    )]
    ForeignImports {
        /// Module and function, as `` `env.now` ``.
        names: Vec<String>,
    },
    /// The encoder refused it.
    #[error("the module does not fit its world")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file cannot be read or written.
    #[error("cannot read or write `{}`", path.display())]
    Files {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Wraps the core module `module` as a component, validated.
///
/// # Errors
/// [`WrapError`], every variant but `Files`.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>, WrapError> {
    let contents = Contents::of(module)?;
    if !contents.has_component_type {
        return Err(WrapError::NoComponentType);
    }
    let encoder = ComponentEncoder::default().validate(true).module(module);
    encoder
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            if contents.foreign_imports.is_empty() {
                WrapError::Encode(error.into())
            } else {
                WrapError::ForeignImports {
                    names: contents.foreign_imports,
                }
            }
        })
}

/// Wraps the module in the file `module` as the file `component`, which is replaced whole and only when it would
/// differ. Gives the component's SHA-256.
///
/// A stamp beside the component holds both digests, so that a module that has not changed is not wrapped again.
pub(crate) fn wrap_file(
    module: &Path,
    component: &Path,
    wrapping: impl FnOnce(),
) -> Result<[u8; 32], WrapError> {
    let bytes = std::fs::read(module).map_err(files(module))?;
    let stamp_path = component.with_extension("stamp");
    let module_digest = sha256(&bytes);
    if let (Some(stamp), Ok(wrapped)) = (Stamp::read(&stamp_path), std::fs::read(component)) {
        let digest = sha256(&wrapped);
        if stamp == Stamp::new(module_digest, digest) {
            return Ok(digest);
        }
    }
    wrapping();
    let wrapped = wrap(&bytes)?;
    let digest = sha256(&wrapped);
    replace(component, &wrapped)?;
    let stamp = serde_json::to_vec(&Stamp::new(module_digest, digest)).unwrap_or_default();
    replace(&stamp_path, &stamp)?;
    Ok(digest)
}

/// Raised with the encoder, so that components of an older one are made anew.
const ENCODER: &str = "wit-component 0.254";

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    encoder: String,
    module: [u8; 32],
    component: [u8; 32],
}

impl Stamp {
    fn new(module: [u8; 32], component: [u8; 32]) -> Self {
        Self {
            encoder: ENCODER.to_owned(),
            module,
            component,
        }
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

struct Contents {
    has_component_type: bool,
    foreign_imports: Vec<String>,
}

impl Contents {
    fn of(module: &[u8]) -> Result<Self, WrapError> {
        let mut contents = Self {
            has_component_type: false,
            foreign_imports: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.map_err(WrapError::NotAModule)?;
            if let Payload::Version {
                encoding: Encoding::Component,
                ..
            } = payload
            {
                return Err(WrapError::AlreadyAComponent);
            } else if let Payload::CustomSection(section) = payload {
                contents.has_component_type |= section.name().starts_with("component-type");
            } else if let Payload::ImportSection(imports) = payload {
                for import in imports.into_imports() {
                    let import = import.map_err(WrapError::NotAModule)?;
                    if is_foreign(import.module) {
                        contents
                            .foreign_imports
                            .push(format!("`{}.{}`", import.module, import.name));
                    }
                }
            }
        }
        Ok(contents)
    }
}

/// Worlds give interfaces, whose names hold a colon, and `$root` or bracketed names for the component itself.
fn is_foreign(module: &str) -> bool {
    !module.contains(':') && !module.starts_with('$') && !module.starts_with('[')
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Writes beside `path` and renames, so that a reader sees the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), WrapError> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    std::fs::write(&partial, bytes).map_err(files(&partial))?;
    std::fs::rename(&partial, path).map_err(files(path))
}

fn files(path: &Path) -> impl FnOnce(io::Error) -> WrapError {
    let path = path.to_owned();
    move |source| WrapError::Files { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that imports the function `env.now` and has no custom section.
    const IMPORTS_NOW: &[u8] = b"\0asm\x01\0\0\0\
        \x01\x04\x01\x60\0\0\
        \x02\x0b\x01\x03env\x03now\0\0";

    /// The same, with the component type of an empty world.
    fn with_component_type(module: &[u8]) -> Vec<u8> {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve
            .push_str("w.wit", "package p:q; world w {}")
            .unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        let mut module = module.to_vec();
        wit_component::embed_component_metadata(
            &mut module,
            &resolve,
            world,
            wit_component::StringEncoding::UTF8,
        )
        .unwrap();
        module
    }

    #[test]
    fn a_module_without_a_component_type_says_how_to_get_one() {
        let error = wrap(b"\0asm\x01\0\0\0").unwrap_err();
        assert!(matches!(error, WrapError::NoComponentType));
        assert!(
            error.to_string().contains("nephron_sdk::export!"),
            "{error}"
        );
    }

    #[test]
    fn an_import_that_no_world_gives_is_named() {
        let error = wrap(&with_component_type(IMPORTS_NOW)).unwrap_err();
        assert!(
            matches!(&error, WrapError::ForeignImports { names } if names == &["`env.now`"]),
            "{error:?}"
        );
    }

    #[test]
    fn bytes_that_are_no_module_are_refused() {
        assert!(matches!(
            wrap(b"not wasm").unwrap_err(),
            WrapError::NotAModule(_)
        ));
        assert!(matches!(
            wrap(IMPORTS_NOW.get(..20).unwrap()).unwrap_err(),
            WrapError::NotAModule(_)
        ));
        assert!(matches!(
            wrap(b"\0asm\x0d\0\x01\0").unwrap_err(),
            WrapError::AlreadyAComponent
        ));
    }

    #[test]
    fn an_unchanged_module_is_not_wrapped_again_and_a_spoilt_component_is() {
        let folder = tempfile::tempdir().unwrap();
        let (module, component) = (
            folder.path().join("m.wasm"),
            folder.path().join("m.component.wasm"),
        );
        std::fs::write(&module, with_component_type(b"\0asm\x01\0\0\0")).unwrap();
        let times = std::cell::Cell::new(0);
        let count = || times.set(times.get() + 1);

        let first = wrap_file(&module, &component, count).unwrap();
        assert_eq!(
            (wrap_file(&module, &component, count).unwrap(), times.get()),
            (first, 1)
        );
        assert_eq!(sha256(&std::fs::read(&component).unwrap()), first);

        std::fs::write(&component, b"").unwrap();
        assert_eq!(
            (wrap_file(&module, &component, count).unwrap(), times.get()),
            (first, 2)
        );
        assert_eq!(sha256(&std::fs::read(&component).unwrap()), first);
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            left.len(),
            3,
            "the module, the component and its stamp: {left:?}"
        );
    }
}
