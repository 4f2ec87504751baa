//! Exporter: one syslog message (RFC 5424) for each entry of the log, framed by octet counting (RFC 5425 §4.3, RFC 6587 §3.4.1)
//! or by lines.

use nephron_sdk::entry::{Header, Severity, date_time, fault, hash, judge};
use nephron_sdk::exporter::{Batch, Delivery, Entry, Exporter, Verdict};
use nephron_sdk::{Error, Plugin, Problem};
use serde::Deserialize;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// What stands between messages.
    pub framing: Framing,
    /// 0 to 23 (RFC 5424 §6.2.1).
    pub facility: u8,
    /// HOSTNAME.
    pub hostname: String,
    /// APP-NAME.
    pub app_name: String,
    /// Private enterprise number in the name of the structured data.
    pub enterprise: u32,
    /// Whether MSG holds the canonical header.
    pub include_header: bool,
    /// Bytes of a message that the receiver takes whole.
    pub longest: usize,
}

/// What stands between messages.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// The length in bytes before each, and a space.
    OctetCounting,
    /// A line feed after each. No canonical header holds one.
    Newline,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            framing: Framing::OctetCounting,
            facility: 13,
            hostname: "nephron".to_owned(),
            app_name: "nephron".to_owned(),
            enterprise: 32_473,
            include_header: true,
            longest: 8_192,
        }
    }
}

/// Writes messages.
#[derive(Clone, Debug)]
pub struct Syslog {
    settings: Settings,
}

impl Plugin for Syslog {
    type Settings = Settings;
    const NAME: &str = "syslog";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut hold = |key: &str, holds: bool, rule: &str| {
            if !holds {
                problems.push(Problem::at(key, rule));
            }
        };
        hold("facility", settings.facility <= 23, "must be 0 to 23");
        let hostname = is_printable(&settings.hostname, 255);
        hold(
            "hostname",
            hostname,
            "must be 1 to 255 visible ASCII characters",
        );
        let app_name = is_printable(&settings.app_name, 48);
        hold(
            "app-name",
            app_name,
            "must be 1 to 48 visible ASCII characters",
        );
        hold("enterprise", settings.enterprise > 0, "must be at least 1");
        let longest = (480..=65_536).contains(&settings.longest);
        hold("longest", longest, "must be 480 to 65536");
        Problem::none_of(problems, Self { settings })
    }
}

impl Exporter for Syslog {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let mut bytes = Vec::new();
        for entry in &batch.entries {
            let message = self.message(entry)?;
            match self.settings.framing {
                Framing::OctetCounting => {
                    bytes.extend(format!("{} ", message.len()).into_bytes());
                    bytes.extend(message.into_bytes());
                }
                Framing::Newline => {
                    if message.contains('\n') {
                        return Err(fault(
                            entry,
                            "its header spans lines, so it is not canonical",
                        ));
                    }
                    bytes.extend(message.into_bytes());
                    bytes.push(b'\n');
                }
            }
        }
        Ok(Delivery::Bytes(bytes))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, _: Vec<u8>) -> Verdict {
        judge(status, &headers)
    }
}

