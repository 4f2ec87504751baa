//! The wire: what clients send and expect, API by API. Nothing here judges or acts; it maps bytes to a
//! [`Call`](crate::receive::Call) and replies to bytes.
//!
//! Every string of a request is one of three things, and the type says which: *scanned* (it becomes a part of the
//! messages that detectors see), *structural* ([`json::Json::Fixed`]: known, short, held to a form), or refused.
//! [`shape`] takes the scanned strings out of a request and puts the cleared ones back in their places.

pub(crate) mod chat;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod shape;
