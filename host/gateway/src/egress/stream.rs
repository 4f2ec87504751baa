//! Bytes for a server that only listens: one connection of TLS, everything written, and the end waited for.
//!
//! No answer says that the bytes arrived (syslog, RFC 5425, has none). What there is to know is learned from how the connection
//! ends: a receiver must answer our alert `close_notify` with its own (RFC 5425 §4.4), and can only once its TLS has read everything
//! before it. A connection that ends in another way has delivered nothing: whoever stands between could have ended it.

use hyper::Uri;
use hyper_util::rt::TokioIo;
use nephron_model::Recorded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service as _;

use super::{EgressError, Way, connector, is_not_public};
use crate::config::Upstream;

/// What a receiver may say, though nobody asks it anything.
const MOST_SAID: usize = 64 << 10;

/// Writes `bytes`, which the entry `recorded` describes, to the server, and waits until it has closed the connection.
pub(crate) async fn write_stream(
    upstream: &Upstream,
    bytes: &[u8],
    recorded: Recorded,
) -> Result<(), EgressError> {
    let _proof = recorded;
    let written = write(upstream, bytes);
    let written = tokio::time::timeout(upstream.timeout, written).await;
    written.map_err(|_| EgressError::TimedOut(upstream.timeout))?
}

async fn write(upstream: &Upstream, bytes: &[u8]) -> Result<(), EgressError> {
    let way = Way {
        tls: upstream.tls.clone(),
        allows_private: upstream.allows_private,
    };
    let tls = crate::tls::of_client(&way.tls).map_err(|_| EgressError::Authority)?;
    let mut dialler = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .wrap_connector(connector(&way));
    let uri: Uri = upstream
        .url
        .join("/")
        .parse()
        .map_err(|_| EgressError::BadRequest("address"))?;
    let dialled = dialler.call(uri).await.map_err(|error| {
        if is_not_public(&*error) {
            EgressError::PrivateAddress
        } else {
            EgressError::Connection("could not connect")
        }
    })?;
    let mut stream = TokioIo::new(dialled);
    let broken = |_| EgressError::Connection("broken before the end");
    stream.write_all(bytes).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    stream.shutdown().await.map_err(broken)?;
    let mut said = 0;
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(length) => said += length,
            Err(_) => return Err(EgressError::Connection("ended without `close_notify`")),
        }
        if said > MOST_SAID {
            return Err(EgressError::TooLarge);
        }
    }
}
