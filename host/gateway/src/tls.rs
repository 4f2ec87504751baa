//! The certificate that clients are shown, and those that they show; read again when the files change.

mod clients;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::config::Tls;
pub(crate) use clients::{Clients, Marks, Peer};
pub(crate) use upstream::of_client;

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
    /// They do not say whom to believe.
    #[error("the certificates in `{path}` cannot be used to judge those of clients")]
    Authority {
        /// The authorities' file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// They do not say whom to believe at an endpoint.
    #[error("a certificate in `{path}` cannot be that of an authority")]
    Upstream {
        /// The authorities' file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// What this host shows, and whom it believes.
pub(crate) struct Identity {
    shown: Arc<Shown>,
    clients: Option<Arc<Clients>>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Shown(Watched<Tls, Arc<CertifiedKey>>);

/// Whether a handshake failed because TLS refused what the peer sent: not because it went away.
pub(crate) fn is_refusal(error: &std::io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.now())
    }
}

impl Identity {
    /// Reads all files.
    pub(crate) fn open(files: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let watched = vec![files.certificate.clone(), files.key.clone()];
        let shown = Watched::open(files.clone(), watched, "certificate", read)?;
        let shown = Arc::new(Shown(shown));
        let clients = files.clients.as_ref().map(Clients::open).transpose()?;
        let clients = clients.map(Arc::new);
        let versions: &[_] = if files.allows_1_2 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?;
        let mut config = match &clients {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(Arc::<Clients>::clone(clients)),
        }
        .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if clients.is_some() {
            // A session that is taken up again brings a certificate that nobody looks at again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(Self {
            shown,
            clients,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// By whom certificates of clients are judged, if they are asked for.
    pub(crate) fn clients(&self) -> Option<Arc<Clients>> {
        self.clients.clone()
    }

    /// Reads the files again if they changed. What cannot be used is said, and the former stays.
    pub(crate) fn refresh(&self) {
        self.shown.0.refresh();
        if let Some(clients) = &self.clients {
            clients.refresh();
        }
    }
}

/// Something that is made of files, and made again when they change.
pub(crate) struct Watched<F, T> {
    files: F,
    paths: Vec<PathBuf>,
    /// What they hold, for people.
    what: &'static str,
    read: fn(&F) -> Result<T, TlsError>,
    made: RwLock<T>,
    seen: Mutex<Seen>,
}

/// When the files were last changed.
type Stamp = Vec<Option<SystemTime>>;

struct Seen {
    /// Of what is made.
    made: Stamp,
    /// Of what cannot be used, and was said to be so.
    refused: Option<Stamp>,
}

impl<F, T: Clone> Watched<F, T> {
    /// Reads the files.
    pub(crate) fn open(
        files: F,
        paths: Vec<PathBuf>,
        what: &'static str,
        read: fn(&F) -> Result<T, TlsError>,
    ) -> Result<Self, TlsError> {
        let seen = stamp(&paths);
        let made = read(&files)?;
        Ok(Self {
            files,
            paths,
            what,
            read,
            made: RwLock::new(made),
            seen: Mutex::new(Seen {
                made: seen,
                refused: None,
            }),
        })
    }

    /// What is made of the files as they were last.
    pub(crate) fn now(&self) -> T {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        made.clone()
    }

    /// Reads the files again if they changed. What cannot be used is said, and the former stays.
    pub(crate) fn refresh(&self) {
        let now = stamp(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.made == now {
            return;
        }
        let what = self.what;
        match (self.read)(&self.files) {
            Ok(made) => {
                *seen = Seen {
                    made: now,
                    refused: None,
                };
                *self.made.write().unwrap_or_else(PoisonError::into_inner) = made;
                info!("the {what} was read again");
            }
            // Said once for each state of the files, tried again at each look.
            Err(_) if seen.refused.as_ref() == Some(&now) => {}
            Err(error) => {
                seen.refused = Some(now);
                let error: &dyn std::error::Error = &error;
                warn!(
                    error,
                    "the {what} changed and cannot be used; the former one stays"
                );
            }
        }
    }
}

impl<F, T> std::fmt::Debug for Watched<F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").field(&self.what).finish()
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    let changed = |path: &PathBuf| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    paths.iter().map(changed).collect()
}

fn read(files: &Tls) -> Result<Arc<CertifiedKey>, TlsError> {
    let (certificate, key) = (&files.certificate, &files.key);
    let chain = certificates(certificate, "a chain of certificates")?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(at(key, "a private key"))?;
    let provider = rustls::crypto::ring::default_provider();
    let made = CertifiedKey::from_der(chain, private, &provider);
    made.map(Arc::new).map_err(|source| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    })
}

/// Every certificate of a file, which has at least one.
fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(at(path, what))?
        .collect();
    let found = found.map_err(at(path, what))?;
    if found.is_empty() {
        return Err(at(path, what)(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn at(path: &Path, what: &'static str) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::File {
        path: path.clone(),
        what,
        source,
    }
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
        let key = identity.shown.0.now();
        key.cert.first().unwrap().to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_half_a_renewal_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = Tls {
            certificate: folder.path().join("server.pem"),
            key: folder.path().join("server.key"),
            allows_1_2: false,
            clients: None,
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
