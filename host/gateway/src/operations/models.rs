//! The models that routes name. Policy is not asked: who has a credential may know them, and the log has who looked.

use nephron_model::Phi;

use crate::Gateway;
use crate::refusal::Refusal;
use crate::wire::Api;
use crate::wire::fields::is_structural;

/// The id of a model as a path has it.
pub(super) fn id(written: &str) -> String {
    // What clients write for the `/`, `:` and `@` of a name.
    written
        .replace("%2F", "/")
        .replace("%3A", ":")
        .replace("%40", "@")
}

/// All of them.
pub(super) fn list(gateway: &Gateway, api: Api) -> Phi<String> {
    let entries = gateway
        .models()
        .map(|(model, owner)| api.model(model, owner));
    Phi::new(api.models(&entries.collect::<Vec<_>>()).to_string())
}

/// The one of that id. A route for `*` serves it, under whatever name.
pub(super) fn show(gateway: &Gateway, api: Api, id: &str) -> Result<Phi<String>, Refusal> {
    let named = gateway.models().find(|(model, _)| *model == id);
    let is_served = || is_structural(id, 100) && gateway.route(id).is_some();
    let entry = match named {
        Some((model, owner)) => api.model(model, owner),
        None if is_served() => api.model(id, None),
        None => return Err(Refusal::NoRoute),
    };
    Ok(Phi::new(entry.to_string()))
}
