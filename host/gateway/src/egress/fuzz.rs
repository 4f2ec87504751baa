//! A plugin's request against where it is to go, for any request.

#![expect(
    clippy::missing_panics_doc,
    reason = "it panics where its property does not hold, and is there for that"
)]

use super::*;
use crate::config::Credential;
use crate::fuzz::bytes::Bytes;

/// Requests of connectors and exporters: what leaves goes to the configured server and below its path, byte for byte as the
/// plugin wrote it, with the operator's credential and no header of the host's from anybody else.
pub fn requests(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let Some(upstream) = upstream(&mut bytes) else {
        return;
    };
    let request = HttpRequest {
        method: bytes.word(&["POST", "GET", "PUT"]),
        path: bytes.word(&["/v1/chat/completions", "/../admin", "//elsewhere.example/"]),
        headers: (0..bytes.below(4))
            .map(|_| (bytes.word(&HEADERS), bytes.text()))
            .collect(),
        body: bytes.piece().to_vec(),
        credential: bytes.flag().then(|| bytes.word(&["model-key"])),
    };
    let Ok(outgoing) = Outgoing::new(request.clone(), &upstream) else {
        return;
    };
    let (url, uri) = (&upstream.url, &outgoing.uri);
    let scheme = if url.is_https() { "https" } else { "http" };
    assert_eq!(uri.scheme_str(), Some(scheme));
    let authority = uri.authority().map(|it| it.as_str());
    assert_eq!(authority, Some(url.authority().as_str()));
    assert_eq!(outgoing.path(), format!("{}{}", url.path(), request.path));
    // However a server reads it, it stays below the server's path.
    let read = uri.path().to_ascii_lowercase();
    let read = read
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "\\");
    assert!(!read.split(['/', '\\']).any(|segment| segment == ".."));
    assert_eq!(
        (outgoing.method(), outgoing.body()),
        (request.method.as_str(), &*request.body)
    );

    let credential = upstream.credential.as_ref();
    assert_eq!(request.credential.as_ref(), credential.map(|it| &it.name));
    let (theirs, ours) = outgoing.headers.split_at(request.headers.len());
    for ((name, value), (asked, said)) in theirs.iter().zip(&request.headers) {
        assert!(name.as_str().eq_ignore_ascii_case(asked) && value.as_bytes() == said.as_bytes());
        let is_ours = credential.is_some_and(|it| it.header == name.as_str());
        assert!(
            !is_ours && !HEADERS.iter().take(OWNED).any(|owned| name == owned),
            "{name}"
        );
    }
    let ours: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        ours,
        credential
            .map(|it| it.header.as_str())
            .into_iter()
            .collect::<Vec<_>>()
    );
}

/// The first are the host's to set.
const OWNED: usize = 9;
const HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "proxy-authorization",
    "x-api-key",
    "cookie",
    "x-amz-security-token",
    "content-type",
    "X-Model-Key",
    "accept",
];

fn upstream(bytes: &mut Bytes<'_>) -> Option<Upstream> {
    let urls = [
        "https://models.example",
        "https://models.example:8443/tenant-7",
        "http://127.0.0.1:8080/v1",
        "http://[::1]/a/b",
    ];
    let url = urls.get(bytes.below(urls.len()))?.parse().ok()?;
    let header = bytes
        .word(&["x-model-key", "authorization"])
        .to_ascii_lowercase();
    let header = match header.parse::<HeaderName>() {
        Ok(_) => header,
        Err(_) => "x-model-key".to_owned(),
    };
    Some(Upstream {
        name: "cloud".to_owned(),
        url,
        credential: bytes.flag().then(|| Credential {
            name: "model-key".to_owned(),
            header,
            prefix: "Bearer ".to_owned(),
            // What every process has; here it is nobody's secret.
            secret: SecretRef::Environment("PATH".to_owned()),
        }),
        aws_sigv4: None,
        timeout: Duration::from_secs(30),
        answer_time: Duration::from_secs(30),
        tls: UpstreamTls {
            authorities: None,
            identity: None,
            allows_1_2: false,
        },
        allows_private: false,
    })
}
