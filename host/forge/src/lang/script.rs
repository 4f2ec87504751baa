//! JavaScript and TypeScript: esbuild makes one module of the plugin and what it imports, componentize-qjs puts that and
//! QuickJS into a component, and what the latter wants of WASI is cut off.

use super::{MakeError, Making, files};
use crate::Progress;
use crate::mend::{called, lent};
use crate::seal::seal;
use crate::toolbox::Package;

const BUNDLER: Package = Package {
    name: "esbuild",
    version: "0.28.2",
    megabytes: 11,
};

pub(super) const TOOL: Package = Package {
    name: "componentize-qjs",
    version: "0.4.5",
    megabytes: 14,
};

/// What the bundler runs, and what it puts around the plugin.
const SCRIPTS: [(&str, &str); 2] = [
    ("bundle.mjs", include_str!("bundle.mjs")),
    ("told.mjs", include_str!("told.mjs")),
];

impl Making<'_> {
    /// The plugin in `plugin.js` or `plugin.ts`.
    pub(super) fn script(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, MakeError> {
        let (wit, world) = (self.wit(), &self.manifest.world);
        let unusable = |error: anyhow::Error| self.unusable(&error);
        let tools = self.toolbox.npm(&[TOOL, BUNDLER], progress)?;
        progress(Progress::Making {
            name: self.manifest.name.clone(),
            tool: BUNDLER.name,
        });
        for (name, text) in SCRIPTS {
            let path = self.work.join(name);
            std::fs::write(&path, text).map_err(files(&path))?;
        }
        let source = self.source();
        let source = source.canonicalize().map_err(files(&source))?;
        let mut node = self.toolbox.node("node", progress)?;
        node.arg("bundle.mjs");
        node.arg(tools.join("node_modules").join(BUNDLER.name));
        node.arg(source).args(["told.mjs", "plugin.js"]);
        let called = called(&wit, world).map_err(unusable)?;
        node.arg(Vec::from_iter(called).join(","));
        self.run(BUNDLER.name, &mut node)?;

        progress(Progress::Making {
            name: self.manifest.name.clone(),
            tool: TOOL.name,
        });
        let mut node = self.toolbox.node("node", progress)?;
        node.arg(tools.join("node_modules/.bin").join(TOOL.name))
            .arg("--sync");
        node.arg("--wit").arg(&wit);
        node.args(["--world", world]);
        node.args(["--js", "plugin.js", "--output", "plugin.wasm"]);
        self.run(TOOL.name, &mut node)?;
        let made = self.made("plugin.wasm")?;
        let lent = lent(&wit, world).map_err(unusable)?;
        let sealed = seal(&made, "nephron:plugin/", &lent).map_err(|source| MakeError::Seal {
            tool: TOOL.name,
            source,
        })?;
        self.fused(TOOL.name, &sealed)
    }
}
