//! Tenants' keys under keys of a hardware module, which SoftHSM plays.

use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_audit::Log;
use nephron_keys::{
    Boundary, KeyError, Pkcs11, Pkcs11Token, RootError, RootKey, RootProvider, TenantKeyError,
    TenantKeys,
};
use nephron_model::{EntryKind, FixedClock, Phi, TenantId};
use nephron_tests::{NOW, SoftHsm};

fn open(module: &Path, label: &str, pin: &str) -> Result<Pkcs11, RootError> {
    let token = Pkcs11Token::Labelled(label.to_owned());
    Pkcs11::open(module, &token, Phi::new(pin.to_owned()))
}

fn dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

struct Ward {
    folder: tempfile::TempDir,
    tenant: TenantId,
    root: Arc<RootKey>,
    clock: Arc<FixedClock>,
    log: Arc<Log>,
}

impl Ward {
    fn new(provider: Arc<Pkcs11>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = RootKey::create_with(&dir(folder.path()), provider).unwrap();
        let (tenant, clock): (TenantId, _) = ("st-marys".parse().unwrap(), FixedClock::at(NOW));
        let clock = Arc::new(clock);
        let options = nephron_audit::Options::default();
        let log = Log::open(&folder.path().join("log"), &tenant, clock.clone(), options);
        Self {
            tenant,
            root: Arc::new(root),
            clock,
            log: Arc::new(log.unwrap()),
            folder,
        }
    }

    async fn create(&self) -> TenantKeys {
        let (tenant, clock) = (self.tenant.clone(), self.clock.clone());
        let (recorder, records) = (self.log.clone(), self.log.clone());
        TenantKeys::create(self.keys(), tenant, &self.root, clock, recorder, records)
            .await
            .unwrap()
    }

    fn open(&self) -> Result<TenantKeys, TenantKeyError> {
        let (tenant, clock) = (self.tenant.clone(), self.clock.clone());
        let (recorder, records) = (self.log.clone(), self.log.clone());
        TenantKeys::open(self.keys(), tenant, &self.root, clock, recorder, records)
    }

    fn keys(&self) -> Dir {
        let keys = self.folder.path().join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        dir(&keys)
    }

    /// What the log says of changes of keys.
    fn changes(&self) -> Vec<String> {
        let entries = (0..self.log.head().entries).map(|at| self.log.entry(at).unwrap().unwrap());
        let changes = entries.filter(|entry| entry.header.kind == EntryKind::KeyChanged);
        changes.map(|entry| entry.header.outcome).collect()
    }
}

#[tokio::test]
async fn a_tenant_lives_and_ends_by_its_key_in_the_module() {
    let test = "pkcs11::a_tenant_lives_and_ends_by_its_key_in_the_module";
    let Some(module) = SoftHsm::module_in_child(test) else {
        return;
    };
    let provider = Arc::new(open(&module, SoftHsm::LABEL, SoftHsm::PIN).unwrap());
    let ward = Ward::new(provider.clone());
    let keys = ward.create().await;
    let fingerprint = keys.fingerprint(b"record").unwrap();
    keys.rotate(&Boundary::ROTATED, "test").await.unwrap();
    assert_eq!(keys.seal_payload(None, "prompt", b"note").unwrap()[9], 2);
    drop(keys);

    // The next process has files, log and token, and that is enough.
    let keys = ward.open().unwrap();
    assert_eq!(keys.fingerprint(b"record").unwrap(), fingerprint);
    let status = keys.status().unwrap();
    assert_eq!((status.provider, status.keks.len()), ("pkcs11", 2));

    let shredded = keys.destroy("test").await.unwrap();
    assert_eq!(shredded.answers.len(), 2);
    for (kek, answer) in &shredded.answers {
        assert!(
            answer.contains("CKR_OK") && answer.contains("token `nephron`"),
            "{answer}"
        );
        let gone = provider.destroy(kek);
        assert!(matches!(gone, Err(RootError::KekGone { .. })));
    }
    assert!(matches!(keys.fingerprint(b"x"), Err(KeyError::Destroyed)));
    assert!(matches!(ward.open(), Err(TenantKeyError::Destroyed)));
    assert_eq!(
        ward.changes(),
        [
            "creating",
            "created",
            "rotating",
            "created",
            "rewrapped",
            "rewrapped-all",
            "destroyed",
            "kek-destroyed",
            "kek-destroyed"
        ]
    );
    // The keys are gone; what the log says still holds.
    let (log, folder) = (ward.log, ward.folder.path().join("log"));
    drop(keys);
    Arc::into_inner(log).unwrap().close().unwrap();
    let verdict = nephron_audit::verify(&folder, nephron_audit::VerifyOptions::default());
    assert!(verdict.unwrap().verified);
}

