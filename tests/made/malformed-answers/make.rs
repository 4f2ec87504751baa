//! Deciders whose answers lie in memory as no compiler would lay them: one fault each, from the canonical ABI's own list of what
//! must trap when an answer is lifted.

use crate::world;

/// What every answer here begins as: `ok` (0) of a decision that permits (0), at 1024; lists of reasons at 1032 and of obligations at
/// 1040, each a pointer and a length.
const ANSWERS: &str = r#"
    (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32) (i32.const 1024))
"#;

/// Each with the name of its fault.
#[must_use]
pub fn components() -> Vec<(&'static str, Vec<u8>)> {
    // One reason at 1056: its code (pointer, length), then `text` and `policy` at 1064 and 1076.
    let reason = r#"(data (i32.const 1032) "\20\04\00\00\01\00\00\00")"#;
    // One obligation at 1056 with one argument at 1088, whose value's case is at 1096.
    let obligation = r#"
        (data (i32.const 1040) "\20\04\00\00\01\00\00\00")
        (data (i32.const 1064) "\40\04\00\00\01\00\00\00")
    "#;
    let text = |bytes: &str, length: u8| {
        format!(
            r#"{ANSWERS} {reason} (data (i32.const 1056) "\00\05\00\00\{length:02x}\00\00\00") (data (i32.const 1280) "{bytes}")"#
        )
    };
    let at = |pointer: i64| ANSWERS.replace("(i32.const 1024)", &format!("(i32.const {pointer})"));
    let faults = [
        (
            "a-case-that-results-have-not",
            format!(r#"{ANSWERS} (data (i32.const 1024) "\02")"#),
        ),
        (
            "an-effect-that-there-is-not",
            format!(r#"{ANSWERS} (data (i32.const 1028) "\04")"#),
        ),
        (
            "an-error-that-there-is-not",
            format!(r#"{ANSWERS} (data (i32.const 1024) "\01") (data (i32.const 1028) "\06")"#),
        ),
        (
            "an-option-that-is-neither",
            format!(r#"{ANSWERS} {reason} (data (i32.const 1064) "\02")"#),
        ),
        (
            "a-value-of-no-case",
            format!(r#"{ANSWERS} {obligation} (data (i32.const 1096) "\05")"#),
        ),
        ("a-byte-that-is-not-utf-8", text(r"\ff", 1)),
        ("half-a-scalar", text(r"\c3", 1)),
        ("a-surrogate", text(r"\ed\a0\80", 3)),
        ("an-overlong-slash", text(r"\c0\af", 2)),
        (
            "a-text-behind-the-memory",
            format!(r#"{ANSWERS} {reason} (data (i32.const 1056) "\ff\ff\00\00\02\00\00\00")"#),
        ),
        (
            "a-text-that-wraps-around",
            format!(r#"{ANSWERS} {reason} (data (i32.const 1056) "\f0\ff\ff\ff\20\00\00\00")"#),
        ),
        (
            "a-list-whose-size-overflows",
            format!(r#"{ANSWERS} (data (i32.const 1032) "\20\04\00\00\ff\ff\ff\ff")"#),
        ),
        (
            "a-list-that-is-not-aligned",
            format!(r#"{ANSWERS} (data (i32.const 1032) "\21\04\00\00\01\00\00\00")"#),
        ),
        (
            "a-reason-across-the-edge",
            format!(r#"{ANSWERS} (data (i32.const 1032) "\f0\ff\00\00\01\00\00\00")"#),
        ),
        (
            "obligations-behind-the-memory",
            format!(r#"{ANSWERS} (data (i32.const 1040) "\00\00\01\00\01\00\00\00")"#),
        ),
        (
            "an-argument-that-is-not-utf-8",
            format!(
                r#"{ANSWERS} {obligation} (data (i32.const 1088) "\00\05\00\00\01\00\00\00") (data (i32.const 1280) "\ff")"#
            ),
        ),
        (
            "an-error-whose-text-lies-outside",
            format!(
                r#"{ANSWERS} (data (i32.const 1024) "\01") (data (i32.const 1032) "\00\00\01\00\04\00\00\00")"#
            ),
        ),
        ("an-answer-that-is-not-aligned", at(1025)),
        ("an-answer-across-the-edge", at(65_528)),
        ("an-answer-behind-the-memory", at(0x7fff_0000)),
        ("an-answer-below-zero", at(-8)),
        (
            "a-trap-after-the-answer",
            format!(
                r#"{ANSWERS}
                (func (export "cabi_post_nephron:plugin/decider@0.1.0#decide") (param i32) unreachable)"#
            ),
        ),
        (
            "a-loop-after-the-answer",
            format!(
                r#"{ANSWERS}
                (func (export "cabi_post_nephron:plugin/decider@0.1.0#decide") (param i32) (loop $on (br $on)))"#
            ),
        ),
        (
            "a-host-call-after-the-answer",
            format!(
                r#"{ANSWERS}
                (func (export "cabi_post_nephron:plugin/decider@0.1.0#decide") (param i32)
                    (call $log (i32.const 2) (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 0)))"#
            ),
        ),
    ];
    let log = r#"
        (import "nephron:plugin/diagnostics@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))
    "#;
    faults
        .into_iter()
        .map(|(name, functions)| {
            let made = world::component("malformed-answers", "access-policy", 1, log, &functions);
            (name, made)
        })
        .collect()
}
