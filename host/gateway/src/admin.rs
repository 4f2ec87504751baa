//! The listener by which operators elsewhere change what serves: TLS 1.3, and for each of them a certificate, which says who it is.

use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::Gateway;
use crate::config::{Admin, Mark, Operator, OperatorRole};
use crate::control::{Asked, Asker, converse};
use crate::rerun::What;
use crate::swap::Change;
use crate::tls::{Identity, Marks, Peer, TlsError};

/// Operators at the same time.
const CONNECTIONS: usize = 16;
/// Handshakes at the same time. For one more the oldest ends of those from the address that has most, so that nobody keeps operators elsewhere
/// out by beginning many.
const HANDSHAKES: usize = 64;
/// For a handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// Code of a connection of somebody whom an authority vouches for, and who is no operator.
const UNKNOWN: &str = "unknown-operator";

/// A listener that is bound.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Identity,
    operators: Vec<Operator>,
}

impl Listening {
    /// # Errors
    /// [`TlsError`] of its files.
    pub(crate) fn new(listener: TcpListener, admin: &Admin) -> Result<Self, TlsError> {
        Ok(Self {
            listener,
            tls: Identity::open(&admin.tls)?,
            operators: admin.operators.clone(),
        })
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Does what operators ask for as long as the gateway serves.
    pub(crate) async fn serve(self, gateway: Arc<Gateway>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // They end with this.
        let (mut handshakes, mut talks) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut begun: Vec<(IpAddr, oneshot::Sender<()>)> = Vec::new();
        loop {
            let has_place = talks.len() < CONNECTIONS;
            // Those that ended and are being recorded count, too.
            let takes = has_place && handshakes.len() < 2 * HANDSHAKES;
            let accepted = tokio::select! {
                Some(()) = talks.next() => continue,
                Some(operator) = handshakes.next(), if has_place => {
                    if let Some((stream, operator)) = operator {
                        talks.push(talk(stream, operator, &gateway));
                    }
                    continue;
                }
                _ = ticks.tick() => {
                    self.tls.refresh();
                    continue;
                }
                accepted = self.listener.accept(), if takes => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    begun.retain(|(_, handshake)| !handshake.is_closed());
                    if begun.len() >= HANDSHAKES {
                        drop(begun.remove(most_crowded(&begun)));
                    }
                    let (goes_on, ended) = oneshot::channel();
                    begun.push((from.ip(), goes_on));
                    handshakes.push(self.handshake(stream, from, ended, &gateway));
                }
                Err(error) => {
                    warn!(%error, "a connection of an operator could not be accepted");
                    // Out of file descriptors, most likely: those in use will be given back.
                    let _later = ticks.tick().await;
                }
            }
        }
    }

    /// Finds out who it is, unless that is `ended` first.
    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        from: SocketAddr,
        ended: oneshot::Receiver<()>,
        gateway: &Arc<Gateway>,
    ) -> Option<(TlsStream<S>, &Operator)> {
        let host = gateway.host();
        let accepted = tokio::time::timeout(PATIENCE, self.tls.acceptor().accept(stream));
        let accepted = tokio::select! {
            accepted = accepted => accepted.ok(),
            _ = ended => None,
        };
        let stream = match accepted {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                debug!(%error, "a handshake with an operator failed");
                if crate::tls::is_refusal(&error) {
                    host.refuse_connection(from, None, crate::serve::BAD_HANDSHAKE)
                        .await;
                }
                return None;
            }
            None => {
                host.count(crate::serve::TOO_SLOW);
                return None;
            }
        };
        let connection = stream.get_ref().1;
        let peer = self.tls.clients();
        let peer = peer.and_then(|clients| Peer::of(connection, &clients));
        let Some(operator) = peer.and_then(|peer| self.operator(&peer.marks)) else {
            host.refuse_connection(from, None, UNKNOWN).await;
            return None;
        };
        Some((stream, operator))
    }

    /// Whose certificate it is; two descriptions of one certificate describe nobody.
    fn operator(&self, marks: &Marks) -> Option<&Operator> {
        let mut described = self.operators.iter().filter(|one| one.mark.is_of(marks));
        let found = described.next();
        found.filter(|_| described.next().is_none())
    }
}

/// Of handshakes, oldest first: which is the oldest from where most are from.
fn most_crowded<T>(begun: &[(IpAddr, T)]) -> usize {
    let from = |address: &IpAddr| begun.iter().filter(|(other, _)| other == address).count();
    let most = begun.iter().map(|(address, _)| from(address)).max();
    let first = begun
        .iter()
        .position(|(address, _)| Some(from(address)) == most);
    first.unwrap_or_default()
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: TlsStream<S>,
    operator: &Operator,
    gateway: &Arc<Gateway>,
) {
    if let Err(error) = converse(&mut stream, gateway, &Asker::Elsewhere(operator)).await {
        debug!(%error, "a connection of an operator ended badly");
    }
}

impl Mark {
    /// Whether it stands in a certificate with these.
    pub(crate) fn is_of(&self, marks: &Marks) -> bool {
        match self {
            Self::Key(digest) => *digest == marks.key,
            Self::Uri(uri) => marks.uris.contains(uri),
            Self::Dns(name) => marks.names.contains(name),
        }
    }
}

/// An operator elsewhere may not ask for that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHis {
    #[error("`{name}` has not the role `{}`, which this takes", .role.as_str())]
    Role { name: String, role: OperatorRole },
    #[error(
        "tenants, their keys, and what needs these to be told are asked for on the gateway's own machine"
    )]
    Here,
    #[error("`{0}` is not in the folder of the gateway's configuration")]
    Outside(String),
}

