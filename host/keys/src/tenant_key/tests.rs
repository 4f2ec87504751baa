use nephron_model::{EntryKind, FixedClock};
use pollster::block_on;
use serde_json::Value;

use super::*;
use crate::root::{Cost, Passphrase, RootKey};
use crate::testing::MemoryLog;
use crate::ward::{Ward, dir};

fn create(ward: &Ward, dir: Dir, tenant: &str) -> Result<TenantKeys, TenantKeyError> {
    block_on(TenantKeys::create(
        dir,
        tenant.parse().unwrap(),
        &ward.root,
        Arc::new(FixedClock::at(0)),
        Arc::new(ward.log.clone()),
        Arc::new(ward.log.clone()),
    ))
}

#[test]
fn a_key_opens_again_as_the_same_key() {
    let ward = Ward::new("st-marys");
    let before = ward.keys.fingerprint(b"text").unwrap();
    assert_eq!(ward.reopen().unwrap().fingerprint(b"text").unwrap(), before);
    assert_eq!(ward.keys.tenant().as_str(), "st-marys");
}

#[test]
fn i5_two_tenants_share_no_digest() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    assert_ne!(
        here.keys.fingerprint(b"text").unwrap(),
        there.keys.fingerprint(b"text").unwrap()
    );
    assert_ne!(here.conversation("c"), there.conversation("c"));
}

#[test]
fn a_patient_has_one_digest_in_one_tenant_and_none_once_the_key_is_gone() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let digest = here.keys.patient("ab-0483920").unwrap();
    assert_eq!(here.keys.patient(" AB-0483920\n").unwrap(), digest);
    assert_ne!(here.keys.patient("AB-483920").unwrap(), digest);
    assert_ne!(there.keys.patient("AB-0483920").unwrap(), digest);
    assert_ne!(here.keys.fingerprint(b"AB-0483920").unwrap(), digest);
    block_on(here.keys.destroy("dr.osei")).unwrap();
    assert!(matches!(
        here.keys.patient("AB-0483920"),
        Err(KeyError::Destroyed)
    ));
}

#[test]
fn a_field_is_committed_to_in_one_place_and_its_salt_dies_with_the_key() {
    let [here, there] = ["st-marys", "general"].map(Ward::new);
    let [one, other] = ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"]
        .map(|event| event.parse().unwrap());
    let commit = |ward: &Ward, request, field: &str, value: &[u8]| {
        ward.keys.commit(request, field, value).unwrap()
    };
    let first = commit(&here, one, "sent", b"text");
    assert!(first == commit(&here, one, "sent", b"text"));
    assert!(first == FieldCommitment::new("sent", first.salt, b"text"));
    for elsewhere in [
        commit(&there, one, "sent", b"text"),
        commit(&here, other, "sent", b"text"),
        commit(&here, one, "received", b"text"),
        commit(&here, one, "sent", b"texts"),
    ] {
        assert!(elsewhere.salt != first.salt && elsewhere.digest != first.digest);
    }
    block_on(here.keys.destroy("dr.osei")).unwrap();
    assert!(matches!(
        here.keys.commit(one, "sent", b"text"),
        Err(KeyError::Destroyed)
    ));
}

/// The vectors were written by another implementation, from the document alone.
#[test]
fn boundary_keys_are_as_the_document_says() {
    let text = include_str!("../../../../tests/fixtures/vectors/envelope/boundaries.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let key = Key::from_slice(&hex::decode(field("tenant-key")).unwrap()).unwrap();
        let ring = Ring::derive(&key, &field("tenant").parse().unwrap());
        let derived = match field("boundary") {
            "vault" => ring.vault,
            "audit-payload" => ring.audit_payload,
            "field" => ring.field,
            "token" => ring.token,
            "fingerprint" => ring.fingerprint,
            "mac" => ring.mac,
            other => panic!("{other}"),
        };
        assert_eq!(
            hex::encode(derived.bytes()),
            field("boundary-key"),
            "{}",
            field("boundary")
        );
    }
}

