//! Exporter: one line of JSON for each entry of the log.
//!
//! The canonical header stands in its line byte for byte as it was hashed, so that whoever keeps the lines can compute
//! the chain again (docs/formats/audit-log.md) without trusting this plugin, the pipe or the host.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use nephron_sdk::exporter::{Batch, Delivery, Entry, Exporter, Instant, Verdict};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What the operator sets.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Whether lines carry the header, or the place in the chain alone.
    pub include_header: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            include_header: true,
        }
    }
}

/// Writes lines.
#[derive(Clone, Copy, Debug)]
pub struct JsonlExport {
    include_header: bool,
}

impl Plugin for JsonlExport {
    type Settings = Settings;
    const NAME: &str = "jsonl-export";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self {
            include_header: settings.include_header,
        })
    }
}

impl Exporter for JsonlExport {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let mut lines = String::new();
        for entry in &batch.entries {
            self.write_line(entry, &mut lines)?;
        }
        Ok(Delivery::Bytes(lines.into_bytes()))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, _: Vec<u8>) -> Verdict {
        match status {
            200..=299 => Verdict::Delivered,
            429 | 503 => Verdict::RetryAfterSeconds(retry_after(&headers)),
            _ => Verdict::Rejected(format!("status {status}")),
        }
    }
}

impl JsonlExport {
    fn write_line(&self, entry: &Entry, lines: &mut String) -> Result<(), Error> {
        let at = |fault: &str| Error::InvalidInput(format!("entry {}: {fault}", entry.sequence));
        let time = date_time(&entry.at).ok_or_else(|| at("its time is after the year 9999"))?;
        let hash = digest(&entry.hash).ok_or_else(|| at("its hash is not 32 bytes"))?;
        let previous =
            digest(&entry.previous_hash).ok_or_else(|| at("its previous hash is not 32 bytes"))?;
        let sequence = entry.sequence;
        lines.push_str(&format!(
            r#"{{"sequence":{sequence},"time":"{time}","hash":"{hash}","previous":"{previous}""#
        ));
        if self.include_header {
            // Parsed to be sure that it is one JSON value, and a line of its own; then written as it came.
            serde_json::from_str::<&RawValue>(&entry.header)
                .map_err(|_| at("its header is no JSON"))?;
            if entry.header.contains(['\n', '\r']) {
                return Err(at("its header spans lines, so it is not canonical"));
            }
            lines.push_str(r#","header":"#);
            lines.push_str(&entry.header);
        }
        lines.push_str("}\n");
        Ok(())
    }
}

/// `sha256:` and 64 lower-case hex digits.
fn digest(bytes: &[u8]) -> Option<String> {
    (bytes.len() == 32).then(|| {
        bytes.iter().fold("sha256:".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            _ = write!(text, "{byte:02x}");
            text
        })
    })
}

/// RFC 3339 in UTC with nine decimals, as the header writes it; `None` after the year 9999.
fn date_time(at: &Instant) -> Option<String> {
    /// 10000-01-01T00:00:00Z.
    const YEAR_10000: u64 = 253_402_300_800;
    let since_epoch = Duration::new(at.seconds, at.nanoseconds.min(999_999_999));
    (at.seconds < YEAR_10000)
        .then(|| humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since_epoch).to_string())
}

/// Seconds that the receiver asks for (RFC 9110 §10.2.3), else 30. A date is not followed: no plugin knows the time.
fn retry_after(headers: &[(String, String)]) -> u32 {
    const DEFAULT: u32 = 30;
    const LONGEST: u32 = 3600;
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))
        .and_then(|(_, value)| value.trim().parse::<u32>().ok())
        .map_or(DEFAULT, |seconds| seconds.min(LONGEST))
}

nephron_sdk::export!(exporter: JsonlExport);

#[cfg(test)]
mod tests {
    use super::*;

    // Canonical JSON of an invented entry: member order and escapes must come out as they went in.
    const HEADER: &str = r#"{"facts":{"endpoint":"caf\u00e9 \/ \"x\""},"fuel":9007199254740991,"kind":"decision","sequence":1}"#;

