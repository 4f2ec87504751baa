use super::*;
use crate::wire::Api;
use crate::wire::tests::{asked, check_refused};
use nephron_engine::contract::{Caller, Instant, Part, Sensitivity};
use serde_json::{Value, json};

/// "Zebulon" and "Quackenbush", as if they were a picture.
const DATA: &str = "WmVidWxvbg==";
const OTHER: &str = "UXVhY2tlbmJ1c2g=";

fn chat(parts: &Value) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": parts }] })
}

fn responses(parts: &Value) -> Value {
    json!({ "model": "m", "input": [{ "role": "user", "content": parts }] })
}

fn messages(blocks: &Value) -> Value {
    json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": blocks }] })
}

/// Place, media type and length of each blob, and that parts and blobs are the same in number and order.
fn blobs(api: Api, body: &Value) -> Vec<(String, &'static str, usize)> {
    let call = asked(api, body)
        .unwrap_or_else(|error| panic!("{error}"))
        .received
        .call;
    let all = call.messages.expose().0.iter();
    let parts = all.flat_map(|message| &message.parts);
    let references: Vec<_> = parts
        .filter_map(|part| match part {
            Part::Blob(reference) => Some(reference.sha256.clone()),
            Part::Text(_) | Part::Json(_) => None,
        })
        .collect();
    let own: Vec<_> = call.blobs.iter().map(Blob::hex).collect();
    assert_eq!(references, own);
    assert!(call.shape.fill(call.messages.expose()).is_ok());
    let told = |blob: &Blob| (blob.place.clone(), blob.media.name, blob.length);
    call.blobs.iter().map(told).collect()
}

#[test]
fn images_audio_and_files_are_taken_as_data_from_every_api() {
    let png = format!("data:image/png;base64,{DATA}");
    let pdf = format!("data:application/pdf;base64,{OTHER}");
    let body = chat(&json!([
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": png, "detail": "low" } },
        { "type": "input_audio", "input_audio": { "data": DATA, "format": "mp3" } },
        { "type": "file", "file": { "file_data": pdf, "filename": "Zebulon Quackenbush.pdf" } },
    ]));
    let at = |path: &str| format!("messages[0].content{path}");
    assert_eq!(
        blobs(Api::Chat, &body),
        [
            (at("[1].image_url.url"), "image/png", 7),
            (at("[2].input_audio.data"), "audio/mpeg", 7),
            (at("[3].file.file_data"), "application/pdf", 11),
        ]
    );
    let body = json!({ "model": "m", "input": [
        { "role": "user", "content": [
            { "type": "input_image", "image_url": png, "detail": "auto" },
            { "type": "input_file", "file_data": pdf, "filename": "Zebulon Quackenbush.pdf" } ] },
        { "type": "function_call", "call_id": "a", "name": "look", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "a", "output": [{ "type": "input_image", "image_url": png }] },
    ] });
    assert_eq!(
        blobs(Api::Responses, &body),
        [
            ("input[0].content[0].image_url".to_owned(), "image/png", 7),
            (
                "input[0].content[1].file_data".to_owned(),
                "application/pdf",
                11
            ),
            ("input[2].output[0].image_url".to_owned(), "image/png", 7),
        ]
    );
    let source = |media_type: &str, data: &str| json!({ "type": "base64", "media_type": media_type, "data": data });
    let body = messages(&json!([
        { "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "image", "source": source("image/jpeg", DATA) }] },
        { "type": "document", "source": source("application/pdf", OTHER), "cache_control": { "type": "ephemeral" } },
    ]));
    assert_eq!(
        blobs(Api::Messages, &body),
        [
            (at("[0].content[0].source.data"), "image/jpeg", 7),
            (at("[1].source.data"), "application/pdf", 11),
        ]
    );
}

#[test]
fn what_would_be_fetched_or_is_no_data_is_refused_and_named_by_its_place() {
    let image = |url: &str| chat(&json!([{ "type": "image_url", "image_url": { "url": url } }]));
    let source = |source: Value| messages(&json!([{ "type": "image", "source": source }]));
    let data = |media_type: &str, data: &str| json!({ "type": "base64", "media_type": media_type, "data": data });
    for (api, body, place) in [
        (
            Api::Chat,
            image("https://pacs.example/quackenbush.png"),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            Api::Chat,
            image("data:image/png,quackenbush"),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            Api::Chat,
            image("data:image/png;base64,"),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            Api::Chat,
            image("data:image/png;base64,WmVi\ndWxvbg=="),
            "`messages[0].content[0].image_url.url`",
        ),
        // The last letter has bits that say nothing: another text of the same bytes.
        (
            Api::Chat,
            image("data:image/png;base64,WmVidWxvbh=="),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            Api::Chat,
            image("data:image/png;base64,WmVidWxvbg"),
            "`messages[0].content[0].image_url.url`",
        ),
        (
            Api::Chat,
            image(&format!("data:text/plain;base64,{DATA}")),
            "is text goes as text",
        ),
        (
            Api::Chat,
            image(&format!("data:image/quackenbush;base64,{DATA}")),
            "`image/png`",
        ),
        (
            Api::Chat,
            chat(&json!([{ "type": "file", "file": { "file_id": "quackenbush" } }])),
            "`messages[0].content[0].file.file_id`",
        ),
        (
            Api::Chat,
            chat(
                &json!([{ "type": "input_audio", "input_audio": { "data": DATA, "format": "quackenbush" } }]),
            ),
            "`messages[0].content[0].input_audio.format`",
        ),
        (
            Api::Responses,
            responses(
                &json!([{ "type": "input_file", "file_url": "https://pacs.example/quackenbush" }]),
            ),
            "`input[0].content[0].file_url`",
        ),
        (
            Api::Responses,
            responses(&json!([{ "type": "input_image", "file_id": "quackenbush" }])),
            "`input[0].content[0].file_id`",
        ),
        (
            Api::Messages,
            source(json!({ "type": "url", "url": "https://pacs.example/quackenbush" })),
            "`messages[0].content[0].source.type`",
        ),
        (
            Api::Messages,
            source(json!({ "type": "file", "file_id": "quackenbush" })),
            "`messages[0].content[0].source.type`",
        ),
        (
            Api::Messages,
            source(data("image/tiff", DATA)),
            "`messages[0].content[0].source.data`",
        ),
        (
            Api::Messages,
            messages(
                &json!([{ "type": "document", "title": "quackenbush", "source": data("application/pdf", DATA) }]),
            ),
            "`messages[0].content[0].title`",
        ),
        (
            Api::Messages,
            json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }],
                "system": [{ "type": "image", "source": data("image/png", DATA) }] }),
            "`system`",
        ),
    ] {
        check_refused(api, &body, place);
    }
    let part = json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{DATA}") } });
    check_refused(Api::Chat, &chat(&vec![part; 101].into()), "`messages`");
}

