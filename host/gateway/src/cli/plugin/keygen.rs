//! `nephron plugin keygen`: a key for whoever publishes plugins.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_keys::PublisherKey;
use nephron_trust::VerifyingKey;
use std::io::Write as _;

use crate::cli::{Failure, Globals};

/// Make an Ed25519 key to sign or certify plugins with.
///
/// The key goes to KEY, which its owner alone may read, and its public half, for others, to KEY.pub. Keys of
/// `openssl genpkey -algorithm ed25519` are as good.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where the key goes; a file that is there is not overwritten
    #[arg(value_name = "KEY")]
    key: PathBuf,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let public = public_of(&args.key);
    if public.exists() {
        let public = public.display();
        return Err(anyhow::anyhow!("`{public}` is there already; name another key").into());
    }
    let key = PublisherKey::create(&args.key).map_err(anyhow::Error::from)?;
    std::fs::write(&public, key.public_pem())
        .with_context(|| format!("`{}` cannot be written", public.display()))?;
    let known = VerifyingKey::of_der(&key.public_der()).map_err(anyhow::Error::from)?;
    let (secret, public) = (args.key.display(), public.display());
    let fingerprint = known.fingerprint();
    let out = &mut anstream::stdout().lock();
    writeln!(
        out,
        "key          {secret}\npublic       {public}\nfingerprint  {fingerprint}"
    )
    .map_err(Failure::output)
}

/// The file of its public half.
fn public_of(key: &Path) -> PathBuf {
    let mut public = key.as_os_str().to_owned();
    public.push(".pub");
    PathBuf::from(public)
}
