//! What the log asks of a disk, so that a test can put a failing one in its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, OpenOptions};

/// A file that was opened for writing, and the path by which it was opened, relative to the log's folder.
#[derive(Debug)]
pub struct OpenedFile {
    /// The open file.
    pub file: File,
    /// Its path when it was opened.
    pub path: PathBuf,
}

/// Every change that the log makes to its folder, except what the view's store does inside `view/`.
///
/// The provided methods are the real thing; a fault-injecting disk counts or refuses and then calls [`RealDisk`].
/// Paths are relative to the log's folder `root`.
pub trait Disk: Send + Sync {
    /// Makes a new file, or empties an old one.
    ///
    /// # Errors
    /// What the file system says.
    fn create(&self, root: &Dir, path: &Path) -> io::Result<OpenedFile> {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .clone();
        let file = root.open_with(path, &options)?.into_std();
        let path = path.to_owned();
        Ok(OpenedFile { file, path })
    }

    /// Reserves `length` bytes and makes the file that long.
    ///
    /// # Errors
    /// What the file system says; a full disk speaks up here rather than in the middle of an entry.
    fn allocate(&self, file: &OpenedFile, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&file.file, rustix::fs::FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // Not every file system has it; the zeros that are written next then do the same, less tidily.
            Err(rustix::io::Errno::OPNOTSUPP) => file.file.set_len(length),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the file system says; part of the bytes may have been written.
    fn write_at(&self, file: &OpenedFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.file.write_all_at(bytes, offset)
    }

    /// Returns when the file's bytes and length are on stable storage (`fdatasync`).
    ///
    /// # Errors
    /// What the file system says. Nothing may be assumed about the bytes then, not even after a second, successful
    /// call: Linux forgets the failure.
    fn sync(&self, file: &OpenedFile) -> io::Result<()> {
        rustix::fs::fdatasync(&file.file).map_err(io::Error::from)
    }

    /// Returns when the names in the folder `path` are on stable storage.
    ///
    /// # Errors
    /// What the file system says.
    fn sync_folder(&self, root: &Dir, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        root.open(path)?.sync_all()
    }

    /// Renames a file or a folder, replacing a file of that name.
    ///
    /// # Errors
    /// What the file system says.
    fn rename(&self, root: &Dir, from: &Path, to: &Path) -> io::Result<()> {
        root.rename(from, root, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the file system says.
    fn remove(&self, root: &Dir, path: &Path) -> io::Result<()> {
        root.remove_file(path)
    }
}

/// The machine's own disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// Where damage is kept, in folders that are numbered.
pub(crate) const DAMAGED: &str = "damaged";

/// The folder of one log, and the disk through which it is changed.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) root: Arc<Dir>,
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    /// Folders in `damaged/`, each with something that was set aside.
    aside: Arc<AtomicU64>,
}

impl Folder {
    /// Opens the folder at `path`, which must exist.
    pub(crate) fn open(path: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let root = Arc::new(Dir::open_ambient_dir(path, cap_std::ambient_authority())?);
        let folder = Self {
            root,
            path: path.to_owned(),
            disk,
            aside: Arc::default(),
        };
        folder.count_aside()?;
        Ok(folder)
    }

    /// How many things stand in `damaged/`, as far as this process knows: somebody may have moved some away since.
    pub(crate) fn aside(&self) -> u64 {
        self.aside.load(Ordering::Relaxed)
    }

    /// Counts what stands in `damaged/`.
    pub(crate) fn count_aside(&self) -> io::Result<u64> {
        let count = match self.root.read_dir(DAMAGED) {
            Ok(items) => items.count() as u64,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        self.aside.store(count, Ordering::Relaxed);
        Ok(count)
    }

    /// Opens a file for writing without changing it.
    pub(crate) fn open_for_writing(&self, path: &Path) -> io::Result<OpenedFile> {
        let options = OpenOptions::new().read(true).write(true).clone();
        let file = self.root.open_with(path, &options)?.into_std();
        let path = path.to_owned();
        Ok(OpenedFile { file, path })
    }

    /// Writes a whole file so that after a crash it is there entirely or not at all.
    pub(crate) fn write_atomically(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let file = self.disk.create(&self.root, &temporary)?;
        self.disk.write_at(&file, bytes, 0)?;
        self.disk.sync(&file)?;
        self.disk.rename(&self.root, &temporary, path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        self.disk.sync_folder(&self.root, folder)
    }

    /// Removes a file so that it does not come back after a crash; no error if there is none.
    pub(crate) fn remove_durably(&self, path: &Path) -> io::Result<()> {
        if !self.root.try_exists(path)? {
            return Ok(());
        }
        self.disk.remove(&self.root, path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        self.disk.sync_folder(&self.root, folder)
    }

    /// Moves a folder to `damaged/<n>/`. Says where, unless there was nothing to move.
    pub(crate) fn set_aside(&self, name: &str) -> io::Result<Option<String>> {
        if !self.root.try_exists(name)? {
            return Ok(None);
        }
        let quarantine = self.make_quarantine()?;
        let aside = quarantine.join(name);
        let moved = self.disk.rename(&self.root, Path::new(name), &aside);
        if moved.is_err() && self.root.remove_dir(&quarantine).is_ok() {
            self.aside.fetch_sub(1, Ordering::Relaxed);
        }
        moved?;
        self.disk.sync_folder(&self.root, Path::new(""))?;
        Ok(Some(aside.display().to_string()))
    }

    /// Makes the next free folder `damaged/<n>/`.
    pub(crate) fn make_quarantine(&self) -> io::Result<PathBuf> {
        self.root.create_dir_all(DAMAGED)?;
        for number in 1u64.. {
            let path = Path::new(DAMAGED).join(number.to_string());
            match self.root.create_dir(&path) {
                Ok(()) => {
                    self.aside.fetch_add(1, Ordering::Relaxed);
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

/// Has the system forget what it remembers of the files below `folder`, so that the next reader sees what the disk has. After a
/// failed write or sync those are not always the same, and Linux takes what it remembers for written.
pub(crate) fn forget_cached(folder: &Path) -> io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        let kind = item.file_type()?;
        if kind.is_dir() {
            forget_cached(&item.path())?;
        } else if kind.is_file() {
            let file = File::open(item.path())?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
