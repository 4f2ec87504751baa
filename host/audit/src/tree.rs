//! The Merkle tree over the entries (RFC 6962 §2.1): hashes, its right edge, and what its proofs must show.
//!
//! The leaf of an entry is the bytes of its header, which name payload, records and all that came before. Nothing here
//! touches a file.

use std::ops::Range;

use nephron_model::Digest;
use sha2::{Digest as _, Sha256};

/// Hashes in a whole tile: a subtree of height 8 (C2SP tlog-tiles).
pub(crate) const TILE: usize = 256;

/// The hash of the leaf that is the entry with this header: SHA-256 of a zero byte and `header_bytes` (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(header_bytes: &[u8]) -> Digest {
    let hasher = Sha256::new().chain_update([0]).chain_update(header_bytes);
    Digest(hasher.finalize().into())
}

/// The hash of the node above two others.
pub(crate) fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hasher = Sha256::new().chain_update([1]);
    let hasher = hasher.chain_update(left.0).chain_update(right.0);
    Digest(hasher.finalize().into())
}

/// The root over `nodes`, which are roots of trees of one height. Of none it is that of the empty tree.
pub(crate) fn fold(mut nodes: Vec<Digest>) -> Digest {
    while nodes.len() > 1 {
        let pairs = nodes.chunks(2).map(|pair| match pair {
            [left, right] => node_hash(left, right),
            alone => alone.first().copied().unwrap_or_else(empty_root),
        });
        nodes = pairs.collect();
    }
    nodes.pop().unwrap_or_else(empty_root)
}

fn empty_root() -> Digest {
    Digest::of(&[])
}

/// One tile: hashes that stand side by side in the tree. Level 0 holds leaves; each hash of a level above is the root of
/// a whole tile of the level below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Digest>,
}

/// The right edge of a growing tree: all that is needed to append, and to know the root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    size: u64,
    /// Roots of the whole subtrees from left to right; their sizes are the bits of `size`, the largest first.
    peaks: Vec<Digest>,
    /// The tile of each level that is not whole yet.
    levels: Vec<Vec<Digest>>,
}

impl Edge {
    /// The edge of the tree of the first `size` leaves, as tiles have it; nothing if they have not.
    pub(crate) fn of_tiles(size: u64, tiles: &dyn Tiles) -> Option<Self> {
        let mut levels = Vec::new();
        for level in 0u8.. {
            let there = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
            if there == 0 {
                break;
            }
            let width = usize::try_from(there % TILE as u64).ok()?;
            levels.push(match width {
                0 => Vec::new(),
                width => tiles.hashes(level, there / TILE as u64, width)?,
            });
        }
        // Each peak is the root over as many of its level's hashes as its bit says; they stand before those of smaller ones.
        let mut peaks = Vec::new();
        for height in (0..u64::BITS)
            .rev()
            .filter(|height| size >> height & 1 == 1)
        {
            let level = levels.get(usize::try_from(height / 8).ok()?)?;
            let count = 1usize << (height % 8);
            let first = level.len() & !(2 * count - 1);
            peaks.push(fold(level.get(first..first + count)?.to_vec()));
        }
        Some(Self {
            size,
            peaks,
            levels,
        })
    }

    /// Number of leaves.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, and hands over the tiles that it makes whole.
    pub(crate) fn push(&mut self, leaf: Digest, whole: &mut dyn FnMut(Tile)) {
        self.add(0, leaf, whole);
        let mut hash = leaf;
        let mut height = 0u32;
        while self.size >> height & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            height += 1;
            if height.is_multiple_of(8) {
                self.add(height / 8, hash, whole);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    fn add(&mut self, level: u32, hash: Digest, whole: &mut dyn FnMut(Tile)) {
        let place = level as usize;
        while self.levels.len() <= place {
            self.levels.push(Vec::with_capacity(TILE));
        }
        let Some(hashes) = self.levels.get_mut(place) else {
            return;
        };
        hashes.push(hash);
        if hashes.len() == TILE {
            whole(Tile {
                level: u8::try_from(level).unwrap_or(u8::MAX),
                index: self.size.checked_shr(8 * (level + 1)).unwrap_or(0),
                hashes: std::mem::replace(hashes, Vec::with_capacity(TILE)),
            });
        }
    }

    /// The root of the tree as it is now.
    pub(crate) fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(smallest) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(smallest, |right, left| node_hash(&left, &right))
    }

    /// The tiles that are not whole; none is empty.
    pub(crate) fn partial(&self) -> impl Iterator<Item = Tile> + '_ {
        let levels = (0u8..).zip(&self.levels);
        levels
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| Tile {
                level,
                index: tile_of(self.size, level),
                hashes: hashes.clone(),
            })
    }
}

