//! A signature for what a connector encoded, where the endpoint wants one.

use nephron_engine::contract::HttpRequest;
use nephron_model::{Phi, Point, Timestamp};

use super::Setback;
use super::exchange::Exchange;
use crate::config::Upstream;
use crate::refusal::Refusal;
use crate::signing;

impl Exchange<'_> {
    /// Has the connector sign `request` with a key for this day, which the host derives and lends for one use; or leaves it
    /// as it is, where the endpoint names no access key.
    pub(super) async fn signed(
        &self,
        request: HttpRequest,
        upstream: &Upstream,
    ) -> Result<HttpRequest, Setback> {
        let Some(access) = &upstream.aws_sigv4 else {
            return Ok(request);
        };
        let info = self.case.info_for_connectors();
        let at = Timestamp {
            seconds: info.received_at.seconds,
            nanoseconds: info.received_at.nanoseconds,
        };
        let key = signing::key(access, at).map_err(|error| self.setback(error, None))?;
        let (engine, connector) = (&self.case.engine, self.connector);
        let grant = self.case.lend(key, connector)?;
        let host = upstream.url.authority();
        let (judgement, verdict) = engine.sign(connector, info, request, host, grant).await;
        let judgement = Phi::new(judgement);
        let asked = (judgement.expose(), self.began.expose());
        self.case
            .judged(Point::Egress, connector, asked, &verdict)?;
        signing::signed(verdict, access).map_err(|failure| {
            Setback::Final(Refusal::PluginFailed {
                point: Point::Egress,
                plugin: connector.reference().name.clone(),
                failure,
            })
        })
    }
}
