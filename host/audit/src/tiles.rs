//! The tree on disk: C2SP tlog-tiles below `tile/`, derived from the journal as the view is.
//!
//! A tile is a file of hashes, 32 bytes each, one after the other. A whole one has 256; a partial one is written when a
//! checkpoint needs it, and goes when the whole one is there. [`Tiling`] writes them behind the journal; [`Replay`] holds
//! them against it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use nephron_model::Digest;

use crate::ReadError;
use crate::disk::Folder;
use crate::journal::{Cursor, Journal};
use crate::tree::{Edge, TILE, Tile, Tiles, leaf_hash, tile_of};

/// The folder of the tree.
pub(crate) const FOLDER: &str = "tile";
/// Where a tile is written before it gets its name.
const UNNAMED: &str = "tile/new.tmp";

/// Which tile a file is, and how many hashes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TileName {
    pub(crate) level: u8,
    pub(crate) index: u64,
    /// 1 to 256; below 256 it is partial.
    pub(crate) width: u16,
}

impl TileName {
    pub(crate) fn of(tile: &Tile) -> Self {
        Self {
            level: tile.level,
            index: tile.index,
            width: u16::try_from(tile.hashes.len()).unwrap_or(u16::MAX),
        }
    }

    const fn is_whole(self) -> bool {
        self.width as usize == TILE
    }

    /// `tile/<level>/<index>[.p/<width>]`: the index in groups of three digits, all but the last with an `x` before them.
    pub(crate) fn path(self) -> String {
        let whole = self.whole_path();
        if self.is_whole() {
            whole
        } else {
            format!("{whole}.p/{}", self.width)
        }
    }

    fn whole_path(self) -> String {
        let mut index = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1000);
            rest /= 1000;
        }
        format!("{FOLDER}/{}/{index}", self.level)
    }

    /// The name that is written exactly so.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (level, rest) = rest.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|width| *width < 256)?),
            None => (rest, 256),
        };
        let digits: String = index
            .split('/')
            .map(|it| it.trim_start_matches('x'))
            .collect();
        let name = Self {
            level: level.parse().ok()?,
            index: digits.parse().ok()?,
            width,
        };
        (name.width > 0 && name.path() == path).then_some(name)
    }
}

fn bytes_of(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes in a tile's file; nothing if it has not exactly the length of `width` of them.
fn read_tile(root: &Dir, name: TileName) -> Option<Vec<Digest>> {
    let file = root.open(name.path()).ok()?;
    let length = usize::from(name.width) * 32;
    let mut bytes = Vec::with_capacity(length);
    file.take(length as u64 + 1).read_to_end(&mut bytes).ok()?;
    let (hashes, rest) = bytes.as_chunks();
    let is_exact = bytes.len() == length && rest.is_empty();
    is_exact.then(|| hashes.iter().copied().map(Digest).collect())
}

/// Tiles as they lie on disk.
pub(crate) struct DiskTiles<'a>(pub(crate) &'a Dir);

impl Tiles for DiskTiles<'_> {
    fn hashes(&self, level: u8, index: u64, width: usize) -> Option<Vec<Digest>> {
        let named = |width| TileName {
            level,
            index,
            width,
        };
        let exact = named(u16::try_from(width).ok()?);
        // The partial one, the whole one that came after it, or a partial one between the two.
        let hashes = read_tile(self.0, exact)
            .or_else(|| read_tile(self.0, named(256)))
            .or_else(|| {
                let mut wider = (exact.width..256)
                    .filter(|width| self.0.try_exists(named(*width).path()).unwrap_or(false));
                read_tile(self.0, named(wider.next()?))
            });
        Some(hashes?.get(..width)?.to_vec())
    }
}

/// Tiles in memory.
impl Tiles for BTreeMap<TileName, Vec<Digest>> {
    fn hashes(&self, level: u8, index: u64, width: usize) -> Option<Vec<Digest>> {
        let width = u16::try_from(width).ok()?;
        let named = |width| TileName {
            level,
            index,
            width,
        };
        let (_, hashes) = self.range(named(width)..=named(256)).next()?;
        Some(hashes.get(..usize::from(width))?.to_vec())
    }
}

/// Names of files below `tile/`.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    tiles: BTreeSet<TileName>,
    /// What no tile is called.
    pub(crate) strange: Vec<String>,
}

impl Listed {
    /// Lists them. What is listed before the journal is read can be no further than the journal.
    pub(crate) fn below(root: &Dir) -> io::Result<Self> {
        let mut listed = Self::default();
        if !root.try_exists(FOLDER)? {
            return Ok(listed);
        }
        for path in crate::seal::files_below(&root.open_dir(FOLDER)?)? {
            let path = format!("{FOLDER}/{path}");
            match TileName::parse(&path) {
                Some(name) => drop(listed.tiles.insert(name)),
                None if path == UNNAMED => {}
                None => listed.strange.push(path),
            }
        }
        Ok(listed)
    }

