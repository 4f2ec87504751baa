//! Logs, proofs, exports and disclosures under an auditor's policy: who vouches, how far, and who is missing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nephron_audit::{
    Commitment, Export, FaultKind, FieldDisclosure, KeptCheckpoint, Log, Options, Policy, Reader,
    SignedCheckpoint, Verdict, VerifyOptions,
};
use nephron_model::{
    Digest, Draft, EntryKind, FieldCommitment, Recorder as _, Signer as _, TenantId,
};
use serde_json::Value;

use crate::support::{Place, TestKey, alter, clock, copy, draft, place, segment, verify};
use crate::tree::{Audited, audit_verify, audited, open_signed, record};

/// A witness of these tests, by the seed of its key.
struct Witness(u8);

impl Witness {
    fn name(&self) -> String {
        format!("w{}.example", self.0)
    }

    fn id_and_key(&self) -> ([u8; 4], Vec<u8>) {
        let typed = [&[4], TestKey::new(self.0).public_key().as_slice()].concat();
        let named = [self.name().as_bytes(), b"\n", &typed].concat();
        (Digest::of(&named).0[..4].try_into().unwrap(), typed)
    }

    fn key(&self) -> String {
        let (id, typed) = self.id_and_key();
        let id = u32::from_be_bytes(id);
        format!("{}+{id:08x}+{}", self.name(), STANDARD.encode(typed))
    }

    /// The note with this witness's line.
    fn cosign(&self, note: &str) -> String {
        let time = 1_795_305_802_u64;
        let (text, _) = note.split_once("\n\n").unwrap();
        let message = format!("cosignature/v1\ntime {time}\n{text}\n");
        let signature = TestKey::new(self.0).sign(message.as_bytes()).unwrap();
        let (id, _) = self.id_and_key();
        let bytes = [id.as_slice(), &time.to_be_bytes(), &signature];
        let line = STANDARD.encode(bytes.concat());
        format!("{note}\u{2014} {} {line}\n", self.name())
    }
}

/// Two of three, who are listed by their seeds.
fn two_of_three(log: &str) -> String {
    let witnesses: String = (10..13)
        .map(|seed| format!("witness w{seed} {}\n", Witness(seed).key()))
        .collect();
    format!("log {log}\n{witnesses}group two 2 w10 w11 w12\nquorum two\n")
}

/// A log whose view `audit-verify` can open.
fn as_usual() -> Options {
    Options {
        segment_size: 16 << 10,
        ..Options::default()
    }
}

fn kept(note: String) -> KeptCheckpoint {
    KeptCheckpoint {
        file: "kept".to_owned(),
        note,
    }
}

fn checkpoint(path: &Path, size: u64) -> String {
    std::fs::read_to_string(path.join(format!("checkpoints/{size:016}"))).unwrap()
}

fn under(path: &Path, policy: &str, notes: &[String]) -> Verdict {
    let options = VerifyOptions {
        skip_view: true,
        checkpoints: notes.iter().cloned().map(kept).collect(),
        policy: Some(Policy::parse(policy.as_bytes()).unwrap()),
        ..VerifyOptions::default()
    };
    verify(path, options).unwrap()
}

fn whats(verdict: &Verdict) -> Vec<FaultKind> {
    verdict.faults.iter().map(|fault| fault.what).collect()
}

