//! What every plugin has, and where its configured self lives between `configure` and a call.

use std::any::Any;
use std::cell::RefCell;

use serde::de::DeserializeOwned;

use crate::Error;

/// One fault in the settings, for the operator to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key at fault, such as `rules[3].pattern`, if one can be named.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// The plugin, if nothing is wrong with its settings: what [`Plugin::configure`] ends with.
    ///
    /// # Errors
    /// Every problem.
    pub fn none_of<P>(problems: Vec<Self>, plugin: P) -> Result<P, Vec<Self>> {
        if problems.is_empty() {
            Ok(plugin)
        } else {
            Err(problems)
        }
    }

    /// A fault at `key`.
    pub fn at(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            message: message.into(),
        }
    }
}

/// Settings of a plugin that has none: an empty object.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What every plugin is.
pub trait Plugin: Sized + 'static {
    /// The settings, parsed from JSON. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error.
    type Settings: DeserializeOwned;

    /// Name that the plugin gives itself.
    const NAME: &str;
    /// Its version, by semantic versioning: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &str;
    /// JSON Schema of the settings, for tools.
    const SETTINGS_SCHEMA: Option<&str> = None;

    /// Builds the plugin: parse, compile and index here, for every call starts from what this leaves.
    ///
    /// # Errors
    /// Every fault in the settings at once. The host refuses them and keeps what was serving.
    fn configure(settings: Self::Settings) -> Result<Self, Vec<Problem>>;
}

thread_local! {
    /// The configured plugin. A component is single-threaded and holds one, and the host's snapshot keeps it.
    static CONFIGURED: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Parses the settings and keeps the plugin.
pub(crate) fn configure<P: Plugin>(settings: &str) -> Result<(), Vec<Problem>> {
    #[cfg(target_arch = "wasm32")]
    tell_panics();
    let settings = serde_json::from_str(settings).map_err(|error| {
        // Serde's message may quote a value; settings are the operator's own and hold no PHI.
        vec![Problem {
            key: None,
            message: error.to_string(),
        }]
    })?;
    let plugin = P::configure(settings)?;
    CONFIGURED.with(|place| place.replace(Some(Box::new(plugin))));
    #[cfg(target_arch = "wasm32")]
    crate::heap::leave_one_hole();
    Ok(())
}

/// From here on a panic is said before it traps: the same event as in every other SDK.
#[cfg(target_arch = "wasm32")]
fn tell_panics() {
    use crate::diagnostics::{Level, log};
    use crate::types::{Attribute, Value};

    std::panic::set_hook(Box::new(|panic| {
        let text = |name: &str, value| Attribute {
            name: name.to_owned(),
            value,
        };
        let error = panic.payload_as_str().unwrap_or("a panic").to_owned();
        let at = panic.location().map(ToString::to_string);
        let said = [
            text("error", Value::Text(error)),
            text("at", Value::Texts(at.into_iter().collect())),
        ];
        log(Level::Error, "uncaught", &said);
    }));
}

/// Lends the configured plugin.
pub(crate) fn with<P: Plugin, T>(call: impl FnOnce(&P) -> Result<T, Error>) -> Result<T, Error> {
    CONFIGURED.with(|place| {
        match place
            .borrow()
            .as_ref()
            .and_then(|plugin| plugin.downcast_ref::<P>())
        {
            Some(plugin) => call(plugin),
            None => Err(Error::Internal("called before configure".to_owned())),
        }
    })
}
