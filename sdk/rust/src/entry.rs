//! What exporters share: a log entry's header, read; what it means to others; what an HTTP server's answer means.
//!
//! The header of an entry is canonical JSON (docs/formats/log.md). An exporter that writes another form reads it with
//! [`Header::read`], and says in its own form where the entry stands in the chain, so that whoever keeps both can compare.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::Error;
use crate::exporter::{Entry, HttpRequest, Instant, Verdict};

/// A log entry's header. What is not there is empty; keys that this version does not know are passed over, for the log may
/// learn new ones.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Header {
    /// Id of the caller.
    pub caller: Option<String>,
    /// By what the entry counts.
    pub counts: BTreeMap<String, u64>,
    /// Names and ids that are no secret.
    pub facts: BTreeMap<String, String>,
    /// Digest of the roster.
    pub generation: Option<String>,
    /// Keyed digest of what a plugin was asked.
    pub input: Option<String>,
    /// What the entry is about: `request-opened`, `decision`, …
    pub kind: String,
    /// Microseconds that it took.
    pub micros: Option<u64>,
    /// What came of it, a code.
    pub outcome: String,
    /// Keyed digest of what a plugin answered.
    pub output: Option<String>,
    /// The plugin that judged.
    pub plugin: Option<PluginRef>,
    /// The enforcement point.
    pub point: Option<String>,
    /// HL7 v3 PurposeOfUse code.
    pub purpose: Option<String>,
    /// Codes that explain the outcome.
    pub reasons: Vec<String>,
    /// ULID of the request.
    pub request: Option<String>,
    /// Place in the log, from 0.
    pub sequence: u64,
    /// Whose log it is.
    pub tenant: String,
    /// RFC 3339 in UTC, nine decimals.
    pub time: String,
}

/// A plugin, as entries name it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct PluginRef {
    /// Digest of the component.
    pub digest: String,
    /// The operator's name for it.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How what an entry tells came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    /// As it should.
    Done,
    /// Somebody was refused something, as policy wants.
    Refused,
    /// Something failed, or was found broken.
    Failed,
}

/// How much an entry is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The ordinary.
    Informational,
    /// A refusal.
    Notice,
    /// Somebody should look at it: an access in an emergency, a key that was refused, a log that was repaired.
    Warning,
    /// Something failed.
    Error,
}

impl Header {
    /// Reads the header of an entry.
    ///
    /// # Errors
    /// [`Error::InvalidInput`], naming the entry, when it is none, or of another entry than its number says.
    pub fn read(entry: &Entry) -> Result<Self, Error> {
        let read: Result<Self, _> = serde_json::from_str(&entry.header);
        let header = read.map_err(|_| fault(entry, "its header is no header of a log entry"))?;
        if header.sequence != entry.sequence || header.kind.is_empty() {
            return Err(fault(entry, "its header is of another entry"));
        }
        Ok(header)
    }

    /// A fact, or nothing.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// How it came out. An outcome that this version does not know counts as done: it is no refusal and no failure that was
    /// ever written.
    #[must_use]
    pub fn came(&self) -> Came {
        match (self.kind.as_str(), self.outcome.as_str()) {
            (
                "request-closed" | "request-refused",
                "plugin-failed" | "upstream-failed" | "upstream-busy" | "upstream-refused"
                | "not-recorded" | "not-delivered" | "incomplete-roster" | "tenant-unavailable"
                | "answer-too-large" | "reviews-unreadable" | "stopping",
            )
            | (
                _,
                "failed"
                | "abandoned"
                | "set-aside"
                | "trapped"
                | "out-of-fuel"
                | "out-of-memory"
                | "timed-out"
                | "too-many-host-calls"
                | "too-large"
                | "bad-answer"
                | "kept-key"
                | "reported-error"
                | "not-run"
                | "outcome-unknown",
            )
            | ("plugin-refused" | "log-repaired", _) => Came::Failed,
            ("request-closed", "answered") => Came::Done,
            ("request-refused" | "request-closed" | "key-refused" | "passed-over", _)
            | ("decision", "deny" | "indeterminate" | "not-applicable" | "rejected")
            | (_, "refused") => Came::Refused,
            _ => Came::Done,
        }
    }

    /// How much it is worth a look.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match (self.kind.as_str(), self.came()) {
            ("emergency-access" | "key-refused" | "log-repaired", _) => Severity::Warning,
            (_, Came::Done) => Severity::Informational,
            (_, Came::Refused) => Severity::Notice,
            (_, Came::Failed) => Severity::Error,
        }
    }
}

