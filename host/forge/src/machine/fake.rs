//! A machine whose every tool is a script of the test's own.

use std::path::{Path, PathBuf};

use super::Machine;

pub(crate) struct Fake {
    pub(crate) folder: tempfile::TempDir,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        Self { folder }
    }

    /// Installs a tool that runs `script` in sh. `$HOME_OF_TEST` is the folder of this machine.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        let bin = self.folder.path().join("bin");
        let text = format!(
            "HOME_OF_TEST='{}'\n{script}\n",
            self.folder.path().display()
        );
        std::fs::write(bin.join(format!("{name}.does")), text).unwrap();
        let link = bin.join(name);
        if !link.exists() {
            let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-tool");
            std::os::unix::fs::symlink(tool, link).unwrap();
        }
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine {
            path: Some(self.folder.path().join("bin").into_os_string()),
        }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub(crate) fn file(&self, inside: &str, text: &[u8]) -> PathBuf {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The calls since the last time, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let log = self.path("bin/log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::write(&log, "").unwrap();
        let home = self.folder.path().to_str().unwrap();
        text.lines()
            .map(|line| line.replace(home, "~").trim_end().to_owned())
            .collect()
    }
}