#[test]
fn i1_no_key_is_made_that_is_not_recorded() {
    let ward = Ward::new("st-marys");
    let first = &ward.log.drafts()[0];
    assert_eq!(
        (first.kind, first.outcome.as_str()),
        (EntryKind::KeyChanged, "created")
    );

    let folder = tempfile::tempdir().unwrap();
    let full = Ward {
        log: MemoryLog::new(),
        ..ward
    };
    full.log.refuse_from(0);
    let refused = create(&full, dir(&folder), "general").err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::NotRecorded(_)),
        "{refused}"
    );
    assert!(!dir(&folder).exists(TenantKeys::FILE));
    // The disk has room again.
    full.log.accept();
    create(&full, dir(&folder), "general").unwrap();
}

#[test]
fn a_crash_while_creating_is_finished_by_opening() {
    let ward = Ward::new("st-marys");
    let before = ward.keys.fingerprint(b"text").unwrap();
    // The entry was durable, the renaming was not.
    let dir = ward.dir();
    dir.rename(TenantKeys::FILE, &dir, "kek-1.json.new")
        .unwrap();
    assert_eq!(ward.reopen().unwrap().fingerprint(b"text").unwrap(), before);
    assert!(dir.exists(TenantKeys::FILE) && !dir.exists("kek-1.json.new"));
}

#[test]
fn a_crash_before_the_entry_leaves_no_key_and_room_for_one() {
    let ward = Ward::new("st-marys");
    let folder = tempfile::tempdir().unwrap();
    dir(&folder).write("kek-1.json.new", b"half a fi").unwrap();
    let fresh = Ward {
        log: MemoryLog::new(),
        folder,
        ..ward
    };
    let missing = fresh.reopen().err().unwrap();
    assert!(
        matches!(missing, TenantKeyError::File(FileError::Missing { .. })),
        "{missing}"
    );
    create(&fresh, fresh.dir(), "st-marys").unwrap();
    assert_eq!(fresh.dir().entries().unwrap().count(), 1);
    fresh.reopen().unwrap();
}

#[test]
fn a_lost_key_is_not_replaced_by_a_new_one() {
    let ward = Ward::new("st-marys");
    ward.dir().remove_file(TenantKeys::FILE).unwrap();
    let missing = ward.reopen().err().unwrap();
    assert!(
        matches!(missing, TenantKeyError::File(FileError::Missing { .. })),
        "{missing}"
    );
    let refused = create(&ward, ward.dir(), "st-marys").err().unwrap();
    assert!(matches!(refused, TenantKeyError::Recorded), "{refused}");
}

#[test]
fn a_file_that_is_not_the_recorded_one_is_refused() {
    let [ward, other] = ["st-marys", "general"].map(Ward::new);
    let text = other.dir().read(TenantKeys::FILE).unwrap();
    ward.dir().write(TenantKeys::FILE, &text).unwrap();
    let refused = ward.reopen().err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::Unrecorded { .. }),
        "{refused}"
    );

    // The other tenant's log as well: the file itself says whose it is.
    let swapped = Ward {
        log: other.log,
        folder: other.folder,
        ..ward
    };
    let refused = swapped.reopen().err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::OtherTenant { .. }),
        "{refused}"
    );

    // A log that knows of no key.
    let fresh = Ward {
        log: MemoryLog::new(),
        ..swapped
    };
    let refused = fresh.reopen().err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::Unrecorded { .. }),
        "{refused}"
    );
}

#[test]
fn another_root_opens_no_tenant() {
    let ward = Ward::new("st-marys");
    let folder = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::new("another long passphrase".to_owned());
    let root = Arc::new(RootKey::create(&dir(&folder), &passphrase, Cost::MINIMUM).unwrap());
    let refused = Ward { root, ..ward }.reopen().err().unwrap();
    assert!(
        matches!(refused, TenantKeyError::Root(RootError::NotAuthentic)),
        "{refused}"
    );
}