/// That an entry cannot be expressed; the message names it and holds nothing else of it.
#[must_use]
pub fn fault(entry: &Entry, fault: &str) -> Error {
    Error::InvalidInput(format!("entry {}: {fault}", entry.sequence))
}

/// Lower-case hex digits of a hash of 32 bytes.
///
/// # Errors
/// [`Error::InvalidInput`], naming the entry, when it is of another length.
pub fn hash(entry: &Entry, bytes: &[u8]) -> Result<String, Error> {
    if bytes.len() == 32 {
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    } else {
        Err(fault(entry, "one of its hashes is not 32 bytes"))
    }
}

/// When an entry was made: RFC 3339 in UTC with nine decimals, as its header writes it.
///
/// # Errors
/// [`Error::InvalidInput`], naming the entry, after the year 9999.
pub fn date_time(entry: &Entry) -> Result<String, Error> {
    let time = time(&entry.at).ok_or_else(|| fault(entry, "its time is after the year 9999"))?;
    Ok(humantime::format_rfc3339_nanos(time).to_string())
}

/// The same some whole `days` later, without decimals: `2032-11-20T00:03:22Z`.
///
/// # Errors
/// The same.
pub fn date_time_after(entry: &Entry, days: u32) -> Result<String, Error> {
    let then = Instant {
        seconds: entry
            .at
            .seconds
            .saturating_add(u64::from(days).saturating_mul(86_400)),
        nanoseconds: 0,
    };
    let time = time(&then).ok_or_else(|| fault(entry, "that is after the year 9999"))?;
    Ok(humantime::format_rfc3339_seconds(time).to_string())
}

fn time(at: &Instant) -> Option<SystemTime> {
    /// 10000-01-01T00:00:00Z.
    const YEAR_10000: u64 = 253_402_300_800;
    let since_epoch = Duration::new(at.seconds, at.nanoseconds.min(999_999_999));
    (at.seconds < YEAR_10000).then(|| SystemTime::UNIX_EPOCH + since_epoch)
}

/// The same in nanoseconds since the Unix epoch.
///
/// # Errors
/// The same.
pub fn nanoseconds(entry: &Entry) -> Result<u128, Error> {
    let time = time(&entry.at).ok_or_else(|| fault(entry, "its time is after the year 9999"))?;
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    Ok(since_epoch.unwrap_or_default().as_nanos())
}

/// A request that posts JSON.
#[must_use]
pub fn post(path: String, body: Vec<u8>, credential: Option<String>) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        path,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body,
        credential,
    }
}

/// What the status of an answer means for a batch (RFC 9110 §15). 2xx: delivered. What is wrong with the batch itself (400, 413,
/// 414, 415 and 422) is refused for good. All else, a refused credential or a wrong address among it, an operator can mend: the
/// batch is kept and tried again, after as long as the server asks for.
#[must_use]
pub fn judge(status: u16, headers: &[(String, String)]) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        400 | 413 | 414 | 415 | 422 => Verdict::Rejected(format!("status-{status}")),
        _ => Verdict::RetryAfterSeconds(retry_after(headers)),
    }
}