/// The index of the tile of `level` in which a tree of `size` leaves ends.
pub(crate) fn tile_of(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0)
}

/// Hashes of the tree by tile, wherever they are kept.
pub(crate) trait Tiles {
    /// The first `width` hashes (1 to 256) of a tile; nothing if they are not there.
    fn hashes(&self, level: u8, index: u64, width: usize) -> Option<Vec<Digest>>;
}

/// Makes proofs in the tree of the first `size` leaves. Reads each tile once, two for each level at most.
pub(crate) struct Prover<'a> {
    tiles: &'a dyn Tiles,
    size: u64,
    read: Vec<Tile>,
}

impl<'a> Prover<'a> {
    pub(crate) const fn new(tiles: &'a dyn Tiles, size: u64) -> Self {
        Self {
            tiles,
            size,
            read: Vec::new(),
        }
    }

    /// The hashes from the sibling of the leaf `index` up to the child of the root: PATH of RFC 6962 §2.1.1.
    pub(crate) fn inclusion(&mut self, index: u64) -> Option<Vec<Digest>> {
        let (mut start, mut end) = (0, self.size);
        if index >= end {
            return None;
        }
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// That this tree begins with the one of its first `old` leaves: PROOF of RFC 6962 §2.1.2. Empty if they are one.
    pub(crate) fn consistency(&mut self, old: u64) -> Option<Vec<Digest>> {
        if old == 0 || old > self.size {
            return None;
        }
        let (mut start, mut end) = (0, self.size);
        let mut path = Vec::new();
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        // The subtree in which the old tree ends; if that is the whole old tree, its root is known.
        if start > 0 {
            path.push(self.range(start, end)?);
        }
        path.reverse();
        Some(path)
    }

    /// The roots of the largest subtrees that hold no leaf of `range`, from left to right: what [`root_around`] needs beside
    /// the leaves themselves.
    pub(crate) fn around(&mut self, range: &Range<u64>) -> Option<Vec<Digest>> {
        let mut roots = Vec::new();
        self.outside(0..self.size, range, &mut roots)?;
        Some(roots)
    }

    fn outside(
        &mut self,
        tree: Range<u64>,
        range: &Range<u64>,
        roots: &mut Vec<Digest>,
    ) -> Option<()> {
        match relation(&tree, range) {
            Relation::Inside => Some(()),
            Relation::Outside => {
                roots.push(self.range(tree.start, tree.end)?);
                Some(())
            }
            Relation::Across(middle) => {
                self.outside(tree.start..middle, range, roots)?;
                self.outside(middle..tree.end, range, roots)
            }
        }
    }

    /// The root of the tree of its first `size` leaves, 1 or more.
    pub(crate) fn root_at(&mut self, size: u64) -> Option<Digest> {
        (1..=self.size)
            .contains(&size)
            .then(|| self.range(0, size))?
    }

    /// The root over the leaves from `start` to before `end`, a range that RFC 6962 cuts a tree into.
    fn range(&mut self, start: u64, end: u64) -> Option<Digest> {
        let length = end - start;
        if length.is_power_of_two() {
            return self.whole(length.trailing_zeros(), start);
        }
        let middle = start + split(length);
        let left = self.range(start, middle)?;
        Some(node_hash(&left, &self.range(middle, end)?))
    }

    /// The root of the whole subtree of this height that begins at leaf `start`.
    fn whole(&mut self, height: u32, start: u64) -> Option<Digest> {
        let level = u8::try_from(height / 8).ok()?;
        let first = start >> (8 * u32::from(level));
        let within = usize::try_from(first % TILE as u64).ok()?;
        let count = 1usize << (height % 8);
        let tile = self.tile(level, first / TILE as u64)?;
        let hashes = tile.hashes.get(within..within + count)?;
        Some(fold(hashes.to_vec()))
    }

    fn tile(&mut self, level: u8, index: u64) -> Option<&Tile> {
        let known = |tile: &Tile| tile.level == level && tile.index == index;
        if !self.read.iter().any(known) {
            let there = self.size >> (8 * u32::from(level));
            let width = there.saturating_sub(index * TILE as u64).min(TILE as u64);
            let hashes = self
                .tiles
                .hashes(level, index, usize::try_from(width).ok()?)?;
            self.read.push(Tile {
                level,
                index,
                hashes,
            });
        }
        self.read.iter().find(|tile| known(tile))
    }
}

/// The largest power of two below `length`, which is at least 2: where RFC 6962 cuts a tree.
const fn split(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

/// The root that `path` leads to from a leaf, in a tree of `size` leaves (RFC 9162 §2.1.3.2); nothing if the path has not
/// the length that it must have.
pub(crate) fn root_of_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    path: &[Digest],
) -> Option<Digest> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// How a subtree stands to a range of leaves.
enum Relation {
    Inside,
    Outside,
    /// It has leaves of both kinds; here RFC 6962 cuts it.
    Across(u64),
}

const fn relation(tree: &Range<u64>, range: &Range<u64>) -> Relation {
    if tree.end <= range.start || range.end <= tree.start {
        Relation::Outside
    } else if range.start <= tree.start && tree.end <= range.end {
        Relation::Inside
    } else {
        Relation::Across(tree.start + split(tree.end - tree.start))
    }
}

/// The root of a tree of `size` leaves, of which those of `range` come from `leaf` in order and `around` are the roots beside
/// them; nothing if these are not as many as there must be, or the range is empty or not within the tree.
pub(crate) fn root_around(
    size: u64,
    range: &Range<u64>,
    around: &[Digest],
    leaf: &mut dyn FnMut() -> Option<Digest>,
) -> Option<Digest> {
    if range.is_empty() || range.end > size {
        return None;
    }
    let mut around = around.iter();
    let root = joined(0..size, range, &mut around, leaf)?;
    around.next().is_none().then_some(root)
}

fn joined(
    tree: Range<u64>,
    range: &Range<u64>,
    around: &mut std::slice::Iter<'_, Digest>,
    leaf: &mut dyn FnMut() -> Option<Digest>,
) -> Option<Digest> {
    let middle = match relation(&tree, range) {
        Relation::Outside => return around.next().copied(),
        Relation::Inside if tree.end - tree.start == 1 => return leaf(),
        Relation::Inside => tree.start + split(tree.end - tree.start),
        Relation::Across(middle) => middle,
    };
    let left = joined(tree.start..middle, range, around, leaf)?;
    let right = joined(middle..tree.end, range, around, leaf)?;
    Some(node_hash(&left, &right))
}

/// Whether `path` shows that the tree of `new` begins with that of `old`; each is a size and a root (RFC 9162 §2.1.4.2).
pub(crate) fn is_consistent(old: (u64, Digest), new: (u64, Digest), path: &[Digest]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let mut path = path.iter();
    let start = if node == 0 {
        // The old tree is whole: its root stands in the new one.
        old_root
    } else {
        match path.next() {
            Some(first) => *first,
            None => return false,
        }
    };
    let (mut one, mut other) = (start, start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            one = node_hash(sibling, &one);
            other = node_hash(sibling, &other);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            other = node_hash(&other, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && one == old_root && other == new_root
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The definitions of RFC 6962 §2.1, as they stand there.
    mod rfc {
        use super::*;

        fn cut(length: usize) -> usize {
            (1..)
                .map(|power| 1 << power)
                .find(|it| *it >= length)
                .unwrap()
                / 2
        }

        pub(super) fn root(leaves: &[Digest]) -> Digest {
            match leaves {
                [] => Digest::of(b""),
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(cut(leaves.len()));
                    node_hash(&root(left), &root(right))
                }
            }
        }

        pub(super) fn path(index: usize, leaves: &[Digest]) -> Vec<Digest> {
            if leaves.len() == 1 {
                return Vec::new();
            }
            let (left, right) = leaves.split_at(cut(leaves.len()));
            let (mut inner, outer) = if index < left.len() {
                (path(index, left), root(right))
            } else {
                (path(index - left.len(), right), root(left))
            };
            inner.push(outer);
            inner
        }

        pub(super) fn proof(old: usize, leaves: &[Digest], is_known: bool) -> Vec<Digest> {
            if old == leaves.len() {
                return if is_known { vec![] } else { vec![root(leaves)] };
            }
            let (left, right) = leaves.split_at(cut(leaves.len()));
            let (mut inner, outer) = if old <= left.len() {
                (proof(old, left, is_known), root(right))
            } else {
                (proof(old - left.len(), right, false), root(left))
            };
            inner.push(outer);
            inner
        }
    }

    #[derive(Default)]
    struct Held(BTreeMap<(u8, u64), Vec<Digest>>);

    impl Tiles for Held {
        fn hashes(&self, level: u8, index: u64, width: usize) -> Option<Vec<Digest>> {
            let hashes = self.0.get(&(level, index))?;
            Some(hashes.get(..width)?.to_vec())
        }
    }

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn grow(leaves: &[Digest]) -> (Edge, Held) {
        let (mut edge, mut held) = (Edge::default(), Held::default());
        for leaf in leaves {
            edge.push(*leaf, &mut |tile| {
                assert_eq!(tile.hashes.len(), TILE);
                let before = held.0.insert((tile.level, tile.index), tile.hashes);
                assert_eq!(before, None, "each tile is made once");
            });
        }
        for tile in edge.partial() {
            held.0.insert((tile.level, tile.index), tile.hashes);
        }
        (edge, held)
    }

    /// The inputs and roots of Certificate Transparency's own tests (`merkle_tree_test.cc`, 2013), which every
    /// implementation repeats.
    #[test]
    fn the_published_trees_have_the_published_roots() {
        let unhex = |text: &str| -> Vec<u8> {
            let pairs = text.as_bytes().chunks(2);
            pairs
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        assert_eq!(edge.root(), Digest::of(b""));
        for (input, root) in inputs.iter().zip(roots) {
            edge.push(leaf_hash(&unhex(input)), &mut |_| {});
            assert_eq!(edge.root().hex(), root);
        }
    }

    #[test]
    fn every_proof_of_small_trees_is_that_of_the_rfc_and_verifies() {
        let all = leaves(70);
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let (edge, held) = grow(leaves);
            let (size, root) = (size as u64, edge.root());
            assert_eq!(root, rfc::root(leaves));
            for index in 0..size {
                let path = Prover::new(&held, size).inclusion(index).unwrap();
                let place = usize::try_from(index).unwrap();
                assert_eq!(path, rfc::path(place, leaves));
                let leaf = leaves[place];
                assert_eq!(root_of_inclusion(leaf, index, size, &path), Some(root));
                for other in (0..size).filter(|other| *other != index) {
                    assert_ne!(root_of_inclusion(leaf, other, size, &path), Some(root));
                }
                assert_eq!(root_of_inclusion(leaf, index, index, &path), None);
            }
            assert_eq!(Prover::new(&held, size).inclusion(size), None);
            for old in 1..=size {
                let path = Prover::new(&held, size).consistency(old).unwrap();
                let first = usize::try_from(old).unwrap();
                assert_eq!(path, rfc::proof(first, leaves, true));
                let old = (old, rfc::root(&leaves[..first]));
                assert!(is_consistent(old, (size, root), &path));
                assert!(!is_consistent((old.0, leaf_hash(b"")), (size, root), &path));
                assert!(!is_consistent(old, (size, leaf_hash(b"")), &path));
                let mut longer = path.clone();
                longer.push(root);
                assert!(!is_consistent(old, (size, root), &longer));
                for changed in 0..path.len() {
                    let mut path = path.clone();
                    path[changed] = leaf_hash(b"");
                    assert!(!is_consistent(old, (size, root), &path));
                    path.remove(changed);
                    assert!(!is_consistent(old, (size, root), &path));
                }
            }
        }
    }

    /// An edge read from tiles is the one that grew.
    fn goes_on(leaves: &[Digest], from: usize) {
        let (whole, held) = grow(leaves);
        let from = from as u64;
        let mut edge = Edge::of_tiles(from, &held).unwrap();
        assert_eq!(edge.size(), from);
        let mut made = Held(BTreeMap::new());
        for leaf in leaves.iter().skip(usize::try_from(from).unwrap()) {
            edge.push(*leaf, &mut |tile| {
                made.0.insert((tile.level, tile.index), tile.hashes);
            });
        }
        assert_eq!(edge.root(), whole.root(), "{from} of {}", leaves.len());
        let partial = |edge: &Edge| edge.partial().collect::<Vec<_>>();
        assert_eq!(partial(&edge), partial(&whole));
        assert!(
            made.0
                .iter()
                .all(|(place, it)| held.0.get(place) == Some(it))
        );
    }

    #[test]
    fn an_edge_that_tiles_give_goes_on_as_the_one_that_grew() {
        for size in 1..70 {
            (0..=size).for_each(|from| goes_on(&leaves(size as u64), from));
        }
        let (_, mut held) = grow(&leaves(600));
        held.0.remove(&(0, 2));
        assert!(Edge::of_tiles(590, &held).is_none() && Edge::of_tiles(512, &held).is_some());
    }

    #[test]
    fn every_range_of_every_small_tree_leads_to_its_root_and_to_no_other() {
        for size in 1..=20_u8 {
            let leaves = leaves(size.into());
            let (edge, held) = grow(&leaves);
            for start in 0..size {
                for end in start + 1..=size {
                    let (range, size) = (start.into()..end.into(), size.into());
                    let around = Prover::new(&held, size).around(&range).unwrap();
                    let root = |around: &[Digest], given: &[Digest]| {
                        let mut given = given.iter().copied();
                        root_around(size, &range, around, &mut || given.next())
                    };
                    let within = &leaves[start.into()..end.into()];
                    assert_eq!(
                        root(&around, within),
                        Some(edge.root()),
                        "{range:?} of {size}"
                    );
                    let mut altered = within.to_vec();
                    altered[0].0[0] ^= 1;
                    assert_ne!(root(&around, &altered), Some(edge.root()));
                    assert_eq!(root(&around, &within[1..]), None);
                    let more = [around.as_slice(), &[within[0]]].concat();
                    assert_eq!(root(&more, within), None);
                    if !around.is_empty() {
                        assert_eq!(root(&around[1..], within), None);
                    }
                }
            }
        }
        for range in [0..0, 3..3, 5..9] {
            assert_eq!(
                root_around(8, &range, &[], &mut || Some(Digest::of(b""))),
                None
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn proofs_of_trees_of_several_levels_verify_and_no_altered_one_does(
            size in 250u64..70_000, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(),
            bit in 0usize..256, which in any::<prop::sample::Index>(),
        ) {
            let leaves = leaves(size);
            let (edge, held) = grow(&leaves);
            let at = at.index(leaves.len());
            let index = at as u64;
            let path = Prover::new(&held, size).inclusion(index).unwrap();
            prop_assert!(path.len() <= 17);
            prop_assert_eq!(root_of_inclusion(leaves[at], index, size, &path), Some(edge.root()));
            let old = 1 + old.index(leaves.len());
            let (before, _) = grow(&leaves[..old]);
            let (old, new) = ((old as u64, before.root()), (size, edge.root()));
            let proof = Prover::new(&held, size).consistency(old.0).unwrap();
            prop_assert!(is_consistent(old, new, &proof));

            let flip = |path: &[Digest]| {
                let mut path = path.to_vec();
                let which = which.index(path.len());
                path[which].0[bit / 8] ^= 1 << (bit % 8);
                path
            };
            prop_assert_ne!(root_of_inclusion(leaves[at], index, size, &flip(&path)), Some(edge.root()));
            prop_assert!(proof.is_empty() || !is_consistent(old, new, &flip(&proof)));
        }

        #[test]
        fn an_edge_of_several_levels_goes_on_from_tiles(size in 250u64..70_000, from in any::<prop::sample::Index>()) {
            let leaves = leaves(size);
            goes_on(&leaves, from.index(leaves.len() + 1));
        }

        #[test]
        fn no_path_makes_the_verifiers_panic(
            index: u64, size: u64, old: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let path: Vec<_> = path.into_iter().map(Digest).collect();
            let root = Digest::of(b"root");
            prop_assert_ne!(root_of_inclusion(root, index, size, &path), Some(root));
            prop_assert!(!is_consistent((old, root), (size, Digest::of(b"")), &path));
        }
    }
}
