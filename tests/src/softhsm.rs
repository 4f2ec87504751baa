//! SoftHSM, Debian's software that acts as a hardware module, with an empty token for each test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::sdk::run;

/// A token of its own, and the environment in which SoftHSM finds it.
pub struct SoftHsm {
    /// The PKCS #11 library.
    pub module: PathBuf,
    /// What `SOFTHSM2_CONF` must be in a process that loads it.
    pub configuration: PathBuf,
    _folder: tempfile::TempDir,
}

impl SoftHsm {
    /// The label of the token.
    pub const LABEL: &str = "nephron";
    /// The PIN of its user.
    pub const PIN: &str = "4711-0815";

    /// Makes a token.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).expect("a folder");
        let configuration = folder.path().join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(&configuration, text).expect("a file");
        let made = Self {
            module: PROGRAMS.module.clone(),
            configuration,
            _folder: folder,
        };
        made.token(Self::LABEL);
        made
    }

    /// Makes one more token.
    pub fn token(&self, label: &str) {
        let mut init = Command::new(&PROGRAMS.util);
        init.args(["--init-token", "--free", "--so-pin", "12345678"]);
        init.args(["--label", label, "--pin", Self::PIN, "--module"]);
        init.arg(&self.module);
        run(init.env("SOFTHSM2_CONF", &self.configuration));
    }

    /// Runs the test of that name once more, in a process in which SoftHSM finds a token, and gives nothing; in that process
    /// gives its module. The environment of a process is not changed while it runs.
    #[must_use]
    pub fn module_in_child(test: &str) -> Option<PathBuf> {
        if let Some(module) = std::env::var_os(MODULE) {
            return Some(PathBuf::from(module));
        }
        let made = Self::new();
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", test, "--nocapture"]);
        child.env(MODULE, &made.module);
        let said = run(child.env("SOFTHSM2_CONF", &made.configuration));
        assert!(said.contains("1 passed"), "`{test}` is no test:\n{said}");
        None
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// Set in the process in which a test runs.
const MODULE: &str = "NEPHRON_TEST_PKCS11_MODULE";

struct Programs {
    module: PathBuf,
    util: PathBuf,
}

/// Those of the machine, or else those of Debian's packages, unpacked into a folder under `target` at first use.
static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
    let unpacked = crate::debian::folder("tests-softhsm");
    let found = [Path::new("/"), &unpacked]
        .into_iter()
        .find_map(programs_in);
    found.unwrap_or_else(|| {
        // The library last: when it is there, all is.
        crate::debian::unpack(&unpacked, &["softhsm2", "libsofthsm2"]);
        programs_in(&unpacked).expect("Debian's packages hold SoftHSM")
    })
});

fn programs_in(root: &Path) -> Option<Programs> {
    let util = root.join("usr/bin/softhsm2-util");
    let folders = crate::debian::libraries(root);
    let mut modules = folders.map(|folder| folder.join("softhsm/libsofthsm2.so"));
    let module = modules.find(|module| module.is_file())?;
    util.is_file().then_some(Programs { module, util })
}
