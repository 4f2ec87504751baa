//! `[listen]`: where clients connect, and what a connection may have.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Table, Value};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes any that is free.
    pub address: SocketAddr,
    /// The certificate to show; without one the address is of this machine alone, or plain text was allowed.
    pub tls: Option<Tls>,
    /// Connections at the same time.
    pub connections: usize,
    /// Of these, connections of one source: an address of IPv4, 64 bits of one of IPv6. More are closed at once.
    pub connections_per_source: usize,
    /// Requests of one tenant at the same time; more are told to come back (429).
    pub requests_per_tenant: usize,
    /// Of these, requests of one caller; more are told to come back (429).
    pub requests_per_caller: usize,
    /// Requests of one caller in a second, and as many at once after a pause; more are told when to come back (429).
    pub requests_per_second: NonZeroU32,
    /// For the head of a request, the handshake of TLS, and a connection on which nothing is asked.
    pub head_time: Duration,
    /// From the first byte of a body to its last; and for a client that stops reading its answer.
    pub body_time: Duration,
    /// For a connection between two requests.
    pub idle_time: Duration,
    /// How long it serves on, saying that it is not ready, when the process is told to stop.
    pub drain_delay: Duration,
    /// For requests in flight after that.
    pub drain_time: Duration,
}

/// Certificate and key, in PEM (RFC 7468). Read again when the files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the host's own certificate first.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, SEC 1 or PKCS #1).
    pub key: PathBuf,
    /// Whether clients that know no TLS 1.3 may use 1.2.
    pub allows_1_2: bool,
    /// Whose certificates clients may show; without this none is asked for.
    pub clients: Option<Clients>,
}

/// Certificates of clients: who issues them, in PEM. Read again when the files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// The authorities.
    pub authority: PathBuf,
    /// Their lists of what they took back (RFC 5280 §5).
    pub revoked: Option<PathBuf>,
    /// Whether a client without a certificate gets no connection.
    pub are_required: bool,
}

impl Listen {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let written = table.required("address", "address = \"127.0.0.1:8443\"");
        let address = written.as_ref().and_then(address);
        let tls = table.value("tls");
        let has_tls = tls.is_some();
        let tls = tls.and_then(|value| value.table(Tls::read)).flatten();
        let is_plain_allowed = table.flag("plaintext-http-unsafe");
        if let (Some(value), Some(address)) = (&written, address)
            && !has_tls
            && !is_plain_allowed
            && !address.ip().is_loopback()
        {
            value.fault(
                "is reached from other machines, and without `[listen.tls]` anyone on the way can read what is sent; \
                 add it (`nephron pki init` makes a certificate for trying out), or listen on 127.0.0.1",
            );
        }
        let second = Duration::from_secs(1);
        let up_to_an_hour = second..=Duration::from_secs(3600);
        let connections = table.count("connections", 1..=100_000, 1_024);
        let share_of_source = table.count(
            "connections-per-source",
            1..=connections,
            connections.div_ceil(2),
        );
        let requests = table.count("requests-per-tenant", 1..=10_000, 64);
        let share = table.count("requests-per-caller", 1..=requests, requests.div_ceil(2));
        let rate = table.count("requests-per-second-per-caller", 1..=1_000_000, 100);
        let head_time = table.duration("head-time", up_to_an_hour.clone(), Duration::from_secs(10));
        let body_time = table.duration("body-time", up_to_an_hour.clone(), Duration::from_secs(30));
        let idle_time = table.duration("idle-time", up_to_an_hour.clone(), Duration::from_secs(75));
        let drain_delay = table.duration(
            "drain-delay",
            Duration::ZERO..=Duration::from_secs(3600),
            Duration::ZERO,
        );
        let drain_time = table.duration("drain-time", up_to_an_hour, Duration::from_secs(30));
        Some(Self {
            address: address?,
            tls: match has_tls {
                true => Some(tls?),
                false => None,
            },
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            connections_per_source: usize::try_from(share_of_source).unwrap_or(usize::MAX),
            requests_per_tenant: usize::try_from(requests).unwrap_or(usize::MAX),
            requests_per_caller: usize::try_from(share).unwrap_or(usize::MAX),
            requests_per_second: u32::try_from(rate)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN),
            head_time,
            body_time,
            idle_time,
            drain_delay,
            drain_time,
        })
    }
}

/// An address and a port.
pub(super) fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let rule = "must be an IP address and a port, such as \"127.0.0.1:8443\" or \"[::1]:8443\"";
    let text = value.text_that(rule, |text| text.parse::<SocketAddr>().is_ok())?;
    text.parse().ok()
}

impl Tls {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let certificate = table.required("certificate", "certificate = \"pki/server.pem\"");
        let certificate = certificate.and_then(|value| value.path());
        let key = table.required("key", "key = \"pki/server.key\"");
        let key = key.and_then(|value| value.path());
        let allows_1_2 = table.flag("allow-tls-1-2");
        let authority = table.value("client-ca");
        let revoked = table.value("client-crl");
        let are_required = table.value("client-certificates");
        if authority.is_none() {
            for value in [&revoked, &are_required].into_iter().flatten() {
                value.fault("stands without `client-ca`, which says whose certificates are meant; add it, or remove this");
            }
        }
        let clients = authority.map(|authority| {
            let words = [("required", true), ("optional", false)];
            let are_required = are_required.map_or(Some(true), |value| value.choice(&words));
            let revoked = match revoked {
                Some(value) => Some(value.path()?),
                None => None,
            };
            Some(Clients {
                authority: authority.path()?,
                revoked,
                are_required: are_required?,
            })
        });
        Some(Self {
            certificate: certificate?,
            key: key?,
            allows_1_2,
            clients: match clients {
                Some(clients) => Some(clients?),
                None => None,
            },
        })
    }
}
