//! A real time-stamp authority (RFC 3161): OpenSSL's, on loopback.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use tempfile::TempDir;

use crate::loopback::Answering;

/// OpenSSL's `ts` behind HTTP, with an RSA key and a certificate made for it.
pub struct TimestampAuthority {
    folder: Arc<TempDir>,
    server: Answering,
}

/// What OpenSSL needs to know to stamp.
const CONFIGURATION: &str = "[tsa]\ndefault_tsa = authority\n[authority]\nserial = serial\ndefault_policy = 1.2.3.4.1\n\
    digests = sha256\nsigner_digest = sha256\naccuracy = secs:1\nordering = no\ntsa_name = no\ness_cert_id_chain = no\n";

impl TimestampAuthority {
    /// Starts one; it ends when this is dropped.
    pub async fn start() -> Self {
        crate::sdk::need(&["openssl", "version"], &["openssl"]);
        let folder = Arc::new(tempfile::tempdir().expect("a scratch folder"));
        let at = folder.path();
        std::fs::write(at.join("ts.cnf"), CONFIGURATION).expect("a file");
        std::fs::write(at.join("serial"), "01\n").expect("a file");
        let made = openssl(
            at,
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 3650 -subj /CN=authority \
             -addext extendedKeyUsage=critical,timeStamping",
        );
        assert!(made.status.success(), "{made:?}");
        let here = Arc::clone(&folder);
        let server = Answering::start(move |_, query| {
            let at = here.path();
            std::fs::write(at.join("query"), query).expect("a file");
            let stamped = openssl(
                at,
                "ts -reply -config ts.cnf -queryfile query -inkey key.pem -signer certificate.pem -out reply",
            );
            match stamped.status.success() {
                true => (200, std::fs::read(at.join("reply")).expect("a reply")),
                false => (500, stamped.stderr),
            }
        });
        Self {
            server: server.await,
            folder,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Whether OpenSSL finds that `reply` is this authority's stamp over `data`.
    #[must_use]
    pub fn vouches(&self, data: &Path, reply: &Path) -> bool {
        let certificate = self.folder.path().join("certificate.pem");
        let verify = Command::new("openssl")
            .args(["ts", "-verify", "-data"])
            .arg(data)
            .arg("-in")
            .arg(reply)
            .arg("-CAfile")
            .arg(certificate)
            .output();
        verify.expect("openssl").status.success()
    }
}

fn openssl(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(folder);
    command.output().expect("openssl")
}
