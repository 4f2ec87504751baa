use nephron_sdk::connector::{
    Attribute, ChatCall, Connector, Decode, Event, HttpRequest, Message, Part, Plan, RequestInfo,
    Value,
};
use nephron_sdk::types::{Caller, Instant, OtherError, Sensitivity};
use nephron_sdk::{Error, Plugin};
use proptest::prelude::*;

use crate::{Anthropic, Decoder, Settings};

fn info() -> RequestInfo {
    RequestInfo {
        id: "01JD8Z2V5S0000000000000000".to_owned(),
        tenant: "st-marys".to_owned(),
        received_at: Instant {
            seconds: 1_795_305_802,
            nanoseconds: 0,
        },
        caller: Caller {
            id: "caller-17".to_owned(),
            roles: vec![],
            attributes: vec![],
        },
        purpose: "TREAT".to_owned(),
        sensitivity: Sensitivity::Phi,
        attributes: vec![],
    }
}

fn message(role: &str, parts: &[Part]) -> Message {
    Message {
        role: role.to_owned(),
        name: None,
        parts: parts.to_vec(),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call() -> ChatCall {
    ChatCall {
        model: "ward-model".to_owned(),
        messages: vec![message("user", &[text("[NAME_7KQ2M] has a fever")])],
        max_tokens: None,
        temperature: None,
        stop: vec![],
        want_stream: false,
        options: vec![],
    }
}

fn option(name: &str, json: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value: Value::Json(json.to_owned()),
    }
}

fn encode(settings: &str, call: ChatCall) -> Result<HttpRequest, Error> {
    let settings = serde_json::from_str::<Settings>(settings).unwrap();
    match Anthropic::configure(settings)
        .unwrap()
        .encode(info(), call)?
    {
        Plan::Call(request) => Ok(request),
        Plan::Answer(_) => panic!("this connector never answers by itself"),
    }
}

fn body(settings: &str, call: ChatCall) -> String {
    String::from_utf8(encode(settings, call).unwrap().body).unwrap()
}

#[test]
fn a_call_becomes_one_post() {
    let streamed = ChatCall {
        want_stream: true,
        ..call()
    };
    for (call, accept) in [
        (call(), "application/json"),
        (streamed, "text/event-stream"),
    ] {
        let request = encode(r#"{"credential":"anthropic"}"#, call).unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/v1/messages")
        );
        assert_eq!(request.credential.as_deref(), Some("anthropic"));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            request.headers,
            [
                header("content-type", "application/json"),
                header("accept", accept),
                header("anthropic-version", "2023-06-01"),
            ]
        );
    }
}

