//! The socket in the data folder by which an operator's command reaches the gateway that has the folder open.
//!
//! It is of this machine and of this user alone: it lies in a folder that nobody else may enter, and a peer of another user
//! is refused (but root, who could read the folder anyway). One line of JSON asks, one answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use crate::Gateway;
use crate::config::Operator;
use crate::custody::{Act, Done};
use crate::inquiry::{Inquiry, Told};
use crate::rerun::{Ran, Rerun};
use crate::swap::{Change, Standing};

/// Within which a peer must have said what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of what is asked: names, a path, a reason.
const LONGEST: u64 = 16 << 10;

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    /// Something about tenants or their keys.
    Keys(Act),
    /// Something about the roster.
    Plugins(Change),
    /// To run recorded judgements again.
    Rerun(Rerun),
    /// What needs a tenant's keys to be told.
    Inquiry(Inquiry),
}

/// What is answered: the causes where it was not done, the outermost first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answered {
    /// It was done.
    Done(Done),
    /// So the roster stands now.
    Plugins(Box<Standing>),
    /// How far it has come, of how much. Another answer follows.
    Progress(u64, u64),
    /// This came of it.
    Ran(Box<Ran>),
    /// This is told.
    Told(Told),
    /// It was not.
    Failed(Vec<String>),
}

impl Answered {
    pub(crate) fn done(self) -> Option<Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::Plugins(_)
            | Self::Progress(..)
            | Self::Ran(_)
            | Self::Told(_)
            | Self::Failed(_) => None,
        }
    }

    pub(crate) fn plugins(self) -> Option<Standing> {
        match self {
            Self::Plugins(standing) => Some(*standing),
            Self::Done(_) | Self::Progress(..) | Self::Ran(_) | Self::Told(_) | Self::Failed(_) => {
                None
            }
        }
    }

    pub(crate) fn ran(self) -> Option<Ran> {
        match self {
            Self::Ran(ran) => Some(*ran),
            Self::Done(_)
            | Self::Plugins(_)
            | Self::Progress(..)
            | Self::Told(_)
            | Self::Failed(_) => None,
        }
    }

    pub(crate) fn told(self) -> Option<Told> {
        match self {
            Self::Told(told) => Some(told),
            Self::Done(_)
            | Self::Plugins(_)
            | Self::Progress(..)
            | Self::Ran(_)
            | Self::Failed(_) => None,
        }
    }
}

/// Where the socket of a data folder is.
pub(crate) fn place(data: &Path) -> PathBuf {
    data.join("host/control")
}

/// The socket, bound; it is taken away with this.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that stays answers nobody, and the next start takes it away.
        let _left = std::fs::remove_file(&self.path);
    }
}

/// Binds the socket. Whoever calls holds the folder's lock, so that what lies there is left over.
pub(crate) fn bind(data: &Path) -> std::io::Result<Control> {
    let path = place(data);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Control { listener, path })
}

/// Does what is asked for as long as the gateway serves. Who asks waits for nobody else's answer, but for a change that is under way.
pub(crate) async fn serve(control: Control, gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // They end with this.
    let mut conversations = FuturesUnordered::new();
    loop {
        let accepted = tokio::select! {
            accepted = control.listener.accept() => accepted,
            Some(()) = conversations.next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                conversations.push(async {
                    if let Err(error) = converse_here(stream, &gateway).await {
                        debug!(%error, "a connection to the control socket ended badly");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection to the control socket could not be accepted");
                // Out of file descriptors, most likely: those in use will be given back.
                let _later = ticks.tick().await;
            }
        }
    }
}

async fn converse_here(mut stream: UnixStream, gateway: &Arc<Gateway>) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    }
    converse(&mut stream, gateway, &Asker::Here { user: peer }).await
}

/// Who asks.
pub(crate) enum Asker<'a> {
    /// A user of this machine.
    Here { user: u32 },
    /// An operator elsewhere, known by his certificate.
    Elsewhere(&'a Operator),
}

impl Asker<'_> {
    /// By what he is known, as entries have it beside his name.
    fn known_by(&self) -> String {
        match self {
            Self::Here { user } => operator(*user),
            Self::Elsewhere(operator) => operator.known_by(),
        }
    }
}

