//! Whom a question is about: a record number, which only the tenant's key turns into what the log holds, or that digest itself.

use std::collections::HashSet;
use std::io::Read as _;

use anyhow::Context as _;
use nephron_audit::Header;
use nephron_model::{EventId, Fingerprint};

use super::Which;
use crate::cli::Failure;
use crate::cli::custody::{inquire, misunderstood};
use crate::inquiry::{Inquiry, Told, Wanted};
use crate::origin::PATIENT;

/// Who asks for something that the tenant's keys are needed for, and why.
#[derive(clap::Args, Clone)]
pub(super) struct Asker {
    /// Who you are, where the tenant's keys are used; the system's user is recorded beside it
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
    /// Why they are used
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// The digest of the patient that `given` names: by digest, by record number, or by `-` for a record number on standard input.
///
/// Where a key is used for it, the log says so first.
pub(super) async fn digest(
    given: &str,
    which: &Which,
    asker: &Asker,
) -> Result<Fingerprint, Failure> {
    if let Ok(digest) = given.parse() {
        return Ok(digest);
    }
    let number = if given == "-" {
        let mut line = String::new();
        let read = std::io::stdin().lock().take(1024).read_to_string(&mut line);
        read.context("standard input cannot be read")?;
        line
    } else {
        given.to_owned()
    };
    if number.trim().is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "the record number is empty"
        )));
    }
    let inquiry = asker.inquiry(which, Wanted::Patient(number))?;
    let config = which.config.as_deref().unwrap_or_else(|| "".as_ref());
    match inquire(config, inquiry).await? {
        Told::Patient(digest) => Ok(digest),
        Told::Field { .. } | Told::Event(_) => Err(misunderstood()),
    }
}

impl Asker {
    /// Whether anything is said of who asks.
    pub(super) const fn is_named(&self) -> bool {
        self.by.is_some() || self.reason.is_some()
    }

    /// What is wanted of the keys of the tenant whose log is meant.
    pub(super) fn inquiry(&self, which: &Which, wanted: Wanted) -> Result<Inquiry, Failure> {
        let (Some(by), Some(reason)) = (&self.by, &self.reason) else {
            return Err(Failure::usage(anyhow::anyhow!(
                "the tenant's key is needed for this, and its log says who used it and why: give `--by NAME` and `--reason TEXT`"
            )));
        };
        Ok(Inquiry {
            tenant: which.tenant()?,
            by: by.clone(),
            reason: reason.clone(),
            wanted,
        })
    }
}

/// Knows which requests are about one patient, as their entries pass by in order.
pub(super) struct About {
    digest: String,
    requests: HashSet<EventId>,
}

impl About {
    pub(super) fn new(digest: Fingerprint) -> Self {
        Self {
            digest: digest.to_string(),
            requests: HashSet::new(),
        }
    }

    /// Whether this entry is about the patient: it names the patient, or belongs to a request whose first entry did.
    pub(super) fn is_met(&mut self, header: &Header) -> bool {
        let is_named = patients(header).any(|patient| patient == self.digest);
        match header.request {
            Some(request) if is_named => {
                self.requests.insert(request);
                true
            }
            Some(request) => self.requests.contains(&request),
            None => is_named,
        }
    }
}

/// The digests of the patients whom an entry names.
pub(super) fn patients(header: &Header) -> impl Iterator<Item = &str> {
    let digests = header.facts.get(PATIENT);
    digests.into_iter().flat_map(|digests| digests.split(' '))
}
