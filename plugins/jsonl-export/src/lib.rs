//! Exporter: one line of JSON for each entry of the log.
//!
//! The canonical header stands in its line byte for byte as it was hashed, so that whoever keeps the lines can compute
//! the chain again (docs/formats/audit-log.md) without trusting this plugin, the pipe or the host.

use nephron_sdk::entry::{date_time, fault, hash, judge};
use nephron_sdk::exporter::{Batch, Delivery, Entry, Exporter, Verdict};
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
        judge(status, &headers)
    }
}

impl JsonlExport {
    fn write_line(&self, entry: &Entry, lines: &mut String) -> Result<(), Error> {
        let at = |what: &str| fault(entry, what);
        let time = date_time(entry)?;
        let (previous, hash) = (
            hash(entry, &entry.previous_hash)?,
            hash(entry, &entry.hash)?,
        );
        let sequence = entry.sequence;
        lines.push_str(&format!(
            r#"{{"sequence":{sequence},"time":"{time}","hash":"sha256:{hash}","previous":"sha256:{previous}""#
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

nephron_sdk::export!(exporter: JsonlExport);

#[cfg(test)]
mod tests {
    use nephron_sdk::exporter::Instant;

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
    fn an_unknown_setting_is_refused() {
        assert!(serde_json::from_str::<Settings>(r#"{"include-headers":true}"#).is_err());
    }
}
