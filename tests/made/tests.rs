//! Each made guest is what it says: valid where its misbehaviour shows only when it runs, and invalid where it must be.

use std::io::{Read, Seek, SeekFrom};

use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::*;

/// Components that any reader accepts; it takes vetting, a limit or a call to find out what they do.
#[test]
fn what_misbehaves_at_run_time_is_a_valid_component() {
    let made = [
        claims_a_gigabyte::component(),
        claims_ten_million_spans::component(),
        claims_ten_million_spans::component_with_room(),
        forges_a_key_handle::component(),
        imports_sockets::component(),
        repeats_a_megabyte::component(),
    ];
    for bytes in made {
        Validator::new().validate_all(&bytes).unwrap();
        assert!(Parser::is_component(&bytes));
        assert!(
            bytes.len() < 64 * 1024,
            "small enough to pass any size limit"
        );
    }
}

#[test]
fn the_compile_bomb_is_valid_and_small() {
    let bytes = is_a_compile_bomb::component();
    Validator::new().validate_all(&bytes).unwrap();
    assert!(
        bytes.len() < 1 << 20,
        "{} bytes would be refused for their size",
        bytes.len()
    );
}

#[test]
fn a_component_has_exactly_the_imports_it_is_named_for() {
    assert_eq!(
        imports(&imports_sockets::component()),
        ["nephron:plugin/types@0.1.0", "wasi:sockets/tcp@0.2.0"]
    );
    assert_eq!(
        imports(&forges_a_key_handle::component()),
        ["nephron:plugin/keys@0.1.0", "nephron:plugin/types@0.1.0"]
    );
}

#[test]
fn the_core_module_is_valid_and_no_component() {
    let bytes = is_a_core_module::component();
    Validator::new().validate_all(&bytes).unwrap();
    assert!(Parser::is_core_wasm(&bytes));
}

#[test]
fn the_truncated_one_looks_like_a_component_and_is_not_valid() {
    let bytes = is_truncated::component();
    assert!(Parser::is_component(&bytes));
    assert!(Validator::new().validate_all(&bytes).is_err());
}

#[test]
fn the_padding_is_one_custom_section_that_ends_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("is-padding.wasm");
    let length = is_padding::write(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    assert!(length >= 200_000_000);

    let mut file = std::fs::File::open(&path).unwrap();
    let head = is_padding::head();
    let mut start = vec![0; head.len()];
    file.read_exact(&mut start).unwrap();
    assert_eq!(start, head);
    let mut last = [1];
    file.seek(SeekFrom::End(-1)).unwrap();
    file.read_exact(&mut last).unwrap();
    assert_eq!(last, [0]);

    // The section's size, as written, reaches from behind the size field to the end of the file.
    let name = head.len() - b"\x07padding".len();
    assert_eq!(&head[name..], b"\x07padding");
    let size_field = &head[name - 4..name];
    let size = size_field
        .iter()
        .rev()
        .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    assert_eq!(head[name - 5], 0, "a custom section has id 0");
    assert_eq!(name as u64 + size, length);
}

/// The names of a component's imports, sorted.
fn imports(component: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    // Only what the outermost component imports: what is nested in it comes between its version and its end.
    let mut open = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.unwrap();
        if let Payload::Version { encoding, .. } = &payload {
            open.push(*encoding);
        } else if let Payload::End(_) = &payload {
            open.pop();
        } else if let Payload::ComponentImportSection(section) = payload
            && open == [Encoding::Component]
        {
            names.extend(
                section
                    .into_iter()
                    .map(|import| import.unwrap().name.name.to_owned()),
            );
        }
    }
    names.sort();
    names
}

#[test]
fn what_past_advisories_are_about_and_what_is_probed_is_valid_wherever_the_proposals_are() {
    let made = past_advisories::components()
        .into_iter()
        .chain(probes::components());
    for (name, bytes) in made {
        let all = wasmparser::WasmFeatures::all();
        let valid = Validator::new_with_features(all).validate_all(&bytes);
        assert!(valid.is_ok(), "{name}: {:?}", valid.err());
    }
}
