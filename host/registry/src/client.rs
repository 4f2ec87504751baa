//! The exchange with a registry.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use nephron_model::{Digest, Phi};
use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{ImageIndexEntry, OciDescriptor, OciImageIndex, OciManifest};
use oci_client::secrets::RegistryAuth;

use crate::artifact::{self, Artifact, Blob};
use crate::reference::{Destination, Reference};

/// The most bytes of a statement.
const ENVELOPE: usize = 64 << 10;

/// The most statements that are looked at.
const STATEMENTS: usize = 64;

/// How long a registry may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a registry is reached.
#[derive(Default)]
pub struct Access {
    /// Certificates of authorities, in PEM: these alone count. Without any, those of the system do.
    pub authorities: Option<Vec<u8>>,
    /// A user's name and password, or a name and a token.
    pub credentials: Option<(String, Phi<String>)>,
    /// HTTP without TLS.
    pub plain_http: bool,
}

/// A registry.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
}

/// What was pulled.
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// What is stated of it, one envelope each. Nobody has looked whether they hold.
    pub statements: Vec<String>,
}

/// What a registry did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It says who may, and this is nobody of those.
    #[error("{registry} asks for other credentials to {act}; check user and password")]
    Unauthorized {
        /// Which.
        registry: String,
        /// What was asked of it.
        act: &'static str,
    },
    /// It cannot be reached, or answers with an error.
    #[error("{registry} cannot be had to {act}")]
    Failed {
        /// Which.
        registry: String,
        /// What was asked of it.
        act: &'static str,
        /// Why.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// There is something else.
    #[error("{reference} is no plugin: {why}")]
    NoPlugin {
        /// What was asked for.
        reference: String,
        /// What it lacks.
        why: &'static str,
    },
    /// What came is not what the digest names.
    #[error("what {registry} gives for {digest} is something else; nothing of it was kept")]
    OtherBytes {
        /// Which.
        registry: String,
        /// What was asked for.
        digest: String,
    },
    /// More than may be.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// Its digest.
        what: String,
        /// The most.
        limit: usize,
    },
    /// A manifest cannot be written.
    #[error("a manifest cannot be written")]
    Unwritable(#[from] serde_json::Error),
}

impl Registry {
    /// Reaches nothing yet. The process must have a default provider of TLS.
    ///
    /// # Errors
    /// [`RegistryError::Failed`], when an authority's certificate cannot be read.
    pub fn new(registry: &str, access: Access) -> Result<Self, RegistryError> {
        let authorities = access.authorities.map(|pem| Certificate {
            encoding: CertificateEncoding::Pem,
            data: pem,
        });
        let config = ClientConfig {
            protocol: match access.plain_http {
                true => ClientProtocol::HttpsExcept(vec![registry.to_owned()]),
                false => ClientProtocol::Https,
            },
            tls_certs_only: authorities.into_iter().collect(),
            platform_resolver: None,
            read_timeout: Some(PATIENCE),
            connect_timeout: Some(PATIENCE),
            user_agent: concat!("nephron/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)
            .map_err(|source| failed(registry, "trust these authorities", source))?;
        let auth = access
            .credentials
            .map_or(RegistryAuth::Anonymous, |(user, password)| {
                RegistryAuth::Basic(user, password.expose().clone())
            });
        Ok(Self { client, auth })
    }

    /// Fetches a component of at most `limit` bytes, with what is stated of it.
    ///
    /// # Errors
    /// [`RegistryError`]. Of statements, what is none is passed over.
    pub async fn pull(&self, reference: &Reference, limit: usize) -> Result<Pulled, RegistryError> {
        let manifest = self
            .manifest(reference, &reference.manifest().to_string())
            .await?;
        let layer = artifact::component_of(&manifest).map_err(|why| RegistryError::NoPlugin {
            reference: reference.to_string(),
            why,
        })?;
        let component = self.blob(reference, &layer, limit).await?;
        let statements = self.statements(reference).await?;
        Ok(Pulled {
            component,
            statements,
        })
    }

    /// What is stated of a component.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn statements(&self, reference: &Reference) -> Result<Vec<String>, RegistryError> {
        let mut statements = Vec::new();
        for entry in self.referrers(reference).await?.manifests {
            if entry.artifact_type.as_deref() != Some(artifact::ENVELOPE) {
                continue;
            }
            let manifest = self.manifest(reference, &entry.digest).await?;
            let Some(layer) = artifact::envelope_of(&manifest, reference.manifest()) else {
                continue;
            };
            let envelope = self.blob(reference, &layer, ENVELOPE).await?;
            // A line each: JSON has no need of a break.
            if let Ok(text) = String::from_utf8(envelope)
                && !text.trim().contains(['\n', '\r'])
            {
                statements.push(text.trim().to_owned());
            }
            if statements.len() == STATEMENTS {
                break;
            }
        }
        Ok(statements)
    }

    /// Puts a component and what is stated of it, one envelope a line, where `destination` says. What is there already stays.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn push(
        &self,
        destination: &Destination,
        component: &[u8],
        (imports, exports): (&[String], &[String]),
        statements: &str,
    ) -> Result<Reference, RegistryError> {
        let of_component = Artifact::of_component(component, imports, exports)?;
        let manifest = Digest::of(&of_component.manifest);
        let reference = Reference::of_manifest(destination, manifest);
        self.put(&reference, &of_component, &destination.tagged())
            .await?;
        let mut listed = Vec::new();
        let envelopes = statements.lines().map(str::trim);
        for envelope in envelopes.filter(|line| !line.is_empty()) {
            let subject = artifact::descriptor(artifact::MANIFEST, &of_component.manifest);
            let of_envelope = Artifact::of_envelope(envelope, subject)?;
            let named = artifact::descriptor(artifact::MANIFEST, &of_envelope.manifest);
            let place = reference.sibling(&named.digest);
            self.put(&reference, &of_envelope, &place).await?;
            listed.push(ImageIndexEntry {
                media_type: named.media_type,
                digest: named.digest,
                size: named.size,
                platform: None,
                annotations: None,
                artifact_type: Some(artifact::ENVELOPE.to_owned()),
            });
        }
        self.list(&reference, listed).await?;
        Ok(reference)
    }

