//! The exchange with a registry.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt as _, TryStreamExt as _};
use nephron_model::{Digest, Phi};
use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor, OciImageIndex, OciManifest};
use oci_client::secrets::RegistryAuth;

use crate::artifact::{self, Artifact, Blob};
use crate::reference::{Destination, Reference};

/// The most bytes of a statement.
const ENVELOPE: usize = 64 << 10;

/// The most referrers that are looked at.
const REFERRERS: usize = 256;

/// How long a whole exchange may take.
const EXCHANGE: Duration = Duration::from_secs(600);

/// Nothing listens there: where TLS is asked for, nothing goes over plain HTTP, whatever a registry says is its authority.
const NOWHERE: &str = "http://127.0.0.1:1";

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
    /// The proxy for HTTPS, and the hosts that are reached without it, as `HTTPS_PROXY` and `NO_PROXY` have them.
    pub proxy: (Option<String>, Option<String>),
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
    /// Its manifest, which names it and is named by the reference.
    pub manifest: Vec<u8>,
    /// What is stated of it, a line each. Nobody has looked whether they hold, or whether they are statements.
    pub statements: Vec<String>,
    /// Referrers that were to be statements and could not be fetched whole.
    pub passed_over: usize,
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
    /// More is said of a component than is looked at.
    #[error(
        "{reference} has more than {REFERRERS} referrers, so that not all can be looked at; have them cleared away in the registry"
    )]
    TooMany {
        /// Of what.
        reference: String,
    },
    /// It did not come to an end.
    #[error("{registry} has not answered to the end in {} minutes", EXCHANGE.as_secs() / 60)]
    TooSlow {
        /// Which.
        registry: String,
    },
    /// What it answers is nothing that a registry answers.
    #[error(
        "{registry} answers as no registry should; look whether the address is right, and what stands before it"
    )]
    Malformed {
        /// Which.
        registry: String,
    },
    /// A statement that nobody could pull.
    #[error("line {line} of the statements has more than {ENVELOPE} bytes")]
    StatementTooLarge {
        /// Which, from 1.
        line: usize,
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
            http_proxy: (!access.plain_http).then(|| NOWHERE.to_owned()),
            https_proxy: access.proxy.0,
            no_proxy: access.proxy.1,
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
    /// [`RegistryError`]. Of statements, what cannot be fetched whole is passed over.
    pub async fn pull(&self, reference: &Reference, limit: usize) -> Result<Pulled, RegistryError> {
        let pulling = async {
            let manifest = reference.manifest().to_string();
            let manifest = self.manifest(reference, &manifest).await?;
            let layer =
                artifact::component_of(&manifest).map_err(|why| no_plugin(reference, why))?;
            let component = self.blob(reference, &layer, limit).await?;
            let (statements, passed_over) = self.statements(reference).await?;
            Ok(Pulled {
                component,
                manifest,
                statements,
                passed_over,
            })
        };
        in_time(reference.registry(), pulling).await
    }

    /// What is stated of a component, and of how much that was to be so nothing can be had.
    async fn statements(
        &self,
        reference: &Reference,
    ) -> Result<(Vec<String>, usize), RegistryError> {
        let (mut statements, mut passed_over) = (Vec::new(), 0);
        let referrers = self.referrers(reference).await?.manifests;
        if referrers.len() > REFERRERS {
            return Err(RegistryError::TooMany {
                reference: reference.to_string(),
            });
        }
        for entry in referrers {
            if entry.artifact_type.as_deref() != Some(artifact::ENVELOPE) {
                continue;
            }
            match self.statement(reference, &entry.digest).await {
                Ok(Some(statement)) => statements.push(statement),
                Ok(None) => passed_over += 1,
                Err(error) if error.is_of_what_was_asked_for() => passed_over += 1,
                Err(error) => return Err(error),
            }
        }
        Ok((statements, passed_over))
    }

    /// One statement, if the manifest is one about the component.
    async fn statement(
        &self,
        reference: &Reference,
        manifest: &str,
    ) -> Result<Option<String>, RegistryError> {
        let manifest = self.manifest(reference, manifest).await?;
        let Some(layer) = artifact::envelope_of(&manifest, reference.manifest()) else {
            return Ok(None);
        };
        let envelope = self.blob(reference, &layer, ENVELOPE).await?;
        // A line each: JSON has no need of a break.
        let envelope = String::from_utf8(envelope).ok();
        let envelope = envelope.map(|text| text.trim().to_owned());
        Ok(envelope.filter(|text| !text.contains(['\n', '\r'])))
    }

    /// Puts a component and what is stated of it, one envelope a line, where `destination` says. The tag comes last: whoever sees it finds
    /// all of it. Statements that are there stay.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn push(
        &self,
        destination: &Destination,
        component: &[u8],
        interfaces: (&[String], &[String]),
        statements: &str,
    ) -> Result<Reference, RegistryError> {
        let pushing = self.push_all(destination, component, interfaces, statements);
        in_time(destination.registry(), pushing).await
    }

    async fn push_all(
        &self,
        destination: &Destination,
        component: &[u8],
        (imports, exports): (&[String], &[String]),
        statements: &str,
    ) -> Result<Reference, RegistryError> {
        let envelopes = statements.lines().map(str::trim);
        let mut of_envelopes = Vec::new();
        let of_component = Artifact::of_component(component, imports, exports)?;
        for (line, envelope) in (1..).zip(envelopes) {
            if envelope.len() > ENVELOPE {
                return Err(RegistryError::StatementTooLarge { line });
            }
            if !envelope.is_empty() {
                let subject = artifact::descriptor(artifact::MANIFEST, &of_component.manifest);
                of_envelopes.push(Artifact::of_envelope(envelope, subject)?);
            }
        }
        let manifest = Digest::of(&of_component.manifest);
        let reference = Reference::of_manifest(destination, manifest);
        let by_digest = reference.named(&manifest.to_string());
        self.put(&reference, &of_component, &by_digest).await?;
        let mut listed = Vec::new();
        for of_envelope in &of_envelopes {
            let named = artifact::descriptor(artifact::MANIFEST, &of_envelope.manifest);
            let place = reference.named(&named.digest);
            self.put(&reference, of_envelope, &place).await?;
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
        self.put(&reference, &of_component, &destination.tagged())
            .await?;
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

    /// What refers to a component. That there is nothing is believed only where the registry says that there is no list.
    async fn referrers(&self, reference: &Reference) -> Result<OciImageIndex, RegistryError> {
        const ACT: &str = "list statements";
        self.know(reference).await;
        let component = reference.sibling(&reference.manifest().to_string());
        let referrers = self.client.pull_referrers(&component, None).await;
        let referrers = referrers.map_err(|source| failed(reference.registry(), ACT, source))?;
        if !referrers.manifests.is_empty() {
            return Ok(referrers);
        }
        let tag = reference.referrers_tag();
        let listed = self
            .client
            .pull_manifest_raw(&tag, &self.auth, &[artifact::INDEX])
            .await;
        match listed {
            Ok((bytes, _)) => serde_json::from_slice(&bytes)
                .map_err(|_| no_plugin(reference, "the list of what is stated of it is none")),
            Err(error) if is_absent(&error) => Ok(referrers),
            Err(source) => Err(failed(reference.registry(), ACT, source)),
        }
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
        if digest.parse::<Digest>().is_err() {
            return Err(no_plugin(reference, OTHER_DIGEST));
        }
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
        if layer.digest.parse::<Digest>().is_err() {
            return Err(no_plugin(reference, OTHER_DIGEST));
        }
        self.know(reference).await;
        let place = reference.sibling(&reference.manifest().to_string());
        let mut stream = self
            .client
            // By its digest alone: other places that a manifest may name are not looked at.
            .pull_blob_stream(&place, layer.digest.as_str())
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

impl RegistryError {
    /// Whether it is about what was asked for, and not about the registry.
    fn is_of_what_was_asked_for(&self) -> bool {
        match self {
            Self::NoPlugin { .. } | Self::OtherBytes { .. } | Self::TooLarge { .. } => true,
            Self::Failed { source, .. } => {
                is_absent(source) || matches!(**source, OciDistributionError::DigestError(_))
            }
            Self::Unauthorized { .. }
            | Self::TooMany { .. }
            | Self::TooSlow { .. }
            | Self::Malformed { .. }
            | Self::StatementTooLarge { .. }
            | Self::Unwritable(_) => false,
        }
    }
}

const OTHER_DIGEST: &str = "it names something by another digest than SHA-256";

fn no_plugin(reference: &Reference, why: &'static str) -> RegistryError {
    let reference = reference.to_string();
    RegistryError::NoPlugin { reference, why }
}

async fn in_time<T>(
    registry: &str,
    exchange: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let registry = registry.to_owned();
    let exchange = AssertUnwindSafe(exchange).catch_unwind();
    match tokio::time::timeout(EXCHANGE, exchange).await {
        Ok(Ok(exchanged)) => exchanged,
        // oci-client takes some of what a registry answers for well-formed.
        Ok(Err(_)) => Err(RegistryError::Malformed { registry }),
        Err(_) => Err(RegistryError::TooSlow { registry }),
    }
}

/// Whether a registry says that there is no such thing.
fn is_absent(error: &OciDistributionError) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else it is, it does not say that"
    )]
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            let mut codes = envelope.errors.iter().map(|error| &error.code);
            codes.any(|code| {
                matches!(
                    code,
                    OciErrorCode::BlobUnknown
                        | OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                )
            })
        }
        _ => false,
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
