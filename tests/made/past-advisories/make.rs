//! Deciders after the classes of wasmtime's advisories of the two years to November 2026, as RustSec lists them, as far as a
//! guest can cause them here: each does what once made an engine read, write or panic where it must not. Those that only read
//! or compute permit; they deny where they see what they must not.
//!
//! Left out: the compiler Winch, Arm, Windows' file names, shared memory in a host's hands, and hosts of WASI's files, HTTP
//! and streams, none of which this host has.

use wit_component::StringEncoding;

use crate::world::{self, PERMITS, module, wrap, wrap_in};

/// A reason at 1056 whose code's pointer and length are there, then those of nothing.
const REASON: &str = r#"(data (i32.const 1032) "\20\04\00\00\01\00\00\00")"#;

/// A decider that answers with a reason whose code stands at a pointer, with a length, both in the encoding's own terms.
fn text(encoding: StringEncoding, pointer: u32, length: u32, data: &str) -> Vec<u8> {
    let bytes = |number: u32| -> String {
        let hex = |byte: &u8| format!("\\{byte:02x}");
        number.to_le_bytes().iter().map(hex).collect()
    };
    let fields = format!(
        r#"{PERMITS} {REASON} (data (i32.const 1056) "{}{}") (data (i32.const 1280) "{data}")"#,
        bytes(pointer),
        bytes(length)
    );
    // In UTF-16 its own name and version must be, too; in the other they are Latin-1 as they stand.
    let (name, version) = match encoding {
        StringEncoding::UTF16 => (r"r\00", r"0\00.\001\00.\000\00"),
        StringEncoding::UTF8 | StringEncoding::CompactUTF16 => ("r", "0.1.0"),
    };
    wrap_in(
        encoding,
        &core(BUMPS, &fields, name, version),
        "access-policy",
        &[],
    )
}

/// A decider with these fields, which stores what it denies for.
fn decider(fields: &str, denies: &str) -> Vec<u8> {
    let functions = format!(
        r#"{fields}
        (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32)
            (i32.store8 (i32.const 1028) {denies})
            (i32.const 1024))"#
    );
    world::component("past-advisories", "access-policy", 1, "", &functions)
}

/// A decider whose allocator gives this in place of a block.
fn allocator(gives: &str) -> Vec<u8> {
    wrap(&core(gives, PERMITS, "r", "0.1.0"), "access-policy", &[])
}

/// Gives one block behind another, aligned to 16, and never takes any back.
const BUMPS: &str = r"
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3)))
";

/// A decider's core module with these instructions for an allocator; texts as they lie in memory.
fn core(allocates: &str, fields: &str, name: &str, version: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 8192))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocates})
            (func (export "nephron:plugin/plugin@0.1.0#describe") (result i32) (i32.const 16))
            (func (export "nephron:plugin/plugin@0.1.0#configure") (param i32 i32) (result i32) (i32.const 48))
            (data (i32.const 16) "\40\00\00\00\01\00\00\00\80\00\00\00\05\00\00\00")
            (data (i32.const 64) "{name}")
            (data (i32.const 128) "{version}")
            {fields})"#
    );
    wat::parse_str(text).expect("the module's text is well formed")
}

/// A valid decider that holds one thing more, which this host does not take.
fn with(field: &str) -> Vec<u8> {
    wrap(
        &module("past-advisories", 1, "", &format!("{PERMITS} {field}")),
        "access-policy",
        &[],
    )
}

