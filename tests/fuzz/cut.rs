//! A connector's decoder, for any response that is cut anywhere. Connectors include this file beside `bytes.rs`.

use nephron_sdk::connector::{Decode, Event};

use super::bytes::Bytes;

/// However a response is cut, its decoder gives the same events, or the same failure.
pub(super) fn any_cut<D: Decode>(data: &[u8], streamed: &str) {
    let mut bytes = Bytes::new(data);
    let status = if bytes.below(16) == 15 { 503 } else { 200 };
    let media_type = match bytes.below(4) {
        0 => Some("application/json"),
        1 => None,
        _ => Some(streamed),
    };
    let media_type = media_type.map(|it| ("content-type".to_owned(), it.to_owned()));
    let headers: Vec<(String, String)> = media_type.into_iter().collect();
    let cuts = bytes.piece();
    let body = bytes.rest();
    let mut pieces = Vec::new();
    let mut rest = body;
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    let whole = decoded::<D>(status, &headers, &[body]);
    assert_eq!(decoded::<D>(status, &headers, &pieces), whole);
}

/// In text, since a failure has no equality.
fn decoded<D: Decode>(status: u16, headers: &[(String, String)], pieces: &[&[u8]]) -> String {
    let mut decoder = D::new(status, headers.to_vec());
    let mut all: Vec<Event> = Vec::new();
    for piece in pieces {
        match decoder.push(piece) {
            Ok(events) => all.extend(events),
            Err(error) => return format!("{error:?}"),
        }
    }
    match decoder.finish() {
        Ok(events) => all.extend(events),
        Err(error) => return format!("{error:?}"),
    }
    format!("{all:?}")
}
