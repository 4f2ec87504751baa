//! Callers for whom a real provider of OpenID Connect vouches.

use std::time::Duration;

use nephron_model::{Clock as _, EventId, SystemClock};
use nephron_tests::{IdentityProvider, MockModel, Received, Served, Setup};
use serde_json::{Value, json};

use super::certificates::{Pki, post};
use super::{asking, event, facts, opening, reason};

/// A gateway that believes this provider. Its clock stands at the time of the provider's.
async fn serve(provider: &IdentityProvider, more: &str, listen: &str) -> Served {
    serve_with(Setup::default(), provider, more, listen).await
}

async fn serve_with(setup: Setup, provider: &IdentityProvider, more: &str, listen: &str) -> Served {
    let issuer = provider.issuer();
    let oidc = format!(
        "[[oidc]]\nid = \"hospital\"\nissuer = \"{issuer}\"\naudiences = [\"https://nephron.example\"]\n\
         roles-claim = [\"realm\", \"roles\"]\nmfa-acr = [\"urn:example:two-factors\"]\ncaller-prefix = \"\"\n{more}\n\
         [oidc.role-purposes]\nphysician = [\"TREAT\"]\nbilling = [\"HPAYMT\"]\n"
    );
    let begun = SystemClock.now().seconds;
    let served = setup.at(begun).and(&oidc).serve(listen).await;
    // Opening it took a while.
    let now = SystemClock.now().seconds;
    served
        .clock
        .advance(Duration::from_secs(now.saturating_sub(begun)));
    served
}

/// On a machine that is busy the provider's clock may be far ahead of the gateway's, which stands still.
const ST_MARYS: &str = "tenant = \"st-marys\"\nleeway = \"5m\"";

