//! Clients that are known by the certificate of their connection.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nephron_tests::{Received, Served, Setup};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{asking, event, facts, opening, reason};

/// A certificate and its key, in PEM.
pub(crate) type Pair = (String, String);

/// A client's and a server's authority that can issue more.
pub(crate) struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn make() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&key).unwrap();
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(authority, key),
        };
        let (server, key) = made.issue(&[SanType::DnsName("localhost".try_into().unwrap())]);
        for (name, text) in [
            ("ca.pem", root.pem()),
            ("server.pem", server),
            ("server.key", key),
        ] {
            std::fs::write(made.path(name), text).unwrap();
        }
        made
    }

    pub(crate) fn issue(&self, names: &[SanType]) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn uri(&self, uri: &str) -> Pair {
        self.issue(&[SanType::URI(uri.try_into().unwrap())])
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// `[listen.tls]` that asks for its certificates.
    pub(crate) fn listen(&self, more: &str) -> String {
        let file = |name| self.path(name);
        format!(
            "[listen.tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient-ca = \"{}\"\n{more}\n",
            file("server.pem"),
            file("server.key"),
            file("ca.pem")
        )
    }

    pub(super) fn authority(&self) -> String {
        std::fs::read_to_string(self.path("ca.pem")).unwrap()
    }
}

/// Sends a chat request over TLS, showing this certificate. `None` if there is no connection to be had.
pub(crate) async fn post(
    served: &Served,
    authority: &str,
    shown: Option<&Pair>,
    key: Option<&str>,
) -> Option<Received> {
    let posting = try_post(served, authority, shown, key);
    let posted = tokio::time::timeout(std::time::Duration::from_secs(120), posting).await;
    posted.unwrap()
}

async fn try_post(
    served: &Served,
    authority: &str,
    shown: Option<&Pair>,
    key: Option<&str>,
) -> Option<Received> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config
                .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, served.connect().await)
        .await
        .ok()?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    tokio::spawn(connection);
    let mut request = Request::post("/v1/chat/completions").header("host", "localhost");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = Full::new(Bytes::from(asking()));
    // In TLS 1.3 a client learns that its certificate was refused only when it reads.
    let response = sender.send_request(request.body(body).unwrap()).await;
    let (head, body) = response.ok()?.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Some(Received {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    })
}