    /// Those of one tile, whole or partial.
    fn of(&self, level: u8, index: u64) -> impl Iterator<Item = TileName> + '_ {
        let named = |width| TileName {
            level,
            index,
            width,
        };
        self.tiles.range(named(0)..=named(256)).copied()
    }
}

/// Grows the tree anew from the headers of the journal, and holds the tiles on disk against it.
pub(crate) struct Replay<'a> {
    root: Option<&'a Dir>,
    listed: &'a Listed,
    /// Sizes of checkpoints, whose partial tiles are kept.
    sizes: &'a BTreeSet<u64>,
    pub(crate) edge: Edge,
    /// Tiles that are to be there and are not.
    pub(crate) missing: BTreeMap<TileName, Vec<Digest>>,
    /// Tiles that are there and differ.
    pub(crate) differing: Vec<String>,
    met: BTreeSet<TileName>,
}

impl<'a> Replay<'a> {
    /// Without a folder every tile is missing.
    pub(crate) fn new(root: Option<&'a Dir>, listed: &'a Listed, sizes: &'a BTreeSet<u64>) -> Self {
        Self {
            root,
            listed,
            sizes,
            edge: Edge::default(),
            missing: BTreeMap::new(),
            differing: Vec::new(),
            met: BTreeSet::new(),
        }
    }

    /// The same from `edge` on: what lies left of it is not looked at.
    pub(crate) fn from(
        root: Option<&'a Dir>,
        listed: &'a Listed,
        sizes: &'a BTreeSet<u64>,
        edge: Edge,
    ) -> Self {
        let is_left = |tile: &&TileName| tile.index < tile_of(edge.size(), tile.level);
        let left = listed.tiles.iter().filter(is_left).copied().collect();
        Self {
            edge,
            met: left,
            ..Self::new(root, listed, sizes)
        }
    }

    /// Takes the next entry's leaf.
    pub(crate) fn push(&mut self, leaf: Digest) {
        let mut whole = Vec::new();
        let edge = &mut self.edge;
        edge.push(leaf, &mut |tile| whole.push(tile));
        for tile in whole {
            // Partial ones of it need not be there any more.
            let whole = TileName::of(&tile);
            let partial = TileName { width: 0, ..whole }..whole;
            let partial: Vec<TileName> = self.missing.range(partial).map(|it| *it.0).collect();
            for name in partial {
                self.missing.remove(&name);
            }
            self.compare(&tile, true);
        }
        if self.sizes.contains(&self.edge.size()) {
            let partial: Vec<Tile> = self.edge.partial().collect();
            for tile in partial {
                self.compare(&tile, true);
            }
        }
    }

    /// Holds against `tile` what is on disk of it. What is `wanted` and not there is missing.
    fn compare(&mut self, tile: &Tile, is_wanted: bool) {
        let exact = TileName::of(tile);
        let there: Vec<TileName> = match self.root {
            Some(_) => self.listed.of(tile.level, tile.index).collect(),
            None => Vec::new(),
        };
        for name in there.iter().filter(|name| name.width <= exact.width) {
            if !self.met.insert(*name) {
                continue;
            }
            let expected = tile.hashes.get(..usize::from(name.width));
            let found = self.root.and_then(|root| read_tile(root, *name));
            // Beside a writer, a partial tile may have gone since it was listed.
            let is_gone = || self.root.is_none_or(|root| !root.exists(name.path()));
            if found.as_deref() != expected && (name.is_whole() || !is_gone()) {
                self.differing.push(name.path());
            }
        }
        let is_there = there.iter().any(|name| *name == exact || name.is_whole());
        if is_wanted && !is_there {
            self.missing.insert(exact, tile.hashes.clone());
        }
    }

    /// Ends. Gives the files that hold more than the journal: what agrees with it as far as it goes was written from
    /// entries that were acknowledged, and are lost.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        let partial: Vec<Tile> = self.edge.partial().collect();
        for tile in &partial {
            self.compare(tile, false);
        }
        let unmet = self.listed.tiles.difference(&self.met);
        let mut ahead = Vec::new();
        for name in unmet.filter(|_| self.root.is_some()) {
            let begun = partial
                .iter()
                .find(|tile| (tile.level, tile.index) == (name.level, name.index));
            let begun = begun.map_or(&[][..], |tile| &tile.hashes);
            let is_later = name.index >= tile_of(self.edge.size(), name.level);
            match self.root.and_then(|root| read_tile(root, *name)) {
                Some(found) if is_later && found.starts_with(begun) => ahead.push(name.path()),
                None if self.root.is_some_and(|root| !root.exists(name.path())) => {}
                Some(_) | None => self.differing.push(name.path()),
            }
        }
        ahead
    }
}

