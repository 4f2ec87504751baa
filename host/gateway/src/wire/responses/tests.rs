use super::*;
use crate::wire::tests::{
    AT, asked, check_canaries, check_refused, handed, id, options, said, streamed,
};

/// A request that uses everything that is offered. `Canary` stands wherever a client can write text of its own.
fn everything() -> Value {
    json!({
        "model": "m", "max_output_tokens": 7, "instructions": "Canary 1",
        "input": [
            { "role": "user", "content": "Canary 2" },
            { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "Canary 3" }] },
            { "type": "message", "id": "stays here", "status": "completed", "role": "assistant",
              "content": [{ "type": "output_text", "text": "Canary 4", "annotations": [], "logprobs": [] }] },
            { "type": "function_call", "id": "stays here", "call_id": "mrn:90210557", "name": "Canary_12",
              "arguments": "{\"who\":\"Canary 5\"}", "status": "completed" },
            { "type": "function_call", "call_id": "b", "name": "find", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "mrn:90210557", "name": "Canary_16", "output": "Canary 6" },
            { "type": "function_call_output", "call_id": "b", "output": [{ "type": "input_text", "text": "Canary 7" }] },
        ],
        "tools": [{ "type": "function", "name": "Canary_13", "description": "Canary 8", "strict": true,
            "parameters": { "type": "object", "properties": { "Canary 9": { "enum": ["Canary 10"] } } } }],
        "tool_choice": { "type": "function", "name": "Canary_14" }, "parallel_tool_calls": false,
        "text": { "verbosity": "low", "format": { "type": "json_schema", "name": "Canary_15", "schema": { "title": "Canary 11" } } },
        "reasoning": { "effort": "high", "summary": "auto", "generate_summary": null, "context": "all_turns", "mode": "standard" },
        "temperature": 0.5, "top_p": 0.9, "store": false, "include": ["reasoning.encrypted_content"], "max_tool_calls": 3,
        "prompt_cache_options": { "ttl": "stays here" }, "prompt_cache_retention": "stays here",
        "truncation": "auto", "stream": true, "user": "stays here", "metadata": { "chart": "stays here" },
    })
}

#[test]
fn every_string_of_a_client_is_searched() {
    let asked = asked(Api::Responses, &everything()).ok().unwrap();
    check_canaries(&asked, 16);
    assert!(asked.manner.is_streamed && asked.received.call.wants_json);
    assert_eq!(asked.received.call.max_tokens, Some(7));
}

#[test]
fn a_connector_is_handed_the_same_as_from_a_client_of_chat() {
    let asked = asked(Api::Responses, &everything()).ok().unwrap();
    let messages = handed(&asked);
    let roles: Vec<&str> = messages.iter().map(|(role, ..)| role.as_str()).collect();
    assert_eq!(
        roles,
        [
            "system",
            "user",
            "user",
            "assistant",
            "assistant",
            "tool",
            "tool"
        ]
    );
    let calls = &messages[4].2["tool_calls"];
    assert_eq!(
        (&calls[0]["id"], &calls[1]["id"]),
        (&json!("call_1"), &json!("call_2"))
    );
    assert_eq!(messages[6].2, json!({ "tool_call_id": "call_2" }));
    let options = options(&asked);
    assert_eq!(options["tools"][0]["function"]["strict"], true);
    assert_eq!(options["tool_choice"]["function"]["name"], "Canary_14");
    assert_eq!(
        options["response_format"]["json_schema"]["name"],
        "Canary_15"
    );
    assert_eq!(options["reasoning_effort"], "high");
    assert_eq!(options["verbosity"], "low");
    for here in ["include", "truncation", "max_tool_calls", "reasoning"] {
        assert!(!options.contains_key(here), "{here}");
    }
    assert!(!options.contains_key("metadata") && !options.contains_key("user"));
}

