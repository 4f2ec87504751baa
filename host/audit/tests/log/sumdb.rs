//! Go's `golang.org/x/mod/sumdb`, written by others for another log, accepts what this crate writes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{alter, copy, place};
use crate::tree::{Audited, audited};
use nephron_audit::{Reader, VerifierKey};

/// The checker, `tests/go/sumdb.go`, built with Go and the library of Debian. Where the machine has them not, they are unpacked
/// into a folder of this test's own; no package is installed, and root is not needed.
fn checker() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sumdb");
    std::fs::create_dir_all(&home).unwrap();
    let machines = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb");
    let has_go = Command::new("go").arg("version").output().is_ok();
    let mut go = Command::new("go");
    if has_go && machines.exists() {
        go.env("GOPATH", "/usr/share/gocode");
    } else {
        let share = unpacked(&home);
        let root = std::fs::read_dir(home.join("usr/lib")).unwrap();
        let root = root
            .map(|it| it.unwrap().path())
            .find(|path| path.join("bin/go").exists());
        let root = root.unwrap();
        go = Command::new(root.join("bin/go"));
        go.env("GOROOT", &root).env("GOPATH", share);
    }
    let program = home.join("checker");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/go/sumdb.go");
    let build = go.env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    let build = build.env("GOCACHE", home.join("cache")).env("GOFLAGS", "");
    run(build.arg("build").arg("-o").arg(&program).arg(source));
    program
}

/// Debian's Go and `x/mod` below `home`; the second is in the folder that is returned.
fn unpacked(home: &Path) -> PathBuf {
    let share = home.join("usr/share/gocode");
    if share.exists() {
        return share;
    }
    // A list of packages of our own, for machines whose list is missing or old.
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
    }
    std::fs::write(home.join("state/status"), "").unwrap();
    let apt = |program: &str| {
        let mut command = Command::new(program);
        let own = |key: &str, value: &str| format!("{key}={}", home.join(value).display());
        command.args([
            "-o",
            &own("Dir::State", "state"),
            "-o",
            &own("Dir::Cache", "cache"),
        ]);
        command.args(["-o", &own("Dir::State::status", "state/status")]);
        // Root's apt would fetch as a user who cannot enter the folder.
        command
            .args(["-o", "APT::Sandbox::User=root"])
            .current_dir(home);
        command
    };
    run(apt("apt-get").args(["update", "--quiet"]));
    let depends = run(apt("apt-cache").args(["depends", "golang-go", "golang-src"]));
    // `golang-go` is empty and names the version: `golang-1.19-go`.
    let names = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let is_versioned = |name: &&str| {
        name.starts_with("golang-1") && (name.ends_with("-go") || name.ends_with("-src"))
    };
    let mut names: Vec<&str> = names.filter(is_versioned).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 2, "{depends}");
    names.push("golang-golang-x-mod-dev");
    run(apt("apt-get").args(["download", "--quiet"]).args(names));
    let debs = std::fs::read_dir(home)
        .unwrap()
        .map(|it| it.unwrap().path());
    let (mut debs, is_deb): (Vec<_>, _) = (debs.collect(), |path: &PathBuf| {
        path.extension().is_some_and(|it| it == "deb")
    });
    debs.retain(is_deb);
    // The library last: when it is there, all is.
    debs.sort_by_key(|path| path.to_string_lossy().contains("x-mod"));
    for deb in debs {
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(home));
        std::fs::remove_file(deb).unwrap();
    }
    assert!(share.exists());
    share
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    out
}

