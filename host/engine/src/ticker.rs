//! The clock that interrupts guests: an OS thread, so that a guest that holds every async worker is still cut.

use std::time::Duration;

/// How often the epoch moves on, and so how finely deadlines are kept.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Starts the thread. It ends by itself when the engine is dropped.
pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(tick)
        .map(drop)
}
