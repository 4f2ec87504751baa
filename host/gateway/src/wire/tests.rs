//! What the tests of every API share.

use std::collections::BTreeMap;

use nephron_engine::contract::Part;
use nephron_model::FixedClock;

use super::fields::UnknownFields;
use super::*;

pub(super) const AT: Timestamp = Timestamp {
    seconds: 1_795_305_802,
    nanoseconds: 0,
};

pub(crate) fn id() -> EventId {
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
pub(super) fn options(asked: &Asked) -> BTreeMap<String, Value> {
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

/// What a client puts together from a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PutTogether {
    /// The text; in Messages the words of a refusal too, as they came.
    pub(crate) text: String,
    pub(crate) refusal: String,
    /// Name and arguments of each call, by its id.
    pub(crate) calls: BTreeMap<String, (String, String)>,
    /// It was ended as the API ends it.
    pub(crate) is_ended: bool,
}

/// Reads a stream as a client of its API does.
pub(crate) fn put_together(api: Api, text: &str) -> PutTogether {
    let events = events(text);
    match api {
        Api::Chat | Api::Embeddings => from_chunks(&events, text),
        Api::Messages => from_blocks(&events),
        Api::Responses => from_items(&events),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn from_chunks(events: &[(String, Value)], text: &str) -> PutTogether {
    let mut read = PutTogether {
        is_ended: text.ends_with("data: [DONE]\n\n"),
        ..PutTogether::default()
    };
    let mut calls: BTreeMap<u64, [String; 3]> = BTreeMap::new();
    for (_, data) in events {
        let delta = &data["choices"][0]["delta"];
        read.text += word(&delta["content"]);
        read.refusal += word(&delta["refusal"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let [id, name, arguments] = calls.entry(call["index"].as_u64().unwrap()).or_default();
            *id += word(&call["id"]);
            *name += word(&call["function"]["name"]);
            *arguments += word(&call["function"]["arguments"]);
        }
    }
    let calls = calls.into_values();
    read.calls = calls
        .map(|[id, name, arguments]| (id, (name, arguments)))
        .collect();
    read
}

fn from_blocks(events: &[(String, Value)]) -> PutTogether {
    let mut read = PutTogether::default();
    let mut blocks: BTreeMap<u64, Option<(String, String)>> = BTreeMap::new();
    let (mut arguments, mut stopped) = (BTreeMap::new(), 0);
    for (name, data) in events {
        assert_eq!(name, word(&data["type"]));
        let index = || data["index"].as_u64().unwrap();
        match name.as_str() {
            "content_block_start" => {
                let block = &data["content_block"];
                let call = (block["type"] == "tool_use").then(|| {
                    (
                        word(&block["id"]).to_owned(),
                        word(&block["name"]).to_owned(),
                    )
                });
                assert_eq!(index(), blocks.len() as u64, "blocks begin in order");
                assert_eq!(blocks.insert(index(), call), None, "a block begins twice");
            }
            "content_block_delta" => {
                let delta = &data["delta"];
                assert_eq!(stopped, 0, "a block goes on after one has ended");
                match blocks.get(&index()).expect("a block that has begun") {
                    Some(_) => {
                        let written: &mut String = arguments.entry(index()).or_default();
                        *written += word(&delta["partial_json"]);
                    }
                    None => read.text += word(&delta["text"]),
                }
            }
            "content_block_stop" => stopped += 1,
            "message_stop" => read.is_ended = true,
            _ => {}
        }
    }
    assert_eq!(stopped, blocks.len(), "each block ends once");
    for (index, block) in blocks {
        if let Some((id, name)) = block {
            let arguments = arguments.remove(&index).unwrap_or_default();
            read.calls.insert(id, (name, arguments));
        }
    }
    read
}

fn from_items(events: &[(String, Value)]) -> PutTogether {
    let mut read = PutTogether::default();
    let mut calls: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for (sequence, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], sequence);
        let item = word(&data["item_id"]);
        match name.as_str() {
            "response.output_item.added" if data["item"]["type"] == "function_call" => {
                let item = &data["item"];
                let call =
                    [&item["call_id"], &item["name"]].map(|word| word.as_str().unwrap().to_owned());
                let [id, name] = call;
                calls.insert(word(&item["id"]).to_owned(), [id, name, String::new()]);
            }
            "response.function_call_arguments.delta" => {
                let call = calls.get_mut(item).expect("a call that has begun");
                call[2] += word(&data["delta"]);
            }
            "response.output_text.delta" => read.text += word(&data["delta"]),
            "response.refusal.delta" => read.refusal += word(&data["delta"]),
            // The last events repeat the whole.
            "response.function_call_arguments.done" => {
                assert_eq!(word(&data["arguments"]), calls[item][2]);
            }
            "response.output_text.done" => assert_eq!(word(&data["text"]), read.text),
            "response.refusal.done" => assert_eq!(word(&data["refusal"]), read.refusal),
            "response.completed" | "response.incomplete" => read.is_ended = true,
            _ => {}
        }
    }
    let calls = calls.into_values();
    read.calls = calls
        .map(|[id, name, arguments]| (id, (name, arguments)))
        .collect();
    read
}

/// The pieces of an answer, written for an API and read as its clients do.
pub(crate) fn written(api: Api, pieces: &[Piece], end: Said) -> PutTogether {
    let mut stream = Manner::of(api, "m".to_owned()).stream(id(), AT);
    let mut text = stream.opened().into_inner();
    for piece in pieces {
        let (written, is_last) = stream.write(Some(piece));
        assert!(!is_last);
        text += written.expose();
    }
    let (last, is_last) = stream.write(Some(&Piece::Done(end)));
    assert!(is_last);
    put_together(api, &(text + last.expose()))
}

#[test]
fn a_call_whose_name_comes_late_or_never_is_whole() {
    let call = |index, id: Option<&str>, name: Option<&str>| Piece::Call {
        index,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
    };
    let arguments =
        |index, text: &str| Piece::Text(Channel::Arguments(index), Phi::new(text.to_owned()));
    let pieces = [
        call(0, Some("a"), None),
        arguments(0, "{\"who\""),
        call(1, Some("b"), None),
        call(0, None, Some("find")),
        arguments(0, ":1}"),
        arguments(1, "{}"),
    ];
    for api in [Api::Chat, Api::Responses, Api::Messages] {
        let read = written(api, &pieces, Said::default());
        let call = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        let expected = [
            ("a".to_owned(), call("find", "{\"who\":1}")),
            ("b".to_owned(), call("", "{}")),
        ];
        assert_eq!(read.calls, expected.into(), "{api:?}");
        assert!(read.is_ended, "{api:?}");
    }
}
