//! What the process supplies to a gateway beside its configuration.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use nephron_engine::compile::Compiler;
use nephron_model::SystemClock;

use crate::config::Config;
use crate::{Gateway, RootAccess, Start, Surroundings};

/// The machine's clock, this very program as the compiler of components, and the costs meant for real use; for a configuration of
/// the command's own.
pub(super) fn surroundings(root: RootAccess, first_party: PathBuf) -> anyhow::Result<Surroundings> {
    let program = std::env::current_exe()
        .context("this program cannot find its own file, which compiles plugins")?;
    Ok(Surroundings {
        clock: Arc::new(SystemClock),
        root,
        first_party,
        compiler: Compiler::Process {
            program,
            arguments: vec!["compile-worker".to_owned()],
        },
        log: nephron_audit::Options::default(),
        start: Start::AsConfigured,
    })
}

/// Opens the gateway of a configuration, with what it names for its root key.
pub(super) async fn open(config: &Config) -> anyhow::Result<Gateway> {
    let around = surroundings(RootAccess::of(&config.root_key)?, first_party_folder()?)?;
    let start = Start::Examined;
    Gateway::open(config, Surroundings { start, ..around })
        .await
        .context("the gateway cannot be opened")
}

/// Where the first-party components are, `<name>.component.wasm` each: `plugins` beside the program or one folder
/// above it, which is where a build in a checkout leaves them; else where `nephron plugin build` would put them.
///
/// The folder need not exist: whoever looks for a component in it is told to build.
pub(super) fn first_party_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("this program cannot find its own file")?;
    let beside = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("plugins"));
    if let Some(folder) = beside.into_iter().find(|folder| folder.is_dir()) {
        return Ok(folder);
    }
    let here = std::env::current_dir().context("the working folder cannot be named")?;
    let root = nephron_forge::find_workspace(&here).context("there are no first-party plugins")?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |given| here.join(given));
    Ok(target.join("plugins"))
}
