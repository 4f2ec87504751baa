//! Stage 2: [`Received`] → [`Called`]: who asks, and how we know.
//!
//! A caller is known by an API key, by a token of a provider of OpenID Connect, or by the certificate of the connection. Where
//! a key or token is there it says who asks, and the certificate must be of the same tenant.

pub(crate) mod last_use;
mod oidc;
mod provider;
mod token;

use nephron_engine::contract::{Attribute, Value};
use nephron_keys::ApiKey;
use nephron_model::{Caller, Draft, Phi, Purpose, TenantId, Timestamp};

use crate::config::{self, Holder};
use crate::origin::Origin;
use crate::receive::{Call, Received, Statement};
use crate::swap::Warrant;
use crate::tls::{Marks, Peer};
use last_use::LastUses;
use oidc::Providers;
use token::Token;
pub use token::TokenFault;

/// How the caller's identity came to us. It stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The operator of this machine states it, on the command line or in a file.
    StatedByOperator,
    /// The operator himself asks, on this machine or by the certificate that says who he is.
    Operator {
        /// What his certificate is known by.
        certificate: Option<String>,
    },
    /// A key that the operator issued, by its id.
    ApiKey {
        /// The id, which is no secret.
        id: String,
    },
    /// A provider of OpenID Connect vouches for them with a signed token.
    Oidc {
        /// The id that the operator gave the provider.
        provider: String,
    },
    /// The certificate of the connection, by the id that the operator gave it.
    Certificate {
        /// The id, which is no secret.
        id: String,
    },
}

impl Authentication {
    /// The name that stands in the log.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::StatedByOperator => "stated-by-operator",
            Self::Operator { .. } => "operator",
            Self::ApiKey { .. } => "api-key",
            Self::Oidc { .. } => "oidc",
            Self::Certificate { .. } => "certificate",
        }
    }

    /// The id of the credential, if there is one.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::StatedByOperator => None,
            Self::Operator { certificate } => certificate.as_deref(),
            Self::ApiKey { id } | Self::Certificate { id } | Self::Oidc { provider: id } => {
                Some(id)
            }
        }
    }
}

/// How we know who asks.
#[derive(Clone)]
pub(crate) struct Proof {
    by: Authentication,
    /// The id of the certificate that the connection showed beside another credential.
    beside: Option<String>,
    /// Whether more than one factor was used.
    is_multi_factor: bool,
    /// Who asks as an operator, and why.
    warrant: Option<Warrant>,
}

impl Proof {
    const fn new(by: Authentication, is_multi_factor: bool) -> Self {
        Self {
            by,
            beside: None,
            is_multi_factor,
            warrant: None,
        }
    }

    /// `draft` with what the log says of this.
    pub(crate) fn on(&self, mut draft: Draft) -> Draft {
        draft = draft.fact("authentication", self.by.as_str());
        if let Some(credential) = self.by.credential() {
            draft = draft.fact("credential", credential);
        }
        if let Some(certificate) = &self.beside {
            draft = draft.fact("certificate", certificate.as_str());
        }
        if self.is_multi_factor {
            draft = draft.fact("mfa", "true");
        }
        if let Some(warrant) = &self.warrant {
            draft = draft
                .fact("by", warrant.by.as_str())
                .fact("reason", warrant.reason.as_str());
        }
        draft
    }

    /// What deciders are told of this, as attributes of the caller.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let attribute = |name: &str, value| Attribute {
            name: name.to_owned(),
            value,
        };
        vec![
            attribute("authentication", Value::Text(self.by.as_str().to_owned())),
            attribute("mfa", Value::Boolean(self.is_multi_factor)),
        ]
    }
}

/// Who asks: one person or system, for one purpose, at one tenant. One who is refused may have no purpose.
#[derive(Clone)]
pub struct Identity<P = Purpose> {
    pub(crate) tenant: TenantId,
    pub(crate) caller: Caller,
    pub(crate) purpose: P,
    pub(crate) proof: Proof,
    /// From where.
    pub(crate) origin: Phi<Origin>,
}

impl Identity<()> {
    fn with<P>(self, purpose: P) -> Identity<P> {
        let Self {
            tenant,
            caller,
            purpose: (),
            proof,
            origin,
        } = self;
        Identity {
            tenant,
            caller,
            purpose,
            proof,
            origin,
        }
    }
}

/// A request whose caller is known.
pub struct Called<C = Call> {
    pub(crate) received: Received<C>,
    pub(crate) identity: Identity,
}

impl<C> Called<C> {
    /// What was received, from whom.
    #[must_use]
    pub const fn new(received: Received<C>, identity: Identity) -> Self {
        Self { received, identity }
    }
}

/// Accepts the identity that a local request states.
#[must_use]
pub fn stated_by_operator(statement: Statement) -> Identity {
    let Statement {
        tenant,
        caller,
        purpose,
    } = statement;
    Identity {
        tenant,
        caller,
        purpose,
        proof: Proof::new(Authentication::StatedByOperator, false),
        origin: Phi::default(),
    }
}

