//! Components of an OCI registry: pushed and pulled by the command line, loaded by a gateway that reaches no registry.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use nephron_gateway::OpenError;
use nephron_model::Digest;
use nephron_tests::{OciRegistry, Setup};
use serde_json::Value;

use super::trust::{Bench, USUAL};

/// A registry with its certificate authority, and a bench of keys and components.
struct Place {
    registry: OciRegistry,
    pki: tempfile::TempDir,
    bench: Bench,
}

impl Place {
    fn new() -> Self {
        let (pki, _) = super::serve::pki();
        Self {
            registry: OciRegistry::start(pki.path()),
            pki,
            bench: Bench::new(),
        }
    }

    /// Runs `nephron plugin …` with this password. Gives its exit code, and what it wrote to each stream.
    fn plugin(&self, password: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut nephron = Command::new(super::nephron());
        nephron.arg("plugin").args(arguments);
        nephron.env("NEPHRON_REGISTRY_PASSWORD", password);
        let output = nephron.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn ca(&self) -> String {
        self.pki.path().join("ca.pem").display().to_string()
    }

    fn repository(&self) -> String {
        format!("oci://{}/acme/gate", self.registry.host)
    }

    fn push(&self, component: &str) -> Value {
        let (ca, to) = (self.ca(), format!("{}:1.0.0", self.repository()));
        let said = [
            "push", component, &to, "--ca", &ca, "--user", "acme", "--json",
        ];
        let (code, out, error) = self.plugin(OciRegistry::PASSWORD, &said);
        assert_eq!(code, 0, "{error}");
        serde_json::from_str(&out).unwrap()
    }

    fn pull_to(&self, reference: &str, output: &Path, password: &str) -> (i32, String) {
        let (ca, output) = (self.ca(), output.to_str().unwrap());
        let said = [
            "pull", reference, "--output", output, "--ca", &ca, "--user", "acme",
        ];
        let (code, out, error) = self.plugin(password, &said);
        (code, format!("{out}{error}"))
    }
}

#[tokio::test]
async fn a_component_travels_through_a_registry_with_what_is_stated_of_it() {
    let place = Place::new();
    let bench = &place.bench;
    let decider = bench.put("does-nothing");
    bench.sign(&decider, "acme", "7", &USUAL);
    let pushed = place.push(&decider);
    let bytes = std::fs::read(&decider).unwrap();
    assert_eq!(pushed["component"], Digest::of(&bytes).to_string());
    assert_eq!(pushed["statements"], 1);
    let reference = pushed["reference"].as_str().unwrap();
    assert!(reference.starts_with(&format!("{}@sha256:", place.repository())));

    // A configuration names it by its digest; the gateway itself fetches nothing.
    for one in [&bench.put("safe-harbor"), &bench.put("echoes")] {
        bench.sign(one, "acme", "7", &USUAL);
    }
    let secret = bench.path("registry-password");
    std::fs::write(&secret, OciRegistry::PASSWORD).unwrap();
    let of_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, of_owner).unwrap();
    let setup = Setup::default()
        .decider(reference, "")
        .detector(&bench.at("safe-harbor.wasm"), "")
        .connector(&bench.at("echoes.wasm"), "")
        .and(&bench.trust(""))
        .and(&format!(
            "[[registry]]\nhost = {:?}\nca = {:?}\nuser = \"acme\"\npassword = {{ file = {secret:?} }}\n",
            place.registry.host,
            place.ca()
        ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let data = folder.path().display();
    std::fs::write(&file, format!("data = \"{data}\"\n{}", setup.toml())).unwrap();
    let refused = setup.open_at(folder.path()).await.unwrap_err();
    assert!(
        matches!(&refused, OpenError::NotPulled { name, .. } if name == "access"),
        "{refused}"
    );
    assert!(refused.to_string().contains("nephron plugin pull"));
    let pull = || {
        let said = ["pull", "--config", file.to_str().unwrap(), "--json"];
        let (code, out, error) = place.plugin("", &said);
        assert_eq!(code, 0, "{error}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let pulled = pull();
    assert_eq!(
        (&pulled["component"], &pulled["statements"]),
        (&pushed["component"], &1.into())
    );
    let rig = setup.open_in(folder).await.unwrap();
    assert_eq!(rig.ask("Chest pain.").await.status(), 200);
    let manifest = rig.gateway.roster().manifest();
    let vouched = manifest.seats().flat_map(|seat| &seat.vouched);
    assert_eq!(vouched.filter(|vouch| vouch.by == "acme").count(), 3);
    let folder = rig.close();
    let (code, _, error) = place.plugin(
        "",
        &["pull", "--config", file.to_str().unwrap(), "--user", "acme"],
    );
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("are for one registry"), "{error}");

    // Who has the gateway's disk loads nothing else by that name.
    let here = pulled["path"].as_str().unwrap();
    std::fs::copy(bench.put("unknown-obligation"), here).unwrap();
    let refused = setup.open_at(folder.path()).await.unwrap_err();
    assert!(
        matches!(&refused, OpenError::Vet { source, .. } if source.code() == "digest-mismatch"),
        "{refused}"
    );
    std::fs::copy(&decider, here).unwrap();

    // What is stated later comes with the next pull; what was stated before stays.
    std::fs::remove_file(Bench::statements(&decider)).unwrap();
    bench.sign(&decider, "acme", "8", &USUAL);
    assert_eq!(place.push(&decider)["reference"], reference);
    let beside = Bench::statements(here);
    let own = std::fs::read_to_string(&beside).unwrap();
    assert_eq!(pull()["statements"], 2);
    let all = std::fs::read_to_string(&beside).unwrap();
    assert_eq!(all.lines().count(), 2);
    assert!(all.starts_with(&own), "what lay there stays");
}

#[test]
fn what_a_registry_does_not_give_whole_is_not_kept() {
    let place = Place::new();
    let component = place.bench.put("does-nothing");
    let pushed = place.push(&component);
    let reference = pushed["reference"].as_str().unwrap();
    let output = place.bench.path("pulled.wasm");

    let (code, said) = place.pull_to(reference, &output, "something else");
    assert_ne!(code, 0);
    assert!(said.contains("check user and password"), "{said}");
    let (code, said) = place.pull_to(reference, &output, OciRegistry::PASSWORD);
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        std::fs::read(&output).unwrap(),
        std::fs::read(&component).unwrap()
    );
    let (code, said) = place.pull_to(&format!("{}:1.0.0", place.repository()), &output, "");
    assert_ne!(code, 0);
    assert!(said.contains("names no digest"), "{said}");

    // Whoever has the registry's disk: a component with a bit flipped, and the manifest of another component.
    std::fs::remove_file(&output).unwrap();
    let other = place.push(&place.bench.put("unknown-obligation"));
    let manifest_of = |pushed: &Value| {
        let (_, digest) = pushed["reference"]
            .as_str()
            .unwrap()
            .split_once('@')
            .unwrap();
        place.registry.file(digest)
    };
    let of_component = place.registry.file(pushed["component"].as_str().unwrap());
    let mut flipped = std::fs::read(&of_component).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    let another = std::fs::read(manifest_of(&other)).unwrap();
    for (kept, bytes) in [(of_component, flipped), (manifest_of(&pushed), another)] {
        let good = std::fs::read(&kept).unwrap();
        std::fs::write(&kept, bytes).unwrap();
        let (code, said) = place.pull_to(reference, &output, OciRegistry::PASSWORD);
        assert_ne!(code, 0);
        assert!(said.to_lowercase().contains("digest"), "{said}");
        assert!(!output.exists());
        std::fs::write(&kept, good).unwrap();
    }
    let (code, said) = place.pull_to(reference, &output, OciRegistry::PASSWORD);
    assert_eq!(code, 0, "{said}");
}

/// Answers as a registry that asks for a token and gives one that no header can hold. Ends with the process.
fn registry_of_nonsense() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = asked.next().unwrap().unwrap();
            asked
                .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .count();
            let (status, body) = match first.contains("/token") {
                true => ("200 OK".to_owned(), r#"{"token":"a\nb"}"#),
                false => (
                    format!(
                        "401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://{address}/token\",service=\"nonsense\""
                    ),
                    "",
                ),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn nonsense_of_a_registry_is_an_error_like_others() {
    let (address, folder) = (registry_of_nonsense(), tempfile::tempdir().unwrap());
    let reference = format!("oci://{address}/acme/gate@{}", Digest::of(b"gate"));
    let output = folder.path().join("gate.wasm");
    let pulled = Command::new(super::nephron())
        .args([
            "plugin",
            "pull",
            &reference,
            "--plaintext-http-unsafe",
            "--output",
        ])
        .arg(&output)
        .output()
        .unwrap();
    let said = String::from_utf8(pulled.stderr).unwrap();
    assert_eq!(pulled.status.code(), Some(1), "{said}");
    assert!(said.contains("answers as no registry should"), "{said}");
    assert!(!output.exists());
}
