//! The certificates that clients show: who issued them, and whether they still hold.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nephron_model::Digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConnection,
    SignatureScheme,
};

use super::{TlsError, Watched, at, certificates};
use crate::config;

type Verifier = Arc<dyn ClientCertVerifier>;

/// Judges certificates by the authorities' files as they are now.
#[derive(Debug)]
pub(crate) struct Clients {
    verifier: Watched<config::Clients, Verifier>,
    are_required: bool,
}

impl Clients {
    pub(super) fn open(files: &config::Clients) -> Result<Self, TlsError> {
        let mut paths = vec![files.authority.clone()];
        paths.extend(files.revoked.clone());
        let what = "authority of client certificates";
        Ok(Self {
            verifier: Watched::open(files.clone(), paths, what, verifier)?,
            are_required: files.are_required,
        })
    }

    pub(super) fn refresh(&self) {
        self.verifier.refresh();
    }
}

fn verifier(files: &config::Clients) -> Result<Verifier, TlsError> {
    let path = &files.authority;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "certificates of authorities")? {
        let added = roots.add(certificate);
        added.map_err(TlsError::Setup)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = &files.revoked {
        const LISTS: &str = "lists of certificates that were taken back";
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(path)
            .map_err(at(path, LISTS))?
            .collect();
        let lists = lists.map_err(at(path, LISTS))?;
        if lists.is_empty() {
            let source = rustls::pki_types::pem::Error::NoItemsFound;
            return Err(at(path, LISTS)(source));
        }
        // A list that is out of date says nothing of today, and a certificate that no list speaks of is not believed.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    builder.build().map_err(|source| TlsError::Authority {
        path: path.clone(),
        source,
    })
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.are_required
    }

    /// None: they would have to outlive a change of the files, and clients know which certificate they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier
            .now()
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .now()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .now()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.now().supported_verify_schemes()
    }
}

/// The client at the other end of a connection, by the certificate that it showed and whose key it has.
pub(crate) struct Peer {
    chain: Vec<CertificateDer<'static>>,
    clients: Arc<Clients>,
    verified: Mutex<Instant>,
    /// What identifies it.
    pub(crate) marks: Marks,
}

/// What a certificate can be told by.
pub(crate) struct Marks {
    /// SHA-256 of its public key (SubjectPublicKeyInfo).
    pub(crate) key: Digest,
    /// SHA-256 of the whole (`x5t#S256`, RFC 8705 §3.1).
    pub(crate) thumbprint: Digest,
    /// URIs among its names.
    pub(crate) uris: Vec<String>,
    /// DNS names among its names, in lower case.
    pub(crate) names: Vec<String>,
}

impl Peer {
    /// A connection may be open for long. So often its client's certificate is judged again: it may have run out, or have
    /// been taken back.
    const AGAIN: Duration = Duration::from_secs(60);

    /// The client of a connection whose handshake is done, if it showed a certificate that can be read.
    pub(crate) fn of(connection: &ServerConnection, clients: &Arc<Clients>) -> Option<Self> {
        let chain: Vec<_> = connection
            .peer_certificates()?
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let marks = Marks::of(chain.first()?)?;
        Some(Self {
            marks,
            chain,
            clients: Arc::clone(clients),
            verified: Mutex::new(Instant::now()),
        })
    }

    /// Whether its certificate still holds.
    pub(crate) fn still_holds(&self) -> bool {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.elapsed() < Self::AGAIN {
            return true;
        }
        let Some((own, others)) = self.chain.split_first() else {
            return false;
        };
        let judged = self
            .clients
            .verify_client_cert(own, others, UnixTime::now());
        if judged.is_ok() {
            *verified = Instant::now();
        }
        judged.is_ok()
    }
}

impl Marks {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let key = certificate.subject_public_key_info();
        let names = certificate.valid_dns_names();
        Some(Self {
            key: Digest::of(&key),
            thumbprint: Digest::of(&certificate.der()),
            uris: certificate.valid_uri_names().map(str::to_owned).collect(),
            names: names.map(str::to_ascii_lowercase).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use super::*;

    fn write(path: &Path, text: &str, at: u64) {
        std::fs::write(path, text).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        file.set_modified(at).unwrap();
    }

    #[test]
    fn a_certificate_that_was_taken_back_holds_no_longer() {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let mut client = CertificateParams::new(vec!["Ward.example".to_owned()]).unwrap();
        client.serial_number = Some(SerialNumber::from(7));
        client.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = client.signed_by(&key, &issuer).unwrap();
        let list = |serials: &[u64]| {
            let taken_back = serials.iter().map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
            let list = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, 1),
                next_update: date_time_ymd(4000, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: taken_back.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            list.signed_by(&issuer).unwrap().pem().unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let files = config::Clients {
            authority: folder.path().join("ca.pem"),
            revoked: Some(folder.path().join("crl.pem")),
            are_required: true,
        };
        write(&files.authority, &root.pem(), 1);
        let revoked = files.revoked.clone().unwrap();
        write(&revoked, &list(&[8]), 1);
        let clients = Arc::new(Clients::open(&files).ok().unwrap());
        let chain = vec![certificate.der().clone()];
        let peer = |ago: Duration| Peer {
            marks: Marks::of(&chain[0]).unwrap(),
            chain: chain.clone(),
            clients: Arc::clone(&clients),
            verified: Mutex::new(Instant::now().checked_sub(ago).unwrap()),
        };
        assert_eq!(peer(Duration::ZERO).marks.names, ["ward.example"]);
        assert!(peer(Peer::AGAIN).still_holds());
        write(&revoked, &list(&[8, 7]), 2);
        clients.refresh();
        assert!(!peer(Peer::AGAIN).still_holds());
        // A list that cannot be read changes nothing.
        write(&revoked, "no list", 3);
        clients.refresh();
        assert!(!peer(Peer::AGAIN).still_holds());
        write(&revoked, &list(&[]), 4);
        clients.refresh();
        assert!(peer(Peer::AGAIN).still_holds());
    }
}
