use std::sync::mpsc;

use super::*;
use crate::machine::fake::Fake;
use crate::toolchain::Std;

/// A module for an empty world.
fn module() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_str("w.wit", "package p:q; world w {}")
        .unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    module
}

/// A machine with the wasm target, a workspace of the plugins `a` and `b`, and a cargo that "compiles" them.
fn two_plugins() -> (Fake, Vec<PathBuf>) {
    let fake = Fake::new();
    fake.file("sysroot/libdir/libstd-0.rlib", b"");
    fake.file("made/a.wasm", &module());
    fake.file("made/b.wasm", &module());
    fake.file("w/Cargo.lock", b"");
    let mut packages = Vec::new();
    for name in ["a", "b"] {
        fake.file(
            &format!("w/{name}/plugin.toml"),
            format!("name = \"{name}\"\nworld = \"w\"\n").as_bytes(),
        );
        let manifest = fake.file(&format!("w/{name}/Cargo.toml"), b"");
        packages.push(format!(
            r#"{{"id":"path+file:///w/{name}#0.1.0","version":"0.1.0","manifest_path":"{}"}}"#,
            manifest.display()
        ));
    }
    let root = fake.folder.path().display().to_string();
    let metadata = format!(
        r#"{{"packages":[{}],"workspace_root":"{root}/w","target_directory":"{root}/target"}}"#,
        packages.join(",")
    );
    fake.file("metadata", metadata.as_bytes());
    let artefact = |name: &str, fresh: bool| {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/{name}#0.1.0","filenames":["{root}/made/{name}.wasm"],"fresh":{fresh}}}"#
        )
    };
    let warning = |name: &str| {
        format!(
            r#"{{"reason":"compiler-message","package_id":"path+file:///w/{name}#0.1.0","message":{{"level":"warning","rendered":"warning in {name}"}}}}"#
        )
    };
    let said = [
        warning("b"),
        artefact("b", true),
        warning("a"),
        artefact("a", false),
    ]
    .join("\n");
    fake.file("said", said.as_bytes());
    fake.tool(
        "rustc",
        "echo \"$HOME_OF_TEST/sysroot\"; echo \"$HOME_OF_TEST/sysroot/libdir\"",
    );
    fake.tool(
        "cargo",
        "if [ $1 = metadata ]; then /bin/cat \"$HOME_OF_TEST/metadata\"; exit; fi
         /usr/bin/env > \"$HOME_OF_TEST/env\"
         printf '   Compiling a v0.1.0\\n    Building [==>  ] 1/2: a, b\\r' >&2
         /bin/cat \"$HOME_OF_TEST/said\"",
    );
    let folders = vec![fake.path("w/b"), fake.path("w/a")];
    (fake, folders)
}

fn build_on(fake: &Fake, folders: &[PathBuf]) -> (Result<Vec<Built>, BuildError>, Vec<String>) {
    let mut steps = Vec::new();
    let mut note = |step: Progress| steps.push(step.to_string());
    let mut options = Options::new(&mut note);
    options.machine = fake.machine();
    let built = build(folders, &mut options);
    (built, steps)
}

