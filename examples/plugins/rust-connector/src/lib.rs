//! Speaks to servers with Ollama's API (POST /api/chat): lines of JSON, each with the next piece of the answer.
//!
//! Settings: `{"path": "/api/chat", "credential": "name"}`, each of which may be left out.

use nephron_sdk::connector::{
    ChatCall, Connector, Decode, Event, HttpRequest, Message, Part, Plan, RequestInfo, Usage,
};
use nephron_sdk::{Error, Plugin, Problem};
use serde::{Deserialize, Serialize};

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the server answers chats.
    pub path: String,
    /// The name of the credential that the host adds.
    pub credential: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/api/chat".to_owned(),
            credential: None,
        }
    }
}

/// The settings as they are: what `configure` leaves is where each call begins.
#[derive(Debug)]
pub struct Ollama(Settings);

impl Plugin for Ollama {
    type Settings = Settings;
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        if settings.path.starts_with('/') {
            Ok(Self(settings))
        } else {
            let message = "it must be a path, such as `/api/chat`";
            Err(vec![Problem::at("path", message)])
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: Vec<Said<'a>>,
    options: Options<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'a str,
    content: String,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
}

impl Connector for Ollama {
    type Decoder = Lines;

    fn encode(&self, _: RequestInfo, call: ChatCall) -> Result<Plan, Error> {
        // What cannot be said is refused by its name: left out, the answer would be one to another question.
        if let Some(option) = call.options.first() {
            return Err(unsupported(&option.name));
        }
        let messages: Result<_, _> = call.messages.iter().map(said).collect();
        let body = Body {
            model: &call.model,
            stream: call.want_stream,
            messages: messages?,
            options: Options {
                num_predict: call.max_tokens,
                temperature: call.temperature,
                stop: &call.stop,
            },
        };
        let body = serde_json::to_vec(&body);
        Ok(Plan::Call(HttpRequest {
            method: "POST".to_owned(),
            path: self.0.path.clone(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.map_err(|error| Error::InvalidInput(error.to_string()))?,
            credential: self.0.credential.clone(),
        }))
    }
}

fn said(message: &Message) -> Result<Said<'_>, Error> {
    let texts = message.parts.iter().map(|part| match part {
        Part::Text(text) | Part::Json(text) => Ok(text.as_str()),
        Part::Blob(blob) => Err(unsupported(&blob.media_type)),
    });
    Ok(Said {
        role: &message.role,
        content: texts.collect::<Result<_, _>>()?,
    })
}

/// One response. Bytes come cut anywhere; a line is read when its end is there.
#[derive(Debug)]
pub struct Lines {
    is_failed: bool,
    rest: Vec<u8>,
    is_named: bool,
    is_ended: bool,
}

#[derive(Deserialize)]
struct Piece {
    model: Option<String>,
    message: Content,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

impl Decode for Lines {
    fn new(status: u16, _: Vec<(String, String)>) -> Self {
        Self {
            is_failed: status != 200,
            rest: Vec::new(),
            is_named: false,
            is_ended: false,
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        // A failure is told by `finish`: its body could repeat what was asked, and nobody reads it.
        if self.is_failed {
            return Ok(events);
        }
        let mut lines = chunk.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            self.rest.extend_from_slice(line);
            let line = std::mem::take(&mut self.rest);
            self.line(&line, &mut events)?;
        }
        self.rest.extend_from_slice(last);
        Ok(events)
    }

    fn finish(mut self) -> Result<Vec<Event>, Error> {
        if self.is_failed {
            return Err(unavailable("the server refused the call"));
        }
        let (mut events, line) = (Vec::new(), std::mem::take(&mut self.rest));
        self.line(&line, &mut events)?;
        if self.is_ended {
            Ok(events)
        } else {
            Err(unavailable("the answer was cut off"))
        }
    }
}

impl Lines {
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let piece: Piece = serde_json::from_slice(line)
            .map_err(|_| unavailable("the answer is none of this API"))?;
        if let Some(model) = piece.model.filter(|_| !self.is_named) {
            events.push(Event::Model(model));
            self.is_named = true;
        }
        if !piece.message.content.is_empty() {
            events.push(Event::Text(piece.message.content));
        }
        if piece.done {
            self.is_ended = true;
            let why = piece.done_reason.unwrap_or_else(|| "stop".to_owned());
            events.push(Event::Stopped(why));
            events.push(Event::Used(Usage {
                input_tokens: piece.prompt_eval_count,
                output_tokens: piece.eval_count,
            }));
        }
        Ok(())
    }
}

fn unsupported(name: &str) -> Error {
    Error::Unsupported(format!("`{name}` cannot be said to this server"))
}

fn unavailable(message: &str) -> Error {
    Error::Unavailable(message.to_owned())
}

nephron_sdk::export!(connector: Ollama);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_cut_anywhere() {
        let text = "{\"model\":\"m\",\"message\":{\"content\":\"ü\"},\"done\":true}\n";
        let mut decoder = Lines::new(200, vec![]);
        let mut events: Vec<Event> = Vec::new();
        for byte in text.bytes() {
            events.extend(decoder.push(&[byte]).unwrap());
        }
        events.extend(decoder.finish().unwrap());
        assert!(
            matches!(&*events, [Event::Model(model), Event::Text(text), Event::Stopped(_), Event::Used(_)]
                if model == "m" && text == "ü"),
            "{events:?}"
        );
    }

    #[test]
    fn an_answer_that_was_cut_off_is_an_error() {
        let mut decoder = Lines::new(200, vec![]);
        decoder
            .push(b"{\"message\":{\"content\":\"a\"}}\n")
            .unwrap();
        assert!(decoder.finish().is_err());
    }
}
