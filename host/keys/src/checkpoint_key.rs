//! The key that signs the checkpoints of a tenant's log.
//!
//! It is wrapped by the root and not by the tenant's key, so that it outlives that: when the tenant's data is shredded, what
//! its log says can still be proved, and the entry of the shredding itself is signed like any other. Its public half stands
//! in the log. It seals and opens nothing.

use cap_std::fs::Dir;
use nephron_model::{Clock, Digest, NotSigned, Recorder, Records, Signer, TenantId};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use crate::fate::{Fate, content, unrecorded};
use crate::hex;
use crate::ring::FIRST;
use crate::root::{RootKey, Wrapped};
use crate::secret::Key;
use crate::store::{self, FileError};
use crate::tenant_key::TenantKeyError;

/// An Ed25519 key (RFC 8032) for one tenant's checkpoints. It gives its public half and signatures.
pub struct CheckpointKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl CheckpointKey {
    /// The key file's name in the folder it is given; 1 is the key's version.
    pub const FILE: &str = "checkpoint-1.json";

    /// Opens the tenant's key in `dir`, or, if the log knows of none, draws one, after a `key-changed` entry with its public
    /// half is durable. A crash leaves either no key or one that the next call opens.
    ///
    /// # Errors
    /// [`TenantKeyError::Unrecorded`] or [`TenantKeyError::OtherTenant`] when file and log say so;
    /// [`TenantKeyError::File`] when the file is missing though the log knows of it, damaged or readable by others;
    /// [`TenantKeyError::Destroyed`] when the log says that it was destroyed; [`TenantKeyError::NotRecorded`] when the log
    /// refuses; the others when root, log or machine fail.
    pub async fn open_or_create(
        dir: &Dir,
        tenant: &TenantId,
        root: &RootKey,
        clock: &dyn Clock,
        recorder: &dyn Recorder,
        records: &dyn Records,
    ) -> Result<Self, TenantKeyError> {
        match Fate::of(records, Self::FILE)? {
            Some(Fate::Created { file }) => Self::open(dir, tenant, root, file),
            Some(Fate::Destroyed) => Err(TenantKeyError::Destroyed),
            None if dir.symlink_metadata(Self::FILE).is_ok() => Err(unrecorded(Self::FILE)),
            None => Self::create(dir, tenant, root, clock, recorder).await,
        }
    }

    async fn create(
        dir: &Dir,
        tenant: &TenantId,
        root: &RootKey,
        clock: &dyn Clock,
        recorder: &dyn Recorder,
    ) -> Result<Self, TenantKeyError> {
        let seed = Key::draw()?;
        let key = Self::of(&seed)?;
        let public = hex::encode(&key.public);
        let wrapped = root.wrap(Wrapped::Checkpoint, &seed, tenant, FIRST, None)?;
        let content = KeyFile {
            format: Format::V1,
            tenant: tenant.clone(),
            version: FIRST,
            created: clock.now().to_string(),
            public: public.clone(),
            wrapped: hex::encode(&wrapped),
        };
        let text = store::encode(Self::FILE, content)?;
        store::prepare(dir, Self::FILE, &text)?;
        let file = Digest::of(&text);
        let entry = Fate::Created { file }.entry(Self::FILE, FIRST);
        // When this fails the entry may yet be found durable, so what was prepared stays for the next call to look at.
        let _durable = recorder.record(entry.fact("public-key", public)).await?;
        store::settle(dir, Self::FILE)?;
        Ok(key)
    }

    fn open(
        dir: &Dir,
        tenant: &TenantId,
        root: &RootKey,
        recorded: Digest,
    ) -> Result<Self, TenantKeyError> {
        let content: KeyFile = content(dir, Self::FILE, recorded)?;
        if content.tenant != *tenant || content.version != FIRST {
            return Err(TenantKeyError::OtherTenant {
                name: Self::FILE.to_owned(),
            });
        }
        let wrapped = hex::decode(&content.wrapped)
            .ok_or_else(|| damaged("the wrapped key is no hexadecimal text"))?;
        let key = Self::of(&root.unwrap(Wrapped::Checkpoint, &wrapped, tenant, FIRST, None)?)?;
        if hex::encode(&key.public) != content.public {
            return Err(damaged("public and wrapped key are not of one pair").into());
        }
        Ok(key)
    }

    fn of(seed: &Key) -> Result<Self, FileError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes())
            .map_err(|_| damaged("it holds no Ed25519 key"))?;
        let public = pair.public_key().as_ref().try_into();
        let public = public.map_err(|_| damaged("it holds no Ed25519 key"))?;
        Ok(Self { pair, public })
    }
}

fn damaged(what: &'static str) -> FileError {
    FileError::Damaged {
        name: CheckpointKey::FILE.to_owned(),
        what,
    }
}

