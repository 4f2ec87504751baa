//! Follows the configuration: takes it over on SIGHUP, and when one of its files changes if the operator wants that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nephron_model::Digest;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::Gateway;
use crate::config::Config;
use crate::swap::SwapError;

/// For which nothing may change before files are read: who writes several, or one in pieces, is waited for.
const QUIET: Duration = Duration::from_millis(300);
/// For how long they are waited for, in a folder where something always changes.
const PATIENCE: Duration = Duration::from_secs(5);
/// A configuration that is followed.
pub(crate) struct Follow {
    file: PathBuf,
    asked: Arc<Asked>,
    /// What hears of changes, for as long as it is there, and the folders in which it does.
    watched: Option<(RecommendedWatcher, BTreeSet<PathBuf>)>,
    /// What was looked at last, good or bad. Files that say the same again are not news.
    seen: Option<Digest>,
}

#[derive(Default)]
struct Asked {
    news: Notify,
    /// Somebody wants it looked at, whether anything changed or not.
    by_somebody: AtomicBool,
}

impl Follow {
    /// Follows `file`, whose present text is `config`.
    ///
    /// # Errors
    /// What the system says if its files are to be watched and cannot be.
    pub(crate) fn new(file: PathBuf, config: &Config) -> notify::Result<Self> {
        let asked = Arc::new(Asked::default());
        let mut follow = Self {
            watched: match config.watch {
                true => Some((watcher(&asked)?, BTreeSet::new())),
                false => None,
            },
            file,
            asked,
            seen: None,
        };
        follow.watch(config)?;
        Ok(follow)
    }

    /// Watches the folders, not the files: editors and mounts put another file in a file's place.
    fn watch(&mut self, config: &Config) -> notify::Result<()> {
        let Some((watcher, watched)) = &mut self.watched else {
            return Ok(());
        };
        for file in config.files().chain([self.file.as_path()]) {
            let folder = match file.parent() {
                Some(folder) if folder != Path::new("") => folder,
                Some(_) | None => Path::new("."),
            };
            if !watched.contains(folder) {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
                watched.insert(folder.to_owned());
            }
        }
        Ok(())
    }

    /// Asks for it to be taken over now.
    pub(crate) fn asker(&self) -> impl Fn() + Send + use<> {
        let asked = Arc::clone(&self.asked);
        move || {
            asked.by_somebody.store(true, Ordering::Relaxed);
            asked.news.notify_one();
        }
    }

    /// Takes it over each time that somebody asks, or a file changes.
    pub(crate) async fn run(mut self, gateway: Arc<Gateway>) {
        loop {
            self.asked.news.notified().await;
            let quiet = async {
                while tokio::time::timeout(QUIET, self.asked.news.notified())
                    .await
                    .is_ok()
                {}
            };
            let _is_quiet = tokio::time::timeout(PATIENCE, quiet).await;
            let by_somebody = self.asked.by_somebody.swap(false, Ordering::Relaxed);
            let says = says(&self.file);
            if self.seen == Some(says) && !by_somebody {
                continue;
            }
            self.seen = Some(says);
            self.take_over(&gateway).await;
        }
    }

    async fn take_over(&mut self, gateway: &Gateway) {
        match gateway.take_over(&self.file).await {
            Ok(taken) => {
                let generation = taken.roster().generation();
                info!(%generation, "the configuration was taken over");
            }
            Err(SwapError::Same) => {}
            Err(error @ (SwapError::Waiting { .. } | SwapError::OnTrial)) => {
                self.seen = None;
                warn!("the configuration waits: {error}");
            }
            Err(error) => warn!(
                "the configuration was not taken over: {}",
                crate::keeper::chain(&error)
            ),
        }
        // What it names now may lie elsewhere.
        let watched = Config::load(&self.file).map(|config| self.watch(&config));
        if let Ok(Err(error)) = watched {
            warn!(%error, "not all files of the configuration are watched");
        }
    }
}

/// A digest of what a configuration and its files say; where they cannot be taken, of that and of why.
fn says(file: &Path) -> Digest {
    let (mut all, config) = (of_file(file), Config::load(file));
    match config {
        Ok(config) => config.files().for_each(|file| all.extend(of_file(file))),
        Err(faults) => all.extend(faults.to_string().into_bytes()),
    }
    Digest::of(&all)
}

/// What a file says: nothing else says the same as one that cannot be read.
fn of_file(file: &Path) -> Vec<u8> {
    match std::fs::read(file) {
        Ok(bytes) => [b"r".as_slice(), &Digest::of(&bytes).0].concat(),
        Err(_) => b"unreadable".to_vec(),
    }
}

fn watcher(asked: &Arc<Asked>) -> notify::Result<RecommendedWatcher> {
    let heard = Arc::clone(asked);
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What is not understood may have been a change.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        heard.news.notify_one();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_news_and_the_same_fault_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        let mut seen = vec![says(&file)];
        for text in ["", "[", "[[", "unknown = 1\n", "unknown = 2\n"] {
            std::fs::write(&file, text).unwrap();
            let now = says(&file);
            assert_eq!(now, says(&file), "{text}");
            assert!(!seen.contains(&now), "{text}");
            seen.push(now);
        }
    }
}
