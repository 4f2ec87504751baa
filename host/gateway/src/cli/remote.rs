//! The gateway of another machine, by its admin listener.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::config::UpstreamTls;
use crate::control::{Answered, Asked, ask_over};

/// Which gateway, and who asks.
#[derive(clap::Args)]
pub(super) struct Remote {
    /// The admin listener of a gateway on another machine: you are who your certificate says
    #[arg(long, value_name = "HOST:PORT", requires_all = ["certificate", "key"])]
    admin: Option<String>,
    /// With `--admin`: your certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "admin")]
    certificate: Option<PathBuf>,
    /// With `--admin`: its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "admin")]
    key: Option<PathBuf>,
    /// With `--admin`: who issued the gateway's certificate, in PEM; the web's authorities if left out
    #[arg(long, value_name = "FILE", requires = "admin")]
    ca: Option<PathBuf>,
}

impl Remote {
    pub(super) const fn is_named(&self) -> bool {
        self.admin.is_some()
    }

    /// What the gateway elsewhere answers, if one is named.
    pub(super) async fn ask(
        &self,
        asked: &Asked,
        progress: impl FnMut(u64, u64),
    ) -> Result<Option<Answered>, Failure> {
        let Some(address) = &self.admin else {
            return Ok(None);
        };
        let tls = UpstreamTls {
            authorities: self.ca.clone(),
            identity: self.certificate.clone().zip(self.key.clone()),
            allows_1_2: false,
        };
        let tls = crate::tls::of_client(&tls).map_err(anyhow::Error::from)?;
        let host = address.rsplit_once(':').map(|(host, _)| host);
        let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
        let name = name.with_context(|| {
            format!("`{address}` is no host and port, such as `gateway.example:8445`")
        })?;
        let unreached = || format!("the gateway at `{address}` cannot be reached");
        let stream = TcpStream::connect(address).await.with_context(unreached)?;
        let connector = TlsConnector::from(Arc::new(tls));
        let stream = connector.connect(name, stream).await;
        let stream = stream.with_context(unreached)?;
        let answered = ask_over(stream, asked, progress).await;
        let answered = answered.with_context(|| {
            format!("the gateway at `{address}` ended the connection; is your certificate that of an `[[admin.operator]]`?")
        })?;
        super::custody::unless_failed(answered).map(Some)
    }
}
