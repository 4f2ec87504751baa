//! Callers for whom a provider of OpenID Connect vouches: from a token to what is known of who holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nephron_model::{Digest, Purpose, TenantId, Timestamp};

use super::provider::Provider;
use super::token::{Claims, Token, TokenFault, decode, texts};
use super::{Authentication, Known};
use crate::config::{Holder, Oidc, TenantOf};
use crate::tls::Peer;
use crate::wire::fields::is_structural;
use crate::wire::json::Json;

/// The providers that the operator believes, and the tokens that are used up.
pub(super) struct Providers {
    providers: Vec<Arc<Provider>>,
    used: Mutex<Used>,
}

impl Providers {
    pub(super) fn new(providers: &[Oidc], now: Timestamp) -> Self {
        Self {
            providers: providers.iter().cloned().map(Provider::new).collect(),
            used: Mutex::new(Used {
                since: now,
                tokens: BTreeMap::new(),
            }),
        }
    }

    /// Who holds `token`. What is wrong with it before its signature was checked, or with whom it is for, is nobody's.
    pub(super) async fn known(
        &self,
        token: &str,
        peer: Option<&Peer>,
        now: Timestamp,
    ) -> Result<Known, TokenFault> {
        let token = Token::read(token)?;
        let issuer = token.claims.text("iss")?.ok_or(TokenFault::Issuer)?;
        let provider = self
            .providers
            .iter()
            .find(|provider| provider.config.issuer == issuer)
            .ok_or(TokenFault::Issuer)?;
        let oidc = &provider.config;
        if !oidc.algorithms.contains(&token.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let key = provider
            .key(token.key.as_deref(), token.algorithm, now)
            .await?;
        key.verify(token.signed, &token.signature)
            .map_err(|_| TokenFault::Signature)?;

        let claims = &token.claims;
        let audiences = claims.member("aud").and_then(texts).unwrap_or_default();
        if !oidc
            .audiences
            .iter()
            .any(|ours| audiences.contains(&ours.as_str()))
        {
            return Err(TokenFault::Audience);
        }
        let by = Authentication::Oidc {
            provider: oidc.id.clone(),
        };
        let holder = holder(claims, oidc)?;
        let mut known = Known::new(holder, by, is_multi_factor(claims, oidc));
        let wrong = in_time(claims, oidc, now)
            .and_then(|()| bound(claims, oidc, peer))
            .and_then(|()| {
                if oidc.is_one_use {
                    self.use_up(claims, oidc, issuer, now)
                } else {
                    Ok(())
                }
            });
        if let Err(fault) = wrong {
            known.refuse_if(true, fault.into());
        }
        Ok(known)
    }

    /// Takes note that a token was used.
    fn use_up(
        &self,
        claims: &Claims,
        oidc: &Oidc,
        issuer: &str,
        now: Timestamp,
    ) -> Result<(), TokenFault> {
        let name = claims.text("jti")?.ok_or(TokenFault::Replayed)?;
        let ends = claims.moment("exp")?.ok_or(TokenFault::Expired)?;
        let issued = claims.moment("iat")?.ok_or(TokenFault::TooOld)?;
        let ends = last_use(ends, issued, oidc.max_age);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.take(
            Digest::of([issuer, "\n", name].concat().as_bytes()),
            issued,
            ends,
            now,
        )
    }
}

/// Until when a token could be used: after `max_age` it is refused, whatever it says itself of its end.
const fn last_use(ends: u64, issued: u64, max_age: Duration) -> u64 {
    let oldest = issued.saturating_add(max_age.as_secs());
    if ends < oldest { ends } else { oldest }
}

/// Tokens that were used and have not run out.
struct Used {
    /// What was used before is not known.
    since: Timestamp,
    tokens: BTreeMap<Digest, u64>,
}

impl Used {
    /// Tokens that are remembered: some ten megabytes.
    const MOST: usize = 100_000;

