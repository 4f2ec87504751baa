//! A connector that answers in the sandbox with exactly the last user text that it was given, one scalar an event.
//!
//! Well-behaved: what it answers is what a model would have seen, and every token comes back cut into single scalars.

use nephron_sdk::connector::{
    ChatCall, Connector, Event, NoDecoder, Part, Plan, RequestInfo, Usage,
};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

/// Says it again.
pub struct Echoes;

impl Plugin for Echoes {
    type Settings = NoSettings;
    const NAME: &str = "echoes";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Connector for Echoes {
    type Decoder = NoDecoder;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        let said = call
            .messages
            .iter()
            .rev()
            .find(|message| message.role == "user");
        let text: String = said
            .into_iter()
            .flat_map(|message| &message.parts)
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Json(_) | Part::Blob(_) => None,
            })
            .collect();
        let mut events = vec![Event::Model("echo".to_owned())];
        events.extend(text.chars().map(|scalar| Event::Text(scalar.to_string())));
        events.push(Event::Stopped("stop".to_owned()));
        events.push(Event::Used(Usage {
            input_tokens: None,
            output_tokens: None,
        }));
        Ok(Plan::Answer(events))
    }
}

nephron_sdk::export!(connector: Echoes);
