//! One exchange: intent, bytes out, bytes back, each with its entry.

use std::sync::Arc;
use std::time::Duration;

use nephron_engine::Judgement;
use nephron_engine::contract::Event;
use nephron_engine::{Messages, Plugin};
use nephron_model::{EntryKind, Phi, Point};

use super::{Exchanged, RECEIVED, SENT, Setback};
use crate::associates::Ground;
use crate::case::Case;
use crate::config::Endpoint;
use crate::egress::{EgressError, Outgoing};
use crate::gateway::Gateway;
use crate::refusal::Refusal;
use crate::said::Said;
use crate::wire::blob::{self, Blob};

/// One exchange with one endpoint.
pub(super) struct Exchange<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) case: &'a Case,
    pub(super) endpoint: &'a Endpoint,
    pub(super) connector: &'a Arc<Plugin>,
    pub(super) ground: Ground,
    /// What the connector was asked to encode.
    pub(super) began: Phi<Judgement>,
}

impl Exchange<'_> {
    fn draft(&self, kind: EntryKind, outcome: &str) -> nephron_model::Draft {
        let mut draft = self
            .case
            .draft(kind, outcome)
            .fact("endpoint", self.endpoint.name.as_str())
            .fact("ground", self.ground.as_str());
        if let Some(associate) = &self.endpoint.associate {
            draft = draft.fact("associate", associate.as_str());
        }
        draft = match &self.ground {
            Ground::InSandbox => draft,
            Ground::Agreement { id } => draft.fact("agreement", id.as_str()),
            Ground::Cleared { lacks } => draft.fact("lacks", lacks.code()),
        };
        draft.point = Some(Point::Egress);
        draft
    }

    /// The connector has answered by itself. What it was shown is recorded all the same, and waited for, though nothing left
    /// the process: tokens of the request can be looked up only once they are durable.
    pub(super) async fn in_sandbox(
        &self,
        shown: &Messages,
        events: Vec<Event>,
    ) -> Result<Vec<Event>, Refusal> {
        let text = |message: &nephron_engine::contract::Message| -> String {
            let part = |part: &nephron_engine::contract::Part| match part {
                nephron_engine::contract::Part::Text(text)
                | nephron_engine::contract::Part::Json(text) => text.clone(),
                nephron_engine::contract::Part::Blob(_) => String::new(),
            };
            message.parts.iter().map(part).collect()
        };
        let seen = Phi::new(shown.0.iter().map(text).collect::<Vec<_>>().join("\n\n"));
        let mut sending = self.draft(EntryKind::Sending, "in-sandbox");
        sending = self
            .case
            .committed(sending, SENT, seen.expose().as_bytes())?;
        sending.payload = self.case.sealed(SENT, seen.expose().as_bytes())?;
        let _recorded = self.case.record(sending).await?;
        let mut said = Phi::new(Said::default());
        for event in events.iter().cloned() {
            said.expose_mut().take(event);
        }
        let mut received = self.draft(EntryKind::Received, "answered");
        let text = said.expose().text.as_bytes();
        received = self.case.committed(received, RECEIVED, text)?;
        received.payload = self.case.sealed(RECEIVED, text)?;
        self.case.note(received);
        Ok(events)
    }

    /// Intent, then the head of the response. Whatever happens after the intent, an outcome entry says so. Where there is
    /// another try, the response must also not say that the endpoint cannot serve now, and its first bytes must be there.
    pub(super) async fn over_http(
        &self,
        outgoing: Outgoing,
        blobs: &[Blob],
        is_last: bool,
    ) -> Result<Exchanged, Setback> {
        let mut sending = self
            .draft(EntryKind::Sending, "intent")
            .fact("method", outgoing.method())
            .fact("operation", operation(outgoing.path()));
        if !blobs.is_empty() {
            sending.counts = blob::families(blobs);
            sending = sending.fact("blobs", self.fingerprints(blobs)?);
        }
        sending = self.case.committed(sending, SENT, outgoing.body())?;
        sending.payload = self.case.sealed(SENT, outgoing.body())?;
        let recorded = self.case.record(sending).await?;

        let mut unanswered = Unanswered(Some(self));
        let mut arriving = self.gateway.egress().send(outgoing, recorded).await;
        let mut status = None;
        let mut retry_after = None;
        if let Ok(response) = &mut arriving
            && !is_last
        {
            status = Some(response.status);
            retry_after = response.retry_after();
            let begun = match response.unavailable() {
                Some(error) => Err(error),
                None => response.begin().await,
            };
            arriving = begun.and(arriving);
        }
        let response = match arriving {
            Ok(response) => response,
            Err(error) => {
                unanswered.0 = None;
                let mut received = self.received("failed", status, &[])?;
                received.reasons.push(error.code().to_owned());
                self.case.note(received);
                return Err(self.setback(error, retry_after));
            }
        };
        let info = self.case.info_for_connectors();
        let decoding = self
            .case
            .engine
            .decode(self.connector, &info, response.status, &response.headers)
            .await;
        unanswered.0 = None;
        Ok(Exchanged {
            response,
            decoding,
            info,
            chunks: Vec::new(),
            events: Vec::new(),
            is_decoding: false,
        })
    }

    /// A keyed fingerprint of each blob's digest, in order, with a space between: who knows the bytes and the tenant's key
    /// finds where they went.
    fn fingerprints(&self, blobs: &[Blob]) -> Result<String, Refusal> {
        let keys = self.case.tenant.keys();
        let mut texts = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let digest = blob.digest().to_string();
            texts.push(keys.fingerprint(digest.as_bytes())?.to_string());
        }
        Ok(texts.join(" "))
    }

    pub(super) fn received(
        &self,
        outcome: &str,
        status: Option<u16>,
        chunks: &[Vec<u8>],
    ) -> Result<nephron_model::Draft, Refusal> {
        let mut received = self.draft(EntryKind::Received, outcome);
        if let Some(status) = status {
            received = received.fact("status", status.to_string());
        }
        let bytes = chunks.concat();
        received = self.case.committed(received, RECEIVED, &bytes)?;
        received.payload = self.case.sealed(RECEIVED, &bytes)?;
        Ok(received)
    }

    /// What an error of egress means for the request.
    pub(super) fn setback(&self, source: EgressError, retry_after: Option<Duration>) -> Setback {
        let (is_the_endpoints, passes) = (source.is_the_endpoints(), source.passes());
        let refusal = self.failed(source);
        match (is_the_endpoints, passes) {
            (true, true) => Setback::Later(refusal, retry_after),
            (true, false) => Setback::Elsewhere(refusal),
            (false, _) => Setback::Final(refusal),
        }
    }

    pub(super) fn failed(&self, source: EgressError) -> Refusal {
        Refusal::Upstream {
            endpoint: self.endpoint.name.clone(),
            source,
        }
    }
}

