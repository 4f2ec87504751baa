//! The shapes of what a registry keeps.

use nephron_model::Digest;
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use serde::Serialize;

/// A manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of manifests.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A component's config.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A component.
const COMPONENT: &str = "application/wasm";
/// A statement.
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The config of what needs none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What is stored under its own digest.
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptor: OciDescriptor,
}

impl Blob {
    fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let descriptor = descriptor(media_type, &bytes);
        Self { bytes, descriptor }
    }
}

/// Names bytes.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes).to_string(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

/// An artifact: one layer with its config.
pub(crate) struct Artifact {
    pub(crate) config: Blob,
    pub(crate) layer: Blob,
    pub(crate) manifest: Vec<u8>,
}

/// The config of a component. Without a time, so that the same component has the same manifest whenever it is pushed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    architecture: &'static str,
    os: &'static str,
    layer_digests: [&'a str; 1],
    component: Interfaces<'a>,
}

#[derive(Serialize)]
struct Interfaces<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

impl Artifact {
    /// A component, with the interfaces that it names.
    pub(crate) fn of_component(
        component: &[u8],
        imports: &[String],
        exports: &[String],
    ) -> Result<Self, serde_json::Error> {
        let layer = Blob::new(COMPONENT, component.to_vec());
        let config = serde_json::to_vec(&Config {
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [&layer.descriptor.digest],
            component: Interfaces { exports, imports },
        })?;
        Self::new(Blob::new(CONFIG, config), layer, None)
    }

    /// A statement about what `subject` names.
    pub(crate) fn of_envelope(
        envelope: &str,
        subject: OciDescriptor,
    ) -> Result<Self, serde_json::Error> {
        let layer = Blob::new(ENVELOPE, envelope.as_bytes().to_vec());
        Self::new(Blob::new(EMPTY, b"{}".to_vec()), layer, Some(subject))
    }

    fn new(
        config: Blob,
        layer: Blob,
        subject: Option<OciDescriptor>,
    ) -> Result<Self, serde_json::Error> {
        let manifest = serde_json::to_vec(&OciImageManifest {
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: subject.is_some().then(|| ENVELOPE.to_owned()),
            config: config.descriptor.clone(),
            layers: vec![layer.descriptor.clone()],
            subject,
            ..OciImageManifest::default()
        })?;
        Ok(Self {
            config,
            layer,
            manifest,
        })
    }
}

/// The digest of the component that a manifest names, if it is the manifest that the reference names.
#[must_use]
pub fn component_named_by(reference: &crate::Reference, manifest: &[u8]) -> Option<Digest> {
    let is_it = Digest::of(manifest) == reference.manifest();
    let layer = component_of(manifest).ok().filter(|_| is_it)?;
    layer.digest.parse().ok()
}

/// The layer of a component's manifest.
pub(crate) fn component_of(manifest: &[u8]) -> Result<OciDescriptor, &'static str> {
    let manifest: OciImageManifest =
        serde_json::from_slice(manifest).map_err(|_| "its manifest is none of an artifact")?;
    if manifest.config.media_type != CONFIG {
        return Err("its config is not `application/vnd.wasm.config.v0+json`");
    }
    match manifest.layers.as_slice() {
        [layer] if layer.media_type == COMPONENT => Ok(layer.clone()),
        _ => Err("it has not exactly one layer of `application/wasm`"),
    }
}

/// The layer of a statement's manifest, if it is one about the manifest of this digest.
pub(crate) fn envelope_of(manifest: &[u8], about: Digest) -> Option<OciDescriptor> {
    let manifest: OciImageManifest = serde_json::from_slice(manifest).ok()?;
    let is_about = manifest.subject?.digest == about.to_string();
    match manifest.layers.as_slice() {
        [layer] if is_about && layer.media_type == ENVELOPE => Some(layer.clone()),
        _ => None,
    }
}
