//! Look before anything runs: size, digest, shape, world and imports, all from the bytes alone (I3).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use nephron_model::Digest;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::Limits;

/// A kind of plugin, by the world it is built against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum World {
    /// `access-policy`: a decider.
    AccessPolicy,
    /// `deidentifier`: a detector.
    Deidentifier,
    /// `keyed-deidentifier`: a detector and transformer that is lent a key.
    KeyedDeidentifier,
    /// `llm-connector`.
    LlmConnector,
    /// `signing-llm-connector`: a connector that signs its requests with a lent key.
    SigningLlmConnector,
    /// `audit-exporter`.
    AuditExporter,
    /// `signing-audit-exporter`: an exporter that signs its requests with a lent key.
    SigningAuditExporter,
    /// `confirming-audit-exporter`: an exporter that asks whether what was accepted is kept.
    ConfirmingAuditExporter,
}

impl World {
    /// Every world that this host runs.
    pub const ALL: [Self; 8] = [
        Self::AccessPolicy,
        Self::Deidentifier,
        Self::KeyedDeidentifier,
        Self::LlmConnector,
        Self::SigningLlmConnector,
        Self::AuditExporter,
        Self::SigningAuditExporter,
        Self::ConfirmingAuditExporter,
    ];

    /// The name in `wit/`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessPolicy => "access-policy",
            Self::Deidentifier => "deidentifier",
            Self::KeyedDeidentifier => "keyed-deidentifier",
            Self::LlmConnector => "llm-connector",
            Self::SigningLlmConnector => "signing-llm-connector",
            Self::AuditExporter => "audit-exporter",
            Self::SigningAuditExporter => "signing-audit-exporter",
            Self::ConfirmingAuditExporter => "confirming-audit-exporter",
        }
    }

    /// Whether a component of this world does what `expected` asks for, and perhaps more.
    fn serves_as(self, expected: Self) -> bool {
        let plain = match self {
            Self::SigningLlmConnector => Self::LlmConnector,
            Self::SigningAuditExporter | Self::ConfirmingAuditExporter => Self::AuditExporter,
            Self::AccessPolicy
            | Self::Deidentifier
            | Self::KeyedDeidentifier
            | Self::LlmConnector
            | Self::AuditExporter => self,
        };
        self == expected || plain == expected
    }

    /// The interfaces it exports beside `plugin`, which together name it.
    const fn exports(self) -> &'static [&'static str] {
        match self {
            Self::AccessPolicy => &["decider"],
            Self::Deidentifier => &["detector"],
            Self::KeyedDeidentifier => &["detector", "transformer"],
            Self::LlmConnector => &["connector"],
            Self::SigningLlmConnector => &["connector", "signer"],
            Self::AuditExporter => &["exporter"],
            Self::SigningAuditExporter => &["exporter", "signer"],
            Self::ConfirmingAuditExporter => &["confirmer", "exporter"],
        }
    }

    /// The interfaces it may import: its ceiling.
    const fn imports(self) -> &'static [&'static str] {
        match self {
            Self::AccessPolicy | Self::Deidentifier => &["types", "diagnostics"],
            Self::KeyedDeidentifier => &["types", "diagnostics", "keys"],
            Self::LlmConnector | Self::AuditExporter | Self::ConfirmingAuditExporter => {
                &["types", "diagnostics", "exchange"]
            }
            Self::SigningLlmConnector | Self::SigningAuditExporter => {
                &["types", "diagnostics", "exchange", "keys"]
            }
        }
    }
}

/// What an operator granted a plugin beyond its world's vocabulary. Nothing, unless said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// It may be lent a key.
    pub keys: bool,
    /// It may be linked to the null WASI: no files, no sockets, no environment, the request's time, seeded randomness.
    pub null_wasi: bool,
}

/// A component that may be compiled.
#[derive(Clone, Debug)]
pub struct Vetted {
    bytes: Vec<u8>,
    digest: Digest,
    world: World,
    imports: Vec<String>,
    exports: Vec<String>,
    granted: Grants,
}

impl Vetted {
    /// The component, exactly as it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Its world.
    #[must_use]
    pub const fn world(&self) -> World {
        self.world
    }

    /// The interfaces it imports, with their versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The interfaces it exports, with their versions.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// What it was granted.
    #[must_use]
    pub const fn granted(&self) -> Grants {
        self.granted
    }
}

