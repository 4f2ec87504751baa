//! Debian's package `rust-src`: the sources of the standard library for exactly one version of the compiler. And
//! `python3-pip`, for machines whose Python came without.
//!
//! The machine's own apt is used, with its mirror and its network settings, but with every list, cache and status
//! file in a folder of ours, so that the machine's package state stays as it is. Signatures are checked against the
//! Debian keyring that a Debian machine has.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Progress;
use crate::machine::Machine;
use crate::run::{RunError, output_of};
use crate::toolchain::is_library;

/// The package could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebianError {
    /// A program that every Debian has failed or is missing.
    #[error(transparent)]
    Run(#[from] RunError),
    /// None of apt's sources on this machine is a Debian archive.
    #[error("apt on this machine names no Debian archive")]
    NoMirror,
    /// The archive holds other versions.
    #[error("no version {release} in {}{}", places.join(", "), faults.iter().map(|fault| format!("; {fault}")).collect::<String>())]
    NoVersion {
        /// The version looked for.
        release: String,
        /// Archives and suites that were looked in.
        places: Vec<String>,
        /// What went wrong while looking, if anything.
        faults: Vec<String>,
    },
    /// The package holds no sources where they are expected.
    #[error("the package holds no folder `library` under usr/src")]
    Unexpected,
    /// A file or folder of ours cannot be written.
    #[error("cannot write under `{}`", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Fetches the sources for `release` (such as `1.95.0`) into a folder of `cache` and gives their `library` folder.
pub(crate) fn fetch_rust_src(
    machine: &Machine,
    release: &str,
    cache: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DebianError> {
    let home = cache.join(format!("rust-src-{release}"));
    if let Some(library) = library_in(&home) {
        return Ok(library);
    }
    let work = cache.join(format!("rust-src-{release}.partial"));
    remove(&work)?;
    let apt = Apt::new(machine, &work)?;
    let found = apt.find(release, progress)?;
    progress(Progress::Seeking(format!(
        "fetching Debian's rust-src {found} (45 MB)"
    )));
    let package = apt.download(&format!("rust-src={found}"))?;
    let unpacked = work.join("unpacked");
    create(&unpacked)?;
    unpack(machine, &package, &unpacked)?;
    library_in(&unpacked).ok_or(DebianError::Unexpected)?;
    remove(&home)?;
    std::fs::rename(&unpacked, &home).map_err(|source| DebianError::Files {
        path: home.clone(),
        source,
    })?;
    remove(&work)?;
    library_in(&home).ok_or(DebianError::Unexpected)
}

/// Fetches pip into a folder of `cache` and gives the folder to put on `PYTHONPATH`.
pub(crate) fn fetch_pip(
    machine: &Machine,
    cache: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DebianError> {
    const INSIDE: &str = "usr/lib/python3/dist-packages";
    let home = cache.join("python3-pip");
    if home.join(INSIDE).is_dir() {
        return Ok(home.join(INSIDE));
    }
    let work = cache.join("python3-pip.partial");
    remove(&work)?;
    let apt = Apt::new(machine, &work)?;
    progress(Progress::Fetching("Debian's python3-pip (2 MB)".to_owned()));
    let package = apt.download_of_own_suite("python3-pip")?;
    let unpacked = work.join("unpacked");
    create(&unpacked)?;
    let mut reader = machine.command("dpkg-deb");
    output_of(reader.arg("--extract").arg(&package).arg(&unpacked), LONG)?;
    remove(&home)?;
    std::fs::rename(&unpacked, &home).map_err(|source| DebianError::Files {
        path: home.clone(),
        source,
    })?;
    remove(&work)?;
    Ok(home.join(INSIDE))
}

/// Suites that carry recent compilers, the smallest index first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];
/// Names under which a machine may follow Debian's main archive.
const MAIN_SUITES: [&str; 10] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "stable",
    "oldstable",
    "testing",
    "unstable",
    "oldoldstable",
];
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

const QUICK: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

struct Apt<'m> {
    machine: &'m Machine,
    work: PathBuf,
    mirrors: Vec<String>,
    /// The first suite of the machine's own.
    suite: String,
}

impl<'m> Apt<'m> {
    fn new(machine: &'m Machine, work: &Path) -> Result<Self, DebianError> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            create(&work.join(folder))?;
        }
        write(&work.join("state/status"), "")?;
        // `apt-config` ships in the package `apt`, as apt-get does.
        let machines = output_of(machine.command("apt-config").arg("dump"), QUICK)?;
        write(
            &work.join("apt.conf"),
            &private_configuration(&machines, work),
        )?;

        let mut targets = machine.command("apt-get");
        targets.args([
            "indextargets",
            "--format",
            "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)",
        ]);
        let targets = output_of(&mut targets, QUICK)?;
        let mirrors = mirrors_in(&targets);
        if mirrors.is_empty() {
            Err(DebianError::NoMirror)
        } else {
            Ok(Self {
                machine,
                work: work.to_owned(),
                mirrors,
                suite: suite_in(&targets).unwrap_or_default(),
            })
        }
    }

    /// The package's version whose upstream part is `release`; the source list then names its suite.
    fn find(
        &self,
        release: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<String, DebianError> {
        let (mut places, mut faults) = (Vec::new(), Vec::new());
        for mirror in &self.mirrors {
            for suite in SUITES {
                progress(Progress::Seeking(format!(
                    "looking for rust-src {release} in Debian {suite}"
                )));
                places.push(format!("{mirror} {suite}"));
                if let Err(fault) = self.update(mirror, suite) {
                    faults.push(fault.to_string());
                    continue;
                }
                let listed = output_of(
                    self.command("apt-cache").args(["madison", "rust-src"]),
                    QUICK,
                )?;
                if let Some(version) = version_in(&listed, release) {
                    return Ok(version);
                }
            }
        }
        Err(DebianError::NoVersion {
            release: release.to_owned(),
            places,
            faults,
        })
    }

    /// From then on packages are those of that suite.
    fn update(&self, mirror: &str, suite: &str) -> Result<(), DebianError> {
        write(
            &self.work.join("debian.sources"),
            &source_list(mirror, suite),
        )?;
        // With Error-Mode=any a signature or download that fails is a failure, not a warning.
        let mut update = self.command("apt-get");
        update.args([
            "--quiet",
            "--quiet",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ]);
        output_of(&mut update, LONG)?;
        Ok(())
    }

    /// Downloads a package as the machine itself would have it.
    fn download_of_own_suite(&self, package: &str) -> Result<PathBuf, DebianError> {
        let mirror = self.mirrors.first().ok_or(DebianError::NoMirror)?;
        self.update(mirror, &self.suite)?;
        self.download(package)
    }

    /// Downloads a package, or one version of it; apt checks its digest against the signed index.
    fn download(&self, package: &str) -> Result<PathBuf, DebianError> {
        let mut download = self.command("apt-get");
        download
            .current_dir(&self.work)
            .args(["--quiet", "--quiet", "download"]);
        output_of(download.arg(package), LONG)?;
        let entries = std::fs::read_dir(&self.work)
            .into_iter()
            .flatten()
            .flatten();
        let mut packages = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some("deb".as_ref()));
        packages.next().ok_or(DebianError::Unexpected)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.machine.command(program);
        command.env("APT_CONFIG", self.work.join("apt.conf"));
        command
    }
}

