//! Key-encryption keys in a hardware module, or what acts as one, through its vendor's PKCS #11 library.
//!
//! Each is an AES-256 key that was made in the token, is sensitive and was never extractable (PKCS #11 v3.1 §4.9.1), and
//! wraps by AES-GCM (§6.13.4). What it gives is the nonce (12 bytes), the ciphertext (32) and the tag (16). A nonce is
//! random, and a key wraps a few dozen times in its life, far below the 2^32 of SP 800-38D §8.3.
//!
//! A session is opened for each operation and closed after it: these are rare, and a token that was taken out and put back,
//! or a module that was restarted, needs no restart of ours.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use nephron_model::Phi;
use zeroize::Zeroizing;

use crate::random;
use crate::root::{Bound, RootError, RootProvider, gone};
use crate::secret::Key;

/// A token of a PKCS #11 module.
pub struct Pkcs11 {
    module: Module,
    slot: Slot,
    pin: AuthPin,
    /// One operation at a time: login is the process's, not a session's (PKCS #11 v3.1 §2.6).
    turn: Mutex<()>,
}

/// Which token of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// That of this label.
    Labelled(String),
    /// The one in this slot.
    InSlot(u64),
}

const NAME: &str = "pkcs11";
const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

impl Pkcs11 {
    /// Loads `module` and logs in to the token, to see that all is well.
    ///
    /// # Errors
    /// [`RootError::Provider`], which says what did not work.
    pub fn open(module: &Path, token: &Token, pin: Phi<String>) -> Result<Self, RootError> {
        let load = "load its module";
        let loaded = Module::new(module).map_err(|error| {
            let path = module.display();
            refused(
                load,
                format!("`{path}`: {error}; name the library that came with the token"),
            )
        })?;
        match loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Somebody in this process did so before.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(load)(error)),
        }
        let slot = slot_of(&loaded, token)?;
        let opened = Self {
            module: loaded,
            slot,
            pin: AuthPin::from(pin.into_inner()),
            turn: Mutex::default(),
        };
        opened.with("log in", |_| Ok(()))?;
        Ok(opened)
    }

    /// Acts in a session of its own.
    fn with<T>(
        &self,
        what: &'static str,
        act: impl FnOnce(&Session) -> Result<T, RootError>,
    ) -> Result<T, RootError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let session = self.module.open_rw_session(self.slot);
        let session = session.map_err(failed(what))?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect, _)) => {
                let why = "the token refuses the PIN; correct it before it locks itself";
                return Err(refused(what, why.to_owned()));
            }
            Err(error) => return Err(failed(what)(error)),
        }
        act(&session)
    }

    /// The same with the key of that label.
    fn with_key<T>(
        &self,
        what: &'static str,
        label: &str,
        act: impl FnOnce(&Session, ObjectHandle) -> Result<T, RootError>,
    ) -> Result<T, RootError> {
        self.with(what, |session| {
            let key = find(session, label).map_err(failed(what))?;
            act(session, key.ok_or_else(|| gone(NAME, label))?)
        })
    }
}

