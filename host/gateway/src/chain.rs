//! The chain: the five judgements of a request, in order. Each takes what the one before it made, so none can be left
//! out and none can be asked early.
//!
//! A connector can be handed a [`Cleared`](deidentify::Cleared) and nothing else (I2):
//!
//! ```
//! # use nephron_gateway::{Case, Gateway, chain::{connect::connect, deidentify::Cleared}};
//! async fn send(gateway: &Gateway, case: &Case, cleared: Cleared) {
//!     let _answered = connect(gateway, case, cleared).await;
//! }
//! ```
//!
//! The same with what the deciders merely permitted does not compile:
//!
//! ```compile_fail,E0308
//! # use nephron_gateway::{Case, Gateway, chain::{connect::connect, decide::Permitted}};
//! async fn send(gateway: &Gateway, case: &Case, permitted: Permitted) {
//!     let _answered = connect(gateway, case, permitted).await;
//! }
//! ```
//!
//! Nor can anything outside the de-identify stage make one up:
//!
//! ```compile_fail,E0451
//! # use nephron_gateway::chain::deidentify::Cleared;
//! fn forge(cleared: Cleared) -> Cleared {
//!     Cleared { identifiers: 0, ..cleared }
//! }
//! ```

pub mod connect;
pub mod decide;
pub mod deidentify;
pub(crate) mod export;
pub mod reidentify;

use tracing::{Instrument as _, info_span};

use crate::admit::Admitted;
use crate::case::Case;
use crate::gateway::Gateway;
use crate::receive::Call;
use crate::refusal::Refusal;
use reidentify::Restored;

/// Takes an admitted request to its restored answer. Export follows the log by itself.
pub(crate) async fn run(
    gateway: &Gateway,
    admitted: Admitted,
) -> (Case, Result<Restored, Refusal>) {
    let Admitted { case, call } = admitted;
    let result = stages(gateway, &case, call).await;
    (case, result)
}

async fn stages(gateway: &Gateway, case: &Case, call: Call) -> Result<Restored, Refusal> {
    let permitted = decide::decide(case, call)
        .instrument(info_span!("decide"))
        .await?;
    let cleared = deidentify::deidentify(case, permitted)
        .instrument(info_span!("deidentify"))
        .await?;
    let answered = connect::connect(gateway, case, cleared)
        .instrument(info_span!("connect"))
        .await?;
    reidentify::reidentify(case, answered)
        .instrument(info_span!("reidentify"))
        .await
}
