use cap_std::ambient_authority;

use super::*;

const PASSPHRASE: &str = "correct horse battery staple";

fn folder() -> (tempfile::TempDir, Dir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    (folder, dir)
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn create(dir: &Dir) -> RootKey {
    RootKey::create(dir, &passphrase(PASSPHRASE), Cost::MINIMUM).unwrap()
}

#[test]
fn a_root_key_opens_again_with_its_passphrase_and_no_other() {
    let (_folder, dir) = folder();
    let made = create(&dir);
    let opened = RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap();
    assert_eq!(
        made.mac_key("aot").mac(b"x"),
        opened.mac_key("aot").mac(b"x")
    );
    for wrong in [
        "",
        "correct horse battery stapl",
        "Correct horse battery staple",
    ] {
        let refused = RootKey::open(&dir, &passphrase(wrong)).unwrap_err();
        assert!(matches!(refused, RootError::WrongPassphrase), "{refused}");
    }
}

#[test]
fn each_label_has_a_mac_key_of_its_own() {
    let (_folder, dir) = folder();
    let root = create(&dir);
    assert_ne!(root.mac_key("a").mac(b"x"), root.mac_key("b").mac(b"x"));
}

#[test]
fn a_wrapped_key_opens_for_its_tenant_version_and_root_alone() {
    let [(_one, here), (_other, there)] = [folder(), folder()];
    let (root, another) = (create(&here), create(&there));
    let [tenant, stranger] = ["st-marys", "general"].map(|name| name.parse().unwrap());
    let key = Key::draw().unwrap();
    let wrapped = root.wrap(Wrapped::Tenant, &key, &tenant, 1, None).unwrap();
    assert_eq!(
        root.unwrap(Wrapped::Tenant, &wrapped, &tenant, 1, None)
            .unwrap()
            .bytes(),
        key.bytes()
    );
    for refused in [
        root.unwrap(Wrapped::Tenant, &wrapped, &stranger, 1, None),
        root.unwrap(Wrapped::Tenant, &wrapped, &tenant, 2, None),
        another.unwrap(Wrapped::Tenant, &wrapped, &tenant, 1, None),
        root.unwrap(Wrapped::Tenant, &wrapped[1..], &tenant, 1, None),
    ] {
        assert!(matches!(refused, Err(RootError::NotAuthentic)));
    }
}

#[test]
fn each_fault_of_the_file_is_told_apart() {
    let (_folder, dir) = folder();
    let open = || RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap_err();
    assert!(matches!(open(), RootError::File(FileError::Missing { .. })));

    create(&dir);
    let again = RootKey::create(&dir, &passphrase(PASSPHRASE), Cost::MINIMUM).unwrap_err();
    assert!(matches!(again, RootError::File(FileError::Exists { .. })));

    use cap_std::fs::{Permissions, PermissionsExt as _};
    dir.set_permissions(RootKey::FILE, Permissions::from_mode(0o644))
        .unwrap();
    assert!(matches!(
        open(),
        RootError::File(FileError::WrongMode { mode: 0o644, .. })
    ));
    dir.set_permissions(RootKey::FILE, Permissions::from_mode(0o600))
        .unwrap();

    let text = dir.read(RootKey::FILE).unwrap();
    dir.write(RootKey::FILE, &text[..text.len() / 2]).unwrap();
    assert!(matches!(open(), RootError::File(FileError::Damaged { .. })));
}

#[test]
fn every_flipped_bit_of_the_file_is_damage_and_never_a_wrong_passphrase() {
    let (_folder, dir) = folder();
    create(&dir);
    let text = dir.read(RootKey::FILE).unwrap();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read: Result<RootFile, _> = store::decode(RootKey::FILE, &flipped);
        assert!(matches!(read, Err(FileError::Damaged { .. })), "bit {bit}");
    }
}

#[test]
fn a_file_whose_cost_was_rewritten_does_not_open() {
    let (_folder, dir) = folder();
    create(&dir);
    let content: RootFile =
        store::decode(RootKey::FILE, &dir.read(RootKey::FILE).unwrap()).unwrap();
    let rewritten = RootFile {
        cost: Cost {
            passes: 3,
            ..Cost::MINIMUM
        },
        ..content
    };
    dir.write(
        RootKey::FILE,
        store::encode(RootKey::FILE, rewritten).unwrap(),
    )
    .unwrap();
    let refused = RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap_err();
    assert!(matches!(refused, RootError::WrongPassphrase));
}

