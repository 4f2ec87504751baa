//! Every language's example is built by its language's tool, asks for nothing but its world, and keeps the same cases.

use std::path::Path;
use std::process::Command;

use nephron_engine::vet::Grants;
use nephron_tests::{RUST_EXAMPLES, built, component, example, own_tests};

/// Has a component answer its cases, without any grant but a transformer's: then it imports nothing but its world's vocabulary.
async fn check(name: &str, component: &Path) {
    let folder = example(name);
    let settings = std::fs::read_to_string(folder.join("settings.json")).unwrap();
    let settings = Some(serde_json::from_str(&settings).unwrap());
    let cases = folder.join("cases");
    let granted = Grants {
        keys: name.ends_with("-transformer"),
        ..Grants::default()
    };
    let faults = super::conformance::faults_of(name, component, &cases, granted, settings).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn the_examples_in_rust_keep_their_cases() {
    for name in RUST_EXAMPLES {
        check(name, component(name)).await;
    }
}

#[tokio::test]
async fn the_examples_in_c_keep_their_cases_and_their_own_tests() {
    let names = [
        "c-connector",
        "c-decider",
        "c-detector",
        "c-exporter",
        "c-transformer",
    ];
    for (name, component) in names.iter().zip(built(&names)) {
        check(name, &component).await;
        own_tests(name);
    }
}

#[tokio::test]
async fn the_examples_in_javascript_and_typescript_keep_their_cases_and_their_own_tests() {
    let names = [
        "js-connector",
        "js-decider",
        "js-detector",
        "js-exporter",
        "js-transformer",
        "ts-connector",
        "ts-decider",
        "ts-detector",
        "ts-exporter",
        "ts-transformer",
    ];
    // Mostly waiting for programs to start; those in TypeScript have their types checked, too.
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(move || own_tests(name));
        }
    });
    for (name, component) in names.iter().zip(built(&names)) {
        check(name, &component).await;
    }
}

#[tokio::test]
async fn the_examples_in_python_keep_their_cases_and_their_own_tests() {
    let names = [
        "python-connector",
        "python-decider",
        "python-detector",
        "python-exporter",
        "python-transformer",
    ];
    for name in names {
        own_tests(name);
    }
    let components = built(&names);
    types_of_the_sdk_are_those_of_the_contract(&components[0]);
    for (name, component) in names.iter().zip(&components) {
        check(name, component).await;
    }
}

/// What editors and own tests see is what the tool makes of the contract.
fn types_of_the_sdk_are_those_of_the_contract(component: &Path) {
    let tool = Path::new(&target_of(component)).join("toolchains/componentize-py-0.25.0");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    let made = tempfile::tempdir().unwrap();
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", &tool)
        .arg(tool.join("bin/componentize-py"));
    python.arg("--wit-path").arg(sdk.join("wit"));
    for world in [
        "keyed-deidentifier",
        "access-policy",
        "llm-connector",
        "audit-exporter",
    ] {
        python.args(["--world", world]);
    }
    assert!(
        python
            .arg("bindings")
            .arg(made.path())
            .status()
            .unwrap()
            .success()
    );
    for part in ["wit_world", "componentize_py_types.py"] {
        let mut diff = Command::new("diff");
        diff.args(["--recursive", "--exclude=__pycache__"]);
        diff.arg(made.path().join(part))
            .arg(sdk.join("bindings").join(part));
        let output = diff.output().unwrap();
        let differs = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "copy the tool's bindings to sdk/python/bindings:\n{differs}"
        );
    }
}

#[test]
fn a_new_project_builds_and_keeps_its_cases_outside_of_the_checkout() {
    let folder = tempfile::tempdir().unwrap();
    let new = [
        "plugin",
        "new",
        "--kind",
        "decider",
        "--lang",
        "c",
        "ward-rules",
    ];
    let (code, _, said) = nephron(folder.path(), &new);
    assert_eq!(code, Some(0), "{said}");
    // The toolchain that the examples have.
    let target = target_of(&built(&["c-decider"])[0]);
    let project = folder.path().join("ward-rules");
    let (code, out, said) = nephron(&project, &["plugin", "test", "--target-dir", &target]);
    assert_eq!(code, Some(0), "{out}\n{said}");
    assert!(
        out.contains("ward-rules (access-policy): 7 passed, 0 failed"),
        "{out}"
    );
    let (code, _, said) = nephron(folder.path(), &new);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`ward-rules` is there already"), "{said}");
    let go = [
        "plugin", "new", "--kind", "decider", "--lang", "go", "other",
    ];
    let (code, _, said) = nephron(folder.path(), &go);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("there is no SDK for Go") && !folder.path().join("other").exists(),
        "{said}"
    );
}

/// What the templates do first, with an error that no contract has.
const ERRORS: [(&str, &str, &str, &str, [&str; 2]); 3] = [
    (
        "js",
        "plugin.js",
        "permitted.get(query.info.purpose);",
        "permitted.nothing(query);",
        ["decide (plugin.js:", "TypeError: not a function"],
    ),
    (
        "ts",
        "plugin.ts",
        "permitted.get(query.info.purpose);",
        "permitted[query.id].roles;",
        [
            "decide (plugin.ts:",
            "TypeError: cannot read property 'roles' of undefined",
        ],
    ),
    (
        "python",
        "plugin.py",
        "PERMITTED.get(query.info.purpose)",
        "PERMITTED[query.info.id]",
        ["Decider.decide (plugin.py:", "KeyError: "],
    ),
];

