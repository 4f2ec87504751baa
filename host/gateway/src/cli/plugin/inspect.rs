//! `nephron plugin inspect`: what a component is and asks for, from its bytes alone. Nothing of it runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nephron_engine::Limits;
use nephron_engine::about::{About, about};
use nephron_engine::vet::{self, Grants, VetError};
use nephron_model::Digest;
use serde::Serialize;

use super::build::component_of;
use crate::cli::around::first_party_folder;
use crate::cli::style::{self, Look};
use crate::cli::text::{count, number, visible};
use crate::cli::{Failure, Globals};

/// Show what a component is, what it asks for, and whether this host would refuse it.
///
/// Exit code 3 when it would be refused whatever the operator grants.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A project, which is built first, a component's file, or the name of a first-party plugin that was built
    #[arg(value_name = "DIR|FILE|NAME", default_value = ".")]
    component: PathBuf,
    /// Where a project is built, instead of its own target folder
    #[arg(long, value_name = "FOLDER")]
    target_dir: Option<PathBuf>,
    /// Build without the network
    #[arg(long)]
    offline: bool,
    /// List the packages that it says it consists of
    #[arg(long)]
    packages: bool,
    /// Print one JSON object, with all it says of itself
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    let path = if args.component.is_dir() {
        component_of(&args.component, args.target_dir, args.offline).await?
    } else {
        locate(&args.component)?
    };
    let report = inspect(&path, &Limits::default())?;
    let written = if args.json {
        write_json(&report, &mut io::stdout().lock())
    } else {
        let out = &mut anstream::stdout().lock();
        write(&report, args.packages, Look::of_stdout(), out)
    };
    match &report.refused {
        Some(refusal) => Err(Failure::check(anyhow::anyhow!("{refusal}"))),
        None => written.map_err(Failure::output),
    }
}

/// What is known of a component.
#[derive(Serialize)]
struct Report {
    path: PathBuf,
    bytes: Option<u64>,
    digest: Option<Digest>,
    world: Option<&'static str>,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Keys that must be set in the plugin's `[plugin.grant]` for it to be loaded.
    needs: Vec<&'static str>,
    /// Why no grant would help.
    refused: Option<String>,
    /// What it says of itself: nobody vouches for that.
    says: About,
}

/// The file itself, or the first-party plugin of that name where there is no such file.
fn locate(given: &Path) -> Result<PathBuf, Failure> {
    let name = given
        .to_str()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    match name.filter(|_| !given.is_file()) {
        Some(name) => Ok(first_party_folder()?.join(format!("{name}.component.wasm"))),
        None => Ok(given.to_owned()),
    }
}

/// # Errors
/// When the file cannot be read at all; whatever it holds is a matter of the report.
fn inspect(path: &Path, limits: &Limits) -> anyhow::Result<Report> {
    let mut report = Report {
        path: path.to_owned(),
        bytes: std::fs::metadata(path).ok().map(|file| file.len()),
        digest: None,
        world: None,
        imports: Vec::new(),
        exports: Vec::new(),
        needs: Vec::new(),
        refused: None,
        says: About::default(),
    };
    let bytes = match vet::read(path, limits) {
        Ok(bytes) => bytes,
        Err(refusal @ VetError::TooLarge { .. }) => {
            report.refused = Some(refusal.to_string());
            return Ok(report);
        }
        Err(unreadable) => return Err(unreadable.into()),
    };
    report.bytes = Some(count(bytes.len()));
    report.digest = Some(Digest::of(&bytes));
    let passes = |keys, null_wasi| {
        vet::vet(
            bytes.clone(),
            None,
            None,
            Grants { keys, null_wasi },
            limits,
        )
    };
    match passes(true, true) {
        Ok(vetted) => {
            report.says = about(&bytes);
            report.world = Some(vetted.world().name());
            report.imports = vetted.imports().to_vec();
            report.exports = vetted.exports().to_vec();
            report
                .needs
                .extend(passes(false, true).is_err().then_some("keys"));
            report
                .needs
                .extend(passes(true, false).is_err().then_some("null-wasi"));
        }
        Err(refusal) => report.refused = Some(refusal.to_string()),
    }
    Ok(report)
}