/// One question, and its answer.
pub(crate) async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    gateway: &Arc<Gateway>,
    asker: &Asker<'_>,
) -> std::io::Result<()> {
    let mut line = String::new();
    let read = BufReader::new((&mut *stream).take(LONGEST));
    let mut read = std::pin::pin!(read);
    tokio::time::timeout(PATIENCE, read.read_line(&mut line))
        .await
        .map_err(|_| std::io::ErrorKind::TimedOut)??;
    let by = asker.known_by();
    let Ok(asked) = serde_json::from_str(&line) else {
        let why = "the gateway does not understand what it is asked; it may be of another version than this command";
        return say(stream, &Answered::Failed(vec![why.to_owned()])).await;
    };
    let asked = match asker {
        Asker::Here { .. } => asked,
        Asker::Elsewhere(operator) => match operator.his(asked, gateway.swap().configuration()) {
            Ok(asked) => asked,
            Err(refused) => {
                gateway.refuse_operator(operator, &refused).await;
                return say(stream, &failed(refused)).await;
            }
        },
    };
    let answered = match asked {
        Asked::Keys(act) => match gateway.act(act, by).await {
            Some(done) => done.map_or_else(failed, Answered::Done),
            None => gave_up(),
        },
        Asked::Inquiry(inquiry) => match gateway.inquire(inquiry, by).await {
            Some(told) => told.map_or_else(failed, Answered::Told),
            None => gave_up(),
        },
        Asked::Plugins(change) => {
            let standing = gateway.change(change, &by).await;
            standing.map_or_else(failed, |standing| Answered::Plugins(Box::new(standing)))
        }
        Asked::Rerun(rerun) => {
            let (progress, mut shown) = tokio::sync::mpsc::channel(1);
            let mut running = std::pin::pin!(gateway.rerun(rerun, &by, &progress));
            let mut is_heard = true;
            let ran = loop {
                tokio::select! {
                    ran = &mut running => break ran,
                    Some((done, of)) = shown.recv(), if is_heard => {
                        let progress = Answered::Progress(done, of);
                        let said = say(stream, &progress);
                        let said = tokio::time::timeout(PATIENCE, said).await;
                        is_heard = said.is_ok_and(|said| said.is_ok());
                    }
                    // Nothing more is asked over this connection: it has ended. Who left stops it, and the log says so.
                    _ended = stream.read_u8(), if !shown.is_closed() => shown.close(),
                }
            };
            ran.map_or_else(failed, |ran| Answered::Ran(Box::new(ran)))
        }
    };
    // Who does not listen holds no place that others want.
    tokio::time::timeout(PATIENCE, say(stream, &answered))
        .await
        .map_err(|_| std::io::ErrorKind::TimedOut)?
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), answered: &Answered) -> std::io::Result<()> {
    let mut text = serde_json::to_string(answered)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await
}

fn gave_up() -> Answered {
    Answered::Failed(vec![
        "the gateway gave up on it; its log has why".to_owned(),
    ])
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Answered {
    let error = anyhow::Error::new(error);
    Answered::Failed(error.chain().map(ToString::to_string).collect())
}

/// Asks the gateway that has `data` open, if one has. `progress` hears how far it has come.
pub(crate) async fn ask(
    data: &Path,
    asked: &Asked,
    progress: impl FnMut(u64, u64),
) -> std::io::Result<Option<Answered>> {
    let stream = match UnixStream::connect(place(data)).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    ask_over(stream, asked, progress).await.map(Some)
}

/// Asks a gateway that is connected.
pub(crate) async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: &Asked,
    mut progress: impl FnMut(u64, u64),
) -> std::io::Result<Answered> {
    let mut text = serde_json::to_string(asked)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Answered::Progress(done, of) => progress(done, of),
            answered @ (Answered::Done(_)
            | Answered::Plugins(_)
            | Answered::Ran(_)
            | Answered::Told(_)
            | Answered::Failed(_)) => return Ok(answered),
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// An operator, as entries name one.
pub(crate) fn operator(uid: u32) -> String {
    format!("operator uid={uid}")
}