/// Plugins that what stands around them could harm: they catch their own errors, call themselves, and use its words.
const CAUGHT: [(&str, &str, &str); 2] = [
    (
        "js",
        "plugin.js",
        r"
const told = { places: 'places', depth: 3 };
class Rules {
  static #kept = new Rules();
  #depth = 0;
  static check(query) { return this.#kept.decide(query); }
  decide(query) { this.#depth += 1; return query.nothing.there; }
}
export const plugin = {
  describe: () => ({ name: told.places, version: '0.1.0', settingsSchema: null }),
  configure(settings) { JSON.parse(settings); },
};
export const decider = {
  check: Rules.check.bind(Rules),
  decide(query) {
    try {
      if (query.info !== undefined) return decider.decide({});
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    try {
      this.check(query);
    } catch {
      return { effect: 'permit', reasons: [], obligations: [] };
    }
  },
};
",
    ),
    (
        "python",
        "plugin.py",
        r#"
import functools
import re
import types
from dataclasses import dataclass

from nephron_sdk import Descriptor
from wit_world import exports
from wit_world.exports.decider import Decision, Effect


def tell(error):
    raise error


watch = watched = depth = tell


class Plugin(exports.Plugin):
    def describe(self):
        return Descriptor("catches", "0.1.0", None)

    def configure(self, settings):
        pass


class Decider(exports.Decider):
    @dataclass
    class Rule:
        word: str

    matches = re.compile("a*").match
    rules = list

    @functools.lru_cache
    def rule(self, *, word):
        return self.Rule(word=word)

    def decide(self, query, nested=False):
        if nested:
            raise ValueError(query.info.id)
        try:
            self.decide(query, nested=True)
        except ValueError:
            assert isinstance(self.rule(word="a"), self.Rule) and self.rules() == []
            assert self.matches("aa") and isinstance(tell, types.FunctionType)
            self.rule.cache_clear()
        return Decision(Effect.PERMIT, [], [])
"#,
    ),
];

#[test]
fn an_error_that_nobody_catches_is_told_with_its_place_in_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let target = target_of(component("traps"));
    let uncaught = |plugin: &Path, input: &str| {
        let run = ["plugin", "run", "--json", "--target-dir", &target];
        let arguments = [&run[..], &["--input", input, "."]].concat();
        let (code, out, said) = nephron(plugin, &arguments);
        assert_eq!(code, Some(3), "{out}\n{said}");
        let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(shown["answer"]["failed"], "trapped");
        let [told] = shown["diagnostics"].as_array().unwrap().as_slice() else {
            panic!("{out}");
        };
        assert_eq!(
            (&told["level"], &told["event"]),
            (&"error".into(), &"uncaught".into())
        );
        told["attributes"].clone()
    };
    for (lang, file, right, wrong, [at, error]) in ERRORS {
        let name = format!("errs-in-{lang}");
        let new = ["plugin", "new", "--kind", "decider", "--lang", lang, &name];
        let (code, _, said) = nephron(folder.path(), &new);
        assert_eq!(code, Some(0), "{said}");
        let project = folder.path().join(&name);
        let source = std::fs::read_to_string(project.join(file)).unwrap();
        let line = source
            .lines()
            .position(|line| line.contains(right))
            .unwrap()
            + 1;
        std::fs::write(project.join(file), source.replace(right, wrong)).unwrap();
        let told = uncaught(&project, "cases/marketing.json");
        assert_eq!(told["at"][0], format!("{at}{line})"), "{told}");
        assert!(told["error"].as_str().unwrap().starts_with(error), "{told}");
    }
    for (lang, file, source) in CAUGHT {
        let name = format!("catches-in-{lang}");
        let new = ["plugin", "new", "--kind", "decider", "--lang", lang, &name];
        let (code, _, said) = nephron(folder.path(), &new);
        assert_eq!(code, Some(0), "{said}");
        let project = folder.path().join(&name);
        std::fs::write(project.join(file), source).unwrap();
        let run = ["plugin", "run", "--json", "--target-dir", &target];
        let arguments = [&run[..], &["--input", "cases/marketing.json"]].concat();
        let (code, out, said) = nephron(&project, &arguments);
        assert_eq!(code, Some(0), "{out}\n{said}");
        let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(shown["diagnostics"], serde_json::json!([]), "{out}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/traps");
    let case = example("rust-decider").join("cases/marketing.json");
    let told = uncaught(&folder, case.to_str().unwrap());
    assert_eq!(told["error"], "it gives up");
    let at = told["at"][0].as_str().unwrap();
    assert!(at.contains("src/lib.rs:"), "{at}");
}

/// Runs the program in a folder: its exit code, and what it wrote.
fn nephron(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut nephron = Command::new(super::nephron());
    let output = nephron.args(arguments).current_dir(directory).output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, said)
}

/// Where a component was built: its toolchains lie there, too.
fn target_of(component: &Path) -> String {
    let target = component.ancestors().nth(2).unwrap();
    target.to_str().unwrap().to_owned()
}