/// All tiles of the first `size` entries, with the partial ones of checkpoints of `sizes`, from the journal alone.
pub(crate) fn from_journal(
    journal: &Arc<Journal>,
    size: u64,
    sizes: &BTreeSet<u64>,
) -> Result<BTreeMap<TileName, Vec<Digest>>, ReadError> {
    let listed = Listed::default();
    let mut replay = Replay::new(None, &listed, sizes);
    let mut cursor = Cursor::new(Arc::clone(journal), 0);
    for _ in 0..size {
        cursor.step(|_, frame| {
            replay.push(leaf_hash(frame.header));
            Ok(())
        })?;
    }
    Ok(replay.missing)
}

/// The tree of a log that is open for appending, and its files.
pub(crate) struct Tiling {
    folder: Folder,
    edge: Edge,
    /// Tiles that are not in their files yet.
    unsaved: BTreeMap<TileName, Vec<Digest>>,
    /// Files that may not survive a power cut yet.
    unsynced: Vec<PathBuf>,
}

impl Tiling {
    /// Goes on from `edge`; `missing` is still to be written.
    pub(crate) const fn new(
        folder: Folder,
        edge: Edge,
        missing: BTreeMap<TileName, Vec<Digest>>,
    ) -> Self {
        Self {
            folder,
            edge,
            unsaved: missing,
            unsynced: Vec::new(),
        }
    }

    /// Number of leaves.
    pub(crate) const fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Digest {
        self.edge.root()
    }

    /// Takes the header of a durable entry, if that comes next.
    pub(crate) fn push(&mut self, sequence: u64, header: &[u8]) {
        if sequence == self.edge.size() {
            let unsaved = &mut self.unsaved;
            self.edge.push(leaf_hash(header), &mut |tile| {
                unsaved.insert(TileName::of(&tile), tile.hashes);
            });
        }
    }

    /// Takes the entries up to `entries`, which must be durable, from the journal itself.
    pub(crate) fn advance(
        &mut self,
        journal: &Arc<Journal>,
        entries: u64,
    ) -> Result<(), ReadError> {
        let mut cursor = Cursor::new(Arc::clone(journal), self.edge.size());
        while self.edge.size() < entries {
            let sequence = self.edge.size();
            cursor.step(|_, frame| {
                self.push(sequence, frame.header);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes whole tiles. What cannot be written is tried again with the next.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        while let Some((name, hashes)) = self.unsaved.first_key_value() {
            let path = PathBuf::from(name.path());
            let parent = path.parent().unwrap_or_else(|| Path::new(FOLDER));
            let Folder { root, disk, .. } = &self.folder;
            root.create_dir_all(parent)?;
            let file = disk.create(root, Path::new(UNNAMED))?;
            disk.write_at(&file, &bytes_of(hashes), 0)?;
            disk.rename(root, Path::new(UNNAMED), &path)?;
            let name = *name;
            self.unsaved.remove(&name);
            self.unsynced.push(path);
            if name.is_whole() {
                self.remove_partial(name)?;
            }
        }
        Ok(())
    }

    /// Removes the partial tiles that a whole one replaces.
    fn remove_partial(&mut self, whole: TileName) -> io::Result<()> {
        let partial = PathBuf::from(format!("{}.p", whole.whole_path()));
        let Folder { root, disk, .. } = &self.folder;
        if root.try_exists(&partial)? {
            for file in root.read_dir(&partial)? {
                disk.remove(root, &partial.join(file?.file_name()))?;
            }
            root.remove_dir(&partial)?;
            self.unsynced.retain(|path| !path.starts_with(&partial));
        }
        Ok(())
    }

    /// Returns when all tiles of the tree as it is now, partial ones too, are on stable storage.
    pub(crate) fn settle_with_partial(&mut self) -> io::Result<()> {
        for tile in self.edge.partial() {
            let name = TileName::of(&tile);
            if !self.folder.root.try_exists(name.path())? {
                self.unsaved.insert(name, tile.hashes);
            }
        }
        self.settle()
    }

    /// Returns when all tiles that were written are on stable storage.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.save()?;
        let mut folders = BTreeSet::new();
        for path in &self.unsynced {
            self.folder
                .disk
                .sync(&self.folder.open_for_writing(path)?)?;
            folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        }
        // The innermost first, so that no name is durable in a folder that is not.
        for folder in folders.iter().rev() {
            self.folder.disk.sync_folder(&self.folder.root, folder)?;
        }
        self.unsynced.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_tlog_tiles_says() {
        for (level, index, width, path) in [
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 0, 256, "tile/0/000"),
            (1, 999, 17, "tile/1/999.p/17"),
            (2, 1000, 1, "tile/2/x001/000.p/1"),
        ] {
            let name = TileName {
                level,
                index,
                width,
            };
            assert_eq!(name.path(), path);
            assert_eq!(TileName::parse(path), Some(name));
        }
        for path in [
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/07",
            "tile/entries/000",
            "tile/0/x001",
            "tile/0/001/002",
            "journal/0/001",
        ] {
            assert_eq!(TileName::parse(path), None, "{path}");
        }
    }
}
