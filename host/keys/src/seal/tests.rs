use aes_gcm::aead::Aead as _;
use aes_gcm::aead::Payload;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Vector {
    description: String,
    boundary: String,
    boundary_key: String,
    key_version: u32,
    tenant: TenantId,
    record: String,
    field: String,
    purpose: String,
    context: String,
    salt: String,
    plaintext: String,
    associated_data: String,
    data_key: String,
    nonce: String,
    commitment: String,
    envelope: String,
}

/// The vectors were written by another implementation (Python's `cryptography`), from the document alone.
#[test]
fn envelopes_are_as_the_document_says() {
    let text = include_str!("../../../../tests/fixtures/vectors/envelope/sealed.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let boundaries = [
            Boundary::Wrap,
            Boundary::Vault,
            Boundary::AuditPayload,
            Boundary::Field,
        ];
        let boundary = boundaries
            .into_iter()
            .find(|b| b.as_str() == vector.boundary)
            .unwrap();
        let key = Key::from_slice(&hex::decode(&vector.boundary_key).unwrap()).unwrap();
        let salt: [u8; 32] = hex::decode(&vector.salt).unwrap().try_into().unwrap();
        let binding = Binding {
            tenant: Some(&vector.tenant),
            key_version: vector.key_version,
            record: &vector.record,
            field: &vector.field,
            purpose: &vector.purpose,
            context: &vector.context,
        };
        let what = &vector.description;
        let bound = associated_data(&header(boundary, vector.key_version), &binding);
        assert_eq!(hex::encode(&bound), vector.associated_data, "{what}");
        let derived = Derived::new(&key, &salt, &bound);
        assert_eq!(hex::encode(&*derived.key), vector.data_key, "{what}");
        assert_eq!(hex::encode(&derived.nonce), vector.nonce, "{what}");
        assert_eq!(
            hex::encode(&derived.commitment),
            vector.commitment,
            "{what}"
        );
        let sealed =
            seal_with_salt(&key, boundary, &binding, vector.plaintext.as_bytes(), salt).unwrap();
        assert_eq!(hex::encode(&sealed), vector.envelope, "{what}");
        assert_eq!(sealed.len(), vector.plaintext.len() + OVERHEAD);
        let opened = open(&key, boundary, &binding, &sealed).unwrap();
        assert_eq!(*opened, vector.plaintext.as_bytes(), "{what}");
    }
}

/// Test case 16 of the GCM specification that SP 800-38D cites (McGrew and Viega, appendix B): AES-256, associated
/// data, a plaintext that ends within a block.
#[test]
fn aes_256_gcm_gives_the_published_result() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let key: [u8; 32] = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
        .try_into()
        .unwrap();
    let nonce: [u8; 12] = bytes("cafebabefacedbaddecaf888").try_into().unwrap();
    let plaintext = bytes(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525",
        "b16aedf5aa0de657ba637b39"
    ));
    let payload = Payload {
        msg: &plaintext,
        aad: &bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    };
    let sealed = Aes256Gcm::new(&key.into())
        .encrypt(&nonce.into(), payload)
        .unwrap();
    assert_eq!(
        hex::encode(&sealed),
        concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838",
            "c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b"
        )
    );
}

const PLACE: Binding<'static> = Binding {
    tenant: None,
    key_version: 1,
    record: "record",
    field: "field",
    purpose: "TREAT",
    context: "context",
};

#[test]
fn two_envelopes_of_the_same_text_have_nothing_in_common() {
    let key = Key::draw().unwrap();
    let [one, other] = [(); 2].map(|()| seal(&key, Boundary::Field, &PLACE, b"same").unwrap());
    assert_eq!(one[..HEADER_LEN], other[..HEADER_LEN]);
    assert_ne!(
        one[HEADER_LEN..HEADER_LEN + SALT_LEN],
        other[HEADER_LEN..HEADER_LEN + SALT_LEN]
    );
    let body = HEADER_LEN + SALT_LEN + COMMITMENT_LEN;
    assert_ne!(one[body..], other[body..]);
}

#[test]
fn each_bound_word_is_bound_and_none_runs_into_the_next() {
    let key = Key::draw().unwrap();
    let tenant: TenantId = "st-marys".parse().unwrap();
    let sealed = seal(&key, Boundary::Field, &PLACE, b"text").unwrap();
    let elsewhere = [
        Binding {
            tenant: Some(&tenant),
            ..PLACE
        },
        Binding {
            key_version: 2,
            ..PLACE
        },
        Binding {
            record: "recordf",
            field: "ield",
            ..PLACE
        },
        Binding {
            record: "field",
            field: "record",
            ..PLACE
        },
        Binding { field: "", ..PLACE },
        Binding {
            purpose: "HRESCH",
            ..PLACE
        },
        Binding {
            context: "",
            ..PLACE
        },
        Binding {
            purpose: "",
            context: "TREATcontext",
            ..PLACE
        },
    ];
    for binding in elsewhere {
        assert_eq!(
            open(&key, Boundary::Field, &binding, &sealed),
            Err(NotAuthentic)
        );
    }
    assert_eq!(
        open(&key, Boundary::Vault, &PLACE, &sealed),
        Err(NotAuthentic)
    );
    assert_eq!(
        open(&Key::draw().unwrap(), Boundary::Field, &PLACE, &sealed),
        Err(NotAuthentic)
    );
    assert!(open(&key, Boundary::Field, &PLACE, &sealed).is_ok());
}