#[test]
fn every_flipped_bit_of_the_key_file_is_refused() {
    let ward = Ward::new("st-marys");
    let text = ward.dir().read(TenantKeys::FILE).unwrap();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        ward.dir().write(TenantKeys::FILE, &flipped).unwrap();
        assert!(ward.reopen().is_err(), "bit {bit}");
    }
}

#[test]
fn a_destroyed_key_stops_everything_that_was_lent() {
    let ward = Ward::new("st-marys");
    let (clone, grant) = (ward.keys.clone(), ward.grant());
    let sealed = ward.keys.seal_payload(None, "prompt", b"note").unwrap();
    block_on(ward.keys.destroy("test")).unwrap();

    let last = ward.last();
    assert_eq!(
        (last.kind, last.outcome.as_str()),
        (EntryKind::KeyChanged, "destroyed")
    );
    assert!(matches!(clone.fingerprint(b"x"), Err(KeyError::Destroyed)));
    assert!(matches!(clone.conversation("c"), Err(KeyError::Destroyed)));
    assert!(matches!(
        clone.seal_payload(None, "prompt", b"x"),
        Err(KeyError::Destroyed)
    ));
    assert!(matches!(
        block_on(grant.open_payload(&sealed, None, "prompt")),
        Err(KeyError::Destroyed)
    ));
    assert!(matches!(
        block_on(grant.tokenize(&[])),
        Err(KeyError::Destroyed)
    ));
    assert!(matches!(ward.reopen(), Err(TenantKeyError::Destroyed)));
    assert_eq!(ward.dir().entries().unwrap().count(), 0);
    assert!(matches!(
        create(&ward, ward.dir(), "st-marys"),
        Err(TenantKeyError::Destroyed)
    ));

    let before = ward.log.drafts().len();
    block_on(ward.keys.destroy("test")).unwrap();
    assert_eq!(
        ward.log.drafts().len(),
        before,
        "a second time is no second entry"
    );
}

#[test]
fn minting_under_a_destroyed_key_is_a_recorded_refusal() {
    let ward = Ward::new("st-marys");
    let request = ward.request();
    block_on(ward.keys.destroy("test")).unwrap();
    assert!(matches!(ward.keys.mint(request), Err(KeyError::Destroyed)));
    let last = ward.last();
    assert_eq!(
        (last.kind, last.reasons),
        (EntryKind::KeyRefused, vec!["destroyed".to_owned()])
    );
}

#[test]
fn a_crash_while_destroying_is_finished_by_opening() {
    let ward = Ward::new("st-marys");
    let backup = ward.dir().read(TenantKeys::FILE).unwrap();
    block_on(ward.keys.destroy("test")).unwrap();
    // As if the process had died before the unlinking; a restored backup looks the same.
    for name in [TenantKeys::FILE, "kek-1.json.new"] {
        ward.dir().write(name, &backup).unwrap();
    }
    assert!(matches!(ward.reopen(), Err(TenantKeyError::Destroyed)));
    assert_eq!(ward.dir().entries().unwrap().count(), 0);
}

#[test]
fn i1_a_key_whose_end_cannot_be_recorded_lives_on() {
    let ward = Ward::new("st-marys");
    ward.log.refuse_from(0);
    assert!(matches!(
        block_on(ward.keys.destroy("test")),
        Err(TenantKeyError::NotRecorded(_))
    ));
    assert!(ward.keys.fingerprint(b"x").is_ok());
    assert!(ward.dir().exists(TenantKeys::FILE));
}

#[test]
fn i9_the_key_file_holds_no_key_in_clear() {
    let ward = Ward::new("st-marys");
    let text = ward.dir().read_to_string(TenantKeys::FILE).unwrap();
    let content: KeyFile = store::decode(TenantKeys::FILE, text.as_bytes()).unwrap();
    let wrapped = hex::decode(&content.wrapped).unwrap();
    let key = ward
        .root
        .unwrap(Wrapped::Tenant, &wrapped, ward.keys.tenant(), FIRST, None)
        .unwrap();
    assert!(!text.contains(&hex::encode(key.bytes())));
}