/// Seconds that a server asks for (RFC 9110 §10.2.3), up to an hour, else none: the host waits ever longer by itself. A date is
/// not followed: no plugin knows the time.
#[must_use]
pub fn retry_after(headers: &[(String, String)]) -> u32 {
    const LONGEST: u32 = 3600;
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))
        .and_then(|(_, value)| value.trim().parse::<u32>().ok())
        .map_or(0, |seconds| seconds.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seconds: u64, header: &str) -> Entry {
        Entry {
            sequence: 7,
            at: Instant {
                seconds,
                nanoseconds: 5_000_000,
            },
            header: header.to_owned(),
            previous_hash: vec![0xab; 32],
            hash: vec![0x0f; 31],
        }
    }

    fn message(error: Error) -> String {
        let Error::InvalidInput(message) = error else {
            panic!("another error")
        };
        message
    }

    #[test]
    fn a_header_is_read_and_what_is_none_is_refused_by_its_number() {
        let text = r#"{"caller":"dr.okafor","counts":{"name":2},"facts":{"roles":"physician"},"kind":"decision","new":{"x":[]},"outcome":"permit","plugin":{"digest":"sha256:0f","name":"access","settings":"sha256:0e","version":"0.1.0"},"sequence":7,"tenant":"st-marys"}"#;
        let header = Header::read(&entry(0, text)).unwrap();
        assert_eq!(header.caller.as_deref(), Some("dr.okafor"));
        assert_eq!(header.fact("roles"), Some("physician"));
        assert_eq!(
            (header.counts["name"], header.plugin.unwrap().name.as_str()),
            (2, "access")
        );
        for text in ["", "[]", "{}", r#"{"kind":"decision","sequence":8}"#] {
            let refused = Header::read(&entry(0, text)).unwrap_err();
            assert!(message(refused).starts_with("entry 7: its header is"));
        }
    }

    #[test]
    fn outcomes_are_told_apart() {
        let came = |kind: &str, outcome: &str| {
            let (kind, outcome) = (kind.to_owned(), outcome.to_owned());
            let header = Header {
                kind,
                outcome,
                ..Header::default()
            };
            (header.came(), header.severity())
        };
        for (kind, outcome, expected) in [
            ("decision", "permit", (Came::Done, Severity::Informational)),
            ("decision", "deny", (Came::Refused, Severity::Notice)),
            ("decision", "trapped", (Came::Failed, Severity::Error)),
            (
                "request-closed",
                "answered",
                (Came::Done, Severity::Informational),
            ),
            (
                "request-closed",
                "denied",
                (Came::Refused, Severity::Notice),
            ),
            (
                "request-closed",
                "upstream-failed",
                (Came::Failed, Severity::Error),
            ),
            (
                "request-refused",
                "unauthenticated",
                (Came::Refused, Severity::Notice),
            ),
            ("key-refused", "expired", (Came::Refused, Severity::Warning)),
            (
                "emergency-access",
                "permitted",
                (Came::Done, Severity::Warning),
            ),
            (
                "log-repaired",
                "repaired",
                (Came::Failed, Severity::Warning),
            ),
            ("exported", "set-aside", (Came::Failed, Severity::Error)),
            ("received", "failed", (Came::Failed, Severity::Error)),
            (
                "something-new",
                "well",
                (Came::Done, Severity::Informational),
            ),
        ] {
            assert_eq!(came(kind, outcome), expected, "{kind} {outcome}");
        }
    }

    #[test]
    fn times_and_hashes_are_written_and_what_cannot_be_is_refused() {
        let one = entry(1_795_305_802, "");
        assert_eq!(date_time(&one).unwrap(), "2026-11-22T00:03:22.005000000Z");
        assert_eq!(
            date_time_after(&one, 2_192).unwrap(),
            "2032-11-22T00:03:22Z"
        );
        assert_eq!(nanoseconds(&one).unwrap(), 1_795_305_802_005_000_000);
        assert_eq!(hash(&one, &one.previous_hash).unwrap(), "ab".repeat(32));
        assert!(message(hash(&one, &one.hash).unwrap_err()).contains("32 bytes"));
        let late = entry(u64::MAX, "");
        for refused in [date_time(&late), date_time_after(&late, u32::MAX)] {
            assert!(message(refused.unwrap_err()).contains("year 9999"));
        }
        assert!(message(nanoseconds(&late).unwrap_err()).contains("year 9999"));
    }

    #[test]
    fn an_answer_delivers_refuses_for_good_or_asks_for_another_try() {
        let judged = |status, value: Option<&str>| {
            let headers = value.map(|value| ("Retry-After".to_owned(), value.to_owned()));
            match judge(status, &headers.into_iter().collect::<Vec<_>>()) {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::RetryAfterSeconds(seconds) => format!("after {seconds}"),
                Verdict::Rejected(why) => why,
            }
        };
        for (status, value, expected) in [
            (200, None, "delivered"),
            (204, None, "delivered"),
            (400, Some("7"), "status-400"),
            (413, None, "status-413"),
            (422, None, "status-422"),
            (302, None, "after 0"),
            (401, None, "after 0"),
            (403, None, "after 0"),
            (404, None, "after 0"),
            (429, Some("7"), "after 7"),
            (503, None, "after 0"),
            (503, Some("Sun, 22 Nov 2026 00:00:00 GMT"), "after 0"),
            (429, Some("99999999"), "after 3600"),
        ] {
            assert_eq!(judged(status, value), expected);
        }
    }
}
