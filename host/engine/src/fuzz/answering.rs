//! Answers of guests, made of a fuzzer's bytes, against the contract as one would read it.

use nephron_model::Kind;

use super::bytes::Bytes;
use crate::contract::{
    Attribute, BlobRef, Caller, ChatCall, Decision, Delivery, Effect, Error, Event, HttpRequest,
    Instant, Message, Obligation, OtherError, Outcome, Part, Plan, Query, Reason, RequestInfo,
    Sensitivity, Span, ToolCallDelta, Usage, Value, Verdict,
};
use crate::{Answer, Judgement, KeyPlayed, PluginFailure, SIGNATURE};

/// Stands in every text with which a guest explains itself: no part of it comes out.
const SECRET: &str = "Quackenbush";

/// Each world's answers: one is taken if and only if it keeps the contract, unchanged; a refusal has nothing of the guest's own
/// words; and what is recorded of an answer is read back as it was.
pub fn answers(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let question = question(&mut bytes);
    let answer = answer(&mut bytes, &question);
    let is_kept = keeps(&answer, &question);
    match answer.clone().checked_against(&question) {
        Ok(taken) => {
            assert!(is_kept, "taken, and breaks the contract");
            assert!(taken == answer, "changed on the way");
            assert_eq!(one_kind(&taken), 1);
            let form = taken.to_bytes();
            let read = Answer::from_bytes(form.expose());
            assert!(
                read.is_ok_and(|read| read == without_body(taken)),
                "recorded otherwise"
            );
        }
        Err(failure) => {
            assert!(!is_kept, "refused ({failure}), and keeps the contract");
            let told = format!("{failure} {:?} {:?}", failure.code(), failure.detail());
            assert!(!told.contains(SECRET), "{told}");
            if let PluginFailure::Reported {
                about: Some(about), ..
            } = failure
            {
                assert!(words(&question).contains(&about.as_str()), "{about}");
            }
        }
    }
    let form = question.to_bytes();
    let read = Judgement::from_bytes(form.expose());
    assert!(
        read.is_ok_and(|read| read == question),
        "recorded otherwise"
    );
}

/// Of how many kinds of question it is an answer.
fn one_kind(answer: &Answer) -> usize {
    let failed = [
        answer.clone().decision().err(),
        answer.clone().spans().err(),
        answer.clone().outcome().err(),
        answer.clone().plan().err(),
        answer.clone().signed().err(),
        answer.clone().delivery().err(),
        answer.clone().verdict().err(),
        answer.clone().confirming().err(),
    ];
    let is_of_decoding = matches!(answer, Answer::Decoded(Ok(_)));
    failed.iter().filter(|failed| failed.is_none()).count() + usize::from(is_of_decoding)
}

