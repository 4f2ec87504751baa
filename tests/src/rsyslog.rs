//! rsyslog, a syslog server that many run, which takes messages over TLS (RFC 5425) and writes each as JSON.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// A server on loopback. It ends with its handle.
pub struct Rsyslog {
    port: u16,
    messages: PathBuf,
    process: Child,
}

impl Rsyslog {
    /// Starts one in `folder`, which holds `ca.pem`, `server.pem` and `server.key`.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let (port, messages) = (folder.join("port"), folder.join("messages.jsonl"));
        let shown = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "global(workDirectory=\"{home}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"ossl\"\n\
             defaultNetstreamDriverCAFile=\"{ca}\" defaultNetstreamDriverCertFile=\"{certificate}\"\n\
             defaultNetstreamDriverKeyFile=\"{key}\")\n\
             module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
             template(name=\"json\" type=\"list\") {{ property(name=\"jsonmesg\") constant(value=\"\\n\") }}\n\
             action(type=\"omfile\" file=\"{messages}\" template=\"json\" fileCreateMode=\"0600\")\n\
             input(type=\"imtcp\" port=\"0\" address=\"127.0.0.1\" listenPortFileName=\"{port}\")\n",
            home = folder.display(),
            ca = shown("ca.pem"),
            certificate = shown("server.pem"),
            key = shown("server.key"),
            messages = messages.display(),
            port = port.display(),
        );
        std::fs::write(folder.join("rsyslog.conf"), configuration).expect("a file");
        let mut process = Command::new(PROGRAMS.join("usr/sbin/rsyslogd"));
        process
            .args(["-n", "-d", "-f"])
            .arg(folder.join("rsyslog.conf"));
        let libraries: Vec<PathBuf> = crate::debian::libraries(&PROGRAMS).collect();
        let modules = libraries.iter().map(|folder| folder.join("rsyslog"));
        let modules = modules.clone().find(|folder| folder.is_dir());
        process.arg("-M").arg(modules.expect("its modules"));
        process.arg("-i").arg(folder.join("pid"));
        let paths = std::env::join_paths(&libraries).expect("paths");
        process.env("LD_LIBRARY_PATH", paths);
        let process = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = process.expect("rsyslog starts");
        // Its account of what it does ends with its life, or tells that it listens.
        let told = BufReader::new(process.stdout.take().expect("its output"));
        let listens = || std::fs::read_to_string(&port).ok()?.trim().parse().ok();
        let mut lines = told.lines();
        let port = lines
            .by_ref()
            .find_map(|line| line.ok().and_then(|_| listens()));
        // Whatever else it tells is read and forgotten, so that it can go on.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            port: port.expect("it listens"),
            messages,
            process,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it has written so far: one JSON object a line.
    #[must_use]
    pub fn messages(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.messages).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| text.split_at(end).0);
        let lines = whole.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The folder under `target` into which Debian's packages are unpacked at first use.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let unpacked = crate::debian::folder("tests-rsyslog");
    if !unpacked.join("usr/sbin/rsyslogd").is_file() {
        // The program last: when it is there, all is.
        let packages = ["libestr0", "libfastjson4", "rsyslog-openssl", "rsyslog"];
        crate::debian::unpack(&unpacked, &packages);
    }
    unpacked
});
