//! Durations and sizes as people write them: a whole number and its unit, "250ms", "64MiB".

use std::time::Duration;

/// `ms`, `s`, `m` (minutes), `h` or `d` (of 24 hours); whole numbers only.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Bytes: `B`, `KiB`, `MiB` or `GiB` (IEC 80000-13); whole numbers only. `MB` is refused, because half of its readers
/// take it for `MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, scale) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(scale)
}

/// A size in the largest unit that keeps it whole.
pub(super) fn show_size(bytes: u64) -> String {
    let (unit, scale) = SIZES
        .into_iter()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// A duration of whole milliseconds in the largest unit that keeps it whole.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, scale) = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ]
    .into_iter()
    .find(|(_, scale)| millis != 0 && millis.is_multiple_of(*scale))
    .unwrap_or(("ms", 1));
    format!("{}{unit}", millis / scale)
}

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

fn split(text: &str) -> Option<(u64, &str)> {
    let (digits, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    Some((digits.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_its_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "1.5s",
            "-1s",
            "5 s",
            "5S",
            "5sec",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_and_its_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("10B", 10),
            ("1KiB", 1_024),
            ("64MiB", 67_108_864),
            ("3GiB", 3_221_225_472),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "64",
            "MiB",
            "64MB",
            "64mib",
            "1.5GiB",
            "1 KiB",
            "99999999999GiB",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["0B", "1023B", "64MiB", "3GiB", "1536KiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        for text in ["0ms", "250ms", "2s", "90s", "1h", "30d"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }
}
