//! The listener's TLS, and the protocols within it, as clients meet them on the way to a model.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nephron_model::EntryKind;
use nephron_tests::{CANARIES, MockModel, Served, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

use super::own::curl;
use super::serve::pki;

/// Lets text that was cleared by Safe Harbor go to the mock, which has no agreement.
const CLEARED: &str = "cleared-without-baa = \"safe-harbor\"";
const NAME: &str = "Patient: Zebulon Quackenbush has asthma.";

fn chat(stream: bool) -> Value {
    let message = json!({ "role": "user", "content": NAME });
    json!({ "model": "clinical", "messages": [message], "stream": stream })
}

/// The text of a chat's answer, whole or streamed.
fn text(body: &str) -> String {
    if let Ok(whole) = serde_json::from_str::<Value>(body) {
        let content = &whole["choices"][0]["message"]["content"];
        return content.as_str().unwrap().to_owned();
    }
    let (events, end) = body.split_at(body.find("data: [DONE]").unwrap());
    assert_eq!(end, "data: [DONE]\n\n");
    let events = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let events = events.map(|event| serde_json::from_str::<Value>(event).unwrap());
    let pieces = events.filter_map(|event| {
        let piece = &event["choices"][0]["delta"]["content"];
        piece.as_str().map(str::to_owned)
    });
    pieces.collect()
}

/// A connection with these versions of TLS and this protocol within; none if the handshake fails.
async fn connect(
    served: &Served,
    pki: &TempDir,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(pki.path().join("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions);
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, served.connect().await);
    connecting.await.ok()
}

/// Asks within a connection of HTTP/2, and gives the body.
async fn asked(stream: TlsStream<TcpStream>, served: &Served, body: &Value) -> String {
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("{}/v1/chat/completions", served.url))
        .header("authorization", format!("Bearer {}", served.physician))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())));
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_over_tls_1_3_brings_answers_whole_and_streamed() {
    let (pki, listen) = pki();
    let model = MockModel::start(200, "About {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve(&listen).await;
    for stream in [false, true] {
        let connected = connect(&served, &pki, &[&TLS12, &TLS13], b"h2")
            .await
            .unwrap();
        let session = connected.get_ref().1;
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let body = asked(connected, &served, &chat(stream)).await;
        assert_eq!(text(&body), format!("About {NAME}"));
    }
    for body in model.seen() {
        let body = String::from_utf8(body).unwrap();
        for canary in CANARIES {
            assert!(!body.contains(canary), "the model saw `{canary}` in {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_spoken_only_where_it_is_allowed() {
    for is_allowed in [false, true] {
        let (pki, listen) = pki();
        let model = MockModel::start(200, "About {user}").await;
        let setup = Setup::default().upstream(&model.url(), "", CLEARED);
        let listen = format!("{listen}allow-tls-1-2 = {is_allowed}\n");
        let served = setup.serve(&listen).await;
        let old = connect(&served, &pki, &[&TLS12], b"h2").await;
        assert_eq!(old.is_some(), is_allowed);
        if let Some(old) = old {
            let version = old.get_ref().1.protocol_version();
            assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
            let body = asked(old, &served, &chat(false)).await;
            assert_eq!(text(&body), format!("About {NAME}"));
        }
        let new = connect(&served, &pki, &[&TLS13], b"h2").await.unwrap();
        let body = asked(new, &served, &chat(false)).await;
        assert_eq!(text(&body), format!("About {NAME}"));
        let rig = served.reopened().await;
        let host = rig.host_entries();
        let refused = host.iter().filter(|entry| {
            let header = &entry.header;
            (header.kind, header.outcome.as_str()) == (EntryKind::RequestRefused, "bad-handshake")
        });
        assert_eq!(refused.count(), usize::from(!is_allowed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_a_model_whole_and_streamed_by_both_protocols() {
    let (pki, listen) = pki();
    let model = MockModel::start(200, "About {user}").await;
    let setup = Setup::default().upstream(&model.url(), "", CLEARED);
    let served = setup.serve(&listen).await;
    let authority = pki.path().join("ca.pem").display().to_string();
    let key = format!("authorization: Bearer {}", served.physician);
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for stream in [false, true] {
            let body = chat(stream).to_string();
            let url = format!("{}/v1/chat/completions", served.url);
            let arguments = [
                "--silent",
                "--show-error",
                "--no-buffer",
                protocol,
                "--cacert",
                &authority,
                "-H",
                &key,
                "-H",
                "content-type: application/json",
                "-d",
                &body,
                "-w",
                "\n%{http_version} %{http_code} %{content_type}",
                &url,
            ];
            let said = curl(arguments.map(str::to_owned).to_vec()).await;
            let (body, told) = said.rsplit_once('\n').unwrap();
            let kind = match stream {
                true => "text/event-stream",
                false => "application/json",
            };
            assert_eq!(told, format!("{version} 200 {kind}"));
            assert_eq!(text(body), format!("About {NAME}"), "{protocol} {stream}");
        }
    }
}