/// The contract, as `wit/` says it.
fn keeps(answer: &Answer, question: &Judgement) -> bool {
    match (answer, question) {
        (Answer::Detected(Ok(spans)), Judgement::Detect { messages, .. }) => {
            let text = |span: &Span| {
                let message = messages.get(usize::try_from(span.message).ok()?)?;
                match message.parts.get(usize::try_from(span.part).ok()?)? {
                    Part::Text(text) | Part::Json(text) => Some(text.as_str()),
                    Part::Blob(_) => None,
                }
            };
            let is_sound = |span: &Span| {
                let range = usize::try_from(span.start)
                    .ok()
                    .zip(usize::try_from(span.end).ok());
                let stretch = text(span)
                    .zip(range)
                    .and_then(|(text, (start, end))| text.get(start..end));
                stretch.is_some_and(|stretch| !stretch.is_empty())
                    && span.confidence >= 0.0
                    && span.confidence <= 1.0
                    && span.kind.parse::<Kind>().is_ok()
            };
            let are_apart = |(place, one): (usize, &Span)| {
                spans.iter().skip(place + 1).all(|other| {
                    (one.message, one.part) != (other.message, other.part)
                        || one.end <= other.start
                        || other.end <= one.start
                })
            };
            spans.iter().all(is_sound) && spans.iter().enumerate().all(are_apart)
        }
        (Answer::Transformed(Ok(outcome)), _) => outcome
            .residual_risk
            .is_none_or(|risk| (0.0..=1.0).contains(&risk)),
        (Answer::Signed(Ok(signed)), Judgement::Sign { request, .. }) => {
            let is_signature = |name: &str| {
                SIGNATURE
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
            };
            let mut bare = signed.clone();
            let added = bare
                .headers
                .split_off(bare.headers.len().min(request.headers.len()));
            let mut names: Vec<_> = added.iter().map(|(name, _)| name.as_str()).collect();
            let is_named = names.iter().all(|name| SIGNATURE.contains(name));
            names.sort_unstable();
            names.dedup();
            bare == *request
                && !request.headers.iter().any(|(name, _)| is_signature(name))
                && is_named
                && names.len() == added.len()
        }
        (
            Answer::Decided(Ok(_))
            | Answer::Planned(Ok(_))
            | Answer::Decoded(Ok(_))
            | Answer::Exported(Ok(_))
            | Answer::Judged(_)
            | Answer::Confirming(_),
            _,
        ) => true,
        (
            Answer::Decided(Err(_))
            | Answer::Detected(_)
            | Answer::Transformed(Err(_))
            | Answer::Planned(Err(_))
            | Answer::Signed(_)
            | Answer::Decoded(Err(_))
            | Answer::Exported(Err(_)),
            _,
        ) => false,
    }
}

/// The body of a signed request is recorded with the question.
fn without_body(answer: Answer) -> Answer {
    match answer {
        Answer::Signed(Ok(signed)) => Answer::Signed(Ok(HttpRequest {
            body: Vec::new(),
            ..signed
        })),
        other @ (Answer::Decided(_)
        | Answer::Detected(_)
        | Answer::Transformed(_)
        | Answer::Planned(_)
        | Answer::Signed(_)
        | Answer::Decoded(_)
        | Answer::Exported(_)
        | Answer::Judged(_)
        | Answer::Confirming(_)) => other,
    }
}

/// What a refusal may quote of a question.
fn words(question: &Judgement) -> Vec<&str> {
    let Judgement::Encode { call, .. } = question else {
        return Vec::new();
    };
    let mut words = vec!["max_tokens", "name", "stop", "temperature"];
    words.extend(call.options.iter().map(|option| option.name.as_str()));
    for part in call.messages.iter().flat_map(|message| &message.parts) {
        match part {
            Part::Blob(blob) => words.push(&blob.media_type),
            Part::Text(_) | Part::Json(_) => {}
        }
    }
    words
}

fn question(bytes: &mut Bytes<'_>) -> Judgement {
    let info = RequestInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        tenant: "st-marys".to_owned(),
        received_at: Instant {
            seconds: 1_795_305_802,
            nanoseconds: 0,
        },
        caller: Caller {
            id: "dr-okafor".to_owned(),
            roles: vec!["physician".to_owned()],
            attributes: Vec::new(),
        },
        purpose: "TREAT".to_owned(),
        sensitivity: Sensitivity::Phi,
        attributes: several(bytes, attribute),
    };
    match bytes.below(8) {
        0 => Judgement::Decide(Query {
            info,
            point: bytes.word(&["ingress", "egress"]),
            action: "chat".to_owned(),
            target: bytes.text(),
            facts: several(bytes, attribute),
        }),
        1 => Judgement::Encode {
            info,
            call: ChatCall {
                model: bytes.text(),
                messages: several(bytes, message),
                max_tokens: bytes.flag().then_some(16),
                temperature: bytes.flag().then_some(0.7),
                stop: several(bytes, |it| it.text()),
                want_stream: bytes.flag(),
                options: several(bytes, attribute),
            },
        },
        2 => Judgement::Sign {
            info,
            request: request(bytes),
            host: bytes.text(),
            key: KeyPlayed {
                id: bytes.text(),
                version: 1,
                macs: several(bytes, |it| (it.piece().to_vec(), it.piece().to_vec())),
            },
        },
        3 => Judgement::Decode {
            info,
            status: 200,
            headers: several(bytes, header),
            chunks: several(bytes, |it| it.piece().to_vec()),
            is_cut_off: bytes.flag(),
        },
        4 => Judgement::Reidentify {
            info,
            messages: several(bytes, message),
        },
        _ => Judgement::Detect {
            info,
            messages: several(bytes, message),
        },
    }
}

