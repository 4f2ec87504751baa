//! A response as it arrives: server-sent events, or one JSON object.

use nephron_sdk::answer::{Failure, Flow, Reader};
use nephron_sdk::connector::Event;
use nephron_sdk::sse::{ServerSentEvents, SseEvent};

use crate::chunk::{self, Completion};

/// Decodes one response, streamed or whole.
pub type Decoder = nephron_sdk::answer::Decoder<Completion>;

impl Reader for Completion {
    type Frames = ServerSentEvents;

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        self.read(body, events)?;
        if !self.is_begun {
            return Err(Failure::Malformed);
        }
        self.told(events);
        Ok(())
    }

    fn frame(&mut self, frame: SseEvent, events: &mut Vec<Event>) -> Result<Flow, Failure> {
        let SseEvent { data, is_error } = frame;
        if data.trim_ascii() == b"[DONE]" {
            self.told(events);
            return Ok(Flow::IsOver);
        }
        match self.read(&data, events) {
            // llama.cpp writes the error object itself, others whatever they like.
            Ok(()) | Err(Failure::Malformed) if is_error => {
                let error = serde_json::from_slice(&data).unwrap_or_default();
                Err(Failure::Reported {
                    retryable: chunk::is_retryable(&error),
                })
            }
            read => read.map(|()| Flow::GoesOn),
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        // A server that gave its reason to stop has said everything, though it leaves out `[DONE]`.
        if !self.is_stopped {
            return Err(Failure::EndedEarly);
        }
        self.told(events);
        Ok(())
    }
}
