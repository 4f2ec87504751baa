use super::*;
use crate::wire::tests::{
    asked, check_canaries, check_refused, handed, id, options, said, streamed,
};

/// A request that uses everything that is offered. `Canary` stands wherever a client can write text of its own.
fn everything() -> Value {
    json!({
        "model": "m", "max_tokens": 7,
        "system": [{ "type": "text", "text": "Canary 1", "cache_control": { "type": "ephemeral" } }],
        "messages": [
            { "role": "user", "content": "Canary 2" },
            { "role": "assistant", "content": [
                { "type": "text", "text": "Canary 3", "citations": null },
                { "type": "tool_use", "id": "mrn:90210557", "name": "Canary_14", "input": { "who": "Canary 4", "Canary 5": 7 } },
                { "type": "tool_use", "id": "b", "name": "find", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "mrn:90210557", "content": "Canary 6" },
                { "type": "tool_result", "tool_use_id": "b", "is_error": true,
                  "content": [{ "type": "text", "text": "Canary 7" }] },
                { "type": "text", "text": "Canary 8" },
            ] },
            { "role": "system", "content": [{ "type": "text", "text": "Canary 17" }] },
        ],
        "stop_sequences": ["Canary 9"],
        "tools": [{ "name": "Canary_15", "description": "Canary 10",
            "input_schema": { "type": "object", "properties": { "Canary 11": { "enum": ["Canary 12"] } } } }],
        "tool_choice": { "type": "tool", "name": "Canary_16", "disable_parallel_tool_use": true },
        "output_config": { "effort": "low",
            "format": { "type": "json_schema", "schema": { "title": "Canary 13" } } },
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "stream": true,
        "thinking": { "type": "adaptive", "display": "summarized" },
        "user_profile_id": "stays here", "workspace_id": "stays here",
        "metadata": { "user_id": "stays here" }, "service_tier": "auto",
    })
}

#[test]
fn every_string_of_a_client_is_searched() {
    let asked = asked(Api::Messages, &everything()).ok().unwrap();
    check_canaries(&asked, 17);
    assert!(asked.manner.is_streamed);
    assert_eq!(asked.received.call.max_tokens, Some(7));
    assert!(asked.received.call.wants_json);
}

