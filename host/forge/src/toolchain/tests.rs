use super::*;
use crate::machine::fake::Fake;

const ASKS_RUSTC: &str =
    "rustc --print sysroot --print target-libdir --target wasm32-unknown-unknown";
const ADDS_TARGET: &str = "rustup target add wasm32-unknown-unknown";

/// A machine with rustc 1.95.0 in `~/sysroot`, without the target, whose rustup and apt both fail.
fn bare_machine() -> Fake {
    let fake = Fake::new();
    set_release(&fake, "1.95.0");
    fake.tool("rustup", "echo 'error: could not download' >&2; exit 1");
    fake.tool("apt-config", "echo 'Acquire::Retries \"0\";'");
    fake.tool(
        "apt-get",
        "case \"$1\" in
            indextargets) echo 'Packages main bookworm http://mirror.example/debian/';;
            *) echo 'E: no network' >&2; exit 100;;
        esac",
    );
    std::fs::create_dir(fake.path("cache")).unwrap();
    fake
}

fn set_release(fake: &Fake, release: &str) {
    let script = format!(
        "case \"$1\" in
            -vV) echo 'rustc {release}'; echo 'release: {release}';;
            *) echo \"$HOME_OF_TEST/sysroot\"; echo \"$HOME_OF_TEST/sysroot/libdir\";;
        esac"
    );
    fake.tool("rustc", &script);
}

/// Has the machine's apt find `rust-src` 1.95.0, whose package holds the library's two telling files.
fn serve_rust_src(fake: &Fake) {
    fake.tool(
        "apt-get",
        "case \"$*\" in
            indextargets*) echo 'Packages main bookworm http://mirror.example/debian/';;
            *update) [ -f \"$APT_CONFIG\" ] || exit 9;;
            *download*) : > rust-src.deb;;
        esac",
    );
    fake.tool(
        "apt-cache",
        "echo ' rust-src | 1.96.1-1 | x'; echo ' rust-src | 1.95.0+dfsg1-2 | x'",
    );
    fake.tool("dpkg-deb", "echo archive");
    fake.tool(
        "tar",
        "lib=\"$3/usr/src/rustc-1.95.0/library\"; /bin/mkdir -p \"$lib/std\"
         read archive; [ \"$archive\" = archive ] || exit 2
         : > \"$lib/Cargo.lock\"; : > \"$lib/std/Cargo.toml\"",
    );
}

fn prepare_on(fake: &Fake, offline: bool) -> Result<Std, ToolchainError> {
    prepare(
        &fake.machine(),
        fake.folder.path(),
        &fake.path("cache"),
        offline,
        &mut |_| {},
    )
}

#[test]
fn a_target_that_is_there_is_used_and_nothing_else_is_asked() {
    let fake = bare_machine();
    fake.file("sysroot/libdir/libstd-0123.rlib", b"");
    assert_eq!(prepare_on(&fake, false).unwrap(), Std::Installed);
    assert_eq!(fake.calls(), [ASKS_RUSTC]);
}

#[test]
fn a_missing_target_is_added_by_rustup() {
    let fake = bare_machine();
    let adds = "/bin/mkdir -p \"$HOME_OF_TEST/sysroot/libdir\"; : > \"$HOME_OF_TEST/sysroot/libdir/libstd-0.rlib\"";
    fake.tool("rustup", adds);
    assert_eq!(prepare_on(&fake, false).unwrap(), Std::Installed);
    assert_eq!(fake.calls(), [ASKS_RUSTC, "rustc -vV", ADDS_TARGET]);
}

#[test]
fn where_rustup_cannot_download_the_toolchains_own_sources_serve() {
    let fake = bare_machine();
    fake.file("sysroot/lib/rustlib/src/rust/library/Cargo.lock", b"");
    fake.file("sysroot/lib/rustlib/src/rust/library/std/Cargo.toml", b"");
    let library = fake.path("sysroot/lib/rustlib/src/rust/library");
    assert_eq!(
        prepare_on(&fake, false).unwrap(),
        Std::Source(library.clone())
    );
    assert_eq!(fake.calls(), [ASKS_RUSTC, "rustc -vV", ADDS_TARGET]);

    assert_eq!(prepare_on(&fake, false).unwrap(), Std::Source(library));
    assert_eq!(
        fake.calls(),
        [ASKS_RUSTC, "rustc -vV"],
        "the second build does not try rustup again"
    );
}

