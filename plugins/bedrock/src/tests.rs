use nephron_sdk::Error;
use nephron_sdk::answer::{Failure, Frames, MAX_BYTES};
use nephron_sdk::connector::HttpRequest;
use proptest::prelude::*;

use crate::eventstream::{EventStream, StreamMessage};
use nephron_sdk::sigv4;

/// What botocore 1.44.8 says is to be signed, for the same request.
#[test]
fn what_is_signed_is_what_amazons_own_library_signs() {
    let request = HttpRequest {
        method: "POST".to_owned(),
        path: "/model/anthropic.claude-x-v1%3A0/converse-stream".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: br#"{"messages":[]}"#.to_vec(),
        credential: None,
    };
    let credential = "AKIDEXAMPLE/20261122/us-east-1/bedrock/aws4_request";
    let mut asked = Vec::new();
    let host = "bedrock-runtime.us-east-1.amazonaws.com";
    let (at, path) = (1_795_305_802, sigv4::Path::EscapedAgain);
    let signed = sigv4::sign(request.clone(), host, at, credential, path, |data| {
        asked = data.to_vec();
        Ok(vec![0xab; 32])
    })
    .unwrap();
    assert_eq!(
        String::from_utf8(asked).unwrap(),
        "AWS4-HMAC-SHA256\n20261122T000322Z\n20261122/us-east-1/bedrock/aws4_request\n\
         5457bbe059420deac6018d028e89fd21959781ce1f3463efaf0a39999b8eac2e"
    );
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={credential}, \
         SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature={}",
        "ab".repeat(32)
    );
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        signed.headers,
        [
            header("content-type", "application/json"),
            header("x-amz-date", "20261122T000322Z"),
            header(
                "x-amz-content-sha256",
                "5e4ce7b36ba37b78a5d5f9fd08e6b7b54ba6879d651aa46ec9e1d6fa24ebe30a"
            ),
            header("authorization", &authorization),
        ]
    );
    assert_eq!(signed.body, request.body);
    let refused = sigv4::sign(request, host, at, credential, path, |_| {
        Err(Error::Unavailable("no".to_owned()))
    });
    assert!(matches!(refused, Err(Error::Unavailable(_))));
}

fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut message = length(16 + headers.len() + payload.len()).to_vec();
    message.extend(length(headers.len()));
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

fn cut(bytes: &[u8], at: usize) -> Result<Vec<StreamMessage>, Failure> {
    let (mut stream, mut messages) = (EventStream::default(), Vec::new());
    let (first, second) = bytes.split_at(at);
    stream.push(first, &mut messages)?;
    stream.push(second, &mut messages)?;
    stream.finish(&mut messages)?;
    Ok(messages)
}

/// Two messages: one with a header of each type, one that is empty.
fn stream() -> Vec<u8> {
    let headers = [
        b"\x01a\x00".as_slice(),
        b"\x01b\x01",
        b"\x01c\x02\xff",
        b"\x01d\x03\0\x01",
        b"\x01e\x04\0\0\0\x01",
        b"\x01f\x05\0\0\0\0\0\0\0\x01",
        b"\x01g\x06\0\x02xy",
        b"\x03:et\x07\0\x03caf",
        b"\x01h\x08\0\0\0\0\0\0\0\x01",
        b"\x01i\x09ABCDEFGHIJKLMNOP",
    ]
    .concat();
    [framed(&headers, b"{}"), framed(b"", b"")].concat()
}

#[test]
fn messages_do_not_depend_on_where_the_bytes_are_cut() {
    let stream = stream();
    let expected = [
        StreamMessage {
            headers: vec![(":et".to_owned(), "caf".to_owned())],
            payload: b"{}".to_vec(),
        },
        StreamMessage::default(),
    ];
    for at in 0..=stream.len() {
        assert_eq!(cut(&stream, at).unwrap(), expected, "cut at {at}");
    }
}

#[test]
fn what_is_no_message_is_refused_before_it_is_waited_for() {
    let whole = stream();
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        assert!(cut(&flipped, 0).is_err(), "bit of byte {place}");
    }
    assert_eq!(cut(&whole[..whole.len() - 1], 5), Err(Failure::EndedEarly));
    let prelude = |total: u32, headers: u32| {
        let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        prelude.extend(crc32fast::hash(&prelude).to_be_bytes());
        prelude
    };
    for (total, headers, expected) in [
        (u32::MAX, 0, Failure::TooLong),
        (u32::try_from(MAX_BYTES).unwrap() + 1, 0, Failure::TooLong),
        (15, 0, Failure::Malformed),
        (0, 0, Failure::Malformed),
        (20, 5, Failure::Malformed),
        (20, u32::MAX, Failure::Malformed),
    ] {
        assert_eq!(cut(&prelude(total, headers), 12), Err(expected));
    }
    for headers in [
        b"\x01a\x0a".as_slice(),
        b"\x05a\x00",
        b"\x01a\x07\0\x02x",
        b"\x01\xff\x00",
    ] {
        assert_eq!(cut(&framed(headers, b""), 0), Err(Failure::Malformed));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), headers in prop::collection::vec(any::<u8>(), 0..60)) {
        drop(cut(&bytes, bytes.len() / 2));
        drop(cut(&framed(&headers, &bytes), 7));
    }
}
