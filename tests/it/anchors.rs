//! Checkpoints of the host's log in the hands of others.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_audit::{GrowthProof, Header, Reader, SignedCheckpoint, VerifierKey, WitnessKey};
use nephron_gateway::{LOG, RECORD};
use nephron_model::{Digest, EntryKind};
use nephron_tests::{Answering, Background, NOW, Served, Setup, TimestampAuthority, sdk};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};

const DAY: Duration = Duration::from_secs(86_400);

/// Waits until the host's log says that something came of an anchor so often, and gives the last.
async fn until(served: &Served, outcome: &str, times: usize) -> Header {
    let folder = served.data().join(RECORD).join(LOG);
    let waiting = async {
        loop {
            let reader = Reader::open(&folder).unwrap();
            let entries = reader.entries(0..reader.head().entries);
            let headers = entries.map(|entry| entry.unwrap().header);
            let is_one =
                |header: &Header| header.kind == EntryKind::Anchored && header.outcome == outcome;
            let mut found: Vec<Header> = headers.filter(is_one).collect();
            if found.len() >= times {
                return found.pop().unwrap();
            }
            // Anything that waits for the server; it has its own threads.
            let _alive = served.get("/livez").await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    waited.unwrap_or_else(|_| panic!("never {outcome}"))
}

fn host_key(data: &Path) -> VerifierKey {
    let reader = Reader::open(&data.join(RECORD).join(LOG)).unwrap();
    reader.verifier_key().unwrap().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_elsewhere_takes_checkpoints_and_shows_that_the_whole_was_put_back() {
    let elsewhere = tempfile::tempdir().unwrap();
    let worm = elsewhere.path().join("worm");
    std::fs::create_dir(&worm).unwrap();
    let anchor = format!(
        "[[anchor]]\nname = \"worm\"\ndirectory = \"{}\"\n",
        worm.display()
    );
    let status = "[status]\naddress = \"127.0.0.1:0\"\n";
    let served = Setup::default().and(&anchor).and(status).serve("").await;
    until(&served, "anchored", 1).await;
    assert_eq!(served.get("/readyz").await.text, "ready\n");
    let older = elsewhere.path().join("older");
    let data = served.data().to_owned();
    let key = host_key(&data).to_string();
    super::host_log::copy(&data.join(RECORD).join(LOG), &older);

    assert_eq!(served.post(Some("nph_forged"), &[], "{}").await.status, 401);
    // A day later it is due again.
    served.clock.advance(DAY);
    let second = until(&served, "anchored", 2).await;
    let [kept] = files(&worm).try_into().unwrap();
    let kept_files = files(&kept);
    assert_eq!(kept_files.len(), 2);
    let note = std::fs::read_to_string(&kept_files[1]).unwrap();
    let checkpoint = SignedCheckpoint::open(&note, &key.parse().unwrap())
        .unwrap()
        .checkpoint;
    assert_eq!(checkpoint.size, second.counts["entries"]);
    let verify = |log: &Path| {
        let (log, kept) = (log.to_str().unwrap(), kept.to_str().unwrap());
        super::host_log::nephron(&["audit", "verify", log, "--vkey", &key, "--checkpoint", kept])
    };
    let (code, said) = verify(&data.join(RECORD).join(LOG));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verify(&older);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("log is shorter than its checkpoint"),
        "{said}"
    );

    // Gone for more than 25 hours it is an alert, in words and in numbers.
    std::fs::remove_dir_all(&worm).unwrap();
    served.clock.advance(Duration::from_secs(26 * 3_600));
    let failed = until(&served, "failed", 1).await;
    assert_eq!(failed.reasons, ["storage-failed"]);
    let ready = served.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(
        ready
            .text
            .contains("anchor worm took no checkpoint for more than 25 hours")
    );
    let metrics = served.status("/metrics").await.text;
    assert!(
        metrics.contains("nephron_anchor_too_old{anchor=\"worm\"} 1"),
        "{metrics}"
    );
    assert_eq!(
        served.status("/status").await.json()["anchors"][0]["too-old"],
        true
    );
    assert!(!worm.exists(), "a mount that is missing is not made");
    std::fs::create_dir(&worm).unwrap();
    served.clock.advance(Duration::from_secs(3_600));
    until(&served, "anchored", 3).await;
    assert_eq!(served.get("/readyz").await.text, "ready\n");

    // Put back, it does not go on as if nothing had been.
    let served = served
        .restarted_after(|data| {
            let log = data.join(RECORD).join(LOG);
            std::fs::remove_dir_all(&log).unwrap();
            super::host_log::copy(&older, &log);
        })
        .await;
    served.clock.advance(DAY);
    let failed = until(&served, "failed", 1).await;
    assert_eq!(failed.reasons, ["put-back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_hangs_holds_up_neither_another_nor_the_end() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        let path = elsewhere.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let text = format!(
            "[[anchor]]\nname = \"{name}\"\ndirectory = \"{}\"\n",
            path.display()
        );
        (path, text)
    };
    let ((hung, hangs), (_, sound)) = (place("hung"), place("sound"));
    let served = Setup::default().and(&hangs).and(&sound).serve("").await;
    let first = until(&served, "anchored", 2).await;
    // Who opens what stands where the next checkpoints are looked for waits for a writer that never comes, as for a server that
    // has gone.
    let served = served
        .restarted_after(|_| {
            let [folder] = files(&hung).try_into().unwrap();
            let size = first.counts["entries"];
            let mut fifos = std::process::Command::new("mkfifo");
            fifos.args((size + 1..size + 200).map(|size| folder.join(format!("{size:016}"))));
            assert!(fifos.status().unwrap().success());
        })
        .await;
    served.clock.advance(DAY);
    let third = until(&served, "anchored", 3).await;
    assert_eq!(third.facts["anchor"], "sound");
    // It stops cleanly, and says what became of the other.
    let served = served.restarted_after(|_| ()).await;
    let failed = until(&served, "failed", 1).await;
    assert_eq!(
        (failed.facts["anchor"].as_str(), &*failed.reasons),
        ("hung", &["stopping".to_owned()][..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_object_lock_takes_a_checkpoint_that_nobody_can_delete() {
    let server = tokio::task::spawn_blocking(Background::s3).await.unwrap();
    let said: Vec<String> = server.said().map(str::to_owned).collect();
    let [url, id, secret, operator, operators_secret] = said.try_into().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("secret");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::write(&kept, "wrong").unwrap();
    std::fs::set_permissions(&kept, private).unwrap();
    let anchor = format!(
        "[[plugin]]\nname = \"s3\"\nkind = \"exporter\"\ncomponent = \"s3-anchor\"\n\
         settings = {{ bucket = \"anchors\" }}\ngrant = {{ keys = true }}\n\
         [[anchor]]\nname = \"bucket\"\nexporter = \"s3\"\nurl = \"{url}\"\n\
         aws-sigv4 = {{ access-key-id = \"{id}\", secret = {{ file = \"{}\" }}, region = \"eu-central-1\" }}\n",
        kept.display()
    );
    let served = Setup::default().and(&anchor).serve("").await;
    // The server does check signatures.
    let failed = until(&served, "failed", 1).await;
    assert_eq!(failed.reasons, ["retry-after"]);
    std::fs::write(&kept, &secret).unwrap();
    served.clock.advance(Duration::from_secs(60));
    let anchored = until(&served, "anchored", 1).await;
    let listed = tokio::task::spawn_blocking(move || {
        let environment = [
            ("URL", url.as_str()),
            ("KEY", &operator),
            ("SECRET", &operators_secret),
        ];
        sdk("s3_anchored.py", &environment)
    });
    let listed = listed.await.unwrap();
    let object: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let note = object["text"].as_str().unwrap();
    let checkpoint = SignedCheckpoint::open(note, &host_key(served.data())).unwrap();
    let size = checkpoint.checkpoint.size;
    assert_eq!(size, anchored.counts["entries"]);
    let origin = note.lines().next().unwrap().replace('/', "-");
    assert_eq!(
        object["key"],
        format!("nephron/{origin}/{size:016}").as_str()
    );
    assert_eq!(object["mode"], "COMPLIANCE");
    // Six years after the newest entry, 2026-11-22.
    assert!(
        object["until"]
            .as_str()
            .unwrap()
            .starts_with("2032-11-22T00:0"),
        "{object}"
    );

    // The use of the key, and what was asked of the plugin, stand in the host's log; the secret does not.
    let folder = served.data().join(RECORD).join(LOG);
    let reader = Reader::open(&folder).unwrap();
    let entries: Vec<_> = reader
        .entries(0..reader.head().entries)
        .map(|entry| entry.unwrap())
        .collect();
    let used = entries.iter().any(|entry| {
        entry.header.kind == EntryKind::KeyUsed
            && entry.header.facts["signing-key"]
                == format!("{id}/20261122/eu-central-1/s3/aws4_request")
    });
    assert!(used && entries.iter().any(|entry| entry.header.outcome == "signed"));
    for entry in entries {
        assert!(
            !String::from_utf8(entry.header_bytes)
                .unwrap()
                .contains(&secret)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_stamp_authority_stamps_a_checkpoint_and_openssl_agrees() {
    let authority = TimestampAuthority::start().await;
    let anchor =
        |url: &str| format!("[[anchor]]\nname = \"tsa\"\ntimestamp-authority = \"{url}\"\n");
    let served = Setup::default()
        .and(&anchor(authority.url()))
        .serve("")
        .await;
    until(&served, "anchored", 1).await;
    let kept = served.data().join("host/anchors/tsa");
    let [checkpoint, stamp] = files(&kept).try_into().unwrap();
    assert!(authority.vouches(&checkpoint, &stamp));
    let note = std::fs::read_to_string(&checkpoint).unwrap();
    SignedCheckpoint::open(&note, &host_key(served.data())).unwrap();
    std::fs::write(&checkpoint, note.replacen('\n', " \n", 1)).unwrap();
    assert!(!authority.vouches(&checkpoint, &stamp));

    // One that stamps something else than what it was asked for does not count.
    let replay = std::fs::read(&stamp).unwrap();
    let replayer = Answering::start(move |_, _| (200, replay.clone())).await;
    let served = Setup::default()
        .and(&anchor(replayer.url()))
        .serve("")
        .await;
    assert_eq!(until(&served, "failed", 1).await.reasons, ["other-stamp"]);
}

/// What a witness has to do by C2SP tlog-witness, for a log whose key it knows.
struct MockWitness {
    key: KeyPair,
    log: Mutex<Option<VerifierKey>>,
    seen: Mutex<Option<SignedCheckpoint>>,
}

impl MockWitness {
    fn vkey(&self) -> WitnessKey {
        let typed = [&[4], self.key.der_bytes()].concat();
        let id = Digest::of(&[b"witness.example\n", typed.as_slice()].concat());
        let text = format!(
            "witness.example+{}+{}",
            &id.hex()[..8],
            STANDARD.encode(&typed)
        );
        text.parse().unwrap()
    }

    fn cosign(&self, body: &[u8]) -> (u16, Vec<u8>) {
        let body = std::str::from_utf8(body).unwrap();
        let note = body.split_once("\n\n").unwrap().1;
        let old: u64 = body.lines().next().unwrap()["old ".len()..]
            .parse()
            .unwrap();
        let log = self.log.lock().unwrap().clone().unwrap();
        let new = SignedCheckpoint::open(note, &log).unwrap();
        let mut seen = self.seen.lock().unwrap();
        let size = seen.as_ref().map_or(0, |seen| seen.checkpoint.size);
        if old != size {
            return (409, format!("{size}\n").into_bytes());
        }
        if let Some(seen) = &*seen {
            let proof = GrowthProof::parse(body).unwrap();
            assert_eq!(
                proof.verify(&seen.checkpoint, &log).unwrap(),
                new.checkpoint
            );
        }
        *seen = Some(new);
        let text = note.rsplit_once("\n\n").unwrap().0;
        let message = format!("cosignature/v1\ntime {NOW}\n{text}\n");
        let signature = self.key.sign(message.as_bytes()).unwrap();
        let id = u32::from_str_radix(
            &self.vkey().to_string()["witness.example+".len()..][..8],
            16,
        );
        let bytes = [
            &id.unwrap().to_be_bytes()[..],
            &NOW.to_be_bytes(),
            &signature,
        ]
        .concat();
        (
            200,
            format!("\u{2014} witness.example {}\n", STANDARD.encode(bytes)).into_bytes(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_sees_that_the_log_only_grew() {
    let witness = std::sync::Arc::new(MockWitness {
        key: KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        log: Mutex::default(),
        seen: Mutex::default(),
    });
    let vkey = witness.vkey();
    let mock = std::sync::Arc::clone(&witness);
    let server = Answering::start(move |path, body| {
        let knows_the_log = mock.log.lock().unwrap().is_some();
        match path {
            "/add-checkpoint" if knows_the_log => mock.cosign(body),
            _ => (404, Vec::new()),
        }
    });
    let server = server.await;
    let anchor = format!(
        "[[anchor]]\nname = \"witness\"\nwitness = \"{}\"\nwitness-key = \"{vkey}\"\n",
        server.url()
    );
    let served = Setup::default().and(&anchor).serve("").await;
    let refused = until(&served, "failed", 1).await;
    assert_eq!(refused.reasons, ["refused"]);
    *witness.log.lock().unwrap() = Some(host_key(served.data()));
    served.clock.advance(Duration::from_secs(60));
    until(&served, "anchored", 1).await;
    served.clock.advance(DAY);
    until(&served, "anchored", 2).await;
    // It was told by somebody else in the meantime, or the host forgot: the witness knows better.
    let seen = witness.seen.lock().unwrap().take();
    served.clock.advance(DAY);
    until(&served, "anchored", 3).await;
    assert!(seen.is_some());
    let kept = files(&served.data().join("host/anchors/witness"));
    let cosigned: Vec<_> = kept
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "cosigned"))
        .collect();
    assert_eq!(cosigned.len(), 3);
    for file in cosigned {
        let note = std::fs::read_to_string(file).unwrap();
        assert_eq!(vkey.cosigned(&note), Ok(NOW));
        SignedCheckpoint::open(&note, &host_key(served.data())).unwrap();
    }
}
