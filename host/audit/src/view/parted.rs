//! A view in parts, each a store of its own for so many entries, of which only the newest is open for long.
//!
//! What sled keeps in memory for its pages grows with what a store holds. A part that is full is brought to rest, and what
//! is left of it in memory are four bytes for each name that it holds, so that it is opened again only for what it may hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::{
    Addition, RecordName, Row, Shelf, SledViews, TermKey, View, ViewError, Views, close, open,
};
use crate::{Head, Location};

/// Opens views in parts.
#[derive(Clone)]
pub struct PartedViews {
    /// Opens each part.
    pub parts: Arc<dyn Views>,
    /// Entries in a part; one batch more may be added.
    pub entries: u64,
}

impl Default for PartedViews {
    fn default() -> Self {
        Self {
            parts: Arc::new(SledViews::default()),
            entries: 1 << 18,
        }
    }
}

/// A part that is at rest.
struct Full {
    first: u64,
    names: Names,
}

/// The part that entries are added to.
struct Newest {
    first: u64,
    /// How far the parts before it went.
    before: Head,
    view: Box<dyn View>,
}

struct Parts {
    full: Vec<Full>,
    newest: Newest,
}

struct PartedView {
    folder: PathBuf,
    views: PartedViews,
    parts: RwLock<Parts>,
    /// The full parts that were asked last, the newest first. Opening one takes a while, and whoever asks for one thing of it
    /// asks for more.
    again: Mutex<Vec<(u64, Arc<dyn View>)>>,
}

/// Full parts that stay open: threads that go through the entries together are in two of them for a while.
const AGAIN: usize = 2;

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016}"))
}

/// The first entries of the parts in `folder`, in order.
fn parts_in(folder: &Path) -> Result<Vec<u64>, ViewError> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ViewError::of_io(&error)),
    };
    let mut parts = Vec::new();
    for file in files {
        let path = file.map_err(|error| ViewError::of_io(&error))?.path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let first = name.parse().ok();
        let first = first.filter(|first| path_of(folder, *first) == path);
        parts.push(first.ok_or(ViewError::Malformed)?);
    }
    parts.sort_unstable();
    match parts.first() {
        Some(0) => Ok(parts),
        // A view of a former version, or one whose beginning was taken away.
        None if !folder.join("db").exists() => Ok(parts),
        Some(_) | None => Err(ViewError::Malformed),
    }
}

impl Views for PartedViews {
    fn open(&self, folder: &Path) -> Result<Box<dyn View>, ViewError> {
        let mut firsts = parts_in(folder)?;
        let newest = firsts.pop().unwrap_or(0);
        let mut full = Vec::with_capacity(firsts.len());
        for first in firsts {
            let names = Names::read(&Names::path(folder, first))?;
            full.push(Full { first, names });
        }
        fs::create_dir_all(folder).map_err(|error| ViewError::of_io(&error))?;
        let mut parted = PartedView {
            folder: folder.to_owned(),
            views: self.clone(),
            parts: RwLock::new(Parts {
                full,
                newest: Newest {
                    first: newest,
                    before: Head::START,
                    view: self.parts.open(&path_of(folder, newest))?,
                },
            }),
            again: Mutex::default(),
        };
        let before = parted.last_full_head()?;
        let parts = parted.parts.get_mut();
        parts.unwrap_or_else(PoisonError::into_inner).newest.before = before;
        if before.entries != newest {
            return Err(ViewError::Malformed);
        }
        Ok(Box::new(parted))
    }

    fn released(&self, folder: &Path) -> Result<(), ViewError> {
        for first in parts_in(folder)? {
            self.parts.released(&path_of(folder, first))?;
        }
        Ok(())
    }
}

impl PartedView {
    fn parts(&self) -> RwLockReadGuard<'_, Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_full_head(&self) -> Result<Head, ViewError> {
        let last = self.parts().full.last().map(|full| full.first);
        match last {
            Some(first) => self.open_again(first)?.head(),
            None => Ok(Head::START),
        }
    }

    /// A full part.
    fn open_again(&self, first: u64) -> Result<Arc<dyn View>, ViewError> {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, view)) = again.iter().find(|(there, _)| *there == first) {
            return Ok(Arc::clone(view));
        }
        again.truncate(AGAIN - 1);
        let path = path_of(&self.folder, first);
        // Whoever asked it before may still be letting go of it.
        self.views.parts.released(&path)?;
        let view: Arc<dyn View> = open(self.views.parts.as_ref(), &path)?.into();
        again.insert(0, (first, Arc::clone(&view)));
        Ok(view)
    }

    /// Brings the newest part to rest, if it is full, and begins another.
    fn turn(&self, head: Head) -> Result<(), ViewError> {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        if head.entries - parts.newest.first < self.views.entries {
            return Ok(());
        }
        parts.newest.view.checkpoint()?;
        let first = parts.newest.first;
        let names = Names::of(parts.newest.view.as_ref())?;
        names
            .write(&Names::path(&self.folder, first))
            .map_err(|error| ViewError::of_io(&error))?;
        let next = path_of(&self.folder, head.entries);
        let newest = Newest {
            first: head.entries,
            before: head,
            view: open(self.views.parts.as_ref(), &next)?,
        };
        let sync = File::open(&self.folder).and_then(|folder| folder.sync_all());
        sync.map_err(|error| ViewError::of_io(&error))?;
        let full = std::mem::replace(&mut parts.newest, newest);
        parts.full.push(Full { first, names });
        drop(parts);
        close(
            self.views.parts.as_ref(),
            full.view,
            &path_of(&self.folder, first),
        )
    }

    /// Calls `each` with every part that may hold `name`, oldest first.
    fn holding<T>(
        &self,
        name: &[u8; 16],
        mut each: impl FnMut(&dyn View) -> Result<T, ViewError>,
    ) -> Result<Vec<T>, ViewError> {
        let parts = self.parts();
        let mut found = Vec::new();
        for full in parts.full.iter().filter(|full| full.names.may_hold(name)) {
            found.push(each(self.open_again(full.first)?.as_ref())?);
        }
        found.push(each(parts.newest.view.as_ref())?);
        Ok(found)
    }
}

