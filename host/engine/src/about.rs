//! What a component says of itself. Nobody vouches for any of it, and nothing is decided by it.

use std::collections::BTreeSet;

use serde::Serialize;
use wasm_metadata::{Metadata, Payload};

/// What stands in a component's custom sections, those of its modules included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What it is called.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who made it.
    pub authors: Option<String>,
    /// Its licence, an SPDX expression.
    pub licenses: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// Which revision of that.
    pub revision: Option<String>,
    /// Where more is said of it.
    pub homepage: Option<String>,
    /// With what it was made: name and version of languages and tools.
    pub made_with: BTreeSet<String>,
    /// Its bill of materials: the packages that it consists of (a `.dep-v0` section, as `cargo auditable` writes it).
    pub packages: Option<BTreeSet<Package>>,
}

/// One package of a bill of materials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it came from: `crates.io`, `git`, `local`, `registry`, or another word.
    pub source: String,
    /// Whether it was only needed to build.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_for_building: bool,
}

/// Reads what a component or module says of itself; where its sections cannot be read, nothing.
#[must_use]
pub fn about(bytes: &[u8]) -> About {
    let mut about = About::default();
    if let Ok(payload) = Payload::from_binary(bytes) {
        about.take(&payload);
        about.take_tools(&payload);
    }
    about
}

impl About {
    /// The outermost that says something is heard.
    fn take(&mut self, payload: &Payload) {
        self.take_one(payload.metadata());
        if let Payload::Component { children, .. } = payload {
            for child in children {
                self.take(child);
            }
        }
    }

    /// All tools, but not those of what has a language around it: an interpreter says of what it was made itself.
    fn take_tools(&mut self, payload: &Payload) {
        let producers = payload.metadata().producers.as_ref();
        for (_, tools) in producers.iter().flat_map(|made| made.iter()) {
            for (name, version) in tools.iter() {
                self.made_with
                    .insert(format!("{name} {version}").trim().to_owned());
            }
        }
        let has_language = producers.is_some_and(|made| made.get("language").is_some());
        if let Payload::Component { children, .. } = payload
            && !has_language
        {
            for child in children {
                self.take_tools(child);
            }
        }
    }

    fn take_one(&mut self, metadata: &Metadata) {
        fn first(place: &mut Option<String>, said: Option<&impl ToString>) {
            if place.is_none() {
                *place = said
                    .map(ToString::to_string)
                    .filter(|said| !said.is_empty());
            }
        }
        first(&mut self.name, metadata.name.as_ref());
        first(&mut self.version, metadata.version.as_ref());
        first(&mut self.description, metadata.description.as_ref());
        first(&mut self.authors, metadata.authors.as_ref());
        first(&mut self.licenses, metadata.licenses.as_ref());
        first(&mut self.source, metadata.source.as_ref());
        first(&mut self.revision, metadata.revision.as_ref());
        first(&mut self.homepage, metadata.homepage.as_ref());
        if let Some(dependencies) = &metadata.dependencies {
            let packages = dependencies.version_info().packages.iter();
            let packages = packages.map(|package| Package {
                name: package.name.clone(),
                version: package.version.to_string(),
                source: String::from(package.source.clone()),
                is_for_building: package.kind != Default::default(),
            });
            self.packages.get_or_insert_default().extend(packages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A custom section, in a module or component.
    fn section(name: &str, data: &[u8]) -> Vec<u8> {
        fn leb(mut number: usize) -> Vec<u8> {
            let mut bytes = Vec::new();
            loop {
                let byte = u8::try_from(number & 0x7f).unwrap();
                number >>= 7;
                if number == 0 {
                    bytes.push(byte);
                    return bytes;
                }
                bytes.push(byte | 0x80);
            }
        }
        let inside = [&leb(name.len()), name.as_bytes(), data].concat();
        [&[0][..], &leb(inside.len()), &inside].concat()
    }

    /// The zlib form (RFC 1950) of a text, in one stored block.
    fn zlib(text: &[u8]) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in text {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        let adler = (b << 16 | a).to_be_bytes();
        let (length, inverse) = (length.to_le_bytes(), (!length).to_le_bytes());
        [&[0x78, 0x01, 0x01][..], &length, &inverse, text, &adler].concat()
    }

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_a_component_says_of_itself_is_read() {
        let packages = r#"{"packages":[{"name":"gate","version":"1.2.0","source":"local","dependencies":[1],"root":true},
            {"name":"itoa","version":"1.0.19","source":"crates.io"},
            {"name":"cc","version":"1.2.3","source":"crates.io","kind":"build"}]}"#;
        let mut component = COMPONENT.to_vec();
        component.extend(section("version", b"1.2.0"));
        component.extend(section("licenses", b"Apache-2.0"));
        component.extend(section(".dep-v0", &zlib(packages.as_bytes())));
        let about = about(&component);
        assert_eq!(about.version.as_deref(), Some("1.2.0"));
        assert_eq!(about.licenses.as_deref(), Some("Apache-2.0"));
        let packages: Vec<_> = about.packages.unwrap().into_iter().collect();
        let shown = packages.iter().map(|p| {
            format!(
                "{} {} {} {}",
                p.name, p.version, p.source, p.is_for_building
            )
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "cc 1.2.3 crates.io true",
                "gate 1.2.0 local false",
                "itoa 1.0.19 crates.io false"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let bomb = section(".dep-v0", b"no zlib");
        for bytes in [&b"ELF"[..], COMPONENT, &[COMPONENT, &bomb].concat()] {
            assert_eq!(about(bytes), About::default());
        }
    }
}
