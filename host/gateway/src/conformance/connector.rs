//! Cases of connectors: a call, the request that it becomes, a response, and the events that it becomes.

use std::collections::BTreeSet;

use nephron_engine::contract::{
    Attribute, ChatCall, Event, HttpRequest, Part, Plan, RequestInfo, Usage, Value,
};
use nephron_engine::vet::World;
use nephron_engine::{Answer, Judgement, PluginFailure};
use nephron_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::asking::Asking;
use super::expected::{Expected, refuses};
use super::http::{CaseBytes, CaseRequest};
use super::lending::Lender;
use super::words::{CaseInfo, CaseMessage, messages};
use super::{Case, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ConnectorCase {
    #[serde(default)]
    info: CaseInfo,
    call: Option<CaseCall>,
    /// Without one, the connector answers by itself, or the call is refused with this kind of error.
    request: Option<CaseRequest>,
    answer: Option<Vec<CaseEvent>>,
    refused: Option<String>,
    /// What of the call the refusal names.
    about: Option<String>,
    response: Option<CaseResponse>,
    /// Without them, the response is refused with this kind of error.
    events: Option<Vec<CaseEvent>>,
    failure: Option<String>,
    /// Any answer will do, and any error of the plugin's own.
    #[serde(default)]
    any: bool,
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
    options: Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseResponse {
    status: u16,
    headers: Vec<(String, String)>,
    chunks: Vec<CaseBytes>,
}

#[derive(Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum CaseEvent {
    Text(String),
    ToolCall(CaseToolCall),
    Stopped(String),
    Used(CaseUsage),
    Model(String),
    Other { name: String, text: String },
}

#[derive(Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct CaseToolCall {
    index: u32,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

#[derive(Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

pub(super) fn questions(case: &Case) -> Result<Vec<Judgement>, String> {
    let case: ConnectorCase = case.read()?;
    let info = case.info.read()?;
    let encode = case.call.map(|call| Judgement::Encode {
        info: info.clone(),
        call: call.into(),
    });
    let decode = case.response.map(|response| -> Result<Judgement, String> {
        let chunks = response.chunks()?;
        Ok(response.decode(&info, chunks))
    });
    Ok(encode.into_iter().chain(decode.transpose()?).collect())
}

pub(super) async fn check(asking: &mut Asking<'_>, case: &Case) -> Result<(), String> {
    let mut case: ConnectorCase = case.read()?;
    let info = std::mem::take(&mut case.info).read()?;
    if case.call.is_none() && case.response.is_none() {
        return Err("the case itself is faulty: it has a `call`, a `response` or both".to_owned());
    }
    if let Some(call) = case.call.take() {
        let judgement = Judgement::Encode {
            info: info.clone(),
            call: call.into(),
        };
        let plan = asking.ask(&judgement).await?.and_then(Answer::plan);
        case.check_plan(plan)?;
    } else if case.request.is_some() || case.answer.is_some() || case.refused.is_some() {
        let lacks =
            "the case itself is faulty: `request`, `answer` and `refused` are about a `call`";
        return Err(lacks.to_owned());
    }
    let Some(response) = &case.response else {
        return match (&case.events, &case.failure) {
            (None, None) => Ok(()),
            _ => {
                Err("the case itself is faulty: `events` and `failure` are of a `response`".into())
            }
        };
    };
    for chunks in cuts(&response.chunks()?) {
        let pieces: Vec<_> = chunks.iter().map(Vec::len).take(8).collect();
        let events = asking.decode(&response.decode(&info, chunks)).await?;
        case.check_events(events)
            .map_err(|fault| format!("cut {pieces:?}…: {fault}"))?;
    }
    Ok(())
}

/// Paths and credentials that the cases of a connector declare: it asks for no others.
#[derive(Default)]
pub(super) struct Declared {
    paths: BTreeSet<String>,
    credentials: BTreeSet<Option<String>>,
}

impl Declared {
    pub(super) fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut declared = Self::default();
        // A case that cannot be read is a fault of its own.
        let read = cases.filter_map(|case| case.read::<ConnectorCase>().ok());
        for request in read.filter_map(|case| case.request) {
            declared.paths.insert(request.path().to_owned());
            let credential = request.credential().map(str::to_owned);
            declared.credentials.insert(credential);
        }
        declared
    }

    fn check(&self, request: &HttpRequest) -> Result<(), String> {
        if !self.paths.contains(&request.path) {
            return Err("it asks for a path that no case declares".to_owned());
        }
        if !self.credentials.contains(&request.credential) {
            return Err("it asks for a credential that no case declares".to_owned());
        }
        Ok(())
    }
}

