//! A disk that fails on purpose. For tests, of this crate and of those that record through it.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;

use crate::{Disk, OpenedFile, RealDisk};

/// A disk that does the real thing until it is told to fail, counts its calls, and remembers what was never synced, so
/// that a power cut can take it away.
///
/// A process that is killed at its n-th call and a disk that refuses from the n-th call on leave the same bytes behind. One that
/// refuses a single call is another matter: the process lives, and goes on or does not.
#[derive(Default)]
pub struct FaultyDisk(Mutex<State>);

#[derive(Default)]
struct State {
    calls: u64,
    fails_from: Option<u64>,
    fails_once: Option<(u64, Trouble)>,
    /// What failed first.
    failed: Option<Failed>,
    /// Half of the bytes of the first write that fails reach the file.
    tears: bool,
    unsynced: Vec<Unsynced>,
}

/// What a disk says when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be read or written: EIO.
    Broken,
    /// It is full: ENOSPC.
    Full,
}

impl Trouble {
    fn error(self) -> io::Error {
        match self {
            Self::Broken => rustix::io::Errno::IO.into(),
            Self::Full => rustix::io::Errno::NOSPC.into(),
        }
    }
}

/// A call of [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Disk::create`]
    Create,
    /// [`Disk::allocate`]
    Allocate,
    /// [`Disk::write_at`]
    Write,
    /// [`Disk::sync`]
    Sync,
    /// [`Disk::sync_folder`]
    SyncFolder,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove`]
    Remove,
}

/// A call that failed, and the file or folder that it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The call.
    pub call: Call,
    /// The path, relative to the log's folder; of a rename the former one.
    pub path: PathBuf,
}

impl State {
    /// What the next call comes to, if it fails.
    fn trouble(&self) -> Option<io::Error> {
        match (self.fails_from, self.fails_once) {
            (Some(from), _) if self.calls >= from => {
                Some(io::Error::other("a test made the disk fail"))
            }
            (_, Some((call, trouble))) if self.calls == call => Some(trouble.error()),
            _ => None,
        }
    }

    /// What was written to `path` and not synced never will be: Linux takes it for written once it has told of the failure.
    fn lose(&mut self, path: &Path) {
        for unsynced in &mut self.unsynced {
            if let Unsynced::Write {
                path: written,
                is_lost,
                ..
            } = unsynced
                && written == path
            {
                *is_lost = true;
            }
        }
    }

    /// What was written to a file is found under its new name.
    fn rename(&mut self, from: &Path, to: &Path) {
        for unsynced in &mut self.unsynced {
            if let Unsynced::Write { path, .. } = unsynced
                && path == from
            {
                *path = to.to_owned();
            }
        }
    }
}

impl State {
    /// The file `from`, of which all was synced but its name, stands in the place of another.
    fn replace(&mut self, from: &Path, to: &Path, replaced: Vec<u8>) {
        self.unsynced.retain(|unsynced| match unsynced {
            Unsynced::Created(path) => path != from,
            Unsynced::Write { path, .. } => path != to,
            Unsynced::Renamed(..) | Unsynced::Removed(..) | Unsynced::Replaced(..) => true,
        });
        self.rename(from, to);
        self.unsynced
            .push(Unsynced::Replaced(to.to_owned(), replaced));
    }
}

/// What a power cut may take back.
enum Unsynced {
    /// Bytes that a write replaced, and those it wrote.
    Write {
        path: PathBuf,
        offset: u64,
        before: Vec<u8>,
        after: Vec<u8>,
        /// A sync of it has failed: no later one makes it durable.
        is_lost: bool,
    },
    Created(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf, Vec<u8>),
    /// A file that took the place of another, and what that held.
    Replaced(PathBuf, Vec<u8>),
}

impl FaultyDisk {
    /// Works until it is told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails its `n`-th call, counted from 0, and every one after it.
    #[must_use]
    pub fn failing_from(n: u64) -> Self {
        let disk = Self::default();
        disk.fail_from(n);
        disk
    }

    /// Fails its `n`-th call, counted from 0, and no other.
    #[must_use]
    pub fn failing_once(n: u64, trouble: Trouble) -> Self {
        let disk = Self::default();
        disk.state().fails_once = Some((n, trouble));
        disk
    }

    /// The first call that failed.
    #[must_use]
    pub fn failed(&self) -> Option<Failed> {
        self.state().failed.clone()
    }

    /// Fails from the `n`-th call on, counted from 0 since this disk was made.
    pub fn fail_from(&self, n: u64) {
        self.state().fails_from = Some(n);
    }

    /// Fails from the next call on.
    pub fn fail_now(&self) {
        let mut state = self.state();
        state.fails_from = Some(state.calls);
    }

    /// Works again from the next call on.
    pub fn heal(&self) {
        let mut state = self.state();
        (state.fails_from, state.fails_once) = (None, None);
    }

    /// Half of the bytes of the first write that fails reach the file.
    pub fn tear_writes(&self) {
        self.state().tears = true;
    }

    /// Calls so far, those that failed included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Takes back what was never synced below `folder`, as a power cut may: each unsynced sector of 512 bytes stays or
    /// goes by `seed`, names whose folder was not synced are as before. Everything fails from here on.
    ///
    /// # Errors
    /// What the file system says while it is changed back.
    pub fn cut_power(&self, folder: &Path, seed: u64) -> io::Result<()> {
        let mut state = self.state();
        state.fails_from = Some(0);
        let root = Dir::open_ambient_dir(folder, cap_std::ambient_authority())?;
        let mut draw = seed;
        while let Some(unsynced) = state.unsynced.pop() {
            match unsynced {
                Unsynced::Write {
                    path,
                    offset,
                    before,
                    after,
                    is_lost,
                } => {
                    let options = cap_std::fs::OpenOptions::new().write(true).clone();
                    let file = root.open_with(&path, &options)?.into_std();
                    for (sector, (before, after)) in
                        before.chunks(512).zip(after.chunks(512)).enumerate()
                    {
                        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let is_gone = is_lost || draw >> 63 == 0;
                        let bytes = if is_gone { before } else { after };
                        file.write_all_at(bytes, offset + 512 * sector as u64)?;
                    }
                }
                Unsynced::Created(path) => root.remove_file(path)?,
                Unsynced::Renamed(from, to) => {
                    root.rename(&to, &root, &from)?;
                    state.rename(&to, &from);
                }
                Unsynced::Replaced(path, bytes) => {
                    // The name was not synced: either file may be found under it.
                    draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if draw >> 63 == 0 {
                        root.write(path, bytes)?;
                    }
                }
                Unsynced::Removed(path, bytes) => {
                    // Its folder may have gone after it, and comes back with it.
                    root.create_dir_all(path.parent().unwrap_or_else(|| Path::new(".")))?;
                    root.write(path, bytes)?;
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; fails it if its time has come.
    fn enter(&self, call: Call, path: &Path) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let trouble = state.trouble();
        state.calls += 1;
        let Some(trouble) = trouble else {
            return Ok(state);
        };
        if call == Call::Sync {
            state.lose(path);
        }
        let path = path.to_owned();
        state.failed.get_or_insert(Failed { call, path });
        Err(trouble)
    }
}

impl Disk for FaultyDisk {
    fn create(&self, root: &Dir, path: &Path) -> io::Result<OpenedFile> {
        let mut state = self.enter(Call::Create, path)?;
        let file = RealDisk.create(root, path)?;
        // What an earlier file of that name held is gone.
        state.unsynced.retain(|unsynced| match unsynced {
            Unsynced::Write { path: written, .. } => written != path,
            Unsynced::Created(_)
            | Unsynced::Renamed(..)
            | Unsynced::Removed(..)
            | Unsynced::Replaced(..) => true,
        });
        let is_known = state
            .unsynced
            .iter()
            .any(|unsynced| matches!(unsynced, Unsynced::Created(created) if created == path));
        if !is_known {
            state.unsynced.push(Unsynced::Created(path.to_owned()));
        }
        Ok(file)
    }

    fn allocate(&self, file: &OpenedFile, length: u64) -> io::Result<()> {
        let _state = self.enter(Call::Allocate, &file.path)?;
        RealDisk.allocate(file, length)
    }

    fn write_at(&self, file: &OpenedFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let tears = {
            let state = self.state();
            state.tears && state.failed.is_none() && state.trouble().is_some()
        };
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
        if tears {
            RealDisk.write_at(file, half, offset)?;
        }
        let mut state = self.enter(Call::Write, &file.path)?;
        let mut before = vec![0; bytes.len()];
        // Beyond the end there is nothing to restore: zeros stand there until the file itself is taken back.
        file.file.read_at(&mut before, offset)?;
        RealDisk.write_at(file, bytes, offset)?;
        state.unsynced.push(Unsynced::Write {
            path: file.path.clone(),
            offset,
            before,
            after: bytes.to_vec(),
            is_lost: false,
        });
        Ok(())
    }

    fn sync(&self, file: &OpenedFile) -> io::Result<()> {
        let mut state = self.enter(Call::Sync, &file.path)?;
        // No real sync: the machine stays up, and the tests stay fast. What counts is what a power cut takes back.
        state.unsynced.retain(|unsynced| match unsynced {
            Unsynced::Write { path, is_lost, .. } => *is_lost || *path != file.path,
            Unsynced::Created(_)
            | Unsynced::Renamed(..)
            | Unsynced::Removed(..)
            | Unsynced::Replaced(..) => true,
        });
        Ok(())
    }

    fn sync_folder(&self, root: &Dir, path: &Path) -> io::Result<()> {
        let mut state = self.enter(Call::SyncFolder, path)?;
        RealDisk.sync_folder(root, path)?;
        state.unsynced.retain(|unsynced| match unsynced {
            Unsynced::Write { .. } => true,
            Unsynced::Created(name)
            | Unsynced::Renamed(_, name)
            | Unsynced::Removed(name, _)
            | Unsynced::Replaced(name, _) => name.parent() != Some(path),
        });
        Ok(())
    }

    fn rename(&self, root: &Dir, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.enter(Call::Rename, from)?;
        let replaced = root.read(to).ok();
        RealDisk.rename(root, from, to)?;
        if let Some(replaced) = replaced {
            state.replace(from, to, replaced);
            return Ok(());
        }
        state.rename(from, to);
        // A file whose first name was not durable either goes altogether.
        let mut unsynced = state.unsynced.iter_mut().rev();
        let created = unsynced.find_map(|unsynced| match unsynced {
            Unsynced::Created(path) if path == from => Some(path),
            Unsynced::Created(_)
            | Unsynced::Write { .. }
            | Unsynced::Renamed(..)
            | Unsynced::Removed(..)
            | Unsynced::Replaced(..) => None,
        });
        match created {
            Some(path) => *path = to.to_owned(),
            None => {
                let renamed = Unsynced::Renamed(from.to_owned(), to.to_owned());
                state.unsynced.push(renamed);
            }
        }
        Ok(())
    }

    fn remove(&self, root: &Dir, path: &Path) -> io::Result<()> {
        let mut state = self.enter(Call::Remove, path)?;
        let bytes = root.read(path)?;
        RealDisk.remove(root, path)?;
        // Its own unsynced writes go with it: what comes back is the file as it was last seen.
        state.unsynced.retain(|unsynced| match unsynced {
            Unsynced::Write { path: written, .. } => written != path,
            Unsynced::Created(_)
            | Unsynced::Renamed(..)
            | Unsynced::Removed(..)
            | Unsynced::Replaced(..) => true,
        });
        state
            .unsynced
            .push(Unsynced::Removed(path.to_owned(), bytes));
        Ok(())
    }
}
