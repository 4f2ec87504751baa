//! `nephron:plugin/keys`: a grant, lent for one call. Used, never read (I4).

use std::sync::Arc;

use nephron_keys::{Grant, KeyError as Refusal};
use nephron_model::Kind;
use wasmtime::component::Resource;

use crate::KeyPlayed;
use crate::bindings::v0_1::keys::{Host, HostKey, KeyError, KeyInfo, Operations};
use crate::capability::Guest;

/// What a guest's handle points at.
pub enum Lent {
    /// A grant.
    Live(Arc<Grant>),
    /// What a grant said and gave when the judgement was recorded, for one use; the index of the next code.
    Played(KeyPlayed, usize),
}

impl Lent {
    /// The grant; what was played back has none, and gives nothing but what was recorded.
    fn grant(&self) -> Result<Arc<Grant>, KeyError> {
        match self {
            Self::Live(grant) => Ok(Arc::clone(grant)),
            Self::Played(..) => Err(KeyError::NotPermitted),
        }
    }
}

impl Host for Guest {}

impl HostKey for Guest {
    async fn info(&mut self, key: Resource<Lent>) -> wasmtime::Result<KeyInfo> {
        self.budget.spend()?;
        let info = match self.keys.get(&key)? {
            Lent::Live(grant) => grant.info(),
            Lent::Played(played, next) => {
                let used = u64::try_from(*next).unwrap_or(u64::MAX);
                return Ok(KeyInfo {
                    id: played.id.clone(),
                    version: played.version,
                    operations: Operations::MAC,
                    remaining_uses: Some(1_u64.saturating_sub(used)),
                });
            }
        };
        let mut operations = Operations::empty();
        for (permitted, operation) in [
            (nephron_keys::Operations::SEAL, Operations::SEAL),
            (nephron_keys::Operations::OPEN, Operations::OPEN),
            (nephron_keys::Operations::TOKENIZE, Operations::TOKENIZE),
            (nephron_keys::Operations::DETOKENIZE, Operations::DETOKENIZE),
            (nephron_keys::Operations::MAC, Operations::MAC),
        ] {
            if info.operations.contain(permitted) {
                operations |= operation;
            }
        }
        Ok(KeyInfo {
            id: info.id,
            version: info.version,
            operations,
            remaining_uses: info.remaining_uses,
        })
    }

    async fn seal(
        &mut self,
        key: Resource<Lent>,
        plaintext: Vec<u8>,
        context: String,
    ) -> wasmtime::Result<Result<Vec<u8>, KeyError>> {
        let grant = match self.keys.get(&key)?.grant() {
            Ok(grant) => grant,
            Err(error) => return Ok(Err(error)),
        };
        let sealed = self.budget.within(grant.seal(&plaintext, &context)).await?;
        Ok(sealed.map_err(|error| told(&error)))
    }

    async fn open(
        &mut self,
        key: Resource<Lent>,
        sealed: Vec<u8>,
        context: String,
    ) -> wasmtime::Result<Result<Vec<u8>, KeyError>> {
        let grant = match self.keys.get(&key)?.grant() {
            Ok(grant) => grant,
            Err(error) => return Ok(Err(error)),
        };
        let opened = self.budget.within(grant.open(&sealed, &context)).await?;
        Ok(opened
            .map(|plaintext| plaintext.expose().clone())
            .map_err(|error| told(&error)))
    }

    async fn tokenize(
        &mut self,
        key: Resource<Lent>,
        values: Vec<String>,
        kind: String,
    ) -> wasmtime::Result<Result<Vec<String>, KeyError>> {
        let Ok(kind) = kind.parse::<Kind>() else {
            return Ok(Err(KeyError::NotPermitted));
        };
        let grant = match self.keys.get(&key)?.grant() {
            Ok(grant) => grant,
            Err(error) => return Ok(Err(error)),
        };
        let values: Vec<(Kind, &str)> = values
            .iter()
            .map(|value| (kind.clone(), value.as_str()))
            .collect();
        let tokens = self.budget.within(grant.tokenize(&values)).await?;
        Ok(tokens
            .map(|tokens| tokens.iter().map(ToString::to_string).collect())
            .map_err(|error| told(&error)))
    }

    async fn detokenize(
        &mut self,
        key: Resource<Lent>,
        tokens: Vec<String>,
        kind: String,
    ) -> wasmtime::Result<Result<Vec<String>, KeyError>> {
        let parsed: Result<Vec<nephron_keys::Token>, _> =
            tokens.iter().map(|token| token.parse()).collect();
        let Ok(mut parsed) = parsed else {
            self.budget.spend()?;
            return Ok(Err(KeyError::NotFound));
        };
        // A token of another kind is none that was asked for, and its value stays where it is.
        parsed.retain(|token| token.kind().as_str() == kind);
        let are_all = parsed.len() == tokens.len();
        let grant = match self.keys.get(&key)?.grant() {
            Ok(grant) => grant,
            Err(error) => return Ok(Err(error)),
        };
        let values = self.budget.within(grant.detokenize(&parsed)).await?;
        Ok(values.map_err(|error| told(&error)).and_then(|values| {
            let value = |value: Option<nephron_model::Phi<String>>| {
                value.map(|value| value.expose().clone())
            };
            values
                .into_iter()
                .map(value)
                .collect::<Option<_>>()
                .filter(|_| are_all)
                .ok_or(KeyError::NotFound)
        }))
    }

    async fn mac(
        &mut self,
        key: Resource<Lent>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, KeyError>> {
        let grant = match self.keys.get_mut(&key)? {
            Lent::Live(grant) => Arc::clone(grant),
            Lent::Played(played, next) => {
                self.budget.spend()?;
                let recorded = played.macs.get(*next).filter(|(of, _)| *of == data);
                *next += 1;
                let tag = recorded.map(|(_, tag)| tag.clone());
                return Ok(tag.ok_or(KeyError::NotPermitted));
            }
        };
        let tag = self.budget.within(grant.mac(&data)).await?;
        Ok(match tag {
            Ok(tag) => {
                self.macs.push((data, tag.to_vec()));
                Ok(tag.to_vec())
            }
            Err(error) => Err(told(&error)),
        })
    }

    async fn drop(&mut self, key: Resource<Lent>) -> wasmtime::Result<()> {
        self.keys.delete(key)?;
        Ok(())
    }
}

/// What a guest is told of a refusal. The log has the rest.
fn told(refusal: &Refusal) -> KeyError {
    match refusal {
        Refusal::NotPermitted => KeyError::NotPermitted,
        Refusal::Expired => KeyError::Expired,
        Refusal::Destroyed => KeyError::Destroyed,
        Refusal::BudgetExhausted => KeyError::BudgetExhausted,
        Refusal::AuthenticationFailed => KeyError::AuthenticationFailed,
        Refusal::NotFound => KeyError::NotFound,
        Refusal::ClockWentBack { .. } | Refusal::NotRecorded(_) | Refusal::Unavailable(_) => {
            KeyError::Unavailable("the host could not use the key".to_owned())
        }
    }
}