/// The machine's settings for fetching (proxies, timeouts), and places of our own for everything that apt keeps.
///
/// The machine's other settings stay out: they hold hooks, and the hooks of container images delete what lies in
/// the machine's apt cache.
fn private_configuration(machines: &str, work: &Path) -> String {
    let fetching = machines
        .lines()
        .filter(|line| line.starts_with("Acquire::"));
    let mut text: String = fetching.flat_map(|line| [line, "\n"]).collect();
    let work = work.display();
    text.push_str(&format!(
        r#"Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{work}/debian.sources";
Dir::Etc::sourceparts "/dev/null";
// Root's apt would fetch as the user `_apt`, who can seldom enter the folder that this is in.
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
"#
    ));
    text
}

fn source_list(mirror: &str, suite: &str) -> String {
    let keyring = KEYRINGS.iter().find(|keyring| Path::new(keyring).is_file());
    let signed_by = keyring
        .map(|keyring| format!("Signed-By: {keyring}\n"))
        .unwrap_or_default();
    format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n{signed_by}")
}

/// From lines `Packages main bookworm URI`, the URIs of Debian's main archive, in the machine's order.
fn mirrors_in(targets: &str) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    for (_, uri) in archives_in(targets) {
        if !mirrors.iter().any(|mirror| mirror == uri) {
            mirrors.push(uri.to_owned());
        }
    }
    mirrors
}

/// The first suite of Debian's main archive that the machine follows.
fn suite_in(targets: &str) -> Option<String> {
    Some(archives_in(targets).next()?.0.to_owned())
}

