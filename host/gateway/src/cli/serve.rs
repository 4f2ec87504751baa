//! `nephron serve`: the data plane, until the process is told to stop.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_model::{Clock as _, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Globals};
use crate::config::Config;
use crate::follow::Follow;
use crate::serve::Server;

/// Serve requests of OpenAI-compatible clients until SIGTERM or Ctrl-C: then finish what is in flight, seal the logs,
/// and end. SIGUSR1 has every anchor take a checkpoint now; SIGHUP has plugins and chain taken over from the configuration as it is.
///
/// Clients change their base URL to the printed one with `/v1` behind it, and their key to one of `nephron api-key new`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let (config, follow) = load(&args.config)?;
    let Some(listen) = &config.listen else {
        let path = args.config.display();
        return Err(Failure::check(anyhow::anyhow!(
            "`{path}` has no `[listen]`; write one, such as `[listen]` and `address = \"127.0.0.1:8443\"`"
        )));
    };
    // Before the gateway opens: a signal must not end the process half-way through making a tenant.
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?,
        signal(SignalKind::interrupt()).context("Ctrl-C cannot be waited for")?,
    );
    let mut anchor = signal(SignalKind::user_defined1()).context("SIGUSR1 cannot be waited for")?;
    let mut reload = signal(SignalKind::hangup()).context("SIGHUP cannot be waited for")?;
    anstream::eprintln!(
        "opening; the first time, and after a change, plugins are compiled, which takes a while"
    );
    let gateway = super::around::open(&config).await?;
    let mut server = Server::bind(gateway, listen, config.status)
        .await
        .map_err(anyhow::Error::from)?;
    let now = SystemClock.now();
    for key in config
        .api_keys
        .iter()
        .filter(|key| key.holder.expires <= now)
    {
        anstream::eprintln!("the API key `{}` has expired and is refused", key.id);
    }
    if config.api_keys.is_empty() {
        anstream::eprintln!(
            "no `[[api-key]]` is configured, so every request will be refused; `nephron api-key new` makes one"
        );
    }
    anstream::eprintln!("serving {}/v1", server.url());
    if let Some(address) = server.status_address() {
        anstream::eprintln!(
            "metrics and status: http://{address}/metrics, http://{address}/status"
        );
    }
    if let Some(admin) = &config.admin {
        let listening = server.listen_to_operators(admin).await;
        listening.map_err(anyhow::Error::from)?;
        if let Some(address) = server.admin_address() {
            anstream::eprintln!("operators: {address} (`nephron plugin … --admin`)");
        }
    }
    let reload_now = follow.asker();
    server.follow(follow);
    let _reloading = tokio::spawn(async move {
        while reload.recv().await.is_some() {
            reload_now();
        }
    });
    let anchor_now = server.anchor_now();
    let _anchoring = tokio::spawn(async move {
        while anchor.recv().await.is_some() {
            anchor_now();
        }
    });
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(stop).await.map_err(anyhow::Error::from)?;
    anstream::eprintln!("stopped");
    Ok(())
}

/// The configuration, and who follows it from before it was read: a change while it is opened is not missed.
fn load(file: &Path) -> Result<(Config, Follow), Failure> {
    let load = || Config::load(file).map_err(|faults| Failure::check(faults.into()));
    let follow = Follow::new(file.to_owned(), &load()?).context(
        "the configuration's files cannot be watched; leave `watch` out of `[reload]`, or raise the limit `fs.inotify.max_user_instances`",
    )?;
    Ok((load()?, follow))
}
