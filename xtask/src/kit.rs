//! `cargo xtask kit DIR`: the hostile-plugin kit for whoever wants to try another host on it: cases, components, contract.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::components::build_folders;
use crate::root;

/// Writes `kit.toml`, `components/` and `wit/` into a new folder. A component's name is the case's, with a dot for a slash.
pub(crate) fn run(folder: &str) -> anyhow::Result<()> {
    let folder = Path::new(folder);
    ensure!(
        !folder.exists(),
        "`{}` is there already; name a folder that is not",
        folder.display()
    );
    let root = root()?;
    let kit = std::fs::read_to_string(root.join("tests/guests/kit.toml"))?;
    let components = folder.join("components");
    std::fs::create_dir_all(&components)
        .with_context(|| format!("`{}` cannot be made", components.display()))?;
    let built = build_folders(&["tests/guests"])?;
    for name in names(&kit)? {
        let to = components.join(format!("{}.wasm", name.replace('/', ".")));
        if name == "is-padding" {
            nephron_made_guests::is_padding::write(&to)?;
        } else if let Some(bytes) = nephron_made_guests::component(&name) {
            std::fs::write(&to, bytes)?;
        } else {
            let mut built = built.iter().filter(|built| built.name == name);
            let built = built
                .next()
                .with_context(|| format!("kit.toml names `{name}`, which nothing makes"))?;
            std::fs::copy(&built.component, &to)?;
        }
    }
    std::fs::write(folder.join("kit.toml"), kit)?;
    let wit = folder.join("wit");
    std::fs::create_dir_all(&wit)?;
    for item in std::fs::read_dir(root.join("wit"))? {
        let path = item?.path();
        if let (Some("wit"), Some(name)) = (
            path.extension().and_then(|end| end.to_str()),
            path.file_name(),
        ) {
            std::fs::copy(&path, wit.join(name))?;
        }
    }
    Ok(())
}

/// The components that the kit's cases name, each once.
fn names(kit: &str) -> anyhow::Result<std::collections::BTreeSet<String>> {
    let kit: toml::Table = toml::from_str(kit).context("tests/guests/kit.toml")?;
    let cases = kit.get("case").and_then(toml::Value::as_array);
    let component = |case: &toml::Value| Some(case.get("component")?.as_str()?.to_owned());
    Ok(cases.into_iter().flatten().filter_map(component).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_is_named_once_and_a_case_without_one_names_none() {
        let kit = "[[case]]\ncomponent = \"b\"\n[[case]]\ncomponent = \"a/x\"\n[[case]]\ncomponent = \"b\"\n[[case]]\nname = \"c\"\n";
        let names: Vec<String> = names(kit).unwrap().into_iter().collect();
        assert_eq!(names, ["a/x", "b"]);
    }
}
