//! Images, audio and documents: bytes that come with a request and that nothing here can search.
//!
//! They are taken only as data, in base64: what is fetched from elsewhere, or kept by a provider, would not be in the record
//! of what was sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_engine::PluginFailure;
use nephron_engine::contract::{BlobRef, RequestInfo};
use nephron_model::{Digest, Phi};

use super::fields::{Fields, wrong};
use crate::receive::Malformed;

/// What a client wrote in one part.
pub(crate) enum Content {
    /// Text, which is searched.
    Text(String),
    /// Bytes, which are not.
    Blob(Blob),
}

/// Bytes that came with a request.
pub(crate) struct Blob {
    /// Where they stand in the request, by the path of the field.
    pub(crate) place: String,
    media: &'static Media,
    length: usize,
    digest: Digest,
    /// RFC 4648 §4, canonical, as it came.
    base64: Phi<String>,
}

/// A media type that is taken.
struct Media {
    name: &'static str,
    family: &'static str,
}

const fn media(name: &'static str, family: &'static str) -> Media {
    Media { name, family }
}

/// Those that are taken (RFC 6838). Text of any kind is not among them, since it can be searched.
static MEDIA: [Media; 11] = [
    media("image/png", "image"),
    media("image/jpeg", "image"),
    media("image/gif", "image"),
    media("image/webp", "image"),
    media("audio/wav", "audio"),
    media("audio/mpeg", "audio"),
    media("application/pdf", "document"),
    media("application/msword", "document"),
    media("application/vnd.ms-excel", "document"),
    media(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "document",
    ),
    media(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "document",
    ),
];

/// Blobs of one request: the log names each.
const MOST: usize = 100;

const MEDIA_TYPE: &str = "an image (`image/png`, `image/jpeg`, `image/gif`, `image/webp`), audio (`audio/wav`, \
                          `audio/mpeg`) or a document (`application/pdf`, Word, Excel), by its media type; what is text \
                          goes as text, which is searched";
const DATA: &str = "not empty, and base64 with its padding and without line breaks (RFC 4648 §4)";
/// The rule of what would have to be fetched.
const AS_DATA: &str = "left out, and what it leads to sent as data in base64: what is fetched from elsewhere is not in the \
                       record of what was sent";

impl Blob {
    /// What stands at `place`: `base64` of this media type.
    pub(super) fn read(media_type: &str, base64: String, place: String) -> Result<Self, Malformed> {
        let media = MEDIA.iter().find(|media| media.name == media_type);
        let media = media.ok_or_else(|| wrong(&place, MEDIA_TYPE))?;
        let base64 = Phi::new(base64);
        let bytes = STANDARD.decode(base64.expose()).map(Phi::new);
        let bytes = bytes.map_err(|_| wrong(&place, DATA))?;
        if bytes.expose().is_empty() {
            return Err(wrong(&place, DATA));
        }
        Ok(Self {
            length: bytes.expose().len(),
            digest: Digest::of(bytes.expose()),
            place,
            media,
            base64,
        })
    }

    /// The data of a `data:` URL (RFC 2397) in the field `name`, which must be there.
    pub(super) fn of_data_url(fields: &mut Fields, name: &str) -> Result<Self, Malformed> {
        const URL: &str = "a URL of the form `data:image/png;base64,…`: what is fetched from elsewhere is not in the record \
                           of what was sent, so send it as data";
        let place = fields.at(name);
        let url = fields.text(name)?.ok_or_else(|| wrong(&place, URL))?;
        let url = Phi::new(url);
        let data = url.expose().strip_prefix("data:");
        let (media_type, data) = data
            .and_then(|data| data.split_once(";base64,"))
            .ok_or_else(|| wrong(&place, URL))?;
        Self::read(media_type, data.to_owned(), place)
    }

    /// OpenAI's `input_audio`.
    pub(super) fn of_audio(fields: &mut Fields) -> Result<Self, Malformed> {
        const FORMAT: &str = "`wav` or `mp3`";
        let audio = fields.object("input_audio")?;
        let mut audio = audio.ok_or_else(|| wrong(&fields.at("input_audio"), "an object"))?;
        let media_type = match audio.text("format")?.as_deref() {
            Some("wav") => "audio/wav",
            Some("mp3") => "audio/mpeg",
            Some(_) | None => return Err(wrong(&audio.at("format"), FORMAT)),
        };
        let data = audio.text("data")?;
        let place = audio.at("data");
        let data = data.ok_or_else(|| wrong(&place, DATA))?;
        audio.finish(&[])?;
        Self::read(media_type, data, place)
    }

