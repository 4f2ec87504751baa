//! What every made component has: a core module in text, wrapped as a component of one of the contract's worlds.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the allocator begins. A guest's own constants stand between 1024 and here.
const HEAP: u32 = 8192;

/// A decider that permits everything: the function `decide` of a made component that misbehaves elsewhere.
///
/// The result is `ok` (0) of a decision whose effect is `permit` (0), with no reasons and no obligations: all zeros.
pub(crate) const PERMITS: &str = r#"
    (func (export "nephron:plugin/decider@0.1.0#decide") (param i32) (result i32) (i32.const 1024))
"#;

/// A component of `world` (a name of the contract, such as `access-policy`) that gives itself `name`.
///
/// `imports` and `functions` are fields of the core module in text format: the imports come first, and the functions
/// must export what the world does besides `plugin`. `pages` is its memory's least size, in 64 KiB.
pub(crate) fn component(
    name: &str,
    world: &str,
    pages: u32,
    imports: &str,
    functions: &str,
) -> Vec<u8> {
    wrap(&module(name, pages, imports, functions), world, &[])
}

/// The core module alone, without the metadata that makes it a component's.
pub(crate) fn module(name: &str, pages: u32, imports: &str, functions: &str) -> Vec<u8> {
    let length = name.len();
    // `describe` gives {name, version, settings-schema: none} at 16; `configure` gives `ok`, which is zero, at 48.
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $next (mut i32) (i32.const {HEAP}))
            (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
                (local $at i32)
                ;; Round up to the alignment, bump, and grow the memory until the block fits.
                (local.set $at (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $next (i32.add (local.get $at) (local.get $new)))
                (block $fits (loop $grow
                    (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
                    (br_if $grow (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
                    unreachable))
                (memory.copy (local.get $at) (local.get $old) (local.get $size))
                (local.get $at))
            (func (export "nephron:plugin/plugin@0.1.0#describe") (result i32) (i32.const 16))
            (func (export "nephron:plugin/plugin@0.1.0#configure") (param i32 i32) (result i32) (i32.const 48))
            (data (i32.const 16) "\40\00\00\00{low}\00\00\00\80\00\00\00\05\00\00\00")
            (data (i32.const 64) "{name}")
            (data (i32.const 128) "0.1.0")
            {functions})"#,
        low = format_args!("\\{length:02x}"),
    );
    wat::parse_str(text).expect("the module's text is well formed")
}

/// Wraps a core module as a component of `world`, which may name interfaces of `packages` (WIT text) beside the contract.
pub(crate) fn wrap(core: &[u8], world: &str, packages: &[&str]) -> Vec<u8> {
    wrap_in(StringEncoding::UTF8, core, world, packages)
}

/// The same, where texts are written in `encoding` on the guest's side.
pub(crate) fn wrap_in(
    encoding: StringEncoding,
    core: &[u8],
    world: &str,
    packages: &[&str],
) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let (mut package, _) = resolve.push_dir(contract).expect("the contract parses");
    for text in packages {
        package = resolve
            .push_str("made.wit", text)
            .expect("the package parses");
    }
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world is there");
    let mut core = core.to_vec();
    embed_component_metadata(&mut core, &resolve, world, encoding)
        .expect("the world can be encoded");
    ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|mut encoder| encoder.encode())
        .expect("the module has what its world exports")
}