impl View for PartedView {
    fn head(&self) -> Result<Head, ViewError> {
        let Newest { before, view, .. } = &self.parts().newest;
        let head = view.head()?;
        Ok(if head.entries == 0 { *before } else { head })
    }

    fn add(&self, additions: &[Addition], head: Head) -> Result<(), ViewError> {
        self.turn(self.head()?)?;
        self.parts().newest.view.add(additions, head)
    }

    fn row(&self, sequence: u64) -> Result<Option<Row>, ViewError> {
        let parts = self.parts();
        if sequence >= parts.newest.first {
            return parts.newest.view.row(sequence);
        }
        let holds = parts.full.iter().rev().find(|full| full.first <= sequence);
        match holds {
            Some(full) => self.open_again(full.first)?.row(sequence),
            None => Ok(None),
        }
    }

    fn sequences(&self, term: TermKey) -> Result<Vec<u64>, ViewError> {
        let found = self.holding(&term.0, |part| part.sequences(term))?;
        Ok(found.concat())
    }

    fn records(
        &self,
        shelf: Shelf,
        names: &[RecordName],
    ) -> Result<Vec<Option<(u64, Location)>>, ViewError> {
        let parts = self.parts();
        let mut places = parts.newest.view.records(shelf, names)?;
        let holding = parts.full.iter().rev();
        for full in holding.filter(|full| full.names.may_hold(&shelf.0)) {
            if places.iter().all(Option::is_some) {
                break;
            }
            let older = self.open_again(full.first)?.records(shelf, names)?;
            for (place, older) in places.iter_mut().zip(older) {
                *place = place.or(older);
            }
        }
        Ok(places)
    }

    fn each_term(&self, each: &mut dyn FnMut(TermKey, u64)) -> Result<(), ViewError> {
        let parts = self.parts();
        for full in &parts.full {
            self.open_again(full.first)?.each_term(each)?;
        }
        parts.newest.view.each_term(each)
    }

    fn each_record(
        &self,
        each: &mut dyn FnMut(RecordName, u64, Location),
    ) -> Result<(), ViewError> {
        let mut newest = BTreeMap::new();
        let mut keep = |name, sequence, at| {
            newest.insert(name, (sequence, at));
        };
        let parts = self.parts();
        for full in &parts.full {
            self.open_again(full.first)?.each_record(&mut keep)?;
        }
        parts.newest.view.each_record(&mut keep)?;
        for (name, (sequence, at)) in newest {
            each(name, sequence, at);
        }
        Ok(())
    }

    fn each_name(&self, each: &mut dyn FnMut([u8; 16])) -> Result<(), ViewError> {
        let parts = self.parts();
        for full in &parts.full {
            self.open_again(full.first)?.each_name(each)?;
        }
        parts.newest.view.each_name(each)
    }

    fn checkpoint(&self) -> Result<(), ViewError> {
        let newest = &self.parts().newest;
        match newest.view.head()?.entries {
            // The parts before it were brought to rest when it began.
            0 => Ok(()),
            _ => newest.view.checkpoint(),
        }
    }
}

/// The beginnings of names, by which a part is passed over that does not hold one: four bytes each, sorted. One name in some
/// ten thousand is looked for in vain.
struct Names(Vec<u32>);

impl Names {
    fn path(folder: &Path, first: u64) -> PathBuf {
        folder.join(format!("{first:016}.names"))
    }

    fn of(part: &dyn View) -> Result<Self, ViewError> {
        let mut names = Vec::new();
        part.each_name(&mut |name| names.push(Self::beginning(&name)))?;
        names.sort_unstable();
        names.dedup();
        Ok(Self(names))
    }

    const fn beginning(name: &[u8; 16]) -> u32 {
        let [a, b, c, d, ..] = *name;
        u32::from_be_bytes([a, b, c, d])
    }

    fn may_hold(&self, name: &[u8; 16]) -> bool {
        self.0.binary_search(&Self::beginning(name)).is_ok()
    }

    /// As a file: each in four bytes, little-endian, and the CRC-32 of all.
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|name| name.to_le_bytes()).collect();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let draft = path.with_extension("names-tmp");
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    fn read(path: &Path) -> Result<Self, ViewError> {
        let bytes = fs::read(path).map_err(|error| ViewError::of_io(&error))?;
        let (names, checksum) = bytes.split_last_chunk().ok_or(ViewError::Malformed)?;
        if crc32fast::hash(names).to_le_bytes() != *checksum || !names.len().is_multiple_of(4) {
            return Err(ViewError::Malformed);
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
        let names: Option<Vec<u32>> = names.chunks(4).map(number).collect();
        names.map(Self).ok_or(ViewError::Malformed)
    }
}

#[cfg(test)]
mod tests;
