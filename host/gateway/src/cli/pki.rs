//! `nephron pki init`: a certificate authority, a server's certificate and a client's, for trying out without openssl.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};

use nephron_model::{Clock as _, Digest, SystemClock};

use super::{Failure, Globals};

/// Make a certificate authority and certificates for trying out.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Write `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key` into a folder; nothing that is there is
    /// overwritten
    ///
    /// Clients are told to trust `ca.pem` (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, `curl --cacert`). What it prints goes into the
    /// configuration, so that whoever has `client.key` is known (`curl --cert --key`). The authority's own key is not kept:
    /// it can issue nothing more. Not for use in earnest: take certificates from your own authority there.
    Init(Init),
}

#[derive(clap::Args)]
struct Init {
    /// The folder
    #[arg(default_value = "pki")]
    folder: PathBuf,
    /// A name or address by which clients reach the server; can be given several times
    #[arg(long = "name", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// For how many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=825))]
    days: u64,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let Command::Init(init) = args.command;
    let pem = make(&init.names, init.days).context("no certificate can be made")?;
    std::fs::create_dir_all(&init.folder)
        .with_context(|| format!("the folder `{}` cannot be made", init.folder.display()))?;
    let files = [
        ("ca.pem", &pem.authority, 0o644),
        ("server.pem", &pem.certificate, 0o644),
        ("server.key", &pem.key, 0o600),
        ("client.pem", &pem.client, 0o644),
        ("client.key", &pem.client_key, 0o600),
    ];
    let paths = files.map(|(name, text, mode)| (init.folder.join(name), text, mode));
    if let Some((path, _, _)) = paths.iter().find(|(path, _, _)| path.exists()) {
        return Err(anyhow::anyhow!(
            "`{}` is there and is not overwritten; remove it, or name another folder",
            path.display()
        )
        .into());
    }
    for (path, text, mode) in &paths {
        write(path, text, *mode)
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
        anstream::eprintln!("wrote {}", path.display());
    }
    let folder = init.folder.display();
    let expires = date(now() + Duration::from_secs(init.days * 24 * 60 * 60));
    let key = pem.client_digest;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "[listen.tls]\ncertificate = \"{folder}/server.pem\"\nkey = \"{folder}/server.key\"\n\
         client-ca = \"{folder}/ca.pem\"\nclient-certificates = \"optional\"\n\n\
         [[client-certificate]]\nid = \"{CLIENT}\"\nkey = \"{key}\"\ntenant = \"st-marys\"\ncaller = \"{CLIENT}\"\n\
         roles = [\"physician\"]\npurposes = [\"TREAT\"]\nexpires = \"{expires}\""
    )
    .map_err(Failure::output)
}

/// What the client is called.
const CLIENT: &str = "ward-app";

struct Pem {
    authority: String,
    certificate: String,
    key: String,
    client: String,
    client_key: String,
    client_digest: Digest,
}

fn make(names: &[String], days: u64) -> Result<Pem, rcgen::Error> {
    let day = Duration::from_secs(24 * 60 * 60);
    let now = now();
    // A day of grace for clocks that are slow.
    let (from, until) = (now - day, now + day * u32::try_from(days + 1).unwrap_or(30));
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "Nephron, for trying out");
    lasting(&mut authority, from, until);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&authority, &authority_key);

    let issue = |names: &[String], usage| {
        let mut params = CertificateParams::new(names.to_vec())?;
        if let Some(name) = names.first() {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, from, until);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok::<_, rcgen::Error>((certificate, key))
    };
    let (server, key) = issue(names, ExtendedKeyUsagePurpose::ServerAuth)?;
    let (client, client_key) = issue(&[CLIENT.to_owned()], ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(Pem {
        authority: authority_certificate.pem(),
        certificate: server.pem(),
        key: key.serialize_pem(),
        client: client.pem(),
        client_digest: Digest::of(&client_key.subject_public_key_info()),
        client_key: client_key.serialize_pem(),
    })
}

/// Valid from the first moment of one day to that of another, in UTC.
fn lasting(params: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    let day_of = |time| {
        let text = date(time);
        let mut numbers = text.split('-').map(|number| number.parse().unwrap_or(1));
        let mut next = || numbers.next().unwrap_or(1);
        let (year, month, day): (i32, i32, i32) = (next(), next(), next());
        let small = |number: i32| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(year, small(month), small(day))
    };
    params.not_before = day_of(from);
    params.not_after = day_of(until);
}

/// The machine's time.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(SystemClock.now().seconds)
}

/// A day in UTC, as `YYYY-MM-DD` (ISO 8601).
pub(super) fn date(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
