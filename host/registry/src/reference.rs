//! Where a plugin is in a registry, as it is written.

use std::fmt;
use std::str::FromStr;

use nephron_model::Digest;

const SCHEME: &str = "oci://";

/// A component by the digest of its manifest: `oci://registry.example:5000/vendor/plugin@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    place: Place,
    manifest: Digest,
}

/// Where a component is pushed to: `oci://registry.example:5000/vendor/plugin:1.2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    place: Place,
    tag: String,
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    registry: String,
    repository: String,
}

/// A text that names no plugin in a registry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Not what a registry's names look like.
    #[error(
        "is no reference to a registry: write `oci://REGISTRY/REPOSITORY@sha256:…`, the registry with its domain or port, such as `oci://registry.example:5000/vendor/plugin@sha256:…`"
    )]
    Malformed,
    /// By tag, which may name another component tomorrow.
    #[error(
        "names no digest, and a tag may name another component tomorrow: end it with `@sha256:…`, as `nephron plugin push` prints it"
    )]
    NoDigest,
    /// A digest of another kind.
    #[error("must end with `@sha256:` and 64 lower-case hex digits")]
    NoSha256,
    /// Nothing to push to.
    #[error("must end with a tag, such as `:1.2.0`, and have no digest")]
    NoTag,
}

impl Place {
    fn of(parsed: &oci_client::Reference, text: &str) -> Result<Self, ReferenceError> {
        // What has no domain would be somebody else's: Docker Hub, by that parser's custom.
        let registry = parsed.registry();
        if !text.starts_with(&format!("{registry}/")) {
            return Err(ReferenceError::Malformed);
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: parsed.repository().to_owned(),
        })
    }

    fn tagged(&self, tag: &str) -> oci_client::Reference {
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        oci_client::Reference::with_tag(registry, repository, tag.to_owned())
    }
}

impl Reference {
    /// Whether a text is meant as one, well-formed or not.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    pub(crate) fn of_manifest(destination: &Destination, manifest: Digest) -> Self {
        let place = destination.place.clone();
        Self { place, manifest }
    }

    /// Its registry: a host, and a port if one is written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.place.registry
    }

    /// The digest of the component's manifest, which is not that of the component.
    #[must_use]
    pub const fn manifest(&self) -> Digest {
        self.manifest
    }

    /// The manifest of that digest in the same repository.
    pub(crate) fn sibling(&self, manifest: &str) -> oci_client::Reference {
        let Place {
            registry,
            repository,
        } = self.place.clone();
        oci_client::Reference::with_digest(registry, repository, manifest.to_owned())
    }

    /// The same for putting it there: what a registry answers to that is read as the answer to a tag.
    pub(crate) fn named(&self, manifest: &str) -> oci_client::Reference {
        self.place.tagged(manifest)
    }

    /// The tag under which a registry without the referrers API has the list of this manifest's referrers.
    pub(crate) fn referrers_tag(&self) -> oci_client::Reference {
        let tag = self.manifest.to_string().replace(':', "-");
        self.place.tagged(&tag)
    }
}

impl Destination {
    /// Its registry: a host, and a port if one is written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.place.registry
    }

    pub(crate) fn tagged(&self) -> oci_client::Reference {
        self.place.tagged(&self.tag)
    }
}

fn parse(text: &str) -> Result<(Place, oci_client::Reference), ReferenceError> {
    let text = text.strip_prefix(SCHEME).ok_or(ReferenceError::Malformed)?;
    let parsed: oci_client::Reference = text.parse().map_err(|_| ReferenceError::Malformed)?;
    Ok((Place::of(&parsed, text)?, parsed))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (place, parsed) = parse(text)?;
        let digest = parsed.digest().ok_or(ReferenceError::NoDigest)?;
        let manifest = digest.parse().map_err(|_| ReferenceError::NoSha256)?;
        Ok(Self { place, manifest })
    }
}

impl FromStr for Destination {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (place, parsed) = parse(text)?;
        match (parsed.tag(), parsed.digest()) {
            // The parser gives what has no tag one of its own.
            (Some(tag), None) if text.ends_with(&format!(":{tag}")) => Ok(Self {
                place,
                tag: tag.to_owned(),
            }),
            _ => Err(ReferenceError::NoTag),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.place, self.manifest)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";

    #[test]
    fn a_reference_is_read_as_it_is_written() {
        for place in [
            "registry.example/a",
            "registry.example:5000/vendor/plugin",
            "127.0.0.1:5000/a/b/c",
            "localhost/x",
        ] {
            let text = format!("oci://{place}@{DIGEST}");
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
            let text = format!("oci://{place}:1.2.0");
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        // A tag beside the digest says nothing that the digest does not.
        let both: Reference = format!("oci://registry.example/a:1.2.0@{DIGEST}")
            .parse()
            .unwrap();
        assert_eq!(
            both.to_string(),
            format!("oci://registry.example/a@{DIGEST}")
        );
    }

    #[test]
    fn what_names_no_digest_or_no_registry_is_refused() {
        for (text, error) in [
            (
                "oci://registry.example/a:1.2.0".to_owned(),
                ReferenceError::NoDigest,
            ),
            (
                "oci://registry.example/a".to_owned(),
                ReferenceError::NoDigest,
            ),
            (
                format!("oci://vendor/plugin@{DIGEST}"),
                ReferenceError::Malformed,
            ),
            (format!("oci://plugin@{DIGEST}"), ReferenceError::Malformed),
            (
                format!("registry.example/a@{DIGEST}"),
                ReferenceError::Malformed,
            ),
            (
                format!("oci://registry.example/UPPER@{DIGEST}"),
                ReferenceError::Malformed,
            ),
            (
                "oci://registry.example/a@sha256:93a4".to_owned(),
                ReferenceError::Malformed,
            ),
            (
                format!("oci://registry.example/a@sha512:{}", "0".repeat(128)),
                ReferenceError::NoSha256,
            ),
            ("oci://".to_owned(), ReferenceError::Malformed),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
        }
        for text in [
            "oci://registry.example/a".to_owned(),
            format!("oci://registry.example/a@{DIGEST}"),
        ] {
            assert_eq!(
                text.parse::<Destination>(),
                Err(ReferenceError::NoTag),
                "{text}"
            );
        }
    }
}
