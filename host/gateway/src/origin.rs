//! Where a request came from, as far as its client says or the network shows it, the records that the client says it
//! was given as context, and whom it is about (45 CFR 164.312(b), 164.528).
//!
//! In the open stand the address and the program, held to a form, and keyed digests of the session, of the records' ids and of
//! the patient's record numbers: an id in a medical record system is somebody's. All of it is sealed.

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{HeaderName, USER_AGENT};
use nephron_keys::KeyError;
use nephron_model::{Draft, EventId, FieldCommitment, Fingerprint, Phi};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::receive::Malformed;
use crate::refusal::Refusal;
use crate::tenant::Tenant;
use crate::wire::fields::{ID_RULE, is_structural, wrong};

/// A session of the client's own.
const X_SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
/// Records that the client took text from, by ids parted by commas.
const X_CONTEXT_RECORDS: HeaderName = HeaderName::from_static("x-context-records");

/// Records that one request may name.
const MOST_RECORDS: usize = 64;

/// Where one request came from.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// Address and port of who is connected: a proxy's, if one stands between.
    pub source: Option<SocketAddr>,
    /// What the client calls its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// A session of the client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Ids of the records that the request was given as context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// The patient's medical record numbers, where the request says what is known of the patient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<String>,
}

/// Name of the payload of a `request-opened` entry, bound into its seal.
pub const ORIGIN: &str = "origin";

impl Zeroize for Origin {
    fn zeroize(&mut self) {
        self.user_agent.zeroize();
        self.session.zeroize();
        self.context.zeroize();
        self.patients.zeroize();
    }
}

impl Origin {
    /// Reads the headers of a request over a connection from `source`.
    pub(crate) fn of(source: SocketAddr, headers: &HeaderMap) -> Result<Phi<Self>, Malformed> {
        const RECORDS: &str =
            "1 to 64 ids parted by commas, each 1 to 200 of letters, digits and `._:/-@`";
        let structural = |text: &&str| is_structural(text, 200);
        let session = match headers.get(X_SESSION_ID) {
            None => None,
            Some(value) => {
                let session = value.to_str().ok().filter(structural);
                Some(session.ok_or_else(|| wrong("header x-session-id", ID_RULE))?)
            }
        };
        let mut context = Vec::new();
        for value in headers.get_all(X_CONTEXT_RECORDS) {
            let ids = value.to_str().unwrap_or_default().split(',').map(str::trim);
            for id in ids {
                let id = Some(id)
                    .filter(structural)
                    .filter(|_| context.len() < MOST_RECORDS);
                let id = id.ok_or_else(|| wrong("header x-context-records", RECORDS))?;
                context.push(id.to_owned());
            }
        }
        // Whatever a client calls itself is no reason to refuse it.
        let user_agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Ok(Phi::new(Self {
            source: Some(source),
            user_agent: user_agent.map(|text| text.chars().take(1_000).collect()),
            session: session.map(str::to_owned),
            context,
            patients: Vec::new(),
        }))
    }

    /// What of it can be disclosed alone, by name: `session`, `context` (a JSON list), `patient`, and the others as `patient-2` and so
    /// on.
    pub(crate) fn fields(&self) -> Vec<(String, Phi<String>)> {
        let session = self.session.iter().cloned();
        let mut fields: Vec<(String, Phi<String>)> = session
            .map(|session| ("session".to_owned(), Phi::new(session)))
            .collect();
        if !self.context.is_empty() {
            let list = serde_json::to_string(&self.context).unwrap_or_default();
            fields.push(("context".to_owned(), Phi::new(list)));
        }
        for (place, number) in (1..).zip(&self.patients) {
            let name = match place {
                1 => PATIENT.to_owned(),
                place => format!("{PATIENT}-{place}"),
            };
            fields.push((name, Phi::new(number.clone())));
        }
        fields
    }

    /// What is kept of somebody whom no credential makes known: where from, and the beginning of what the program calls itself.
    pub(crate) fn of_stranger(source: SocketAddr, headers: &HeaderMap) -> Phi<Self> {
        let user_agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Phi::new(Self {
            source: Some(source),
            user_agent: user_agent.map(|text| text.chars().take(200).collect()),
            ..Self::default()
        })
    }

