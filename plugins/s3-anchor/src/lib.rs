//! Exporter: a checkpoint becomes an object in S3 that nobody can delete before its time (Object Lock).
//!
//! The time is that of the newest entry which the checkpoint covers: no plugin knows what time it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_sdk::entry::date_time_after;
use nephron_sdk::exporter::{Batch, Delivery, Exporter, Verdict};
use nephron_sdk::signer::{HttpRequest, Key, RequestInfo, Signer};
use nephron_sdk::{Error, Plugin, Problem, entry, sigv4};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// What the operator sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Name of the bucket, where it stands in the path.
    pub bucket: Option<String>,
    /// What stands before each name.
    pub prefix: String,
    /// Days for which the object cannot be deleted.
    pub retain_days: u32,
    /// Whether somebody may delete it all the same.
    pub mode: Mode,
}

/// How firmly an object is locked.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nobody deletes it.
    Compliance,
    /// Whoever has the permission to bypass it may.
    Governance,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bucket: None,
            prefix: "nephron".to_owned(),
            retain_days: 2_192,
            mode: Mode::Compliance,
        }
    }
}

/// Puts checkpoints.
#[derive(Clone, Debug)]
pub struct S3Anchor {
    settings: Settings,
}

impl Plugin for S3Anchor {
    type Settings = Settings;
    const NAME: &str = "s3-anchor";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if settings
            .bucket
            .as_deref()
            .is_some_and(|name| !is_bucket(name))
        {
            problems.push(Problem::at(
                "bucket",
                "must be 3 to 63 of `a-z`, `0-9`, `.` and `-`, beginning and ending with a letter or a digit",
            ));
        }
        if !settings.prefix.split('/').all(is_name) {
            problems.push(Problem::at(
                "prefix",
                "must be names of letters, digits, `.`, `_` and `-`, parted by `/`",
            ));
        }
        if !(1..=36_500).contains(&settings.retain_days) {
            problems.push(Problem::at("retain-days", "must be 1 to 36500"));
        }
        Problem::none_of(problems, Self { settings })
    }
}

/// A segment of a path that is the same escaped.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && sigv4::escaped(name, "") == name && !name.contains('~')
}

/// S3's rule for names of buckets, but for the names that it keeps for itself.
fn is_bucket(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|byte| is_end(Some(byte)) || b".-".contains(byte))
        && !name.contains("..")
}

impl Exporter for S3Anchor {
    fn encode(&self, batch: Batch) -> Result<Delivery, Error> {
        let note = batch.checkpoint.ok_or_else(|| {
            Error::Unsupported(
                "there is no checkpoint: name this plugin in an `[[anchor]]`, not in an `[[export]]`"
                    .to_owned(),
            )
        })?;
        let newest = batch.entries.last();
        let newest = newest.ok_or_else(|| invalid("no entry tells the time"))?;
        let (origin, size) = outline(&note).ok_or_else(|| invalid("the checkpoint is no note"))?;
        let Settings {
            bucket,
            prefix,
            retain_days,
            mode,
        } = &self.settings;
        let bucket = bucket
            .as_ref()
            .map_or_else(String::new, |name| format!("/{name}"));
        let mode = match mode {
            Mode::Compliance => "COMPLIANCE",
            Mode::Governance => "GOVERNANCE",
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let checksum = STANDARD.encode(Sha256::digest(note.as_bytes()));
        Ok(Delivery::Http(HttpRequest {
            method: "PUT".to_owned(),
            path: format!("{bucket}/{prefix}/{origin}/{size:016}"),
            headers: vec![
                header("content-type", "text/plain; charset=utf-8"),
                header("x-amz-checksum-sha256", &checksum),
                header("x-amz-object-lock-mode", mode),
                header(
                    "x-amz-object-lock-retain-until-date",
                    &date_time_after(newest, *retain_days)?,
                ),
                header("x-amz-sdk-checksum-algorithm", "SHA256"),
            ],
            body: note.into_bytes(),
            credential: None,
        }))
    }

    fn judge(&self, status: u16, headers: Vec<(String, String)>, _: Vec<u8>) -> Verdict {
        let has_version = headers.iter().any(|(name, value)| {
            name == "x-amz-version-id" && !matches!(value.as_str(), "" | "null")
        });
        match entry::judge(status, &headers) {
            // Without versions nothing is locked.
            Verdict::Delivered if !has_version => Verdict::Rejected("not-locked".to_owned()),
            // It is always the bucket or the key that is at fault, and those can be mended.
            Verdict::Rejected(_) => Verdict::RetryAfterSeconds(0),
            verdict @ (Verdict::Delivered | Verdict::RetryAfterSeconds(_)) => verdict,
        }
    }
}

impl Signer for S3Anchor {
    fn sign(
        &self,
        info: RequestInfo,
        request: HttpRequest,
        host: String,
        key: &Key,
    ) -> Result<HttpRequest, Error> {
        sigv4::sign_with(request, &host, &info, sigv4::Path::AsItIs, key)
    }
}

/// Origin and size of a checkpoint (C2SP tlog-checkpoint), the origin as a name.
fn outline(note: &str) -> Option<(String, u64)> {
    let mut lines = note.lines();
    let origin = lines.next()?.replace('/', "-");
    let size = lines.next()?.parse().ok()?;
    is_name(&origin).then_some((origin, size))
}

fn invalid(what: &str) -> Error {
    Error::InvalidInput(what.to_owned())
}

nephron_sdk::export!(signing_exporter: S3Anchor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_locked_is_not_taken() {
        let plugin = S3Anchor::configure(Settings::default()).unwrap();
        let judged = |status, version: Option<&str>| {
            let header = version.map(|id| ("x-amz-version-id".to_owned(), id.to_owned()));
            match plugin.judge(status, header.into_iter().collect(), vec![]) {
                Verdict::Delivered => "delivered".to_owned(),
                Verdict::RetryAfterSeconds(_) => "later".to_owned(),
                Verdict::Rejected(why) => why,
            }
        };
        for (status, version, expected) in [
            (200, Some("3sL4kqtJlcpXroDTDmJ"), "delivered"),
            (200, Some("null"), "not-locked"),
            (200, None, "not-locked"),
            (400, None, "later"),
            (403, None, "later"),
            (503, None, "later"),
        ] {
            assert_eq!(judged(status, version), expected);
        }
    }

    #[test]
    fn a_note_names_its_object_and_nothing_else_is_one() {
        let note = "nephron/host/802be9255f4f65cf\n5\nHZNcK+DPeMCm=\n\n— x y\n";
        assert_eq!(
            outline(note),
            Some(("nephron-host-802be9255f4f65cf".to_owned(), 5))
        );
        for note in ["", "origin", "origin\nmany\n", "a b\n5\n", "..\n5\n"] {
            assert_eq!(outline(note), None);
        }
    }

    #[test]
    fn settings_out_of_range_are_all_told() {
        for bucket in ["ab", "Bucket", "-ab", "a..b", "a/b"] {
            let settings = Settings {
                bucket: Some(bucket.to_owned()),
                prefix: "a//b".to_owned(),
                retain_days: 0,
                ..Settings::default()
            };
            assert_eq!(
                S3Anchor::configure(settings).unwrap_err().len(),
                3,
                "{bucket}"
            );
        }
    }
}
