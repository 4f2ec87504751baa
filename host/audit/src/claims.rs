//! The checkpoints that a log is held against, stored and kept elsewhere: whose they are, before the log is read.

use crate::Checkpoint;
use crate::policy::Weighed;
use crate::vouch::{Beside, By, Claim};
use crate::{
    Fault, FaultKind, NoteError, PolicyVerdict, SignedCheckpoint, VerifierKey, VerifyOptions,
    Witnessed,
};

/// What is known of the checkpoints at hand.
#[derive(Default)]
pub(crate) struct Claims {
    /// What they say.
    pub(crate) all: Vec<Claim>,
    /// What is wrong with them by themselves.
    pub(crate) faults: Vec<Fault>,
    /// The key that each of them must be signed by: the given one, or that of the policy's log of this origin.
    pub(crate) key: Option<VerifierKey>,
    /// Entries in the checkpoint since which is verified.
    pub(crate) since: Option<u64>,
    /// Who of the policy signed which.
    weighed: Vec<Weighed>,
}

impl Claims {
    pub(crate) fn of(beside: &Beside, options: &VerifyOptions<'_>) -> Self {
        let mut claims = Self {
            all: beside.claims(),
            faults: beside.checkpoints.faults.clone(),
            ..Self::default()
        };
        let stored = beside.checkpoints.by_size.values();
        let mut notes: Vec<&str> = stored.map(|signed| signed.note.as_str()).collect();
        let since = options.since.as_ref();
        let size = since.and_then(|since| SignedCheckpoint::read(&since.note).ok());
        claims.since = size.map(|signed| signed.checkpoint.size);
        for kept in since.into_iter().chain(&options.checkpoints) {
            match SignedCheckpoint::read(&kept.note) {
                Ok(signed) => {
                    claims.all.push(Claim {
                        file: kept.file.clone(),
                        checkpoint: signed.checkpoint,
                        by: By::Nobody,
                    });
                    notes.push(&kept.note);
                }
                Err(_) => claims.fault(&kept.file, FaultKind::CheckpointMalformed),
            }
        }
        claims.weigh(&notes, options);
        claims.sign(&notes);
        let committed = options.committed.iter().flatten();
        claims.all.extend(committed.map(|committed| Claim {
            file: committed.place(),
            checkpoint: committed.commitment.checkpoint.clone(),
            by: By::Host(committed.commitment.tenant.clone()),
        }));
        claims
    }

    /// Finds the key, and who of the policy signed what.
    fn weigh(&mut self, notes: &[&str], options: &VerifyOptions<'_>) {
        self.key.clone_from(&options.key);
        let Some(policy) = &options.policy else {
            return;
        };
        let origins = self.all.iter().map(|claim| &claim.checkpoint.origin);
        let listed = || origins.filter_map(|origin| policy.log(origin)).next();
        self.key = self.key.take().or_else(|| listed().cloned());
        let policy = policy.clone().or_log(self.key.as_ref());
        let mut bad = Vec::new();
        for (claim, note) in self.all.iter().zip(notes) {
            match policy.weigh(note) {
                Ok(weighed) => self.weighed.push(weighed),
                Err(NoteError::BadSignature) => bad.push(claim.file.clone()),
                // What is no checkpoint was said to be none already.
                Err(NoteError::Malformed | NoteError::Unsigned) => {}
            }
        }
        for file in bad {
            self.fault(&file, FaultKind::CosignatureBad);
        }
    }

    /// Holds each checkpoint against the key.
    fn sign(&mut self, notes: &[&str]) {
        let Some(key) = self.key.clone() else {
            return;
        };
        let mut unsigned = Vec::new();
        for (claim, note) in self.all.iter_mut().zip(notes) {
            match SignedCheckpoint::open(note, &key) {
                Ok(_) => claim.by = By::Key,
                Err(_) => unsigned.push(claim.file.clone()),
            }
        }
        for file in unsigned {
            self.fault(&file, FaultKind::CheckpointUnsigned);
        }
        if !self.all.iter().any(|claim| claim.by == By::Key) {
            self.fault("checkpoints", FaultKind::CheckpointMissing);
        }
    }

    fn fault(&mut self, file: &str, what: FaultKind) {
        self.faults.push(Fault::of_file(file, what));
    }

    /// What the policy says, if there is one, of a log that had these states.
    pub(crate) fn judge(
        &self,
        options: &VerifyOptions<'_>,
        states: &[Checkpoint],
    ) -> Option<PolicyVerdict> {
        let policy = options.policy.as_ref()?;
        let holding = self.weighed.iter();
        let holding = holding.filter(|weighed| states.contains(&weighed.checkpoint));
        let own = policy.witnessed(holding);
        let witnessed = match &options.host_witnessed {
            Some(host) => own.or(self.through_host(options, host, states)),
            None => own,
        };
        Some(policy.judge(&witnessed))
    }

    /// How far those who vouch for the host's log vouch for this one: as far as an entry commits to it for which they do.
    fn through_host(
        &self,
        options: &VerifyOptions<'_>,
        host: &Witnessed,
        states: &[Checkpoint],
    ) -> Witnessed {
        host.through(|entries| {
            let committed = options.committed.iter().flatten();
            let covered = committed
                .filter(|it| it.sequence < entries && states.contains(&it.commitment.checkpoint));
            covered.map(|it| it.commitment.checkpoint.size).max()
        })
    }
}
