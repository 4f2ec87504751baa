//! `nephron plugin pull`: components of a registry, with what is stated of them.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_engine::Limits;
use nephron_model::{Digest, Phi};
use nephron_registry::{Access, Reference, Registry};
use nephron_trust::Envelope;
use serde::Serialize;

use crate::cli::text::{count, number};
use crate::cli::{Failure, Globals};
use crate::config::{Component, Config, PULLED, SecretRef};
use crate::gateway::{in_data, write_durably};
use crate::workshop::{beside, manifest_beside, statements};

/// Fetch components from an OCI registry, with what is stated of them: those that a configuration names, or one into a file.
///
/// Each is fetched whole; statements that lie there stay. The gateway reaches no registry: it loads what this command has put into the data
/// folder.
#[derive(clap::Args)]
pub(super) struct Args {
    /// `oci://REGISTRY/REPOSITORY@sha256:…`; without any, each that the configuration names
    #[arg(value_name = "REFERENCE", requires = "output")]
    reference: Option<Reference>,
    /// Where a named one goes; its statements go beside it
    #[arg(long, short, value_name = "FILE", requires = "reference")]
    output: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Print one JSON object for each
    #[arg(long)]
    json: bool,
}

/// How a registry is reached.
#[derive(clap::Args, Default)]
#[group(skip)]
pub(super) struct Reach {
    /// The configuration, whose `[[registry]]` says how registries are reached
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who issued the registry's certificate, in PEM, in place of the authorities of this system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A user of the registry; the password is in the environment variable NEPHRON_REGISTRY_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Speak HTTP without TLS
    #[arg(long)]
    plaintext_http_unsafe: bool,
}

/// What was fetched.
#[derive(Serialize)]
struct Report {
    reference: String,
    component: Digest,
    bytes: u64,
    /// Those that the registry has; what lay beside the component before is there, too.
    statements: usize,
    /// What was to be statements and is none.
    passed_over: usize,
    path: PathBuf,
}

impl Reach {
    /// The configuration that is named.
    fn config(&self) -> Result<Option<Config>, Failure> {
        let named = self.config.as_deref();
        let load = |path| Config::load(path).map_err(|faults| Failure::check(faults.into()));
        named.map(load).transpose()
    }

    /// The registry `host`, reached as is said here, or else as the configuration says.
    pub(super) fn registry(&self, host: &str) -> Result<Registry, Failure> {
        self.registry_by(host, self.config()?.as_ref())
    }