/// Why a component is refused before anything of it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VetError {
    /// The file cannot be read.
    #[error(
        "cannot read the component `{path}`; build it with `nephron plugin build`, or correct the path"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than its limit; it was not read.
    #[error(
        "the component has {size} bytes, more than its limit of {limit}; raise `component` of its `[plugin.limits]` if one so large is meant"
    )]
    TooLarge {
        /// Bytes of the file.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// It is not the component that the operator pinned.
    #[error(
        "the component is `{found}`, but the configuration pins `{expected}`; find out who changed the file, or pin what you have looked at"
    )]
    DigestMismatch {
        /// What was pinned.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// It is no Wasm at all.
    #[error("the file is no WebAssembly: it does not begin with `\\0asm`")]
    NotWasm,
    /// It is a core module.
    #[error(
        "the file is a core module, not a component; wrap it with `nephron plugin build` or `wasm-tools component new`"
    )]
    CoreModule,
    /// It is damaged or truncated, or uses a feature that is off.
    #[error("the component is malformed at byte {offset}: {reason}")]
    Malformed {
        /// Byte offset into the file.
        offset: usize,
        /// What the validator said.
        reason: String,
    },
    /// A part of it is larger than the compiler is given.
    #[error("the component has {what} of {found}, more than the limit of {limit}")]
    TooComplex {
        /// Which part.
        what: &'static str,
        /// Its measure.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Its exports are no world of this host.
    #[error("the component exports {exports:?}, which is no world of `nephron:plugin@0.1`")]
    NoSuchWorld {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It is of another kind than the configuration says.
    #[error("the component is of world `{found}`, but the configuration says `{expected}`")]
    WorldMismatch {
        /// What the configuration says.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// It imports what its world does not name, or what the operator did not grant.
    #[error("the component imports `{import}`, which {reason}")]
    Import {
        /// The interface.
        import: String,
        /// Why it may not.
        reason: &'static str,
    },
}

impl VetError {
    /// Which case it is, as the log has it. What else it says comes from the component, and stays out of the log.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::TooLarge { .. } => "too-large",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::NotWasm => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Malformed { .. } => "malformed",
            Self::TooComplex { .. } => "too-complex",
            Self::NoSuchWorld { .. } => "no-such-world",
            Self::WorldMismatch { .. } => "world-mismatch",
            Self::Import { .. } => "import-not-granted",
        }
    }
}

/// Reads a component no further than its limit.
///
/// # Errors
/// [`VetError::Unreadable`] and [`VetError::TooLarge`].
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, VetError> {
    let unreadable = |source| VetError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > limits.component {
        return Err(VetError::TooLarge {
            size,
            limit: limits.component,
        });
    }
    let mut bytes = Vec::new();
    file.take(limits.component)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Looks at a component. Authority is the intersection, taken here and nowhere else, of what its world names and what
/// the operator granted; what it imports must lie inside.
///
/// # Errors
/// [`VetError`], naming the first fault.
pub fn vet(
    bytes: Vec<u8>,
    expected: Option<World>,
    pinned: Option<Digest>,
    granted: Grants,
    limits: &Limits,
) -> Result<Vetted, VetError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limits.component {
        return Err(VetError::TooLarge {
            size,
            limit: limits.component,
        });
    }
    let digest = Digest::of(&bytes);
    if let Some(expected) = pinned.filter(|expected| *expected != digest) {
        return Err(VetError::DigestMismatch {
            expected,
            found: digest,
        });
    }
    let (imports, exports) = outline(&bytes)?;
    let world = world_of(&exports)?;
    if let Some(expected) = expected.filter(|expected| !world.serves_as(*expected)) {
        return Err(VetError::WorldMismatch {
            expected: expected.name(),
            found: world.name(),
        });
    }
    for import in &imports {
        may_import(import, world, granted)?;
    }
    Ok(Vetted {
        bytes,
        digest,
        world,
        imports,
        exports,
        granted,
    })
}

/// Bytes of one function's body. Interpreters' main loops stay far below.
const LARGEST_BODY: usize = 1 << 20;
/// Functions in all modules together.
const MOST_FUNCTIONS: usize = 100_000;

/// The top level's imports and exports, after checking that the whole is valid and within what the compiler is given.
fn outline(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), VetError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(VetError::NotWasm);
    }
    let malformed = |error: wasmparser::BinaryReaderError| VetError::Malformed {
        offset: error.offset(),
        reason: error.message().to_owned(),
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let (mut depth, mut functions) = (0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rest is the validator's concern"
        )]
        match payload.map_err(malformed)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Err(VetError::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::CodeSectionEntry(body) => {
                functions += 1;
                let size = body.range().len();
                if size > LARGEST_BODY {
                    return Err(VetError::TooComplex {
                        what: "a function body (bytes)",
                        found: size,
                        limit: LARGEST_BODY,
                    });
                }
            }
            _ => {}
        }
    }
    if functions > MOST_FUNCTIONS {
        return Err(VetError::TooComplex {
            what: "a number of functions",
            found: functions,
            limit: MOST_FUNCTIONS,
        });
    }
    // wasmtime joins components by modules of several memories; a slot of the pool has room for a plugin's one.
    Validator::new_with_features(crate::compile::FEATURES.difference(WasmFeatures::MULTI_MEMORY))
        .validate_all(bytes)
        .map_err(malformed)?;
    Ok((imports, exports))
}

