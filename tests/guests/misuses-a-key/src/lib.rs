//! A transformer that asks its lent key for what it may not have, in the way that its setting `way` says.
//!
//! Refused, it answers with the error `nephron.test.refused`; where the key knows no such token, with a residual risk of a
//! half. Where it learned what it must not, the risk is 1, and else 0.

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, KeyError, Message, Outcome, RequestInfo, Span, Transformer};
use nephron_sdk::types::OtherError;
use nephron_sdk::{Error, Plugin, Problem};

/// What it asks for.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A sum, whatever it was lent the key for.
    Sums,
    /// Sums without end.
    SumsWithoutEnd,
    /// To open under another context than it sealed under.
    AnotherContext,
    /// To open what it has changed by one bit.
    AlteredBytes,
    /// The value of a token that it made up.
    MadeUpToken,
    /// The value of a token, as another kind than it was made as.
    AnotherKind,
    /// Whether two sealed texts are the same, from the sealed bytes.
    Equality,
}

/// Settings of [`MisusesAKey`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    way: Way,
}

/// Asks for more.
pub struct MisusesAKey(Way);

impl Plugin for MisusesAKey {
    type Settings = Settings;
    const NAME: &str = "misuses-a-key";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        Ok(Self(settings.way))
    }
}

impl Detector for MisusesAKey {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(Vec::new())
    }
}

impl Transformer for MisusesAKey {
    fn deidentify(
        &self,
        _: RequestInfo,
        messages: Vec<Message>,
        _: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        let risk = match ask(self.0, key) {
            Ok(true) => 1.0,
            Ok(false) => 0.0,
            Err(KeyError::NotFound) => 0.5,
            Err(_) => {
                return Err(Error::Other(OtherError {
                    code: "nephron.test.refused".to_owned(),
                    detail: None,
                    retryable: false,
                }));
            }
        };
        Ok(Outcome {
            messages,
            replaced: 0,
            residual_risk: Some(risk),
        })
    }

    fn reidentify(
        &self,
        _: RequestInfo,
        messages: Vec<Message>,
        _: &Key,
    ) -> Result<Outcome, Error> {
        Ok(Outcome {
            messages,
            replaced: 0,
            residual_risk: None,
        })
    }
}

/// Whether it learned what it must not.
fn ask(way: Way, key: &Key) -> Result<bool, KeyError> {
    match way {
        Way::Sums => key.mac(b"7").map(|_| true),
        Way::SumsWithoutEnd => loop {
            key.mac(b"7")?;
        },
        Way::AnotherContext => {
            let sealed = key.seal(b"7", "one note")?;
            key.open(&sealed, "another note").map(|_| true)
        }
        Way::AlteredBytes => {
            let mut sealed = key.seal(b"7", "one note")?;
            if let Some(last) = sealed.last_mut() {
                *last ^= 1;
            }
            key.open(&sealed, "one note").map(|_| true)
        }
        Way::MadeUpToken => key
            .detokenize(&["[NAME_ZZZZZ]".to_owned()], "name")
            .map(|_| true),
        Way::AnotherKind => {
            let tokens = key.tokenize(&["Zebulon".to_owned()], "name")?;
            let own = key
                .detokenize(&tokens, "name")
                .map_err(|_| KeyError::Expired)?;
            if own != ["Zebulon"] {
                return Err(KeyError::Expired);
            }
            key.detokenize(&tokens, "mrn").map(|_| true)
        }
        Way::Equality => {
            let (one, another) = (key.seal(b"7", "one note")?, key.seal(b"7", "one note")?);
            Ok(one == another)
        }
    }
}

nephron_sdk::export!(transformer: MisusesAKey);
