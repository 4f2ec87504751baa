//! Secrets by reference: the configuration says where one is, never what it is.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use nephron_model::Phi;
use zeroize::Zeroizing;

use super::reader::{Table, Value};

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// A file that others than its owner and group may not touch. Its last line break is not part of the secret.
    File(PathBuf),
    /// An environment variable of this process, by name.
    Environment(String),
}

/// The most bytes a secret's file may have.
const LARGEST: usize = 64 << 10;

impl SecretRef {
    /// Reads the secret now. What is returned prints nothing and overwrites itself.
    ///
    /// # Errors
    /// [`SecretError`], naming the place and never the secret.
    pub fn resolve(&self) -> Result<Phi<String>, SecretError> {
        self.resolve_in(|name| std::env::var_os(name))
    }

    fn resolve_in(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Phi<String>, SecretError> {
        let bytes = match self {
            Self::File(path) => read(path)?,
            Self::Environment(name) => {
                let value =
                    environment(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
                Zeroizing::new(value.into_encoded_bytes())
            }
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText {
            place: self.to_string(),
        })?;
        let text = text
            .strip_suffix('\n')
            .map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() {
            return Err(SecretError::Empty {
                place: self.to_string(),
            });
        }
        Ok(Phi::new(text.to_owned()))
    }

    /// Reads `{ file = "…" }`, relative to the configuration's folder, or `{ environment = "NAME" }`.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        if value.is_text() {
            // The text is not repeated: it may well be the secret.
            value.fault("is a secret and must not stand here; write `{ file = \"…\" }` or `{ environment = \"NAME\" }`, and change the secret if others have seen this file");
            return None;
        }
        let read = |table: &mut Table<'_>| {
            let file = table.value("file");
            let environment = table.value("environment");
            match (file, environment) {
                (Some(file), None) => file.path().map(Self::File),
                (None, Some(name)) => {
                    let rule = "must be the name of an environment variable: letters, digits and `_`, not starting with a digit";
                    name.text_that(rule, is_variable).map(Self::Environment)
                }
                (Some(_), Some(second)) => {
                    second.fault("cannot stand beside `file`: a secret is in one place; remove one of the two");
                    None
                }
                (None, None) => {
                    table.missing(
                        "file",
                        "file = \"secrets/name\"` or `environment = \"NAME\"",
                    );
                    None
                }
            }
        };
        value.table(read).flatten()
    }
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
        }
    }
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Its file cannot be opened or read.
    #[error(
        "cannot read the secret in file `{path}`; create it, readable to this process alone (mode 600)"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Everyone on the machine can get at its file.
    #[error(
        "file `{path}` has mode {mode:03o}, so that anyone on this machine can read or change the secret; run `chmod 600` on it"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any secret.
    #[error("file `{path}` has more than {LARGEST} bytes; check that it is the secret's file")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The variable is not there.
    #[error(
        "environment variable `{name}` is not set; set it for this process, or keep the secret in a file"
    )]
    NotSet {
        /// Its name.
        name: String,
    },
    /// Nothing in it.
    #[error("the secret in {place} is empty; put the secret there")]
    Empty {
        /// Where.
        place: String,
    },
    /// Not UTF-8.
    #[error("the secret in {place} is not UTF-8 text; encode it, for example in base64")]
    NotText {
        /// Where.
        place: String,
    },
}

fn read(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.clone(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that what is checked is what is read.
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(SecretError::OpenToOthers {
            path: path.clone(),
            mode,
        });
    }
    // Room for all of it and one more: a buffer that grows would leave copies behind that nobody overwrites.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 64));
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > LARGEST {
        return Err(SecretError::TooLarge { path: path.clone() });
    }
    Ok(bytes)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, SecretRef) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, SecretRef::File(path))
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        for (content, expected) in [
            ("correct horse\n", "correct horse"),
            ("correct horse\r\n", "correct horse"),
            (" correct horse \n\n", " correct horse \n"),
            ("correct horse", "correct horse"),
        ] {
            let (_folder, secret) = file(content.as_bytes(), 0o640);
            assert_eq!(secret.resolve().ok().unwrap().expose(), expected);
        }
    }

    #[test]
    fn a_file_that_others_can_touch_is_refused() {
        for mode in [0o644, 0o602, 0o601] {
            let (_folder, secret) = file(b"correct horse", mode);
            assert!(
                matches!(secret.resolve(), Err(SecretError::OpenToOthers { mode: found, .. }) if found == mode)
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        let (_folder, empty) = file(b"\n", 0o600);
        assert!(matches!(empty.resolve(), Err(SecretError::Empty { .. })));
        let (_folder, binary) = file(b"canary\xff", 0o600);
        let error = binary.resolve().err().unwrap();
        assert!(
            matches!(error, SecretError::NotText { .. })
                && !format!("{error} {error:?}").contains("canary")
        );
        let (_folder, large) = file(&vec![b'x'; LARGEST + 1], 0o600);
        assert!(matches!(large.resolve(), Err(SecretError::TooLarge { .. })));
        let (folder, _secret) = file(b"", 0o600);
        let absent = SecretRef::File(folder.path().join("absent"));
        assert!(matches!(
            absent.resolve(),
            Err(SecretError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_variable_gives_its_value() {
        let environment =
            |name: &str| (name == "PASSPHRASE").then(|| OsString::from("correct horse"));
        let secret = |name: &str| SecretRef::Environment(name.to_owned()).resolve_in(environment);
        assert_eq!(secret("PASSPHRASE").ok().unwrap().expose(), "correct horse");
        assert!(matches!(secret("OTHER"), Err(SecretError::NotSet { name }) if name == "OTHER"));
    }
}