#[test]
fn the_body_has_one_order_and_leaves_tokens_alone() {
    assert_eq!(
        body("{}", call()),
        r#"{"model":"ward-model","max_tokens":4096,"messages":[{"role":"user","content":"[NAME_7KQ2M] has a fever"}]}"#
    );
    let full = ChatCall {
        messages: vec![
            message("system", &[text("Be brief.")]),
            message("developer", &[text("Be kind.")]),
            message("user", &[text("é \"x\" 🫀")]),
            message("assistant", &[text("Let me see."), Part::Json(r#"{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"p\": \"[MRN_00AB9]\", \"n\": 1.50}"}}]}"#.to_owned())]),
            message("tool", &[text("gone"), Part::Json(r#"{"tool_call_id":"call_1","is_error":true}"#.to_owned())]),
            message("system", &[text("Hurry.")]),
        ],
        max_tokens: Some(64),
        temperature: Some(0.5),
        stop: vec!["END".to_owned()],
        want_stream: true,
        options: vec![
            option("tools", r#"[{"type":"function","function":{"name":"f","description":"finds","parameters":{"type":"object", "properties":{"p":{"type":"string"}}},"strict":true}},{"type":"function","function":{"name":"g"}}]"#),
            option("tool_choice", r#"{"type":"function","function":{"name":"f"}}"#),
            option("parallel_tool_calls", "false"),
            option("response_format", r#"{"type":"json_schema","json_schema":{"name":"note","schema":{"type":"object"},"strict":true}}"#),
            option("top_p", "0.90"),
            option("top_k", "40"),
            option("reasoning_effort", "\"low\""),
        ],
        ..call()
    };
    let written = body("{}", full.clone());
    let expected = concat!(
        r#"{"model":"ward-model","max_tokens":64,"#,
        r#""system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind."}],"#,
        r#""messages":[{"role":"user","content":"é \"x\" 🫀"},"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"Let me see."},{"type":"tool_use","id":"call_1","name":"f","input":{"p": "[MRN_00AB9]", "n": 1.50}}]},"#,
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"gone","is_error":true},{"type":"text","text":"Hurry."}]}],"#,
        r#""temperature":0.5,"top_p":0.90,"top_k":40,"stop_sequences":["END"],"#,
        r#""tools":[{"name":"f","description":"finds","input_schema":{"type":"object", "properties":{"p":{"type":"string"}}},"strict":true},{"name":"g","input_schema":{"type":"object","properties":{}}}],"#,
        r#""tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"#,
        r#""output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}},"stream":true}"#,
    );
    assert_eq!(written, expected);
    let newest = body(
        r#"{"sampling":"drop","model":"fixed","max-tokens":9}"#,
        full,
    );
    assert!(newest.starts_with(r#"{"model":"fixed","max_tokens":64,"#));
    assert!(
        ["temperature", "top_p", "top_k"]
            .iter()
            .all(|name| !newest.contains(name))
    );
}

#[test]
fn how_hard_to_think_is_said_in_this_apis_words() {
    for (options, expected) in [
        (
            vec![option("reasoning_effort", "\"max\"")],
            r#","output_config":{"effort":"max"}}"#,
        ),
        (
            vec![option("reasoning_effort", "\"minimal\"")],
            r#","output_config":{"effort":"low"}}"#,
        ),
        (
            vec![option("reasoning_effort", "\"none\"")],
            r#","thinking":{"type":"disabled"}}"#,
        ),
        (
            vec![option("thinking", r#"{"type":"disabled"}"#)],
            r#","thinking":{"type":"disabled"}}"#,
        ),
        (
            vec![
                option("thinking", r#"{"type":"adaptive"}"#),
                option("reasoning_effort", "\"none\""),
            ],
            r#","thinking":{"type":"adaptive"}}"#,
        ),
    ] {
        let asked = ChatCall { options, ..call() };
        let written = body("{}", asked.clone());
        assert!(written.ends_with(expected), "{written}");
        let silent = body(r#"{"thinking":"drop"}"#, asked);
        assert!(silent.ends_with("]}"), "{silent}");
    }
    for (name, value) in [
        ("reasoning_effort", "\"secret\""),
        ("thinking", r#"{"type":"enabled","budget_tokens":1024}"#),
        ("thinking", "7"),
    ] {
        let asked = ChatCall {
            options: vec![option(name, value)],
            ..call()
        };
        let Err(Error::Unsupported(why)) = encode("{}", asked.clone()) else {
            panic!("{name} {value} was taken");
        };
        assert_eq!(why, format!("option `{name}` is not passed on"));
        let dropped = body(r#"{"unsupported-options":"drop"}"#, asked);
        assert!(dropped.ends_with("]}"), "{dropped}");
    }
}

#[test]
fn every_choice_of_tools_has_its_word() {
    for (choice, one_by_one, expected) in [
        (None, false, None),
        (
            None,
            true,
            Some(r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        ),
        (Some("\"auto\""), false, Some(r#"{"type":"auto"}"#)),
        (Some("\"none\""), true, Some(r#"{"type":"none"}"#)),
        (Some("\"required\""), false, Some(r#"{"type":"any"}"#)),
        (
            Some("\"required\""),
            true,
            Some(r#"{"type":"any","disable_parallel_tool_use":true}"#),
        ),
    ] {
        let mut options = vec![
            option("tools", r#"[{"type":"function","function":{"name":"f"}}]"#),
            option("parallel_tool_calls", &(!one_by_one).to_string()),
        ];
        options.extend(choice.map(|choice| option("tool_choice", choice)));
        let written = body("{}", ChatCall { options, ..call() });
        let found = written.split_once(r#""tool_choice":"#);
        let found = found.map(|(_, rest)| rest.strip_suffix('}').unwrap());
        assert_eq!(found, expected, "{choice:?}");
    }
    let untold = ChatCall {
        options: vec![option("tool_choice", "\"auto\"")],
        ..call()
    };
    assert!(!body("{}", untold).contains("tool_choice"));
}

#[test]
fn an_option_without_a_word_is_refused_by_name_unless_the_operator_drops_it() {
    let seeded = ChatCall {
        options: vec![option("seed", "7")],
        ..call()
    };
    let Err(Error::Unsupported(why)) = encode("{}", seeded.clone()) else {
        panic!("not refused")
    };
    assert!(why.contains("`seed`"), "{why}");
    assert!(!body(r#"{"unsupported-options":"drop"}"#, seeded).contains("seed"));
}

#[test]
fn every_fault_of_the_settings_is_told_at_once() {
    let settings = r#"{"path":"v1","model":" ","credential":"sk/1","max-tokens":0}"#;
    let problems = Anthropic::configure(serde_json::from_str(settings).unwrap()).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|p| p.key.clone().unwrap()).collect();
    assert_eq!(keys, ["path", "model", "credential", "max-tokens"]);
    for unknown in [r#"{"paht":"/"}"#, r#"{"unsupported-options":"ignore"}"#] {
        assert!(serde_json::from_str::<Settings>(unknown).is_err());
    }
}

const SSE: &str = "text/event-stream; charset=utf-8";

fn decode_pieces<'a>(
    status: u16,
    content_type: &str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event>, Error> {
    let header = ("content-type".to_owned(), content_type.to_owned());
    let mut decoder = Decoder::new(status, vec![header]);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(decoder.push(piece)?);
    }
    events.extend(decoder.finish()?);
    Ok(events)
}

/// One line for each event.
fn told(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Text(text) => format!("text {text}"),
            Event::ToolCall(call) => format!(
                "call {} {} {} {}",
                call.index,
                call.id.as_deref().unwrap_or("-"),
                call.name.as_deref().unwrap_or("-"),
                call.arguments
            ),
            Event::Stopped(reason) => format!("stopped {reason}"),
            Event::Used(usage) => {
                format!("used {:?} {:?}", usage.input_tokens, usage.output_tokens)
            }
            Event::Model(model) => format!("model {model}"),
            Event::Other(attribute) => format!("other {}", attribute.name),
        })
        .collect()
}

fn decode(content_type: &str, body: &str) -> Vec<String> {
    told(&decode_pieces(200, content_type, [body.as_bytes()]).unwrap())
}

fn failure(status: u16, content_type: &str, body: &str) -> (String, bool) {
    let error = decode_pieces(status, content_type, [body.as_bytes()]).unwrap_err();
    let Error::Other(OtherError {
        code,
        detail,
        retryable,
    }) = error
    else {
        panic!("{error:?}")
    };
    assert!(!format!("{code} {detail:?}").contains("secret"));
    (
        code.trim_start_matches("dev.nephron.upstream.").to_owned(),
        retryable,
    )
}

fn event(json: &str) -> String {
    let object: serde_json::Value = serde_json::from_str(json).unwrap();
    format!(
        "event: {}\ndata: {json}\n\n",
        object["type"].as_str().unwrap()
    )
}

fn stream() -> String {
    [
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"[NAME_7K"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Q2M] café 🫀"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"mrn\": "}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"7}"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"g","input":{}}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ]
    .map(event)
    .concat()
}

const STREAM_EVENTS: [&str; 9] = [
    "model claude-x",
    "text [NAME_7K",
    "text Q2M] café 🫀",
    "call 0 toolu_1 f ",
    "call 0 - - {\"mrn\": ",
    "call 0 - - 7}",
    "call 1 toolu_2 g ",
    "call 1 - - {}",
    "stopped tool_calls",
];

#[test]
fn a_stream_becomes_events() {
    let expected: Vec<_> = STREAM_EVENTS
        .into_iter()
        .chain(["used Some(15) Some(15)"])
        .collect();
    assert_eq!(decode(SSE, &stream()), expected);
    assert_eq!(decode("application/octet-stream", &stream()), expected);
    let more = stream() + &event(r#"{"type":"error","error":{"type":"api_error"}}"#);
    assert_eq!(decode(SSE, &more), expected, "nothing after the end counts");
}

#[test]
fn a_whole_message_becomes_the_same_kind_of_events() {
    let whole = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"Rest."},{"type":"tool_use","id":"toolu_1","name":"f","input":{"z": 1.50, "a": []}},{"type":"tool_use","id":"toolu_2","name":"g","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1,"service_tier":"standard"}}"#;
    for content_type in ["application/json", "text/plain"] {
        assert_eq!(
            decode(content_type, whole),
            [
                "model claude-x",
                "text Rest.",
                "call 0 toolu_1 f {\"z\": 1.50, \"a\": []}",
                "call 1 toolu_2 g ",
                "call 1 - - {}",
                "stopped tool_calls",
                "used Some(3) Some(1)"
            ]
        );
    }
}

#[test]
fn reasons_are_told_in_openais_words() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "something_new"),
    ] {
        let whole = format!(r#"{{"type":"message","content":[],"stop_reason":"{reason}"}}"#);
        assert_eq!(
            decode("application/json", &whole),
            [format!("stopped {expected}")]
        );
    }
}

#[test]
fn every_failure_is_named_without_a_word_of_the_server() {
    const JSON: &str = "application/json";
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"secret"},"request_id":"req_1"}"#;
    let start = event(r#"{"type":"message_start","message":{"model":"m"}}"#);
    let after = |json: &str| start.clone() + &event(json);
    let text =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#;
    for (status, content_type, body, code, retryable) in [
        (400, JSON, error.to_owned(), "status", false),
        (401, JSON, error.to_owned(), "status", false),
        (429, JSON, error.to_owned(), "status", true),
        (529, JSON, error.to_owned(), "status", true),
        (200, JSON, error.to_owned(), "reported", true),
        (200, SSE, after(error), "reported", true),
        (
            200,
            SSE,
            after(r#"{"type":"error","error":{"type":"invalid_request_error"}}"#),
            "reported",
            false,
        ),
        (
            200,
            SSE,
            start.clone() + "event: error\ndata: secret\n\n",
            "reported",
            false,
        ),
        (
            200,
            SSE,
            start.clone() + "data: secret\n\n",
            "malformed",
            false,
        ),
        (
            200,
            SSE,
            after(
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
            ),
            "malformed",
            false,
        ),
        (200, SSE, after(text) + &event(text), "malformed", false),
        (
            200,
            SSE,
            after(r#"{"type":"message_stop"}"#),
            "malformed",
            false,
        ),
        (200, SSE, after(text), "ended-early", true),
        (200, SSE, String::new(), "ended-early", true),
        (200, JSON, String::new(), "ended-early", true),
        (
            200,
            JSON,
            r#"{"type":"message","content":[]}"#.to_owned(),
            "malformed",
            false,
        ),
        (
            200,
            JSON,
            r#"{"object":"chat.completion","secret":1}"#.to_owned(),
            "malformed",
            false,
        ),
        (
            200,
            JSON,
            r#"{"type":"message","content":[{"type":"text","te"#.to_owned(),
            "malformed",
            false,
        ),
    ] {
        assert_eq!(
            failure(status, content_type, &body),
            (code.to_owned(), retryable),
            "{status} {body}"
        );
    }
}

proptest! {
    #[test]
    fn events_do_not_depend_on_where_the_bytes_are_cut(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let stream = stream();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        let events = decode_pieces(200, SSE, pieces).unwrap();
        prop_assert_eq!(&told(&events)[..9], &STREAM_EVENTS);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), is_declared in any::<bool>()) {
        drop(decode_pieces(200, if is_declared { SSE } else { "x" }, [bytes.as_slice()]));
    }
}
