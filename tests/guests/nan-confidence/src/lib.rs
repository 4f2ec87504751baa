//! A detector whose confidence is not a number, or is what its setting `confidence` says (`nan`, `infinite`,
//! `negative`, `above-one`): none of them is between 0 and 1.

use nephron_sdk::detector::{Detector, Message, RequestInfo, Span};
use nephron_sdk::{Error, Plugin, Problem};

/// A confidence that means nothing.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Not a number.
    #[default]
    Nan,
    /// Positive infinity.
    Infinite,
    /// Minus one half.
    Negative,
    /// One and a half.
    AboveOne,
}

/// Settings of [`NanConfidence`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    #[serde(default)]
    confidence: Confidence,
}

/// Is sure beyond measure.
pub struct NanConfidence {
    confidence: f32,
}

impl Plugin for NanConfidence {
    type Settings = Settings;
    const NAME: &str = "nan-confidence";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let confidence = match settings.confidence {
            Confidence::Nan => f32::NAN,
            Confidence::Infinite => f32::INFINITY,
            Confidence::Negative => -0.5,
            Confidence::AboveOne => 1.5,
        };
        Ok(Self { confidence })
    }
}

impl Detector for NanConfidence {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(vec![Span {
            message: 0,
            part: 0,
            start: 0,
            end: 1,
            kind: "name".to_owned(),
            confidence: self.confidence,
            rule: None,
        }])
    }
}

nephron_sdk::export!(detector: NanConfidence);
