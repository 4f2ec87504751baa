//! One module per version of the contract. A guest built against any `0.1.x` links to `v0_1`.

pub mod v0_1;