/// An interface of the contract, without package and version: `decider` for `nephron:plugin/decider@0.1.0`.
fn of_contract(interface: &str) -> Option<&str> {
    let (name, version) = interface.strip_prefix("nephron:plugin/")?.split_once('@')?;
    version.starts_with("0.1.").then_some(name)
}

fn world_of(exports: &[String]) -> Result<World, VetError> {
    let mut named: Vec<&str> = exports
        .iter()
        .filter_map(|export| of_contract(export))
        .collect();
    named.sort_unstable();
    let world = World::ALL.into_iter().find(|world| {
        let mut wanted: Vec<&str> = world.exports().iter().copied().chain(["plugin"]).collect();
        wanted.sort_unstable();
        wanted == named
    });
    world.ok_or_else(|| VetError::NoSuchWorld {
        exports: exports.to_vec(),
    })
}

fn may_import(import: &str, world: World, granted: Grants) -> Result<(), VetError> {
    let refused = |reason| {
        Err(VetError::Import {
            import: import.to_owned(),
            reason,
        })
    };
    match of_contract(import) {
        Some("keys") if world.imports().contains(&"keys") && !granted.keys => refused(
            "the operator did not grant; set `grant.keys = true` for this plugin if it shall be lent a key",
        ),
        Some(name) if world.imports().contains(&name) => Ok(()),
        Some(_) => refused("its world does not name"),
        None if crate::capability::null_wasi::can_stand_in_for(import) => {
            if granted.null_wasi {
                Ok(())
            } else {
                refused(
                    "the operator did not grant; set `grant.null-wasi = true` to link a WASI that grants nothing",
                )
            }
        }
        None => refused("no plugin is ever given"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_imports_are_held_to_world_and_grant() {
        let none = Grants::default();
        let all = Grants {
            keys: true,
            null_wasi: true,
        };
        for (import, world, granted, allowed) in [
            (
                "nephron:plugin/types@0.1.0",
                World::AccessPolicy,
                none,
                true,
            ),
            (
                "nephron:plugin/diagnostics@0.1.7",
                World::AccessPolicy,
                none,
                true,
            ),
            (
                "nephron:plugin/diagnostics@0.2.0",
                World::AccessPolicy,
                all,
                false,
            ),
            ("nephron:plugin/keys@0.1.0", World::AccessPolicy, all, false),
            (
                "nephron:plugin/keys@0.1.0",
                World::KeyedDeidentifier,
                none,
                false,
            ),
            (
                "nephron:plugin/keys@0.1.0",
                World::KeyedDeidentifier,
                all,
                true,
            ),
            (
                "nephron:plugin/keys@0.1.0",
                World::SigningLlmConnector,
                none,
                false,
            ),
            (
                "nephron:plugin/keys@0.1.0",
                World::SigningLlmConnector,
                all,
                true,
            ),
            ("nephron:plugin/keys@0.1.0", World::LlmConnector, all, false),
            (
                "nephron:plugin/exchange@0.1.0",
                World::Deidentifier,
                all,
                false,
            ),
            (
                "wasi:clocks/wall-clock@0.2.6",
                World::Deidentifier,
                none,
                false,
            ),
            (
                "wasi:clocks/wall-clock@0.2.6",
                World::Deidentifier,
                all,
                true,
            ),
            ("wasi:sockets/tcp@0.2.0", World::Deidentifier, all, false),
            (
                "wasi:http/outgoing-handler@0.2.0",
                World::LlmConnector,
                all,
                false,
            ),
            ("vendor:secret/door", World::LlmConnector, all, false),
        ] {
            assert_eq!(
                may_import(import, world, granted).is_ok(),
                allowed,
                "{import} in {}",
                world.name()
            );
        }
    }

    #[test]
    fn what_is_no_component_is_named() {
        let vetted = |bytes: &[u8]| {
            vet(
                bytes.to_vec(),
                None,
                None,
                Grants::default(),
                &Limits::default(),
            )
        };
        assert!(matches!(vetted(b"ELF"), Err(VetError::NotWasm)));
        assert!(matches!(
            vetted(b"\0asm\x01\0\0\0"),
            Err(VetError::CoreModule)
        ));
        assert!(matches!(
            vetted(b"\0asm\x0d\0\x01\0"),
            Err(VetError::NoSuchWorld { .. })
        ));
        assert!(matches!(
            vetted(b"\0asm\x0d\0\x01\0\x07"),
            Err(VetError::Malformed { .. })
        ));
    }
}