/// What Go says of each case.
fn ask(checker: &Path, key: &VerifierKey, cases: &[Vec<String>]) -> Vec<String> {
    let mut asked = Command::new(checker)
        .arg(key.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = cases.iter().map(|case| case.join("\t") + "\n").collect();
    asked
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = asked.wait_with_output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

#[test]
fn gos_sumdb_accepts_checkpoints_proofs_and_tiles_and_rejects_altered_ones() {
    let Audited {
        place: log,
        key,
        old,
    } = audited();
    let desk = place();
    std::fs::create_dir(&desk.path).unwrap();
    let mut written = 0;
    let mut write = |text: &str| {
        written += 1;
        let path = desk.path.join(written.to_string());
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let reader = Reader::open(&log.path).unwrap();
    let newest = reader.newest_checkpoint().unwrap().unwrap();
    let growth = reader.prove_growth(300).unwrap().to_string();
    let (folder, old_file, newest_file) = (
        log.path.display().to_string(),
        write(&old.note),
        write(&newest.note),
    );
    let case = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let mut good = vec![
        case(&["checkpoint", &old_file]),
        case(&["checkpoint", &newest_file]),
        case(&["growth", &old_file, &write(&growth)]),
        case(&["tiles", &folder, &newest_file]),
    ];
    for sequence in [0, 1, 255, 256, 300, 511, 512, 619] {
        let proof = reader.prove(sequence).unwrap().to_string();
        good.push(case(&["entry", &write(&proof)]));
    }

    // The same log, seven years later, without its payloads.
    let aged = place();
    copy(&log.path, &aged.path);
    assert!(crate::retain::prune(&aged.path).payloads > 100);
    let aged_reader = Reader::open(&aged.path).unwrap();
    let aged_newest = aged_reader.newest_checkpoint().unwrap().unwrap();
    let aged_newest = write(&aged_newest.note);
    good.push(case(&["checkpoint", &aged_newest]));
    let aged_growth = aged_reader.prove_growth(300).unwrap().to_string();
    good.push(case(&["growth", &old_file, &write(&aged_growth)]));
    let aged_folder = aged.path.display().to_string();
    good.push(case(&["tiles", &aged_folder, &aged_newest]));
    for sequence in [1, 256, 619, 620] {
        let proof = aged_reader.prove(sequence).unwrap().to_string();
        good.push(case(&["entry", &write(&proof)]));
    }

    let mut bad = Vec::new();
    let other_size = old.note.replace("\n300\n", "\n301\n");
    bad.push(case(&["checkpoint", &write(&other_size)]));
    let proof = reader.prove(300).unwrap().to_string();
    let other_place = proof.replace("index 300\n", "index 301\n");
    bad.push(case(&["entry", &write(&other_place)]));
    bad.push(case(&["growth", &newest_file, &write(&growth)]));
    // A character in each long line: the entry, each hash, the root, the signature.
    for (kind, text) in [("entry", &proof), ("growth", &growth)] {
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            end += line.len();
            if line.len() < 40 {
                continue;
            }
            let mut altered = text.clone().into_bytes();
            let byte = &mut altered[end - 20];
            *byte = if *byte == b'A' { b'B' } else { b'A' };
            let altered = write(&String::from_utf8(altered).unwrap());
            bad.push(match kind {
                "entry" => case(&["entry", &altered]),
                _ => case(&["growth", &old_file, &altered]),
            });
        }
    }
    let forged = place();
    copy(&log.path, &forged.path);
    alter(&forged.path.join("tile/0/000"), |bytes| bytes[77] ^= 1);
    bad.push(case(&[
        "tiles",
        &forged.path.display().to_string(),
        &newest_file,
    ]));
    assert!(bad.len() > 25, "{}", bad.len());

    let checker = checker();
    let answers = ask(&checker, &key, &[good.clone(), bad.clone()].concat());
    let (accepted, rejected) = answers.split_at(good.len());
    for (case, answer) in good.iter().zip(accepted) {
        assert_eq!(answer, "accepted", "{case:?}");
    }
    for (case, answer) in bad.iter().zip(rejected) {
        assert!(answer.starts_with("rejected "), "{case:?}");
    }
    // Under another key of the same name nothing counts.
    let stranger = VerifierKey::new(key.name(), [7; 32]).unwrap();
    let answers = ask(&checker, &stranger, &good);
    assert!(
        answers.iter().all(|answer| answer.starts_with("rejected ")),
        "{answers:?}"
    );
}