fn table(id: &str, mark: &str, tenant: &str, expires: &str) -> String {
    format!(
        "[[client-certificate]]\nid = \"{id}\"\n{mark}\ntenant = \"{tenant}\"\ncaller = \"{id}\"\n\
         roles = [\"physician\"]\npurposes = [\"TREAT\"]\nexpires = {expires}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pki_init_prints_lets_its_client_in() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(crate::nephron())
        .args(["pki", "init"])
        .arg(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(made.stdout).unwrap();
    let served = Setup::default().serve(&printed).await;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let client = (read("client.pem"), read("client.key"));
    let answer = post(&served, &read("ca.pem"), Some(&client), None).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rig = served.reopened().await;
    let opened = opening(&rig, "st-marys", event(&answer));
    assert_eq!(opened.header.caller.as_deref(), Some("ward-app"));
    assert_eq!(
        facts(&opened, &["authentication", "credential", "roles"]),
        ["certificate", "ward-app", "physician"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_asks_and_a_key_beside_it_must_be_of_its_tenant() {
    let pki = Pki::make();
    let tables = [
        table(
            "by-uri",
            "uri = \"spiffe://st-marys/ward\"",
            "st-marys",
            "2030-01-01",
        ),
        table("by-dns", "dns = \"Ward.example\"", "st-marys", "2030-01-01"),
        table(
            "over",
            "uri = \"spiffe://st-marys/over\"",
            "st-marys",
            "2026-01-01",
        ),
    ];
    let listen = pki.listen("client-certificates = \"optional\"");
    let served = Setup::default().serve(&(listen + &tables.concat())).await;
    let (physician, lakeside) = (served.physician.clone(), served.lakeside.clone());
    let authority = pki.authority();
    let ward = pki.uri("spiffe://st-marys/ward");
    let names = ["ward.example", "other.example"].map(|n| SanType::DnsName(n.try_into().unwrap()));
    let (by_dns, over) = (pki.issue(&names), pki.uri("spiffe://st-marys/over"));
    let two = [
        SanType::URI("spiffe://st-marys/ward".try_into().unwrap()),
        SanType::DnsName("ward.example".try_into().unwrap()),
    ];
    let (stranger, two) = (pki.uri("spiffe://st-marys/ward/x"), pki.issue(&two));
    let elsewhere = Pki::make().uri("spiffe://st-marys/ward");
    let ask = async |shown, key| post(&served, &authority, shown, key).await;

    let by_uri = ask(Some(&ward), None).await.unwrap();
    let by_dns = ask(Some(&by_dns), None).await.unwrap();
    let both = ask(Some(&ward), Some(physician.as_str())).await.unwrap();
    let other = ask(Some(&ward), Some(lakeside.as_str())).await.unwrap();
    let over = ask(Some(&over), None).await.unwrap();
    let mut strangers = Vec::new();
    for (what, answer, expected) in [
        ("none", ask(None, None).await, "no-api-key"),
        (
            "one that nobody described",
            ask(Some(&stranger), None).await,
            "unknown-certificate",
        ),
        (
            "one that was described twice",
            ask(Some(&two), None).await,
            "unknown-certificate",
        ),
        (
            "a key that is none",
            ask(Some(&ward), Some("nph_0")).await,
            "invalid-api-key",
        ),
    ] {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (401, expected),
            "{what}"
        );
        strangers.push((event(&answer), expected));
    }
    assert_eq!(
        ask(Some(&stranger), Some(physician.as_str()))
            .await
            .unwrap()
            .status,
        200
    );
    assert!(
        ask(Some(&elsewhere), Some(physician.as_str()))
            .await
            .is_none(),
        "another authority's"
    );

    let rig = served.reopened().await;
    let host = rig.host_entries();
    for (event, expected) in strangers {
        assert!(event.is_some(), "{expected}");
        let entry = host.iter().find(|entry| entry.header.request == event);
        assert_eq!(entry.unwrap().header.reasons, [expected]);
    }
    let names = ["authentication", "credential", "certificate"];
    for (what, answer, tenant, expected, refused) in [
        (
            "by uri",
            &by_uri,
            "st-marys",
            ["certificate", "by-uri", "-"],
            None,
        ),
        (
            "by dns",
            &by_dns,
            "st-marys",
            ["certificate", "by-dns", "-"],
            None,
        ),
        (
            "both",
            &both,
            "st-marys",
            ["api-key", "physician", "by-uri"],
            None,
        ),
        (
            "other",
            &other,
            "lakeside",
            ["api-key", "lakeside", "by-uri"],
            Some("wrong-tenant"),
        ),
        (
            "over",
            &over,
            "st-marys",
            ["certificate", "over", "-"],
            Some("expired-certificate"),
        ),
    ] {
        let opened = opening(&rig, tenant, event(answer));
        assert_eq!(facts(&opened, &names), expected, "{what}");
        assert_eq!(
            opened.header.reasons.first().map(String::as_str),
            refused,
            "{what}"
        );
        assert_eq!(
            answer.status,
            if refused.is_some() { 401 } else { 200 },
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_required_there_is_no_connection_without_one() {
    let pki = Pki::make();
    let table = table(
        "ward",
        "uri = \"spiffe://st-marys/ward\"",
        "st-marys",
        "2030-01-01",
    );
    let served = Setup::default().serve(&(pki.listen("") + &table)).await;
    let key = served.physician.clone();
    let authority = pki.authority();
    assert!(post(&served, &authority, None, Some(&key)).await.is_none());
    let ward = pki.uri("spiffe://st-marys/ward");
    let answer = post(&served, &authority, Some(&ward), None).await;
    assert_eq!(answer.unwrap().status, 200);
    let host = served.reopened().await.host_entries();
    let refused = host
        .iter()
        .find(|entry| entry.header.outcome == "bad-handshake");
    assert_eq!(refused.unwrap().header.facts["source"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_can_show_identities_to_those_alone_who_used_two_factors() {
    let pki = Pki::make();
    let tables = ["ward", "card"].map(|id| {
        let mark = format!("uri = \"spiffe://st-marys/{id}\"");
        let mark = if id == "card" {
            mark + "\nmulti-factor = true"
        } else {
            mark
        };
        table(id, &mark, "st-marys", "2030-01-01")
    });
    let setup = Setup::default().second_decider("mfa").and(super::MFA);
    let served = setup.serve(&(pki.listen("") + &tables.concat())).await;
    let authority = pki.authority();
    let mut answers = Vec::new();
    for id in ["ward", "card"] {
        let shown = pki.uri(&format!("spiffe://st-marys/{id}"));
        let answer = post(&served, &authority, Some(&shown), None).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        answers.push(answer);
    }
    let [ward, card] = answers.as_slice() else {
        panic!()
    };
    assert!(!ward.text.contains("Quackenbush"), "{}", ward.text);
    assert!(card.text.contains("Quackenbush"), "{}", card.text);
    let rig = served.reopened().await;
    assert_eq!(super::restoration(&rig, ward), "withheld-by-decision");
    assert_eq!(super::restoration(&rig, card), "restored");
    let opened = opening(&rig, "st-marys", event(card));
    assert_eq!(facts(&opened, &["mfa"]), ["true"]);
}
