//! A witness (C2SP tlog-witness): it is shown that the log grew since it last looked, and signs what it saw and when.

use hyper::Request;
use nephron_audit::{GrowthProof, ProveError, SignedCheckpoint, WitnessKey};

use super::{AnchorError, Receipt, send};
use crate::config::AnchorService;

const ENDING: &str = "cosigned";
/// The witness has seen another size than was said (tlog-witness: the body is that size).
const CONFLICT: u16 = 409;

/// Has `signed` cosigned. `known` is the size that the witness saw last, as far as is known. The receipt is the note with the
/// witness's line added.
pub(super) async fn cosign(
    service: &AnchorService,
    key: &WitnessKey,
    signed: &SignedCheckpoint,
    known: Option<u64>,
    prove: impl Fn(u64) -> Result<GrowthProof, ProveError>,
) -> Result<Receipt, AnchorError> {
    let mut told = ask(service, signed, known.unwrap_or(0), &prove).await?;
    if told.status == CONFLICT {
        let seen = std::str::from_utf8(&told.answer).ok();
        let seen = seen.and_then(|text| text.trim_end_matches('\n').parse().ok());
        let seen: u64 = seen.ok_or(AnchorError::Malformed)?;
        if seen > signed.checkpoint.size {
            return Err(AnchorError::PutBack { seen });
        }
        told = ask(service, signed, seen, &prove).await?;
    }
    if told.status != 200 {
        return Err(AnchorError::Status(told.status));
    }
    let lines = std::str::from_utf8(&told.answer).map_err(|_| AnchorError::Malformed)?;
    let cosigned = format!("{}{lines}", told.note);
    let _time = key.cosigned(&cosigned)?;
    Ok(Receipt {
        ending: ENDING,
        bytes: cosigned.into_bytes(),
    })
}

/// What the witness was shown, and what it said.
struct Told {
    note: String,
    status: u16,
    answer: Vec<u8>,
}

async fn ask(
    service: &AnchorService,
    signed: &SignedCheckpoint,
    old: u64,
    prove: &impl Fn(u64) -> Result<GrowthProof, ProveError>,
) -> Result<Told, AnchorError> {
    let (note, body) = match old {
        // Whoever has seen nothing needs no proof.
        0 => (signed.note.clone(), format!("old 0\n\n{}", signed.note)),
        // It leads to the newest checkpoint, which may have been made since.
        old => {
            let proof = prove(old)?;
            (proof.note().to_owned(), proof.to_string())
        }
    };
    let request = Request::post(service.url.join("/add-checkpoint"));
    let (status, answer) = send(service, request, body).await?;
    Ok(Told {
        note,
        status,
        answer,
    })
}
