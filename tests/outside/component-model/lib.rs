//! Nothing: the suite is a test (`suite.rs`).
