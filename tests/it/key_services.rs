//! Tenants' keys under keys of a service: requests that really leave, to servers on loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use nephron_gateway::RootAccess;
use nephron_gateway::config::{AccessKey, KeyService, RootKey as Configured, SecretRef};
use nephron_keys::testing::MemoryLog;
use nephron_keys::{
    Boundary, KeyError, RootError, RootKey, RootProvider, TenantKeyError, TenantKeys,
};
use nephron_model::{FixedClock, TenantId};
use nephron_tests::{Background, NOW, sdk};

const ACCESS_KEY: &str = "AKIDEXAMPLE000000000";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

/// A file with a secret.
fn secret(folder: &Path, text: &str) -> SecretRef {
    use std::os::unix::fs::PermissionsExt as _;
    let path: PathBuf = folder.join("secret");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    SecretRef::File(path)
}

fn there(url: &str) -> KeyService {
    KeyService {
        url: url.parse().unwrap(),
        authority: None,
    }
}

fn provider(configured: &Configured) -> Arc<dyn RootProvider> {
    match RootAccess::of(configured).unwrap() {
        RootAccess::Provider(provider) => provider,
        RootAccess::Passphrase(..) => panic!("it is a provider"),
    }
}

fn kms(url: &str, folder: &Path) -> Arc<dyn RootProvider> {
    provider(&Configured::AwsKms {
        key: AccessKey {
            id: ACCESS_KEY.to_owned(),
            secret: secret(folder, SECRET),
            session_token: None,
            region: "eu-central-1".to_owned(),
        },
        service: there(url),
    })
}

/// moto speaks KMS's protocol and holds its encryption context, but it checks no signature, and lets a key whose deletion is
/// scheduled decrypt and be scheduled once more: so its answer is what is looked at here, and the next test looks at the
/// signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_lives_and_ends_by_its_key_in_kms() {
    let server = tokio::task::spawn_blocking(Background::kms).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let provider = kms(server.url(), folder.path());
    let host = dir(folder.path());
    let root = Arc::new(RootKey::create_with(&host, Arc::clone(&provider)).unwrap());
    let (tenant, log): (TenantId, _) = ("st-marys".parse().unwrap(), Arc::new(MemoryLog::new()));
    let clock = Arc::new(FixedClock::at(NOW));
    let keys = || {
        let keys = folder.path().join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        dir(&keys)
    };
    let made = TenantKeys::create(
        keys(),
        tenant.clone(),
        &root,
        clock.clone(),
        log.clone(),
        log.clone(),
    );
    let made = made.await.unwrap();
    let fingerprint = made.fingerprint(b"record").unwrap();
    made.rotate(&Boundary::ROTATED, "test").await.unwrap();

    let root = Arc::new(RootKey::open_with(&host, Arc::clone(&provider)).unwrap());
    let open = || {
        TenantKeys::open(
            keys(),
            tenant.clone(),
            &root,
            clock.clone(),
            log.clone(),
            log.clone(),
        )
    };
    let opened = open().unwrap();
    assert_eq!(opened.fingerprint(b"record").unwrap(), fingerprint);
    assert_eq!(opened.status().unwrap().provider, "aws-kms");
    assert_eq!(opened.status().unwrap().versions.len(), 2);

    let shredded = opened.destroy("test").await.unwrap();
    assert_eq!(shredded.answers.len(), 2);
    for (kek, answer) in &shredded.answers {
        assert!(answer.contains("ScheduleKeyDeletion gave 200"), "{answer}");
        assert!(!answer.contains("not given"), "{answer}");
        assert!(kek.contains('-'), "the service named it: {kek}");
    }
    assert!(matches!(opened.fingerprint(b"x"), Err(KeyError::Destroyed)));
    assert!(matches!(open(), Err(TenantKeyError::Destroyed)));
    let unknown = provider.destroy("00000000-0000-0000-0000-000000000000");
    assert!(matches!(unknown, Err(RootError::KekGone { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn amazons_own_library_agrees_with_the_signature_of_a_request_to_kms() {
    let (url, seen) = super::bedrock::server().await;
    let folder = tempfile::tempdir().unwrap();
    let provider = kms(&url, folder.path());
    let refused = provider
        .make("nephron-st-marys-1-00")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("unknown form"), "{refused}");
    let sent = seen.lock().unwrap().pop().unwrap();
    assert!(
        sent["body"]
            .as_str()
            .unwrap()
            .contains("nephron-st-marys-1-00")
    );
    let sent = sent.to_string();
    let environment = [
        ("SENT", sent.as_str()),
        ("ACCESS_KEY_ID", ACCESS_KEY),
        ("SECRET", SECRET),
    ];
    let verified = tokio::task::block_in_place(|| sdk("sigv4.py", &environment));
    assert_eq!(verified.trim(), "held: signed for eu-central-1 kms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transit_engine_is_asked_with_a_token_that_is_read_each_time() {
    let (url, seen) = super::bedrock::server().await;
    let folder = tempfile::tempdir().unwrap();
    let configured = Configured::Transit {
        service: there(&url),
        token: secret(folder.path(), "hvs.first"),
        mount: "transit".to_owned(),
        namespace: None,
    };
    let provider = provider(&configured);
    for token in ["hvs.first", "hvs.renewed"] {
        drop(secret(folder.path(), token));
        // It answers 200, which is all that making a key asks for.
        assert_eq!(provider.make("nephron-root-00").unwrap(), "nephron-root-00");
        let sent = seen.lock().unwrap().pop().unwrap();
        assert_eq!(sent["path"], "/v1/transit/keys/nephron-root-00");
        let header = serde_json::json!(["x-vault-token", token]);
        assert!(
            sent["headers"].as_array().unwrap().contains(&header),
            "{sent}"
        );
    }
    let nowhere = kms("http://127.0.0.1:1", folder.path());
    let said = nowhere.make("x").unwrap_err().to_string();
    assert!(said.contains("could not connect"), "{said}");
}