    fn registry_by(&self, host: &str, config: Option<&Config>) -> Result<Registry, Failure> {
        let mut configured = config.into_iter().flat_map(|config| &config.registries);
        let configured = configured.find(|one| one.host.eq_ignore_ascii_case(host));
        let mut access = match configured {
            Some(one) => Access {
                authorities: one.authorities.as_deref().map(read).transpose()?,
                credentials: match &one.credentials {
                    Some((user, secret)) => Some((user.clone(), password(secret)?)),
                    None => None,
                },
                plain_http: one.plain_http,
                ..Access::default()
            },
            None => Access::default(),
        };
        if let Some(ca) = &self.ca {
            access.authorities = Some(read(ca)?);
        }
        if let Some(user) = &self.user {
            let secret = SecretRef::Environment("NEPHRON_REGISTRY_PASSWORD".to_owned());
            access.credentials = Some((user.clone(), password(&secret)?));
        }
        access.plain_http |= self.plaintext_http_unsafe;
        let variable = |upper: &str, lower: &str| {
            let named = std::env::var(upper).or_else(|_| std::env::var(lower));
            named.ok().filter(|value| !value.is_empty())
        };
        access.proxy = (
            variable("HTTPS_PROXY", "https_proxy"),
            variable("NO_PROXY", "no_proxy"),
        );
        // One that was there already is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Registry::new(host, access).map_err(anyhow::Error::from)?)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))
}

fn password(secret: &SecretRef) -> anyhow::Result<Phi<String>> {
    let password = secret.resolve();
    password.context("the registry's password cannot be had")
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let out = &mut anstream::stdout().lock();
    if let (Some(reference), Some(output)) = (&args.reference, &args.output) {
        let registry = args.reach.registry(reference.registry())?;
        let limit = Limits::default().component;
        let report = fetch(&registry, reference, limit, output).await?;
        return report.write(args.json, out).map_err(Failure::output);
    }
    let reach = &args.reach;
    let is_plain = reach.plaintext_http_unsafe;
    if reach.ca.is_some() || reach.user.is_some() || is_plain {
        return Err(Failure::usage(anyhow::anyhow!(
            "`--ca`, `--user` and `--plaintext-http-unsafe` are for one registry, and a configuration may name several: write them in its `[[registry]]`, or name a REFERENCE"
        )));
    }
    let named = args.reach.config.clone();
    let file = named.unwrap_or_else(|| PathBuf::from("gateway.toml"));
    let config = Config::load(&file).map_err(|faults| Failure::check(faults.into()))?;
    fetch_all(&config, &args.reach, false, |report| {
        report.write(args.json, out)
    })
    .await
}

/// Fetches what a configuration names and is not there. What is wrong with the configuration is for others to say.
pub(super) async fn missing(file: &Path) -> Result<(), Failure> {
    let Ok(config) = Config::load(file) else {
        return Ok(());
    };
    fetch_all(&config, &Reach::default(), true, |report| {
        report.write(false, &mut anstream::stderr().lock())
    })
    .await
}

/// Fetches each component that a configuration names, and what is stated of it. `missing` passes over those that are there.
async fn fetch_all(
    config: &Config,
    reach: &Reach,
    missing: bool,
    mut told: impl FnMut(&Report) -> io::Result<()>,
) -> Result<(), Failure> {
    for plugin in &config.plugins {
        let Component::Registry(reference) = &plugin.component else {
            continue;
        };
        let path = plugin.component.path(Path::new(""), &config.data);
        if missing && path.exists() && manifest_beside(&path).exists() {
            continue;
        }
        ours(&config.data)?;
        in_data(&config.data, PULLED).map_err(anyhow::Error::from)?;
        let registry = reach.registry_by(reference.registry(), Some(config))?;
        let limit = plugin.limits.component;
        let report = fetch(&registry, reference, limit, &path).await?;
        told(&report).map_err(Failure::output)?;
    }
    Ok(())
}

/// Whether the data folder is there, and is this user's: what is put into it must be readable to the gateway.
fn ours(data: &Path) -> anyhow::Result<()> {
    let folder = std::fs::metadata(data).with_context(|| {
        let path = data.display();
        format!(
            "the data folder `{path}` is not there; make it with `mkdir -m 700 {path}`, or mount it"
        )
    })?;
    let (owner, user) = (folder.uid(), rustix::process::geteuid().as_raw());
    anyhow::ensure!(
        owner == user,
        "the data folder `{}` belongs to user {owner}, and this is user {user}: pull as the user that the gateway runs as",
        data.display()
    );
    Ok(())
}

/// Fetches one to `path`. What is stated of it, and the manifest that names it, are there before it is. Statements that lie there stay.
async fn fetch(
    registry: &Registry,
    reference: &Reference,
    limit: u64,
    path: &Path,
) -> Result<Report, Failure> {
    let about = || format!("`{reference}` cannot be pulled");
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut pulled = registry.pull(reference, limit).await.with_context(about)?;
    let offered = pulled.statements.len();
    pulled
        .statements
        .retain(|line| Envelope::read(line).is_ok());
    let passed_over = pulled.passed_over + (offered - pulled.statements.len());
    let mut statements = statements(None, path).map_err(anyhow::Error::from)?;
    for line in &pulled.statements {
        if !statements.lines().any(|there| there.trim() == line) {
            if !statements.is_empty() && !statements.ends_with('\n') {
                statements.push('\n');
            }
            statements.push_str(line);
            statements.push('\n');
        }
    }
    let written = write_durably(&beside(path), statements.as_bytes())
        .and_then(|()| write_durably(&manifest_beside(path), &pulled.manifest))
        .and_then(|()| write_durably(path, &pulled.component));
    written.with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(Report {
        reference: reference.to_string(),
        component: Digest::of(&pulled.component),
        bytes: count(pulled.component.len()),
        statements: pulled.statements.len(),
        passed_over,
        path: path.to_owned(),
    })
}

impl Report {
    fn write(&self, as_json: bool, out: &mut impl Write) -> io::Result<()> {
        if as_json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        let statements = match self.statements {
            0 => "no statement".to_owned(),
            1 => "1 statement".to_owned(),
            many => format!("{many} statements"),
        };
        let statements = match self.passed_over {
            0 => statements,
            some => format!("{statements} ({some} more that are none)"),
        };
        writeln!(
            out,
            "pulled {}\n  {}, {} bytes, {statements}, in {}",
            self.reference,
            self.component,
            number(self.bytes),
            self.path.display()
        )
    }
}
