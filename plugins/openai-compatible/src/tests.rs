use nephron_sdk::answer::MAX_BYTES;
use nephron_sdk::connector::{
    Attribute, ChatCall, Connector, Decode, Event, HttpRequest, Message, Part, Plan, RequestInfo,
    Value,
};
use nephron_sdk::types::{BlobRef, Caller, Instant, OtherError, Sensitivity};
use nephron_sdk::{Error, Plugin};
use proptest::prelude::*;

use crate::{Decoder, OpenAiCompatible, Settings};

fn configured(settings: &str) -> OpenAiCompatible {
    OpenAiCompatible::configure(serde_json::from_str::<Settings>(settings).unwrap()).unwrap()
}

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
    match configured(settings).encode(info(), call)? {
        Plan::Call(request) => Ok(request),
        Plan::Answer(_) => panic!("this connector never answers by itself"),
    }
}

fn body(settings: &str, call: ChatCall) -> String {
    String::from_utf8(encode(settings, call).unwrap().body).unwrap()
}

fn refusal(call: ChatCall) -> String {
    let error = encode("{}", call).unwrap_err();
    let (Error::Unsupported(why) | Error::InvalidInput(why)) = error else {
        panic!("{error:?}")
    };
    why
}

#[test]
fn a_call_becomes_one_post() {
    let request = encode(
        r#"{"path":"/openai/v1/chat/completions?api-version=2026-01-01","credential":"azure"}"#,
        call(),
    );
    let request = request.unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.path,
        "/openai/v1/chat/completions?api-version=2026-01-01"
    );
    assert_eq!(request.credential.as_deref(), Some("azure"));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let json = header("content-type", "application/json");
    assert_eq!(
        request.headers,
        [json.clone(), header("accept", "application/json")]
    );
    let streamed = encode(
        "{}",
        ChatCall {
            want_stream: true,
            ..call()
        },
    )
    .unwrap();
    assert_eq!(
        streamed.headers,
        [json, header("accept", "text/event-stream")]
    );
    assert_eq!(
        (streamed.path.as_str(), streamed.credential),
        ("/v1/chat/completions", None)
    );
}