    /// Sees to it that `entries` are among the referrers. A registry with the referrers API has seen to it already.
    async fn list(
        &self,
        reference: &Reference,
        entries: Vec<ImageIndexEntry>,
    ) -> Result<(), RegistryError> {
        let mut index = self.referrers(reference).await?;
        let there = index.manifests.len();
        for entry in entries {
            if !index.manifests.iter().any(|one| one.digest == entry.digest) {
                index.manifests.push(entry);
            }
        }
        if index.manifests.len() == there {
            return Ok(());
        }
        let listing = OciManifest::ImageIndex(index);
        let tag = reference.referrers_tag();
        let pushed = self.client.push_manifest(&tag, &listing).await;
        pushed.map_err(|source| failed(reference.registry(), "list statements", source))?;
        Ok(())
    }

    async fn referrers(&self, reference: &Reference) -> Result<OciImageIndex, RegistryError> {
        self.know(reference).await;
        let component = reference.sibling(&reference.manifest().to_string());
        let referrers = self.client.pull_referrers(&component, None).await;
        referrers.map_err(|source| failed(reference.registry(), "list statements", source))
    }

    /// Stores what an artifact consists of, its manifest last.
    async fn put(
        &self,
        reference: &Reference,
        artifact: &Artifact,
        place: &oci_client::Reference,
    ) -> Result<(), RegistryError> {
        const ACT: &str = "push a plugin";
        let registry = reference.registry();
        let auth = self
            .client
            .auth(place, &self.auth, oci_client::RegistryOperation::Push);
        auth.await.map_err(|source| failed(registry, ACT, source))?;
        for Blob { bytes, descriptor } in [&artifact.config, &artifact.layer] {
            let there = self.client.blob_exists(place, &descriptor.digest).await;
            if !there.map_err(|source| failed(registry, ACT, source))? {
                let pushed = self
                    .client
                    .push_blob(place, bytes.clone(), &descriptor.digest);
                pushed
                    .await
                    .map_err(|source| failed(registry, ACT, source))?;
            }
        }
        let of_type = artifact::MANIFEST.parse().map_err(|_| {
            let media_type = artifact::MANIFEST.to_owned();
            let source = OciDistributionError::UnsupportedMediaTypeError(media_type);
            failed(registry, ACT, source)
        })?;
        let manifest = artifact.manifest.clone();
        let pushed = self.client.push_manifest_raw(place, manifest, of_type);
        pushed
            .await
            .map_err(|source| failed(registry, ACT, source))?;
        Ok(())
    }

    async fn manifest(
        &self,
        reference: &Reference,
        digest: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let place = reference.sibling(digest);
        let pulled = self
            .client
            .pull_manifest_raw(&place, &self.auth, &[artifact::MANIFEST]);
        let (bytes, _) = pulled
            .await
            .map_err(|source| failed(reference.registry(), "fetch a manifest", source))?;
        self.held(reference, digest, bytes.to_vec())
    }

    async fn blob(
        &self,
        reference: &Reference,
        layer: &OciDescriptor,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let too_large = || RegistryError::TooLarge {
            what: layer.digest.clone(),
            limit,
        };
        let failed = |source| failed(reference.registry(), "fetch a layer", source);
        if usize::try_from(layer.size).is_ok_and(|size| size > limit) {
            return Err(too_large());
        }
        self.know(reference).await;
        let place = reference.sibling(&reference.manifest().to_string());
        let mut stream = self
            .client
            .pull_blob_stream(&place, layer)
            .await
            .map_err(failed)?
            .stream;
        let mut bytes = Vec::new();
        while let Some(more) = stream
            .try_next()
            .await
            .map_err(|error| failed(OciDistributionError::IoError(error)))?
        {
            if bytes.len().saturating_add(more.len()) > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&more);
        }
        self.held(reference, &layer.digest, bytes)
    }

    /// Bytes that are held to the digest they were asked for by.
    fn held(
        &self,
        reference: &Reference,
        digest: &str,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, RegistryError> {
        if Digest::of(&bytes).to_string() == digest {
            return Ok(bytes);
        }
        Err(RegistryError::OtherBytes {
            registry: reference.registry().to_owned(),
            digest: digest.to_owned(),
        })
    }

    async fn know(&self, reference: &Reference) {
        let registry = reference.registry();
        self.client.store_auth_if_needed(registry, &self.auth).await;
    }
}

fn failed(registry: &str, act: &'static str, source: OciDistributionError) -> RegistryError {
    let registry = registry.to_owned();
    let is_unauthorized = matches!(
        &source,
        OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError {
                code: 401 | 403,
                ..
            }
    );
    if is_unauthorized {
        return RegistryError::Unauthorized { registry, act };
    }
    RegistryError::Failed {
        registry,
        act,
        source: Box::new(source),
    }
}
