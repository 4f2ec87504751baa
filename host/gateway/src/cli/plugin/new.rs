//! `nephron plugin new`: a project that builds and keeps its cases at once.

mod files;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::files::File;
use crate::cli::{Failure, Globals};

/// Make a project: a plugin that works, its cases and settings, its own tests, and the SDK of its language.
///
/// What is made is one of the examples of the nephron checkout under another name. It is built and tested anywhere.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What the plugin does
    #[arg(long, value_enum)]
    kind: Kind,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// Its name, and that of the folder which is made here: lower-case letters, digits and hyphens
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Decides what may happen
    Decider,
    /// Says where identifiers are
    Detector,
    /// Rewrites text with a lent key
    Transformer,
    /// Speaks to a model
    Connector,
    /// Ships entries of the log
    Exporter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    Python,
    Js,
    Ts,
    C,
    Go,
}

/// An example, which a project is made of.
struct Template {
    kind: Kind,
    language: Language,
    /// Its name, in whose place the project's comes.
    example: &'static str,
    files: &'static [File],
}

const TEMPLATES: &[Template] = &[
    template(
        Kind::Decider,
        Language::Rust,
        "rust-decider",
        files::RUST_DECIDER,
    ),
    template(
        Kind::Detector,
        Language::Rust,
        "rust-detector",
        files::RUST_DETECTOR,
    ),
    template(
        Kind::Transformer,
        Language::Rust,
        "rust-transformer",
        files::RUST_TRANSFORMER,
    ),
    template(
        Kind::Connector,
        Language::Rust,
        "rust-connector",
        files::RUST_CONNECTOR,
    ),
    template(
        Kind::Exporter,
        Language::Rust,
        "rust-exporter",
        files::RUST_EXPORTER,
    ),
    template(
        Kind::Decider,
        Language::Python,
        "python-decider",
        files::PYTHON_DECIDER,
    ),
    template(
        Kind::Detector,
        Language::Python,
        "python-detector",
        files::PYTHON_DETECTOR,
    ),
    template(
        Kind::Transformer,
        Language::Python,
        "python-transformer",
        files::PYTHON_TRANSFORMER,
    ),
    template(
        Kind::Connector,
        Language::Python,
        "python-connector",
        files::PYTHON_CONNECTOR,
    ),
    template(
        Kind::Exporter,
        Language::Python,
        "python-exporter",
        files::PYTHON_EXPORTER,
    ),
    template(Kind::Decider, Language::Js, "js-decider", files::JS_DECIDER),
    template(
        Kind::Detector,
        Language::Js,
        "js-detector",
        files::JS_DETECTOR,
    ),
    template(
        Kind::Transformer,
        Language::Js,
        "js-transformer",
        files::JS_TRANSFORMER,
    ),
    template(
        Kind::Connector,
        Language::Js,
        "js-connector",
        files::JS_CONNECTOR,
    ),
    template(
        Kind::Exporter,
        Language::Js,
        "js-exporter",
        files::JS_EXPORTER,
    ),
    template(Kind::Decider, Language::Ts, "ts-decider", files::TS_DECIDER),
    template(
        Kind::Detector,
        Language::Ts,
        "ts-detector",
        files::TS_DETECTOR,
    ),
    template(
        Kind::Transformer,
        Language::Ts,
        "ts-transformer",
        files::TS_TRANSFORMER,
    ),
    template(
        Kind::Connector,
        Language::Ts,
        "ts-connector",
        files::TS_CONNECTOR,
    ),
    template(
        Kind::Exporter,
        Language::Ts,
        "ts-exporter",
        files::TS_EXPORTER,
    ),
    template(Kind::Decider, Language::C, "c-decider", files::C_DECIDER),
    template(Kind::Detector, Language::C, "c-detector", files::C_DETECTOR),
    template(
        Kind::Transformer,
        Language::C,
        "c-transformer",
        files::C_TRANSFORMER,
    ),
    template(Kind::Exporter, Language::C, "c-exporter", files::C_EXPORTER),
    template(
        Kind::Connector,
        Language::C,
        "c-connector",
        files::C_CONNECTOR,
    ),
];