fn write_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

fn write(
    report: &Report,
    lists_packages: bool,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    let (quiet, good, bad) = (
        look.style(style::QUIET),
        look.style(style::GOOD),
        look.style(style::BAD),
    );
    let mut line =
        |name: &str, value: &str| writeln!(out, "{quiet}{name:<7}{quiet:#}  {}", visible(value));
    line("file", &report.path.to_string_lossy())?;
    if let Some(bytes) = report.bytes {
        line("size", &format!("{} bytes", number(bytes)))?;
    }
    if let Some(digest) = report.digest {
        line("digest", &digest.to_string())?;
    }
    if let Some(world) = report.world {
        line("world", world)?;
    }
    write_said(&report.says, lists_packages, &mut line)?;
    for (name, interfaces) in [("imports", &report.imports), ("exports", &report.exports)] {
        if interfaces.is_empty() && report.world.is_some() {
            line(name, "nothing")?;
        }
        for (place, interface) in interfaces.iter().enumerate() {
            line(if place == 0 { name } else { "" }, interface)?;
        }
    }
    match (&report.refused, report.needs.as_slice()) {
        (Some(refusal), _) => writeln!(out, "{bad}refused{bad:#}  {}", visible(refusal)),
        (None, []) => writeln!(out, "{good}passes{good:#}   without any grant"),
        (None, needs) => {
            let keys: Vec<String> = needs
                .iter()
                .map(|need| format!("grant.{need} = true"))
                .collect();
            writeln!(
                out,
                "{good}passes{good:#}   if the operator sets {}",
                keys.join(" and ")
            )?;
            if needs.contains(&"null-wasi") {
                let what =
                    "no files, no sockets, no environment; the request's time, seeded randomness";
                writeln!(
                    out,
                    "         {quiet}the null WASI is all it gets: {what}{quiet:#}"
                )?;
            }
            Ok(())
        }
    }
}

