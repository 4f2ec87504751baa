//! Programs of Debian's packages, unpacked into a folder: none is installed, and root is not needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sdk::run;

/// Unpacks these packages below `home`, in this order.
pub(crate) fn unpack(home: &Path, packages: &[&str]) {
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(home.join(folder)).expect("a folder");
    }
    std::fs::write(home.join("state/status"), "").expect("a file");
    // A list of packages of our own, for machines whose list is missing or old.
    let apt = || {
        let mut apt = Command::new("apt-get");
        for (key, value) in [
            ("Dir::State", "state"),
            ("Dir::Cache", "cache"),
            ("Dir::State::status", "state/status"),
        ] {
            let value = home.join(value);
            apt.args(["-o", &format!("{key}={}", value.display())]);
        }
        // Root's apt would fetch as a user who cannot enter the folder.
        apt.args(["-o", "APT::Sandbox::User=root", "--quiet"]);
        apt.current_dir(home);
        apt
    };
    run(apt().arg("update"));
    run(apt().arg("download").args(packages));
    for name in packages {
        let items = std::fs::read_dir(home).expect("a folder");
        let mut paths = items.map(|item| item.expect("an item").path());
        let deb = paths.find(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(&format!("{name}_")) && file.ends_with(".deb")
        });
        let deb = deb.expect("apt fetched it");
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(home));
        std::fs::remove_file(deb).expect("the package goes");
    }
}

/// The folder under `target` for what a test unpacks.
pub(crate) fn folder(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let target = program.ancestors().nth(3).expect("target/debug/deps");
    target.join(name)
}

/// The folders in which libraries of a machine may lie below `root`.
pub(crate) fn libraries(root: &Path) -> impl Iterator<Item = PathBuf> {
    let libraries = root.join("usr/lib");
    let machines = std::fs::read_dir(&libraries)
        .into_iter()
        .flatten()
        .flatten();
    machines.map(|folder| folder.path()).chain([libraries])
}