const fn template(
    kind: Kind,
    language: Language,
    example: &'static str,
    files: &'static [File],
) -> Template {
    Template {
        kind,
        language,
        example,
        files,
    }
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let Args { kind, lang, name } = args;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-');
    if !is_name {
        let fault = "a name has lower-case letters, digits and hyphens, and begins with a letter";
        return Err(Failure::usage(anyhow::anyhow!("`{name}`: {fault}")));
    }
    let template = template_of(kind, lang).map_err(Failure::usage)?;
    let folder = PathBuf::from(&name);
    let project = project(template, &name)?;
    write(&folder, &project)?;
    let (kind, language) = (word(&kind), word(&lang));
    writeln!(
        anstream::stderr(),
        "made `{name}`, a {kind} in {language}; next: cd {name} && nephron plugin test (README.md has the rest)"
    )
    .map_err(Failure::output)
}

/// The example for a kind and language, or why there is none.
fn template_of(kind: Kind, language: Language) -> anyhow::Result<&'static Template> {
    let found = TEMPLATES
        .iter()
        .find(|template| template.kind == kind && template.language == language);
    if let Some(found) = found {
        return Ok(found);
    }
    anyhow::ensure!(
        language != Language::Go,
        "there is no SDK for Go: what its generator of bindings writes needs the module `go.bytecodealliance.org/pkg`, which none of \
         the registries that Nephron builds from serves. Where the Go proxy is reached, build a component with `wit-bindgen go` \
         from the contract in the checkout's `wit`, and give it to `nephron plugin test FILE --cases FOLDER`"
    );
    let there: Vec<String> = TEMPLATES
        .iter()
        .map(|template| format!("{} in {}", word(&template.kind), word(&template.language)))
        .collect();
    anyhow::bail!(
        "there is no template for a {} in {}; there is {}. A component of any origin is loaded that keeps to the contract",
        word(&kind),
        word(&language),
        there.join(", ")
    )
}

fn word(value: &impl clap::ValueEnum) -> String {
    let word = value.to_possible_value();
    word.map_or_else(String::new, |word| word.get_name().to_owned())
}

/// Every file of a project, with its place in it.
fn project(template: &Template, name: &str) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let own = template.files.iter().map(|(path, text)| {
        let text = text.replace(template.example, name);
        (PathBuf::from(path), text)
    });
    let mut project: Vec<_> = own.collect();
    let sdk = match template.language {
        Language::Rust => files::SDK_RUST,
        Language::Python => files::SDK_PYTHON,
        Language::Js | Language::Ts => files::SDK_JS,
        Language::C => files::SDK_C,
        Language::Go => &[],
    };
    let sdk = sdk
        .iter()
        .map(|(path, text)| (Path::new("sdk").join(path), (*text).to_owned()));
    project.extend(sdk);
    if template.language == Language::Rust {
        let manifest = project
            .iter_mut()
            .find(|(path, _)| path == Path::new("Cargo.toml"));
        let (_, manifest) = manifest.context("the example has no Cargo.toml")?;
        manifest.push('\n');
        manifest.push_str(&workspace());
    }
    project.push((PathBuf::from(".gitignore"), IGNORED.to_owned()));
    Ok(project)
}

const IGNORED: &str = "/target\n/node_modules\n__pycache__\n";

/// The workspace of a project in Rust: the plugin and its SDK, which inherit what they inherit in the checkout.
fn workspace() -> String {
    let needed = [
        "humantime",
        "nephron-sdk",
        "serde",
        "serde_json",
        "sha2",
        "wit-bindgen",
    ];
    let dependencies = section("workspace.dependencies").filter(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        needed.contains(&name)
    });
    let mut text =
        "[workspace]\nresolver = \"3\"\nmembers = [\"sdk\"]\n\n[workspace.dependencies]\n"
            .to_owned();
    for line in dependencies {
        text.push_str(&line.replace("\"sdk/rust\"", "\"sdk\""));
        text.push('\n');
    }
    for header in [
        "workspace.package",
        "workspace.lints.rust",
        "workspace.lints.clippy",
        "profile.plugin",
    ] {
        text.push_str(&format!("\n[{header}]\n"));
        for line in section(header).filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The lines of one table of this workspace's manifest.
fn section(header: &str) -> impl Iterator<Item = &'static str> {
    let header = format!("[{header}]");
    let below = files::WORKSPACE
        .lines()
        .skip_while(move |line| *line != header);
    below.skip(1).take_while(|line| !line.starts_with('['))
}