/// What it says of itself, in the lines that have something.
fn write_said(
    says: &About,
    lists_packages: bool,
    line: &mut impl FnMut(&str, &str) -> io::Result<()>,
) -> io::Result<()> {
    let said = [
        ("name", &says.name),
        ("version", &says.version),
        ("about", &says.description),
        ("authors", &says.authors),
        ("licence", &says.licenses),
        ("source", &says.source),
        ("revised", &says.revision),
        ("page", &says.homepage),
    ];
    for (name, said) in said {
        if let Some(said) = said {
            line(name, said)?;
        }
    }
    for (place, tool) in says.made_with.iter().enumerate() {
        line(if place == 0 { "made by" } else { "" }, tool)?;
    }
    let Some(packages) = &says.packages else {
        return Ok(());
    };
    let inside = packages.iter().filter(|one| !one.is_for_building);
    let listed = if lists_packages {
        ""
    } else {
        "; --packages lists them"
    };
    let inside = number(count(inside.count()));
    line(
        "sbom",
        &format!("{inside} packages by its own word{listed}"),
    )?;
    if lists_packages {
        for one in packages {
            let building = if one.is_for_building {
                ", to build"
            } else {
                ""
            };
            let (name, version, source) = (&one.name, &one.version, &one.source);
            line("", &format!("{name} {version} ({source}{building})"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(bytes: &[u8], limits: &Limits, expected: &Expect) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, bytes).unwrap();
        let mut out = Vec::new();
        write(
            &inspect(&path, limits).unwrap(),
            false,
            Look {
                in_colour: false,
                width: 100,
            },
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        expected.assert_eq(&text.replace(&folder.path().display().to_string(), "DIR"));
    }

    #[test]
    fn what_would_be_refused_says_why() {
        let limits = Limits::default();
        check(
            b"ELF",
            &limits,
            &expect![[r#"
            file     DIR/x.wasm
            size     3 bytes
            digest   sha256:706abe3c90152075e656b661079730facf323f3ebccda7547ee1935c90845a09
            refused  the file is no WebAssembly: it does not begin with `\0asm`
        "#]],
        );
        check(
            b"\0asm\x01\0\0\0",
            &limits,
            &expect![[r#"
            file     DIR/x.wasm
            size     8 bytes
            digest   sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476
            refused  the file is a core module, not a component; wrap it with `nephron plugin build` or `wasm-tools component new`
        "#]],
        );
        check(
            b"\0asm\x0d\0\x01\0",
            &limits,
            &expect![[r#"
            file     DIR/x.wasm
            size     8 bytes
            digest   sha256:24eaf3439a60c96764c4f2c92a0a81b52bd4fe5d5b91f090184a0f6486b1bf29
            refused  the component exports [], which is no world of `nephron:plugin@0.1`
        "#]],
        );
        check(
            b"\0asm\x0d\0\x01\0",
            &Limits {
                component: 4,
                ..limits
            },
            &expect![[r#"
                file     DIR/x.wasm
                size     8 bytes
                refused  the component has 8 bytes, more than its limit of 4; raise `component` of its `[plugin.limits]` if one so large is meant
            "#]],
        );
    }

    #[test]
    fn what_was_granted_or_is_needed_is_shown() {
        let package = |name: &str, is_for_building| nephron_engine::about::Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            source: "crates.io".to_owned(),
            is_for_building,
        };
        let mut report = Report {
            path: PathBuf::from("vendor.wasm"),
            bytes: Some(1_234_567),
            digest: Some(Digest::of(b"vendor")),
            world: Some("keyed-deidentifier"),
            imports: vec![
                "nephron:plugin/keys@0.1.0".to_owned(),
                "wasi:clocks/wall-clock@0.2.6".to_owned(),
            ],
            exports: vec!["nephron:plugin/detector@0.1.0\u{1b}[2J".to_owned()],
            needs: vec!["keys", "null-wasi"],
            refused: None,
            says: About {
                version: Some("1.2.0".to_owned()),
                packages: Some([package("itoa", false), package("cc", true)].into()),
                ..About::default()
            },
        };
        let shown = |report: &Report| {
            let mut out = Vec::new();
            write(
                report,
                true,
                Look {
                    in_colour: false,
                    width: 100,
                },
                &mut out,
            )
            .unwrap();
            String::from_utf8(out).unwrap()
        };
        expect![[r#"
            file     vendor.wasm
            size     1,234,567 bytes
            digest   sha256:630ba09448af522154f38ef7685ef1f44b0f3e9430f80829a03ce24f400f3754
            world    keyed-deidentifier
            version  1.2.0
            sbom     1 packages by its own word
                     cc 1.0.0 (crates.io, to build)
                     itoa 1.0.0 (crates.io)
            imports  nephron:plugin/keys@0.1.0
                     wasi:clocks/wall-clock@0.2.6
            exports  nephron:plugin/detector@0.1.0\u{1b}[2J
            passes   if the operator sets grant.keys = true and grant.null-wasi = true
                     the null WASI is all it gets: no files, no sockets, no environment; the request's time, seeded randomness
        "#]].assert_eq(&shown(&report));
        report.needs.clear();
        report.imports.clear();
        report.says = About::default();
        expect![[r#"
            file     vendor.wasm
            size     1,234,567 bytes
            digest   sha256:630ba09448af522154f38ef7685ef1f44b0f3e9430f80829a03ce24f400f3754
            world    keyed-deidentifier
            imports  nothing
            exports  nephron:plugin/detector@0.1.0\u{1b}[2J
            passes   without any grant
        "#]]
        .assert_eq(&shown(&report));
    }

    #[test]
    fn a_file_that_is_not_there_says_how_to_build_it() {
        let error = inspect(Path::new("/no/such.component.wasm"), &Limits::default())
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("nephron plugin build"),
            "{error}"
        );
    }

    #[test]
    fn a_path_is_not_looked_up_among_the_first_party_plugins() {
        for path in ["x.wasm", "./safe-harbor", "../x"] {
            assert_eq!(
                locate(Path::new(path)).map_err(|_| ()).unwrap(),
                Path::new(path)
            );
        }
    }
}