#[test]
fn debians_sources_come_last_and_are_kept() {
    let fake = bare_machine();
    serve_rust_src(&fake);
    let library = fake.path("cache/rust-src-1.95.0/usr/src/rustc-1.95.0/library");
    assert_eq!(
        prepare_on(&fake, false).unwrap(),
        Std::Source(library.clone())
    );
    let calls = fake.calls();
    assert_eq!(
        calls,
        [
            ASKS_RUSTC,
            "rustc -vV",
            ADDS_TARGET,
            "apt-config dump",
            "apt-get indextargets --format $(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)",
            "apt-get --quiet --quiet -o APT::Update::Error-Mode=any update",
            "apt-cache madison rust-src",
            "apt-get --quiet --quiet download rust-src=1.95.0+dfsg1-2",
            // The two ends of a pipe start together.
            calls
                .iter()
                .find(|call| call.starts_with("dpkg-deb") || call.starts_with("tar"))
                .unwrap()
                .as_str(),
            calls.last().unwrap().as_str(),
        ]
    );
    let work = "~/cache/rust-src-1.95.0.partial";
    for call in [
        format!("dpkg-deb --fsys-tarfile {work}/rust-src.deb"),
        format!("tar --extract --directory {work}/unpacked --wildcards ./usr/src/rustc-*/library"),
    ] {
        assert!(calls.contains(&call), "{call} is not in {calls:#?}");
    }
    assert!(!fake.path("cache/rust-src-1.95.0.partial").exists());

    assert_eq!(prepare_on(&fake, true).unwrap(), Std::Source(library));
    assert_eq!(
        fake.calls(),
        [ASKS_RUSTC, "rustc -vV"],
        "what was fetched serves offline too"
    );

    set_release(&fake, "1.96.0");
    assert!(
        prepare_on(&fake, false).is_err(),
        "sources of another version do not serve"
    );
    assert!(fake.calls().contains(&ADDS_TARGET.to_owned()));
}

#[test]
fn when_nothing_serves_the_error_lists_each_attempt_in_order_and_what_to_type() {
    let error = prepare_on(&bare_machine(), false).unwrap_err();
    let text = error.to_string();
    let places: Vec<_> = [
        "rustc 1.95.0 has no standard library for wasm32-unknown-unknown",
        "1. the toolchain: no libstd in",
        "2. rustup target add wasm32-unknown-unknown: ",
        "error: could not download",
        "3. the toolchain's rust-src: no sources in",
        "4. Debian's rust-src 1.95.0: no version 1.95.0 in http://mirror.example/debian/ trixie-backports",
        "E: no network",
        "Run `rustup target add wasm32-unknown-unknown`",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("`{part}` is not in:\n{text}")))
    .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn tools_that_are_not_there_are_named() {
    let fake = Fake::new();
    assert!(matches!(
        prepare_on(&fake, false),
        Err(ToolchainError::Rustc(RunError::NotFound { .. }))
    ));

    set_release(&fake, "1.95.0");
    let text = prepare_on(&fake, false).unwrap_err().to_string();
    assert!(
        text.contains("`rustup` is not installed")
            && text.contains("`apt-config` is not installed"),
        "{text}"
    );
}

#[test]
fn offline_neither_rustup_nor_apt_is_called() {
    let fake = bare_machine();
    let text = prepare_on(&fake, true).unwrap_err().to_string();
    assert_eq!(fake.calls(), [ASKS_RUSTC, "rustc -vV"]);
    assert_eq!(
        text.matches("no network is to be used").count(),
        2,
        "{text}"
    );
}

#[test]
fn a_torn_download_leaves_no_sources_behind() {
    let fake = bare_machine();
    serve_rust_src(&fake);
    fake.tool(
        "tar",
        "/bin/mkdir -p \"$3/usr/src/rustc-1.95.0/library\"; echo 'unexpected end' >&2; exit 2",
    );
    let text = prepare_on(&fake, false).unwrap_err().to_string();
    assert!(text.contains("unexpected end"), "{text}");
    assert!(!fake.path("cache/rust-src-1.95.0").exists());

    serve_rust_src(&fake);
    assert!(
        matches!(prepare_on(&fake, false).unwrap(), Std::Source(_)),
        "the next build starts afresh"
    );
}
