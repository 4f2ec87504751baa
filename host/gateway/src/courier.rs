//! What an exporter plugin and its server have to do with one another, for one log: everything that the plugin says is recorded
//! before anything follows from it, and nothing leaves that no entry speaks of (I1).

use std::time::Duration;

use nephron_engine::contract::{
    Batch, Caller, Delivery, HttpRequest, Instant, RequestInfo, Sensitivity, Verdict,
};
use nephron_engine::vet::World;
use nephron_engine::{Answer, Engine, Judgement, Plugin, PluginFailure};
use nephron_keys::{GrantRequest, KeyError, Operations, Subject};
use nephron_model::{
    Clock, Digest, Draft, EntryKind, NotRecorded, Point, Purpose, Recorded, Recorder as _,
};

use crate::case::{code, of_judgement, outline};
use crate::config::Upstream;
use crate::egress::{Egress, EgressError, Outgoing};
use crate::signing;
use crate::tenant::Tenant;

/// Bytes of an answer that a plugin is shown. An exporter's server has little to say.
const LARGEST_ANSWER: usize = 256 << 10;
/// Between two questions whether what was accepted is kept, unless the plugin names another time; and for all of them.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
const CONFIRMING: Duration = Duration::from_secs(30);

/// One exporter plugin at work for one log.
pub(crate) struct Courier<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) plugin: &'a Plugin,
    pub(crate) egress: &'a Egress,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) tenant: &'a Tenant,
    /// The roster that the plugin is of.
    pub(crate) generation: Digest,
}

/// Why something was not delivered.
#[derive(Debug, PartialEq)]
pub(crate) enum Trouble {
    /// It is refused for good: another try of the same comes to the same.
    Refused(String),
    /// It may go another time, after as long as the receiver wishes.
    Later(&'static str, Option<Duration>),
    /// The log does not take what is to be recorded first.
    NotRecorded(NotRecorded),
}

impl From<NotRecorded> for Trouble {
    fn from(error: NotRecorded) -> Self {
        // There is too much of it; of less there may not be.
        if matches!(error, NotRecorded::TooLarge { .. }) {
            Self::Refused("entry-too-large".to_owned())
        } else {
            Self::NotRecorded(error)
        }
    }
}

impl From<EgressError> for Trouble {
    fn from(error: EgressError) -> Self {
        Self::Later(error.code(), None)
    }
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotRecorded(error) => error.into(),
            error @ (KeyError::NotPermitted
            | KeyError::Expired
            | KeyError::Destroyed
            | KeyError::BudgetExhausted
            | KeyError::AuthenticationFailed
            | KeyError::NotFound
            | KeyError::ClockWentBack { .. }
            | KeyError::Unavailable(_)) => Self::Later(error.code(), None),
        }
    }
}

impl From<PluginFailure> for Trouble {
    /// A plugin answers the same question alike, whatever the answer is, unless time came into it.
    fn from(failure: PluginFailure) -> Self {
        match failure {
            PluginFailure::TimedOut
            | PluginFailure::NotRun(_)
            | PluginFailure::Reported {
                code: "unavailable",
                ..
            } => Self::Later(failure.code(), None),
            PluginFailure::Trapped(_)
            | PluginFailure::OutOfFuel
            | PluginFailure::OutOfMemory
            | PluginFailure::TooManyHostCalls
            | PluginFailure::TooLarge
            | PluginFailure::BadAnswer(_)
            | PluginFailure::KeptKey
            | PluginFailure::Reported { .. } => Self::Refused(
                failure
                    .detail()
                    .unwrap_or_else(|| failure.code())
                    .to_owned(),
            ),
        }
    }
}