#[test]
fn a_connector_is_handed_the_same_as_from_a_client_of_openai() {
    let asked = asked(Api::Messages, &everything()).ok().unwrap();
    let messages = handed(&asked);
    let roles: Vec<&str> = messages.iter().map(|(role, ..)| role.as_str()).collect();
    assert_eq!(
        roles,
        [
            "system",
            "user",
            "assistant",
            "tool",
            "tool",
            "user",
            "system"
        ]
    );
    let call = &messages[2].2["tool_calls"][0];
    assert_eq!(call["id"], "call_1");
    assert_eq!(call["function"]["name"], "Canary_14");
    let arguments = call["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments, json!({ "who": "Canary 4", "Canary 5": 7 }));
    assert_eq!(messages[3].2, json!({ "tool_call_id": "call_1" }));
    assert_eq!(
        messages[4].2,
        json!({ "tool_call_id": "call_2", "is_error": true })
    );
    let options = options(&asked);
    assert_eq!(
        options["tools"][0]["function"]["parameters"]["type"],
        "object"
    );
    assert_eq!(options["tool_choice"]["function"]["name"], "Canary_16");
    assert_eq!(options["parallel_tool_calls"], false);
    assert_eq!(options["top_k"], 40);
    assert_eq!(options["reasoning_effort"], "low");
    assert_eq!(options["thinking"], json!({ "type": "adaptive" }));
    assert_eq!(options["response_format"]["type"], "json_schema");
    assert!(!options.contains_key("metadata"));
}

#[test]
fn what_cannot_be_searched_is_refused_and_named_by_its_place() {
    let with = |key: &str, value: Value| {
        let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
        body[key] = value;
        body
    };
    let block = |block: Value| with("messages", json!([{ "role": "user", "content": [block] }]));
    for (body, place) in [
        (with("max_tokens", json!(0)), "`max_tokens`"),
        (with("max_tokens", Value::Null), "`max_tokens`"),
        (
            block(json!({ "type": "image", "source": {} })),
            "`messages[0].content[0].source.type`",
        ),
        (
            block(json!({ "type": "document" })),
            "`messages[0].content[0].source`",
        ),
        (
            block(json!({ "type": "thinking", "thinking": "Quackenbush" })),
            "`messages[0].content[0].type`",
        ),
        (
            block(json!({ "type": "tool_use", "id": "a", "name": "f", "input": {} })),
            "`messages[0].content[0].type`",
        ),
        (
            block(json!({ "type": "text", "text": "x", "quackenbush": 1 })),
            "`messages[0].content[0]` has a field",
        ),
        (
            block(
                json!({ "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "search_result" }] }),
            ),
            "`messages[0].content[0].content[0].type`",
        ),
        (
            with("messages", json!([{ "role": "tool", "content": "x" }])),
            "`messages[0].role`",
        ),
        (
            with(
                "messages",
                json!([{ "role": "system", "content": [{ "type": "tool_result" }] }]),
            ),
            "`messages[0].content[0].type`",
        ),
        (
            with("messages", json!([{ "role": "system" }])),
            "`messages[0].content`",
        ),
        (
            with("messages", json!([{ "role": "user", "content": [] }])),
            "`messages[0].content`",
        ),
        (
            with(
                "thinking",
                json!({ "type": "enabled", "budget_tokens": 1024 }),
            ),
            "`thinking.type`",
        ),
        (
            with(
                "tools",
                json!([{ "type": "web_search_20250305", "name": "web_search" }]),
            ),
            "`tools[0].type`",
        ),
        (
            with(
                "tools",
                json!([{ "name": "Zebulon Quackenbush", "input_schema": {} }]),
            ),
            "`tools[0].name`",
        ),
        (with("mcp_servers", json!([])), "`mcp_servers`"),
        (with("quackenbush", json!(1)), "the body has a field"),
        (with("temperature", json!(1.5)), "`temperature`"),
        (with("stop_sequences", json!("x")), "`stop_sequences`"),
    ] {
        check_refused(Api::Messages, &body, place);
    }
}

#[test]
fn an_answer_is_a_message_of_blocks() {
    let manner = Manner::of(Api::Messages, "m".to_owned());
    let body = reply(id(), &said(), &manner);
    assert_eq!(body["content"][0]["text"], "Look: ");
    assert_eq!(body["content"][1]["input"], json!({ "who": "Ann" }));
    assert_eq!(body["content"][1]["id"], "call_9");
    assert_eq!(body["stop_reason"], "tool_use");
    assert_eq!(
        body["usage"],
        json!({ "input_tokens": 5, "output_tokens": 7 })
    );
    assert_eq!(input("{\"who\":"), json!({ "INVALID_JSON": "{\"who\":" }));
}

#[test]
fn a_stream_is_blocks_whose_deltas_add_up() {
    let events = streamed(&Manner::of(Api::Messages, "m".to_owned()));
    let kinds: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let mut blocks = [String::new(), String::new()];
    for (_, data) in &events {
        let delta = &data["delta"];
        let text = [&delta["text"], &delta["partial_json"]]
            .into_iter()
            .find_map(|text| text.as_str());
        if let (Some(text), Some(index)) = (text, data["index"].as_u64()) {
            blocks[usize::try_from(index).unwrap()] += text;
        }
    }
    assert_eq!(blocks, ["Look: ", r#"{"who":"Ann"}"#]);
    assert_eq!(events[0].1["message"]["stop_reason"], Value::Null);
    assert_eq!(events[9].1["delta"]["stop_reason"], "tool_use");
    assert_eq!(events[9].1["usage"]["output_tokens"], 7);
}