/// The longest that an endpoint may wish to be left alone and still be asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait before an endpoint is asked again, for the first time after `retried` = 0: as long as it wishes, or a
/// quarter of a second, doubled each time. Nothing where it wishes for longer than a request can wait.
pub(super) fn pause(retried: u64, wish: Option<Duration>) -> Option<Duration> {
    let doubled = Duration::from_millis(250 << retried.min(5));
    Some(wish.unwrap_or(doubled)).filter(|pause| *pause <= LONGEST_PAUSE)
}

/// An exchange whose response has not begun. Dropped, it records that nobody waits for one any more.
struct Unanswered<'e, 'a>(Option<&'e Exchange<'a>>);

impl Drop for Unanswered<'_, '_> {
    fn drop(&mut self) {
        if let Some(exchange) = self.0
            && let Ok(received) = exchange.received("abandoned", None, &[])
        {
            exchange.case.note(received);
        }
    }
}

/// What is asked of the endpoint, by the end of the path; the path itself is the plugin's text, and sealed.
fn operation(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default();
    [
        "chat/completions",
        "messages",
        "responses",
        "embeddings",
        "converse",
        "converse-stream",
    ]
    .into_iter()
    .find(|known| path.ends_with(&format!("/{known}")))
    .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_left_alone_for_as_long_as_it_wishes_and_no_longer_than_a_request_can_wait() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let millis = |millis| Some(Duration::from_millis(millis));
        for (retried, wish, expected) in [
            (0, None, millis(250)),
            (1, None, millis(500)),
            (2, None, millis(1_000)),
            (2, seconds(0), seconds(0)),
            (0, seconds(10), seconds(10)),
            (0, seconds(11), None),
        ] {
            assert_eq!(pause(retried, wish), expected);
        }
    }
}
