//! How far an export has come in one log, kept in that log.

use nephron_model::{Record, Records as _, RecordsError, Space};

use crate::tenant::Tenant;

/// How far an export has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Sequence of the first entry that it has not had.
    pub(super) next: u64,
    /// Entries that it refused for good and does not have.
    pub(super) set_aside: u64,
}

impl Cursor {
    /// As the log has it; at the beginning, if it has none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn read(tenant: &Tenant, export: &str) -> Result<Self, RecordsError> {
        let kept = tenant.log().read(Space::Cursor, export.as_bytes())?;
        Ok(kept.map_or_else(Self::default, |bytes| Self::from_bytes(&bytes)))
    }

    /// Two integers of 8 bytes, little-endian: the next entry, and how many were set aside, which is left out where there are none
    /// (and was not known once).
    fn from_bytes(bytes: &[u8]) -> Self {
        let (next, set_aside) = bytes.split_at_checked(8).unwrap_or((bytes, &[]));
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        Self {
            next: number(next),
            set_aside: number(set_aside),
        }
    }

    /// What keeps it.
    pub(super) fn record(self, export: &str) -> Record {
        let mut value = self.next.to_le_bytes().to_vec();
        if self.set_aside > 0 {
            value.extend(self.set_aside.to_le_bytes());
        }
        Record {
            space: Space::Cursor,
            key: export.as_bytes().to_vec(),
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_it_was_and_one_of_eight_bytes_is_known() {
        for (next, set_aside, length) in [(0, 0, 8), (7, 0, 8), (u64::MAX, 3, 16)] {
            let cursor = Cursor { next, set_aside };
            let kept = cursor.record("siem").value;
            assert_eq!(kept.len(), length);
            assert_eq!(Cursor::from_bytes(&kept), cursor);
        }
    }
}