/// To the question, or now and then to another one.
fn answer(bytes: &mut Bytes<'_>, question: &Judgement) -> Answer {
    let kind = match question {
        Judgement::Decide(_) => 0,
        Judgement::Detect { .. } => 1,
        Judgement::Deidentify { .. } | Judgement::Reidentify { .. } => 2,
        Judgement::Encode { .. } => 3,
        Judgement::Sign { .. } => 4,
        Judgement::Decode { .. } => 5,
        Judgement::Export(_) => 6,
        Judgement::Judge { .. } => 7,
        Judgement::Confirm { .. } => 8,
    };
    let kind = match bytes.below(16) {
        other @ 0..=8 => other,
        _ => kind,
    };
    let is_told = bytes.below(8) > 0;
    match kind {
        0 => Answer::Decided(told(is_told, bytes, decision)),
        1 => Answer::Detected(told(is_told, bytes, |it| several(it, span))),
        2 => Answer::Transformed(told(is_told, bytes, |it| Outcome {
            messages: several(it, message),
            replaced: u32::from(it.byte()),
            residual_risk: it.flag().then(|| f64::from(confidence(it))),
        })),
        3 => Answer::Planned(told(is_told, bytes, |it| match it.flag() {
            true => Plan::Call(request(it)),
            false => Plan::Answer(several(it, event)),
        })),
        4 => Answer::Signed(told(is_told, bytes, |it| signed(it, question))),
        5 => Answer::Decoded(told(is_told, bytes, |it| several(it, event))),
        6 => Answer::Exported(told(is_told, bytes, |it| match it.flag() {
            true => Delivery::Http(request(it)),
            false => Delivery::Bytes(it.piece().to_vec()),
        })),
        7 => Answer::Judged(match bytes.below(3) {
            0 => Verdict::Delivered,
            1 => Verdict::RetryAfterSeconds(u32::from(bytes.byte())),
            _ => Verdict::Rejected(secret(bytes)),
        }),
        _ => Answer::Confirming(bytes.flag().then(|| request(bytes))),
    }
}

/// What was asked for, or why not.
fn told<T>(
    is_told: bool,
    bytes: &mut Bytes<'_>,
    answer: impl FnOnce(&mut Bytes<'_>) -> T,
) -> Result<T, Error> {
    if is_told {
        return Ok(answer(bytes));
    }
    Err(match bytes.below(6) {
        0 => Error::InvalidInput(secret(bytes)),
        1 => Error::Unsupported(secret(bytes)),
        2 => Error::LimitExceeded(secret(bytes)),
        3 => Error::Unavailable(secret(bytes)),
        4 => Error::Internal(secret(bytes)),
        _ => Error::Other(OtherError {
            code: secret(bytes),
            detail: bytes.flag().then(|| secret(bytes)),
            retryable: bytes.flag(),
        }),
    })
}

fn secret(bytes: &mut Bytes<'_>) -> String {
    let word = bytes.word(&["`max_tokens`", "`image/png`", "`top_k`", "`Quackenbush`"]);
    format!("{SECRET} {word} {SECRET}")
}

fn several<T>(bytes: &mut Bytes<'_>, mut one: impl FnMut(&mut Bytes<'_>) -> T) -> Vec<T> {
    (0..bytes.below(5)).map(|_| one(bytes)).collect()
}

fn decision(bytes: &mut Bytes<'_>) -> Decision {
    let effects = [
        Effect::Permit,
        Effect::Deny,
        Effect::NotApplicable,
        Effect::Indeterminate,
    ];
    let effect = effects.get(bytes.below(4)).copied();
    Decision {
        effect: effect.unwrap_or(Effect::Deny),
        reasons: several(bytes, |it| Reason {
            code: it.text(),
            text: it.flag().then(|| it.text()),
            policy: None,
        }),
        obligations: several(bytes, |it| Obligation {
            id: it.text(),
            arguments: several(it, attribute),
        }),
    }
}