    fn take(
        &mut self,
        token: Digest,
        issued: u64,
        ends: u64,
        now: Timestamp,
    ) -> Result<(), TokenFault> {
        if self.tokens.len() >= Self::MOST {
            // Longer than any leeway after its end.
            let over = now.seconds.saturating_sub(600);
            self.tokens.retain(|_, ends| *ends >= over);
        }
        // One that was issued before this process began may have been used then.
        let may_be_used = issued < self.since.seconds || self.tokens.len() >= Self::MOST;
        if may_be_used || self.tokens.insert(token, ends).is_some() {
            return Err(TokenFault::Replayed);
        }
        Ok(())
    }
}

/// Whether it is time. A clock may differ from ours by the leeway, both ways.
fn in_time(claims: &Claims, oidc: &Oidc, now: Timestamp) -> Result<(), TokenFault> {
    let leeway = oidc.leeway.as_secs();
    let (now, early) = (now.seconds, now.seconds.saturating_add(leeway));
    let ends = claims.moment("exp")?.ok_or(TokenFault::Expired)?;
    let issued = claims.moment("iat")?.ok_or(TokenFault::TooOld)?;
    let begins = claims.moment("nbf")?.unwrap_or(issued);
    if ends.saturating_add(leeway) <= now {
        Err(TokenFault::Expired)
    } else if begins > early || issued > early {
        Err(TokenFault::NotYetValid)
    } else if issued.saturating_add(oidc.max_age.as_secs() + leeway) <= now {
        Err(TokenFault::TooOld)
    } else {
        Ok(())
    }
}

/// Whether whoever holds the connection may use the token (RFC 8705 §3). A binding that is not understood cannot be checked.
fn bound(claims: &Claims, oidc: &Oidc, peer: Option<&Peer>) -> Result<(), TokenFault> {
    const NOT: TokenFault = TokenFault::Certificate;
    let thumbprint = match claims.member("cnf") {
        None if oidc.is_certificate_bound => return Err(NOT),
        None => return Ok(()),
        Some(Json::Object(members)) => match members.as_slice() {
            [(name, Json::Text(text))] if name == "x5t#S256" => decode(text).ok_or(NOT)?,
            _ => return Err(NOT),
        },
        Some(_) => return Err(NOT),
    };
    let holds = peer.is_some_and(|peer| peer.marks.thumbprint.0.as_slice() == thumbprint);
    if holds { Ok(()) } else { Err(NOT) }
}

fn is_multi_factor(claims: &Claims, oidc: &Oidc) -> bool {
    let names = |claim, wanted: &[String]| {
        let found = claims.member(claim).and_then(texts).unwrap_or_default();
        found
            .iter()
            .any(|found| wanted.iter().any(|wanted| wanted == found))
    };
    names("amr", &oidc.mfa_amr) || names("acr", &oidc.mfa_acr)
}

fn holder(claims: &Claims, oidc: &Oidc) -> Result<Holder, TokenFault> {
    let caller = match claims.at(&oidc.caller_claim) {
        Some(Json::Text(text)) if is_caller(text) => text,
        _ => return Err(TokenFault::Claims),
    };
    let roles = match claims.at(&oidc.roles_claim) {
        // As scopes are written.
        Some(Json::Text(text)) => text.split(' ').filter(|role| !role.is_empty()).collect(),
        Some(roles) => texts(roles).ok_or(TokenFault::Claims)?,
        None => Vec::new(),
    };
    if roles.len() > MOST_ROLES || !roles.iter().all(|role| is_structural(role, 64)) {
        return Err(TokenFault::Claims);
    }
    let tenant = match &oidc.tenant {
        TenantOf::Fixed(tenant) => tenant.clone(),
        TenantOf::Claim { claim, among } => {
            let Some(Json::Text(named)) = claims.at(claim) else {
                return Err(TokenFault::NoTenant);
            };
            let named: TenantId = named.parse().map_err(|_| TokenFault::NoTenant)?;
            if !among.contains(&named) {
                return Err(TokenFault::NoTenant);
            }
            named
        }
    };
    let mut purposes: Vec<Purpose> = oidc.purposes.clone();
    let of_roles = roles
        .iter()
        .filter_map(|role| oidc.role_purposes.get(*role));
    for purpose in of_roles.flatten() {
        if !purposes.contains(purpose) {
            purposes.push(purpose.clone());
        }
    }
    Ok(Holder {
        tenant,
        caller: [&oidc.caller_prefix, caller.as_str()].concat(),
        roles: roles.into_iter().map(str::to_owned).collect(),
        purposes,
        // Its end was compared already, with its leeway.
        expires: Timestamp {
            seconds: u64::MAX,
            nanoseconds: 0,
        },
    })
}

/// Roles of one caller.
const MOST_ROLES: usize = 64;

/// Whether `text` can be a caller's name in the log. Providers write more than an operator may: `auth0|5f7c`, `a+b@c.example`.
fn is_caller(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/-@|+=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp {
            seconds,
            nanoseconds: 0,
        }
    }

    fn token(number: usize) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn a_token_is_used_once_and_one_of_which_nothing_is_known_never() {
        let mut used = Used {
            since: at(1_000),
            tokens: BTreeMap::new(),
        };
        let replayed = Err(TokenFault::Replayed);
        assert_eq!(used.take(token(0), 1_000, 1_300, at(1_010)), Ok(()));
        assert_eq!(used.take(token(0), 1_000, 1_300, at(1_020)), replayed);
        assert_eq!(used.take(token(1), 999, 1_300, at(1_010)), replayed);
        for number in 2..=Used::MOST {
            assert_eq!(used.take(token(number), 1_000, 1_300, at(1_010)), Ok(()));
        }
        // More than are remembered: refused, until those that are remembered are over.
        assert_eq!(used.take(token(1), 1_000, 1_300, at(1_010)), replayed);
        assert_eq!(used.take(token(1), 1_900, 2_300, at(1_910)), Ok(()));
    }

    #[test]
    fn a_used_token_is_remembered_no_longer_than_it_could_be_used() {
        let (now, hour) = (at(1_000), Duration::from_secs(3_600));
        let mut used = Used {
            since: now,
            tokens: BTreeMap::new(),
        };
        // Of a provider whose tokens say that they never end.
        let ends = last_use(u64::MAX, 1_000, hour);
        assert_eq!((ends, last_use(1_300, 1_000, hour)), (4_600, 1_300));
        for number in 0..Used::MOST {
            assert_eq!(used.take(token(number), 1_000, ends, now), Ok(()));
        }
        let later = 4_600 + 601;
        let ends = last_use(u64::MAX, later, hour);
        let taken = used.take(token(Used::MOST), later, ends, at(later));
        assert_eq!((taken, used.tokens.len()), (Ok(()), 1));
    }
}