#[test]
fn the_body_has_one_order_and_leaves_tokens_alone() {
    assert_eq!(
        body("{}", call()),
        r#"{"model":"ward-model","messages":[{"role":"user","content":"[NAME_7KQ2M] has a fever"}]}"#
    );
    let full = ChatCall {
        messages: vec![
            message("system", &[text("Be brief."), text("Be kind.")]),
            Message { name: Some("ward".to_owned()), ..message("user", &[text("é \"x\" 🫀")]) },
            message("assistant", &[Part::Json(r#"{"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"p\":\"[MRN_00AB9]\"}"}}]}"#.to_owned())]),
            message("tool", &[text("120/80"), Part::Json(r#"{"tool_call_id":"c1","is_error":true}"#.to_owned())]),
            message("user", &[]),
        ],
        max_tokens: Some(64),
        temperature: Some(0.5),
        stop: vec!["\n\n".to_owned()],
        want_stream: true,
        options: vec![
            option("tools", r#"[{"type": "function"}]"#),
            option("seed", "9007199254740993"),
            option("n", "1"),
            Attribute { name: "parallel_tool_calls".to_owned(), value: Value::Boolean(false) },
            Attribute { name: "tool_choice".to_owned(), value: Value::Text("auto".to_owned()) },
            Attribute { name: "top_k".to_owned(), value: Value::Number(40) },
            option("top_p", "0.90"),
        ],
        ..call()
    };
    let messages = r#"[{"role":"system","content":[{"text":"Be brief.","type":"text"},{"text":"Be kind.","type":"text"}]},{"role":"user","name":"ward","content":"é \"x\" 🫀"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"p\":\"[MRN_00AB9]\"}"}}]},{"role":"tool","content":"120/80","tool_call_id":"c1"},{"role":"user","content":""}]"#;
    let rest = r#""stream":true,"stream_options":{"include_usage":true},"parallel_tool_calls":false,"seed":9007199254740993,"tool_choice":"auto","tools":[{"type": "function"}],"top_p":0.90"#;
    for (settings, field) in [
        ("{}", "max_tokens"),
        (
            r#"{"max-tokens-field":"max_completion_tokens"}"#,
            "max_completion_tokens",
        ),
    ] {
        let written = body(settings, full.clone());
        let expected = format!(
            r#"{{"model":"ward-model","messages":{messages},"{field}":64,"temperature":0.5,"stop":["\n\n"],{rest}}}"#
        );
        assert_eq!(written, expected);
        serde_json::from_str::<serde_json::Value>(&written).unwrap();
    }
    let rest_with_top_k = rest.replace(r#","top_p""#, r#","top_k":40,"top_p""#);
    assert!(body(r#"{"top-k":true}"#, full).ends_with(&format!("{rest_with_top_k}}}")));
    assert!(body(r#"{"model":"fixed"}"#, call()).starts_with(r#"{"model":"fixed","#));
}

#[test]
fn what_cannot_be_said_is_refused_and_not_repeated() {
    let with = |parts: &[Part]| ChatCall {
        messages: vec![message("user", parts)],
        ..call()
    };
    let options = |options: Vec<Attribute>| ChatCall { options, ..call() };
    let blob = BlobRef {
        media_type: "image/tiff".to_owned(),
        length: 3,
        sha256: "ab".repeat(32),
    };
    for (call, expected) in [
        (
            with(&[text("x"), Part::Blob(blob)]),
            "`image/tiff` is not passed on there",
        ),
        (
            with(&[Part::Json(r#"{"tool_calls":[]}"#.to_owned())]),
            "message 0, part 0: a JSON part is",
        ),
        (
            with(&[Part::Json("secret".to_owned())]),
            "message 0, part 0: a JSON part is",
        ),
        (
            ChatCall {
                messages: vec![message("secret", &[])],
                ..call()
            },
            "message 0: its role is none of",
        ),
        (
            ChatCall {
                messages: vec![],
                ..call()
            },
            "no messages",
        ),
        (
            ChatCall {
                model: String::new(),
                ..call()
            },
            "no model",
        ),
        (
            ChatCall {
                temperature: Some(f64::NAN),
                ..call()
            },
            "temperature",
        ),
        (options(vec![option("n", "2")]), "option `n`"),
        (
            options(vec![option("user", "\"secret\"")]),
            "option `user` is not passed on",
        ),
        (
            options(vec![option("logprobs", "true")]),
            "option `logprobs` is not passed on",
        ),
        (
            options(vec![option("secret sauce", "1")]),
            "option `…` is not passed on",
        ),
        (
            options(vec![option("tools", "[secret")]),
            "option `tools` is no JSON",
        ),
        (
            options(vec![option("seed", "1,\"secret\":2")]),
            "option `seed` is no JSON",
        ),
        (
            options(vec![option("seed", "1"), option("seed", "2")]),
            "option `seed` is given twice",
        ),
    ] {
        let why = refusal(call);
        assert!(why.contains(expected) && !why.contains("secret"), "{why}");
    }
}

#[test]
fn every_fault_of_the_settings_is_told_at_once() {
    let settings =
        r#"{"path":"https://model.example/v1 #","model":" ","credential":"sk-live/123"}"#;
    let problems =
        OpenAiCompatible::configure(serde_json::from_str(settings).unwrap()).unwrap_err();
    let keys: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.key.as_deref())
        .collect();
    assert_eq!(keys, ["path", "path", "model", "credential"]);
    assert!(
        problems
            .iter()
            .all(|problem| !problem.message.contains("sk-live"))
    );
    for unknown in [r#"{"paht":"/"}"#, r#"{"max-tokens-field":"tokens"}"#] {
        assert!(serde_json::from_str::<Settings>(unknown).is_err());
    }
}

const SSE: &str = "text/event-stream; charset=utf-8";

fn decoder(status: u16, content_type: Option<&str>) -> Decoder {
    let header = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
    Decoder::new(status, header.into_iter().collect())
}

fn decode_pieces<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event>, Error> {
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
            Event::ToolCall(call) => {
                let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                format!(
                    "call {} {} {} {}",
                    call.index,
                    told(&call.id),
                    told(&call.name),
                    call.arguments
                )
            }
            Event::Stopped(reason) => format!("stopped {reason}"),
            Event::Used(usage) => {
                format!("used {:?} {:?}", usage.input_tokens, usage.output_tokens)
            }
            Event::Model(model) => format!("model {model}"),
            Event::Other(attribute) => format!("other {} {:?}", attribute.name, attribute.value),
        })
        .collect()
}

fn decode(content_type: Option<&str>, body: &str) -> Vec<String> {
    told(&decode_pieces(decoder(200, content_type), [body.as_bytes()]).unwrap())
}

/// Code, detail and whether to try again.
fn failure(status: u16, content_type: Option<&str>, body: &[u8]) -> (String, bool) {
    let error = decode_pieces(decoder(status, content_type), [body]).unwrap_err();
    if matches!(error, Error::LimitExceeded(_)) {
        return ("limit".to_owned(), false);
    }
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

/// As OpenAI and Azure stream: a report on filters first, a null content, usage alone at the end.
const STREAM: &str = concat!(
    "data: {\"choices\":[],\"model\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\r\n\r\n",
    ": keep-alive\r\n\r\n",
    "data: {\"id\":\"c\",\"model\":\"gpt-x-2026\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}],\"usage\":null}\r\n\r\n",
    "data: {\"model\":\"gpt-x-2026\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"[NAME_7K\"}}]}\r\n\r\n",
    "data: {\"model\":\"gpt-x-2026\",\ndata: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"Q2M] caf\u{e9} \u{1fac0}\\u00e9\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n",
    "data: [DONE]\n\n",
);

const STREAM_EVENTS: [&str; 5] = [
    "model gpt-x-2026",
    "text [NAME_7K",
    "text Q2M] caf\u{e9} \u{1fac0}\u{e9}",
    "stopped stop",
    "used Some(11) Some(7)",
];

#[test]
fn a_stream_becomes_events() {
    for content_type in [
        Some(SSE),
        Some("text/event-stream"),
        None,
        Some("application/octet-stream"),
    ] {
        assert_eq!(
            decode(content_type, STREAM),
            STREAM_EVENTS,
            "{content_type:?}"
        );
    }
}

#[test]
fn a_whole_completion_becomes_the_same_kind_of_events() {
    let whole = r#" {"model":"llama","choices":[{"index":0,"message":{"role":"assistant","content":"Rest.","refusal":null},"finish_reason":"length","logprobs":null}],"usage":{"prompt_tokens":3,"completion_tokens":1},"timings":{}}"#;
    for content_type in [
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        None,
    ] {
        assert_eq!(
            decode(content_type, whole),
            [
                "model llama",
                "text Rest.",
                "stopped length",
                "used Some(3) Some(1)"
            ]
        );
    }
}

#[test]
fn tool_calls_give_each_id_and_name_once() {
    let stream = [
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"mrn\":"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":null}},{"index":0,"id":"","function":{"name":"","arguments":"\"[MRN_00AB9]\"}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":null},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ]
    .map(|data| format!("data: {data}\n\n"))
    .concat();
    assert_eq!(
        decode(Some(SSE), &stream),
        [
            "call 0 a f ",
            "call 0 - - {\"mrn\":",
            "call 1 b g ",
            "call 0 - - \"[MRN_00AB9]\"}",
            "stopped tool_calls"
        ]
    );
    // A whole completion gives no index, and Ollama once gave the arguments as an object.
    let whole = r#"{"choices":[{"message":{"content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":{"x": 1}}}]},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(
        decode(None, whole),
        [
            "call 0 a f {}",
            "call 1 b g {\"x\": 1}",
            "stopped tool_calls"
        ]
    );
    let swapped = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\"},{\"index\":0,\"id\":\"b\"}]}}]}\n\n";
    assert_eq!(failure(200, Some(SSE), swapped.as_bytes()).0, "malformed");
}

#[test]
fn refusals_and_reasoning_are_told_apart_from_the_answer() {
    let stream = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]";
    assert_eq!(
        decode(None, stream),
        [
            "other reasoning Value::Text(\"hm\")",
            "other refusal Value::Text(\"no\")",
            "stopped stop"
        ]
    );
}

#[test]
fn a_stream_that_stops_for_a_reason_may_leave_out_the_last_word() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    assert_eq!(
        decode(Some(SSE), stream),
        ["text x", "stopped stop", "used Some(1) Some(2)"]
    );
}

#[test]
fn nothing_after_the_last_word_counts() {
    let stream =
        format!("{STREAM}data: {{\"choices\":[{{\"delta\":{{\"content\":\"more\"}}}}]}}\n\n");
    assert_eq!(decode(Some(SSE), &stream), STREAM_EVENTS);
}

#[test]
fn every_failure_is_named_without_a_word_of_the_server() {
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let after = |rest: &str| format!("{begun}{rest}").into_bytes();
    for (status, content_type, body, expected) in [
        (
            400,
            None,
            b"{\"error\":{\"message\":\"secret\"}}".to_vec(),
            ("status", false),
        ),
        (401, None, b"secret".to_vec(), ("status", false)),
        (302, None, vec![], ("status", false)),
        (
            429,
            Some("application/json"),
            b"{}".to_vec(),
            ("status", true),
        ),
        (500, None, vec![], ("status", true)),
        (503, Some(SSE), STREAM.as_bytes().to_vec(), ("status", true)),
        (
            200,
            None,
            b"{\"error\":{\"message\":\"secret\",\"type\":\"server_error\"}}".to_vec(),
            ("reported", true),
        ),
        (
            200,
            None,
            b"{\"error\":\"secret\"}".to_vec(),
            ("reported", false),
        ),
        (
            200,
            Some(SSE),
            after("data: {\"error\":{\"message\":\"secret\",\"code\":503}}\n\n"),
            ("reported", true),
        ),
        (
            200,
            Some(SSE),
            after("data: {\"error\":{\"message\":\"secret\",\"code\":\"bad\"}}\n\n"),
            ("reported", false),
        ),
        (
            200,
            Some(SSE),
            after("error: {\"code\":500,\"message\":\"secret\"}\n\n"),
            ("reported", true),
        ),
        (
            200,
            Some(SSE),
            after("event: error\ndata: secret\n\n"),
            ("reported", false),
        ),
        (
            200,
            Some(SSE),
            after("data: secret\n\n"),
            ("malformed", false),
        ),
        (
            200,
            Some(SSE),
            after("data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n"),
            ("malformed", false),
        ),
        (
            200,
            Some(SSE),
            after("data: {\"secret\":1}\n\n"),
            ("malformed", false),
        ),
        (
            200,
            Some(SSE),
            after("data: {\"choices\":[{\"delta\":{\"content\":\"\u{0}"),
            ("malformed", false),
        ),
        (
            200,
            Some(SSE),
            b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n".to_vec(),
            ("malformed", false),
        ),
        (
            200,
            Some("application/json"),
            b"{\"choices\":[]}".to_vec(),
            ("malformed", false),
        ),
        (
            200,
            Some("application/json"),
            b"{\"choices\":[{\"message\":{\"content\":\"secret".to_vec(),
            ("malformed", false),
        ),
        (
            200,
            Some(SSE),
            begun.as_bytes().to_vec(),
            ("ended-early", true),
        ),
        (200, Some(SSE), vec![], ("ended-early", true)),
        (
            200,
            Some("text/html"),
            b"<html>secret</html>".to_vec(),
            ("ended-early", true),
        ),
        (200, None, b" \n".to_vec(), ("ended-early", true)),
        (204, Some("application/json"), vec![], ("ended-early", true)),
        (200, Some(SSE), vec![b'x'; MAX_BYTES + 1], ("limit", false)),
        (
            200,
            Some("application/json"),
            vec![b' '; MAX_BYTES + 1],
            ("limit", false),
        ),
        (200, None, vec![b' '; MAX_BYTES + 1], ("limit", false)),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        assert_eq!(
            failure(status, content_type, &body),
            (expected.0.to_owned(), expected.1),
            "{status} {shown}"
        );
    }
}

#[test]
fn a_failure_is_said_again() {
    let mut decoder = decoder(200, Some(SSE));
    let first = format!("{:?}", decoder.push(b"data: nonsense\n\n").unwrap_err());
    assert_eq!(
        format!("{:?}", decoder.push(STREAM.as_bytes()).unwrap_err()),
        first
    );
    assert_eq!(format!("{:?}", decoder.finish().unwrap_err()), first);
}

/// A stream of deltas, with comments and all line ends.
fn streams() -> impl Strategy<Value = String> {
    let delta = prop_oneof![
        "\\PC{0,12}".prop_map(|text| serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string()),
        "\\PC{0,8}".prop_map(|text| serde_json::json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": text}}]}}]}).to_string()),
        Just(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#.to_owned()),
    ];
    let line_end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    let event = (delta, line_end, any::<bool>()).prop_map(|(data, end, comment)| {
        let comment = if comment {
            format!(": é{end}")
        } else {
            String::new()
        };
        format!("{comment}data: {data}{end}{end}")
    });
    (prop::collection::vec(event, 0..8), any::<bool>()).prop_map(|(events, is_done)| {
        let last = if is_done { "data: [DONE]\n\n" } else { "" };
        format!("{}{last}", events.concat())
    })
}

proptest! {
    #[test]
    fn events_do_not_depend_on_where_the_bytes_are_cut(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        is_declared in any::<bool>(),
    ) {
        let content_type = is_declared.then_some(SSE);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        let cut = decode_pieces(decoder(200, content_type), pieces);
        let whole = decode_pieces(decoder(200, content_type), [stream.as_bytes()]);
        match (cut, whole) {
            (Ok(cut), Ok(whole)) => prop_assert_eq!(told(&cut), told(&whole)),
            (cut, whole) => prop_assert_eq!(
                cut.map_err(|error| format!("{error:?}")).err(),
                whole.map_err(|error| format!("{error:?}")).err()
            ),
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), is_declared in any::<bool>()) {
        drop(decode_pieces(decoder(200, is_declared.then_some(SSE)), [bytes.as_slice()]));
    }

    #[test]
    fn a_whole_completion_does_not_depend_on_where_it_is_cut(text in "\\PC{0,40}", cut in any::<prop::sample::Index>()) {
        let body = serde_json::json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).to_string();
        let (a, b) = body.as_bytes().split_at(cut.index(body.len() + 1));
        let events = told(&decode_pieces(decoder(200, None), [a, b]).unwrap());
        let expected: Vec<String> = (!text.is_empty()).then(|| format!("text {text}")).into_iter().chain(["stopped stop".to_owned()]).collect();
        prop_assert_eq!(events, expected);
    }
}

#[test]
fn embeddings_have_a_path_and_a_body_of_their_own() {
    let plugin = configured(r#"{"embeddings-path":"/v2/embed"}"#);
    let mut call = call();
    call.want_stream = true;
    call.messages.push(message("user", &[text("and a cough")]));
    call.options = vec![
        option("operation", "\"embeddings\""),
        option("dimensions", "3"),
    ];
    let Plan::Call(request) = plugin.encode(info(), call.clone()).unwrap() else {
        panic!("no call")
    };
    assert_eq!(request.path, "/v2/embed");
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        r#"{"dimensions":3,"encoding_format":"base64","input":["[NAME_7KQ2M] has a fever","and a cough"],"model":"ward-model"}"#
    );
    let as_numbers = configured(r#"{"embeddings-encoding":"float"}"#);
    let Plan::Call(request) = as_numbers.encode(info(), call.clone()).unwrap() else {
        panic!("no call")
    };
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains(r#""encoding_format":"float""#), "{body}");
    call.options.push(option("top_p", "1"));
    assert!(matches!(
        plugin.encode(info(), call),
        Err(Error::Unsupported(_))
    ));
}

#[test]
fn vectors_come_in_the_order_of_their_texts_or_not_at_all() {
    let answer = |data: &str| {
        let body = format!(
            r#"{{"object":"list","data":{data},"usage":{{"prompt_tokens":4,"total_tokens":4}}}}"#
        );
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let mut decoder = Decoder::new(200, headers);
        decoder.push(body.as_bytes())?;
        decoder.finish()
    };
    let events = answer(
        r#"[{"index":2,"embedding":"AAAAPwAAAMA="},{"index":1,"embedding":[0.5]},{"index":0,"embedding":[-1,2e-3]}]"#,
    );
    let vectors: Vec<String> = events
        .unwrap()
        .into_iter()
        .map(|event| match event {
            Event::Other(Attribute {
                name,
                value: Value::Json(json),
            }) => format!("{name} {json}"),
            Event::Used(used) => format!("{:?}", used.input_tokens),
            Event::Text(_)
            | Event::ToolCall(_)
            | Event::Stopped(_)
            | Event::Model(_)
            | Event::Other(_) => panic!("another event"),
        })
        .collect();
    assert_eq!(
        vectors,
        [
            "embedding [-1,2e-3]",
            "embedding [0.5]",
            "embedding \"AAAAPwAAAMA=\"",
            "Some(4)"
        ]
    );
    for data in [
        r#"[{"index":1,"embedding":[0.5]}]"#,
        r#"[{"index":0,"embedding":[]}]"#,
        r#"[{"index":0,"embedding":["Ann"]}]"#,
        r#"[{"index":0,"embedding":"AAAA"}]"#,
        r#"[{"index":0,"embedding":""}]"#,
        r#"[{"index":0,"embedding":"AAAAPwAAAMA"}]"#,
        r#"[{"index":0,"embedding":"Zebulon Quackenbush="}]"#,
        r#"[{"index":0,"embedding":{}}]"#,
    ] {
        assert!(answer(data).is_err(), "{data}");
    }
}