/// Each with the name of its class.
#[must_use]
pub fn components() -> Vec<(&'static str, Vec<u8>)> {
    let (utf16, either) = (StringEncoding::UTF16, StringEncoding::CompactUTF16);
    // The tag that says which of two encodings a text has.
    let tag = 1 << 31;
    vec![
        // RUSTSEC-2026-0006, -0087: a load that is widened beyond the last bytes of a memory.
        (
            "copysign-at-the-end-of-memory",
            decider(
                r#"(data (i32.const 65528) "\00\00\00\00\00\00\f0\bf")"#,
                "(f64.ne (f64.const -3) (f64.copysign (f64.const 3) (f64.load (i32.const 65528))))",
            ),
        ),
        (
            "splat-at-the-end-of-memory",
            decider(
                r#"(data (i32.const 65528) "\00\00\00\00\00\00\f0\3f")"#,
                "(f64.ne (f64.const 1) (f64x2.extract_lane 1 (f64x2.splat (f64.load (i32.const 65528)))))",
            ),
        ),
        // RUSTSEC-2026-0088: a slot of the pool that still holds what another instance wrote. It reads all that it did not
        // write, and then writes over it.
        (
            "what-another-instance-left",
            decider(
                r"(func $dirty (result i32) (local $at i32) (local $found i32)
                    (drop (memory.grow (i32.const 63)))
                    (local.set $at (i32.const 65536))
                    (loop $on
                        (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (local.set $found (i32.const 1))))
                        (local.set $at (i32.add (local.get $at) (i32.const 512)))
                        (br_if $on (i32.lt_u (local.get $at) (i32.const 4194304))))
                    (memory.fill (i32.const 65536) (i32.const 0xaa) (i32.const 4128768))
                    (local.get $found))",
                "(call $dirty)",
            ),
        ),
        // RUSTSEC-2026-0091 to -0093: texts in UTF-16, or in Latin-1 or UTF-16.
        ("utf-16", text(utf16, 1280, 1, r"\61\00")),
        ("utf-16-not-aligned", text(utf16, 1281, 1, r"\61\00\61\00")),
        ("utf-16-half-a-pair", text(utf16, 1280, 1, r"\00\d8")),
        ("utf-16-across-the-edge", text(utf16, 65_534, 2, "")),
        (
            "utf-16-whose-size-overflows",
            text(utf16, 1280, 0x8000_0001, ""),
        ),
        ("either-as-latin-1", text(either, 1280, 1, r"\61")),
        (
            "either-as-utf-16-not-aligned",
            text(either, 1281, tag | 1, r"\61\00\61\00"),
        ),
        (
            "either-as-utf-16-across-the-edge",
            text(either, 65_534, tag | 2, ""),
        ),
        (
            "either-as-utf-16-without-end",
            text(either, 1280, u32::MAX, ""),
        ),
        // RUSTSEC-2025-0112: what the host asks of the guest while it hands over the question.
        ("allocates-outside", allocator("(i32.const 65535)")),
        ("allocates-behind-everything", allocator("(i32.const -16)")),
        ("allocates-without-alignment", allocator("(i32.const 8193)")),
        (
            "allocates-over-its-own-answer",
            allocator("(i32.const 1024)"),
        ),
        ("traps-while-it-allocates", allocator("unreachable")),
        (
            "allocates-for-ever",
            allocator("(loop $on (br $on)) unreachable"),
        ),
        // RUSTSEC-2026-0114: a table of more than there is.
        ("a-table-without-end", with("(table 0xffffffff funcref)")),
        // RUSTSEC-2026-0089, -0094: what growing and filling a table answer.
        (
            "a-table-that-grows-and-is-filled",
            decider(
                r"(table $t 1 10 funcref)",
                r"(i32.or
                    (i32.or
                        (i32.ne (table.grow $t (ref.null func) (i32.const 4)) (i32.const 1))
                        (i32.ne (table.grow $t (ref.null func) (i32.const 0x7fffffff)) (i32.const -1)))
                    (i32.ne (table.size $t) (i32.const 5)))",
            ),
        ),
        (
            "a-table-that-is-filled-beyond-its-end",
            decider(
                r"(table $t 1 10 funcref)
                (func $fill (result i32) (table.fill $t (i32.const 0) (ref.null func) (i32.const 11)) (i32.const 0))",
                "(call $fill)",
            ),
        ),
        // RUSTSEC-2026-0223: stopped in the middle of what moves many bytes.
        (
            "moves-memory-for-ever",
            decider(
                r"(func $move (result i32) (loop $on
                    (memory.copy (i32.const 16384) (i32.const 12288) (i32.const 49152)) (br $on)) unreachable)",
                "(call $move)",
            ),
        ),
        // RUSTSEC-2024-0440: a trap below frames that tail calls have replaced.
        (
            "a-trap-behind-tail-calls",
            decider(
                r"(func $fall (param i32) (result i32)
                    (if (i32.eqz (local.get 0)) (then unreachable))
                    (return_call $fall (i32.sub (local.get 0) (i32.const 1))))",
                "(call $fall (i32.const 1000))",
            ),
        ),
        // RUSTSEC-2024-0439, -0441, 2025-0118, 2026-0020, -0086, -0222: proposals that this host does not take.
        (
            "garbage-collected-types",
            with("(type (struct (field i32)))"),
        ),
        (
            "references-to-the-outside",
            with("(table 1 externref) (elem externref (ref.null extern))"),
        ),
        ("shared-memory", with("(memory $shared 1 1 shared)")),
        ("a-memory-of-64-bits", with("(memory $wide i64 1)")),
        ("a-table-of-64-bits", with("(table i64 1 funcref)")),
        ("several-memories", with("(memory $second 1)")),
        ("exceptions", with("(tag (param i32))")),
    ]
}
