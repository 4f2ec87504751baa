//! Names that were checked once, when they came in.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A name that breaks its rule.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is no {what}: expected {rule}")]
pub struct InvalidId {
    given: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let holds: fn(&str) -> bool = $holds;
                if holds(&text) {
                    Ok(Self(text))
                } else {
                    // Capped, because what was given may be anything.
                    Err(InvalidId { given: text.chars().take(40).collect(), what: $what, rule: $rule })
                }
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A tenant: one covered entity or business associate whose data, keys and log stand apart (I5).
    /// It names a folder, so it holds nothing that a path could.
    TenantId,
    "tenant",
    "1 to 63 of `a-z`, `0-9` and `-`, starting with a letter",
    |text| {
        text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);

impl TenantId {
    /// The name under which the host keeps what belongs to no tenant. No tenant may have it.
    pub const HOST: &str = "host";

    /// [`Self::HOST`].
    #[must_use]
    pub fn host() -> Self {
        Self(Self::HOST.to_owned())
    }
}

name!(
    /// A kind of identifier, such as `name`, `date` or `mrn`: the Safe Harbor kinds, or a plugin's own.
    Kind,
    "kind of identifier",
    "1 to 16 of `a-z`, `0-9` and `-`, starting with a letter",
    |text| {
        text.len() <= 16
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);

name!(
    /// Why data is used: an HL7 v3 PurposeOfUse code, such as `TREAT`, `HPAYMT` or `HRESCH`.
    Purpose,
    "purpose of use",
    "an HL7 v3 PurposeOfUse code: 1 to 16 of `A-Z`",
    |text| (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
);

/// The stable id of one request: a ULID (48 bits of milliseconds, 80 random bits), never derived from PHI.
///
/// Prints as 26 characters of Crockford base32; ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

impl EventId {
    const ALPHABET: [char; 32] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H',
        'J', 'K', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
    ];

    /// The id of something that happened `at`, with 80 bits drawn by the caller from `nephron_keys::random`.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let random = random
            .iter()
            .fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
        Self((u128::from(at.millis() & ((1 << 48) - 1)) << 80) | random)
    }

    /// When it was drawn, in milliseconds since the Unix epoch, modulo 2^48.
    #[must_use]
    pub const fn millis(self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.0.to_be_bytes();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// Whether it was drawn before the millisecond of `at`.
    #[must_use]
    pub fn is_before(self, at: Timestamp) -> bool {
        self.0 >> 80 < u128::from(at.millis() & ((1 << 48) - 1))
    }

    /// The last 64 of the bits that were drawn: by these requests are chosen evenly, whatever else they are.
    #[must_use]
    pub const fn drawn(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0.to_be_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let symbols = (0..26).rev().map(|place| {
            let digit = usize::try_from((self.0 >> (place * 5)) & 31).unwrap_or_default();
            Self::ALPHABET.get(digit).copied().unwrap_or('0')
        });
        f.write_str(&symbols.collect::<String>())
    }
}

impl std::fmt::Debug for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for EventId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            given: text.chars().take(40).collect(),
            what: "event id",
            rule: "26 characters of Crockford base32, as the log prints it",
        };
        let bits = text.chars().try_fold(0u128, |bits, c| {
            let digit = Self::ALPHABET.iter().position(|digit| *digit == c)?;
            Some((bits << 5) | u128::try_from(digit).ok()?)
        });
        match bits {
            // The first of 26 digits carries three bits only.
            Some(bits) if text.len() == 26 && text.starts_with(|c| c <= '7') => Ok(Self(bits)),
            _ => Err(invalid()),
        }
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_name_a_path() {
        for text in ["", "..", "a/b", "A", "0a", "a.b", &"a".repeat(64)] {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
        assert_eq!(
            "st-marys-2".parse::<TenantId>().unwrap().as_str(),
            "st-marys-2"
        );
    }

    #[test]
    fn an_event_id_knows_whether_it_came_before_a_time() {
        let at = |nanoseconds| Timestamp {
            seconds: 1_795_305_802,
            nanoseconds,
        };
        let event = EventId::new(at(5_000_000), [255; 10]);
        assert!(event.is_before(at(6_000_000)));
        assert!(!event.is_before(at(5_999_999)));
        assert!(!event.is_before(at(4_000_000)));
    }

    #[test]
    fn an_event_id_round_trips_and_sorts_by_time() {
        let early = EventId::new(
            Timestamp {
                seconds: 1,
                nanoseconds: 0,
            },
            [255; 10],
        );
        let late = EventId::new(
            Timestamp {
                seconds: 1,
                nanoseconds: 1_000_000,
            },
            [0; 10],
        );
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<EventId>().is_err());
        assert!("O0000000000000000000000000".parse::<EventId>().is_err());
    }
}
