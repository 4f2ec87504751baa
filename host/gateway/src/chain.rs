//! The chain: the five judgements of a request, in order. Each takes what the one before it made, so none can be left
//! out and none can be asked early.
//!
//! A connector can be handed a [`Cleared`](deidentify::Cleared) and nothing else (I2):
//!
//! ```
//! # use nephron_gateway::{Case, Gateway, chain::{connect::connect, deidentify::Cleared}};
//! async fn send(gateway: &Gateway, case: &Case, cleared: Cleared) {
//!     let _answering = connect(gateway, case, cleared, false).await;
//! }
//! ```
//!
//! The same with what the deciders merely permitted does not compile:
//!
//! ```compile_fail,E0308
//! # use nephron_gateway::{Case, Gateway, chain::{connect::connect, decide::Permitted}};
//! async fn send(gateway: &Gateway, case: &Case, permitted: Permitted) {
//!     let _answering = connect(gateway, case, permitted, false).await;
//! }
//! ```
//!
//! Nor can anything outside the de-identify stage make one up:
//!
//! ```compile_fail,E0451
//! # use nephron_gateway::chain::deidentify::Cleared;
//! fn forge(cleared: Cleared) -> Cleared {
//!     Cleared { issued: Vec::new(), ..cleared }
//! }
//! ```

pub mod connect;
pub mod decide;
pub mod deidentify;
pub(crate) mod export;
pub mod reidentify;

use tracing::{Instrument as _, info_span};

use crate::case::Case;
use crate::gateway::Gateway;
use crate::receive::Call;
use crate::refusal::Refusal;
use crate::reply::Outlet;
use reidentify::{Restored, Streamed};

/// Takes a call to its restored answer. Export follows the log by itself.
pub(crate) async fn run(gateway: &Gateway, case: &Case, call: Call) -> Result<Restored, Refusal> {
    let cleared = cleared(case, call).await?;
    let answered = async {
        connect::connect(gateway, case, cleared, false)
            .await?
            .whole()
            .await
    };
    let answered = answered.instrument(info_span!("connect")).await?;
    reidentify::reidentify(case, answered)
        .instrument(info_span!("reidentify"))
        .await
}

/// The same, answering while the model does. `streamed` holds what was sent, however it ends.
pub(crate) async fn stream(
    gateway: &Gateway,
    case: &Case,
    call: Call,
    streamed: &mut Streamed,
    outlet: &Outlet,
) -> Result<(), Refusal> {
    let cleared = cleared(case, call).await?;
    let answering = connect::connect(gateway, case, cleared, true)
        .instrument(info_span!("connect"))
        .await?;
    reidentify::stream(case, answering, streamed, outlet)
        .instrument(info_span!("reidentify"))
        .await
}

async fn cleared(case: &Case, call: Call) -> Result<deidentify::Cleared, Refusal> {
    let permitted = decide::decide(case, call)
        .instrument(info_span!("decide"))
        .await?;
    deidentify::deidentify(case, permitted)
        .instrument(info_span!("deidentify"))
        .await
}
