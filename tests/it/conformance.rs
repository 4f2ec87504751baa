//! Conformance cases of connectors, as `tests/conformance/README.md` describes them: each component is asked through the
//! sandbox, and its answer must not hang on where the bytes of a response are cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use nephron_engine::compile::Compiler;
use nephron_engine::contract::{
    Attribute, BlobRef, Caller, ChatCall, Event, HttpRequest, Instant, Message, Part, Plan,
    RequestInfo, Sensitivity, Value,
};
use nephron_engine::vet::{Grants, vet};
use nephron_engine::{Answer, Engine, Judgement, Limits, Plugin, PluginFailure};
use proptest::prelude::any;
use proptest::sample::Index;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde::Deserialize;

/// One exchange: a call, the request that it becomes, a response, and the events that it becomes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    description: String,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
    call: Option<CaseCall>,
    /// Without one, the call is refused with this kind of error.
    request: Option<CaseRequest>,
    refused: Option<String>,
    /// What of the call the refusal names.
    about: Option<String>,
    response: Option<CaseResponse>,
    /// Without them, the response is refused with this kind of error.
    events: Option<Vec<CaseEvent>>,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseCall {
    model: String,
    messages: Vec<CaseMessage>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    #[serde(default)]
    stop: Vec<String>,
    want_stream: bool,
    #[serde(default)]
    options: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseMessage {
    role: String,
    name: Option<String>,
    parts: Vec<CasePart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CasePart {
    Text(String),
    Json(serde_json::Value),
    Blob(CaseBlob),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseBlob {
    media_type: String,
    length: u64,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    credential: Option<String>,
    body: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseResponse {
    status: u16,
    headers: Vec<(String, String)>,
    chunks: Vec<CaseChunk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum CaseChunk {
    Text(String),
    Bytes { base64: String },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CaseEvent {
    Text(String),
    ToolCall(CaseToolCall),
    Stopped(String),
    Used(CaseUsage),
    Model(String),
    Other { name: String, text: String },
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct CaseToolCall {
    index: u32,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[tokio::test]
async fn connectors_keep_their_conformance_cases() {
    let engine = Engine::new().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/llm-connector");
    for plugin in sorted(&folder) {
        let name = plugin.file_name().unwrap().to_str().unwrap();
        let mut loaded: BTreeMap<String, Plugin> = BTreeMap::new();
        let cases = sorted(&plugin);
        assert!(!cases.is_empty(), "`{name}` has no cases");
        for path in cases {
            let text = std::fs::read_to_string(&path).unwrap();
            let case: Case = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let told = format!("{}: {}", path.display(), case.description);
            let settings = serde_json::to_string(&case.settings).unwrap();
            if !loaded.contains_key(&settings) {
                loaded.insert(settings.clone(), load(&engine, name, &settings).await);
            }
            check(&engine, &loaded[&settings], case, &told).await;
        }
    }
}

#[test]
fn every_connector_of_ours_has_conformance_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in nephron_forge::plugin_folders(&root.join("plugins")).unwrap() {
        let manifest = nephron_forge::Manifest::read(&folder).unwrap();
        let cases = root
            .join("tests/conformance/llm-connector")
            .join(&manifest.name);
        // `extractive` speaks to nobody.
        let speaks = manifest.world.ends_with("llm-connector") && manifest.name != "extractive";
        assert_eq!(speaks, cases.exists(), "{}", manifest.name);
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    paths.sort();
    paths
}

async fn load(engine: &Engine, name: &str, settings: &str) -> Plugin {
    let bytes = std::fs::read(nephron_tests::component(name)).unwrap();
    let limits = Limits::default();
    // Those that sign may be lent a key; these cases ask for no signature.
    let granted = Grants {
        keys: true,
        ..Grants::default()
    };
    let vetted = vet(bytes, None, None, granted, &limits).unwrap();
    let compiler = Compiler::InProcess;
    let plugin = engine.load(name, &vetted, settings, &limits, &compiler, None);
    plugin.await.unwrap()
}

async fn check(engine: &Engine, plugin: &Plugin, case: Case, told: &str) {
    if let Some(call) = case.call {
        let judgement = Judgement::Encode {
            info: info(),
            call: call.into(),
        };
        let answer = engine.call(plugin, &judgement, None).await.answer;
        match (answer.and_then(Answer::plan), case.request, case.refused) {
            (Ok(Plan::Call(request)), Some(expected), None) => expected.check(&request, told),
            (Err(PluginFailure::Reported { code, about }), None, Some(expected)) => {
                assert_eq!((code, about), (expected.as_str(), case.about), "{told}");
            }
            (answer, ..) => panic!("{told}: {:?}", answer.err()),
        }
    } else {
        assert!(case.request.is_none() && case.refused.is_none(), "{told}");
    }
    let Some(response) = case.response else {
        assert!(case.events.is_none() && case.failure.is_none(), "{told}");
        return;
    };
    let chunks = response.chunks();
    for chunks in cuts(&chunks) {
        let pieces: Vec<_> = chunks.iter().map(Vec::len).take(8).collect();
        let judgement = Judgement::Decode {
            info: info(),
            status: response.status,
            headers: response.headers.clone(),
            chunks,
            is_cut_off: false,
        };
        match (
            engine.call(plugin, &judgement, None).await.answer,
            &case.events,
            &case.failure,
        ) {
            (Ok(Answer::Decoded(Ok(events))), Some(expected), None) => {
                assert_eq!(&joined(events), expected, "{told}, cut {pieces:?}…");
            }
            (Err(PluginFailure::Reported { code: kind, .. }), None, Some(expected)) => {
                assert_eq!(kind, expected, "{told}, cut {pieces:?}…");
            }
            (answer, ..) => panic!("{told}, cut {pieces:?}…: {:?}", answer.err()),
        }
    }
}

/// As it was recorded; whole; each byte by itself; and in three pieces at places that are the same in every run.
fn cuts(recorded: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let whole = recorded.concat();
    let mut cuts = vec![
        recorded.to_vec(),
        vec![whole.clone()],
        whole.iter().map(|byte| vec![*byte]).collect(),
    ];
    let mut random = TestRunner::deterministic();
    for _ in 0..64 {
        let pair = (any::<Index>(), any::<Index>()).new_tree(&mut random);
        let (a, b) = pair.unwrap().current();
        let (a, b) = (a.index(whole.len() + 1), b.index(whole.len() + 1));
        let (first, rest) = whole.split_at(a.min(b));
        let (second, third) = rest.split_at(a.max(b) - a.min(b));
        cuts.push([first, second, third].map(<[u8]>::to_vec).to_vec());
    }
    cuts
}

/// Neighbouring texts are one text, and so are the deltas of one tool call: how finely a connector cuts is its own affair.
fn joined(events: Vec<Event>) -> Vec<CaseEvent> {
    let mut joined: Vec<CaseEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), CaseEvent::from(event)) {
            (Some(CaseEvent::Text(said)), CaseEvent::Text(more)) => said.push_str(&more),
            (Some(CaseEvent::ToolCall(call)), CaseEvent::ToolCall(more))
                if call.index == more.index =>
            {
                assert!(more.id.is_none() && more.name.is_none(), "told twice");
                call.arguments.push_str(&more.arguments);
            }
            (_, event) => joined.push(event),
        }
    }
    joined
}

fn info() -> RequestInfo {
    RequestInfo {
        id: "01M8BF3PTSBP1N1625HSJKEHCE".to_owned(),
        tenant: "st-marys".to_owned(),
        received_at: Instant {
            seconds: nephron_tests::NOW,
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

impl CaseRequest {
    fn check(self, request: &HttpRequest, told: &str) {
        assert_eq!(request.method, self.method, "{told}");
        assert_eq!(request.path, self.path, "{told}");
        assert_eq!(request.headers, self.headers, "{told}");
        assert_eq!(request.credential, self.credential, "{told}");
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, self.body, "{told}");
    }
}

impl CaseResponse {
    fn chunks(&self) -> Vec<Vec<u8>> {
        let bytes = |chunk: &CaseChunk| match chunk {
            CaseChunk::Text(text) => text.clone().into_bytes(),
            CaseChunk::Bytes { base64 } => base64::prelude::BASE64_STANDARD.decode(base64).unwrap(),
        };
        self.chunks.iter().map(bytes).collect()
    }
}

impl From<CaseCall> for ChatCall {
    fn from(call: CaseCall) -> Self {
        let part = |part| match part {
            CasePart::Text(text) => Part::Text(text),
            CasePart::Json(json) => Part::Json(json.to_string()),
            CasePart::Blob(blob) => Part::Blob(BlobRef {
                media_type: blob.media_type,
                length: blob.length,
                sha256: blob.sha256,
            }),
        };
        let message = |message: CaseMessage| Message {
            role: message.role,
            name: message.name,
            parts: message.parts.into_iter().map(part).collect(),
        };
        let option = |(name, json): (String, serde_json::Value)| Attribute {
            name,
            value: Value::Json(json.to_string()),
        };
        Self {
            model: call.model,
            messages: call.messages.into_iter().map(message).collect(),
            max_tokens: call.max_tokens,
            temperature: call.temperature,
            stop: call.stop,
            want_stream: call.want_stream,
            options: call.options.into_iter().map(option).collect(),
        }
    }
}

impl From<Event> for CaseEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Text(text) => Self::Text(text),
            Event::ToolCall(call) => Self::ToolCall(CaseToolCall {
                index: call.index,
                id: call.id,
                name: call.name,
                arguments: call.arguments,
            }),
            Event::Stopped(reason) => Self::Stopped(reason),
            Event::Used(usage) => Self::Used(CaseUsage {
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
            }),
            Event::Model(model) => Self::Model(model),
            Event::Other(Attribute { name, value }) => Self::Other {
                name,
                text: match value {
                    Value::Text(text) | Value::Json(text) => text,
                    // A case has no word for these, and so none that is equal.
                    value @ (Value::Number(_) | Value::Boolean(_) | Value::Texts(_)) => {
                        format!("{value:?}")
                    }
                },
            },
        }
    }
}