/// Lays a project down in a folder that is not there yet.
fn write(folder: &Path, project: &[(PathBuf, String)]) -> Result<(), Failure> {
    if folder.exists() {
        let fault = "is there already; choose another name, or remove it";
        return Err(Failure::usage(anyhow::anyhow!(
            "`{}` {fault}",
            folder.display()
        )));
    }
    for (path, text) in project {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text));
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use std::collections::BTreeSet;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// Every file in a folder that is part of it, links followed.
    fn inside(folder: &Path) -> BTreeSet<PathBuf> {
        let (mut open, mut found) = (vec![folder.to_owned()], BTreeSet::new());
        while let Some(next) = open.pop() {
            for item in std::fs::read_dir(next).unwrap() {
                let path = item.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let others = [
                    "target",
                    "node_modules",
                    "__pycache__",
                    "frozen",
                    "package-lock.json",
                ];
                if others.contains(&name.as_str()) {
                } else if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(folder).unwrap().to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn the_examples_and_sdks_are_embedded_whole() {
        let embedded = |files: &[File]| -> BTreeSet<PathBuf> {
            files.iter().map(|(path, _)| PathBuf::from(path)).collect()
        };
        for (name, files) in [
            ("rust", files::SDK_RUST),
            ("python", files::SDK_PYTHON),
            ("js", files::SDK_JS),
            ("c", files::SDK_C),
        ] {
            assert_eq!(
                embedded(files),
                inside(&root().join("sdk").join(name)),
                "sdk/{name}"
            );
        }
        for template in TEMPLATES {
            let folder = root().join("examples/plugins").join(template.example);
            let mut files = inside(&folder);
            files.retain(|path| !path.starts_with("sdk"));
            assert_eq!(embedded(template.files), files, "{}", template.example);
        }
    }

    #[test]
    fn every_example_is_a_template() {
        for item in std::fs::read_dir(root().join("examples/plugins")).unwrap() {
            let name = item.unwrap().file_name().into_string().unwrap();
            let is_template = TEMPLATES.iter().any(|template| template.example == name);
            assert!(is_template || name == "shared", "{name}");
        }
    }

    #[test]
    fn a_project_bears_its_own_name_alone() {
        for template in TEMPLATES {
            let project = project(template, "ward-rules").unwrap();
            let text_of = |name: &str| {
                let file = project.iter().find(|(path, _)| path == Path::new(name));
                file.map(|(_, text)| text.as_str())
            };
            let manifest = text_of("plugin.toml").unwrap();
            let manifest =
                nephron_forge::Manifest::parse(manifest, Path::new("plugin.toml")).unwrap();
            assert_eq!(manifest.name, "ward-rules");
            assert!(text_of("sdk/wit/plugin.wit").is_some());
            for (path, text) in &project {
                let is_own = !path.starts_with("sdk");
                assert!(
                    !(is_own && text.contains(template.example)),
                    "{}",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_to_do() {
        let refused = |kind, language| template_of(kind, language).err().unwrap().to_string();
        let go = refused(Kind::Decider, Language::Go);
        assert!(
            go.contains("go.bytecodealliance.org/pkg") && go.contains("wit-bindgen go"),
            "{go}"
        );
    }

    #[test]
    fn every_kind_is_there_in_every_language_but_go() {
        for kind in Kind::value_variants() {
            for language in Language::value_variants() {
                let is_there = template_of(*kind, *language).is_ok();
                assert_eq!(is_there, *language != Language::Go, "{kind:?} {language:?}");
            }
        }
    }
}
