//! `[status]`: where operators look.

use std::net::SocketAddr;

use super::reader::Table;

/// The listener for metrics and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusListener {
    /// Address and port, of this machine alone; port 0 takes any that is free.
    pub address: SocketAddr,
}

impl StatusListener {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let written = table.required("address", "address = \"127.0.0.1:9464\"")?;
        let address = super::listen::address(&written)?;
        if !address.ip().is_loopback() {
            written.fault(
                "is reached from other machines, and whoever reaches it is told what serves here; listen on 127.0.0.1, \
                 and let the scraper come through a tunnel or a sidecar",
            );
        }
        Some(Self { address })
    }
}
