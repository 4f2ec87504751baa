//! A time stamp (RFC 3161) over a checkpoint. What is checked here is that the stamp is of what was asked for; who signed it is
//! the auditor's to check, against the authority's certificate: `openssl ts -verify`.

use cms::signed_data::SignedData;
use der::asn1::{Int, OctetString};
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use hyper::Request;
use nephron_model::Digest;
use x509_tsp::{MessageImprint, TimeStampReq, TimeStampResp, TspVersion, TstInfo};

use super::{AnchorError, Receipt, send};
use crate::config::AnchorService;

/// SHA-256 (RFC 5754 §2.2).
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// The ending of a time-stamp response, as openssl names it.
const ENDING: &str = "tsr";

/// Has `text` stamped. The receipt is the authority's whole answer.
pub(super) async fn stamp(service: &AnchorService, text: &[u8]) -> Result<Receipt, AnchorError> {
    let query = query(text)?;
    let body = query.to_der().map_err(|_| AnchorError::Malformed)?;
    let request =
        Request::post(service.url.join("")).header("content-type", "application/timestamp-query");
    let (status, bytes) = send(service, request, body).await?;
    if status != 200 {
        return Err(AnchorError::Status(status));
    }
    check(&bytes, &query)?;
    Ok(Receipt {
        ending: ENDING,
        bytes,
    })
}

fn query(text: &[u8]) -> Result<TimeStampReq, AnchorError> {
    let mut nonce: [u8; 8] = nephron_keys::random::bytes()?;
    // Positive, and without a leading zero byte, which DER would not have.
    let [first, ..] = &mut nonce;
    *first = (*first & 0x3f) | 0x40;
    let malformed = |_| AnchorError::Malformed;
    Ok(TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint {
            hash_algorithm: cms::cert::x509::spki::AlgorithmIdentifier {
                oid: SHA_256,
                parameters: None,
            },
            hashed_message: OctetString::new(Digest::of(text).0).map_err(malformed)?,
        },
        req_policy: None,
        nonce: Some(Int::new(&nonce).map_err(malformed)?),
        cert_req: true,
        extensions: None,
    })
}

/// Whether the answer grants a stamp (RFC 3161 §2.4.2) of exactly what the query asked for.
fn check(answer: &[u8], query: &TimeStampReq) -> Result<(), AnchorError> {
    let malformed = |_: der::Error| AnchorError::Malformed;
    let answer = TimeStampResp::from_der(answer).map_err(malformed)?;
    // 0 and 1 are `granted` and `grantedWithMods`.
    if answer.status.status as u8 > 1 {
        return Err(AnchorError::Refused);
    }
    let token = answer.time_stamp_token.ok_or(AnchorError::Malformed)?;
    let signed = token.content.to_der().map_err(malformed)?;
    let signed = SignedData::from_der(&signed).map_err(malformed)?;
    let content = signed.encap_content_info.econtent;
    let content = content.ok_or(AnchorError::Malformed)?;
    let stamp = TstInfo::from_der(content.value()).map_err(malformed)?;
    let imprint = &stamp.message_imprint;
    let asked = &query.message_imprint;
    let is_same = imprint.hash_algorithm.oid == asked.hash_algorithm.oid
        && imprint.hashed_message == asked.hashed_message
        && stamp.nonce == query.nonce;
    is_same.then_some(()).ok_or(AnchorError::OtherStamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_reads_back_and_no_two_have_one_nonce() {
        let one = query(b"text").unwrap();
        let again = TimeStampReq::from_der(&one.to_der().unwrap()).unwrap();
        assert_eq!(again, one);
        assert_ne!(query(b"text").unwrap().nonce, one.nonce);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let query = query(b"text").unwrap();
        // PKIStatusInfo with the status `rejection` (2), and no token.
        let rejected = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02];
        assert!(matches!(
            check(&rejected, &query),
            Err(AnchorError::Refused)
        ));
        let without = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00];
        for answer in [&without[..], &[], b"<html>"] {
            assert!(matches!(check(answer, &query), Err(AnchorError::Malformed)));
        }
    }
}
