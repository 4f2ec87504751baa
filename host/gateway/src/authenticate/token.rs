//! Signed tokens (JWT, RFC 7519, in the compact form of RFC 7515), taken apart. Nothing that one says is believed here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nephron_keys::SignatureAlgorithm;

use crate::wire::json::Json;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not the form of a token, or more than this host reads.
    #[error("the token is not a signed access token")]
    Malformed,
    /// `none`, a shared secret, or an algorithm that its issuer does not use.
    #[error("the token is signed by an algorithm that is not taken here")]
    Algorithm,
    /// No provider of the configuration has that name.
    #[error("the token's issuer is not one that is believed here")]
    Issuer,
    /// The keys of its issuer cannot be had.
    #[error("the keys of the token's issuer cannot be had; try again")]
    NoKeys,
    /// Its issuer has no such key.
    #[error("the token is signed by a key that its issuer does not publish")]
    Key,
    /// Somebody else signed it, or it was changed.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is for another service.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired; get a new one")]
    Expired,
    /// Its time has not come.
    #[error("the token's time has not come; compare the clocks")]
    NotYetValid,
    /// It was issued too long ago, or does not say when.
    #[error("the token was issued too long ago, or does not say when")]
    TooOld,
    /// It was used before, or that cannot be known.
    #[error("the token is good for one request, and may have been used")]
    Replayed,
    /// It is bound to another connection, or must be bound and is not.
    #[error("the token is not bound to the certificate of this connection")]
    Certificate,
    /// It names no tenant of this gateway.
    #[error("the token names no tenant of this gateway for which its issuer may speak")]
    NoTenant,
    /// Its claims do not say who asks, or not in a form that is taken.
    #[error("the token's claims do not name a caller and roles in a form that is taken")]
    Claims,
}

impl TokenFault {
    /// The code that stands in replies.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-token",
            Self::Algorithm => "algorithm-not-allowed",
            Self::Issuer => "wrong-issuer",
            Self::NoKeys => "no-issuer-keys",
            Self::Key => "unknown-key-id",
            Self::Signature => "bad-signature",
            Self::Audience => "wrong-audience",
            Self::Expired => "expired-token",
            Self::NotYetValid => "not-yet-valid",
            Self::TooOld => "token-too-old",
            Self::Replayed => "replayed-token",
            Self::Certificate => "wrong-certificate",
            Self::NoTenant => "no-tenant",
            Self::Claims => "unusable-claims",
        }
    }
}

/// A token whose form is right.
pub(super) struct Token<'t> {
    pub(super) algorithm: SignatureAlgorithm,
    /// Which key it says that it is signed by: a name to look up, and never a place to look in.
    pub(super) key: Option<String>,
    /// What the signature is over.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    pub(super) claims: Claims,
}

/// Bytes of a token.
const LARGEST: usize = 16 << 10;

impl<'t> Token<'t> {
    /// Whether `text` has the look of a token.
    pub(super) fn is_one(text: &str) -> bool {
        text.split('.').count() == 3
    }

    pub(super) fn read(text: &'t str) -> Result<Self, TokenFault> {
        const NOT: TokenFault = TokenFault::Malformed;
        if text.len() > LARGEST {
            return Err(NOT);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(NOT)?;
        let (head, claims) = signed.split_once('.').ok_or(NOT)?;
        let head = Claims(object(head)?);
        let algorithm = match head.text("alg")? {
            Some("RS256") => SignatureAlgorithm::Rs256,
            Some("ES256") => SignatureAlgorithm::Es256,
            Some("EdDSA") => SignatureAlgorithm::EdDsa,
            Some(_) => return Err(TokenFault::Algorithm),
            None => return Err(NOT),
        };
        // Other tokens of the same issuer are signed by the same keys: of a logout, of a device's key.
        let is_access = head.text("typ")?.is_none_or(|kind| {
            ["jwt", "at+jwt", "application/at+jwt"].contains(&kind.to_ascii_lowercase().as_str())
        });
        // What must be understood and is not (RFC 7515 §4.1.11).
        if !is_access || head.member("crit").is_some() {
            return Err(NOT);
        }
        Ok(Self {
            algorithm,
            key: head.text("kid")?.map(str::to_owned),
            signed: signed.as_bytes(),
            signature: decode(signature).ok_or(NOT)?,
            claims: Claims(object(claims)?),
        })
    }
}

/// Bytes that are written in base64url without padding (RFC 4648 §5).
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// An object without a key that is there twice.
fn object(part: &str) -> Result<Vec<(String, Json)>, TokenFault> {
    let bytes = decode(part).ok_or(TokenFault::Malformed)?;
    match Json::read(&bytes) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(TokenFault::Malformed),
    }
}

/// What a token says.
pub(super) struct Claims(Vec<(String, Json)>);

impl Claims {
    pub(super) fn member(&self, name: &str) -> Option<&Json> {
        member(&self.0, name)
    }

    /// The value that the names lead to.
    pub(super) fn at(&self, path: &[String]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.member(first)?, |value, name| {
            let Json::Object(members) = value else {
                return None;
            };
            member(members, name)
        })
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, TokenFault> {
        match self.member(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(TokenFault::Malformed),
        }
    }

    /// A moment (NumericDate, RFC 7519 §2), in whole seconds since the epoch.
    pub(super) fn moment(&self, name: &str) -> Result<Option<u64>, TokenFault> {
        match self.member(name) {
            None => Ok(None),
            Some(Json::Number(number)) => number
                .as_f64()
                .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
                .map(|since| Some(since.as_secs()))
                .ok_or(TokenFault::Malformed),
            Some(_) => Err(TokenFault::Malformed),
        }
    }
}

fn member<'j>(members: &'j [(String, Json)], name: &str) -> Option<&'j Json> {
    let found = members.iter().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value)
        .filter(|value| !matches!(value, Json::Null))
}

/// Text, or a list of texts: as audiences, roles and methods are written.
pub(super) fn texts(value: &Json) -> Option<Vec<&str>> {
    if let Json::List(values) = value {
        values.iter().map(text).collect()
    } else {
        text(value).map(|text| vec![text])
    }
}

fn text(value: &Json) -> Option<&str> {
    let Json::Text(text) = value else { return None };
    Some(text)
}