impl Signer for CheckpointKey {
    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().map_err(|_| NotSigned {
            reason: "the signature has another length".to_owned(),
        })
    }
}

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", hex::encode(&self.public))
    }
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeyFile {
    format: Format,
    tenant: TenantId,
    version: u32,
    created: String,
    public: String,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "nephron checkpoint key 1")]
    V1,
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::PublicKey;
    use crate::ward::{Ward, dir};

    fn open(ward: &Ward) -> Result<CheckpointKey, TenantKeyError> {
        open_in(ward, &ward.dir())
    }

    fn open_in(ward: &Ward, dir: &Dir) -> Result<CheckpointKey, TenantKeyError> {
        block_on(CheckpointKey::open_or_create(
            dir,
            ward.keys.tenant(),
            &ward.root,
            &*ward.clock,
            &ward.log,
            &ward.log,
        ))
    }

    #[test]
    fn a_key_is_made_once_and_its_public_half_stands_in_the_log() {
        let ward = Ward::new("st-marys");
        let key = open(&ward).unwrap();
        let entry = ward.last();
        assert_eq!(entry.outcome, "created");
        assert_eq!(entry.facts["key-file"], CheckpointKey::FILE);
        assert_eq!(entry.facts["public-key"], hex::encode(&key.public_key()));
        let entries = ward.log.drafts().len();
        let again = open(&ward).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(ward.log.drafts().len(), entries);
        let signature = again.sign(b"text").unwrap();
        let public = PublicKey::ed25519(key.public_key());
        assert!(public.verify(b"text", &signature).is_ok());
        assert!(public.verify(b"test", &signature).is_err());
    }

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn a_signature_is_that_of_the_rfc() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let seed = Key::from_slice(&hex::decode(seed).unwrap()).unwrap();
        let key = CheckpointKey::of(&seed).unwrap();
        assert_eq!(
            hex::encode(&key.public_key()),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        assert_eq!(
            hex::encode(&key.sign(&[0x72]).unwrap()),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn a_tenant_whose_data_was_shredded_still_signs() {
        let ward = Ward::new("st-marys");
        let key = open(&ward).unwrap();
        block_on(ward.keys.destroy("test")).unwrap();
        assert!(ward.keys.fingerprint(b"text").is_err());
        let again = open(&ward).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert!(again.sign(b"text").is_ok());
    }

    #[test]
    fn i1_no_key_is_made_that_is_not_recorded() {
        let ward = Ward::new("st-marys");
        ward.log.refuse_from(0);
        let refused = open(&ward).unwrap_err();
        assert!(
            matches!(refused, TenantKeyError::NotRecorded(_)),
            "{refused}"
        );
        assert!(!ward.dir().exists(CheckpointKey::FILE));
        ward.log.accept();
        open(&ward).unwrap();
    }

    #[test]
    fn a_crash_before_or_after_the_entry_is_finished_by_opening() {
        let ward = Ward::new("st-marys");
        let waiting = format!("{}.new", CheckpointKey::FILE);
        ward.dir().write(&waiting, b"half a fi").unwrap();
        let key = open(&ward).unwrap();
        let dir = ward.dir();
        dir.rename(CheckpointKey::FILE, &dir, &waiting).unwrap();
        assert_eq!(open(&ward).unwrap().public_key(), key.public_key());
        assert!(dir.exists(CheckpointKey::FILE) && !dir.exists(&waiting));
    }

    #[test]
    fn a_lost_key_is_not_replaced_and_a_strange_one_not_taken() {
        let [ward, other] = ["st-marys", "general"].map(Ward::new);
        open(&ward).unwrap();
        open(&other).unwrap();
        let text = other.dir().read(CheckpointKey::FILE).unwrap();
        let kept = ward.dir().read(CheckpointKey::FILE).unwrap();
        let put = |text: &[u8]| {
            ward.dir().remove_file(CheckpointKey::FILE).unwrap();
            store::prepare(&ward.dir(), CheckpointKey::FILE, text).unwrap();
            store::settle(&ward.dir(), CheckpointKey::FILE).unwrap();
        };
        put(&text);
        let refused = open(&ward).unwrap_err();
        assert!(
            matches!(refused, TenantKeyError::Unrecorded { .. }),
            "{refused}"
        );
        put(&kept);
        open(&ward).unwrap();
        ward.dir().remove_file(CheckpointKey::FILE).unwrap();
        let missing = open(&ward).unwrap_err();
        assert!(
            matches!(missing, TenantKeyError::File(FileError::Missing { .. })),
            "{missing}"
        );
        // One that no entry speaks of.
        let folder = tempfile::tempdir().unwrap();
        let fresh = Ward::new("st-marys");
        store::prepare(&dir(&folder), CheckpointKey::FILE, &kept).unwrap();
        store::settle(&dir(&folder), CheckpointKey::FILE).unwrap();
        let refused = open_in(&fresh, &dir(&folder)).unwrap_err();
        assert!(
            matches!(refused, TenantKeyError::Unrecorded { .. }),
            "{refused}"
        );
    }

    #[test]
    fn neither_wrapped_key_stands_in_for_the_other() {
        let ward = Ward::new("st-marys");
        let (key, tenant) = (Key::draw().unwrap(), ward.keys.tenant());
        for (one, other) in [
            (Wrapped::Tenant, Wrapped::Checkpoint),
            (Wrapped::Checkpoint, Wrapped::Tenant),
        ] {
            let wrapped = ward.root.wrap(one, &key, tenant, FIRST, None).unwrap();
            assert!(ward.root.unwrap(one, &wrapped, tenant, FIRST, None).is_ok());
            assert!(
                ward.root
                    .unwrap(other, &wrapped, tenant, FIRST, None)
                    .is_err()
            );
        }
    }

    #[test]
    fn i9_a_checkpoint_key_prints_its_public_half_alone() {
        let key = CheckpointKey::of(&Key::from_slice(&[7; 32]).unwrap()).unwrap();
        let printed = format!("{key:?}");
        assert_eq!(
            printed,
            format!("CheckpointKey({})", hex::encode(&key.public_key()))
        );
        assert!(!printed.contains("0707"));
    }
}
