//! The keys of a provider of OpenID Connect: found by discovery, fetched again before they are old, kept for a while when they
//! cannot be fetched.
//!
//! Only a request that needs a key that is not there waits, and whoever makes requests cannot make us fetch often.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nephron_keys::{PublicKey, SignatureAlgorithm};
use nephron_model::Timestamp;
use serde::Deserialize;
use tracing::{info, warn};

use super::token::{TokenFault, decode};
use crate::config::Oidc;
use crate::egress::{Document, EgressError};

/// A provider and what is known of its keys.
pub(crate) struct Provider {
    pub(super) config: Oidc,
    known: RwLock<Known>,
    /// Held while keys are fetched: one at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    /// When the last fetch began, however it ended.
    tried: Option<Timestamp>,
}

struct Keys {
    at: Timestamp,
    keys: Vec<(Option<String>, Arc<PublicKey>)>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Unfetched {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error("the provider's discovery document or its keys are not in the form of the standard")]
    Form,
    #[error("the provider's discovery document is of another issuer")]
    OtherIssuer,
    #[error("the provider's discovery document leads to an unencrypted place for its keys")]
    Plaintext,
}

impl Provider {
    /// At least so long lies between two fetches.
    const PAUSE: Duration = Duration::from_secs(10);
    /// Keys of one provider.
    const MOST_KEYS: usize = 100;

    pub(crate) fn new(config: Oidc) -> Arc<Self> {
        Arc::new(Self {
            config,
            known: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The key of that name.
    pub(super) async fn key(
        self: &Arc<Self>,
        name: Option<&str>,
        algorithm: SignatureAlgorithm,
        now: Timestamp,
    ) -> Result<Arc<PublicKey>, TokenFault> {
        let keys = self.current(now).await.ok_or(TokenFault::NoKeys)?;
        if let Some(key) = keys.find(name, algorithm) {
            return Ok(key);
        }
        // It may have come since.
        let newer = self.fetched_after(Some(keys.at), now).await;
        newer
            .and_then(|keys| keys.find(name, algorithm))
            .ok_or(TokenFault::Key)
    }

    async fn current(self: &Arc<Self>, now: Timestamp) -> Option<Arc<Keys>> {
        let Known { keys, tried } = self.known();
        let Some(keys) = keys else {
            return self.fetched_after(None, now).await;
        };
        let age = now.since(keys.at);
        if age < self.config.refresh {
            return Some(keys);
        }
        if age >= self.config.refresh + self.config.stale {
            return self.fetched_after(Some(keys.at), now).await;
        }
        if is_due(tried, now) {
            let (me, at) = (Arc::clone(self), keys.at);
            tokio::spawn(async move { me.fetch(Some(at), now).await });
        }
        Some(keys)
    }

    /// Keys that are newer than those of `at`, unless the last fetch was only just. A client that leaves ends no fetch.
    async fn fetched_after(
        self: &Arc<Self>,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Arc<Keys>> {
        let me = Arc::clone(self);
        tokio::spawn(async move { me.fetch(at, now).await })
            .await
            .ok()?
    }

    async fn fetch(&self, at: Option<Timestamp>, now: Timestamp) -> Option<Arc<Keys>> {
        let _one = self.fetching.lock().await;
        let Known { keys, tried } = self.known();
        if keys.as_ref().map(|keys| keys.at) != at {
            // Somebody else's fetch has just ended.
            return keys;
        }
        if !is_due(tried, now) {
            return None;
        }
        self.change(|known| known.tried = Some(now));
        let provider = self.config.id.as_str();
        match self.download().await {
            Ok(keys) => {
                let fetched = keys.len();
                let keys = Arc::new(Keys { at: now, keys });
                self.change(|known| known.keys = Some(Arc::clone(&keys)));
                info!(provider, keys = fetched, "a provider's keys were fetched");
                Some(keys)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(provider, error, "a provider's keys cannot be fetched");
                None
            }
        }
    }

    async fn download(&self) -> Result<Vec<(Option<String>, Arc<PublicKey>)>, Unfetched> {
        let Oidc {
            issuer,
            authority,
            allows_private,
            ..
        } = &self.config;
        let get = async |url: String| {
            let document = Document {
                url: &url,
                authority: authority.as_deref(),
                allows_private: *allows_private,
            };
            document.get().await
        };
        let base = issuer.trim_end_matches('/');
        let discovery = get(format!("{base}/.well-known/openid-configuration")).await?;
        let discovery: Discovery =
            serde_json::from_slice(&discovery).map_err(|_| Unfetched::Form)?;
        if discovery.issuer != *issuer {
            return Err(Unfetched::OtherIssuer);
        }
        // As the configuration says of the issuer: unencrypted on this machine alone.
        let is_encrypted = discovery.jwks_uri.starts_with("https://");
        if !is_encrypted && !discovery.jwks_uri.starts_with(&format!("{base}/")) {
            return Err(Unfetched::Plaintext);
        }
        let keys = get(discovery.jwks_uri).await?;
        let keys: Published = serde_json::from_slice(&keys).map_err(|_| Unfetched::Form)?;
        // Those that are for something else are left out.
        let keys = keys.keys.into_iter().take(Self::MOST_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.read());
        Ok(keys.collect())
    }

    fn known(&self) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Keys {
    /// The one key of that name and algorithm; without a name, the one key of that algorithm.
    fn find(&self, name: Option<&str>, algorithm: SignatureAlgorithm) -> Option<Arc<PublicKey>> {
        let mut fit = self.keys.iter().filter(|(known, key)| {
            key.algorithm() == algorithm && (name.is_none() || known.as_deref() == name)
        });
        match (fit.next(), fit.next()) {
            (Some((_, key)), None) => Some(Arc::clone(key)),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }
}

fn is_due(tried: Option<Timestamp>, now: Timestamp) -> bool {
    tried.is_none_or(|tried| now.since(tried) >= Provider::PAUSE)
}

/// OpenID Connect Discovery 1.0 §3.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// RFC 7517 §5.
#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

/// RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn read(self) -> Option<(Option<String>, Arc<PublicKey>)> {
        if self.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| decode(&text?);
        let whole = |text: Option<String>| bytes(text)?.try_into().ok();
        let (key, algorithm) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => (PublicKey::rsa(bytes(self.n)?, bytes(self.e)?), "RS256"),
            ("EC", Some("P-256")) => (PublicKey::p256(&whole(self.x)?, &whole(self.y)?), "ES256"),
            ("OKP", Some("Ed25519")) => (PublicKey::ed25519(whole(self.x)?), "EdDSA"),
            _ => return None,
        };
        // A key is for one algorithm, if it says for which.
        let is_for = |named: &str| named == algorithm || (named, algorithm) == ("Ed25519", "EdDSA");
        let fits = self.alg.as_deref().is_none_or(is_for);
        fits.then(|| (self.kid, Arc::new(key)))
    }
}