/// An operator who asks in his own name: on this machine, or elsewhere by a certificate. Policy knows him by how he is known, which no
/// credential of a caller's gives.
pub(crate) fn operator(
    tenant: TenantId,
    purpose: Purpose,
    warrant: Warrant,
    certificate: Option<String>,
) -> Identity {
    let caller = Caller {
        id: warrant.by.clone(),
        roles: vec![OPERATOR.to_owned()],
    };
    Identity {
        tenant,
        caller,
        purpose,
        proof: Proof {
            warrant: Some(warrant),
            ..Proof::new(Authentication::Operator { certificate }, false)
        },
        origin: Phi::default(),
    }
}

/// The role of an operator.
const OPERATOR: &str = "operator";

/// Why nobody is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// There is nothing to know them by.
    #[error("no API key or token; send `authorization: Bearer …`")]
    NoKey,
    /// No key of this gateway: not its form, not its id, or not its secret.
    #[error("the API key is not one of this gateway's")]
    Unknown,
    /// The key's time is over.
    #[error("the API key has expired; ask the operator for a new one")]
    Expired,
    /// The credential is not for that purpose of use.
    #[error("the credential is not for that purpose of use")]
    Purpose,
    /// The configuration does not say whose the connection's certificate is, or says it twice.
    #[error("the certificate of this connection is not one that this gateway knows")]
    UnknownCertificate,
    /// The operator's time for the certificate is over.
    #[error("the certificate of this connection is no longer taken; ask the operator")]
    ExpiredCertificate,
    /// It held when the connection was made.
    #[error("the certificate of this connection has run out or was taken back; connect anew")]
    EndedCertificate,
    /// A token is not believed.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// Key and certificate are not of one tenant.
    #[error("the certificate of this connection is another tenant's")]
    WrongTenant,
}

impl Unauthenticated {
    /// The code that stands in replies.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no-api-key",
            Self::Unknown => "invalid-api-key",
            Self::Expired => "expired-api-key",
            Self::Purpose => "purpose-not-granted",
            Self::UnknownCertificate => "unknown-certificate",
            Self::ExpiredCertificate => "expired-certificate",
            Self::EndedCertificate => "ended-certificate",
            Self::Token(fault) => fault.code(),
            Self::WrongTenant => "wrong-tenant",
        }
    }

    /// What `www-authenticate` says (RFC 6750 §3).
    pub(crate) const fn challenge(self) -> &'static str {
        match self {
            Self::NoKey => "Bearer",
            Self::Purpose => "Bearer error=\"insufficient_scope\"",
            Self::Unknown
            | Self::Expired
            | Self::UnknownCertificate
            | Self::ExpiredCertificate
            | Self::EndedCertificate
            | Self::Token(_)
            | Self::WrongTenant => "Bearer error=\"invalid_token\"",
        }
    }
}

/// Nobody is believed; if the credential is one of ours, this is whose it is.
pub(crate) struct NotIdentified {
    pub(crate) why: Unauthenticated,
    pub(crate) holder: Option<Box<Identity<Option<Purpose>>>>,
}

impl From<Unauthenticated> for NotIdentified {
    fn from(why: Unauthenticated) -> Self {
        Self { why, holder: None }
    }
}

/// What a request brings for its caller to be known by.
#[derive(Clone, Copy, Default)]
pub(crate) struct Presented<'a> {
    /// What stands after `Bearer`, or in `x-api-key`.
    pub(crate) bearer: Option<&'a str>,
    /// The purpose of use that it names.
    pub(crate) purpose: Option<&'a str>,
    /// The certificate of its connection.
    pub(crate) peer: Option<&'a Peer>,
}

/// Those whom the operator lets in.
pub(crate) struct Callers {
    api_keys: Vec<config::ApiKey>,
    certificates: Vec<config::ClientCertificate>,
    providers: Providers,
    last_uses: LastUses,
}

impl Callers {
    /// Those of the configuration; from `now` on it is known which tokens were used.
    pub(crate) fn new(config: &config::Config, now: Timestamp) -> Self {
        let digests = config.api_keys.iter().map(|key| key.digest.to_string());
        Self {
            last_uses: LastUses::open(&config.data, digests),
            api_keys: config.api_keys.clone(),
            certificates: config.client_certificates.clone(),
            providers: Providers::new(&config.oidc, now),
        }
    }

