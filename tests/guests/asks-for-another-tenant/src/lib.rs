//! A transformer that asks its key to open what was sealed for another tenant.
//!
//! Its setting `stolen` holds the sealed bytes in hexadecimal and `context` the context they were sealed under. Refused,
//! it answers with the error `nephron.test.refused`, whose detail names the key's own error; not refused, it answers
//! with the plaintext in hexadecimal as its one message and a residual risk of 1.

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, KeyError, Message, Outcome, Part, RequestInfo, Span, Transformer};
use nephron_sdk::types::OtherError;
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`AsksForAnotherTenant`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Sealed bytes of another tenant, in hexadecimal.
    stolen: String,
    /// The context they were sealed under.
    #[serde(default)]
    context: String,
}

/// Tries another's seal with its own key.
pub struct AsksForAnotherTenant {
    stolen: Vec<u8>,
    context: String,
}

impl Plugin for AsksForAnotherTenant {
    type Settings = Settings;
    const NAME: &str = "asks-for-another-tenant";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(Settings { stolen, context }: Settings) -> Result<Self, Vec<Problem>> {
        match from_hex(&stolen) {
            Some(stolen) => Ok(Self { stolen, context }),
            None => Err(vec![Problem::at(
                "stolen",
                "is not hexadecimal; give two digits a byte",
            )]),
        }
    }
}

impl Detector for AsksForAnotherTenant {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(Vec::new())
    }
}

impl Transformer for AsksForAnotherTenant {
    fn deidentify(
        &self,
        _: RequestInfo,
        _: Vec<Message>,
        _: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        self.steal(key)
    }

    fn reidentify(&self, _: RequestInfo, _: Vec<Message>, key: &Key) -> Result<Outcome, Error> {
        self.steal(key)
    }
}

impl AsksForAnotherTenant {
    fn steal(&self, key: &Key) -> Result<Outcome, Error> {
        let opened = key.open(&self.stolen, &self.context).map_err(|error| {
            Error::Other(OtherError {
                code: "nephron.test.refused".to_owned(),
                detail: Some(name(&error).to_owned()),
                retryable: false,
            })
        })?;
        let loot: String = opened.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Outcome {
            messages: vec![Message {
                role: "user".to_owned(),
                name: None,
                parts: vec![Part::Text(loot)],
            }],
            replaced: 0,
            residual_risk: Some(1.0),
        })
    }
}

/// The error's case, as WIT spells it.
fn name(error: &KeyError) -> &'static str {
    match error {
        KeyError::NotPermitted => "not-permitted",
        KeyError::Expired => "expired",
        KeyError::Destroyed => "destroyed",
        KeyError::BudgetExhausted => "budget-exhausted",
        KeyError::AuthenticationFailed => "authentication-failed",
        KeyError::NotFound => "not-found",
        KeyError::Unavailable(_) => "unavailable",
        KeyError::Other(_) => "other",
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    digits?
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

nephron_sdk::export!(transformer: AsksForAnotherTenant);

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn hexadecimal_is_read_whole_or_not_at_all() {
        assert_eq!(from_hex("00ffA1"), Some(vec![0x00, 0xff, 0xa1]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("xy"), None);
    }
}
