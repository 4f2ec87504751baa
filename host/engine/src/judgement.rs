//! One question to a plugin, and its answer: records in, records out, so that both can be logged and run again (I8).

use nephron_model::{Kind, Phi};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::PluginFailure;
use crate::contract::{
    Batch, ChatCall, Decision, Delivery, Error, Event, HttpRequest, Message, Outcome, Part, Plan,
    Query, RequestInfo, Span, Verdict,
};

/// A question, complete: a plugin's answer depends on this, its component and its settings alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Judgement {
    /// To a decider.
    Decide(Query),
    /// To a detector.
    Detect {
        /// About the request.
        info: RequestInfo,
        /// What to search.
        messages: Vec<Message>,
    },
    /// To a transformer, with a lent key: rewrite without identifiers.
    Deidentify {
        /// About the request.
        info: RequestInfo,
        /// What to rewrite.
        messages: Vec<Message>,
        /// Where the identifiers are.
        found: Vec<Span>,
    },
    /// To a transformer, with a lent key: put identifiers back.
    Reidentify {
        /// About the request.
        info: RequestInfo,
        /// What to rewrite.
        messages: Vec<Message>,
    },
    /// To a connector: which HTTP request, or which answer of its own.
    Encode {
        /// About the request.
        info: RequestInfo,
        /// The call.
        call: ChatCall,
    },
    /// To a connector or an exporter that signs, with a lent key: the same request, signed.
    Sign {
        /// About the request.
        info: RequestInfo,
        /// What it encoded.
        #[serde(with = "encoded::Request")]
        request: HttpRequest,
        /// The endpoint's host, as the header `host` names it.
        host: String,
        /// What the key said and gave, so that the judgement can be run again without it. The question of a live call has
        /// nothing here: [`Engine::sign`](crate::Engine::sign) fills it in.
        key: KeyPlayed,
    },
    /// To a connector: what these bytes say. A live response is decoded as it arrives; this is the whole of it.
    Decode {
        /// About the request.
        info: RequestInfo,
        /// HTTP status.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// The body as it was cut.
        #[serde(with = "encoded::all")]
        chunks: Vec<Vec<u8>>,
        /// Whether it broke off there: then the connector was not told of an end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_cut_off: bool,
    },
    /// To an exporter: what to deliver.
    Export(Batch),
    /// To an exporter: whether an HTTP delivery arrived.
    Judge {
        /// HTTP status.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// Body.
        #[serde(with = "encoded")]
        body: Vec<u8>,
    },
    /// To an exporter that confirms: what to ask after this answer, which it called a delivery.
    Confirm {
        /// HTTP status.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// Body.
        #[serde(with = "encoded")]
        body: Vec<u8>,
    },
}

