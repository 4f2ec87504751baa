//! A signature for what a connector encoded, where the endpoint wants one.

use nephron_engine::contract::HttpRequest;
use nephron_engine::{Answer, PluginFailure};
use nephron_keys::SigningKey;
use nephron_model::{Phi, Point, Timestamp};

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
        let judgement = Phi::new(judgement);
        self.case
            .judged(Point::Egress, connector, judgement.expose(), &verdict)?;
        let signed = verdict.answer.and_then(Answer::signed);
        let signed = signed.and_then(|signed| match is_signed_by(id, &signed) {
            true => Ok(signed),
            false => Err(PluginFailure::BadAnswer("signed-with-another-key")),
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

/// Whether a request is signed under the access key `id` and under nothing else: with a key of a connector's own the text
/// would go under somebody else's account.
fn is_signed_by(id: &str, signed: &HttpRequest) -> bool {
    let scope = format!("Credential={id}/");
    let is_ours = signed.headers.iter().any(|(name, value)| {
        name == "authorization"
            && value.matches("Credential=").count() == 1
            && value.contains(&scope)
    });
    // SigV4 can stand in the query, too.
    is_ours && !signed.path.to_ascii_lowercase().contains("x-amz-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_with_another_key_is_not_ours() {
        let signed = |headers: &[(&str, &str)], path: &str| HttpRequest {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: Vec::new(),
            credential: None,
        };
        let ours =
            "AWS4-HMAC-SHA256 Credential=AKIDOURS/20261122/eu-central-1/bedrock/aws4_request";
        let both = format!("{ours}, Credential=AKIDTHEIRS/20261122");
        for (name, value, path, expected) in [
            ("authorization", ours, "/model/m/converse", true),
            (
                "authorization",
                "AWS4 Credential=AKIDTHEIRS/20261122",
                "/",
                false,
            ),
            (
                "authorization",
                "AWS4 Credential=AKIDOURSTOO/20261122",
                "/",
                false,
            ),
            ("authorization", &both, "/", false),
            (
                "authorization",
                ours,
                "/?X-Amz-Credential=AKIDTHEIRS",
                false,
            ),
            ("x-amz-date", ours, "/", false),
        ] {
            let request = signed(&[(name, value)], path);
            assert_eq!(
                is_signed_by("AKIDOURS", &request),
                expected,
                "{name} {value} {path}"
            );
        }
    }
}
