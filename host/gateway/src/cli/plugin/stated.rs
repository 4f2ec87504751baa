//! What `sign` and `certify` state of a component, and where that goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nephron_engine::Limits;
use nephron_engine::vet::{self, Grants, Vetted};
use nephron_keys::PublisherKey;
use nephron_model::{Clock as _, SystemClock, Timestamp};
use nephron_trust::{Certificate, Claim, Envelope, Statement, Window};

use crate::cli::Failure;
use crate::config::{self, PluginKind};
use crate::gateway::write_durably;
use crate::workshop;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A component of any world, as what it is and whatever it would have to be granted.
pub(super) fn vetted(component: &Path) -> Result<Vetted, Failure> {
    let limits = Limits::default();
    let grants = Grants {
        keys: true,
        null_wasi: true,
    };
    let vetted = vet::read(component, &limits)
        .and_then(|bytes| vet::vet(bytes, None, None, grants, &limits));
    vetted.map_err(|refusal| {
        let about = format!("`{}` is refused", component.display());
        Failure::check(anyhow::Error::new(refusal).context(about))
    })
}

/// What is stated, by whose key, and for how long.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The key, PKCS #8 in PEM: of `nephron plugin keygen`, or of `openssl genpkey -algorithm ed25519`
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// What the plugin is called, over all its versions
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    plugin_version: String,
    /// Greater than that of every version before: a gateway takes no older one after a newer one
    #[arg(long, value_name = "NUMBER")]
    counter: u64,
    /// The first moment at which it holds, in RFC 3339; now without this
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// For how many days it holds
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Where it is put, after what is there; beside the component without this
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
}

impl Args {
    /// The key that signs.
    pub(super) fn open_key(&self) -> anyhow::Result<PublisherKey> {
        Ok(PublisherKey::open(&self.key)?)
    }

    /// States it of a component, and gives where it was put.
    pub(super) fn state(
        &self,
        component: &Path,
        vetted: &Vetted,
        key: &PublisherKey,
        certificate: Option<Certificate>,
    ) -> Result<PathBuf, Failure> {
        let from = self.from.unwrap_or_else(|| SystemClock.now());
        let statement = Statement {
            component: vetted.digest(),
            claim: Claim {
                kind: PluginKind::of_world(vetted.world()).as_str().to_owned(),
                name: self.name.clone(),
                version: self.plugin_version.clone(),
                counter: self.counter,
                window: Window {
                    from,
                    until: from.plus(DAY * self.days),
                },
            },
            certificate,
        };
        let line = Envelope::sign(&statement, key).context("the statement cannot be written")?;
        let path = self
            .statements
            .clone()
            .unwrap_or_else(|| workshop::beside(component));
        let mut text = match config::read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let about = format!("`{}` cannot be read", path.display());
                return Err(anyhow::Error::new(error).context(about).into());
            }
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line);
        text.push('\n');
        write_durably(&path, text.as_bytes())
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
        Ok(path)
    }
}
