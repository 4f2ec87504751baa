//! A detector that claims ten million spans, which take 400 MB at 40 bytes each.
//!
//! A list must lie in memory, so that there are two ways: to claim it without the memory, which lifting must find out,
//! or to declare the memory, which must be refused before a page of it is mapped.

use crate::world;

/// Pages of 64 KiB that hold the spans and the page before them.
const ROOM: u32 = 400_000_000_u32.div_ceil(65_536) + 1;

/// At 1024 `ok` of a list of 0x0098_9680 spans from the second page on. Zeros are spans too: empty ones.
const DETECTS: &str = r#"
    (func (export "nephron:plugin/detector@0.1.0#detect") (param i32) (result i32) (i32.const 1024))
    (data (i32.const 1028) "\00\00\01\00\80\96\98\00")
"#;

/// The component that has one page, so that the list lies outside.
#[must_use]
pub fn component() -> Vec<u8> {
    world::component("claims-ten-million-spans", "deidentifier", 1, "", DETECTS)
}

/// The component that declares 6,105 pages, so that the list lies inside, if a host gives them.
#[must_use]
pub fn component_with_room() -> Vec<u8> {
    world::component(
        "claims-ten-million-spans",
        "deidentifier",
        ROOM,
        "",
        DETECTS,
    )
}
