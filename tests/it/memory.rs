//! What is left in the memory of a gateway when its requests have ended.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use nephron_keys::ApiKey;
use nephron_tests::{CANARIES, CANARY_NOTE, PASSPHRASE, compiled_into};
use serde_json::json;
use tokio::net::TcpStream;

/// A gateway in a process of its own, which ends with it.
pub(super) struct Process {
    child: Child,
    pub(super) address: String,
    key: String,
    _folder: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more keys of `[listen]`.
    pub(super) fn start_with(listen: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        compiled_into(&data);
        let passphrase = folder.path().join("passphrase");
        std::fs::write(&passphrase, PASSPHRASE).unwrap();
        std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = ApiKey::draw().unwrap();
        let configuration = folder.path().join("gateway.toml");
        std::fs::write(&configuration, configuration_for(&key, listen)).unwrap();
        let mut child = Command::new(super::nephron())
            .args(["serve", "--config"])
            .arg(&configuration)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = lines.map_while(Result::ok);
        let serving = said.find_map(|line| {
            let url = line.strip_prefix("serving http://")?;
            Some(url.trim_end_matches("/v1").to_owned())
        });
        // Read to its end: a process whose words nobody takes cannot say that it stops.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            child,
            address: serving.unwrap_or_default(),
            key: key.reveal().to_owned(),
            _folder: folder,
        }
    }

    /// A chat request about the note; the answer must hold it again.
    pub(super) async fn chat(&self, stream: bool) {
        let message = json!({ "role": "user", "content": CANARY_NOTE });
        let body = json!({ "model": "any", "stream": stream, "messages": [message] });
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.unwrap();
        tokio::spawn(connection);
        let request = Request::post("/v1/chat/completions")
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::new(Bytes::from(body.to_string())));
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("Quackenbush"), "{body}");
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it has ended, and well.
    pub(super) fn ended(&mut self) -> Option<bool> {
        let status = self.child.try_wait().unwrap();
        status.map(|status| status.success())
    }

    fn proc(&self, name: &str) -> PathBuf {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        proc.join(name)
    }

    /// How often each text stands in the memory of the process.
    fn count<'n>(&self, memory: &std::fs::File, needles: &[&'n str]) -> BTreeMap<&'n str, usize> {
        let mut found = BTreeMap::new();
        let smaps = std::fs::read_to_string(self.proc("smaps")).unwrap();
        for (from, to) in mappings(&smaps) {
            const STEP: u64 = 1 << 20;
            let mut at = from;
            while at < to {
                // A little of the next step too: a text may lie across two.
                let end = (at + STEP + 64).min(to);
                let mut bytes = vec![0; usize::try_from(end - at).unwrap()];
                if memory.read_exact_at(&mut bytes, at).is_ok() {
                    let fresh = usize::try_from(STEP).unwrap().min(bytes.len());
                    for needle in needles {
                        let hits = memchr::memmem::find_iter(&bytes, needle.as_bytes());
                        let hits = hits.filter(|hit| *hit < fresh).count();
                        if hits > 0 {
                            *found.entry(*needle).or_default() += hits;
                        }
                    }
                }
                at += STEP;
            }
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Mappings that are readable, hold something and are not the program itself, whose help has examples of its own.
fn mappings(smaps: &str) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        if let Some((from, to)) = first.split_once('-')
            && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        {
            let is_program = words.nth(3).is_some_and(|name| name.contains("/nephron"));
            let is_readable = second.is_some_and(|rights| rights.starts_with('r'));
            current = Some((from, to)).filter(|_| is_readable && !is_program);
        } else if first == "Rss:"
            && second != Some("0")
            && let Some(mapping) = current.take()
        {
            found.push(mapping);
        }
    }
    found
}

fn configuration_for(key: &ApiKey, listen: &str) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    let policies = policies.display();
    format!(
        r#"
[root-key]
provider = "file"
passphrase = {{ file = "passphrase" }}
[[tenant]]
id = "st-marys"
[[plugin]]
name = "access"
kind = "decider"
component = "cedar-policy"
[plugin.settings-files]
policies = "{policies}/access.cedar"
schema = "{policies}/access.cedarschema"
entities = "{policies}/purposes.json"
[[plugin]]
name = "finder"
kind = "detector"
component = "safe-harbor"
[[plugin]]
name = "model"
kind = "connector"
component = "echoes"
[chain]
deciders = ["access"]
detectors = ["finder"]
[[endpoint]]
name = "there"
connector = "model"
[[route]]
model = "*"
endpoint = "there"
upstream-model = "mock"
[listen]
address = "127.0.0.1:0"
{listen}
[[api-key]]
id = "physician"
digest = "{}"
tenant = "st-marys"
caller = "dr.okafor"
roles = ["physician"]
purposes = ["TREAT"]
expires = 2100-01-01
"#,
        key.digest()
    )
}

/// Zero of 118 that there were before the allocator overwrote what it is given back (glibc's, measured with this test).
#[tokio::test(flavor = "multi_thread")]
async fn i9_no_identifier_is_left_in_memory_when_requests_have_ended() {
    let process = tokio::task::block_in_place(Process::start);
    for _ in 0..8 {
        process.chat(false).await;
        process.chat(true).await;
    }
    // Who may not look is not root, and that the process is not dumpable is what keeps him out.
    let Ok(memory) = std::fs::File::open(process.proc("mem")) else {
        assert!(
            std::fs::read_dir(process.proc("fd")).is_err(),
            "it is dumpable"
        );
        return;
    };
    // What must be there shows that what is not there was looked for.
    const THERE: &str = "dr.okafor";
    let found = process.count(&memory, &[&CANARIES[..], &[PASSPHRASE, THERE]].concat());
    assert!(
        found.get(THERE).is_some_and(|count| *count > 0),
        "{found:?}"
    );
    let left: BTreeMap<_, _> = found.iter().filter(|(text, _)| **text != THERE).collect();
    assert_eq!(left, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_dumps_no_core_and_locks_the_pages_of_its_keys() {
    let process = tokio::task::block_in_place(Process::start);
    let limits = std::fs::read_to_string(process.proc("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    let Ok(smaps) = std::fs::read_to_string(process.proc("smaps")) else {
        return;
    };
    let is_key_page = |flags: &&str| {
        let flags: Vec<_> = flags.split_whitespace().collect();
        ["lo", "dd", "dc"].iter().all(|flag| flags.contains(flag))
    };
    let flags = smaps
        .lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"));
    // The root key's and the tenant's.
    assert!(
        flags.filter(is_key_page).count() >= 1,
        "pages are locked and not dumped"
    );
}
