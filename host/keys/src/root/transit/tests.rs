use serde_json::{Value, json};

use super::*;
use crate::RootKey;
use crate::root::wire::script::Script;

const KEK: &str = "nephron-st-marys-1-0badc0de";

fn transit(script: &Arc<Script>) -> Transit {
    Transit {
        exchange: script.clone(),
        token: Box::new(|| Ok(Phi::new("hvs.example".to_owned()))),
        mount: "transit".to_owned(),
        namespace: Some("ward".to_owned()),
    }
}

/// The exchanges are those of Vault's reference of the API (developer.hashicorp.com/vault/api-docs/secret/transit), written
/// down from it and not from a server, of which none is to be had here.
#[test]
fn exchanges_are_as_the_reference_of_the_api_says() {
    let text = include_str!("../../../../../tests/fixtures/exchanges/vault-transit.json");
    let exchanges: Vec<Value> = serde_json::from_str(text).unwrap();
    let answers: Vec<_> = exchanges
        .iter()
        .map(|exchange| {
            let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
            let body = &exchange["answer"];
            (
                status,
                if body.is_null() {
                    String::new()
                } else {
                    body.to_string()
                },
            )
        })
        .collect();
    let answers: Vec<_> = answers
        .iter()
        .map(|(status, body)| (*status, &**body))
        .collect();
    let script = Script::new(&answers);
    let transit = transit(&script);
    let (key, bound) = (Key::from_slice(&[7; 32]).unwrap(), RootKey::PROVIDED);

    assert_eq!(transit.make(KEK).unwrap(), KEK);
    let sealed = transit.wrap(KEK, &key, &bound).unwrap();
    assert!(sealed.starts_with(b"vault:v1:"));
    assert_eq!(
        transit.unwrap(KEK, &sealed, &bound).unwrap().bytes(),
        key.bytes()
    );
    let answer = transit.destroy(KEK).unwrap();
    assert_eq!(answer, "DELETE gave 204, and GET gives 404");

    let asked = script.asked.lock().unwrap();
    assert_eq!(asked.len(), exchanges.len());
    let bound = STANDARD.encode(bound.data());
    for (asked, exchange) in asked.iter().zip(&exchanges) {
        assert_eq!(asked.line, exchange["request"]);
        let mut body = exchange["body"].clone();
        if let Some(place) = body.get_mut("associated_data") {
            *place = bound.as_str().into();
        }
        assert_eq!(asked.body, body, "{}", asked.line);
        assert_eq!(asked.header("x-vault-token"), Some("hvs.example"));
        assert_eq!(asked.header("x-vault-namespace"), Some("ward"));
    }
}

#[test]
fn each_refusal_of_the_service_is_told_apart() {
    let refused = |status, errors: Value| {
        let script = Script::new(&[(status, &json!({ "errors": errors }).to_string())]);
        let bound = RootKey::PROVIDED;
        transit(&script)
            .unwrap(KEK, b"vault:v1:x", &bound)
            .unwrap_err()
    };
    for errors in [
        json!(["encryption key not found"]),
        json!(["no existing key named x could be found"]),
    ] {
        assert!(matches!(refused(400, errors), RootError::KekGone { .. }));
    }
    for errors in [
        json!(["cipher: message authentication failed"]),
        json!(["invalid ciphertext: could not decode base64"]),
    ] {
        assert!(matches!(refused(400, errors), RootError::NotAuthentic));
    }
    for (status, error) in [(403, "permission denied"), (503, "Vault is sealed")] {
        let said = refused(status, json!([error])).to_string();
        assert!(
            said.contains(error) && said.contains(&status.to_string()),
            "{said}"
        );
    }
}

/// Where the token may create keys, `encrypt` makes one that is missing.
#[test]
fn nothing_is_wrapped_under_a_key_that_is_not_there() {
    let script = Script::new(&[(404, r#"{"errors":[]}"#)]);
    let key = Key::from_slice(&[7; 32]).unwrap();
    let refused = transit(&script).wrap(KEK, &key, &RootKey::PROVIDED);
    assert!(matches!(refused, Err(RootError::KekGone { .. })));
    assert_eq!(script.lines(), [format!("GET /v1/transit/keys/{KEK}")]);
}

#[test]
fn a_key_that_is_still_there_was_not_destroyed() {
    let script = Script::new(&[(204, ""), (204, ""), (200, r#"{"data":{}}"#)]);
    let said = transit(&script).destroy(KEK).unwrap_err().to_string();
    assert!(said.contains("still answered"), "{said}");
}