#[test]
fn each_plugin_is_built_apart_and_they_come_in_the_order_asked_for() {
    let (fake, folders) = two_plugins();
    let (built, steps) = build_on(&fake, &folders);
    let built = built.unwrap();
    let names: Vec<_> = built
        .iter()
        .map(|built| (built.name.as_str(), built.version.as_str()))
        .collect();
    assert_eq!(names, [("b", "0.1.0"), ("a", "0.1.0")]);
    assert_eq!(
        built[0].component,
        fake.path("target/plugins/b.component.wasm")
    );
    assert!(
        std::fs::read(&built[0].component)
            .unwrap()
            .starts_with(b"\0asm\x0d\0\x01\0")
    );
    let build = |name| {
        format!(
            "cargo build --target wasm32-unknown-unknown --message-format json --manifest-path ~/w/Cargo.toml --locked \
             --profile plugin --target-dir ~/target --package path+file:///w/{name}#0.1.0"
        )
    };
    assert_eq!(
        fake.calls(),
        [
            "cargo metadata --no-deps --format-version=1 --manifest-path ~/w/b/Cargo.toml"
                .to_owned(),
            "rustc --print sysroot --print target-libdir --target wasm32-unknown-unknown"
                .to_owned(),
            build("b"),
            build("a"),
        ]
    );
    for step in [
        "warning in a",
        "building plugins: 1/2 a",
        "building plugins: wrapping b",
        "building plugins: wrapping a",
    ] {
        assert!(
            steps.iter().any(|said| said == step),
            "`{step}` is not in {steps:?}"
        );
    }
    assert!(
        !steps.iter().any(|said| said == "warning in b"),
        "b was fresh, its warning was read before"
    );
}

#[test]
fn paths_of_this_machine_are_mapped_away_and_no_flag_of_ours_reaches_cargo() {
    let (fake, folders) = two_plugins();
    build_on(&fake, &folders).0.unwrap();
    let env = std::fs::read_to_string(fake.path("env")).unwrap();
    let flags = env
        .lines()
        .find_map(|line| line.strip_prefix("CARGO_ENCODED_RUSTFLAGS="))
        .unwrap();
    let root = fake.path("w").display().to_string();
    assert!(
        flags
            .split('\u{1f}')
            .any(|flag| flag == format!("--remap-path-prefix={root}=/plugin")),
        "{flags:?}"
    );
    assert!(
        !env.contains("CARGO_MANIFEST_DIR=") && !env.contains("RUSTC_BOOTSTRAP="),
        "{env}"
    );
}

#[test]
fn a_standard_library_from_source_is_built_in_that_one_child_alone() {
    let cargo = build_command(
        &Machine::default(),
        Path::new("/w"),
        Path::new("/w/target"),
        &Std::Source("/src/library".into()),
    );
    let flags = cargo
        .get_envs()
        .find(|(key, _)| *key == "CARGO_ENCODED_RUSTFLAGS")
        .and_then(|(_, value)| value?.to_str())
        .unwrap_or_default();
    // The target folder comes after the root that it may lie in: the last that fits counts.
    let place = |flag: &str| {
        flags
            .find(flag)
            .unwrap_or_else(|| panic!("no {flag} in {flags}"))
    };
    assert!(place("=/w=/plugin") < place("=/w/target=/plugin/target"));
    assert!(
        cargo
            .get_args()
            .any(|arg| arg == "-Zbuild-std=std,panic_abort")
    );
    let set = |name: &str| {
        cargo
            .get_envs()
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value)
    };
    assert_eq!(set("RUSTC_BOOTSTRAP"), Some("1".as_ref()));
    assert_eq!(
        set("__CARGO_TESTS_ONLY_SRC_ROOT"),
        Some("/src/library".as_ref())
    );
}

#[test]
fn the_compilers_errors_stand_in_the_error() {
    let (fake, folders) = two_plugins();
    fake.file(
        "said",
        br#"{"reason":"compiler-message","package_id":"x","message":{"level":"error","rendered":"error[E0425]: no `x`\n --> lib.rs:1"}}"#,
    );
    let script = std::fs::read_to_string(fake.path("bin/cargo.does")).unwrap();
    fake.tool(
        "cargo",
        &format!("{script}\necho 'error: could not compile a' >&2; exit 101"),
    );
    let text = build_on(&fake, &folders).0.unwrap_err().to_string();
    assert_eq!(
        text,
        "compiling `b` failed (exit status: 101)\n    error[E0425]: no `x`\n     --> lib.rs:1\n    error: could not compile a"
    );

    fake.tool("cargo", &format!("{script}\necho 'error: cannot update the lock file, because --locked was passed' >&2; exit 101"));
    let text = build_on(&fake, &folders).0.unwrap_err().to_string();
    assert!(text.ends_with("to update it"), "{text}");
}