/// Text that is nobody's and that stands nowhere else: where it turns up, what was in the input is out.
const MARK: &str = "Zebulon-Quackenbush-90210557";

/// Most bytes that a call, a request or a response may become: so many for each of its own, and some beside.
const TIMES: usize = 8;
const BESIDE: usize = 64 << 10;

/// What no single recorded exchange shows. The call is made again with other text, which must change neither path nor credential
/// and be in no error, and become no more than a bound; what is to be sent is signed, if it signs; the response is cut everywhere,
/// broken off and broken, which must give the same events for each cut, no more than a bound, and errors that hold nothing of it.
pub(super) async fn certify(
    asking: &mut Asking<'_>,
    case: &Case,
    declared: &Declared,
) -> Result<(), String> {
    let mut case: ConnectorCase = case.read()?;
    let info = std::mem::take(&mut case.info).read()?;
    if let Some(call) = case.call.take() {
        let call = ChatCall::from(call);
        for mark in [mark_texts, mark_all] {
            for want_stream in [false, true] {
                let mut call = call.clone();
                mark(&mut call);
                call.want_stream = want_stream;
                certify_call(asking, &info, call, declared).await?;
            }
        }
    }
    match &case.response {
        Some(response) => certify_response(asking, &info, response).await,
        None => Ok(()),
    }
}

async fn certify_call(
    asking: &mut Asking<'_>,
    info: &RequestInfo,
    call: ChatCall,
    declared: &Declared,
) -> Result<(), String> {
    let judgement = Judgement::Encode {
        info: info.clone(),
        call,
    };
    let given = judgement.to_bytes().expose().len();
    match asking.ask(&judgement).await?.and_then(Answer::plan) {
        // A connector may find another path for a stream, which the cases then show too.
        Ok(Plan::Call(request)) => {
            declared.check(&request)?;
            bounded("a call", given, size(&request))?;
            certify_signature(asking, info, request).await
        }
        Ok(Plan::Answer(events)) => bounded("a call", given, length(events)),
        Err(failure) => silent(asking, &failure),
    }
}

/// What a connector that signs adds: that it is a signature and nothing else, the sandbox sees to; here, that it is bounded, the same
/// again, and no error that repeats what is signed.
async fn certify_signature(
    asking: &mut Asking<'_>,
    info: &RequestInfo,
    request: HttpRequest,
) -> Result<(), String> {
    if asking.plugin().world() != World::SigningLlmConnector {
        return Ok(());
    }
    let no_key = |error: anyhow::Error| format!("no key can be lent: {error:#}");
    let lender = Lender::new().await.map_err(no_key)?;
    let at = Timestamp {
        seconds: info.received_at.seconds,
        nanoseconds: info.received_at.nanoseconds,
    };
    let key = lender.lend_to_sign(at).map_err(no_key)?;
    let given = size(&request);
    let signing = asking.sign(info.clone(), request, "model.example", key);
    match signing.await? {
        Ok(signed) => bounded("a request", given, size(&signed)),
        Err(failure) => silent(asking, &failure),
    }
}