fn info() -> RequestInfo {
    RequestInfo {
        id: "01M8BF3PTSBP1N1625HSJKEHCE".to_owned(),
        tenant: "st-marys".to_owned(),
        received_at: Instant {
            seconds: 0,
            nanoseconds: 0,
        },
        caller: Caller {
            id: String::new(),
            roles: Vec::new(),
            attributes: Vec::new(),
        },
        purpose: "TREAT".to_owned(),
        sensitivity: Sensitivity::Phi,
        attributes: Vec::new(),
    }
}

#[test]
fn data_goes_where_the_connector_marked_it_once_for_each_part_and_nowhere_else() {
    let blob = |base64: &str| {
        let read = Blob::read("image/png", base64.to_owned(), "x".to_owned());
        read.unwrap_or_else(|error| panic!("{error}"))
    };
    let blobs = [blob(DATA), blob(OTHER), blob(DATA)];
    let [first, second, _] = blobs.each_ref().map(|blob| blob.mark(&info()));
    let put = |body: &str| put(body.as_bytes().to_vec(), &blobs, &info());
    let body = format!("[\"{first}\",\"{second}\",\"data:image/png;base64,{first}\"]");
    let expected = format!("[\"{DATA}\",\"{OTHER}\",\"data:image/png;base64,{DATA}\"]");
    assert_eq!(put(&body), Ok(expected.into_bytes()));
    for wrong in [
        body.replace(&second, ""),
        body.replace(&second, &first),
        format!("{body}{second}"),
        body.replace(&second, second.get(..60).unwrap()),
        "[]".to_owned(),
    ] {
        assert!(matches!(put(&wrong), Err(PluginFailure::BadAnswer(_))));
    }
    // Without blobs nothing is looked for.
    assert_eq!(
        super::put(first.clone().into_bytes(), &[], &info()),
        Ok(first.into_bytes())
    );
}