/// Whoever holds the token can destroy a tenant's key there, without us.
#[tokio::test]
async fn a_key_that_was_destroyed_in_the_module_is_missed_by_name() {
    let test = "pkcs11::a_key_that_was_destroyed_in_the_module_is_missed_by_name";
    let Some(module) = SoftHsm::module_in_child(test) else {
        return;
    };
    let provider = Arc::new(open(&module, SoftHsm::LABEL, SoftHsm::PIN).unwrap());
    let ward = Ward::new(provider.clone());
    let keys = ward.create().await;
    let kek = keys.status().unwrap().keks.remove(0).name;
    provider.destroy(&kek).unwrap();
    let refused = ward.open().err().unwrap();
    assert!(
        matches!(&refused, TenantKeyError::Root(RootError::KekGone { kek: gone, .. }) if *gone == kek),
        "{refused}"
    );
}

#[test]
fn what_is_wrong_with_a_module_or_its_token_is_told() {
    let test = "pkcs11::what_is_wrong_with_a_module_or_its_token_is_told";
    let Some(module) = SoftHsm::module_in_child(test) else {
        return;
    };
    let refused = |opened: Result<Pkcs11, RootError>| opened.err().unwrap().to_string();
    let said = refused(open(Path::new("/nowhere.so"), SoftHsm::LABEL, SoftHsm::PIN));
    assert!(
        said.contains("cannot load its module: `/nowhere.so`"),
        "{said}"
    );
    let said = refused(open(&module, "another", SoftHsm::PIN));
    assert!(said.contains("there are `nephron` in slot"), "{said}");
    let said = refused(open(&module, SoftHsm::LABEL, "0000"));
    assert!(said.contains("refuses the PIN"), "{said}");
    assert!(!said.contains("0000"), "{said}");
    open(&module, SoftHsm::LABEL, SoftHsm::PIN).unwrap();
}

#[test]
fn a_wrapped_key_opens_with_its_own_file_and_token_alone() {
    let test = "pkcs11::a_wrapped_key_opens_with_its_own_file_and_token_alone";
    let Some(module) = SoftHsm::module_in_child(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let provider = || Arc::new(open(&module, SoftHsm::LABEL, SoftHsm::PIN).unwrap());
    let made = RootKey::create_with(&dir(folder.path()), provider()).unwrap();
    let mac = made.mac_key("aot").mac(b"x");
    let opened = RootKey::open_with(&dir(folder.path()), provider()).unwrap();
    assert_eq!(opened.mac_key("aot").mac(b"x"), mac);

    // One flipped bit of what the token gave: in the nonce, the ciphertext, the tag.
    let path = folder.path().join("root.key");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let whole = file["content"]["wrapped"].as_str().unwrap().to_owned();
    assert_eq!(whole.len(), 2 * (12 + 32 + 16));
    for at in [0, 30, 100] {
        let digit = u8::from_str_radix(&whole[at..=at], 16).unwrap() ^ 1;
        let mut wrapped = whole.clone();
        wrapped.replace_range(at..=at, &format!("{digit:x}"));
        file["content"]["wrapped"] = wrapped.into();
        let content = serde_json::to_string(&ordered(&file["content"])).unwrap();
        let digest = nephron_model::Digest::of(content.as_bytes()).to_string();
        let altered = format!("{{\"content\":{content},\"digest\":\"{digest}\"}}");
        std::fs::write(&path, altered).unwrap();
        let refused = RootKey::open_with(&dir(folder.path()), provider()).err();
        assert!(
            matches!(refused, Some(RootError::NotAuthentic)),
            "{refused:?}"
        );
    }
}

/// The file's content with its members in the order that the digest is taken over.
#[derive(serde::Serialize, serde::Deserialize)]
struct Content {
    format: String,
    provider: String,
    kek: String,
    wrapped: String,
}

fn ordered(content: &serde_json::Value) -> Content {
    serde_json::from_value(content.clone()).unwrap()
}
