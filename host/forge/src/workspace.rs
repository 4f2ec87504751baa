//! Finding the nephron checkout, whose `plugins/` hold the first-party plugins.

use std::io;
use std::path::{Path, PathBuf};

use crate::Manifest;

/// No checkout, or one that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// Neither the folder nor one above it is a checkout, and the one that this binary was built in is gone.
    #[error(
        "no nephron checkout at or above `{}`, and `{}`, where this binary was built, is gone; \
         run it inside a checkout",
        start.display(), built_in.display()
    )]
    NotFound {
        /// Where the search began.
        start: PathBuf,
        /// The checkout that this binary was built in.
        built_in: PathBuf,
    },
    /// The folder of plugins cannot be listed.
    #[error("cannot list `{}`", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The root of the nephron checkout at or above `start`, else of the one that this binary was built in.
///
/// A checkout is a folder whose `Cargo.toml` is a workspace that has `nephron-sdk` among its dependencies.
///
/// # Errors
/// [`WorkspaceError::NotFound`].
pub fn find_workspace(start: &Path) -> Result<PathBuf, WorkspaceError> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built_in = built_in.canonicalize().unwrap_or(built_in);
    let start = start.canonicalize().unwrap_or_else(|_| start.to_owned());
    let checkout = start
        .ancestors()
        .chain([built_in.as_path()])
        .find(|folder| is_checkout(folder));
    match checkout.map(Path::to_owned) {
        Some(root) => Ok(root),
        None => Err(WorkspaceError::NotFound { start, built_in }),
    }
}

/// The plugins in `folder` (the checkout's `plugins` or `tests/guests`): its folders that have a manifest, by name.
///
/// # Errors
/// [`WorkspaceError::List`].
pub fn plugin_folders(folder: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let entries = entries.map_err(|source| WorkspaceError::List {
        path: folder.to_owned(),
        source,
    })?;
    let mut folders: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join(Manifest::FILE).is_file());
    folders.sort();
    Ok(folders)
}

pub(crate) fn is_checkout(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let dependencies = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"));
    dependencies
        .and_then(|dependencies| dependencies.get("nephron-sdk"))
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_found_from_a_folder_deep_inside_it() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = find_workspace(&here.join("src")).unwrap();
        assert_eq!(root, here.join("../..").canonicalize().unwrap());
        assert!(root.join("wit/plugin.wit").is_file());
    }

    #[test]
    fn from_elsewhere_it_is_the_checkout_this_binary_was_built_in() {
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(
            elsewhere.path().join("Cargo.toml"),
            "[workspace]\nmembers = []\n",
        )
        .unwrap();
        let root = find_workspace(elsewhere.path()).unwrap();
        assert_eq!(
            root,
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .canonicalize()
                .unwrap()
        );
    }

    #[test]
    fn only_folders_with_a_manifest_are_plugins_and_they_come_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", "no-manifest"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["b", "a"] {
            std::fs::write(folder.path().join(name).join("plugin.toml"), "").unwrap();
        }
        let found = plugin_folders(folder.path()).unwrap();
        assert_eq!(found, [folder.path().join("a"), folder.path().join("b")]);
        assert!(plugin_folders(&folder.path().join("none")).is_err());
    }
}