    /// What connectors and detectors are handed in place of the bytes.
    pub(super) fn reference(&self) -> BlobRef {
        BlobRef {
            media_type: self.media.name.to_owned(),
            length: u64::try_from(self.length).unwrap_or(u64::MAX),
            sha256: self.hex(),
        }
    }

    /// Its media type.
    pub(crate) const fn media_type(&self) -> &'static str {
        self.media.name
    }

    /// SHA-256 of the bytes.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    fn hex(&self) -> String {
        let digest = self.digest.to_string();
        digest
            .split_once(':')
            .map_or_else(String::new, |(_, hex)| hex.to_owned())
    }

    /// What a connector writes where the bytes belong (`wit/types.wit`, `blob-ref`). The request's id is not known to the
    /// client before it is answered, so that no text of its own can be taken for one.
    fn mark(&self, info: &RequestInfo) -> String {
        format!("blob:{}:{}", info.id, self.hex())
    }
}

/// Refuses fields that lead to bytes elsewhere.
pub(super) fn refuse_elsewhere(fields: &mut Fields, names: &[&str]) -> Result<(), Malformed> {
    refuse(fields, names, AS_DATA)
}

/// Refuses what a document says beside its data.
pub(super) fn refuse_words(fields: &mut Fields, names: &[&str]) -> Result<(), Malformed> {
    refuse(fields, names, "left out: say it in a block of text")
}

fn refuse(fields: &mut Fields, names: &[&str], rule: &'static str) -> Result<(), Malformed> {
    for name in names {
        if fields.take(name).is_some() {
            return Err(wrong(&fields.at(name), rule));
        }
    }
    Ok(())
}

/// Refuses more blobs than the log can name.
pub(super) fn check_count(blobs: &[Blob], at: &str) -> Result<(), Malformed> {
    if blobs.len() > MOST {
        return Err(wrong(
            at,
            "such that it holds no more than 100 images, audio and files",
        ));
    }
    Ok(())
}

/// How many there are of each family of media types.
pub(crate) fn families(blobs: &[Blob]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for blob in blobs {
        *counts.entry(blob.media.family.to_owned()).or_default() += 1;
    }
    counts
}

/// Puts the base64 of each blob in its place in what a connector encoded.
///
/// # Errors
/// [`PluginFailure::BadAnswer`] where not every blob has exactly as many places as it has parts in the call.
pub(crate) fn put(
    body: Vec<u8>,
    blobs: &[Blob],
    info: &RequestInfo,
) -> Result<Vec<u8>, PluginFailure> {
    if blobs.is_empty() {
        return Ok(body);
    }
    let bad = || PluginFailure::BadAnswer("blob-is-not-in-its-place");
    let mut left: BTreeMap<String, (usize, &Blob)> = BTreeMap::new();
    for blob in blobs {
        left.entry(blob.mark(info)).or_insert((0, blob)).0 += 1;
    }
    let body = String::from_utf8(body).map_err(|_| bad())?;
    let data: usize = blobs.iter().map(|blob| blob.base64.expose().len()).sum();
    let mut whole = String::with_capacity(body.len() + data);
    let start = format!("blob:{}:", info.id);
    let mut rest = body.as_str();
    while let Some((before, after)) = rest.split_once(&start) {
        whole.push_str(before);
        let (hex, after) = after.split_at_checked(64).ok_or_else(bad)?;
        let (count, blob) = left.get_mut(&format!("{start}{hex}")).ok_or_else(bad)?;
        *count = count.checked_sub(1).ok_or_else(bad)?;
        whole.push_str(blob.base64.expose());
        rest = after;
    }
    whole.push_str(rest);
    match left.values().all(|(count, _)| *count == 0) {
        true => Ok(whole.into_bytes()),
        false => Err(bad()),
    }
}

#[cfg(test)]
#[path = "blob/tests.rs"]
mod tests;
