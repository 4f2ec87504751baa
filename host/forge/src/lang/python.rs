//! Python, by componentize-py: the interpreter, what the plugin imports, and its bindings in one component.

use super::{MakeError, Making, files};
use crate::Progress;
use crate::toolbox::Package;

/// What stands around the plugin's module.
const MODULES: [(&str, &str); 2] = [
    ("nephron_entry.py", include_str!("entry.py")),
    ("nephron_told.py", include_str!("told.py")),
];

pub(super) const TOOL: Package = Package {
    name: "componentize-py",
    version: "0.25.0",
    megabytes: 30,
};

impl Making<'_> {
    /// The plugin in `plugin.py`. WASI is stubbed by the tool itself, which leaves one flat component.
    pub(super) fn python(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, MakeError> {
        let tool = self.toolbox.python(TOOL, progress)?;
        progress(Progress::Making {
            name: self.manifest.name.clone(),
            tool: TOOL.name,
        });
        for (name, text) in MODULES {
            let path = self.work.join(name);
            std::fs::write(&path, text).map_err(files(&path))?;
        }
        let mut python = self.toolbox.machine.command("python3");
        // The tool would also take in whatever the machine or an environment around us has installed.
        python.env("PYTHONPATH", &tool).env("PYTHONNOUSERSITE", "1");
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python.env_remove("VIRTUAL_ENV");
        python.arg(tool.join("bin/componentize-py"));
        python.arg("--quiet").arg("--wit-path").arg(self.wit());
        python.args(["--world", &self.manifest.world]);
        python.args(["componentize", "--stub-wasi"]);
        python.arg("--python-path").arg(self.folder);
        python.arg("--python-path").arg(self.sdk());
        python.arg("--python-path").arg(self.work);
        python.args(["nephron_entry", "--output", "plugin.wasm"]);
        self.run(TOOL.name, &mut python)?;
        self.fused(TOOL.name, &self.made("plugin.wasm")?)
    }
}
