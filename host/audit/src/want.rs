//! What a machine may lack for a while: room on the disk, open files, memory, threads. A store that fails for it is not damaged.

use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Bytes that a store may ask for at once: one segment of sled's.
const ROOM: usize = 8 << 20;

/// Whether an error may pass without anybody mending anything in a store.
pub(crate) fn passes(error: &io::Error) -> bool {
    const NUMBERS: [Errno; 6] = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::AGAIN,
    ];
    match error.raw_os_error() {
        Some(number) => NUMBERS.iter().any(|errno| errno.raw_os_error() == number),
        // What a store made of the system's error may have its kind alone.
        None => matches!(
            error.kind(),
            io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::OutOfMemory
                | io::ErrorKind::WouldBlock
        ),
    }
}

/// Whether the file system of `folder` says that it has no room for a store. Costs nothing, and knows nothing of quotas.
pub(crate) fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder)
        .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) < ROOM as u64)
}

/// Whether the machine lacks now what a store in `folder` needs. For errors that do not say so themselves: sled makes words, or a
/// panic, of some.
pub(crate) fn is_in_want(folder: &Path) -> bool {
    ask_for_all(folder).is_err_and(|error| passes(&error))
}

fn ask_for_all(folder: &Path) -> io::Result<()> {
    // It has no name, so that nothing is left of it whatever happens.
    let mut file = tempfile::tempfile_in(folder)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, ROOM as u64) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP) => file.write_all(&vec![0; ROOM])?,
        Err(error) => return Err(error.into()),
    }
    let thread = std::thread::Builder::new().name("log-want".to_owned());
    drop(thread.spawn(|| ())?.join());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (number, expected) in [
            (28, true),  // ENOSPC
            (122, true), // EDQUOT
            (24, true),  // EMFILE
            (23, true),  // ENFILE
            (12, true),  // ENOMEM
            (11, true),  // EAGAIN
            (5, false),  // EIO
            (30, false), // EROFS
            (13, false), // EACCES
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(passes(&error), expected, "{error}");
            // As sled hands on what it keeps.
            let kept = io::Error::new(error.kind(), format!("{error:?}"));
            let has_kind = !matches!(number, 23 | 24);
            assert_eq!(passes(&kept), expected && has_kind, "{kept}");
        }
    }

    #[test]
    fn a_folder_with_room_is_not_in_want() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_in_want(folder.path()) && !is_full(folder.path()));
        // What is not there is no want.
        assert!(!is_in_want(&folder.path().join("none")));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
