//! Deciders that look for what differs between two runs or two machines, and deny where they find it.

use crate::world;

/// Each with the name of what it looks at.
#[must_use]
pub fn components() -> Vec<(&'static str, Vec<u8>)> {
    let nan = |found: &str, canonical: &str, width: &str| {
        format!(
            "(i{width}.ne (i{width}.reinterpret_f{width} {found}) (i{width}.const {canonical}))"
        )
    };
    let probes = [
        // A NaN's payload is the processor's choice, unless the host makes every NaN the same.
        (
            "bits-of-a-nan",
            [
                nan("(f32.div (f32.const 0) (f32.const 0))", "0x7fc00000", "32"),
                nan("(f32.sqrt (f32.const -1))", "0x7fc00000", "32"),
                nan(
                    "(f32.add (f32.const nan:0x200001) (f32.const 1))",
                    "0x7fc00000",
                    "32",
                ),
                nan(
                    "(f64.sub (f64.const inf) (f64.const inf))",
                    "0x7ff8000000000000",
                    "64",
                ),
                nan(
                    "(f64.min (f64.const nan:0x4000000000001) (f64.const 1))",
                    "0x7ff8000000000000",
                    "64",
                ),
            ]
            .join("\n"),
            5,
        ),
        // Relaxed operations may differ between processors; here each has one of the results that are allowed.
        (
            "relaxed-simd",
            r"
            (i8x16.extract_lane_u 0 (i8x16.relaxed_swizzle
                (v128.const i8x16 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7)
                (v128.const i8x16 128 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0)))
            (i32.ne (i32.const 0x7fffffff) (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s
                (v128.const f32x4 3e9 0 0 0))))
            "
            .to_owned(),
            2,
        ),
        // What a call leaves in memory, globals and tables must not be there in the next one.
        (
            "what-the-last-call-left",
            r"
            (i32.load (i32.const 4096)) (i32.store (i32.const 4096) (i32.const 1))
            (global.get $calls) (global.set $calls (i32.const 1))
            (i32.ne (memory.size) (i32.const 1)) (drop (memory.grow (i32.const 3)))
            "
            .to_owned(),
            3,
        ),
    ];
    probes
        .into_iter()
        .map(|(name, looks, count)| {
            let any = "(i32.or)".repeat(count - 1);
            let functions = format!(
                r#"(global $calls (mut i32) (i32.const 0))
                (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32)
                    (i32.const 1028) {looks} {any} (i32.store8)
                    (i32.const 1024))"#
            );
            (
                name,
                world::component("probes", "access-policy", 1, "", &functions),
            )
        })
        .collect()
}
