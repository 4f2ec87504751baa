//! `[root-key]` and `[key-rotation]`: what wraps tenants' keys, and how long each lasts.

use std::path::PathBuf;
use std::time::Duration;

use nephron_keys::{Pkcs11Token, Schedule};

use super::aws::AccessKey;
use super::reader::{Table, Value};
use super::secret::SecretRef;
use super::url::BaseUrl;

/// The provider of the root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKey {
    /// A file in the data folder, sealed under a passphrase.
    File {
        /// Where the passphrase is.
        passphrase: SecretRef,
    },
    /// A hardware module, through its PKCS #11 library.
    Pkcs11 {
        /// The library.
        module: PathBuf,
        /// Which of its tokens.
        token: Pkcs11Token,
        /// Where the PIN of its user is.
        pin: SecretRef,
    },
    /// AWS KMS.
    AwsKms {
        /// By which access key, and in which region.
        key: AccessKey,
        /// Where it is.
        service: KeyService,
    },
    /// The transit engine of Vault or OpenBao.
    Transit {
        /// Where it is.
        service: KeyService,
        /// Where the token is that stands for us; read anew for each request.
        token: SecretRef,
        /// Where the engine is mounted.
        mount: String,
        /// The namespace, where there are such.
        namespace: Option<String>,
    },
}

/// A key service. It may be in a private network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyService {
    /// Its address.
    pub url: BaseUrl,
    /// Certificates to trust in place of the web's roots, in PEM.
    pub authority: Option<PathBuf>,
}

/// The providers, as `provider` names them.
#[derive(Clone, Copy)]
enum Provider {
    File,
    Pkcs11,
    AwsKms,
    Transit,
}

impl RootKey {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let providers = [
            ("file", Provider::File),
            ("pkcs11", Provider::Pkcs11),
            ("aws-kms", Provider::AwsKms),
            ("vault-transit", Provider::Transit),
        ];
        let provider = table.required("provider", "provider = \"file\"");
        // Of an unknown one, what is likeliest is looked at, so that all faults are told at once.
        let known = provider.map(|value| value.choice(&providers));
        match known.flatten().unwrap_or(Provider::File) {
            Provider::File => {
                let example = "passphrase = { file = \"passphrase\" }";
                let passphrase = secret(table, "passphrase", example);
                known.flatten()?;
                Some(Self::File {
                    passphrase: passphrase?,
                })
            }
            Provider::Pkcs11 => {
                let module = table.required("module", "module = \"/usr/lib/vendor/libpkcs11.so\"");
                let module = module.and_then(|value| value.path());
                let token = token(table);
                let pin = secret(table, "pin", "pin = { file = \"secrets/pin\" }");
                Some(Self::Pkcs11 {
                    module: module?,
                    token: token?,
                    pin: pin?,
                })
            }
            Provider::AwsKms => {
                let key = AccessKey::read(table);
                let usual = key.as_ref().map_or("eu-central-1", |key| &key.region);
                let usual = format!("https://kms.{usual}.amazonaws.com");
                let service = KeyService::read(table, usual.parse().ok());
                Some(Self::AwsKms {
                    key: key?,
                    service: service?,
                })
            }
            Provider::Transit => {
                let service = KeyService::read(table, None);
                let token = secret(table, "token", "token = { file = \"secrets/vault-token\" }");
                let rule = "must be names of `a-z`, `A-Z`, `0-9`, `-` and `_`, parted by `/`";
                let path = |value: Value<'_>| value.text_that(rule, is_path);
                let mount = table
                    .value("mount")
                    .map_or_else(|| Some("transit".to_owned()), path);
                let namespace = match table.value("namespace") {
                    Some(value) => path(value).map(Some),
                    None => Some(None),
                };
                Some(Self::Transit {
                    service: service?,
                    token: token?,
                    mount: mount?,
                    namespace: namespace?,
                })
            }
        }
    }
}

impl KeyService {
    /// `usual` is where it is unless `url` says otherwise.
    fn read(table: &mut Table<'_>, usual: Option<BaseUrl>) -> Option<Self> {
        let given = table.value("url");
        if given.is_none() && usual.is_none() {
            table.missing("url", "url = \"https://vault.example:8200\"");
        }
        let url: Option<BaseUrl> = match &given {
            Some(value) => value.parsed(),
            None => usual,
        };
        if let (Some(value), Some(url)) = (&given, &url) {
            if !(url.is_https() || url.is_loopback()) {
                value.fault("would send keys unencrypted to another machine; use `https://`");
            }
            if !url.path().is_empty() {
                value.fault("must have no path; remove it");
            }
        }
        let authority = match table.value("ca") {
            Some(value) => value.path().map(Some),
            None => Some(None),
        };
        Some(Self {
            url: url?,
            authority: authority?,
        })
    }
}

/// Names of letters, digits, `-` and `_`, parted by `/`.
fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !name.is_empty() && name.bytes().all(known)
    };
    text.len() <= 200 && text.split('/').all(is_name)
}

fn secret(table: &mut Table<'_>, key: &'static str, example: &str) -> Option<SecretRef> {
    let value = table.required(key, example)?;
    SecretRef::read(&value)
}

/// `token-label`, or `slot` where labels do not tell tokens apart.
fn token(table: &mut Table<'_>) -> Option<Pkcs11Token> {
    let (label, slot) = (table.value("token-label"), table.value("slot"));
    match (label, slot) {
        (Some(label), None) => {
            let rule = "must be the label of a token: 1 to 32 bytes";
            let label = label.text_that(rule, |text| (1..=32).contains(&text.len()))?;
            Some(Pkcs11Token::Labelled(label))
        }
        (None, Some(_)) => Some(Pkcs11Token::InSlot(table.count("slot", 0..=u64::MAX, 0))),
        (Some(_), Some(slot)) => {
            slot.fault(
                "cannot stand beside `token-label`: one of them says which token; remove the other",
            );
            None
        }
        (None, None) => {
            table.missing("token-label", "token-label = \"nephron\"");
            None
        }
    }
}

/// How long keys last before they are rotated.
pub(super) fn schedule(table: &mut Table<'_>) -> Schedule {
    let day = Duration::from_secs(24 * 60 * 60);
    let mut after = |key| table.duration(key, day..=day * 1_100, Schedule::QUARTER);
    Schedule {
        vault: after("vault"),
        audit_payload: after("audit-payload"),
        field: after("field"),
        retired: after("keep-retired"),
    }
}