#[test]
fn a_log_is_vouched_for_as_far_as_enough_witnesses_saw_it() {
    let Audited { place, key, .. } = audited();
    let policy = two_of_three(&key.to_string());
    let by = |size: u64, witness: u8| Witness(witness).cosign(&checkpoint(&place.path, size));

    // Asked one after the other they saw the log at different sizes: who saw the larger saw the smaller in it.
    let verdict = under(&place.path, &policy, &[by(200, 10), by(620, 11)]);
    let said = verdict.policy.as_ref().unwrap();
    assert!(verdict.verified, "{:?}", verdict.faults);
    assert_eq!((said.met, said.entries), (true, Some(200)));
    let far: Vec<_> = said.witnesses.iter().map(|it| it.entries).collect();
    assert_eq!(far, [Some(200), Some(620), None]);
    // The key that the policy lists is the one that checkpoints are held against.
    assert_eq!((verdict.vouched, said.signed), (Some(620), Some(620)));
    let further = under(
        &place.path,
        &policy,
        &[by(300, 10), by(620, 11), by(620, 12)],
    );
    assert_eq!(further.policy.unwrap().entries, Some(620));

    // Too few; and whoever is another than the policy lists is nobody.
    for notes in [vec![], vec![by(620, 10)], vec![by(620, 10), by(620, 77)]] {
        let verdict = under(&place.path, &policy, &notes);
        assert_eq!(whats(&verdict), [FaultKind::QuorumNotMet]);
        let said = verdict.policy.unwrap();
        assert!(!said.met && !verdict.verified);
        assert_eq!(said.lacking[0].has, notes.len().min(1));
    }
    // A line that is not of the witness that it names is a fault of its own, even where enough are left.
    let forged = by(620, 12).replace("\n620\n", "\n619\n");
    let verdict = under(&place.path, &policy, &[by(620, 10), by(620, 11), forged]);
    assert!(whats(&verdict).contains(&FaultKind::CosignatureBad));
    assert_eq!(verdict.policy.unwrap().entries, Some(620));

    // Another log's key, and none at all: then nobody's word counts, though witnesses gave theirs.
    let other = TestKey::new(9).public_key();
    let other = nephron_audit::VerifierKey::new(key.name(), other).unwrap();
    let notes = [by(620, 10), by(620, 11)];
    let verdict = under(&place.path, &two_of_three(&other.to_string()), &notes);
    assert!(whats(&verdict).contains(&FaultKind::CheckpointUnsigned));
    assert!(whats(&verdict).contains(&FaultKind::QuorumNotMet));
    let verdict = under(&place.path, "quorum none", &[]);
    assert_eq!(whats(&verdict), [FaultKind::QuorumNotMet]);
    let verdict = under(&place.path, &format!("log {key}\nquorum none"), &[]);
    assert_eq!(verdict.policy.unwrap().entries, Some(620));
}

#[test]
fn since_a_checkpoint_an_older_word_still_counts_if_the_tree_proves_that_the_log_grew_from_there() {
    let Audited { place, key, .. } = audited();
    let policy = two_of_three(&key.to_string());
    let by = |size: u64, witness: u8| Witness(witness).cosign(&checkpoint(&place.path, size));
    let since = |notes: &[String]| {
        let options = VerifyOptions {
            checkpoints: notes.iter().cloned().map(kept).collect(),
            since: Some(kept(checkpoint(&place.path, 300))),
            policy: Some(Policy::parse(policy.as_bytes()).unwrap()),
            ..VerifyOptions::default()
        };
        verify(&place.path, options).unwrap()
    };
    let verdict = since(&[by(200, 10), by(620, 11)]);
    assert!(
        verdict.verified && verdict.from > 200,
        "{:?}",
        verdict.faults
    );
    assert_eq!(verdict.policy.unwrap().entries, Some(200));
    // The log's key signed two states of one size: who saw the other vouches for another log.
    let other = audited_otherwise();
    let forked = Witness(10).cosign(&checkpoint(&other.path, 200));
    let verdict = since(&[forked, by(620, 11)]);
    assert_eq!((verdict.from, verdict.verified), (0, false));
    assert!(whats(&verdict).contains(&FaultKind::QuorumNotMet));
    let differs = [FaultKind::CheckpointDiffers, FaultKind::CheckpointOrigin];
    assert!(whats(&verdict).iter().any(|what| differs.contains(what)));
}

/// A log of the same first entry as that of [`audited`], signed by the same key, and another from there on.
fn audited_otherwise() -> Place {
    let place = place();
    let log = open_signed(&place.path);
    record(&log, (2..201).map(draft));
    log.checkpoint().unwrap();
    log.close().unwrap();
    place
}