    /// Adds it to the entry that opens a request, or refuses one. A local request comes from nowhere, but may be about somebody.
    pub(crate) fn add_to(
        origin: &Phi<Self>,
        tenant: &Tenant,
        request: EventId,
        mut draft: Draft,
    ) -> Result<Draft, Refusal> {
        let whole = origin.expose();
        if whole.source.is_none() && whole.patients.is_empty() {
            return Ok(draft);
        }
        if let Some(source) = whole.source {
            draft = draft.fact("source", source.ip().to_string());
        }
        if let Some(program) = whole.user_agent.as_deref() {
            // The first product of RFC 9110, section 10.1.5, such as `OpenAI/Python`.
            let product = program.split(' ').next().unwrap_or_default();
            let product = if is_structural(product, 64) {
                product
            } else {
                "withheld"
            };
            draft = draft.fact("user-agent", product);
        }
        let keys = tenant.keys();
        // Of a tenant whose keys were destroyed the log says what needs none.
        if !keys.is_live() {
            return Ok(draft);
        }
        for (field, value) in whole.fields() {
            let commitment = keys.commit(request, &field, value.expose().as_bytes())?;
            draft = draft.fact(
                &FieldCommitment::fact(&field),
                commitment.digest.to_string(),
            );
        }
        if let Some(session) = &whole.session {
            let digest = keys.fingerprint(session.as_bytes())?;
            draft = draft.fact("session", digest.to_string());
        }
        if !whole.context.is_empty() {
            let count = u64::try_from(whole.context.len()).unwrap_or(u64::MAX);
            draft.counts.insert("context-records".to_owned(), count);
            let digest = |id: &String| keys.fingerprint(id.as_bytes());
            draft = draft.fact("context", joined(&whole.context, digest)?);
        }
        if !whole.patients.is_empty() {
            let digest = |number: &String| keys.patient(number);
            draft = draft.fact(PATIENT, joined(&whole.patients, digest)?);
        }
        let json = Phi::new(serde_json::to_vec(whole).unwrap_or_default());
        draft.payload = Some(keys.seal_payload(Some(request), ORIGIN, json.expose())?);
        Ok(draft)
    }
}

/// The fact of the entry that opens a request which holds the digests of the patient's record numbers.
pub(crate) const PATIENT: &str = "patient";

/// The digest of each id once, in the order of the ids, with a space between.
fn joined(
    ids: &[String],
    digest: impl Fn(&String) -> Result<Fingerprint, KeyError>,
) -> Result<String, KeyError> {
    let mut digests = Vec::with_capacity(ids.len());
    for id in ids {
        let digest = digest(id)?.to_string();
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }
    Ok(digests.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Result<Phi<Origin>, Malformed> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Origin::of(([10, 0, 0, 7], 40_000).into(), &map)
    }

    #[test]
    fn what_a_client_says_of_itself_is_read() {
        let origin = read(&[
            ("user-agent", "OpenAI/Python 3.57.0"),
            ("x-session-id", "s-1"),
            ("x-context-records", "Patient/7, DocumentReference/9"),
            ("x-context-records", "Observation/3"),
        ]);
        let origin = origin.ok().unwrap().into_inner();
        assert_eq!(origin.user_agent.as_deref(), Some("OpenAI/Python 3.57.0"));
        assert_eq!(origin.session.as_deref(), Some("s-1"));
        assert_eq!(
            origin.context,
            ["Patient/7", "DocumentReference/9", "Observation/3"]
        );
    }

    #[test]
    fn i9_ids_that_are_none_are_refused_without_being_quoted() {
        let many = vec!["r"; MOST_RECORDS + 1].join(",");
        for (name, value) in [
            ("x-session-id", "Zebulon Quackenbush"),
            ("x-session-id", ""),
            ("x-context-records", "Patient/7,,"),
            ("x-context-records", "Zebulon Quackenbush"),
            ("x-context-records", many.as_str()),
        ] {
            let error = read(&[(name, value)]).err().unwrap().to_string();
            assert!(
                error.contains(name) && !error.contains("Quackenbush"),
                "{error}"
            );
        }
    }
}
