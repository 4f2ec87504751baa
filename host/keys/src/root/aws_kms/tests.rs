use nephron_model::FixedClock;
use serde_json::json;

use super::*;
use crate::root::wire::script::Script;
use crate::root::{Wrapped, wrapped};

const KEK: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn kms(script: &Arc<Script>) -> AwsKms {
    AwsKms {
        exchange: script.clone(),
        // 2026-11-22T00:03:22Z
        clock: Arc::new(FixedClock::at(1_795_305_802)),
        region: "eu-central-1".to_owned(),
        access_key_id: "AKIDEXAMPLE000000000".to_owned(),
        secret: Box::new(|| Ok(Phi::new("secret".to_owned()))),
        session_token: Some(Box::new(|| Ok(Phi::new("token".to_owned())))),
    }
}

/// The answers are those that AWS's reference of the API shows.
#[test]
fn requests_are_as_the_reference_of_the_api_says() {
    let key = Key::from_slice(&[7; 32]).unwrap();
    let plaintext = STANDARD.encode([7; 32]);
    let opened = json!({ "KeyId": KEK, "Plaintext": plaintext }).to_string();
    let script = Script::new(&[
        (
            200,
            &json!({ "KeyMetadata": { "KeyId": KEK, "KeyState": "Enabled" } }).to_string(),
        ),
        (
            200,
            r#"{"CiphertextBlob":"AQIDBA==","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
        ),
        (200, &opened),
        (
            200,
            r#"{"DeletionDate":1.7959104e9,"KeyState":"PendingDeletion","PendingWindowInDays":7}"#,
        ),
    ]);
    let kms = kms(&script);
    let tenant = "st-marys".parse().unwrap();
    let bound = Bound(wrapped(Wrapped::Tenant, &tenant, 3));
    let kek = kms.make("nephron-st-marys-3-00").unwrap();
    assert_eq!(kek, KEK);
    let sealed = kms.wrap(&kek, &key, &bound).unwrap();
    assert_eq!(sealed, [1, 2, 3, 4]);
    assert_eq!(
        kms.unwrap(&kek, &sealed, &bound).unwrap().bytes(),
        key.bytes()
    );
    let answer = kms.destroy(&kek).unwrap();
    assert!(
        answer.contains("can be cancelled") && answer.contains("1795910400"),
        "{answer}"
    );

    let asked = script.asked.lock().unwrap();
    let targets: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("x-amz-target"))
        .collect();
    assert_eq!(
        targets,
        [
            Some("TrentService.CreateKey"),
            Some("TrentService.Encrypt"),
            Some("TrentService.Decrypt"),
            Some("TrentService.ScheduleKeyDeletion")
        ]
    );
    let context = json!({
        "nephron:use": "key-encryption-key", "nephron:tenant": "st-marys", "nephron:version": "3",
    });
    assert_eq!(
        asked[0].body["Tags"][0]["TagValue"],
        "nephron-st-marys-3-00"
    );
    assert_eq!(
        asked[1].body,
        json!({ "KeyId": KEK, "Plaintext": plaintext, "EncryptionContext": context })
    );
    assert_eq!(
        asked[2].body,
        json!({ "KeyId": KEK, "CiphertextBlob": "AQIDBA==", "EncryptionContext": context })
    );
    assert_eq!(
        asked[3].body,
        json!({ "KeyId": KEK, "PendingWindowInDays": 7 })
    );
    for asked in asked.iter() {
        assert_eq!(asked.header("x-amz-date"), Some("20261122T000322Z"));
        assert_eq!(asked.header("x-amz-security-token"), Some("token"));
        let authorization = asked.header("authorization").unwrap();
        let signed = "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target,";
        assert!(authorization.contains(signed), "{authorization}");
    }
}

#[test]
fn each_refusal_of_the_service_is_told_apart() {
    let bound = crate::RootKey::PROVIDED;
    let ask = |status, answer: Value| {
        let script = Script::new(&[(status, &answer.to_string())]);
        kms(&script).unwrap(KEK, b"x", &bound).unwrap_err()
    };
    let fault = |kind: &str, message: &str| json!({ "__type": kind, "message": message });
    assert!(matches!(
        ask(400, fault("NotFoundException", "")),
        RootError::KekGone { .. }
    ));
    assert!(matches!(
        ask(400, fault("com.amazonaws.kms#NotFoundException", "")),
        RootError::KekGone { .. }
    ));
    let pending = fault("KMSInvalidStateException", "arn:... is pending deletion.");
    assert!(matches!(ask(400, pending), RootError::KekGone { .. }));
    for kind in ["InvalidCiphertextException", "IncorrectKeyException"] {
        assert!(matches!(ask(400, fault(kind, "")), RootError::NotAuthentic));
    }
    // What may pass is no end.
    for (kind, message) in [
        ("KMSInvalidStateException", "arn:... is pending import."),
        ("DisabledException", "arn:... is disabled."),
        ("AccessDeniedException", "no"),
        ("ThrottlingException", "later"),
    ] {
        let said = ask(400, fault(kind, message)).to_string();
        assert!(said.contains(kind) && said.contains(message), "{said}");
    }
    let said = ask(502, Value::Null).to_string();
    assert!(said.contains("502"), "{said}");
    let silent = Script::new(&[]);
    let said = kms(&silent)
        .unwrap(KEK, b"x", &bound)
        .unwrap_err()
        .to_string();
    assert!(said.contains("nobody answers"), "{said}");
}
