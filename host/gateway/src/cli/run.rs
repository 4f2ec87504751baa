//! `nephron run`: one request from a JSON file, through the whole chain.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;

use super::{Failure, Globals};
use crate::Refusal;
use crate::config::Config;

/// Take one request from a JSON file through the whole chain and print its reply.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request: a JSON file, or `-` for standard input (docs/formats/request.md)
    request: PathBuf,
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml")]
    config: PathBuf,
    /// Print the reply as one JSON object instead of its text
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::check(faults.into()))?;
    let body = read(&args.request)?;
    let gateway = super::around::open(&config).await?;
    let reply = gateway.handle(&body).await;
    let exported = gateway.export().await;
    gateway.close().context("the log cannot be closed")?;

    // Past anstream, which would take control characters out of the answer.
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", reply.body().expose()).context("standard output")?;
    } else if let Some(text) = reply.text() {
        writeln!(out, "{}", text.expose()).context("standard output")?;
    }
    let event = reply
        .event()
        .map(|event| event.to_string())
        .unwrap_or_default();
    if let Some(refusal) = reply.refusal() {
        let place = if event.is_empty() {
            String::new()
        } else {
            format!(" (event {event})")
        };
        return Err(refused(refusal, &place));
    }
    exported.context("the request was answered, but its entries could not be exported")?;
    Ok(())
}

pub(super) fn refused(refusal: &Refusal, place: &str) -> Failure {
    let mut error = anyhow::anyhow!("{refusal}");
    let mut cause = std::error::Error::source(refusal);
    let mut causes = Vec::new();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    // `context` puts the newest text first, so the deepest cause goes in first.
    if let Some(deepest) = causes.pop() {
        error = causes
            .into_iter()
            .rev()
            .fold(anyhow::anyhow!(deepest), anyhow::Error::context);
        error = error.context(refusal.to_string());
    }
    Failure::refused(error.context(format!("the request was refused{place}")))
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("standard input cannot be read")?;
        return Ok(bytes);
    }
    Ok(std::fs::read(path)
        .with_context(|| format!("the request `{}` cannot be read", path.display()))?)
}
