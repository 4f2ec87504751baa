//! What the tests of every API share.

use nephron_engine::contract::Part;
use nephron_model::FixedClock;

use super::fields::UnknownFields;
use super::*;

pub(super) const AT: Timestamp = Timestamp {
    seconds: 1_795_305_802,
    nanoseconds: 0,
};

pub(super) fn id() -> EventId {
    EventId::new(AT, [1; 10])
}

pub(super) fn limits() -> RequestLimits {
    RequestLimits {
        bytes: 1 << 20,
        messages: 100,
        unknown_fields: UnknownFields::Refuse,
    }
}

pub(super) fn asked(api: Api, body: &Value) -> Result<Asked, Malformed> {
    api.read(
        body.to_string().as_bytes(),
        None,
        &limits(),
        &FixedClock::at(0),
    )
}

/// Every string that detectors see.
pub(super) fn searched(asked: &Asked) -> Vec<&str> {
    let messages = &asked.received.call.messages.expose().0;
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::Text(text) | Part::Json(text) => Some(text.as_str()),
            Part::Blob(_) => None,
        })
        .collect()
}

/// `Canary 1` to `Canary <last>` are all searched, and nothing that stays here is.
pub(super) fn check_canaries(asked: &Asked, last: usize) {
    let searched = searched(asked);
    for number in 1..=last {
        let canary = format!("Canary {number}");
        // In the name of a tool it stands in lower case.
        let is_it = |word: &str| {
            let word = word.trim_end_matches(" {");
            word.eq_ignore_ascii_case(&canary)
        };
        assert!(
            searched.iter().any(|text| text.split(": ").any(is_it)),
            "{canary} is not in {searched:?}"
        );
    }
    assert!(!searched.concat().contains("stays here"));
}

/// A body is refused, and the error names `place` and none of the client's text.
pub(super) fn check_refused(api: Api, body: &Value, place: &str) {
    let error = asked(api, body)
        .err()
        .unwrap_or_else(|| panic!("{body} was taken"))
        .to_string();
    assert!(error.contains(place), "{place}: {error}");
    assert!(!error.to_lowercase().contains("quackenbush"), "{error}");
}

/// What a connector is handed: role, texts and own fields of each message.
pub(super) fn handed(asked: &Asked) -> Vec<(String, Vec<String>, Value)> {
    let call = &asked.received.call;
    let filled = call.shape.fill(call.messages.expose()).ok().unwrap();
    let message = |message: nephron_engine::contract::Message| {
        let (mut texts, mut own) = (Vec::new(), Value::Null);
        for part in message.parts {
            match part {
                Part::Text(text) => texts.push(text),
                Part::Json(fields) => own = serde_json::from_str(&fields).unwrap(),
                Part::Blob(_) => panic!("a blob"),
            }
        }
        (message.role, texts, own)
    };
    filled.messages.into_iter().map(message).collect()
}

/// The options that a connector is handed.
pub(super) fn options(asked: &Asked) -> std::collections::BTreeMap<String, Value> {
    let call = &asked.received.call;
    let filled = call.shape.fill(call.messages.expose()).ok().unwrap();
    let option = |option: nephron_engine::contract::Attribute| {
        let nephron_engine::contract::Value::Json(json) = option.value else {
            panic!("an option that is no JSON");
        };
        (option.name, serde_json::from_str(&json).unwrap())
    };
    filled.options.into_iter().map(option).collect()
}

/// The data of each event, with its name.
pub(super) fn events(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (mut name, mut data) = (String::new(), Value::Null);
        for line in event.lines() {
            if let Some(word) = line.strip_prefix("event: ") {
                name = word.to_owned();
            }
            if let Some(json) = line.strip_prefix("data: ") {
                data = serde_json::from_str(json).unwrap_or(Value::Null);
            }
        }
        (name, data)
    };
    text.split("\n\n")
        .filter(|event| !event.is_empty())
        .map(event)
        .collect()
}

/// An answer with text and a call.
pub(super) fn said() -> Said {
    let mut said = Said {
        text: "Look: ".to_owned(),
        stopped: Some("tool_calls".to_owned()),
        input_tokens: Some(5),
        output_tokens: Some(7),
        ..Said::default()
    };
    let call = said.tool_calls.entry(0).or_default();
    call.id = "call_9".to_owned();
    call.name = "find".to_owned();
    call.arguments = r#"{"who":"Ann"}"#.to_owned();
    said
}

/// The same as a stream.
pub(super) fn streamed(manner: &Manner) -> Vec<(String, Value)> {
    let mut stream = manner.stream(id(), AT);
    let mut text = stream.opened().into_inner();
    let pieces = [
        Piece::Text(Channel::Text, Phi::new("Look".to_owned())),
        Piece::Call {
            index: 0,
            id: Some("call_9".to_owned()),
            name: Some("find".to_owned()),
        },
        Piece::Text(Channel::Arguments(0), Phi::new(r#"{"who":"#.to_owned())),
        // What was held back of the text comes after the call has begun.
        Piece::Text(Channel::Text, Phi::new(": ".to_owned())),
        Piece::Text(Channel::Arguments(0), Phi::new(r#""Ann"}"#.to_owned())),
    ];
    for piece in &pieces {
        let (written, is_last) = stream.write(Some(piece));
        assert!(!is_last);
        text += written.expose();
    }
    let (written, is_last) = stream.write(Some(&Piece::Done(said().ending())));
    assert!(is_last);
    events(&(text + written.expose()))
}
