//! Operators elsewhere, each known by a certificate.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nephron_audit::{Header, Reader};
use nephron_gateway::{LOG, RECORD};
use nephron_model::EntryKind;
use nephron_tests::compiled_into;
use serde_json::{Value, json};

use crate::identity::certificates::Pki;
use crate::swap::{Process, setup};

fn headers(log: &Path) -> Vec<Header> {
    let reader = Reader::open(log).unwrap();
    let entries = reader.entries(0..reader.head().entries);
    entries.map(|entry| entry.unwrap().header).collect()
}

#[test]
fn an_operator_elsewhere_does_what_his_roles_allow_under_the_name_of_his_certificate() {
    let pki = Pki::make();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    compiled_into(&data);
    let file = folder.path().join("gateway.toml");
    let operator = |name: &str, roles: &str| {
        let uri = format!("spiffe://ops/{}", name.to_lowercase());
        format!("[[admin.operator]]\nname = \"{name}\"\nuri = \"{uri}\"\nroles = [{roles}]\n")
    };
    let admin = [
        "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\nwiden-by-certificate-only = true\n",
        &pki.listen("").replace("[listen.tls]", "[admin.tls]"),
        &operator("Dana", "\"look\", \"stage\""),
        &operator("Noor", "\"look\", \"activate\", \"audit\""),
        &operator("Lee", "\"grant\""),
    ]
    .concat();
    let text = setup("answer 0").and(&admin).toml();
    std::fs::write(&file, &text).unwrap();
    let process = Process::start(&file);
    let line = process.says("operators: ");
    let port = line.split_once("127.0.0.1:").unwrap().1;
    let port = port.split_once(' ').unwrap().0;

    let run = |who: &str, arguments: &[&str]| {
        let (certificate, key) = pki.uri(&format!("spiffe://ops/{who}"));
        let paths = [("shown.pem", certificate), ("shown.key", key)].map(|(name, text)| {
            let path = folder.path().join(format!("{who}-{name}"));
            std::fs::write(&path, text).unwrap();
            path
        });
        let output = Command::new(super::nephron())
            .args(arguments)
            .args(["--json", "--admin", &format!("localhost:{port}"), "--ca"])
            .arg(pki.path("ca.pem"))
            .arg("--certificate")
            .arg(&paths[0])
            .arg("--key")
            .arg(&paths[1])
            .output()
            .unwrap();
        let answered: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (answered, String::from_utf8(output.stderr).unwrap())
    };
    let why = ["--reason", "ticket 7"];
    // Whoever only connects takes no operator's place, and ends for the next that does.
    let connect = |_| TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let mut silent: Vec<TcpStream> = (0..200).map(connect).collect();
    let (standing, said) = run("dana", &["plugin", "status"]);
    assert_eq!(standing["staged"], Value::Null, "{said}");
    silent[0]
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    drop(silent);
    std::fs::write(&file, text.replace("answer 0", "answer 1")).unwrap();
    let (standing, said) = run("dana", &[&["plugin", "stage"], &why[..]].concat());
    let known = "Dana (certificate spiffe://ops/dana)";
    assert_eq!(standing["staged"]["by"], known, "{said}");
    // Whatever name the command gives: it is the certificate's that counts.
    let activate = ["plugin", "activate", "--by", "Noor"];
    let (_, said) = run("dana", &[&activate, &why[..]].concat());
    assert!(
        said.contains("`Dana` has not the role `activate`"),
        "{said}"
    );
    let (standing, said) = run("noor", &[&activate, &why[..]].concat());
    let known = "Noor (certificate spiffe://ops/noor)";
    assert_eq!(standing["serving"]["by"], known, "{said}");
    let (_, said) = run("stranger", &["plugin", "status"]);
    assert!(said.contains("ended the connection"), "{said}");
    let what_if = |candidate| ["what-if", "--candidate", candidate];
    let (_, said) = run("noor", &[&what_if("/etc/hostname"), &why[..]].concat());
    assert!(said.contains("is not in the folder"), "{said}");
    let (ran, said) = run("noor", &[&what_if("gateway.toml"), &why[..]].concat());
    assert_eq!(ran["judgements"], 0, "{said}");

    let list = [&["grant", "list", "st-marys"], &why[..]].concat();
    let (_, said) = run("dana", &list);
    assert!(said.contains("`Dana` has not the role `grant`"), "{said}");
    let scribe = ["grant", "mint", "st-marys", "--subject", "s.ito"];
    let terms = ["--purpose", "TREAT", "--operation", "open", "--any-kind"];
    let ends = ["--uses", "1", "--lifetime", "1h"];
    let mint = [&scribe[..], &terms, &ends, &why].concat();
    let (minted, said) = run("lee", &mint);
    let minter = &minted["grant"]["minter"];
    assert_eq!(*minter, "Lee (certificate spiffe://ops/lee)", "{said}");
    let (listed, said) = run("lee", &list);
    assert_eq!(listed["grants"], json!([minted["grant"]]), "{said}");
    // What widens takes two certificates: whoever is on the machine may give any name.
    let widened = text.replace("answer 0", "answer 1").replacen(
        "[plugin.settings]\nanswer",
        "[plugin.limits]\nfuel = 3_000_000_000\n[plugin.settings]\nanswer",
        1,
    );
    assert_ne!(widened, text.replace("answer 0", "answer 1"));
    std::fs::write(&file, widened).unwrap();
    let (standing, said) = run("dana", &[&["plugin", "stage"], &why[..]].concat());
    let staged = standing["staged"]["generation"].as_str().unwrap_or(&said);
    let activate = ["plugin", "activate", "--generation", staged];
    let here = Command::new(super::nephron())
        .args([&activate[..], &["--by", "Noor"], &why[..]].concat())
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(here.stderr).unwrap();
    assert!(said.contains("widen-by-certificate-only"), "{said}");
    let (standing, said) = run("noor", &[&activate[..], &why[..]].concat());
    assert_eq!(standing["serving"]["generation"], staged, "{said}");

    drop(process);
    let of_tenant = headers(&data.join("tenants/st-marys").join(LOG));
    let refused = of_tenant
        .iter()
        .find(|header| header.kind == EntryKind::PluginRefused)
        .unwrap();
    assert_eq!(refused.reasons, ["no-role"]);
    assert_eq!(refused.facts["act"], "activate");
    assert_eq!(refused.facts["by"], "Dana (certificate spiffe://ops/dana)");
    let of_host = headers(&data.join(RECORD).join(LOG));
    let unknown = of_host
        .iter()
        .filter(|header| header.outcome == "unknown-operator");
    assert_eq!(unknown.count(), 1);
}