#[test]
fn what_cannot_be_searched_or_is_not_kept_is_refused_and_named_by_its_place() {
    let with = |key: &str, value: Value| {
        let mut body = json!({ "model": "m", "input": "x" });
        body[key] = value;
        body
    };
    let item = |item: Value| with("input", json!([item]));
    for (body, place) in [
        (with("input", json!([])), "`input`"),
        (
            item(json!({ "type": "item_reference", "id": "Quackenbush" })),
            "`input[0].type`",
        ),
        (
            item(json!({ "type": "reasoning", "summary": [] })),
            "`input[0].type`",
        ),
        (
            item(
                json!({ "role": "user", "content": [{ "type": "input_image", "image_url": "x" }] }),
            ),
            "`input[0].content[0].image_url`",
        ),
        (
            item(json!({ "role": "Quackenbush", "content": "x" })),
            "`input[0].role`",
        ),
        (
            with("previous_response_id", json!("resp_1")),
            "`previous_response_id`",
        ),
        (with("store", json!(true)), "`store`"),
        (with("background", json!(true)), "`background`"),
        (
            with("include", json!(["message.output_text.logprobs"])),
            "`include`",
        ),
        (with("include", json!([1])), "`include`"),
        (with("truncation", json!("Quackenbush")), "`truncation`"),
        (
            with("reasoning", json!({ "mode": "pro" })),
            "`reasoning.mode`",
        ),
        (
            with("reasoning", json!({ "summary": "Quackenbush" })),
            "`reasoning.summary`",
        ),
        (
            item(
                json!({ "type": "function_call_output", "call_id": "a", "output": "x", "namespace": "quackenbush" }),
            ),
            "`input[0].namespace`",
        ),
        (
            with("tools", json!([{ "type": "web_search" }])),
            "`tools[0].type`",
        ),
        (with("tool_choice", json!("Quackenbush")), "`tool_choice`"),
        (with("quackenbush", json!(1)), "the body has a field"),
    ] {
        check_refused(Api::Responses, &body, place);
    }
}

#[test]
fn an_answer_is_a_response_of_items() {
    let manner = Manner::of(Api::Responses, "m".to_owned());
    let body = reply(id(), &said(), &manner, AT);
    assert_eq!(body["status"], "completed");
    assert_eq!(body["output"][0]["content"][0]["text"], "Look: ");
    assert_eq!(body["output"][1]["call_id"], "call_9");
    assert_eq!(body["output"][1]["arguments"], r#"{"who":"Ann"}"#);
    assert_eq!(body["usage"]["total_tokens"], 12);
    let short = Said {
        stopped: Some("length".to_owned()),
        ..Said::default()
    };
    let body = reply(id(), &short, &manner, AT);
    assert_eq!(body["status"], "incomplete");
    assert_eq!(body["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(body["output"][0]["content"][0]["text"], "");
}

#[test]
fn a_stream_counts_its_events_and_ends_with_the_whole() {
    let manner = Manner::of(Api::Responses, "m".to_owned());
    let events = streamed(&manner);
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], json!(number));
        assert_eq!(data["type"], json!(name));
    }
    let of = |kind: &str| -> Vec<&Value> {
        events
            .iter()
            .filter(|(name, _)| name == kind)
            .map(|(_, data)| data)
            .collect()
    };
    let delta = |kind: &str| -> String {
        of(kind)
            .iter()
            .filter_map(|data| data["delta"].as_str())
            .collect()
    };
    assert_eq!(delta("response.output_text.delta"), "Look: ");
    assert_eq!(
        delta("response.function_call_arguments.delta"),
        r#"{"who":"Ann"}"#
    );
    assert_eq!(of("response.output_text.done")[0]["text"], "Look: ");
    let last = &of("response.completed")[0]["response"];
    let mut whole = reply(id(), &said(), &manner, AT);
    // Items are numbered as they began, which here is as they stand.
    assert_eq!(
        last.as_object().unwrap().len(),
        whole.as_object().unwrap().len()
    );
    assert_eq!(last["output"], whole["output"].take());
}
