//! Images, audio and documents in an HTTP request: a connector says where they belong, and the host puts them there.

use crate::Error;
use crate::types::{BlobRef, RequestInfo};

/// What stands for the bytes of `blob` where an API wants them in base64. Once for each part.
#[must_use]
pub fn mark(info: &RequestInfo, blob: &BlobRef) -> String {
    format!("blob:{}:{}", info.id, blob.sha256)
}

/// A `data:` URL (RFC 2397) of `blob`.
#[must_use]
pub fn data_url(info: &RequestInfo, blob: &BlobRef) -> String {
    format!("data:{};base64,{}", blob.media_type, mark(info, blob))
}

/// That an API does not take `blob`, or not there: the call is refused, naming the media type.
#[must_use]
pub fn not_taken(blob: &BlobRef) -> Error {
    Error::Unsupported(format!("`{}` is not passed on there", blob.media_type))
}
