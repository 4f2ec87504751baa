use super::*;
use crate::wire::Asked;
use crate::wire::fields::UnknownFields;
use crate::wire::tests::{asked, check_canaries, check_refused, handed, limits, options, searched};

fn chat(body: &Value) -> Result<Asked, Malformed> {
    asked(Api::Chat, body)
}

/// A request that uses everything that is offered. `Canary` stands wherever a client can write text of its own.
fn everything() -> Value {
    json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "Canary 1" },
            { "role": "user", "name": "Canary 2", "content": [{ "type": "text", "text": "Canary 3" }] },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
                { "id": "mrn:90210557", "type": "function",
                  "function": { "name": "Canary_15", "arguments": "{\"who\":\"Canary 4\",\"Canary 5\":[12345678]}" } },
                { "id": "call_2", "type": "function", "function": { "name": "find", "arguments": "Canary 6 {" } }
            ] },
            { "role": "tool", "tool_call_id": "mrn:90210557", "name": "Canary-16", "content": "Canary 7" },
            { "role": "assistant", "content": [{ "type": "refusal", "refusal": "Canary 8" }] },
        ],
        "stop": ["Canary 9"],
        "tools": [{ "type": "function", "function": { "name": "Canary_17", "description": "Canary 10", "strict": true,
            "parameters": { "type": "object", "properties": { "Canary 11": { "enum": ["Canary 12"] } } } } }],
        "tool_choice": { "type": "function", "function": { "name": "Canary_18" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "Canary_19", "description": "Canary 13",
            "schema": { "title": "Canary 14" } } },
        "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -9223372036854775808_i64, "n": 1,
        "logit_bias": { "50256": -100, "483920": 0.5 },
        "prompt_cache_key": "stays here", "prompt_cache_options": { "mode": "stays here" }, "prompt_cache_retention": "stays here",
        "frequency_penalty": 0, "presence_penalty": 0, "parallel_tool_calls": false, "store": false,
        "reasoning_effort": "low", "stream": true, "stream_options": { "include_usage": true },
        "user": "stays here", "metadata": { "chart": "stays here" },
    })
}

#[test]
fn every_string_of_a_client_is_searched() {
    let asked = chat(&everything()).ok().unwrap();
    check_canaries(&asked, 19);
    let searched = searched(&asked);
    assert!(searched.contains(&"Canary 5: 12345678"), "{searched:?}");
    assert!(asked.manner.is_streamed && asked.manner.wants_usage);
    assert_eq!(asked.received.call.max_tokens, Some(7));
}

#[test]
fn what_stays_here_reaches_no_connector() {
    let asked = chat(&everything()).ok().unwrap();
    let options = options(&asked);
    assert!(!options.contains_key("user") && !options.contains_key("metadata"));
    assert_eq!(options["top_k"], 40);
    assert_eq!(options["seed"], i64::MIN);
    assert_eq!(
        options["logit_bias"],
        json!({ "50256": -100, "483920": 0.5 })
    );
    assert!(options.contains_key("tools") && options.contains_key("response_format"));
    // The endpoint gets ids of ours for those that a client may have made up.
    let messages = handed(&asked);
    let (calls, result) = (&messages[2].2["tool_calls"], &messages[3].2);
    assert_eq!(
        (&calls[0]["id"], &calls[1]["id"]),
        (&json!("call_1"), &json!("call_2"))
    );
    assert_eq!(result["tool_call_id"], "call_1");
}

#[test]
fn what_cannot_be_searched_is_refused_and_named_by_its_place() {
    let message = |content: Value| json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
    let with = |key: &str, value: Value| {
        let mut body = message("x".into());
        body[key] = value;
        body
    };
    for (body, place) in [
        (json!([]), "`the body`"),
        (json!({ "messages": [] }), "`model`"),
        (json!({ "model": "m" }), "`messages`"),
        (
            json!({ "model": "Zebulon Quackenbush", "messages": [] }),
            "`model`",
        ),
        (message(json!(7)), "`messages[0].content`"),
        (
            message(json!([{ "type": "image_url", "image_url": { "url": "x" } }])),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            message(json!([{ "type": "text", "text": "x", "extra": 1 }])),
            "`messages[0].content[0]` has a field",
        ),
        (with("functions", json!([])), "`functions`"),
        (with("seed", json!(0.5)), "`seed`"),
        (with("seed", json!(u64::MAX)), "`seed`"),
        (with("logit_bias", json!([])), "`logit_bias`"),
        (
            with("logit_bias", json!({ "quackenbush": 1 })),
            "`logit_bias`",
        ),
        (with("logit_bias", json!({ "90210557": 1 })), "`logit_bias`"),
        (with("logit_bias", json!({ "1": 101 })), "`logit_bias`"),
        (with("logit_bias", json!({ "1": "1" })), "`logit_bias`"),
        (with("logprobs", json!(true)), "`logprobs`"),
        (with("n", json!(2)), "`n`"),
        (with("quackenbush", json!(1)), "the body has a field"),
        (with("stop", json!([1])), "`stop`"),
        (
            with("tools", json!([{ "type": "web_search" }])),
            "`tools[0].type`",
        ),
        (
            with(
                "tools",
                json!([{ "type": "function", "function": { "name": "Zebulon Quackenbush" } }]),
            ),
            "`tools[0].function.name`",
        ),
        (with("tool_choice", json!("Quackenbush")), "`tool_choice`"),
        (
            with(
                "messages",
                json!([{ "role": "assistant", "tool_calls": [{ "id": "c", "type": "function",
                "function": { "name": "f", "arguments": "{\"who\":\"Qu\\u00e4ckenbush\"," } }] }]),
            ),
            "`messages[0].tool_calls[0].function.arguments`",
        ),
        (with("temperature", json!(3)), "`temperature`"),
    ] {
        check_refused(Api::Chat, &body, place);
    }
}

#[test]
fn unknown_fields_can_be_dropped_instead() {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x", "new": "Canary" }], "new": "Canary" });
    let limits = RequestLimits {
        unknown_fields: UnknownFields::Drop,
        ..limits()
    };
    let clock = nephron_model::FixedClock::at(0);
    let asked = Api::Chat.read(body.to_string().as_bytes(), None, &limits, &clock);
    assert_eq!(searched(&asked.ok().unwrap()), ["x"]);
}
