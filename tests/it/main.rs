//! The one integration binary. Each module proves one thing; names carry the invariant they hold.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise, and so does what it calls"
)]

mod admin;
mod agreements;
mod anchors;
mod anthropic;
mod aot;
mod audit;
mod bad_input;
mod bedrock;
mod blobs;
mod breaker;
mod canary;
mod chain;
mod conformance;
mod connections;
mod contract;
mod custody;
mod deidentify;
mod demo;
mod exporters;
mod fallback;
mod golden;
mod grants;
mod host_log;
mod hostile;
mod identity;
mod key_services;
mod known;
mod languages;
mod memory;
mod outside;
mod own;
mod pkcs11;
mod record_then_act;
mod registry;
mod replay;
mod serve;
mod small_model;
mod streams;
mod swap;
mod tidy;
mod tls;
mod tokens;
mod trust;
mod upstream;
mod what_if;

/// What a `.tar.zst` holds, by name.
fn unpacked(path: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    use std::io::Read as _;
    let packed = std::fs::read(path).unwrap();
    let unpacked = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).unwrap();
    let mut archive = tar::Archive::new(unpacked);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

/// The command line, as a program of its own.
fn nephron() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_BIN_EXE_nephron-in-test"))
}
