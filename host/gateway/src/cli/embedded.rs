//! What works without a configuration: the one that this program carries, its policies, and the plugins that come with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nephron_keys::Passphrase;

use super::Failure;
use crate::config::Config;

/// One tenant, the plugins that come with Nephron, and a model inside the sandbox.
pub(super) const CONFIGURATION: &str = include_str!("../../../../examples/quickstart/gateway.toml");

/// The files that configurations here name, as they name them.
const FILES: [(&str, &str); 3] = [
    (
        "access.cedar",
        include_str!("../../../../examples/policies/access.cedar"),
    ),
    (
        "access.cedarschema",
        include_str!("../../../../examples/policies/access.cedarschema"),
    ),
    (
        "purposes.json",
        include_str!("../../../../examples/policies/purposes.json"),
    ),
];

/// Parses such a configuration, which faults call `name`, for the data folder `data`.
pub(super) fn parse(text: &str, name: &str, data: &Path) -> Result<Config, Failure> {
    let embedded = |path: &Path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let file = FILES.iter().find(|(file, _)| *file == name);
        file.map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    let mut config = Config::parse(text, Path::new(name), &embedded)
        .map_err(|faults| Failure::usage(anyhow::Error::from(faults)))?;
    config.data = data.to_owned();
    Ok(config)
}

/// Builds what the configuration names, with progress on standard error, and gives the folder of components.
pub(super) fn build_plugins(config: &Config) -> anyhow::Result<PathBuf> {
    let workspace = nephron_forge::find_workspace(Path::new("."))?;
    let folder = |plugin: &crate::config::Plugin| match &plugin.component {
        crate::config::Component::FirstParty(name) => Some(workspace.join("plugins").join(name)),
        crate::config::Component::File(_) | crate::config::Component::Registry(_) => None,
    };
    let folders: Vec<PathBuf> = config.plugins.iter().filter_map(folder).collect();
    let mut progress = nephron_forge::report_to_stderr();
    let built = nephron_forge::build(&folders, &mut nephron_forge::Options::new(&mut progress))
        .context("the first-party plugins cannot be built")?;
    let component = built.first().context("the configuration names no plugin")?;
    Ok(component
        .component
        .parent()
        .context("a component lies in no folder")?
        .to_owned())
}

/// The root key's passphrase: drawn anew for a scratch folder, kept beside the data in a named one.
pub(super) fn passphrase(data: &Path, keep: bool) -> anyhow::Result<Passphrase> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data.join("passphrase-of-the-demo");
    if keep && path.exists() {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("`{}` cannot be read", path.display()))?;
        return Ok(Passphrase::new(text.trim_end().to_owned()));
    }
    let drawn: [u8; 16] = nephron_keys::random::bytes().context("no random bytes can be had")?;
    let text = drawn
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    if keep {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())?;
    }
    Ok(Passphrase::new(text))
}
