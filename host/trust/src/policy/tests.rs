use nephron_keys::PublisherKey;

use super::*;
use crate::statement::Claim;

const NOW: u64 = 1_795_305_802;

const fn at(seconds: u64) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: 0,
    }
}

/// A vendor, a certifier and somebody whom nobody knows, with their keys.
struct People {
    vendor: PublisherKey,
    certifier: PublisherKey,
    stranger: PublisherKey,
}

impl People {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let draw = |name: &str| PublisherKey::create(&folder.path().join(name)).unwrap();
        Self {
            vendor: draw("vendor"),
            certifier: draw("certifier"),
            stranger: draw("stranger"),
        }
    }

    fn policy(&self) -> Policy {
        let party = |name: &str, key: &PublisherKey| Party {
            name: name.to_owned(),
            keys: vec![VerifyingKey::of_der(&key.public_der()).unwrap()],
            kinds: ["connector", "detector"].map(str::to_owned).into(),
        };
        Policy {
            vendors: vec![party("acme", &self.vendor)],
            certifiers: vec![party("lab", &self.certifier)],
            ..Policy::default()
        }
    }
}

fn signature() -> Statement {
    Statement {
        component: Digest::of(b"component"),
        claim: Claim {
            kind: "connector".to_owned(),
            name: "cloud".to_owned(),
            version: "1.2.0".to_owned(),
            counter: 7,
            window: Window {
                from: at(NOW - 1),
                until: at(NOW + 1),
            },
        },
        certificate: None,
    }
}

fn certificate() -> Statement {
    Statement {
        certificate: Some(Certificate {
            world: "llm-connector@0.1.0".to_owned(),
            report: Digest::of(b"report"),
            associates: vec!["example-ai".to_owned()],
            agreements: vec!["BAA-1".to_owned()],
            classes: vec![DataClass::Cleared, DataClass::Identifiable],
        }),
        ..signature()
    }
}

fn but(mut statement: Statement, change: impl FnOnce(&mut Statement)) -> Statement {
    change(&mut statement);
    statement
}

fn judge(policy: &Policy, statements: &str) -> Result<Vec<Vouch>, TrustError> {
    let offered = Offered {
        component: Digest::of(b"component"),
        kind: "connector",
        world: Some("llm-connector"),
    };
    policy.judge(offered, statements, at(NOW))
}

#[test]
fn what_a_vendor_signed_and_a_certifier_certified_is_vouched_for_by_both() {
    let people = People::new();
    let lines = [
        Envelope::sign(&signature(), &people.vendor).unwrap(),
        Envelope::sign(&certificate(), &people.certifier).unwrap(),
    ];
    let vouches = judge(&people.policy(), &lines.join("\n")).unwrap();
    let [vendor, certifier] = vouches.as_slice() else {
        panic!("{vouches:?}")
    };
    assert_eq!(vendor.by, "acme");
    assert_eq!((vendor.role, vendor.counter), (Role::Vendor, 7));
    assert_eq!(vendor.statement, Digest::of(lines[0].as_bytes()));
    assert_eq!(vendor.lineage("connector"), "vendor/acme/connector/cloud");
    assert_eq!(certifier.agreements, ["BAA-1"]);
    assert!(certifier.is_live(at(NOW)) && !certifier.is_live(at(NOW + 1)));
}

