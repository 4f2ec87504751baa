//! Memory for keys that are kept: pages of their own, which are not swapped, not written into a core dump, not inherited by
//! a child process, and overwritten before they are given back.

use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize as _;

/// A page. What lies in it is written once, by [`Page::holding`].
pub(crate) struct Page {
    map: MmapMut,
    is_locked: bool,
}

/// Pages of this process that hold keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMemory {
    /// How many there are.
    pub pages: usize,
    /// How many of them the system did not lock or hide, most likely because `RLIMIT_MEMLOCK` is spent: they can be swapped.
    pub unlocked: usize,
}

static PAGES: AtomicUsize = AtomicUsize::new(0);
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);

impl KeyMemory {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            pages: PAGES.load(Ordering::Relaxed),
            unlocked: UNLOCKED.load(Ordering::Relaxed),
        }
    }
}

impl Page {
    /// The size of a page on the systems that we build for, or less.
    const LEN: usize = 4096;

    /// A page that begins with `parts`, one after the other; nothing if they do not fit, or there is no page to be had.
    pub(crate) fn holding<'a>(parts: impl Iterator<Item = &'a [u8; 32]>) -> Option<Self> {
        let map = MmapMut::map_anon(Self::LEN).ok()?;
        let is_hidden =
            map.advise(Advice::DontDump).is_ok() && map.advise(Advice::DontFork).is_ok();
        let is_locked = map.lock().is_ok() && is_hidden;
        PAGES.fetch_add(1, Ordering::Relaxed);
        if !is_locked {
            UNLOCKED.fetch_add(1, Ordering::Relaxed);
        }
        let mut page = Self { map, is_locked };
        let mut places = page.map.chunks_exact_mut(32);
        for part in parts {
            places.next()?.copy_from_slice(part);
        }
        Some(page)
    }

    /// The part of that number.
    pub(crate) fn part(&self, number: usize) -> Option<&[u8; 32]> {
        let at = number.checked_mul(32)?;
        self.map.get(at..)?.first_chunk()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.map.zeroize();
        PAGES.fetch_sub(1, Ordering::Relaxed);
        if !self.is_locked {
            UNLOCKED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flags of the mapping that holds `address`, as the kernel tells them (proc(5), `VmFlags`).
    fn flags(address: usize) -> Vec<String> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_it = false;
        for line in smaps.lines() {
            let range = line
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'));
            let parsed = range.map(|(from, to)| {
                (
                    usize::from_str_radix(from, 16),
                    usize::from_str_radix(to, 16),
                )
            });
            if let Some((Ok(from), Ok(to))) = parsed {
                is_it = (from..to).contains(&address);
            }
            if let (true, Some(flags)) = (is_it, line.strip_prefix("VmFlags:")) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        panic!("no mapping holds it");
    }

    #[test]
    fn a_page_is_locked_and_stays_out_of_dumps_and_children() {
        let page = Page::holding([[7; 32], [9; 32]].iter()).unwrap();
        assert_eq!(page.part(0), Some(&[7; 32]));
        assert_eq!(page.part(1), Some(&[9; 32]));
        assert_eq!(page.part(2), Some(&[0; 32]));
        assert_eq!(page.part(usize::MAX), None);
        assert!(
            page.is_locked,
            "raise RLIMIT_MEMLOCK (`ulimit -l`) for the tests"
        );
        let flags = flags(page.map.as_ptr().addr());
        for flag in ["lo", "dd", "dc"] {
            assert!(flags.iter().any(|one| one == flag), "{flag} in {flags:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let parts = vec![[1; 32]; Page::LEN / 32];
        assert!(Page::holding(parts.iter()).is_some());
        let more = vec![[1; 32]; Page::LEN / 32 + 1];
        assert!(Page::holding(more.iter()).is_none());
    }
}