/// Suite and URI of each index of Debian's main archive.
fn archives_in(targets: &str) -> impl Iterator<Item = (&str, &str)> {
    targets.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (kind, component) = (words.next(), words.next());
        let (suite, uri) = (words.next()?, words.next()?);
        let is_debian =
            kind == Some("Packages") && component == Some("main") && MAIN_SUITES.contains(&suite);
        is_debian.then_some((suite, uri))
    })
}

/// From lines ` rust-src | 1.95.0+dfsg1-2~bpo13+1 | …`, the first version that packages `release`.
fn version_in(madison: &str, release: &str) -> Option<String> {
    let versions = madison
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim);
    let mut matching = versions.filter(|version| {
        let rest = version.strip_prefix(release);
        rest.is_some_and(|rest| rest.starts_with(['+', '-', '~']))
    });
    matching.next().map(str::to_owned)
}

/// Unpacks the standard library alone: 68 MB of the package's 434.
fn unpack(machine: &Machine, package: &Path, into: &Path) -> Result<(), DebianError> {
    let io = |program: &str| {
        let program = program.to_owned();
        move |source| DebianError::Run(RunError::Io { program, source })
    };
    let mut reader = machine.command("dpkg-deb");
    let reader = reader
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut reader = reader.spawn().map_err(io("dpkg-deb"))?;
    let mut tar = machine.command("tar");
    tar.arg("--extract")
        .arg("--directory")
        .arg(into)
        .args(["--wildcards", "./usr/src/rustc-*/library"]);
    if let Some(archive) = reader.stdout.take() {
        tar.stdin(archive);
    }
    let unpacked = output_of(&mut tar, LONG);
    // The command holds our end of the pipe; without it a reader that tar has left ends too.
    drop(tar);
    reader.wait().map_err(io("dpkg-deb"))?;
    unpacked?;
    Ok(())
}

fn library_in(root: &Path) -> Option<PathBuf> {
    let sources = std::fs::read_dir(root.join("usr/src")).ok()?.flatten();
    sources
        .map(|entry| entry.path().join("library"))
        .find(|library| is_library(library))
}

fn create(folder: &Path) -> Result<(), DebianError> {
    std::fs::create_dir_all(folder).map_err(|source| DebianError::Files {
        path: folder.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), DebianError> {
    std::fs::write(path, text).map_err(|source| DebianError::Files {
        path: path.to_owned(),
        source,
    })
}

fn remove(folder: &Path) -> Result<(), DebianError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DebianError::Files {
            path: folder.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_machines_own() {
        let targets = "Packages main nodistro https://node.example/\n\
            DEP-11 main bookworm http://mirror.example/debian/\n\
            Packages main bookworm-security http://mirror.example/debian-security/\n\
            Packages main bookworm http://mirror.example/debian/\n\
            Packages contrib bookworm http://other.example/debian/\n\
            Packages main trixie http://mirror.example/debian/\n";
        assert_eq!(mirrors_in(targets), ["http://mirror.example/debian/"]);
        assert_eq!(suite_in(targets).as_deref(), Some("bookworm"));
    }

    #[test]
    fn only_the_compilers_very_version_will_do() {
        let madison = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://m main\n \
            rust-src | 1.95.01-1 | x\n rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m main\n";
        assert_eq!(
            version_in(madison, "1.95.0").as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(version_in(madison, "1.96.0"), None);
        assert_eq!(version_in(madison, "1.9"), None);
    }

    #[test]
    fn proxies_are_kept_and_hooks_and_weakened_signatures_are_not() {
        let machines = "APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/archives/*.deb\";\n\
            Acquire::http::Proxy \"http://proxy.example:3128\";\n\
            Acquire::AllowInsecureRepositories \"1\";\n\
            APT::Get::AllowUnauthenticated \"true\";\nDir::Etc::parts \"apt.conf.d\";\n";
        let text = private_configuration(machines, Path::new("/w"));
        assert!(text.contains("Acquire::http::Proxy \"http://proxy.example:3128\";\n"));
        assert!(!text.contains("Post-Invoke") && !text.contains("apt.conf.d"));
        let last = |key: &str| {
            text.lines()
                .rfind(|line| line.starts_with(key))
                .unwrap_or_default()
                .to_owned()
        };
        assert!(last("Acquire::AllowInsecureRepositories").ends_with("\"false\";"));
        assert!(last("APT::Get::AllowUnauthenticated").ends_with("\"false\";"));
        for key in [
            "Dir::State ",
            "Dir::State::status",
            "Dir::Cache",
            "Dir::Etc::sourcelist",
        ] {
            assert!(last(key).contains("\"/w/"), "{key}");
        }
    }
}
