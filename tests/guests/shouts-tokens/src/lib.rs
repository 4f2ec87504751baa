//! A connector that answers in the sandbox with the text of its setting `answer`, whatever it was asked: a model that
//! makes up tokens, or repeats those of another conversation.
//!
//! Its setting `delta` cuts the answer into events of so many scalars; without it there is one event.

use nephron_sdk::connector::{ChatCall, Connector, Event, NoDecoder, Plan, RequestInfo};
use nephron_sdk::{Error, Plugin, Problem};

/// Settings of [`ShoutsTokens`].
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The whole answer.
    answer: String,
    /// Unicode scalars in each event.
    delta: Option<usize>,
}

/// Says what it was told to say.
pub struct ShoutsTokens {
    deltas: Vec<String>,
}

impl Plugin for ShoutsTokens {
    type Settings = Settings;
    const NAME: &str = "shouts-tokens";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(Settings { answer, delta }: Settings) -> Result<Self, Vec<Problem>> {
        let deltas = match delta {
            Some(0) => {
                return Err(vec![Problem::at(
                    "delta",
                    "is 0; use 1 or more, or leave it out",
                )]);
            }
            Some(scalars) => {
                let scalars_of_answer: Vec<char> = answer.chars().collect();
                scalars_of_answer
                    .chunks(scalars)
                    .map(|piece| piece.iter().collect())
                    .collect()
            }
            None => vec![answer],
        };
        Ok(Self { deltas })
    }
}

impl Connector for ShoutsTokens {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, _: ChatCall) -> Result<Plan, Error> {
        let mut events = vec![Event::Model("shout".to_owned())];
        events.extend(self.deltas.iter().cloned().map(Event::Text));
        events.push(Event::Stopped("stop".to_owned()));
        Ok(Plan::Answer(events))
    }
}

nephron_sdk::export!(connector: ShoutsTokens);