    fn entry(sequence: u64, header: &str) -> Entry {
        Entry {
            sequence,
            at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 5,
            },
            header: header.to_owned(),
            previous_hash: vec![0xab; 32],
            hash: vec![0x0f; 32],
        }
    }

    fn encoded(settings: &str, entries: Vec<Entry>) -> Result<String, Error> {
        let plugin = JsonlExport::configure(serde_json::from_str(settings).unwrap()).unwrap();
        let batch = Batch {
            tenant: "st-marys".to_owned(),
            log: "audit".to_owned(),
            first: 1,
            entries,
            checkpoint: None,
        };
        match plugin.encode(batch)? {
            Delivery::Bytes(bytes) => Ok(String::from_utf8(bytes).unwrap()),
            Delivery::Http(_) => panic!("lines go to a file, not to a server"),
        }
    }

    #[test]
    fn a_line_holds_the_header_byte_for_byte() {
        let text = encoded("{}", vec![entry(1, HEADER), entry(2, "{}")]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (hash, previous) = ("0f".repeat(32), "ab".repeat(32));
        let time = "2026-11-22T00:03:22.000000005Z";
        let chain =
            format!(r#""time":"{time}","hash":"sha256:{hash}","previous":"sha256:{previous}""#);
        assert_eq!(
            lines[0],
            format!(r#"{{"sequence":1,{chain},"header":{HEADER}}}"#)
        );
        assert_eq!(
            lines[1],
            format!(r#"{{"sequence":2,{chain},"header":{{}}}}"#)
        );
        assert!(text.ends_with("}\n") && lines.len() == 2);
        for line in lines {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn the_header_can_be_left_out() {
        let text = encoded(r#"{"include-header":false}"#, vec![entry(1, HEADER)]).unwrap();
        assert!(!text.contains("header") && !text.contains("endpoint"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["sequence"],
            1
        );
    }

    #[test]
    fn an_empty_batch_is_no_bytes() {
        assert_eq!(encoded("{}", vec![]).unwrap(), "");
    }

    #[test]
    fn what_would_break_a_line_is_refused_and_names_the_entry_alone() {
        let mut short = entry(7, HEADER);
        short.hash.pop();
        let mut late = entry(7, HEADER);
        late.at.seconds = u64::MAX;
        for (entry, fault) in [
            (entry(7, "{\"kind\":"), "no JSON"),
            (entry(7, "{} {\"forged\":1}"), "no JSON"),
            (entry(7, ""), "no JSON"),
            (entry(7, "{\n}"), "spans lines"),
            (short, "not 32 bytes"),
            (late, "year 9999"),
        ] {
            let Err(Error::InvalidInput(message)) = encoded("{}", vec![entry]) else {
                panic!("{fault}: encoded")
            };
            assert!(
                message.starts_with("entry 7: ") && message.contains(fault),
                "{message}"
            );
        }
    }

    #[test]
    fn the_receiver_says_when_to_come_back() {
        let plugin = JsonlExport {
            include_header: true,
        };
        let judge = |status, value: Option<&str>| {
            let headers = value.map(|value| ("Retry-After".to_owned(), value.to_owned()));
            match plugin.judge(status, headers.into_iter().collect(), b"secret".to_vec()) {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::RetryAfterSeconds(seconds) => format!("after {seconds}"),
                Verdict::Rejected(why) => why,
            }
        };
        for (status, value, expected) in [
            (200, None, "delivered"),
            (204, None, "delivered"),
            (429, Some("7"), "after 7"),
            (503, None, "after 30"),
            (503, Some("Sun, 22 Nov 2026 00:00:00 GMT"), "after 30"),
            (429, Some("99999999"), "after 3600"),
            (400, Some("7"), "status 400"),
            (302, None, "status 302"),
        ] {
            assert_eq!(judge(status, value), expected);
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(serde_json::from_str::<Settings>(r#"{"include-headers":true}"#).is_err());
    }
}
