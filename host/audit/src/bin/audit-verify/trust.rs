//! Whose word counts: a public key, a policy, or both.

use std::error::Error;
use std::path::{Path, PathBuf};

use nephron_audit::{
    Checkpoint, InvalidPolicy, KeptCheckpoint, NoteError, Policy, PolicyVerdict, VerifierKey,
};

use crate::Unreadable;

/// What was given to hold everything else against.
pub(crate) struct Trust {
    pub(crate) key: Option<VerifierKey>,
    /// It lists a log, or speaks of that of `key`.
    pub(crate) policy: Option<Policy>,
    pub(crate) kept: Vec<KeptCheckpoint>,
}

/// A policy that cannot be taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("`{path}` is no policy", path = .path.display())]
    Malformed {
        path: PathBuf,
        source: InvalidPolicy,
    },
    #[error(
        "the policy `{path}` lists no log: add `log KEY`, or give the log's key with `--vkey`",
        path = .path.display()
    )]
    NoLog { path: PathBuf },
}

/// What counts as the signature of a checkpoint does not.
#[derive(Debug, thiserror::Error)]
enum Uncounted {
    #[error(
        "the policy lists no log of that name: add `log KEY`, or give the log's key with `--vkey`"
    )]
    NotListed,
    #[error("a cosignature of its checkpoint does not count")]
    Cosignature(#[source] NoteError),
}

impl Trust {
    pub(crate) fn of(
        key: Option<VerifierKey>,
        policy: Option<&Path>,
        kept: Vec<KeptCheckpoint>,
    ) -> Result<Self, Box<dyn Error>> {
        let policy = match policy {
            Some(path) => Some(read(path, key.as_ref())?),
            None => None,
        };
        Ok(Self { key, policy, kept })
    }

    /// The key of the log that `note` says it is of.
    pub(crate) fn key_of(&self, note: &str) -> Result<VerifierKey, Box<dyn Error>> {
        let listed = || self.policy.as_ref()?.log_of_note(note).cloned();
        let key = self.key.clone().or_else(listed);
        key.ok_or_else(|| Uncounted::NotListed.into())
    }

    /// What the policy says of a checkpoint that `note` states, if there is a policy. Others who cosigned the same checkpoint may
    /// have done so in those that were kept.
    pub(crate) fn judge(
        &self,
        checkpoint: &Checkpoint,
        note: &str,
    ) -> Result<Option<PolicyVerdict>, Box<dyn Error>> {
        let Some(policy) = &self.policy else {
            return Ok(None);
        };
        let kept = self.kept.iter().map(|kept| kept.note.as_str());
        let judged = policy.judge_checkpoint(checkpoint, std::iter::once(note).chain(kept));
        Ok(Some(judged.map_err(Uncounted::Cosignature)?))
    }
}

fn read(path: &Path, key: Option<&VerifierKey>) -> Result<Policy, Box<dyn Error>> {
    let path = path.to_owned();
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        Err(source) => return Err(Unreadable { path, source }.into()),
    };
    let policy = match Policy::parse(&file) {
        Ok(policy) => policy.or_log(key),
        Err(source) => return Err(Refused::Malformed { path, source }.into()),
    };
    if !policy.lists_logs() {
        return Err(Refused::NoLog { path }.into());
    }
    Ok(policy)
}