impl RootProvider for Pkcs11 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn make(&self, label: &str) -> Result<String, RootError> {
        let what = "make a key";
        self.with(what, |session| {
            let wanted = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::ValueLen(32.into()),
                Attribute::Label(label.as_bytes().to_vec()),
            ];
            let key = session.generate_key(&Mechanism::AesKeyGen, &wanted);
            let key = key.map_err(failed(what))?;
            // Some tokens take a template and do otherwise.
            let kinds = [AttributeType::NeverExtractable, AttributeType::AlwaysSensitive];
            let made = session.get_attributes(key, &kinds);
            let made = made.map_err(failed(what))?;
            let is_held = made.contains(&Attribute::NeverExtractable(true))
                && made.contains(&Attribute::AlwaysSensitive(true));
            if is_held {
                return Ok(label.to_owned());
            }
            session.destroy_object(key).map_err(failed(what))?;
            let why = "the token does not keep its keys from being read; its policy must let it make sensitive keys that are not extractable";
            Err(refused(what, why.to_owned()))
        })
    }

    fn wrap(&self, kek: &str, key: &Key, bound: &Bound<'_>) -> Result<Vec<u8>, RootError> {
        let what = "wrap a key";
        let mut nonce: [u8; NONCE] = random::bytes()?;
        let bound = bound.data();
        let sealed = self.with_key(what, kek, |session, kek| {
            let mechanism = gcm(&mut nonce, &bound).map_err(failed(what))?;
            session
                .encrypt(&mechanism, kek, key.bytes())
                .map_err(failed(what))
        })?;
        // The nonce last: a token may have put one of its own there.
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn unwrap(&self, kek: &str, wrapped: &[u8], bound: &Bound<'_>) -> Result<Key, RootError> {
        let what = "open a wrapped key";
        let split = wrapped.split_first_chunk::<NONCE>();
        let (nonce, sealed) = split.ok_or(RootError::NotAuthentic)?;
        let (mut nonce, bound) = (*nonce, bound.data());
        let opened = self.with_key(what, kek, |session, kek| {
            let mechanism = gcm(&mut nonce, &bound).map_err(failed(what))?;
            let opened = session.decrypt(&mechanism, kek, sealed);
            opened.map(Zeroizing::new).map_err(|error| {
                if does_not_fit(&error) {
                    RootError::NotAuthentic
                } else {
                    failed(what)(error)
                }
            })
        })?;
        Key::from_slice(&opened).ok_or(RootError::NotAuthentic)
    }

    fn destroy(&self, kek: &str) -> Result<String, RootError> {
        let what = "destroy a key";
        self.with_key(what, kek, |session, key| {
            session.destroy_object(key).map_err(failed(what))?;
            if find(session, kek).map_err(failed(what))?.is_some() {
                return Err(refused(what, "it is there still".to_owned()));
            }
            let token = self.module.get_token_info(self.slot);
            let token = token.map_err(failed(what))?;
            let (label, serial) = (token.label().trim_end(), token.serial_number().trim_end());
            Ok(format!(
                "C_DestroyObject gave CKR_OK, and C_FindObjects finds it no more; token `{label}`, serial number {serial}"
            ))
        })
    }
}

fn slot_of(module: &Module, token: &Token) -> Result<Slot, RootError> {
    let what = "find its token";
    let slots = module.get_slots_with_token().map_err(failed(what))?;
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        let info = module.get_token_info(slot).map_err(failed(what))?;
        let is_it = match token {
            Token::Labelled(label) => info.label().trim_end() == label,
            Token::InSlot(id) => slot.id() == *id,
        };
        labels.push(format!(
            "`{}` in slot {}",
            info.label().trim_end(),
            slot.id()
        ));
        if is_it {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] if labels.is_empty() => Err(refused(what, "the module shows no token".to_owned())),
        [] => Err(refused(what, format!("there are {}", labels.join(", ")))),
        [_, _, ..] => Err(refused(
            what,
            format!(
                "more than one has this label; name its slot: {}",
                labels.join(", ")
            ),
        )),
    }
}

fn find(session: &Session, label: &str) -> Result<Option<ObjectHandle>, Error> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    Ok(session.find_objects(&wanted)?.into_iter().next())
}

fn gcm<'a>(nonce: &'a mut [u8], bound: &'a [u8]) -> Result<Mechanism<'a>, Error> {
    GcmParams::new(nonce, bound, TAG_BITS.into()).map(Mechanism::AesGcm)
}

/// What tokens answer to a tag that does not fit: the standard leaves it open (PKCS #11 v3.1 §5.1.6).
const fn does_not_fit(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::GeneralError
                | RvError::FunctionFailed,
            _,
        )
    )
}

/// The library's errors name a function and a code of the standard, and nothing else.
fn failed(what: &'static str) -> impl Fn(Error) -> RootError {
    move |error| refused(what, error.to_string())
}

fn refused(what: &'static str, why: String) -> RootError {
    crate::root::refused(NAME, what, why)
}