    /// Who asks, for the purpose that the request names or, without one, for the credential's first.
    ///
    /// # Errors
    /// [`NotIdentified`].
    pub(crate) async fn identify(
        &self,
        presented: Presented<'_>,
        now: Timestamp,
    ) -> Result<Identity, NotIdentified> {
        let certificate = match presented.peer {
            None => None,
            Some(peer) if peer.still_holds() => self.certificate(&peer.marks)?,
            Some(_) => return Err(Unauthenticated::EndedCertificate.into()),
        };
        let mut known = match (presented.bearer, certificate) {
            (Some(bearer), _) if Token::is_one(bearer) => {
                let known = self.providers.known(bearer, presented.peer, now).await;
                known.map_err(Unauthenticated::from)?
            }
            (Some(bearer), _) => self.api_key(bearer, now)?,
            (None, Some(certificate)) => Known::by_certificate(certificate, now),
            (None, None) if presented.peer.is_some() => {
                return Err(Unauthenticated::UnknownCertificate.into());
            }
            (None, None) => return Err(Unauthenticated::NoKey.into()),
        };
        if let (Some(_), Some(certificate)) = (presented.bearer, certificate) {
            known.stand_beside(certificate, now);
        }
        known.asking(presented.purpose)
    }

    /// Writes down when keys were last used, if that is new. Blocks.
    pub(crate) fn keep_last_uses(&self) {
        self.last_uses.keep();
    }

    fn api_key(&self, presented: &str, now: Timestamp) -> Result<Known, NotIdentified> {
        let presented: ApiKey = presented.parse().map_err(|_| Unauthenticated::Unknown)?;
        // Every key is compared, in constant time each: how long it takes tells nothing of which is right.
        let held = self.api_keys.iter().fold(None, |found, key| {
            if key.digest.is_of(&presented) {
                Some(key)
            } else {
                found
            }
        });
        let held = held.ok_or(Unauthenticated::Unknown)?;
        let by = Authentication::ApiKey {
            id: held.id.clone(),
        };
        let mut known = Known::new(held.holder.clone(), by, false);
        known.refuse_if(held.holder.expires <= now, Unauthenticated::Expired);
        if known.refused.is_none() {
            self.last_uses.note(held.digest.to_string(), now);
        }
        Ok(known)
    }

    /// The one that the operator describes; two descriptions of one certificate describe nobody.
    fn certificate(
        &self,
        marks: &Marks,
    ) -> Result<Option<&config::ClientCertificate>, Unauthenticated> {
        let mut described = self.certificates.iter();
        let mut described = described.by_ref().filter(|known| known.mark.is_of(marks));
        match (described.next(), described.next()) {
            (found, None) => Ok(found),
            (_, Some(_)) => Err(Unauthenticated::UnknownCertificate),
        }
    }
}

/// What a credential says of who holds it.
struct Known {
    holder: Holder,
    proof: Proof,
    /// Why it is not taken. Whose it is, is known all the same.
    refused: Option<Unauthenticated>,
}

impl Known {
    const fn new(holder: Holder, by: Authentication, is_multi_factor: bool) -> Self {
        Self {
            holder,
            proof: Proof::new(by, is_multi_factor),
            refused: None,
        }
    }

    fn by_certificate(certificate: &config::ClientCertificate, now: Timestamp) -> Self {
        let by = Authentication::Certificate {
            id: certificate.id.clone(),
        };
        let holder = certificate.holder.clone();
        let mut known = Self::new(holder, by, certificate.is_multi_factor);
        let is_over = certificate.holder.expires <= now;
        known.refuse_if(is_over, Unauthenticated::ExpiredCertificate);
        known
    }

    /// The first reason is the one that is told.
    fn refuse_if(&mut self, is_so: bool, why: Unauthenticated) {
        if is_so {
            self.refused.get_or_insert(why);
        }
    }

    fn stand_beside(&mut self, certificate: &config::ClientCertificate, now: Timestamp) {
        let is_over = certificate.holder.expires <= now;
        let is_other = certificate.holder.tenant != self.holder.tenant;
        self.refuse_if(is_other, Unauthenticated::WrongTenant);
        self.refuse_if(is_over, Unauthenticated::ExpiredCertificate);
        self.proof.beside = Some(certificate.id.clone());
    }

    fn asking(self, purpose: Option<&str>) -> Result<Identity, NotIdentified> {
        let Holder {
            tenant,
            caller,
            roles,
            purposes,
            ..
        } = self.holder;
        let usual = purposes.first();
        let granted = match purpose {
            None => usual,
            Some(asked) => purposes.iter().find(|purpose| purpose.as_str() == asked),
        };
        let identity = Identity {
            tenant,
            caller: Caller { id: caller, roles },
            purpose: (),
            proof: self.proof,
            origin: Phi::default(),
        };
        let why = match (self.refused, granted) {
            (None, Some(granted)) => return Ok(identity.with(granted.clone())),
            (refused, _) => refused.unwrap_or(Unauthenticated::Purpose),
        };
        // A refusal is recorded under the purpose that was asked for, if it is one, and else under the usual one, if there is.
        let asked = || purpose.and_then(|purpose| purpose.parse().ok());
        let recorded = granted.cloned().or_else(asked).or_else(|| usual.cloned());
        Err(NotIdentified {
            why,
            holder: Some(Box::new(identity.with(recorded))),
        })
    }
}