async fn certify_response(
    asking: &mut Asking<'_>,
    info: &RequestInfo,
    response: &CaseResponse,
) -> Result<(), String> {
    let recorded = response.chunks()?;
    let whole = recorded.concat();
    let mut first = None;
    for chunks in cuts(&recorded) {
        let events = asking.decode(&response.decode(info, chunks)).await?;
        let events = match events {
            Ok(events) => {
                bounded("a response", whole.len(), length(events.clone()))?;
                Ok(joined(events)?)
            }
            Err(failure) => {
                silent(asking, &failure)?;
                Err((failure.code(), failure.detail()))
            }
        };
        match &first {
            None => first = Some(events),
            Some(first) if *first == events => {}
            Some(_) => return Err("two cuts of one response give two answers".to_owned()),
        }
    }
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    let marked = MARK.as_bytes();
    let bodies = [
        half.to_vec(),
        [half, marked].concat(),
        [marked, &whole].concat(),
        format!("{{\"error\":{{\"message\":\"{MARK}\",\"type\":\"{MARK}\"}}}}").into_bytes(),
        format!("data: {{\"{MARK}\n\n").into_bytes(),
    ];
    for status in [response.status, 400, 401, 429, 500] {
        for body in &bodies {
            let broken = Judgement::Decode {
                info: info.clone(),
                status,
                headers: response.headers.clone(),
                chunks: vec![body.clone()],
                is_cut_off: false,
            };
            match asking.decode(&broken).await? {
                Ok(events) => bounded("a response", body.len(), length(events))?,
                Err(failure) => silent(asking, &failure)?,
            }
        }
    }
    Ok(())
}

/// Puts other text in the place of what people said.
fn mark_texts(call: &mut ChatCall) {
    for message in &mut call.messages {
        for part in &mut message.parts {
            if let Part::Text(text) = part {
                MARK.clone_into(text);
            }
        }
    }
}

/// Puts other text in the place of all that came from outside: also names, what tools were told and said, where to stop, and options.
fn mark_all(call: &mut ChatCall) {
    mark_texts(call);
    for message in &mut call.messages {
        message.name = message.name.as_ref().map(|_| MARK.to_owned());
        for part in &mut message.parts {
            if let Part::Json(text) = part {
                *text = marked(text);
            }
        }
    }
    call.stop.iter_mut().for_each(|stop| MARK.clone_into(stop));
    for option in &mut call.options {
        match &mut option.value {
            Value::Text(text) => MARK.clone_into(text),
            Value::Texts(texts) => texts.iter_mut().for_each(|text| MARK.clone_into(text)),
            Value::Json(text) => *text = marked(text),
            Value::Number(_) | Value::Boolean(_) => {}
        }
    }
}

/// The same JSON with the mark in the place of each string, and of what is no JSON.
fn marked(json: &str) -> String {
    fn mark(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => MARK.clone_into(text),
            serde_json::Value::Array(items) => items.iter_mut().for_each(mark),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(mark),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            }
        }
    }
    let mut value = serde_json::from_str(json).unwrap_or_else(|_| MARK.into());
    mark(&mut value);
    value.to_string()
}

/// Refuses an error, and what was said with it, that repeats what the plugin was given, however it is written.
fn silent(asking: &Asking<'_>, failure: &PluginFailure) -> Result<(), String> {
    let about = match failure {
        PluginFailure::Reported { about, .. } => about.clone(),
        PluginFailure::Trapped(_)
        | PluginFailure::OutOfFuel
        | PluginFailure::OutOfMemory
        | PluginFailure::TimedOut
        | PluginFailure::TooManyHostCalls
        | PluginFailure::TooLarge
        | PluginFailure::BadAnswer(_)
        | PluginFailure::KeptKey
        | PluginFailure::NotRun(_) => None,
    };
    let bare = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_alphanumeric());
        kept.flat_map(char::to_lowercase).collect()
    };
    for words in asking.words().chain(about) {
        let words = bare(&words);
        if MARK.split('-').any(|part| words.contains(&bare(part))) {
            return Err("an error repeats text of what it was given".to_owned());
        }
    }
    Ok(())
}

/// Refuses what grows beyond what was given.
fn bounded(what: &str, given: usize, made: usize) -> Result<(), String> {
    match made > given.saturating_mul(TIMES).saturating_add(BESIDE) {
        true => Err(format!("{what} of {given} bytes becomes {made}")),
        false => Ok(()),
    }
}