impl Syslog {
    fn message(&self, entry: &Entry) -> Result<String, Error> {
        let header = Header::read(entry)?;
        let Settings {
            facility,
            hostname,
            app_name,
            enterprise,
            include_header,
            longest,
            ..
        } = &self.settings;
        let severity = match header.severity() {
            Severity::Informational => 6,
            Severity::Notice => 5,
            Severity::Warning => 4,
            Severity::Error => 3,
        };
        let priority = u16::from(*facility) * 8 + severity;
        // Six decimals at most (RFC 5424 §6.2.3); a header has nine.
        let time = date_time(entry)?;
        let time = time
            .get(..26)
            .map_or_else(|| "-".to_owned(), |time| format!("{time}Z"));
        let (process, kind) = (printable(&header.tenant, 128), printable(&header.kind, 32));
        let sequence = header.sequence.to_string();
        let (hash, previous) = (
            hash(entry, &entry.hash)?,
            hash(entry, &entry.previous_hash)?,
        );
        let plugin = header
            .plugin
            .as_ref()
            .map(|plugin| format!("{} {} {}", plugin.name, plugin.version, plugin.digest));
        let mut message = format!(
            "<{priority}>1 {time} {hostname} {app_name} {process} {kind} [nephron@{enterprise}"
        );
        for (name, value) in [
            ("sequence", Some(sequence.as_str())),
            ("hash", Some(hash.as_str())),
            ("previous", Some(&previous)),
            ("outcome", Some(header.outcome.as_str())),
            ("point", header.point.as_deref()),
            ("caller", header.caller.as_deref()),
            ("purpose", header.purpose.as_deref()),
            ("request", header.request.as_deref()),
            ("plugin", plugin.as_deref()),
            (
                "reasons",
                Some(header.reasons.join(" ").as_str()).filter(|codes| !codes.is_empty()),
            ),
        ] {
            if let Some(value) = value {
                message.push_str(&format!(" {name}=\"{}\"", escaped(value)));
            }
        }
        message.push(']');
        // MSG in UTF-8 begins with a byte order mark (RFC 5424 §6.4).
        if *include_header && message.len() + 4 + entry.header.len() <= *longest {
            message.push_str(" \u{feff}");
            message.push_str(&entry.header);
        }
        Ok(message)
    }
}

/// RFC 5424 §6.3.3: `"`, `\` and `]` are escaped. Control characters, which are allowed but break lines, are left out.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn is_printable(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A field that RFC 5424 wants printable and short, or its sign for nothing.
fn printable(text: &str, longest: usize) -> &str {
    if is_printable(text, longest) {
        text
    } else {
        "-"
    }
}

nephron_sdk::export!(exporter: Syslog);

#[cfg(test)]
mod tests {
    use nephron_sdk::exporter::Instant;

    use super::*;

    fn encoded(settings: &str, header: &str) -> String {
        let plugin = Syslog::configure(serde_json::from_str(settings).unwrap()).unwrap();
        let entry = Entry {
            sequence: 7,
            at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 5_000_999,
            },
            header: header.to_owned(),
            previous_hash: vec![0xab; 32],
            hash: vec![0x0f; 32],
        };
        let batch = Batch {
            tenant: "st-marys".to_owned(),
            log: "audit".to_owned(),
            first: 7,
            entries: vec![entry],
            checkpoint: None,
        };
        let Ok(Delivery::Bytes(bytes)) = plugin.encode(batch) else {
            panic!("no bytes")
        };
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_message_is_counted_in_bytes_and_escaped() {
        let header = r#"{"caller":"dr \"é\" [a]\\","kind":"decision","outcome":"deny","sequence":7,"tenant":"st-marys"}"#;
        let text = encoded("{}", header);
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let start = "<109>1 2026-11-22T00:03:22.005000Z nephron nephron st-marys decision [nephron@32473 sequence=\"7\" hash=\"0f0f";
        assert!(message.starts_with(start), "{message}");
        assert!(
            message.contains(r#" caller="dr \"é\" [a\]\\"]"#),
            "{message}"
        );
        assert!(message.ends_with(&format!("] \u{feff}{header}")));
        let lines = encoded(r#"{"framing":"newline","include-header":false}"#, header);
        assert!(lines.ends_with("]\n") && lines.starts_with("<109>1 "));
    }

    #[test]
    fn a_message_that_a_receiver_would_cut_keeps_its_structured_data_alone() {
        let long = "x".repeat(9_000);
        let header = format!(
            r#"{{"facts":{{"a":"{long}"}},"kind":"decision","outcome":"permit","sequence":7,"tenant":"a b"}}"#
        );
        let text = encoded("{}", &header);
        assert!(text.len() < 480 && text.ends_with(']'));
        assert!(text.contains(" nephron nephron - decision ["));
        assert!(encoded(r#"{"longest":16384}"#, &header).ends_with('}'));
    }

    #[test]
    fn settings_out_of_range_are_all_told() {
        let settings =
            r#"{"facility":24,"hostname":"a b","app-name":"","enterprise":0,"longest":1}"#;
        let problems = Syslog::configure(serde_json::from_str(settings).unwrap()).unwrap_err();
        assert_eq!(problems.len(), 5);
    }
}