#[test]
fn a_package_without_a_cdylib_says_what_its_manifest_needs() {
    let (fake, folders) = two_plugins();
    fake.file("said", b"");
    let text = build_on(&fake, &folders).0.unwrap_err().to_string();
    assert!(
        text.starts_with("`b` made no Wasm module") && text.contains("cdylib"),
        "{text}"
    );
}

#[test]
fn two_plugins_of_one_name_are_refused_before_anything_runs() {
    let (fake, folders) = two_plugins();
    fake.file("w/a/plugin.toml", b"name = \"b\"\nworld = \"w\"\n");
    let text = build_on(&fake, &folders).0.unwrap_err().to_string();
    assert!(text.contains("are both named `b`"), "{text}");
    assert_eq!(fake.calls(), [""; 0]);
}

#[test]
fn a_folder_that_is_no_member_of_its_workspace_is_named() {
    let (fake, mut folders) = two_plugins();
    fake.file("w/c/plugin.toml", b"name = \"c\"\nworld = \"w\"\n");
    fake.file("w/c/Cargo.toml", b"");
    folders.push(fake.path("w/c"));
    let error = build_on(&fake, &folders).0.unwrap_err();
    assert!(
        matches!(&error, BuildError::NoPackage { folder } if folder.ends_with("w/c")),
        "{error}"
    );
}

#[test]
fn a_second_build_waits_for_the_first_and_says_so() {
    let (fake, folders) = two_plugins();
    let held = lock(&fake.path("target/plugins"), &mut |_| {}).unwrap();
    let (sender, steps) = mpsc::channel();
    let machine = fake.machine();
    let second = std::thread::spawn(move || {
        let mut note = |step: Progress| sender.send(step).unwrap();
        let mut options = Options::new(&mut note);
        options.machine = machine;
        build(&folders, &mut options).unwrap().len()
    });
    assert_eq!(steps.recv().unwrap(), Progress::Waiting);
    assert!(!fake.path("target/plugins/a.component.wasm").exists());
    drop(held);
    assert_eq!(second.join().unwrap(), 2);
}

/// The real tools on the real guest.
#[test]
fn a_built_plugin_imports_its_world_alone() {
    let root = crate::find_workspace(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let folders = [root.join("tests/guests/does-nothing")];
    let mut note = |_| {};
    let built = build(&folders, &mut Options::new(&mut note)).unwrap();
    let bytes = std::fs::read(&built[0].component).unwrap();
    assert_eq!(built[0].name, "does-nothing");

    let decoded = wit_component::decode(&bytes).unwrap();
    let wit_component::DecodedWasm::Component(resolve, world) = decoded else {
        panic!("not a component")
    };
    let named = |items: &wit_parser::IndexMap<wit_parser::WorldKey, wit_parser::WorldItem>| {
        items
            .keys()
            .map(|key| resolve.name_world_key(key))
            .collect::<Vec<_>>()
    };
    let (imports, exports) = (
        named(&resolve.worlds[world].imports),
        named(&resolve.worlds[world].exports),
    );
    assert!(
        imports
            .iter()
            .all(|name| name.starts_with("nephron:plugin/")),
        "{imports:?}"
    );
    assert!(
        exports.contains(&"nephron:plugin/decider@0.1.0".to_owned()),
        "{exports:?}"
    );
    let home = std::env::home_dir()
        .unwrap()
        .into_os_string()
        .into_encoded_bytes();
    assert!(
        !bytes.windows(home.len()).any(|window| window == home),
        "the component tells whose home it was built in"
    );

    let mut steps = Vec::new();
    let mut note = |step| steps.push(step);
    let again = build(&folders, &mut Options::new(&mut note)).unwrap();
    assert_eq!(
        (again, steps),
        (built, Vec::new()),
        "a build with nothing to do is silent"
    );
}