#[test]
fn a_cost_out_of_range_is_refused_before_any_memory_is_taken() {
    let (_folder, dir) = folder();
    for cost in [
        Cost {
            memory_kib: 19 * 1024 - 1,
            ..Cost::RECOMMENDED
        },
        Cost {
            memory_kib: u32::MAX,
            ..Cost::RECOMMENDED
        },
        Cost {
            passes: 1,
            ..Cost::MINIMUM
        },
        Cost {
            passes: 65,
            ..Cost::RECOMMENDED
        },
        Cost {
            lanes: 0,
            ..Cost::RECOMMENDED
        },
        Cost {
            lanes: 17,
            ..Cost::RECOMMENDED
        },
    ] {
        let refused = RootKey::create(&dir, &passphrase(PASSPHRASE), cost).unwrap_err();
        assert!(matches!(refused, RootError::CostOutOfRange), "{cost:?}");
    }
    assert_eq!(dir.entries().unwrap().count(), 0);
}

#[test]
fn a_short_passphrase_makes_no_key() {
    let (_folder, dir) = folder();
    let refused = RootKey::create(&dir, &passphrase("elevenchars"), Cost::MINIMUM).unwrap_err();
    assert!(matches!(refused, RootError::ShortPassphrase));
    assert_eq!(dir.entries().unwrap().count(), 0);
}

#[test]
fn a_crash_while_creating_leaves_room_to_create_again() {
    let (_folder, dir) = folder();
    dir.write("root.key.new", b"half a fi").unwrap();
    assert!(matches!(
        RootKey::open(&dir, &passphrase(PASSPHRASE)),
        Err(RootError::File(FileError::Missing { .. }))
    ));
    create(&dir);
    RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap();
    assert_eq!(dir.entries().unwrap().count(), 1);
}

#[test]
fn i9_no_error_or_file_holds_the_passphrase_or_the_key() {
    let (_folder, dir) = folder();
    let root = create(&dir);
    assert_eq!(format!("{root:?}"), "RootKey(file)");
    let text = dir.read_to_string(RootKey::FILE).unwrap();
    assert!(!text.contains(PASSPHRASE) && !text.contains(&hex::encode(root.key.bytes())));
    let wrong = RootKey::open(&dir, &passphrase("CANARY-passphrase")).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("CANARY"));
    dir.write(
        RootKey::FILE,
        r#"{"content":{"CANARY":1},"digest":"CANARY"}"#,
    )
    .unwrap();
    let damaged = RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap_err();
    assert!(!format!("{damaged} {damaged:?}").contains("CANARY"));
}

/// RFC 9106 §5.3 uses a secret and associated data, which this crate's use does not; so the vector of the reference
/// implementation's `test.c` for version 0x13 (t=2, m=2^16 KiB, p=1, "password", "somesalt").
#[test]
fn argon2id_gives_the_published_result() {
    let cost = Cost {
        memory_kib: 1 << 16,
        passes: 2,
        lanes: 1,
    };
    let key = stretch(&passphrase("password"), b"somesalt", cost).unwrap();
    assert_eq!(
        hex::encode(key.bytes()),
        "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
    );
}

#[test]
fn a_root_key_opens_with_the_provider_that_made_it_and_no_other() {
    let (_folder, dir) = folder();
    let shelf = Arc::new(crate::ward::Shelf::default());
    let made = RootKey::create_with(&dir, shelf.clone()).unwrap();
    let opened = RootKey::open_with(&dir, shelf.clone()).unwrap();
    assert_eq!(
        made.mac_key("aot").mac(b"x"),
        opened.mac_key("aot").mac(b"x")
    );
    assert!(
        !dir.read_to_string(RootKey::FILE)
            .unwrap()
            .contains(&hex::encode(made.key.bytes()))
    );
    let again = RootKey::create_with(&dir, shelf.clone()).unwrap_err();
    assert!(matches!(again, RootError::File(FileError::Exists { .. })));
    let other = RootKey::open(&dir, &passphrase(PASSPHRASE)).unwrap_err();
    assert!(
        matches!(&other, RootError::OtherProvider { made, configured: "file" } if made == "shelf"),
        "{other}"
    );
    let stranger = RootKey::open_with(&dir, Arc::new(crate::ward::Shelf::default()));
    assert!(matches!(stranger, Err(RootError::KekGone { .. })));

    let (_folder, dir) = folder();
    create(&dir);
    let other = RootKey::open_with(&dir, shelf).unwrap_err();
    assert!(
        matches!(&other, RootError::OtherProvider { made, configured: "shelf" } if made == "file"),
        "{other}"
    );
}