#[test]
fn each_way_of_not_being_vouched_for_is_refused_with_its_own_code() {
    let people = People::new();
    let signed = |statement: &Statement| Envelope::sign(statement, &people.vendor).unwrap();
    let certified = |statement: &Statement| {
        let certificate = Envelope::sign(statement, &people.certifier).unwrap();
        format!("{}\n{certificate}", signed(&signature()))
    };
    let by_stranger = |statement: &Statement| Envelope::sign(statement, &people.stranger).unwrap();
    let good = signed(&signature());
    // Another payload under the same signature.
    let tampered = {
        let (mine, other): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&good).unwrap(),
            serde_json::from_str(&signed(&but(signature(), |it| it.claim.counter = 9))).unwrap(),
        );
        let mut tampered = mine;
        tampered["payload"] = other["payload"].clone();
        tampered.to_string()
    };
    let of_another_type = good.replace("application/vnd.in-toto+json", "text/plain");
    let cases = [
        (String::new(), "unsigned"),
        ("nonsense".to_owned(), "statement-malformed"),
        (of_another_type, "statement-malformed"),
        (tampered, "statement-tampered"),
        (by_stranger(&signature()), "unknown-vendor"),
        (
            format!("{good}\n{}", by_stranger(&certificate())),
            "unknown-certifier",
        ),
        // Who may certify may not sign.
        (
            Envelope::sign(&signature(), &people.certifier).unwrap(),
            "unknown-vendor",
        ),
        (
            signed(&but(signature(), |it| it.component = Digest::of(b"other"))),
            "statement-of-another-component",
        ),
        (
            signed(&but(signature(), |it| {
                it.claim.kind = "exporter".to_owned()
            })),
            "statement-of-another-kind",
        ),
        (
            signed(&but(signature(), |it| it.claim.window.from = at(NOW))),
            "ok",
        ),
        (
            signed(&but(signature(), |it| {
                it.claim.window = Window {
                    from: at(NOW + 1),
                    until: at(NOW + 2),
                };
            })),
            "statement-not-yet-valid",
        ),
        (
            signed(&but(signature(), |it| it.claim.window.until = at(NOW))),
            "statement-expired",
        ),
        (
            certified(&but(certificate(), |it| it.claim.window.until = at(NOW))),
            "statement-expired",
        ),
        (
            certified(&but(certificate(), |it| {
                it.certificate.as_mut().unwrap().world = "access-policy@0.1.0".to_owned();
            })),
            "certificate-of-another-world",
        ),
    ];
    for (statements, code) in cases {
        let judged = judge(&people.policy(), &statements);
        let found = judged.as_ref().err().map_or("ok", TrustError::code);
        assert_eq!(found, code, "{statements}");
    }

    let revoking = |digest| Policy {
        revoked: [digest].into(),
        ..people.policy()
    };
    let of_key = Digest::of(&people.vendor.public_der());
    let elsewhere = Policy {
        vendors: vec![Party {
            kinds: ["decider".to_owned()].into(),
            ..people.policy().vendors.remove(0)
        }],
        ..people.policy()
    };
    let demanding = Policy {
        certified_kinds: ["connector".to_owned()].into(),
        ..people.policy()
    };
    for (policy, code) in [
        (revoking(of_key), "key-revoked"),
        (revoking(Digest::of(b"component")), "component-revoked"),
        (elsewhere, "not-trusted-for-kind"),
        (demanding, "uncertified"),
    ] {
        let refused = judge(&policy, &good).unwrap_err();
        assert_eq!(refused.code(), code);
        assert!(refused.to_string().len() > 30, "{refused}");
    }
}

#[test]
fn unsigned_is_taken_where_policy_says_so_but_what_does_not_hold_is_not() {
    let people = People::new();
    let policy = Policy {
        accepts_unsigned: true,
        ..people.policy()
    };
    assert_eq!(judge(&policy, "").unwrap(), []);
    let strange = Envelope::sign(&signature(), &people.stranger).unwrap();
    assert_eq!(judge(&policy, &strange).unwrap(), []);
    let other = but(signature(), |it| it.component = Digest::of(b"other"));
    let other = Envelope::sign(&other, &people.vendor).unwrap();
    let refused = judge(&policy, &other).unwrap_err();
    assert_eq!(refused.code(), "statement-of-another-component");
}

#[test]
fn of_several_by_one_the_greatest_counter_speaks_wherever_it_stands() {
    let people = People::new();
    let of = |counter| {
        let statement = but(signature(), |it| it.claim.counter = counter);
        Envelope::sign(&statement, &people.vendor).unwrap()
    };
    for lines in [[of(7), of(8)], [of(8), of(7)]] {
        let vouches = judge(&people.policy(), &lines.join("\n")).unwrap();
        assert_eq!(vouches.len(), 1);
        assert_eq!(vouches[0].counter, 8);
    }
}