/// What a lent signing key said and gave in one call. Signatures, which stand in the answer too, and no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyPlayed {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// What was authenticated, and the code, in order.
    pub macs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a plugin answered, its own errors included.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Judgement::Decide`].
    Decided(Result<Decision, Error>),
    /// To [`Judgement::Detect`].
    Detected(Result<Vec<Span>, Error>),
    /// To [`Judgement::Deidentify`] and [`Judgement::Reidentify`].
    Transformed(Result<Outcome, Error>),
    /// To [`Judgement::Encode`].
    Planned(Result<Plan, Error>),
    /// To [`Judgement::Sign`]. Recorded without the body, which is the question's.
    #[serde(with = "encoded::signed")]
    Signed(Result<HttpRequest, Error>),
    /// To [`Judgement::Decode`]: the events of each push and of the end, run together.
    Decoded(Result<Vec<Event>, Error>),
    /// To [`Judgement::Export`].
    #[serde(with = "encoded::exported")]
    Exported(Result<Delivery, Error>),
    /// To [`Judgement::Judge`].
    Judged(Verdict),
    /// To [`Judgement::Confirm`].
    Confirming(#[serde(with = "encoded::asked")] Option<HttpRequest>),
}

/// What goes and comes over HTTP, in base64 (RFC 4648 §4): most of a log is that.
mod encoded {
    use std::borrow::Cow;

    use crate::contract::HttpRequest;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, B: From<Vec<u8>>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<B, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let decoded = STANDARD.decode(text.as_bytes());
        let decoded = decoded.map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(decoded.into())
    }

    /// A request to be signed.
    #[derive(Serialize, Deserialize)]
    #[serde(remote = "HttpRequest")]
    pub(super) struct Request {
        method: String,
        path: String,
        headers: Vec<(String, String)>,
        #[serde(with = "super::encoded")]
        body: Vec<u8>,
        credential: Option<String>,
    }

    pub(super) mod signed {
        use super::{Deserialize, Deserializer, HttpRequest, Serialize, Serializer};
        use crate::contract::Error;

        #[derive(Serialize, Deserialize)]
        #[serde(remote = "HttpRequest")]
        struct Signed {
            method: String,
            path: String,
            headers: Vec<(String, String)>,
            #[serde(skip)]
            body: Vec<u8>,
            credential: Option<String>,
        }

        #[derive(Serialize)]
        struct Lent<'a>(#[serde(with = "Signed")] &'a HttpRequest);

        #[derive(Deserialize)]
        struct Owned(#[serde(with = "Signed")] HttpRequest);

        pub(in super::super) fn serialize<S: Serializer>(
            signed: &Result<HttpRequest, Error>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            signed.as_ref().map(Lent).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Result<HttpRequest, Error>, D::Error> {
            let signed = Result::<Owned, Error>::deserialize(from)?;
            Ok(signed.map(|signed| signed.0))
        }
    }

    #[derive(Serialize)]
    struct Lent<'a>(#[serde(with = "Request")] &'a HttpRequest);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "Request")] HttpRequest);

    /// What an exporter delivers.
    pub(super) mod exported {
        use super::{Deserialize, Deserializer, Lent, Owned, Serialize, Serializer};
        use crate::contract::{Delivery, Error};

        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        enum LentDelivery<'a> {
            Http(Lent<'a>),
            Bytes(#[serde(with = "super::super::encoded")] &'a [u8]),
        }

        impl<'a> LentDelivery<'a> {
            fn of(delivery: &'a Delivery) -> Self {
                match delivery {
                    Delivery::Http(request) => Self::Http(Lent(request)),
                    Delivery::Bytes(bytes) => Self::Bytes(bytes),
                }
            }
        }

        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        enum OwnedDelivery {
            Http(Owned),
            Bytes(#[serde(deserialize_with = "super::super::encoded::deserialize")] Vec<u8>),
        }

        pub(in super::super) fn serialize<S: Serializer>(
            exported: &Result<Delivery, Error>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            exported.as_ref().map(LentDelivery::of).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Result<Delivery, Error>, D::Error> {
            let exported = Result::<OwnedDelivery, Error>::deserialize(from)?;
            Ok(exported.map(|delivery| match delivery {
                OwnedDelivery::Http(request) => Delivery::Http(request.0),
                OwnedDelivery::Bytes(bytes) => Delivery::Bytes(bytes),
            }))
        }
    }

    /// What an exporter asks after a delivery, if anything.
    pub(super) mod asked {
        use super::{Deserialize, Deserializer, HttpRequest, Lent, Owned, Serialize, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            asked: &Option<HttpRequest>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            asked.as_ref().map(Lent).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<HttpRequest>, D::Error> {
            let asked = Option::<Owned>::deserialize(from)?;
            Ok(asked.map(|asked| asked.0))
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Encoded<'a>(#[serde(with = "super::encoded")] Cow<'a, [u8]>);

    pub(super) mod all {
        use super::{Cow, Deserialize, Deserializer, Encoded, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            chunks: &[Vec<u8>],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.collect_seq(chunks.iter().map(|chunk| Encoded(Cow::Borrowed(chunk))))
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Vec<Vec<u8>>, D::Error> {
            let chunks = Vec::<Encoded<'_>>::deserialize(from)?;
            Ok(chunks
                .into_iter()
                .map(|chunk| chunk.0.into_owned())
                .collect())
        }
    }
}

impl Judgement {
    /// The bytes that are recorded: JSON with the fields in the order of the contract, the same for equal questions.
    #[must_use]
    pub fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads recorded bytes.
    ///
    /// # Errors
    /// When they are no judgement of this version; the error names a place, never the text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotRecordedForm> {
        read(bytes)
    }
}

impl Answer {
    /// The bytes that are recorded and that replay compares.
    #[must_use]
    pub fn to_bytes(&self) -> Phi<Vec<u8>> {
        Phi::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads recorded bytes.
    ///
    /// # Errors
    /// When they are no answer of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotRecordedForm> {
        read(bytes)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotRecordedForm> {
    serde_json::from_slice(bytes).map_err(|error| NotRecordedForm {
        line: error.line(),
        column: error.column(),
    })
}

impl Judgement {
    /// Its kind, by the name that it is recorded under.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Decide(_) => "decide",
            Self::Detect { .. } => "detect",
            Self::Deidentify { .. } => "deidentify",
            Self::Reidentify { .. } => "reidentify",
            Self::Encode { .. } => "encode",
            Self::Sign { .. } => "sign",
            Self::Decode { .. } => "decode",
            Self::Export(_) => "export",
            Self::Judge { .. } => "judge",
            Self::Confirm { .. } => "confirm",
        }
    }

    /// What is asked, whenever and under whichever id: equal for a request that is sent again.
    #[must_use]
    pub fn matter(&self) -> Phi<Vec<u8>> {
        let mut same = Phi::new(self.clone());
        if let Some(info) = same.expose_mut().info_mut() {
            info.id.clear();
            (info.received_at.seconds, info.received_at.nanoseconds) = (0, 0);
        }
        same.expose().to_bytes()
    }

    const fn info_mut(&mut self) -> Option<&mut RequestInfo> {
        match self {
            Self::Decide(query) => Some(&mut query.info),
            Self::Detect { info, .. }
            | Self::Deidentify { info, .. }
            | Self::Reidentify { info, .. }
            | Self::Encode { info, .. }
            | Self::Sign { info, .. }
            | Self::Decode { info, .. } => Some(info),
            Self::Export(_) | Self::Judge { .. } | Self::Confirm { .. } => None,
        }
    }

    /// What the plugin is told about the request; exporters are asked about no request.
    pub(crate) const fn info(&self) -> Option<&RequestInfo> {
        match self {
            Self::Decide(query) => Some(&query.info),
            Self::Detect { info, .. }
            | Self::Deidentify { info, .. }
            | Self::Reidentify { info, .. }
            | Self::Encode { info, .. }
            | Self::Sign { info, .. }
            | Self::Decode { info, .. } => Some(info),
            Self::Export(_) | Self::Judge { .. } | Self::Confirm { .. } => None,
        }
    }
}

/// Spans of one answer.
const MOST_SPANS: usize = 100_000;

impl Answer {
    /// The plugin's own error, if it is one.
    pub(crate) const fn error(&self) -> Option<&Error> {
        match self {
            Self::Decided(Err(error))
            | Self::Detected(Err(error))
            | Self::Transformed(Err(error))
            | Self::Planned(Err(error))
            | Self::Signed(Err(error))
            | Self::Decoded(Err(error))
            | Self::Exported(Err(error)) => Some(error),
            Self::Decided(Ok(_))
            | Self::Detected(Ok(_))
            | Self::Transformed(Ok(_))
            | Self::Planned(Ok(_))
            | Self::Signed(Ok(_))
            | Self::Decoded(Ok(_))
            | Self::Exported(Ok(_))
            | Self::Judged(_)
            | Self::Confirming(_) => None,
        }
    }

    /// The answer, if it keeps what the contract says beyond its types; a plugin's own error is a failure too.
    pub(crate) fn checked_against(self, judgement: &Judgement) -> Result<Self, PluginFailure> {
        match &self {
            Self::Planned(Err(error)) => {
                let Judgement::Encode { call, .. } = judgement else {
                    return Err(PluginFailure::BadAnswer("to-another-question"));
                };
                Err(PluginFailure::Reported {
                    code: error.code(),
                    about: error.about(call),
                    is_passing: error.is_passing(),
                })
            }
            Self::Decided(Err(error))
            | Self::Detected(Err(error))
            | Self::Transformed(Err(error))
            | Self::Signed(Err(error))
            | Self::Decoded(Err(error))
            | Self::Exported(Err(error)) => Err(error.reported()),
            Self::Detected(Ok(spans)) => {
                let Judgement::Detect { messages, .. } = judgement else {
                    return Err(PluginFailure::BadAnswer("to-another-question"));
                };
                check_spans(spans, messages).map(|()| self)
            }
            Self::Transformed(Ok(outcome)) => match outcome.residual_risk {
                Some(risk) if !(0.0..=1.0).contains(&risk) => {
                    Err(PluginFailure::BadAnswer("risk-out-of-range"))
                }
                _ => Ok(self),
            },
            Self::Signed(Ok(signed)) => {
                let Judgement::Sign { request, .. } = judgement else {
                    return Err(PluginFailure::BadAnswer("to-another-question"));
                };
                check_signed(signed, request).map(|()| self)
            }
            Self::Decided(Ok(_))
            | Self::Planned(Ok(_))
            | Self::Decoded(Ok(_))
            | Self::Exported(Ok(_))
            | Self::Judged(_)
            | Self::Confirming(_) => Ok(self),
        }
    }
}

/// The answer to the question that was asked, since the types of a judgement and of its answer cannot be tied here.
macro_rules! answer_to {
    ($(#[$doc:meta])* $name:ident: $variant:ident($inner:ty)) => {
        impl Answer {
            $(#[$doc])*
            ///
            /// # Errors
            /// [`PluginFailure`] when it is the plugin's own error, or an answer to another question.
            pub fn $name(self) -> Result<$inner, PluginFailure> {
                match self {
                    Self::$variant(Ok(answer)) => Ok(answer),
                    Self::$variant(Err(error)) => Err(error.reported()),
                    _ => Err(PluginFailure::BadAnswer("to-another-question")),
                }
            }
        }
    };
}

answer_to!(
    /// The decision of a decider.
    decision: Decided(Decision)
);
answer_to!(
    /// The spans of a detector.
    spans: Detected(Vec<Span>)
);
answer_to!(
    /// What a transformer wrote.
    outcome: Transformed(Outcome)
);
answer_to!(
    /// The plan of a connector.
    plan: Planned(Plan)
);
answer_to!(
    /// The request that a connector has signed.
    signed: Signed(HttpRequest)
);
answer_to!(
    /// The delivery of an exporter.
    delivery: Exported(Delivery)
);

impl Answer {
    /// What an exporter makes of the answer to a delivery.
    ///
    /// # Errors
    /// [`PluginFailure`] when it is an answer to another question.
    pub fn verdict(self) -> Result<Verdict, PluginFailure> {
        let Self::Judged(verdict) = self else {
            return Err(PluginFailure::BadAnswer("to-another-question"));
        };
        Ok(verdict)
    }

    /// What an exporter asks after a delivery, if anything.
    ///
    /// # Errors
    /// [`PluginFailure`] when it is an answer to another question.
    pub fn confirming(self) -> Result<Option<HttpRequest>, PluginFailure> {
        let Self::Confirming(asked) = self else {
            return Err(PluginFailure::BadAnswer("to-another-question"));
        };
        Ok(asked)
    }
}

/// Headers that a signer adds. Only it may: in what it encodes, `authorization` is the host's.
pub const SIGNATURE: [&str; 3] = ["authorization", "x-amz-content-sha256", "x-amz-date"];

/// A signature adds headers of its own to a request, each once, and changes nothing else.
fn check_signed(signed: &HttpRequest, request: &HttpRequest) -> Result<(), PluginFailure> {
    let HttpRequest { headers, .. } = signed;
    let added = headers.strip_prefix(request.headers.as_slice());
    let is_same = (
        &signed.method,
        &signed.path,
        &signed.body,
        &signed.credential,
    ) == (
        &request.method,
        &request.path,
        &request.body,
        &request.credential,
    );
    let added = added.filter(|_| is_same);
    let added = added.ok_or(PluginFailure::BadAnswer("signed-another-request"))?;
    let mut left = SIGNATURE.to_vec();
    let signed_before =
        |(name, _): &(String, String)| left.iter().any(|known| known.eq_ignore_ascii_case(name));
    if request.headers.iter().any(signed_before) {
        return Err(PluginFailure::BadAnswer("signed-before"));
    }
    for (name, _) in added {
        let place = left.iter().position(|known| known == name);
        left.swap_remove(place.ok_or(PluginFailure::BadAnswer("header-is-no-signature"))?);
    }
    Ok(())
}

/// Spans name a text, lie inside it on scalar boundaries, hold something, and do not overlap; kinds are names and
/// confidences lie in 0 to 1.
fn check_spans(spans: &[Span], messages: &[Message]) -> Result<(), PluginFailure> {
    let bad = |what| Err(PluginFailure::BadAnswer(what));
    if spans.len() > MOST_SPANS {
        return bad("too-many-spans");
    }
    let mut places = Vec::with_capacity(spans.len());
    for span in spans {
        let index = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        let part = messages
            .get(index(span.message))
            .and_then(|message| message.parts.get(index(span.part)));
        let Some(Part::Text(text) | Part::Json(text)) = part else {
            return bad("span-names-no-text");
        };
        if span.start >= span.end || index(span.end) > text.len() {
            return bad("span-out-of-range");
        }
        if text.get(index(span.start)..index(span.end)).is_none() {
            return bad("span-inside-a-scalar");
        }
        if !(0.0..=1.0).contains(&span.confidence) {
            return bad("confidence-out-of-range");
        }
        if span.kind.parse::<Kind>().is_err() {
            return bad("kind-is-no-name");
        }
        places.push((span.message, span.part, span.start, span.end));
    }
    places.sort_unstable();
    let overlapping = |pair: &[(u32, u32, u32, u32)]| match pair {
        [first, second] => (first.0, first.1) == (second.0, second.1) && second.2 < first.3,
        _ => false,
    };
    if places.windows(2).any(overlapping) {
        bad("spans-overlap")
    } else {
        Ok(())
    }
}

impl Error {
    /// Which case it is, as a code. Its text stays in the sandbox: a plugin has seen PHI.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "invalid-input",
            Self::Unsupported(_) => "unsupported",
            Self::LimitExceeded(_) => "limit-exceeded",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
            Self::Other(_) => "other",
        }
    }

    /// Its text, in which a plugin that has seen PHI must not repeat any, and which leaves the sandbox in rehearsals alone.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::InvalidInput(text)
            | Self::Unsupported(text)
            | Self::LimitExceeded(text)
            | Self::Unavailable(text)
            | Self::Internal(text) => text,
            Self::Other(error) => error.detail.as_deref().unwrap_or_default(),
        }
    }

    /// The same as a failure.
    pub(crate) const fn reported(&self) -> PluginFailure {
        PluginFailure::Reported {
            code: self.code(),
            about: None,
            is_passing: self.is_passing(),
        }
    }

    /// Whether the same may succeed later.
    const fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Other(error) => error.retryable,
            Self::InvalidInput(_)
            | Self::Unsupported(_)
            | Self::LimitExceeded(_)
            | Self::Internal(_) => false,
        }
    }

    /// What of `call` its text names between backticks: an option, a field of the call, or the media type of a blob. Only
    /// words that the host put into the call itself are looked for, so that no text of the plugin's comes out.
    fn about(&self, call: &ChatCall) -> Option<String> {
        let text = self.text();
        let options = call.options.iter().map(|option| option.name.as_str());
        let parts = call.messages.iter().flat_map(|message| &message.parts);
        let media = parts.filter_map(|part| match part {
            Part::Blob(blob) => Some(blob.media_type.as_str()),
            Part::Text(_) | Part::Json(_) => None,
        });
        let fields = ["max_tokens", "name", "stop", "temperature"].into_iter();
        let mut words = options.chain(media).chain(fields);
        words
            .find(|word| text.contains(&format!("`{word}`")))
            .map(str::to_owned)
    }
}

/// Bytes that are not in the recorded form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: not a judgement or answer as this version records them")]
pub struct NotRecordedForm {
    line: usize,
    column: usize,
}

/// Overwrites every text that a message holds, so that messages can be kept inside [`Phi`].
#[derive(Clone, Default, PartialEq)]
pub struct Messages(pub Vec<Message>);

impl Messages {
    /// Bytes of text in all messages together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |part: &Part| match part {
            Part::Text(text) | Part::Json(text) => text.len(),
            Part::Blob(_) => 0,
        };
        self.0
            .iter()
            .flat_map(|message| &message.parts)
            .map(text)
            .sum()
    }
}

impl Zeroize for Judgement {
    /// Overwrites what could hold text of the request.
    fn zeroize(&mut self) {
        match self {
            Self::Detect { messages, .. }
            | Self::Deidentify { messages, .. }
            | Self::Reidentify { messages, .. }
            | Self::Encode {
                call: ChatCall { messages, .. },
                ..
            } => Messages(std::mem::take(messages)).zeroize(),
            Self::Sign { request, .. } => request.body.zeroize(),
            Self::Decode { chunks, .. } => chunks.zeroize(),
            Self::Judge { body, .. } | Self::Confirm { body, .. } => body.zeroize(),
            Self::Decide(_) | Self::Export(_) => {}
        }
    }
}

impl Zeroize for Messages {
    fn zeroize(&mut self) {
        for message in &mut self.0 {
            message.name.zeroize();
            for part in &mut message.parts {
                match part {
                    Part::Text(text) | Part::Json(text) => text.zeroize(),
                    Part::Blob(_) => {}
                }
            }
        }
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_exporter_says_is_recorded_in_base64_and_read_back() {
        use crate::contract::Delivery;

        let request = || HttpRequest {
            method: "POST".to_owned(),
            path: "/v1/logs".to_owned(),
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: b"hello".to_vec(),
            credential: None,
        };
        for (answer, expected) in [
            (
                Answer::Exported(Ok(Delivery::Bytes(b"hello".to_vec()))),
                r#"{"exported":{"Ok":{"bytes":"aGVsbG8="}}}"#,
            ),
            (
                Answer::Exported(Ok(Delivery::Http(request()))),
                r#"{"exported":{"Ok":{"http":{"method":"POST","path":"/v1/logs","headers":[["content-type","text/plain"]],"body":"aGVsbG8=","credential":null}}}}"#,
            ),
            (Answer::Confirming(None), r#"{"confirming":null}"#),
            (
                Answer::Confirming(Some(request())),
                r#"{"confirming":{"method":"POST","path":"/v1/logs","headers":[["content-type","text/plain"]],"body":"aGVsbG8=","credential":null}}"#,
            ),
        ] {
            let bytes = answer.to_bytes();
            assert_eq!(std::str::from_utf8(bytes.expose()).unwrap(), expected);
            assert!(Answer::from_bytes(bytes.expose()).is_ok_and(|read| read == answer));
        }
    }

    #[test]
    fn a_signer_adds_a_signature_and_there_was_none_before() {
        let request = |names: &[&str]| HttpRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: names
                .iter()
                .map(|name| ((*name).to_owned(), "a".to_owned()))
                .collect(),
            body: Vec::new(),
            credential: None,
        };
        let check = |before: &[&str], after: &[&str], expected: Result<(), &'static str>| {
            let checked = check_signed(&request(after), &request(before));
            assert_eq!(checked, expected.map_err(PluginFailure::BadAnswer));
        };
        check(
            &["accept"],
            &["accept", "authorization", "x-amz-date"],
            Ok(()),
        );
        let before = Err("signed-before");
        check(&["authorization"], &["authorization"], before);
        check(
            &["Authorization"],
            &["Authorization", "authorization"],
            before,
        );
        check(&["X-Amz-Date"], &["X-Amz-Date", "authorization"], before);
        check(&[], &["cookie"], Err("header-is-no-signature"));
        let another = Err("signed-another-request");
        check(&["accept"], &["authorization"], another);
    }
}
