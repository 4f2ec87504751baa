//! Against real servers on loopback: TLS both ways, redirects, and names that resolve to this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use nephron_model::Digest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Credential;

/// An authority and what it issues.
struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Issued {
    chain: String,
    key: String,
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        Issued {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: (certificate.der().clone(), private.into()),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

/// A server that answers each request with its version of HTTP, or sends it on elsewhere.
struct Peer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Peer {
    async fn start(tls: Option<ServerConfig>, elsewhere: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let acceptor = tls.map(|mut tls| {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(tls))
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (count, elsewhere) = (Arc::clone(&count), elsewhere.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    count.fetch_add(1, Ordering::Relaxed);
                    let body = Full::new(Bytes::from(format!("{:?}", request.version())));
                    let mut response = Response::new(body);
                    if let Some(elsewhere) = &elsewhere {
                        *response.status_mut() = hyper::StatusCode::TEMPORARY_REDIRECT;
                        let place = elsewhere.parse().unwrap();
                        response.headers_mut().insert("location", place);
                    }
                    async move { Ok::<_, Infallible>(response) }
                });
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    match acceptor {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                drop(http.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A server's TLS; `clients` issues the certificates that it demands.
fn server(
    issued: &Issued,
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_protocol_versions(versions).unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let (certificate, key) = &issued.der;
    let chain = vec![certificate.clone()];
    config.with_single_cert(chain, key.clone_key()).unwrap()
}

fn upstream(url: &str, tls: UpstreamTls, allows_private: bool) -> Upstream {
    Upstream {
        name: "there".to_owned(),
        url: url.parse().unwrap(),
        credential: None,
        aws_sigv4: None,
        timeout: Duration::from_secs(20),
        answer_time: Duration::from_secs(20),
        tls,
        allows_private,
    }
}

#[test]
fn a_connector_sets_no_header_that_names_an_account_and_asks_for_the_credential() {
    let folder = tempfile::tempdir().unwrap();
    let secret = write(folder.path(), "secret", "s3cret", 1);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, private).unwrap();
    let mut upstream = upstream("http://127.0.0.1:1", UpstreamTls::default(), true);
    let encoded = |upstream: &Upstream, header: &str, credential: Option<&str>| {
        let request = HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/messages".to_owned(),
            headers: vec![(header.to_owned(), "theirs".to_owned())],
            body: b"{}".to_vec(),
            credential: credential.map(str::to_owned),
        };
        Outgoing::new(request, upstream)
    };
    for header in [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "x-api-key",
        "API-Key",
        "x-goog-api-key",
        "cookie",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "TE",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "expect",
        "Accept-Encoding",
        "range",
        "if-range",
        "x-amz-security-token",
    ] {
        let refused = encoded(&upstream, header, None).err();
        assert!(
            matches!(refused, Some(EgressError::BadRequest(_))),
            "{header}"
        );
    }
    assert!(encoded(&upstream, "x-team", None).is_ok());
    upstream.credential = Some(Credential {
        name: "lab".to_owned(),
        header: "x-team".to_owned(),
        prefix: String::new(),
        secret: SecretRef::File(secret),
    });
    // Now that is where the operator's own credential goes.
    let refused = encoded(&upstream, "X-Team", Some("lab")).err();
    assert!(matches!(refused, Some(EgressError::BadRequest(_))));
    let unused = encoded(&upstream, "accept", None).err();
    assert!(matches!(unused, Some(EgressError::CredentialUnused)));
    let another = encoded(&upstream, "accept", Some("another")).err();
    assert!(matches!(another, Some(EgressError::NoCredential)));
    let attached = encoded(&upstream, "accept", Some("lab")).unwrap();
    let team = attached.headers.iter().find(|(name, _)| name == "x-team");
    assert_eq!(team.unwrap().1, "s3cret");
}

async fn ask(egress: &Egress, upstream: &Upstream) -> Result<(u16, String), EgressError> {
    let request = HttpRequest {
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        headers: Vec::new(),
        body: b"{}".to_vec(),
        credential: None,
    };
    let outgoing = Outgoing::new(request, upstream)?;
    let mut arriving = egress
        .send(outgoing, Recorded::attest(0, Digest([0; 32])))
        .await?;
    let mut text = String::new();
    while let Some(bytes) = arriving.chunk().await? {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    Ok((arriving.status, text))
}

async fn ask_once(url: &str, tls: UpstreamTls) -> Result<(u16, String), EgressError> {
    let endpoint = upstream(url, tls, true);
    let egress = Egress::new(std::slice::from_ref(&endpoint)).unwrap();
    ask(&egress, &endpoint).await
}

/// Writes a file, at a time of its own, whatever the file system's clock can tell apart.
fn write(folder: &Path, name: &str, text: &str, seconds: u64) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
    path
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn an_endpoint_that_asks_who_we_are_is_shown_our_certificate_and_its_own_authority_is_believed()
 {
    let (ours, theirs, others) = (Authority::new(), Authority::new(), Authority::new());
    let peer = Peer::start(
        Some(server(&theirs.issue("localhost"), Some(&ours), &BOTH)),
        None,
    )
    .await;
    let url = format!("https://localhost:{}", peer.address.port());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, seconds| write(folder.path(), name, text, seconds);
    let gateway = ours.issue("gateway");
    let ca = file("ca.pem", &theirs.0.pem(), 1);
    let identity = (
        file("gateway.pem", &gateway.chain, 1),
        file("gateway.key", &gateway.key, 1),
    );
    let known = UpstreamTls {
        authorities: Some(ca.clone()),
        identity: Some(identity),
        allows_1_2: false,
    };
    let answer = ask_once(&url, known.clone()).await.unwrap();
    assert_eq!(answer, (200, "HTTP/2.0".to_owned()));

    // Who shows nothing, or does not know the authority, does not get as far as a request.
    let nameless = UpstreamTls {
        identity: None,
        ..known.clone()
    };
    let of_the_web = UpstreamTls {
        authorities: None,
        ..known.clone()
    };
    for tls in [nameless, of_the_web] {
        let error = ask_once(&url, tls).await.unwrap_err();
        assert!(matches!(error, EgressError::Connection(_)), "{error}");
    }
    assert_eq!(peer.asked(), 1);

    // What changes is read again; what cannot be used is not.
    let endpoint = upstream(&url, known, true);
    let wrong = file("ca.pem", &others.0.pem(), 2);
    let egress = Egress::new(std::slice::from_ref(&endpoint)).unwrap();
    assert!(ask(&egress, &endpoint).await.is_err());
    assert_eq!(wrong, file("ca.pem", &theirs.0.pem(), 3));
    assert!(ask(&egress, &endpoint).await.is_ok());
    file("ca.pem", "half a renewal", 4);
    assert!(ask(&egress, &endpoint).await.is_ok());
    let Err(error) = Egress::new(std::slice::from_ref(&endpoint)) else {
        panic!("it begins without its authority")
    };
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_that_is_allowed() {
    let theirs = Authority::new();
    let old = server(&theirs.issue("localhost"), None, &[&rustls::version::TLS12]);
    let peer = Peer::start(Some(old), None).await;
    let url = format!("https://localhost:{}", peer.address.port());
    let folder = tempfile::tempdir().unwrap();
    for allows_1_2 in [false, true] {
        let tls = UpstreamTls {
            authorities: Some(write(folder.path(), "ca.pem", &theirs.0.pem(), 1)),
            identity: None,
            allows_1_2,
        };
        assert_eq!(ask_once(&url, tls).await.is_ok(), allows_1_2);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other_and_is_not_followed() {
    let elsewhere = Peer::start(None, None).await;
    let there = format!("http://{}/v1/chat/completions", elsewhere.address);
    let peer = Peer::start(None, Some(there)).await;
    let answer = ask_once(&format!("http://{}", peer.address), UpstreamTls::default()).await;
    assert_eq!(answer.unwrap().0, 307);
    assert_eq!((peer.asked(), elsewhere.asked()), (1, 0));
}

/// The addresses that are looked at are the ones that are dialled: no name is looked up twice, so that none can say one
/// thing when it is asked and another when it is used.
#[tokio::test]
async fn a_name_that_turns_to_this_machine_is_not_dialled() {
    let peer = Peer::start(None, None).await;
    let url = format!("http://localhost:{}", peer.address.port());
    let strict = upstream(&url, UpstreamTls::default(), false);
    let egress = Egress::new(std::slice::from_ref(&strict)).unwrap();
    let error = ask(&egress, &strict).await.unwrap_err();
    assert!(matches!(error, EgressError::PrivateAddress), "{error}");
    assert_eq!(peer.asked(), 0);
}

/// A receiver of a stream, and how it ends the connection.
#[derive(Clone, Copy)]
enum Ends {
    Properly,
    WithoutNotice,
    Never,
    Talking,
}

async fn receiver(tls: ServerConfig, ends: Ends) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut read = Vec::new();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            stream.read_to_end(&mut read).await.unwrap();
            match ends {
                Ends::Properly => stream.shutdown().await.unwrap(),
                Ends::WithoutNotice => drop(stream),
                Ends::Never => std::future::pending().await,
                Ends::Talking => while stream.write_all(&[b'x'; 1024]).await.is_ok() {},
            }
        }
        read
    });
    (address, task)
}

#[tokio::test]
async fn a_stream_is_delivered_when_the_receiver_ends_it_as_tls_wants_and_not_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = write(folder.path(), "ca.pem", &authority.0.pem(), 1);
    let believed = UpstreamTls {
        authorities: Some(ca),
        ..UpstreamTls::default()
    };
    let text = "5 hello".repeat(50_000);
    for (issuer, ends, expected) in [
        (&authority, Ends::Properly, Ok(())),
        (&authority, Ends::WithoutNotice, Err("connection-failed")),
        (&authority, Ends::Never, Err("timed-out")),
        (&authority, Ends::Talking, Err("response-too-large")),
        (&stranger, Ends::Properly, Err("connection-failed")),
    ] {
        let issued = issuer.issue("localhost");
        let (address, task) = receiver(server(&issued, None, &BOTH), ends).await;
        let url = format!("https://localhost:{}", address.port());
        let mut upstream = upstream(&url, believed.clone(), true);
        let is_slow = matches!(ends, Ends::Never);
        upstream.timeout = if is_slow {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(20)
        };
        let proof = Recorded::attest(0, Digest([0; 32]));
        let written = write_stream(&upstream, text.as_bytes(), proof).await;
        assert_eq!(written.map_err(|error| error.code()), expected);
        if expected.is_ok() {
            assert_eq!(task.await.unwrap(), text.as_bytes());
        }
    }
    // A name that resolves to this machine is no receiver unless that is allowed.
    let strict = upstream("https://localhost:1", believed, false);
    let refused = write_stream(&strict, b"", Recorded::attest(0, Digest([0; 32]))).await;
    assert!(matches!(refused, Err(EgressError::PrivateAddress)));
}
