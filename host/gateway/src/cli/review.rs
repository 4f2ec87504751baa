//! `nephron review`: accesses in an emergency that somebody has to look at, asked of the gateway that serves.
//!
//! It speaks to the gateway and not to its data folder, because only there somebody is known who may close one.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue};
use nephron_model::{EventId, Phi};
use serde_json::{Value, json};

use super::text::visible;
use super::{Failure, Globals};
use crate::config::{BaseUrl, SecretRef};

/// List and close reviews of accesses in an emergency.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List those that are open: event, caller, purpose
    List {
        #[command(flatten)]
        there: There,
        /// Print the gateway's JSON
        #[arg(long)]
        json: bool,
    },
    /// Close one. Nobody closes that of their own access
    Close {
        #[command(flatten)]
        there: There,
        /// The event that `list` shows
        event: EventId,
        /// What was found; it is sealed into the log
        #[arg(long)]
        reason: String,
    },
}

/// Where the gateway is, and who asks.
#[derive(clap::Args)]
struct There {
    /// Its base URL
    #[arg(long, default_value = "https://localhost:8443")]
    url: BaseUrl,
    /// Certificates to trust in place of the web's roots, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The environment variable that holds your API key or token
    #[arg(long, default_value = "NEPHRON_API_KEY", value_name = "NAME")]
    key_env: String,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match args.command {
        Command::List { there, json } => {
            let answer = there.ask("GET", "/v1/reviews", String::new()).await?;
            if json {
                return writeln!(out, "{answer}").map_err(Failure::output);
            }
            let reviews = answer.get("reviews").and_then(Value::as_array);
            for review in reviews.into_iter().flatten() {
                let text = |name| review.get(name).and_then(Value::as_str).unwrap_or("-");
                let (event, purpose) = (visible(text("event")), visible(text("purpose")));
                let caller = visible(text("caller"));
                writeln!(out, "{event}  {purpose}  {caller}").map_err(Failure::output)?;
            }
            Ok(())
        }
        Command::Close {
            there,
            event,
            reason,
        } => {
            let path = format!("/v1/reviews/{event}/close");
            let body = json!({ "reason": reason }).to_string();
            there.ask("POST", &path, body).await?;
            writeln!(out, "closed {event}").map_err(Failure::output)
        }
    }
}

impl There {
    async fn ask(&self, method: &str, path: &str, body: String) -> Result<Value, Failure> {
        if !(self.url.is_https() || self.url.is_loopback()) {
            let said = "the key would go unencrypted to another machine; use `https://`";
            return Err(Failure::usage(anyhow::anyhow!(said)));
        }
        let key = SecretRef::Environment(self.key_env.clone()).resolve();
        let key = key.map_err(anyhow::Error::from)?;
        let value = Phi::new(format!("Bearer {}", key.expose()));
        let mut value =
            HeaderValue::from_str(value.expose()).context("the key is no text of a header")?;
        value.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(self.url.join(path))
            .header(AUTHORIZATION, value)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .context("no such address")?;
        // Who types an address means it.
        let answer = crate::egress::exchange(request, self.ca.as_deref(), true).await;
        let (status, body) = answer.with_context(|| format!("`{}` did not answer", self.url))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 {
            return Ok(answer);
        }
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        let message = visible(message.unwrap_or("it is no gateway of this kind"));
        let refused = anyhow::anyhow!("refused with status {status}: {message}");
        Err(if status < 500 {
            Failure::refused(refused)
        } else {
            refused.into()
        })
    }
}