fn message(bytes: &mut Bytes<'_>) -> Message {
    Message {
        role: bytes.word(&["user", "system", "known"]),
        name: bytes.flag().then(|| bytes.text()),
        parts: several(bytes, |it| match it.below(4) {
            0 => Part::Json(it.text()),
            1 => Part::Blob(BlobRef {
                media_type: it.word(&["image/png", "application/pdf"]),
                length: u64::from(it.byte()),
                sha256: "00".repeat(32),
            }),
            _ => Part::Text(it.text()),
        }),
    }
}

fn span(bytes: &mut Bytes<'_>) -> Span {
    let start = u32::from(bytes.byte());
    Span {
        message: u32::from(bytes.byte() & 3),
        part: u32::from(bytes.byte() & 3),
        start,
        end: start.wrapping_add(u32::from(bytes.byte())),
        kind: bytes.word(&["name", "date", "mrn", "health-plan", "n", "Name", ""]),
        confidence: confidence(bytes),
        rule: bytes.flag().then(|| bytes.text()),
    }
}

fn confidence(bytes: &mut Bytes<'_>) -> f32 {
    match bytes.below(8) {
        0 => f32::from_bits(u32::from_le_bytes(bytes.array())),
        1 => f32::NAN,
        2 => 1.0,
        3 => -0.0,
        _ => f32::from(bytes.byte()) / 255.0,
    }
}

fn event(bytes: &mut Bytes<'_>) -> Event {
    match bytes.below(6) {
        0 => Event::Text(bytes.text()),
        1 => Event::ToolCall(ToolCallDelta {
            index: u32::from(bytes.byte()),
            id: bytes.flag().then(|| bytes.text()),
            name: bytes.flag().then(|| bytes.text()),
            arguments: bytes.text(),
        }),
        2 => Event::Stopped(bytes.text()),
        3 => Event::Used(Usage {
            input_tokens: bytes.flag().then(|| u64::from_le_bytes(bytes.array())),
            output_tokens: None,
        }),
        4 => Event::Model(bytes.text()),
        _ => Event::Other(attribute(bytes)),
    }
}

fn attribute(bytes: &mut Bytes<'_>) -> Attribute {
    Attribute {
        name: bytes.word(&["top_k", "refusal", "embedding"]),
        value: match bytes.below(5) {
            0 => Value::Text(bytes.text()),
            1 => Value::Number(i64::from_le_bytes(bytes.array())),
            2 => Value::Boolean(bytes.flag()),
            3 => Value::Texts(several(bytes, |it| it.text())),
            _ => Value::Json(bytes.text()),
        },
    }
}

fn header(bytes: &mut Bytes<'_>) -> (String, String) {
    let name = bytes.word(&[
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "accept",
        "Authorization",
    ]);
    (name, bytes.text())
}

fn request(bytes: &mut Bytes<'_>) -> HttpRequest {
    HttpRequest {
        method: bytes.word(&["POST", "GET"]),
        path: bytes.word(&["/v1/chat/completions"]),
        headers: several(bytes, header),
        body: bytes.piece().to_vec(),
        credential: bytes.flag().then(|| bytes.text()),
    }
}

/// The request in question with more headers, or another one.
fn signed(bytes: &mut Bytes<'_>, question: &Judgement) -> HttpRequest {
    let asked = match question {
        Judgement::Sign { request, .. } => Some(request),
        Judgement::Decide(_)
        | Judgement::Detect { .. }
        | Judgement::Deidentify { .. }
        | Judgement::Reidentify { .. }
        | Judgement::Encode { .. }
        | Judgement::Decode { .. }
        | Judgement::Export(_)
        | Judgement::Judge { .. }
        | Judgement::Confirm { .. } => None,
    };
    match asked.filter(|_| bytes.below(8) > 0) {
        Some(asked) => {
            let mut signed = asked.clone();
            signed.headers.extend(several(bytes, header));
            signed
        }
        None => request(bytes),
    }
}
