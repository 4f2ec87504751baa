//! Access decider: Rego modules and data as its settings.
//!
//! Read [`Settings`] first, then `bundle.rs` (how files become modules and data), `calls.rs` (which functions there are),
//! `input.rs` (how a question of the host becomes the `input` document), `answer.rs` (how the rule's value becomes a
//! decision) and `builtins.rs` (what is answered here in place of the machine's own clock). `regorus` evaluates. It is built
//! without its standard library's part, so that it has neither clock nor randomness.

mod answer;
mod builtins;
mod bundle;
mod calls;
mod fault;
mod input;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nephron_sdk::decider::{Decider, Decision, Query};
use nephron_sdk::{Error, Plugin, Problem};
use regorus::Engine;
use serde::Deserialize;
use serde_json::Value as Json;

use bundle::Bundle;

/// What the operator sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// One module, as text.
    pub policy: Option<String>,
    /// Files of a bundle by their paths in it: modules and data.
    #[serde(default)]
    pub bundle: BTreeMap<String, String>,
    /// Data beside those of the bundle: an object, or text (JSON or YAML) that holds one.
    pub data: Option<Json>,
    /// The rule that decides.
    #[serde(default = "default_decision")]
    pub decision: String,
    /// Which Rego the modules are written in: 0 or 1. A bundle's `.manifest` says it for itself.
    pub rego_version: Option<u8>,
    /// Whether a builtin that fails makes the answer `indeterminate`. Otherwise it is undefined, as in OPA.
    #[serde(default = "holds")]
    pub strict_builtin_errors: bool,
}

fn default_decision() -> String {
    "data.nephron.decision".to_owned()
}

const fn holds() -> bool {
    true
}

/// Modules and data, ready to decide.
pub struct Rego {
    engine: RefCell<Engine>,
    decision: String,
    /// When the request came, for `time.now_ns`: nanoseconds since the Unix epoch.
    now: Arc<AtomicI64>,
}

impl Plugin for Rego {
    type Settings = Settings;
    const NAME: &str = "rego";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SETTINGS_SCHEMA: Option<&str> = Some(include_str!("settings.schema.json"));

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let bundle = Bundle::read(&settings, &mut problems);
        let mut engine = Engine::new();
        // Otherwise `print` and its arguments are not evaluated at all; nobody reads what it says.
        engine.set_gather_prints(false);
        engine.set_strict_builtin_errors(settings.strict_builtin_errors);
        engine.set_rego_v0(bundle.rego_version == 0);
        for (path, text) in bundle.modules {
            if let Err(error) = engine.add_policy(path.clone(), text) {
                problems.push(fault::of(&path, &error));
            }
        }
        let now = Arc::new(AtomicI64::new(0));
        builtins::add(&mut engine, &now).map_err(|error| vec![fault::of("policy", &error)])?;
        calls::check(&mut engine, &bundle.data, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        engine
            .add_data(Json::Object(bundle.data).into())
            .and_then(|()| engine.compile_with_entrypoint(&settings.decision.as_str().into()))
            .map_err(|error| {
                vec![match calls::is_declared(&mut engine, &settings.decision) {
                    true => fault::of("policy", &error),
                    false => calls::undeclared(&mut engine, &settings.decision),
                }]
            })?;
        let configured = Self {
            engine: RefCell::new(engine),
            decision: settings.decision,
            now,
        };
        // A decision nobody asked for: what is made when it is first used (tables of builtins, the order of statements) is then
        // in the memory that the host freezes.
        drop(configured.decide(input::rehearsed()));
        Ok(configured)
    }
}

impl Decider for Rego {
    fn decide(&self, query: Query) -> Result<Decision, Error> {
        let asked = match input::document(query) {
            Ok(asked) => asked,
            Err(unexpressed) => return Ok(answer::indeterminate(unexpressed.code())),
        };
        let Ok(mut engine) = self.engine.try_borrow_mut() else {
            return Err(Error::Internal("asked while it decides".to_owned()));
        };
        self.now.store(asked.received, Ordering::Relaxed);
        engine.set_input(asked.input);
        let said = engine.eval_rule(self.decision.clone());
        Ok(match said {
            Ok(value) => answer::read(&value),
            // The error's own text may quote values of the request.
            Err(_) => answer::indeterminate("evaluation-error"),
        })
    }
}

nephron_sdk::export!(decider: Rego);
