//! `nephron plugin pull`: components of a registry, with what is stated of them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_engine::Limits;
use nephron_model::{Digest, Phi};
use nephron_registry::{Access, Reference, Registry};
use serde::Serialize;

use crate::cli::text::{count, number};
use crate::cli::{Failure, Globals};
use crate::config::{Component, Config, PULLED, SecretRef};
use crate::gateway::{in_data, write_durably};
use crate::workshop::beside;

/// Fetch components from an OCI registry, with what is stated of them: those that a configuration names, or one into a file.
///
/// What is there is not fetched again, but for what is stated of it. The gateway reaches no registry: it loads what this command has put
/// into the data folder.
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
#[derive(clap::Args)]
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
    statements: usize,
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
        let configured = config.into_iter().flat_map(|config| &config.registries);
        let configured = configured.into_iter().find(|one| one.host == host);
        let mut access = match configured {
            Some(one) => Access {
                authorities: one.authorities.as_deref().map(read).transpose()?,
                credentials: match &one.credentials {
                    Some((user, secret)) => Some((user.clone(), password(secret)?)),
                    None => None,
                },
                plain_http: one.plain_http,
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
    let named = args.reach.config.clone();
    let file = named.unwrap_or_else(|| PathBuf::from("gateway.toml"));
    let config = Config::load(&file).map_err(|faults| Failure::check(faults.into()))?;
    for report in fetch_all(&config, &args.reach, false).await? {
        report.write(args.json, out).map_err(Failure::output)?;
    }
    Ok(())
}

/// Fetches what a configuration names and is not there. What is wrong with the configuration is for others to say.
pub(super) async fn missing(file: &Path) -> Result<(), Failure> {
    let Ok(config) = Config::load(file) else {
        return Ok(());
    };
    let reach = Reach {
        config: None,
        ca: None,
        user: None,
        plaintext_http_unsafe: false,
    };
    for report in fetch_all(&config, &reach, true).await? {
        let out = &mut anstream::stderr().lock();
        report.write(false, out).map_err(Failure::output)?;
    }
    Ok(())
}

/// Fetches each component that a configuration names, and what is stated of it. `missing` passes over those that are there.
async fn fetch_all(config: &Config, reach: &Reach, missing: bool) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    for plugin in &config.plugins {
        let Component::Registry(reference) = &plugin.component else {
            continue;
        };
        let path = plugin.component.path(Path::new(""), &config.data);
        if missing && path.exists() {
            continue;
        }
        in_data(&config.data, PULLED).map_err(anyhow::Error::from)?;
        let registry = reach.registry_by(reference.registry(), Some(config))?;
        let limit = plugin.limits.component;
        reports.push(fetch(&registry, reference, limit, &path).await?);
    }
    Ok(reports)
}

/// Fetches one to `path`. What is stated of it is there before it is.
async fn fetch(
    registry: &Registry,
    reference: &Reference,
    limit: u64,
    path: &Path,
) -> Result<Report, Failure> {
    let about = || format!("`{reference}` cannot be pulled");
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let pulled = registry.pull(reference, limit).await.with_context(about)?;
    let mut statements = pulled.statements.join("\n");
    if !statements.is_empty() {
        statements.push('\n');
    }
    let written = write_durably(&beside(path), statements.as_bytes())
        .and_then(|()| write_durably(path, &pulled.component));
    written.with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(Report {
        reference: reference.to_string(),
        component: Digest::of(&pulled.component),
        bytes: count(pulled.component.len()),
        statements: pulled.statements.len(),
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