async fn ask(served: &Served, token: &str) -> Received {
    served.post(Some(token), &[], &asking()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_providers_tokens_are_believed_by_whichever_key_they_are_signed() {
    let provider = IdentityProvider::start();
    let served = serve(&provider, ST_MARYS, "").await;
    let mut answers = Vec::new();
    for client in ["ward-rs256", "ward-es256", "ward-eddsa"] {
        let answer = ask(&served, &provider.token(client, None).await).await;
        assert_eq!(answer.status, 200, "{client}: {}", answer.text);
        answers.push((client, answer));
    }
    let former = provider.token("ward-es256", None).await;
    provider.rotate().await;
    let token = provider.token("ward-es256", None).await;
    // Whoever sends keys that nobody knows cannot make the gateway ask for them all the time.
    let early = ask(&served, &token).await;
    assert_eq!(
        (early.status, reason(&early).as_str()),
        (401, "unknown-key-id")
    );
    assert_eq!(ask(&served, &former).await.status, 200);
    served.clock.advance(Duration::from_secs(10));
    let rotated = ask(&served, &token).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert_eq!(reason(&ask(&served, &former).await), "unknown-key-id");
    answers.push(("ward-es256", rotated));

    let billing = provider.token("billing", None).await;
    let treatment = [("x-purpose-of-use", "TREAT")];
    let other = served.post(Some(&billing), &treatment, &asking()).await;
    served.clock.advance(Duration::from_secs(2_000));
    let late = ask(&served, &token).await;

    let rig = served.reopened().await;
    for (client, answer) in &answers {
        let opened = opening(&rig, "st-marys", event(answer));
        assert_eq!(opened.header.caller.as_deref(), Some(*client));
        let mfa = if *client == "ward-eddsa" { "-" } else { "true" };
        assert_eq!(
            facts(&opened, &["authentication", "credential", "roles", "mfa"]),
            ["oidc", "hospital", "physician", mfa]
        );
    }
    for (answer, caller, why) in [
        (&other, "billing", "purpose-not-granted"),
        (&late, "ward-es256", "expired-token"),
    ] {
        let refused = opening(&rig, "st-marys", event(answer));
        assert_eq!(
            (answer.status, refused.header.reasons[0].as_str()),
            (401, why)
        );
        assert_eq!(refused.header.caller.as_deref(), Some(caller));
    }
}

/// A refusal: under which event, for what, and whether it is known whose it is.
type Refused = (Option<EventId>, String, bool);

/// What a forged token is refused for, and whether it is known whose it is.
async fn check(
    (served, provider): (&Served, &IdentityProvider),
    (header, claims, key): (&Value, &Value, &str),
    (expected, is_known): (&str, bool),
) -> Refused {
    let token = provider.forge(header, claims, key).await;
    let answer = ask(served, &token).await;
    let found = reason(&answer);
    assert_eq!(
        (answer.status, found.as_str()),
        (401, expected),
        "{header} {claims}"
    );
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    (event(&answer), found, is_known)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_is_refused_by_name_and_nothing_is_sent() {
    let provider = IdentityProvider::start();
    let model = MockModel::start(200, "ok").await;
    let cleared = "cleared-without-baa = \"safe-harbor\"";
    let setup = Setup::default().upstream(&model.url(), "", cleared);
    let by_claim = "tenant-claim = \"tenant\"\ntenants = [\"st-marys\"]";
    let served = serve_with(setup, &provider, by_claim, "").await;
    let mut refused = Vec::new();
    let (kid, now) = (provider.kid().await, served.clock.now().seconds);
    let right = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
    let claims = json!({
        "iss": provider.issuer(), "aud": "https://nephron.example", "sub": "dr.okafor", "jti": "1", "tenant": "st-marys",
        "iat": now, "exp": now + 600, "realm": { "roles": ["physician"] },
    });
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let both = (&served, &provider);
    // Signed as it should be, it is believed.
    let token = provider.forge(&right, &claims, "own").await;
    assert_eq!(ask(&served, &token).await.status, 200);
    assert_eq!(model.seen().len(), 1);

    for (name, value, key, expected) in [
        ("alg", json!("none"), "none", "algorithm-not-allowed"),
        ("alg", json!("None"), "none", "algorithm-not-allowed"),
        ("alg", json!("HS256"), "public", "algorithm-not-allowed"),
        ("alg", json!("ES512"), "own", "algorithm-not-allowed"),
        ("alg", json!("RS256"), "public", "unknown-key-id"),
        ("alg", json!(1), "none", "malformed-token"),
        (
            "jku",
            json!("http://127.0.0.1:1/jwks"),
            "stranger",
            "bad-signature",
        ),
        ("jwk", json!({ "kty": "EC" }), "stranger", "bad-signature"),
        (
            "kid",
            json!("../../../../dev/null"),
            "own",
            "unknown-key-id",
        ),
        ("kid", json!("' OR 1=1 --"), "own", "unknown-key-id"),
        ("kid", json!(null), "stranger", "bad-signature"),
        ("crit", json!(["exp"]), "own", "malformed-token"),
        ("typ", json!("logout+jwt"), "own", "malformed-token"),
    ] {
        let one = check(
            both,
            (&with(&right, name, value), &claims, key),
            (expected, false),
        )
        .await;
        refused.push(one);
    }
    for (name, value, expected, is_known) in [
        (
            "iss",
            json!("https://another.example"),
            "wrong-issuer",
            false,
        ),
        (
            "iss",
            json!(format!("{}/", provider.issuer())),
            "wrong-issuer",
            false,
        ),
        (
            "aud",
            json!("https://another.example"),
            "wrong-audience",
            false,
        ),
        ("aud", json!(null), "wrong-audience", false),
        (
            "sub",
            json!("Zebulon Quackenbush"),
            "unusable-claims",
            false,
        ),
        ("sub", json!(["dr.okafor"]), "unusable-claims", false),
        (
            "realm",
            json!({ "roles": [{ "physician": true }] }),
            "unusable-claims",
            false,
        ),
        ("tenant", json!("lakeside"), "no-tenant", false),
        ("tenant", json!("../st-marys"), "no-tenant", false),
        ("exp", json!(now - 31), "expired-token", true),
        ("exp", json!(null), "expired-token", true),
        ("exp", json!("never"), "malformed-token", true),
        ("nbf", json!(now + 60), "not-yet-valid", true),
        ("iat", json!(now + 60), "not-yet-valid", true),
        ("iat", json!(now - 90_000), "token-too-old", true),
        ("iat", json!(null), "token-too-old", true),
        (
            "cnf",
            json!({ "jkt": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" }),
            "wrong-certificate",
            true,
        ),
    ] {
        let one = check(
            both,
            (&right, &with(&claims, name, value), "own"),
            (expected, is_known),
        )
        .await;
        refused.push(one);
    }
    // A claim that is there twice, and what is no object.
    let twice = claims.to_string().replacen('{', "{\"sub\":\"admin\",", 1);
    for text in [json!(twice), json!("[]"), json!("no JSON")] {
        refused.push(check(both, (&right, &text, "own"), ("malformed-token", false)).await);
    }
    // Whom no role and no provider gives a purpose of use is known all the same.
    let visitor = with(&claims, "realm", json!({ "roles": ["visitor"] }));
    let token = provider.forge(&right, &visitor, "own").await;
    let aimless = ask(&served, &token).await;
    assert_eq!(
        (aimless.status, reason(&aimless).as_str()),
        (401, "purpose-not-granted")
    );
    assert_eq!(model.seen().len(), 1, "something was sent");
    let rig = served.reopened().await;
    let opened = opening(&rig, "st-marys", event(&aimless));
    assert_eq!(opened.header.reasons, ["purpose-not-granted"]);
    assert_eq!(opened.header.caller.as_deref(), Some("dr.okafor"));
    assert_eq!(opened.header.purpose, None);
    // Each is in its tenant's log, or in the host's, or, beyond what that records one by one, counted there.
    let host = rig.host_entries();
    let mut uncounted = 0;
    for (event, reason, is_known) in refused {
        if is_known {
            assert_eq!(opening(&rig, "st-marys", event).header.reasons, [reason]);
        } else if event.is_some() {
            let entry = host.iter().find(|entry| entry.header.request == event);
            assert_eq!(entry.unwrap().header.reasons, [reason]);
        } else {
            uncounted += 1;
        }
    }
    let counts = host
        .iter()
        .filter_map(|entry| entry.header.counts.get("unauthenticated"));
    assert_eq!(counts.sum::<u64>(), uncounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_use_is_refused_the_second_time() {
    let provider = IdentityProvider::start();
    let served = serve(&provider, &format!("{ST_MARYS}\none-use = true"), "").await;
    let token = provider.token("ward-es256", None).await;
    assert_eq!(ask(&served, &token).await.status, 200);
    let again = ask(&served, &token).await;
    assert_eq!(
        (again.status, reason(&again).as_str()),
        (401, "replayed-token")
    );
    let another = provider.token("ward-es256", None).await;
    assert_eq!(ask(&served, &another).await.status, 200);
    let rig = served.reopened().await;
    let refused = opening(&rig, "st-marys", event(&again));
    assert_eq!(refused.header.reasons, ["replayed-token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_certificate_is_of_use_with_that_alone() {
    let provider = IdentityProvider::start();
    let pki = Pki::make();
    let listen = pki.listen("client-certificates = \"optional\"");
    let served = serve(&provider, ST_MARYS, &listen).await;
    let authority = pki.authority();
    let (own, other) = (
        pki.uri("spiffe://st-marys/a"),
        pki.uri("spiffe://st-marys/b"),
    );
    let token = provider.token("bound", Some(&own.0)).await;
    let ask = async |shown| {
        post(&served, &authority, shown, Some(token.as_str()))
            .await
            .unwrap()
    };
    let answer = ask(Some(&own)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for shown in [Some(&other), None] {
        let answer = ask(shown).await;
        assert_eq!(
            (answer.status, reason(&answer).as_str()),
            (401, "wrong-certificate")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_used_for_a_while_when_their_provider_is_gone() {
    let provider = IdentityProvider::start();
    let more = format!("{ST_MARYS}\nrefresh = \"10s\"\nstale = \"60s\"");
    let served = serve(&provider, &more, "").await;
    let token = provider.token("ward-es256", None).await;
    assert_eq!(ask(&served, &token).await.status, 200);
    drop(provider);
    served.clock.advance(Duration::from_secs(30));
    assert_eq!(ask(&served, &token).await.status, 200);
    served.clock.advance(Duration::from_secs(60));
    let answer = ask(&served, &token).await;
    assert_eq!(
        (answer.status, reason(&answer).as_str()),
        (503, "no-issuer-keys")
    );
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert_eq!(answer.header("x-should-retry"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_logs_in_with_two_factors_is_shown_identities_and_one_who_does_not_is_not() {
    let provider = IdentityProvider::start();
    let setup = Setup::default().second_decider("mfa").and(super::MFA);
    let served = serve_with(setup, &provider, ST_MARYS, "").await;
    let asked = json!({ "text": "Patient: Zebulon Quackenbush.", "conversation": "ward-7" });
    let mut answers = Vec::new();
    for (otp, shown) in [("", false), ("000000", false), ("492113", true)] {
        let token = provider.log_in(otp).await;
        let key = Some(token.as_str());
        let answer = ask(&served, &token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            answer.text.contains("Quackenbush"),
            shown,
            "{}",
            answer.text
        );
        answers.push((answer, shown));
        // Where there is nothing to give but identities, it is a refusal.
        let asked = asked.to_string();
        let cleared = served.post_to("/v1/deidentify", key, &[], &asked).await;
        let cleared = cleared.json()["texts"][0]["text"].clone();
        let tokens = json!({ "text": cleared, "conversation": "ward-7" });
        let tokens = tokens.to_string();
        let restored = served.post_to("/v1/reidentify", key, &[], &tokens).await;
        let expected = if shown { 200 } else { 403 };
        assert_eq!(restored.status, expected, "{}", restored.text);
        assert_eq!(restored.text.contains("Quackenbush"), shown);
    }
    let rig = served.reopened().await;
    for (answer, shown) in &answers {
        let opened = opening(&rig, "st-marys", event(answer));
        assert_eq!(opened.header.caller.as_deref(), Some("n.bellweather"));
        let mfa = if *shown { "true" } else { "-" };
        assert_eq!(facts(&opened, &["authentication", "mfa"]), ["oidc", mfa]);
        let outcome = if *shown {
            "restored"
        } else {
            "withheld-by-decision"
        };
        assert_eq!(super::restoration(&rig, answer), outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_believed_by_its_own_authority_where_the_configuration_names_that() {
    let (pki, another) = (Pki::make(), Pki::make());
    let provider = IdentityProvider::start_tls(&pki.path("server.pem"), &pki.path("server.key"));
    assert!(provider.issuer().starts_with("https://"));
    let token = provider.token("ward-es256", None).await;
    for (ca, expected) in [
        (Some(pki.path("ca.pem")), (200, None)),
        (Some(another.path("ca.pem")), (503, Some("no-issuer-keys"))),
        (None, (503, Some("no-issuer-keys"))),
    ] {
        let ca = ca.map_or(String::new(), |ca| format!("\nca = \"{ca}\""));
        let served = serve(&provider, &format!("{ST_MARYS}{ca}"), "").await;
        let answer = ask(&served, &token).await;
        let why = answer.json()["error"]["reasons"][0].clone();
        assert_eq!((answer.status, why.as_str()), expected, "{}", answer.text);
    }
}
