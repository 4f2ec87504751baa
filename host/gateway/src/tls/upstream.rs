//! TLS to endpoints: whom they are believed by, and what they are shown.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, at, certificates};
use crate::config::UpstreamTls;

/// What a client is set up with; reads the files.
pub(crate) fn of_client(tls: &UpstreamTls) -> Result<ClientConfig, TlsError> {
    let versions: &[_] = if tls.allows_1_2 {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13]
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(TlsError::Setup)?;
    let config = match &tls.authorities {
        None => config.with_webpki_roots(),
        Some(path) => config.with_root_certificates(believed(path)?),
    };
    let Some((certificate, key)) = &tls.identity else {
        return Ok(config.with_no_client_auth());
    };
    let chain = certificates(certificate, "a chain of certificates")?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(at(key, "a private key"))?;
    let config = config.with_client_auth_cert(chain, private);
    config.map_err(|source| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    })
}

fn believed(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path, "certificates of authorities")? {
        roots.add(root).map_err(|source| TlsError::Upstream {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}