#[test]
fn witnesses_who_saw_another_log_do_not_vouch_for_this_one() {
    let Audited {
        place: honest, key, ..
    } = audited();
    let policy = two_of_three(&key.to_string());
    let cosigned: Vec<String> = [10, 11]
        .map(|witness| Witness(witness).cosign(&checkpoint(&honest.path, 620)))
        .to_vec();
    // Who holds the log's key, too, writes it anew with another entry 400.
    let forged = place();
    let log = open_signed(&forged.path);
    record(&log, (1..400).map(draft));
    log.checkpoint().unwrap();
    record(&log, (401..621).map(draft));
    log.close().unwrap();
    let verdict = under(&forged.path, &policy, &cosigned);
    assert!(whats(&verdict).contains(&FaultKind::CheckpointDiffers));
    assert!(whats(&verdict).contains(&FaultKind::QuorumNotMet));
    assert!(
        verdict
            .policy
            .unwrap()
            .witnesses
            .iter()
            .all(|it| it.entries.is_none())
    );
}

/// A data folder with the host's log, which committed to a tenant's twice.
struct Data {
    place: Place,
    host_key: String,
    /// Sizes of the host's log: after the first commitment, and after the second.
    sizes: [u64; 2],
}

impl Data {
    fn new() -> Self {
        let place = place();
        let (host, tenant) = (Self::host_log(&place), Self::tenant_log(&place));
        std::fs::create_dir_all(&host).unwrap();
        let log = Log::open(&host, &TenantId::host(), clock(), as_usual()).unwrap();
        log.sign_with(TestKey::new(2));
        let own = open_signed(&tenant);
        let commit = || {
            let checkpoint = own.checkpoint().unwrap().checkpoint;
            let tenant = crate::support::tenant();
            let commitment = Commitment { tenant, checkpoint };
            let _recorded = log.record(commitment.draft()).wait().unwrap();
            log.checkpoint().unwrap().checkpoint.size
        };
        record(&own, (1..100).map(draft));
        let first = commit();
        record(&own, (100..150).map(draft));
        let second = commit();
        let host_key = log.verifier_key().unwrap().unwrap().to_string();
        log.close().unwrap();
        own.close().unwrap();
        Self {
            place,
            host_key,
            sizes: [first, second],
        }
    }

    fn host_log(place: &Place) -> PathBuf {
        place.path.join("host/record/log")
    }

    fn tenant_log(place: &Place) -> PathBuf {
        place.path.join("tenants/st-marys/log")
    }

    /// Stores what the gateway stores when a witness took the host's checkpoint of this size.
    fn anchored(&self, witness: u8, size: u64) {
        let note = checkpoint(&Self::host_log(&self.place), size);
        let folder = self.place.path.join(format!("host/anchors/w{witness}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{size:016}")), &note).unwrap();
        let cosigned = folder.join(format!("{size:016}.cosigned"));
        std::fs::write(cosigned, Witness(witness).cosign(&note)).unwrap();
    }

    fn policy(&self) -> String {
        let path = self.place.path.join("policy");
        std::fs::write(&path, two_of_three(&self.host_key)).unwrap();
        path.display().to_string()
    }
}

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = audit_verify(&[arguments, &["--json"]].concat());
    (
        code,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")),
    )
}