impl Courier<'_> {
    /// Has a batch encoded. With what is to be delivered comes that this is recorded.
    pub(crate) async fn encode(&self, batch: Batch) -> Result<(Delivery, Recorded), Trouble> {
        let (answer, recorded) = self.ask(&Judgement::Export(batch)).await?;
        Ok((answer.delivery()?, recorded))
    }

    /// Has a request signed where the server wants that.
    pub(crate) async fn signed(
        &self,
        request: HttpRequest,
        upstream: &Upstream,
    ) -> Result<HttpRequest, Trouble> {
        let Some(access) = &upstream.aws_sigv4 else {
            return Ok(request);
        };
        let at = self.clock.now();
        let key = signing::key(access, at)?;
        let grant = self.tenant.keys().mint(GrantRequest {
            signing: Some(key),
            uses: Some(1),
            point: Some(Point::Export),
            generation: Some(self.generation),
            ..GrantRequest::new(
                Subject::Plugin(self.plugin.reference().clone()),
                Operations::MAC,
                Self::purpose()?,
                Duration::from_secs(60),
            )
        })?;
        let id = nephron_keys::random::event_id(self.clock).map_err(KeyError::from)?;
        let info = RequestInfo {
            id: id.to_string(),
            tenant: self.tenant.id().to_string(),
            received_at: Instant {
                seconds: at.seconds,
                nanoseconds: at.nanoseconds,
            },
            caller: Caller {
                id: String::new(),
                roles: Vec::new(),
                attributes: Vec::new(),
            },
            purpose: Self::purpose()?.to_string(),
            sensitivity: Sensitivity::Internal,
            attributes: Vec::new(),
        };
        let host = upstream.url.authority();
        let signing = self.engine.sign(self.plugin, info, request, host, grant);
        let (judgement, verdict) = signing.await;
        let _recorded = self.record(&judgement, &verdict).await?;
        Ok(signing::signed(verdict, access)?)
    }

    /// System administration (HL7 v3 PurposeOfUse).
    fn purpose() -> Result<Purpose, Trouble> {
        let purpose = "HSYSADMIN".parse();
        purpose.map_err(|_| Trouble::Later("no-purpose", None))
    }

    /// Sends a request, of which `recorded` speaks, and has the answer judged; then asks for as long as the plugin wants to know
    /// whether what was accepted is kept; `again` is recorded before each time.
    pub(crate) async fn deliver(
        &self,
        outgoing: Outgoing,
        upstream: &Upstream,
        recorded: Recorded,
        again: &Draft,
    ) -> Result<(), Trouble> {
        let answer = self.exchange(outgoing, recorded).await?;
        let _accepted = self.judged(&answer).await?;
        if self.plugin.world() != World::ConfirmingAuditExporter {
            return Ok(());
        }
        let confirmed = self.confirmed(answer, upstream, again);
        let confirmed = tokio::time::timeout(CONFIRMING, confirmed).await;
        confirmed.map_err(|_| Trouble::Later("not-confirmed", None))?
    }

    async fn confirmed(
        &self,
        answer: Heard,
        upstream: &Upstream,
        again: &Draft,
    ) -> Result<(), Trouble> {
        let Heard {
            status,
            headers,
            body,
        } = answer;
        let question = Judgement::Confirm {
            status,
            headers,
            body,
        };
        let (answer, _recorded) = self.ask(&question).await?;
        let Some(request) = answer.confirming()? else {
            return Ok(());
        };
        loop {
            let outgoing = Outgoing::new(request.clone(), upstream)?;
            let recorded = self.tenant.log().record(again.clone()).await?;
            let heard = self.exchange(outgoing, recorded).await?;
            match self.judged(&heard).await {
                Ok(_recorded) => return Ok(()),
                Err(Trouble::Later("retry-after", wish)) => {
                    let pause = wish.unwrap_or(ASKED_AGAIN).max(ASKED_AGAIN);
                    tokio::time::sleep_until(tokio::time::Instant::now() + pause).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn exchange(&self, outgoing: Outgoing, recorded: Recorded) -> Result<Heard, Trouble> {
        let mut arriving = self.egress.send(outgoing, recorded).await?;
        let body = match arriving.rest(LARGEST_ANSWER).await {
            // It has the batch, and says too much: the plugin judges by the status.
            Err(EgressError::CredentialEchoed) => Vec::new(),
            body => body?,
        };
        Ok(Heard {
            status: arriving.status,
            headers: arriving.headers,
            body,
        })
    }

    /// Has an answer judged.
    async fn judged(&self, heard: &Heard) -> Result<Recorded, Trouble> {
        let judgement = Judgement::Judge {
            status: heard.status,
            headers: heard.headers.clone(),
            body: heard.body.clone(),
        };
        let asked = self.ask(&judgement).await;
        let (answer, recorded) = match asked {
            // The receiver may well have it: whatever the plugin cannot read is no reason to set it aside.
            Err(Trouble::Refused(_)) => return Err(Trouble::Later("not-judged", None)),
            asked => asked?,
        };
        match answer.verdict()? {
            Verdict::Delivered => Ok(recorded),
            Verdict::RetryAfterSeconds(seconds) => {
                let wish = Duration::from_secs(seconds.into());
                Err(Trouble::Later("retry-after", Some(wish)))
            }
            Verdict::Rejected(why) => Err(Trouble::Refused(code(&why).to_owned())),
        }
    }

    /// Asks the plugin, and records what it says, whatever that is.
    async fn ask(&self, judgement: &Judgement) -> Result<(Answer, Recorded), Trouble> {
        let verdict = self.engine.call(self.plugin, judgement, None).await;
        let recorded = self.record(judgement, &verdict).await?;
        Ok((verdict.answer?, recorded))
    }

    async fn record(
        &self,
        judgement: &Judgement,
        verdict: &nephron_engine::Verdict,
    ) -> Result<Recorded, Trouble> {
        let draft = Draft {
            point: Some(Point::Export),
            generation: Some(self.generation),
            ..Draft::new(EntryKind::Decision, "")
        };
        let (tenant, plugin) = (self.tenant, self.plugin);
        let draft = match of_judgement(tenant, None, draft.clone(), plugin, judgement, verdict) {
            // Nothing can be sealed for a tenant that has ended; its log is shipped to its end all the same.
            Err(KeyError::Destroyed) => outline(draft, plugin, verdict),
            sealed => sealed?,
        };
        Ok(tenant.log().record(draft).await?)
    }
}

/// What a server answered.
struct Heard {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}
