//! AWS Signature Version 4 (AWS IAM User Guide, "Create a signed AWS API request"), but for the key, which the host derives
//! and keeps.

use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::connector::HttpRequest;
use crate::signer::{Key, RequestInfo};

/// How a service reads a path that is already escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Escaped once more in what is signed, as every service but S3 wants.
    EscapedAgain,
    /// As it is sent: S3.
    AsItIs,
}

/// Adds the signature to `request`, which goes to `host` at `seconds` since the Unix epoch. `credential` is the access key's
/// id and the scope of the key behind `mac`. Signed are `host`, `content-type`, `content-md5` and every header that begins with
/// `x-amz-`; what a proxy may change on the way, such as `accept`, is not. Names of headers are in lower case.
///
/// # Errors
/// What `mac` says; [`Error::Internal`] when the credential names no scope, or one of another day.
pub fn sign(
    request: HttpRequest,
    host: &str,
    seconds: u64,
    credential: &str,
    path_form: Path,
    mac: impl FnOnce(&[u8]) -> Result<Vec<u8>, Error>,
) -> Result<HttpRequest, Error> {
    let date = timestamp(seconds);
    let (_, scope) = credential
        .split_once('/')
        .filter(|(_, scope)| scope.get(..8) == date.get(..8))
        .ok_or_else(|| Error::Internal("the key is not of this day".to_owned()))?;
    let digest = hex(&Sha256::digest(&request.body));
    let is_signed =
        |name: &str| matches!(name, "content-type" | "content-md5") || name.starts_with("x-amz-");
    let given = request.headers.iter();
    let given = given.map(|(name, value)| (name.as_str(), value.trim()));
    let ours = [
        ("host", host),
        ("x-amz-content-sha256", &digest),
        ("x-amz-date", &date),
    ];
    let mut headers: Vec<(&str, &str)> = given.filter(|(name, _)| is_signed(name)).collect();
    headers.extend(ours);
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = match path_form {
        Path::EscapedAgain => escaped(path, "/"),
        Path::AsItIs => path.to_owned(),
    };
    let canonical = format!(
        "{method}\n{path}\n{query}\n{lines}\n{signed}\n{digest}",
        method = request.method,
    );
    let canonical = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let signature = hex(&mac(to_sign.as_bytes())?);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    );
    let mut request = request;
    for (name, value) in [
        ("x-amz-date", date),
        ("x-amz-content-sha256", digest),
        ("authorization", authorization),
    ] {
        request.headers.push((name.to_owned(), value));
    }
    Ok(request)
}

/// The same with a key that the host lent, at the time of the request: all that [`Signer::sign`](crate::signer::Signer::sign)
/// does.
///
/// # Errors
/// As [`sign`]; [`Error::Unavailable`] when the key gives no signature.
pub fn sign_with(
    request: HttpRequest,
    host: &str,
    info: &RequestInfo,
    path_form: Path,
    key: &Key,
) -> Result<HttpRequest, Error> {
    let (at, credential) = (info.received_at.seconds, key.info().id);
    sign(request, host, at, &credential, path_form, |data| {
        key.mac(data)
            .map_err(|_| Error::Unavailable("the key gives no signature".to_owned()))
    })
}

/// Everything escaped but RFC 3986's unreserved characters and those of `kept`.
#[must_use]
pub fn escaped(text: &str, kept: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || (byte.is_ascii() && kept.contains(c))
        {
            escaped.push(c);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20261126T100000Z`, in UTC. The civil date is found by days since 0000-03-01 (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
#[must_use]
pub fn timestamp(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_795_305_802, "20261122T000322Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(seconds), expected);
        }
    }

    #[test]
    fn a_path_is_escaped_once_more_than_it_is_sent() {
        let model = escaped(
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.x-v2:0",
            "",
        );
        assert_eq!(
            model,
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Feu.x-v2%3A0"
        );
        assert_eq!(
            escaped("/model/a%3A0/converse", "/"),
            "/model/a%253A0/converse"
        );
        assert_eq!(escaped("é~", "/"), "%C3%A9~");
    }

    #[test]
    fn a_key_of_another_day_signs_nothing() {
        let request = HttpRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![],
            body: vec![],
            credential: None,
        };
        for credential in ["AKIDEXAMPLE", "AKIDEXAMPLE/20261123/r/bedrock/aws4_request"] {
            let path = Path::EscapedAgain;
            let signed = sign(
                request.clone(),
                "h",
                1_795_305_802,
                credential,
                path,
                |_| panic!("asked"),
            );
            assert!(matches!(signed, Err(Error::Internal(_))));
        }
    }
}