#[test]
fn what_witnesses_cosigned_of_the_hosts_log_vouches_for_that_and_for_what_it_commits_to() {
    let data = Data::new();
    let policy = data.policy();
    let (host, tenant) = (Data::host_log(&data.place), Data::tenant_log(&data.place));
    let (host, tenant) = (host.to_str().unwrap(), tenant.to_str().unwrap());
    let [first, second] = data.sizes;
    let of_tenant = &[tenant, "--host-log", host, "--policy", &policy];

    data.anchored(10, second);
    let (code, verdict) = json(&[host, "--policy", &policy]);
    assert_eq!((code, &verdict["policy"]["met"]), (Some(3), &false.into()));
    assert_eq!(
        verdict["policy"]["lacking"][0]["lacks"],
        serde_json::json!(["w11", "w12"])
    );
    assert_eq!(json(of_tenant).0, Some(3));

    data.anchored(11, first);
    let (code, verdict) = json(&[host, "--policy", &policy]);
    assert_eq!(
        (code, &verdict["policy"]["entries"]),
        (Some(0), &first.into()),
        "{verdict}"
    );
    let (code, verdict) = json(of_tenant);
    assert_eq!(
        (code, &verdict["policy"]["entries"]),
        (Some(0), &100.into()),
        "{verdict}"
    );
    assert_eq!(verdict["policy"]["witnesses"][0]["entries"], 150);
    let (_, words) = audit_verify(of_tenant);
    assert!(
        words.contains("policy   quorum `two` vouches for the first 100 entries\n")
            && words.contains("witness  `w10` (w10.example) vouches for the first 150 entries, cosigned 2026-11-22T")
            && words.contains("witness  `w12` (w12.example) vouches for nothing of it\n"),
        "{words}"
    );
    data.anchored(12, second);
    assert_eq!(json(of_tenant).1["policy"]["entries"], 150);

    // Copied somewhere else, the cosignatures are named, a folder or a file; of the host's log, beside a tenant's.
    let copied = place();
    copy(Path::new(host), &copied.path);
    let copied = copied.path.to_str().unwrap();
    let anchors = data.place.path.join("host/anchors");
    let (w10, w12) = (anchors.join("w10"), anchors.join("w12"));
    let given = [
        "--checkpoint",
        w10.to_str().unwrap(),
        "--checkpoint",
        w12.to_str().unwrap(),
    ];
    let elsewhere = [&[copied, "--policy", &policy][..], &given].concat();
    assert_eq!(json(&elsewhere).1["policy"]["entries"], second);
    let elsewhere = [
        &[tenant, "--host-log", copied, "--policy", &policy][..],
        &given,
    ]
    .concat();
    assert_eq!(json(&elsewhere).1["policy"]["entries"], 150);

    // The host's log was written anew from its first entry on: what was cosigned is of another.
    let forged = place();
    let log = Log::open(&forged.path, &TenantId::host(), clock(), as_usual()).unwrap();
    log.sign_with(TestKey::new(2));
    let _recorded = log.record(draft(1)).wait().unwrap();
    for entry in Reader::open(Path::new(host)).unwrap().entries(2..5) {
        let header = entry.unwrap().header;
        let again = Draft {
            facts: header.facts,
            counts: header.counts,
            ..Draft::new(header.kind, header.outcome)
        };
        let _recorded = log.record(again).wait().unwrap();
    }
    log.close().unwrap();
    let forged = forged.path.to_str().unwrap();
    let elsewhere = [
        &[tenant, "--host-log", forged, "--policy", &policy][..],
        &given,
    ]
    .concat();
    let (code, verdict) = json(&elsewhere);
    assert_eq!((code, &verdict["policy"]["met"]), (Some(3), &false.into()));
}