impl NotHis {
    /// As entries name it.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Role { .. } => "no-role",
            Self::Here => "not-from-elsewhere",
            Self::Outside(_) => "outside-the-folder",
        }
    }
}

impl Operator {
    /// By what he is known, as entries have it beside his name.
    pub(crate) fn known_by(&self) -> String {
        format!("certificate {}", self.mark.text())
    }

    /// What he asks for, in his own name. Files are the gateway's: its configuration, and candidates beside it.
    ///
    /// # Errors
    /// [`NotHis`].
    pub(crate) fn his(&self, asked: Asked, configuration: &Path) -> Result<Asked, NotHis> {
        let has = |role: OperatorRole| match self.roles.contains(&role) {
            true => Ok(()),
            false => Err(NotHis::Role {
                name: self.name.clone(),
                role,
            }),
        };
        let name = || self.name.clone();
        Ok(match asked {
            Asked::Keys(_) | Asked::Inquiry(_) => return Err(NotHis::Here),
            Asked::Grants(mut lending) => {
                has(OperatorRole::Grant)?;
                lending.by = name();
                Asked::Grants(lending)
            }
            Asked::Rerun(mut rerun) => {
                has(OperatorRole::Audit)?;
                if let What::WhatIf { candidate, .. } = &mut rerun.what {
                    *candidate = beside(configuration, candidate)?;
                }
                rerun.by = name();
                Asked::Rerun(rerun)
            }
            Asked::Plugins(mut change) => {
                match &mut change {
                    Change::Look => has(OperatorRole::Look)?,
                    Change::Stage { file, by, .. } => {
                        has(OperatorRole::Stage)?;
                        configuration.clone_into(file);
                        *by = name();
                    }
                    Change::Shadow { by, .. } => {
                        has(OperatorRole::Stage)?;
                        *by = name();
                    }
                    Change::Activate { by, .. }
                    | Change::Canary { by, .. }
                    // It takes away what a rollback would go back to.
                    | Change::Retire { by, .. }
                    | Change::Rollback { by, .. } => {
                        has(OperatorRole::Activate)?;
                        *by = name();
                    }
                }
                Asked::Plugins(change)
            }
        })
    }
}

/// The file of that name beside the configuration.
fn beside(configuration: &Path, name: &Path) -> Result<PathBuf, NotHis> {
    let folder = configuration.parent().unwrap_or_else(|| Path::new("."));
    let goes_down = name
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match goes_down {
        true => Ok(folder.join(name)),
        false => Err(NotHis::Outside(name.display().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lending::{self, Lending};
    use crate::rerun::Rerun;

    fn operator(roles: &[OperatorRole]) -> Operator {
        Operator {
            name: "Dana Reyes".to_owned(),
            mark: Mark::Dns("dana.example".to_owned()),
            roles: roles.to_vec(),
        }
    }

    #[test]
    fn an_operator_asks_in_his_own_name_for_what_his_roles_allow() {
        let configuration = Path::new("/etc/nephron/gateway.toml");
        let stage = || {
            Asked::Plugins(Change::Stage {
                file: "/etc/shadow".into(),
                by: "Noor".to_owned(),
                reason: "ticket 7".to_owned(),
            })
        };
        let his = operator(&[OperatorRole::Stage]).his(stage(), configuration);
        let Ok(Asked::Plugins(Change::Stage { file, by, .. })) = his else {
            panic!("he may stage")
        };
        assert_eq!((file.as_path(), by.as_str()), (configuration, "Dana Reyes"));
        let others = [
            OperatorRole::Look,
            OperatorRole::Activate,
            OperatorRole::Audit,
        ];
        let refused = operator(&others).his(stage(), configuration);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("has not the role `stage`"), "{refused}");

        let lend = || {
            Asked::Grants(Lending {
                tenant: "st-marys".parse().unwrap(),
                purpose: "HOPERAT".parse().unwrap(),
                by: "Noor".to_owned(),
                reason: "ticket 7".to_owned(),
                what: lending::What::List,
            })
        };
        let his = operator(&[OperatorRole::Grant]).his(lend(), configuration);
        let Ok(Asked::Grants(lending)) = his else {
            panic!("he may lend")
        };
        assert_eq!(lending.by, "Dana Reyes");
        let refused = operator(&others).his(lend(), configuration);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("has not the role `grant`"), "{refused}");

        let what_if = |candidate: &str| {
            let rerun = Rerun {
                what: What::WhatIf {
                    candidate: candidate.into(),
                    since: None,
                },
                tenant: None,
                by: "Noor".to_owned(),
                reason: "ticket 7".to_owned(),
            };
            let all = OperatorRole::WORDS.map(|(_, role)| role);
            match operator(&all).his(Asked::Rerun(rerun), configuration) {
                Ok(Asked::Rerun(rerun)) => match rerun.what {
                    What::WhatIf { candidate, .. } => Some((candidate, rerun.by)),
                    What::Replay(_) => None,
                },
                Ok(_) | Err(_) => None,
            }
        };
        let expected = ("/etc/nephron/next.toml".into(), "Dana Reyes".to_owned());
        assert_eq!(what_if("next.toml"), Some(expected));
        assert_eq!(what_if("../passwd"), None);
        assert_eq!(what_if("/etc/passwd"), None);
    }
}