#[test]
fn without_a_key_id_the_signer_is_found_by_the_signature() {
    let people = People::new();
    let line = Envelope::sign(&signature(), &people.vendor).unwrap();
    let mut envelope: serde_json::Value = serde_json::from_str(&line).unwrap();
    envelope["signatures"][0]
        .as_object_mut()
        .unwrap()
        .remove("keyid");
    let vouches = judge(&people.policy(), &envelope.to_string()).unwrap();
    assert_eq!(vouches[0].by, "acme");
    let mut two = envelope.clone();
    let again = two["signatures"][0].clone();
    two["signatures"].as_array_mut().unwrap().push(again);
    let refused = judge(&people.policy(), &two.to_string()).unwrap_err();
    assert_eq!(refused.code(), "statement-malformed");
}

/// Made by OpenSSL 3.0 and twenty lines of Python, which share no code with this.
#[test]
fn a_statement_under_ecdsa_of_another_tool_is_vouched_for() {
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4ivzVl65OF+F6bPT+FLn49oSi5XB\nJcg5Jd8L43zcxEq1ihClCE2CGeowfeHKsrXzQjF2eWEc2jGplrl8bF1xDw==\n-----END PUBLIC KEY-----\n";
    const ENVELOPE: &str = r#"{"payloadType": "application/vnd.in-toto+json", "payload": "eyJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwgInN1YmplY3QiOiBbeyJuYW1lIjogImNsb3VkIiwgImRpZ2VzdCI6IHsic2hhMjU2IjogIjY5ODVjYTFmNGRhYTVhNTg0YTI4ZWFlMDQzYTIzOWNiOTY2ODlhZjEzMzdlYTEzYWZiNjNlMDBjMmJmNTEyZmEifX1dLCAicHJlZGljYXRlVHlwZSI6ICJ1cm46bmVwaHJvbjpwbHVnaW4tc2lnbmF0dXJlOjEiLCAicHJlZGljYXRlIjogeyJraW5kIjogImNvbm5lY3RvciIsICJ2ZXJzaW9uIjogIjEuMi4wIiwgImNvdW50ZXIiOiA3LCAibm90QmVmb3JlIjogIjIwMjYtMTEtMDFUMDA6MDA6MDBaIiwgIm5vdEFmdGVyIjogIjIwMjctMTEtMDFUMDA6MDA6MDBaIn19", "signatures": [{"sig": "MEUCIQCCqTlHZ2kyfDFZWN9zfMmQmbyXys81fgAU78FgV8nzcAIgNgWUsLcbKbbFJ8BndLwhx9H2iYN/QKTahoF6HJnbY54="}]}"#;
    let mut policy = People::new().policy();
    policy.vendors[0].keys = vec![VerifyingKey::of_pem(KEY).unwrap()];
    let vouches = judge(&policy, ENVELOPE).unwrap();
    assert_eq!((vouches[0].by.as_str(), vouches[0].counter), ("acme", 7));
    let altered = ENVELOPE.replace("NgWUsLcb", "NgWUsLcc");
    assert_ne!(altered, ENVELOPE);
    let refused = judge(&policy, &altered).unwrap_err();
    assert_eq!(refused.code(), "unknown-vendor");
}

#[test]
fn a_statement_reads_as_it_was_written() {
    for statement in [signature(), certificate()] {
        let payload = statement.write().unwrap();
        assert_eq!(Statement::read(&payload).unwrap(), statement);
        let text = String::from_utf8(payload).unwrap();
        for (from, to) in [
            (
                "https://in-toto.io/Statement/v1",
                "https://in-toto.io/Statement/v0.1",
            ),
            ("\"counter\"", "\"count\""),
            ("\"sha256\"", "\"sha1\""),
            ("\"name\":\"cloud\"", "\"name\":\"\""),
            ("2026-", "two-"),
        ] {
            assert!(text.contains(from), "{from} in {text}");
            let changed = text.replace(from, to);
            assert!(Statement::read(changed.as_bytes()).is_err(), "{changed}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_none_is_vouched_for(text in ".{0,200}") {
        proptest::prop_assert!(judge(&Policy::default(), &text).is_err());
    }
}
