//! Docker's registry, the reference implementation of OCI's distribution, over TLS and with a user.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// A registry on loopback. It ends with its handle.
pub struct OciRegistry {
    /// Host and port.
    pub host: String,
    storage: PathBuf,
    process: Child,
}

impl OciRegistry {
    /// Who may pull and push.
    pub const USER: &str = "acme";
    /// The user's password.
    pub const PASSWORD: &str = "correct horse battery";
    /// Its bcrypt hash, the only kind that the registry takes.
    const HASH: &str = "$2b$05$SQX9C1QF7RQji9scj5paWeSiMMm0Czc.ISNUqBvdki.N3NtoPEbjG";

    /// Starts one in `folder`, which holds `server.pem` and `server.key`.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let shown = |name: &str| folder.join(name).display().to_string();
        let users = format!("{}:{}\n", Self::USER, Self::HASH);
        std::fs::write(folder.join("htpasswd"), users).expect("a file");
        let configuration = format!(
            "version: 0.1\nlog: {{ level: info, formatter: text }}\n\
             storage: {{ filesystem: {{ rootdirectory: {storage:?} }} }}\n\
             http: {{ addr: \"127.0.0.1:0\", secret: tests, tls: {{ certificate: {certificate:?}, key: {key:?} }} }}\n\
             auth: {{ htpasswd: {{ realm: tests, path: {users:?} }} }}\n",
            storage = shown("registry"),
            certificate = shown("server.pem"),
            key = shown("server.key"),
            users = shown("htpasswd"),
        );
        let file = folder.join("registry.yml");
        std::fs::write(&file, configuration).expect("a file");
        let mut process = Command::new(PROGRAM.as_path());
        process.arg("serve").arg(file).stdout(Stdio::null());
        let process = process.stderr(Stdio::piped()).spawn();
        let mut process = process.expect("the registry starts");
        let told = BufReader::new(process.stderr.take().expect("its log"));
        let mut lines = told.lines();
        let host = lines.by_ref().find_map(|line| {
            let line = line.expect("its log is text");
            let (_, behind) = line.split_once("listening on ")?;
            let (host, _) = behind.split_once(',')?;
            Some(host.to_owned())
        });
        // Whatever else it tells is read and forgotten, so that it can go on.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            host: host.expect("it listens"),
            storage: folder.join("registry"),
            process,
        }
    }

    /// The file in which it keeps what has this digest, as `sha256:…`.
    #[must_use]
    pub fn file(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.storage.join("docker/registry/v2/blobs/sha256");
        let (first, _) = hex.split_at(2);
        blobs.join(first).join(hex).join("data")
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Its program, unpacked once.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let home = crate::debian::folder("tests-registry");
    let program = home.join("usr/bin/docker-registry");
    if !program.is_file() {
        crate::debian::unpack(&home, &["docker-registry"]);
    }
    program
});
