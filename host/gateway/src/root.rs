//! How the root key of the data folder is come by: with a passphrase, or with a provider. Providers that are services know
//! no sockets: this sends what they ask for.

use std::path::Path;
use std::sync::Arc;

use cap_std::fs::Dir;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use nephron_keys::{
    AwsKms, Cost, Exchange, Passphrase, Pkcs11, ReadSecret, RootError, RootKey, RootProvider,
    Transit, WireAnswer, WireRequest,
};
use nephron_model::{Phi, SystemClock};

use crate::config::{self, KeyService, SecretError, SecretRef};
use crate::egress::{self, Leaving};

/// What opens the root key.
pub enum RootAccess {
    /// The passphrase that seals its file, and what guessing at it costs if it is made now: [`Cost::RECOMMENDED`] but in
    /// tests.
    Passphrase(Passphrase, Cost),
    /// What wraps it.
    Provider(Arc<dyn RootProvider>),
}

/// What opens the root key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootAccessError {
    /// A secret cannot be read.
    #[error("`root-key.{key}` cannot be read")]
    Secret {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The provider cannot be used.
    #[error("the provider of the root key cannot be used")]
    Provider(#[source] RootError),
}

impl RootAccess {
    /// That which the configuration names.
    ///
    /// # Errors
    /// [`RootAccessError`].
    pub fn of(config: &config::RootKey) -> Result<Self, RootAccessError> {
        let secret = |key, place: &SecretRef| {
            let secret = place.resolve();
            secret.map_err(|source| RootAccessError::Secret { key, source })
        };
        let provider: Arc<dyn RootProvider> = match config {
            config::RootKey::File { passphrase } => {
                let passphrase = secret("passphrase", passphrase)?;
                let passphrase = Passphrase::new(passphrase.into_inner());
                return Ok(Self::Passphrase(passphrase, Cost::RECOMMENDED));
            }
            config::RootKey::Pkcs11 { module, token, pin } => {
                let pin = secret("pin", pin)?;
                let opened = Pkcs11::open(module, token, pin);
                Arc::new(opened.map_err(RootAccessError::Provider)?)
            }
            config::RootKey::AwsKms { key, service } => Arc::new(AwsKms {
                exchange: Arc::new(Link::to(service)),
                clock: Arc::new(SystemClock),
                region: key.region.clone(),
                access_key_id: key.id.clone(),
                secret: read(key.secret.clone()),
                session_token: key.session_token.clone().map(read),
            }),
            config::RootKey::Transit {
                service,
                token,
                mount,
                namespace,
            } => Arc::new(Transit {
                exchange: Arc::new(Link::to(service)),
                token: read(token.clone()),
                mount: mount.clone(),
                namespace: namespace.clone(),
            }),
        };
        Ok(Self::Provider(provider))
    }

    /// Opens the root key in `host`, or makes it there.
    pub(crate) fn open(&self, host: &Dir) -> Result<RootKey, RootError> {
        let is_there = host.exists(Path::new(RootKey::FILE));
        match (self, is_there) {
            (Self::Passphrase(passphrase, _), true) => RootKey::open(host, passphrase),
            (Self::Passphrase(passphrase, cost), false) => RootKey::create(host, passphrase, *cost),
            (Self::Provider(provider), true) => RootKey::open_with(host, Arc::clone(provider)),
            (Self::Provider(provider), false) => RootKey::create_with(host, Arc::clone(provider)),
        }
    }
}

fn read(place: SecretRef) -> ReadSecret {
    Box::new(move || place.resolve().map_err(|error| error.to_string()))
}

/// The way to a key service.
struct Link {
    service: KeyService,
    authority: String,
}

impl Link {
    fn to(service: &KeyService) -> Self {
        Self {
            authority: service.url.authority(),
            service: service.clone(),
        }
    }

    fn request(&self, asked: WireRequest) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(asked.method)
            .uri(self.service.url.join(&asked.path));
        for (name, value) in &asked.headers {
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("what stands for us is no text of the header `{name}`"))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let body = Bytes::from_owner(Leaving(asked.body));
        let request = request.body(Full::new(body));
        request.map_err(|_| "there is no such address".to_owned())
    }
}

impl Exchange for Link {
    fn authority(&self) -> &str {
        &self.authority
    }

    /// On a thread of its own: whoever asks may be on one that must not wait for the runtime it belongs to.
    fn exchange(&self, request: WireRequest) -> Result<WireAnswer, String> {
        let request = self.request(request)?;
        let ask = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let authority = self.service.authority.as_deref();
            // Who configures a key service in a private network means it.
            let exchange = egress::exchange(request, authority, true);
            runtime
                .block_on(exchange)
                .map_err(|error| error.to_string())
        };
        let (status, body) = std::thread::scope(|scope| scope.spawn(ask).join())
            .map_err(|_| "the request was given up".to_owned())??;
        let body = Phi::new(body);
        Ok(WireAnswer { status, body })
    }
}
