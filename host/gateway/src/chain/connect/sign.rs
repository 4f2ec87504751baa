//! A signature for what a connector encoded, where the endpoint wants one.

use nephron_engine::contract::HttpRequest;
use nephron_engine::{Answer, PluginFailure};
use nephron_keys::SigningKey;
use nephron_model::{Point, Timestamp};

use super::Setback;
use super::exchange::Exchange;
use crate::egress::EgressError;
use crate::refusal::Refusal;

impl Exchange<'_> {
    /// Has the connector sign `request` with a key for this day, which the host derives and lends for one use; or leaves it
    /// as it is, where the endpoint names no access key.
    pub(super) async fn signed(&self, request: HttpRequest) -> Result<HttpRequest, Setback> {
        let Some(access) = &self.endpoint.aws_sigv4 else {
            return Ok(request);
        };
        let url = self.endpoint.url.as_ref();
        let url = url.ok_or_else(|| self.setback(EgressError::NoUrl, None))?;
        let secret = access.secret.resolve();
        let secret = secret.map_err(|_| self.setback(EgressError::Credential, None))?;
        let info = self.case.info_for_connectors();
        let at = Timestamp {
            seconds: info.received_at.seconds,
            nanoseconds: info.received_at.nanoseconds,
        };
        let (id, region, service) = (&access.access_key_id, &access.region, &access.service);
        let key = SigningKey::aws(id, &secret, at, region, service);
        let (engine, connector) = (&self.case.engine, self.connector);
        let grant = self.case.lend(key, connector)?;
        let host = url.authority();
        let (judgement, verdict) = engine.sign(connector, info, request, host, grant).await;
        self.case
            .judged(Point::Egress, connector, &judgement, &verdict)?;
        let signed = verdict.answer.and_then(Answer::signed);
        // Signed with a key of its own the text would go under somebody else's account.
        let scope = format!("Credential={id}/");
        let signed = signed.and_then(|signed| {
            let is_ours = signed.headers.iter().any(|(name, value)| {
                name == "authorization"
                    && value.matches("Credential=").count() == 1
                    && value.contains(&scope)
            });
            let is_elsewhere = signed.path.to_ascii_lowercase().contains("x-amz-");
            match is_ours && !is_elsewhere {
                true => Ok(signed),
                false => Err(PluginFailure::BadAnswer("signed-with-another-key")),
            }
        });
        signed.map_err(|failure| {
            Setback::Final(Refusal::PluginFailed {
                point: Point::Egress,
                plugin: connector.reference().name.clone(),
                failure,
            })
        })
    }
}