/// What plain AES-GCM does not give: bytes that authenticate under the cipher, but whose commitment is another key's.
#[test]
fn a_ciphertext_that_authenticates_under_another_key_does_not_open() {
    let [mine, other] = [(); 2].map(|()| Key::draw().unwrap());
    let sealed = seal(&mine, Boundary::Field, &PLACE, b"text").unwrap();
    // The header, salt and ciphertext of `mine`, with the commitment that `other` would give.
    let salt: [u8; 32] = sealed[HEADER_LEN..HEADER_LEN + SALT_LEN]
        .try_into()
        .unwrap();
    let bound = associated_data(&header(Boundary::Field, 1), &PLACE);
    let mut forged = sealed;
    let place = HEADER_LEN + SALT_LEN..HEADER_LEN + SALT_LEN + COMMITMENT_LEN;
    forged[place].copy_from_slice(&Derived::new(&other, &salt, &bound).commitment);
    assert_eq!(
        open(&mine, Boundary::Field, &PLACE, &forged),
        Err(NotAuthentic)
    );
    assert_eq!(
        open(&other, Boundary::Field, &PLACE, &forged),
        Err(NotAuthentic)
    );
}

#[test]
fn every_flipped_bit_and_every_cut_of_one_envelope_fails() {
    let key = Key::draw().unwrap();
    let sealed = seal(&key, Boundary::Field, &PLACE, b"synthetic note").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            open(&key, Boundary::Field, &PLACE, &flipped),
            Err(NotAuthentic),
            "bit {bit}"
        );
    }
    for length in 0..sealed.len() {
        assert_eq!(
            open(&key, Boundary::Field, &PLACE, &sealed[..length]),
            Err(NotAuthentic)
        );
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(
        open(&key, Boundary::Field, &PLACE, &longer),
        Err(NotAuthentic)
    );
}

/// Property tests draw what the kernel drew once, so that a failure repeats.
fn key_of(seed: [u8; 32]) -> Key {
    Key::from_slice(&seed).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(
        seed: [u8; 32], plaintext: Vec<u8>, record: String, field: String, purpose: String, context: String,
    ) {
        let key = key_of(seed);
        let binding = Binding {
            tenant: None, key_version: 1, record: &record, field: &field, purpose: &purpose, context: &context,
        };
        let sealed = seal(&key, Boundary::Field, &binding, &plaintext).unwrap();
        prop_assert_eq!(&*open(&key, Boundary::Field, &binding, &sealed).unwrap(), &plaintext);
    }

    #[test]
    fn a_flipped_bit_of_envelope_or_bound_text_fails(
        seed: [u8; 32], plaintext: Vec<u8>, texts in prop::array::uniform4("[ -~]{1,12}"),
        bit: prop::sample::Index, text in 0usize..4, place: prop::sample::Index,
    ) {
        let key = key_of(seed);
        let bind = |texts: &[String; 4]| -> Vec<u8> {
            let [record, field, purpose, context] = texts;
            let binding = Binding { tenant: None, key_version: 1, record, field, purpose, context };
            seal_with_salt(&key, Boundary::Field, &binding, &plaintext, [7; 32]).unwrap()
        };
        let sealed = bind(&texts);

        let mut flipped = sealed.clone();
        let bit = bit.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let [record, field, purpose, context] = &texts;
        let binding = Binding { tenant: None, key_version: 1, record, field, purpose, context };
        prop_assert_eq!(open(&key, Boundary::Field, &binding, &flipped), Err(NotAuthentic));

        // The lowest bit of a printable character is another printable character, or DEL.
        let mut other = texts.clone();
        let mut bytes = other[text].clone().into_bytes();
        let at = place.index(bytes.len());
        bytes[at] ^= 1;
        other[text] = String::from_utf8(bytes).unwrap();
        let [record, field, purpose, context] = &other;
        let binding = Binding { tenant: None, key_version: 1, record, field, purpose, context };
        prop_assert_eq!(open(&key, Boundary::Field, &binding, &sealed), Err(NotAuthentic));
    }

    #[test]
    fn bytes_from_anywhere_open_nothing_and_break_nothing(seed: [u8; 32], bytes: Vec<u8>) {
        prop_assert_eq!(open(&key_of(seed), Boundary::Field, &PLACE, &bytes), Err(NotAuthentic));
    }
}