/// Bytes of a request.
fn size(request: &HttpRequest) -> usize {
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| name.len() + value.len());
    request.method.len() + request.path.len() + request.body.len() + headers.sum::<usize>()
}

/// Bytes of events, as they are recorded.
fn length(events: Vec<Event>) -> usize {
    Answer::Decoded(Ok(events)).to_bytes().expose().len()
}

impl ConnectorCase {
    fn check_plan(&self, plan: Result<Plan, PluginFailure>) -> Result<(), String> {
        match (plan, &self.request, &self.answer, &self.refused) {
            (_, None, None, None) if self.any => Ok(()),
            (Ok(Plan::Call(request)), Some(expected), None, None) => expected.check(&request),
            (Ok(Plan::Answer(events)), None, Some(expected), None) => {
                same("answer", &joined(events)?, expected)
            }
            (Err(failure), None, None, Some(expected)) => {
                refuses(&failure, expected, self.about.as_deref())
            }
            (Err(failure), ..) => Err(format!("the plugin {failure}")),
            (Ok(Plan::Call(_)), ..) => {
                Err("the plugin makes a request, and the case has none".to_owned())
            }
            (Ok(Plan::Answer(_)), ..) => {
                Err("the plugin answers by itself, and the case has no `answer`".to_owned())
            }
        }
    }

    fn check_events(&self, events: Result<Vec<Event>, PluginFailure>) -> Result<(), String> {
        let any = self.any && self.events.is_none() && self.failure.is_none();
        let expected = Expected::new(self.events.as_ref(), self.failure.clone(), any);
        match expected.against("events", events)? {
            Some((events, expected)) => same("events", &joined(events)?, expected),
            None => Ok(()),
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
    let mut places = Places(0x6e65_7068_726f_6e21);
    for _ in 0..64 {
        let (a, b) = (places.up_to(whole.len()), places.up_to(whole.len()));
        let (first, rest) = whole.split_at(a.min(b));
        let (second, third) = rest.split_at(a.max(b) - a.min(b));
        cuts.push([first, second, third].map(<[u8]>::to_vec).to_vec());
    }
    cuts
}

/// Places to cut at: Marsaglia's xorshift, so that every host cuts at the same.
struct Places(u64);

impl Places {
    /// One of 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let most = u64::try_from(most).unwrap_or(u64::MAX - 1);
        usize::try_from(self.0 % (most + 1)).unwrap_or_default()
    }
}

/// Neighbouring texts are one text, and so are the deltas of one tool call: how finely a connector cuts is its own affair.
fn joined(events: Vec<Event>) -> Result<Vec<CaseEvent>, String> {
    let mut joined: Vec<CaseEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), CaseEvent::from(event)) {
            (Some(CaseEvent::Text(said)), CaseEvent::Text(more)) => said.push_str(&more),
            (Some(CaseEvent::ToolCall(call)), CaseEvent::ToolCall(more))
                if call.index == more.index =>
            {
                if more.id.is_some() || more.name.is_some() {
                    let index = more.index;
                    return Err(format!("id or name of tool call {index} are told twice"));
                }
                call.arguments.push_str(&more.arguments);
            }
            (_, event) => joined.push(event),
        }
    }
    Ok(joined)
}

impl CaseResponse {
    fn chunks(&self) -> Result<Vec<Vec<u8>>, String> {
        self.chunks.iter().map(CaseBytes::read).collect()
    }

    fn decode(&self, info: &RequestInfo, chunks: Vec<Vec<u8>>) -> Judgement {
        Judgement::Decode {
            info: info.clone(),
            status: self.status,
            headers: self.headers.clone(),
            chunks,
            is_cut_off: false,
        }
    }
}

impl From<CaseCall> for ChatCall {
    fn from(call: CaseCall) -> Self {
        let option = |(name, json): (String, serde_json::Value)| Attribute {
            name,
            value: Value::Json(json.to_string()),
        };
        Self {
            model: call.model,
            messages: messages(call.messages),
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
            Event::Used(Usage {
                input_tokens,
                output_tokens,
            }) => Self::Used(CaseUsage {
                input_tokens,
                output_tokens,
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