#[test]
fn a_proof_an_export_and_a_disclosure_are_held_against_the_policy_too() {
    let place = place();
    let log = open_signed(&place.path);
    let commitment = FieldCommitment::new("sent", [5; 32], b"Ms Doe");
    let fact = FieldCommitment::fact("sent");
    let committed =
        Draft::new(EntryKind::Sending, "intent").fact(&fact, commitment.digest.to_string());
    record(
        &log,
        (1..50)
            .map(draft)
            .chain([committed])
            .chain((51..80).map(draft)),
    );
    let older = log.checkpoint().unwrap();
    record(&log, (80..90).map(draft));
    let newest = log.checkpoint().unwrap();
    let key = log.verifier_key().unwrap().unwrap().to_string();
    let desk = crate::support::place();
    std::fs::create_dir(&desk.path).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = desk.path.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let reader = Reader::open(&place.path).unwrap();
    let mut archive = Vec::new();
    let export = Export {
        from: None,
        to: None,
        payloads: false,
        now: clock().now(),
    };
    reader.export(&export, &mut archive).unwrap();
    let proof = reader.prove(50).unwrap();
    let disclosure = FieldDisclosure::new("sent", b"Ms Doe", [5; 32], &proof);
    let policy = write("policy", two_of_three(&key).as_bytes());
    let nobody = write("nobody", format!("log {key}\nquorum none\n").as_bytes());
    let unlisted = write("unlisted", b"quorum none\n");
    let older_file = write("older", older.note.as_bytes());
    let cosigned = |witness: u8| {
        let note = Witness(witness).cosign(&newest.note);
        write(&format!("{witness}.cosigned"), note.as_bytes())
    };
    let (w10, w11, w77) = (cosigned(10), cosigned(11), cosigned(77));
    let files = [
        ("--proof", write("entry", proof.to_string().as_bytes())),
        (
            "--proof",
            write(
                "growth",
                reader
                    .prove_growth(older.checkpoint.size)
                    .unwrap()
                    .to_string()
                    .as_bytes(),
            ),
        ),
        ("--export", write("export", &archive)),
        (
            "--disclosure",
            write("disclosure", &serde_json::to_vec(&disclosure).unwrap()),
        ),
    ];
    for (kind, file) in &files {
        let older: &[&str] = match file.ends_with("growth") {
            true => &["--checkpoint", &older_file],
            false => &[],
        };
        let run = |policy: &str, more: &[&str]| {
            json(&[&[*kind, file.as_str(), "--policy", policy][..], older, more].concat())
        };
        let both = ["--checkpoint", &w10, "--checkpoint", &w11];
        let (code, verdict) = run(&policy, &both);
        assert_eq!(
            (code, &verdict["verified"]),
            (Some(0), &true.into()),
            "{file}: {verdict}"
        );
        assert_eq!(
            verdict["policy"]["entries"], newest.checkpoint.size,
            "{file}"
        );
        assert_eq!(verdict["origin"], newest.checkpoint.origin.as_str());
        for more in [
            &[][..],
            &both[..2],
            &["--checkpoint", &w10, "--checkpoint", &w77],
        ] {
            let (code, verdict) = run(&policy, more);
            assert_eq!(
                (code, &verdict["verified"]),
                (Some(3), &false.into()),
                "{file}: {verdict}"
            );
            assert_eq!(verdict["policy"]["lacking"][0]["name"], "two");
            assert_eq!(verdict["fault"], Value::Null);
        }
        assert_eq!(run(&nobody, &[]).0, Some(0), "{file}");
        // It lists no log: then the key is to be given.
        let (code, said) = audit_verify(&[kind, file, "--policy", &unlisted]);
        assert_eq!(code, Some(1));
        assert!(said.contains("lists no log: add `log KEY`"), "{said}");
        let mut with_key = vec!["--vkey", &key];
        with_key.extend(older);
        assert_eq!(run(&unlisted, &with_key[..2]).0, Some(0), "{file}");
        // It lists another.
        let other = write(
            "other",
            format!("log {}\nquorum none\n", Data::new().host_key).as_bytes(),
        );
        let (code, verdict) = run(&other, &[]);
        assert_eq!(code, Some(3));
        assert!(
            verdict["fault"]
                .as_str()
                .unwrap()
                .contains("lists no log of that name"),
            "{verdict}"
        );
    }
    let words = audit_verify(&[
        "--proof",
        &files[0].1,
        "--policy",
        &policy,
        "--checkpoint",
        &w10,
    ])
    .1;
    assert!(words.starts_with("not verified\n"), "{words}");
    assert!(
        words.contains("lacks    `two` needs 2 and has 1; not there: `w11`, `w12`"),
        "{words}"
    );
    log.close().unwrap();
}

#[test]
fn a_policy_that_is_none_is_told_with_its_line() {
    let Audited { place, key, .. } = audited();
    let desk = crate::support::place();
    std::fs::create_dir(&desk.path).unwrap();
    let file = desk.path.join("policy");
    std::fs::write(&file, format!("log {key}\nquorum three\n")).unwrap();
    let (log, policy) = (place.path.to_str().unwrap(), file.to_str().unwrap());
    let (code, said) = audit_verify(&[log, "--policy", policy]);
    assert_eq!(code, Some(1));
    assert!(said.contains("is no policy"), "{said}");
    assert!(
        said.contains("because: line 2: no line above defines `three`"),
        "{said}"
    );
    let (code, said) = audit_verify(&[log, "--policy", "/nowhere"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("`/nowhere` cannot be read"), "{said}");
    // A fault of the log is one, whatever witnesses say.
    std::fs::write(&file, format!("log {key}\nquorum none\n")).unwrap();
    alter(&segment(&place.path, 0), |bytes| bytes[500] ^= 1);
    let (code, verdict) = json(&[log, "--policy", policy]);
    assert_eq!((code, &verdict["verified"]), (Some(3), &false.into()));
    let signed = SignedCheckpoint::read(&checkpoint(&place.path, 620)).unwrap();
    assert_eq!(signed.checkpoint.size, 620);
    assert_eq!(verdict["policy"]["entries"], Value::Null);
}
