//! C: bindings by wit-bindgen's generator, which is linked into this program; compiled by zig, which brings clang, a
//! linker and a C library; wrapped as a module of Rust's is.

use std::path::Path;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldId};

use super::{MakeError, Making, files};
use crate::Progress;
use crate::mend::contract;
use crate::toolbox::Package;
use crate::wrap::wrap;

pub(super) const TOOL: Package = Package {
    name: "ziglang",
    version: "0.17.1",
    megabytes: 95,
};

impl Making<'_> {
    /// The plugin in `plugin.c`, which includes `plugin.h`: the bindings, whatever its world.
    pub(super) fn c(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, MakeError> {
        let tool = self.toolbox.python(TOOL, progress)?;
        progress(Progress::Making {
            name: self.manifest.name.clone(),
            tool: TOOL.name,
        });
        let wit = self.wit();
        let bindings = bindings(&wit, &self.manifest.world);
        let bindings = bindings.map_err(|error| self.unusable(&error))?;
        for (name, text) in bindings.iter() {
            let path = self.work.join(name);
            std::fs::write(&path, text).map_err(files(&path))?;
        }
        let zig = tool.join("ziglang/zig");
        let zig = || {
            let mut zig = self.toolbox.machine.command(&zig.to_string_lossy());
            let cache = self.toolbox.folder.join("zig-cache");
            zig.env("ZIG_GLOBAL_CACHE_DIR", &cache);
            zig.env("ZIG_LOCAL_CACHE_DIR", &cache);
            zig.args(["cc", "-target", "wasm32-wasi", "-std=c17", "-O2"]);
            zig
        };
        let mut own = zig();
        own.args(["-Wall", "-Wextra", "-Werror", "-I"]);
        own.arg(self.sdk()).arg("-c").arg(self.source());
        self.run(TOOL.name, own.args(["-o", "own.o"]))?;
        // The generator's code is not held to warnings. WASI's C library needs nothing of WASI where nothing asks for it.
        let mut whole = zig();
        whole.args(["-w", "-mexec-model=reactor", "-s", "-o", "plugin.wasm"]);
        whole.args(["own.o", "plugin.c", "plugin_component_type.o"]);
        self.run(TOOL.name, &mut whole)?;
        Ok(wrap(&self.made("plugin.wasm")?)?)
    }
}

/// `plugin.h`, `plugin.c` and the component's type for a world of the contract in `wit`.
fn bindings(wit: &Path, world: &str) -> anyhow::Result<Files> {
    let (mut resolve, world) = contract(wit, world)?;
    generate(&mut resolve, world)
}

fn generate(resolve: &mut Resolve, world: WorldId) -> anyhow::Result<Files> {
    let options = wit_bindgen_c::Opts {
        rename_world: Some("plugin".to_owned()),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(resolve, world, &mut files)?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    #[test]
    fn the_header_of_the_sdk_has_every_world_that_c_has() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/c");
        let mut resolve = Resolve::default();
        resolve.push_path(sdk.join("wit")).unwrap();
        let every = "package nephron:sdk;
            world every {
                include nephron:plugin/access-policy@0.1.0;
                include nephron:plugin/keyed-deidentifier@0.1.0;
                include nephron:plugin/llm-connector@0.1.0;
                include nephron:plugin/audit-exporter@0.1.0;
            }";
        let package = resolve.push_str("every.wit", every).unwrap();
        let world = resolve.select_world(&[package], Some("every")).unwrap();
        let files = generate(&mut resolve, world).unwrap();
        let (_, header) = files.iter().find(|(name, _)| *name == "plugin.h").unwrap();
        let header = std::str::from_utf8(header).unwrap();
        expect_file![sdk.join("plugin.h")].assert_eq(header);
    }
}
