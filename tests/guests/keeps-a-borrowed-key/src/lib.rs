//! A transformer that keeps the key it was lent: it returns without giving the handle back.
//!
//! The SDK's `Key` gives its handle back when it is dropped, and its lifetime ends with the call. `take_handle`, which
//! the bindings keep for themselves, empties it, so that nothing is given back.

use std::cell::RefCell;

use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, Message, Outcome, RequestInfo, Span, Transformer};
use nephron_sdk::{Error, NoSettings, Plugin, Problem};

thread_local! {
    /// Handles kept, for a later call that must never come.
    static KEPT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Does not give back.
pub struct KeepsABorrowedKey;

impl Plugin for KeepsABorrowedKey {
    type Settings = NoSettings;
    const NAME: &str = "keeps-a-borrowed-key";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
}

impl Detector for KeepsABorrowedKey {
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(Vec::new())
    }
}

impl Transformer for KeepsABorrowedKey {
    fn deidentify(
        &self,
        _: RequestInfo,
        messages: Vec<Message>,
        _: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        Ok(keep(messages, key))
    }

    fn reidentify(
        &self,
        _: RequestInfo,
        messages: Vec<Message>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        Ok(keep(messages, key))
    }
}

fn keep(messages: Vec<Message>, key: &Key) -> Outcome {
    KEPT.with_borrow_mut(|kept| kept.push(key.take_handle()));
    Outcome {
        messages,
        replaced: 0,
        residual_risk: None,
    }
}

nephron_sdk::export!(transformer: KeepsABorrowedKey);
