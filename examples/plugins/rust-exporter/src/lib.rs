//! Writes a line for each entry of the log: its sequence number, its time and its hash, with a tab between.
//!
//! Whoever keeps the lines can tell later whether the log was changed. Settings: `{"separator": "\t"}`, which may be left out.

use nephron_sdk::entry::{date_time, hash, judge};
use nephron_sdk::exporter::{Batch, Delivery, Exporter, Verdict};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What stands between the columns.
    pub separator: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            separator: "\t".to_owned(),
        }
    }
}

/// The settings as they are: what `configure` leaves is where each call begins.
#[derive(Debug)]
pub struct Columns(Settings);

impl Plugin for Columns {
    type Settings = Settings;
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let separator = &settings.separator;
        if separator.is_empty() || separator.contains(['\n', '\r']) {
            let message = "it must be a text without line breaks, such as `;`";
            return Err(vec![Problem::at("separator", message)]);
        }
        Ok(Self(settings))
    }
}

impl Exporter for Columns {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let mut lines = String::new();
        for entry in &batch.entries {
            let columns = [
                entry.sequence.to_string(),
                date_time(entry)?,
                format!("sha256:{}", hash(entry, &entry.hash)?),
            ];
            lines.push_str(&columns.join(&self.0.separator));
            lines.push('\n');
        }
        Ok(Delivery::Bytes(lines.into_bytes()))
    }

    /// What a server's answer to a delivery means; for bytes nobody asks.
    fn judge(&self, status: u16, headers: Vec<(String, String)>, _: Vec<u8>) -> Verdict {
        judge(status, &headers)
    }
}

nephron_sdk::export!(exporter: Columns);

#[cfg(test)]
mod tests {
    use super::*;
    use nephron_sdk::exporter::{Entry, Instant};

    fn encoded(hash: usize) -> Result<Delivery, Error> {
        let entry = Entry {
            sequence: 7,
            at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 5,
            },
            header: "{}".to_owned(),
            previous_hash: vec![6; 32],
            hash: vec![7; hash],
        };
        let batch = Batch {
            tenant: "st-marys".to_owned(),
            log: "audit".to_owned(),
            first: 7,
            entries: vec![entry],
            checkpoint: None,
        };
        Columns::configure(Settings::default())
            .unwrap()
            .encode(batch)
    }

    #[test]
    fn an_entry_is_a_line() {
        let line = format!(
            "7\t2026-11-22T00:03:22.000000005Z\tsha256:{}\n",
            "07".repeat(32)
        );
        assert!(matches!(encoded(32), Ok(Delivery::Bytes(bytes)) if bytes == line.as_bytes()));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        assert!(encoded(31).is_err());
    }
}
