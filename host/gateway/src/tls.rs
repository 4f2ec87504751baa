//! The certificate that clients are shown, read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::config::Tls;

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the right kind.
    #[error(
        "`{path}` cannot be read as {what} in PEM; `nephron pki init` makes some for trying out"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// They do not fit together, or the TLS library knows no such key.
    #[error("the certificate in `{certificate}` and the key in `{key}` cannot be used together")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// What this host shows.
pub(crate) struct Identity {
    files: Tls,
    shown: Arc<Shown>,
    seen: Mutex<Seen>,
    acceptor: TlsAcceptor,
}

/// When the two files were last changed.
type Stamp = [Option<SystemTime>; 2];

struct Seen {
    /// Of what is shown.
    shown: Stamp,
    /// Of what cannot be used, and was said to be so.
    refused: Option<Stamp>,
}

#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Identity {
    /// Reads both files.
    pub(crate) fn open(files: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let seen = stamp(files);
        let shown = Arc::new(Shown(RwLock::new(Arc::new(read(files, &provider)?))));
        let versions: &[_] = if files.allows_1_2 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            files: files.clone(),
            shown,
            seen: Mutex::new(Seen {
                shown: seen,
                refused: None,
            }),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again if they changed. What cannot be used is said, and the former stays.
    pub(crate) fn refresh(&self) {
        let now = stamp(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.shown == now {
            return;
        }
        match read(&self.files, &rustls::crypto::ring::default_provider()) {
            Ok(key) => {
                *seen = Seen {
                    shown: now,
                    refused: None,
                };
                *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                info!("the certificate was read again");
            }
            // Said once for each state of the files, tried again at each look.
            Err(_) if seen.refused == Some(now) => {}
            Err(error) => {
                seen.refused = Some(now);
                let error: &dyn std::error::Error = &error;
                warn!(
                    error,
                    "the certificate changed and cannot be used; the former one stays"
                );
            }
        }
    }
}

fn stamp(files: &Tls) -> Stamp {
    let changed = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    [changed(&files.certificate), changed(&files.key)]
}

fn read(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let at = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::File { path, what, source }
    };
    let (certificate, key) = (&files.certificate, &files.key);
    const CHAIN: &str = "a chain of certificates";
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(at(certificate, CHAIN))?
        .collect();
    let chain = chain.map_err(at(certificate, CHAIN))?;
    if chain.is_empty() {
        let source = rustls::pki_types::pem::Error::NoItemsFound;
        return Err(at(certificate, CHAIN)(source));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(at(key, "a private key"))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|source| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn write(files: &Tls, name: &str) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        // Both at a time of their own, whatever the file system's clock can tell apart.
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(name.len() as u64);
        for path in [&files.certificate, &files.key] {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(later).unwrap();
        }
        certificate.der().to_vec()
    }

    fn shown(identity: &Identity) -> Vec<u8> {
        let key = identity.shown.0.read().unwrap();
        key.cert.first().unwrap().to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_half_a_renewal_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = Tls {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
            allows_1_2: false,
        };
        assert!(matches!(Identity::open(&files), Err(TlsError::File { .. })));
        let first = write(&files, "a");
        let identity = Identity::open(&files).ok().unwrap();
        assert_eq!(shown(&identity), first);
        identity.refresh();
        assert_eq!(shown(&identity), first);
        // A certificate whose key is still the former one.
        let former = std::fs::read(&files.key).unwrap();
        let second = write(&files, "bb");
        let key = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, former).unwrap();
        identity.refresh();
        assert_eq!(shown(&identity), first);
        std::fs::write(&files.key, key).unwrap();
        identity.refresh();
        assert_eq!(shown(&identity), second);
    }
}
