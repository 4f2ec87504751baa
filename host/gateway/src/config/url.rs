//! Where an endpoint is: scheme, host, port and the path that a connector's own path is appended to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The base of an endpoint's addresses, such as `https://models.example/tenant-7`.
///
/// Checked when it is parsed: `http` or `https`, a host, no user and password, no query, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host in lower case; an IPv6 address stands in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: the one written, or 443 for `https` and 80 for `http`.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as a request's header `host` names them: the usual port is left out.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The path before the connector's: empty, or with a leading and without a trailing `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of a connector's `path`, which begins with `/` and may have a query.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Whether the host is this machine: `localhost` (RFC 6761 §6.3), 127.0.0.0/8 or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The host's address, if it is written as one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().ok()
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// Text that is no base URL. The text itself is not repeated: it could hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Neither `https://` nor `http://`.
    #[error("must begin with `https://`, or with `http://` for a server on this machine")]
    Scheme,
    /// A user or password before the host.
    #[error("must hold no user and no password; name a `credential` instead")]
    UserInfo,
    /// A host that is neither a DNS name nor an address.
    #[error("must have a host: a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// A port that is none.
    #[error("must have a port between 1 and 65535, or none")]
    Port,
    /// A query or a fragment.
    #[error("must hold no `?` and no `#`; a query belongs into the connector's settings")]
    Query,
    /// A path that would be rewritten on the way, or breaks RFC 3986 §3.3.
    #[error("must have a path without `.`, `..` or empty segments, spaces or control characters")]
    Path,
}

impl std::str::FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(InvalidUrl::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        let (authority, path) = rest
            .split_at_checked(rest.find('/').unwrap_or(rest.len()))
            .ok_or(InvalidUrl::Host)?;
        if authority.contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None if https => 443,
            None => 80,
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(InvalidUrl::Port);
            }
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(InvalidUrl::Port)?,
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(InvalidUrl::Host);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && !path.split('/').skip(1).all(is_segment) {
            return Err(InvalidUrl::Path);
        }
        Ok(Self {
            https,
            host,
            port,
            path: path.to_owned(),
        })
    }
}

/// Splits at the colon that is not inside an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
            })
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // `127.1` and `0x7f.1` are addresses to some resolvers and names to others; only the full form is an address here.
    let looks_numeric = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    host.len() <= 253
        && if looks_numeric {
            host.parse::<Ipv4Addr>().is_ok()
        } else {
            host.split('.').all(is_label)
        }
}

/// RFC 3986 §3.3 `pchar`, without the percent sign's digits being looked at.
fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        for (text, https, host, port, path, loopback) in [
            (
                "https://Models.Example",
                true,
                "models.example",
                443,
                "",
                false,
            ),
            (
                "https://models.example/",
                true,
                "models.example",
                443,
                "",
                false,
            ),
            (
                "https://models.example:8443/a/b/",
                true,
                "models.example",
                8443,
                "/a/b",
                false,
            ),
            (
                "http://localhost:11434",
                false,
                "localhost",
                11434,
                "",
                true,
            ),
            ("http://127.8.9.1", false, "127.8.9.1", 80, "", true),
            ("http://[::1]:8080/v1", false, "[::1]", 8080, "/v1", true),
            ("http://10.0.0.1", false, "10.0.0.1", 80, "", false),
            (
                "http://localhost.evil.example",
                false,
                "localhost.evil.example",
                80,
                "",
                false,
            ),
            (
                "http://127.0.0.1.evil.example",
                false,
                "127.0.0.1.evil.example",
                80,
                "",
                false,
            ),
        ] {
            let url: BaseUrl = text.parse().expect(text);
            assert_eq!(
                (
                    url.is_https(),
                    url.host(),
                    url.port(),
                    url.path(),
                    url.is_loopback()
                ),
                (https, host, port, path, loopback),
                "{text}"
            );
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_by_name() {
        use InvalidUrl::{Host, Path, Port, Query, Scheme, UserInfo};
        for (text, expected) in [
            ("", Scheme),
            ("models.example", Scheme),
            ("ftp://models.example", Scheme),
            ("HTTPS://models.example", Scheme),
            ("https://", Host),
            ("https:///v1", Host),
            ("https://a b", Host),
            ("https://-a.example", Host),
            ("https://a..example", Host),
            ("https://models.example.", Host),
            ("https://[::1", Host),
            ("https://[127.0.0.1]", Host),
            ("http://127.1", Host),
            ("http://0x7f.0x1", Host),
            ("http://2130706433", Host),
            ("https://bücher.example", Host),
            ("https://a.example:", Port),
            ("https://a.example:0", Port),
            ("https://a.example:+80", Port),
            ("https://a.example:65536", Port),
            ("https://user:word@a.example", UserInfo),
            ("http://localhost@a.example", UserInfo),
            ("https://a.example/?q", Query),
            ("https://a.example#f", Query),
            ("https://a.example/../b", Path),
            ("https://a.example//b", Path),
            ("https://a.example/b\r\nHost: c", Path),
            ("https://a.example/\\b", Path),
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(expected), "{text}");
        }
    }
}
