//! Every fault, at its place and with its remedy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect;
use nephron_keys::{Pkcs11Token, Schedule};

use super::super::{Classification, RootKey, SecretRef, read};
use super::{GOOD, change, check, files, parse, report};

#[test]
fn the_places_of_faults_stand_in_json_too() {
    let faults = parse(&GOOD.replace("[chain]", "[chain]\ncolour = 1")).unwrap_err();
    assert_eq!(
        serde_json::to_value(&faults).unwrap(),
        serde_json::json!([{
            "file": "etc/gateway.toml", "line": 34, "column": 1,
            "message": "unknown key `chain.colour`; remove it, or use one of `deciders`, `detectors`, `transformer`",
        }])
    );
}

#[test]
fn every_fault_is_reported_at_once() {
    let text = GOOD
        .replace("[\"access\"]", "[\"acess\"]")
        .replace("\"2s\"", "\"2sec\"")
        .replace("provider", "provder")
        .replace("models.ai.example", "me:canary@models.ai.example");
    check(
        &text,
        &expect![[r#"
        4:1: unknown key `root-key.provder`; did you mean `provider`?
        16:23: `plugin.limits.deadline` must be a whole number and its unit ms, s, m, h or d, such as "250ms"
        34:13: `chain.deciders` names plugin `acess`, which there is not; did you mean `access`?
        44:7: `endpoint.url`: must hold no user and no password; name a `credential` instead"#]],
    );
}

#[test]
fn an_empty_configuration_says_what_is_needed() {
    check(
        "",
        &expect![[r#"
        1:1: missing key `chain`; write `[chain]`
        1:1: missing key `endpoint`; write `[[endpoint]]`
        1:1: missing key `plugin`; write `[[plugin]]`
        1:1: missing key `root-key`; write `[root-key]`
        1:1: missing key `route`; write `[[route]]`
        1:1: missing key `tenant`; write `[[tenant]]`"#]],
    );
    check(
        "tenant = []\nplugin = 1\nchain = []\nroute = [1]\n",
        &expect![[r#"
        1:1: missing key `endpoint`; write `[[endpoint]]`
        1:1: missing key `root-key`; write `[root-key]`
        1:10: `tenant` is empty; write at least one `[[tenant]]`
        2:10: `plugin` must be a list of tables, each under `[[…]]`, but is an integer
        3:9: `chain` must be a table, but is an array
        4:10: `route` must be a table, but is an integer"#]],
    );
}

#[test]
fn syntax_faults_come_together_and_bring_no_others_along() {
    check(
        "[root-key\nprovider = file\n[chain]\ndeciders = [\"a\" \"b\"]\nx = 1\nx = 2\n",
        &expect![[r#"
        1:10: this is not TOML: unclosed table, expected `]`
        4:17: this is not TOML: missing comma between array elements, expected `,`
        5:1: unknown key `chain.x`; remove it, or use one of `deciders`, `detectors`, `transformer`
        6:1: this is not TOML: duplicate key"#]],
    );
    change(
        "\"data\"",
        "\"data",
        &expect![[r#"1:13: this is not TOML: invalid basic string, expected `"`"#]],
    );
    check(
        &format!("\u{feff}{GOOD}é = 1"),
        &expect![
            "55:1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`"
        ],
    );
}

#[test]
fn keys_nobody_knows_are_refused() {
    change(
        "data = ",
        "dta = ",
        &expect!["1:1: unknown key `dta`; did you mean `data`?"],
    );
    change(
        "provider = ",
        "providor = ",
        &expect!["4:1: unknown key `root-key.providor`; did you mean `provider`?"],
    );
    change(
        "fuel = 1000",
        "fule = 1000",
        &expect!["16:47: unknown key `plugin.limits.fule`; did you mean `fuel`?"],
    );
    change(
        "[[export]]",
        "[[exports]]",
        &expect!["52:3: unknown key `exports`; did you mean `export`?"],
    );
    change(
        "\"KEY\" }",
        "\"KEY\", vault = \"x\" }",
        &expect![
            "46:62: unknown key `endpoint.credential.secret.vault`; remove it, or use one of `environment`, `file`"
        ],
    );
}

#[test]
fn a_renamed_key_names_the_new_one() {
    let renamed = [
        ("root-key.kind", "root-key.provider"),
        ("plugin.limits.time", "plugin.limits.deadline"),
    ];
    let text = GOOD
        .replace("provider =", "kind =")
        .replace("deadline =", "time =");
    let result = read(
        &text,
        Path::new("etc/gateway.toml"),
        &files,
        &renamed,
        &|_| (),
    );
    expect![[r#"
        4:1: key `root-key.kind` is now called `root-key.provider`; rename it
        16:12: key `plugin.limits.time` is now called `plugin.limits.deadline`; rename it"#]]
    .assert_eq(&report(&result));
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    change(
        "\"st-marys\"",
        "7",
        &expect!["8:6: `tenant.id` must be text in quotes, but is an integer"],
    );
    change(
        "\"st-marys\"",
        "\"St. Mary's\"",
        &expect![
            "8:6: `tenant.id`: `St. Mary's` is no tenant: expected 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter"
        ],
    );
    change(
        "fuel = 1000",
        "fuel = \"1000\"",
        &expect!["16:54: `plugin.limits.fuel` must be a whole number, but is text"],
    );
    change(
        "fuel = 1000",
        "fuel = -1",
        &expect!["16:54: `plugin.limits.fuel` must be between 1 and 18446744073709551615"],
    );
    change(
        "fuel = 1000",
        "fuel = 99999999999999999999",
        &expect!["16:54: `plugin.limits.fuel` must be between 1 and 18446744073709551615"],
    );
    change(
        "\"2s\"",
        "2",
        &expect![
            "16:23: `plugin.limits.deadline` must be a duration as text with its unit, but is an integer"
        ],
    );
    change(
        "\"2s\"",
        "\"0s\"",
        &expect![[r#"16:23: `plugin.limits.deadline` must be between "1ms" and "1h""#]],
    );
    change(
        "\"64MiB\"",
        "\"64MB\"",
        &expect![[
            r#"16:38: `plugin.limits.memory` must be a whole number and its unit B, KiB, MiB or GiB, such as "64MiB""#
        ]],
    );
    change(
        "\"64MiB\"",
        "\"65MiB\"",
        &expect![[r#"16:38: `plugin.limits.memory` must be between "64KiB" and "64MiB""#]],
    );
    change(
        "[\"access\"]",
        "\"access\"",
        &expect!["34:12: `chain.deciders` must be a list of names of plugins, but is text"],
    );
    change(
        "[\"ingress\"]",
        "[nan]",
        &expect![
            "14:23: `plugin.settings.points` must be a finite number: JSON has no `inf` and no `nan`"
        ],
    );
    change(
        "\"file\"",
        "\"kms\"",
        &expect![
            "4:12: `root-key.provider` cannot be `kms`; use one of `file`, `pkcs11`, `aws-kms`, `vault-transit`"
        ],
    );
    change(
        "\"data\"",
        "\"\"",
        &expect!["1:8: `data` must be a path: text that is not empty and holds no NUL"],
    );
}

#[test]
fn plugins_are_checked() {
    change(
        "\"detector\"",
        "\"detecter\"",
        &expect!["20:8: `plugin.kind` cannot be `detecter`; did you mean `detector`?"],
    );
    change(
        "\"detector\"",
        "\"oracle\"",
        &expect![
            "20:8: `plugin.kind` cannot be `oracle`; use one of `decider`, `detector`, `transformer`, `connector`, `exporter`"
        ],
    );
    change(
        "component = \"safe-harbor\"",
        "component = \"Safe Harbor\"",
        &expect![[
            r#"21:13: `plugin.component` must name a plugin that comes with Nephron, such as "safe-harbor", or a file, such as "plugins/ours.wasm""#
        ]],
    );
    change(
        "component = \"safe-harbor\"",
        "component = \"safe-harbor\"\ndigest = \"sha256:9f2c\"",
        &expect!["22:10: `plugin.digest`: expected `sha256:` and 64 lower-case hex digits"],
    );
    change(
        "component = \"safe-harbor\"",
        "component = \"safe-harbor\"\ngrant = { keys = true, null-wasi = 1 }",
        &expect![[r#"
        22:9: `plugin.grant` has `keys = true`, but only a transformer, a connector or an exporter can be lent a key; remove it
        22:36: `plugin.grant.null-wasi` must be `true` or `false`, but is an integer"#]],
    );
    change(
        "\"access.cedar\"",
        "\"acess.cedar\"",
        &expect![
            "15:31: `plugin.settings-files.policies` cannot be read from `etc/acess.cedar`: no such file; correct the path, which starts at the configuration's folder"
        ],
    );
    change(
        "\"access.cedar\"",
        "{ \"a.cedar\" = \"acess.cedar\" }",
        &expect![
            "15:45: `plugin.settings-files.policies.a.cedar` cannot be read from `etc/acess.cedar`: no such file; correct the path, which starts at the configuration's folder"
        ],
    );
    change(
        "points =",
        "policies =",
        &expect![
            "15:31: `plugin.settings-files.policies` is in `settings` too; keep `policies` in one of the two"
        ],
    );
    change(
        "name = \"jsonl\"",
        "name = \"access\"",
        &expect![[r#"
        29:8: plugin `access` is there twice, first in line 11; rename one
        53:10: `export.plugin` names plugin `jsonl`, which there is not; add a `[[plugin]]` of that name"#]],
    );
    change(
        "name = \"jsonl\"",
        "name = \"JSON lines\"",
        &expect![
            "29:8: `plugin.name` must be 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter"
        ],
    );
}

#[test]
fn names_must_name_what_is_there_and_is_fit() {
    change(
        "detectors = [\"safe-harbor\"]",
        "detectors = [\"nobody\"]",
        &expect![[r#"
        19:8: plugin `safe-harbor` is used by nothing; name it in `[chain]`, an `[[endpoint]]`, an `[[export]]` or an `[[anchor]]`, or remove it
        35:14: `chain.detectors` names plugin `nobody`, which there is not; add a `[[plugin]]` of that name"#]],
    );
    change(
        "detectors = [\"safe-harbor\"]",
        "detectors = [\"safe-harbor\", \"jsonl\"]",
        &expect![
            "35:29: `chain.detectors` names plugin `jsonl` of kind exporter; name one of kind detector or transformer"
        ],
    );
    change(
        "detectors = [\"safe-harbor\"]",
        "detectors = [\"safe-harbor\", \"safe-harbor\"]",
        &expect!["35:29: `chain.detectors` names plugin `safe-harbor` twice; name it once"],
    );
    change(
        "deciders = [\"access\"]",
        "deciders = []",
        &expect![[r#"
        11:8: plugin `access` is used by nothing; name it in `[chain]`, an `[[endpoint]]`, an `[[export]]` or an `[[anchor]]`, or remove it
        34:12: `chain.deciders` names no plugin, and a request that nobody judges is refused; write `deciders = ["access"]`"#]],
    );
    change(
        "connector = \"cloud-model\"",
        "connector = \"access\"",
        &expect![[r#"
        24:8: plugin `cloud-model` is used by nothing; name it in `[chain]`, an `[[endpoint]]`, an `[[export]]` or an `[[anchor]]`, or remove it
        43:13: `endpoint.connector` names plugin `access` of kind decider; name one of kind connector"#]],
    );
    change(
        "endpoint = \"cloud\"",
        "endpoint = \"clod\"",
        &expect![
            "50:12: `route.endpoint` names endpoint `clod`, which there is not; did you mean `cloud`?"
        ],
    );
    change(
        "services = [\"cloud\"]",
        "services = [\"elsewhere\"]",
        &expect![
            "39:41: `associate.agreement.services` names endpoint `elsewhere`, which there is not; add a `[[endpoint]]` of that name"
        ],
    );
    change(
        "plugin = \"jsonl\"",
        "plugin = \"access\"",
        &expect![[r#"
        29:8: plugin `jsonl` is used by nothing; name it in `[chain]`, an `[[endpoint]]`, an `[[export]]` or an `[[anchor]]`, or remove it
        53:10: `export.plugin` names plugin `access` of kind decider; name one of kind exporter"#]],
    );
    let other = "[[associate]]\nname = \"other-ai\"\nagreement = { id = \"B\", services = [\"cloud\"], from = 2026-01-01, until = 2026-01-02, status = \"signed\" }\n\n[chain]";
    change(
        "[chain]",
        other,
        &expect![[r#"
            34:8: associate `other-ai` is used by nothing; name it in an `[[endpoint]]` or as a subprocessor, or remove it
            35:37: `associate.agreement.services` names endpoint `cloud`, which `example-ai` runs: an agreement covers its own associate's endpoints, and those of whom it is a subprocessor"#]],
    );
    let idle = "[[endpoint]]\nname = \"idle\"\nconnector = \"cloud-model\"\n\n[chain]";
    change(
        "[chain]",
        idle,
        &expect![
            "34:8: endpoint `idle` is used by nothing; name it in a `[[route]]`, or remove it"
        ],
    );
}

#[test]
fn what_must_be_unique_is() {
    change(
        "id = \"st-marys\"",
        "id = \"st-marys\"\n[[tenant]]\nid = \"st-marys\"",
        &expect!["10:6: `tenant.id` gives id `st-marys` again, as line 8 does; remove one"],
    );
    let twice = "[[route]]\nmodel = \"*\"\nendpoint = \"cloud\"\n\n[chain]";
    change(
        "[chain]",
        twice,
        &expect!["53:9: `route.model` gives model `*` again, as line 34 does; remove one"],
    );
    change(
        "[chain]",
        "[[export]]\nplugin = \"jsonl\"\nname = \"other\"\nfile = \"audit.jsonl\"\n\n[chain]",
        &expect!["59:8: `export.file` gives file `audit.jsonl` again, as line 36 does; remove one"],
    );
    change(
        "[chain]",
        "[[export]]\nplugin = \"jsonl\"\nfile = \"other.jsonl\"\n\n[chain]",
        &expect![
            "57:10: `export.plugin` stands in another export too; give this one a `name` of its own"
        ],
    );
}

#[test]
fn an_export_has_one_place_and_only_what_belongs_to_it() {
    let place = "file = \"audit.jsonl\"";
    change(
        place,
        "",
        &expect![[
            r#"52:1: missing key `export.file`; write `file = "audit.jsonl"` or `url = "https://…"` or `stream = "tls://collector.example:6514"`"#
        ]],
    );
    change(
        place,
        "url = \"https://a.example\"\nstream = \"tls://b.example:6514\"",
        &expect![
            "55:10: `export.stream` stands beside another place; give each export a table of its own"
        ],
    );
    change(
        place,
        "url = \"http://a.example\"",
        &expect![
            "54:7: `export.url` would send requests unencrypted to another machine; use `https://`, or set `plaintext-http-unsafe = true`"
        ],
    );
    change(
        place,
        "url = \"https://10.0.0.1\"",
        &expect![
            "54:7: `export.url` is an address of a private network or of no endpoint at all; if it is meant, set `private-addresses = true`"
        ],
    );
    for stream in [
        "b.example:6514",
        "tls://b.example",
        "tls://b.example:6514/x",
    ] {
        let report = report(&parse(
            &GOOD.replace(place, &format!("stream = \"{stream}\"")),
        ));
        assert!(
            report.contains("must be `tls://`, a host, `:` and a port"),
            "{report}"
        );
    }
    change(
        place,
        "stream = \"tls://b.example:6514\"\ncredential = { name = \"a\", secret = { environment = \"A\" } }",
        &expect![
            "55:14: `export.credential` belongs to requests over HTTP, and `stream` knows none; remove it, or give `tls` a certificate and a key"
        ],
    );
    change(
        place,
        "file = \"audit.jsonl\"\ntls = { ca = \"ca.pem\" }\ntenants = [\"nobody\"]",
        &expect![[r#"
            55:7: `export.tls` stands at an export to a file; remove it
            56:12: `export.tenants` names no `[[tenant]]` of this file"#]],
    );
    let good = "stream = \"tls://localhost:6514\"\nbefore-reply = true\nbefore-reply-time = \"2s\"";
    let config = parse(&GOOD.replace(place, good)).unwrap();
    let [export] = &config.exports[..] else {
        panic!("one export")
    };
    assert_eq!(export.before_reply, Some(Duration::from_secs(2)));
    assert!(export.upstream().unwrap().allows_private);
}

#[test]
fn an_anchor_that_a_plugin_speaks_to_needs_a_server_and_no_other_does() {
    let anchor = |text: &str| {
        let text = format!("{GOOD}\n[[anchor]]\nname = \"s3\"\n{text}\n");
        report(&parse(&text))
    };
    let url = "url = \"https://s3.example\"";
    assert_eq!(anchor(&format!("exporter = \"jsonl\"\n{url}")), "right");
    assert!(anchor("exporter = \"jsonl\"").contains("missing key `anchor.url`"));
    assert!(
        anchor(&format!("directory = \"/mnt/worm\"\n{url}"))
            .contains("belongs to an anchor with `exporter`")
    );
    assert!(anchor(&format!("exporter = \"access\"\n{url}")).contains("name one of kind exporter"));
    assert!(
        anchor(&format!(
            "exporter = \"jsonl\"\n{url}\ndirectory = \"/mnt/worm\""
        ))
        .contains("stands beside another place")
    );
}

#[test]
fn secrets_never_stand_in_the_file_or_in_a_fault() {
    for (from, to) in [
        ("{ file = \"passphrase\" }", "\"canary horse\""),
        (
            "{ file = \"passphrase\" }",
            "{ environment = \"canary horse\" }",
        ),
        (
            "{ file = \"passphrase\" }",
            "{ file = \"a\", environment = \"B\" }",
        ),
        ("{ file = \"passphrase\" }", "{ value = \"canary horse\" }"),
        ("{ environment = \"KEY\" }", "\"canary horse\""),
        ("https://models", "https://me:canary@models"),
        ("\"2s\"", "[\"canary\"]"),
    ] {
        let report = report(&parse(&GOOD.replace(from, to)));
        assert!(report != "right" && !report.contains("canary"), "{report}");
    }
    change(
        "{ file = \"passphrase\" }",
        "\"canary horse\"",
        &expect![[
            r#"5:14: `root-key.passphrase` is a secret and must not stand here; write `{ file = "…" }` or `{ environment = "NAME" }`, and change the secret if others have seen this file"#
        ]],
    );
    change(
        "{ file = \"passphrase\" }",
        "{ environment = \"1 canary\" }",
        &expect![
            "5:30: `root-key.passphrase.environment` must be the name of an environment variable: letters, digits and `_`, not starting with a digit"
        ],
    );
    change(
        "{ file = \"passphrase\" }",
        "{ file = \"a\", environment = \"B\" }",
        &expect![
            "5:42: `root-key.passphrase.environment` cannot stand beside `file`: a secret is in one place; remove one of the two"
        ],
    );
    change(
        "{ file = \"passphrase\" }",
        "{}",
        &expect![[
            r#"5:14: missing key `root-key.passphrase.file`; write `file = "secrets/name"` or `environment = "NAME"`"#
        ]],
    );
}

#[test]
fn i10_endpoints_say_who_runs_them_and_how_they_are_reached() {
    let url = "url = \"https://models.ai.example\"";
    change(
        url,
        "url = \"http://models.ai.example\"",
        &expect![
            "44:7: `endpoint.url` would send requests unencrypted to another machine; use `https://`, or set `plaintext-http-unsafe = true`"
        ],
    );
    change(
        url,
        "url = \"http://models.ai.example\"\nplaintext-http-unsafe = true",
        &expect!["right"],
    );
    change(
        url,
        "url = \"http://127.0.0.1:11434/v1\"",
        &expect!["right"],
    );
    change(
        url,
        "url = \"models.ai.example\"",
        &expect![
            "44:7: `endpoint.url`: must begin with `https://`, or with `http://` for a server on this machine"
        ],
    );
    change(
        url,
        "",
        &expect![[r#"
        45:13: `endpoint.associate` stands at an endpoint without `url`, whose connector answers inside the sandbox; add `url`, or remove it
        46:14: `endpoint.credential` stands at an endpoint without `url`, whose connector answers inside the sandbox; add `url`, or remove it"#]],
    );
    change(
        "associate = \"example-ai\"\n",
        "",
        &expect![[
            r#"41:1: missing key `endpoint.associate`; write `associate = "name of who runs it"`"#
        ]],
    );
    let signed = "aws-sigv4 = { access-key-id = \"AKIAIOSFODNN7EXAMPLE\", secret = { environment = \"KEY\" }, region = \"eu-central-1\" }";
    let credential = "credential = { name = \"key\", secret = { environment = \"KEY\" } }";
    change(credential, signed, &expect!["right"]);
    change(
        credential,
        &format!("{credential}\n{signed}"),
        &expect![
            "47:13: `endpoint.aws-sigv4` cannot stand beside `credential`: a request is signed or names a key; remove one of the two"
        ],
    );
    change(
        credential,
        "aws-sigv4 = { access-key-id = \"AKIA/1\", secret = \"x\", region = \"eu/1\" }",
        &expect![[r#"
        46:31: `endpoint.aws-sigv4.access-key-id` must be 16 to 128 of `A-Z`, `0-9` and `_`
        46:50: `endpoint.aws-sigv4.secret` is a secret and must not stand here; write `{ file = "…" }` or `{ environment = "NAME" }`, and change the secret if others have seen this file
        46:64: `endpoint.aws-sigv4.region` must be 1 to 64 of `a-z`, `0-9` and `-`"#]],
    );
    change(
        "{ name = \"key\",",
        "{ name = \"a key\", header = \"Host\", prefix = \"é\",",
        &expect![[r#"
        46:23: `endpoint.credential.name` must be 1 to 64 of letters, digits, `.`, `_` and `-`
        46:41: `endpoint.credential.header` must be a header's name in lower case that is not one of those the host sets itself, such as `host`
        46:58: `endpoint.credential.prefix` must be visible ASCII and spaces"#]],
    );
    change(
        "2026-01-01",
        "2027-01-01",
        &expect![
            "39:78: `associate.agreement.until` must be later than `from`: it is the first day on which the agreement is over"
        ],
    );
    change(
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        &expect![
            "39:58: `associate.agreement.from` must be a date such as 2026-01-01, but is a date or time"
        ],
    );
    change(
        "\"2027-01-01\"",
        "\"2027-02-30\"",
        &expect![
            "39:78: `associate.agreement.until` must be a day of the calendar since 1970, written as in 2026-01-01"
        ],
    );
    change(
        "id = \"BAA-1\", ",
        "",
        &expect![[r#"39:13: missing key `associate.agreement.id`; write `id = "BAA-2026-014"`"#]],
    );
    change(
        "[chain]",
        "[egress]\ncleared-without-baa = \"safe-harbour\"\n\n[chain]",
        &expect![
            "34:23: `egress.cleared-without-baa` cannot be `safe-harbour`; did you mean `safe-harbor`?"
        ],
    );
}

#[test]
fn i10_the_register_of_associates_is_checked() {
    let chips = "[[associate]]\nname = \"chips\"\nrole = \"subcontractor\"\nresidency = [\"US\"]\n\
        agreement = { id = \"S\", services = [\"cloud\"], from = 2026-01-01, until = 2026-01-02, status = \"signed\" }\n\n[chain]";
    let with = GOOD.replace("[chain]", chips);
    check(
        &with.replace(
            "\"example-ai\"\nagreement",
            "\"example-ai\"\nsubprocessors = [\"chips\"]\nagreement",
        ),
        &expect!["right"],
    );
    check(
        &with.replace(
            "\"example-ai\"\nagreement",
            "\"example-ai\"\nsubprocessors = [\"chip\", \"example-ai\"]\nresidency = [\"the US\"]\nsoc2-report = \"July\"\nagreement",
        ),
        &expect![[r#"
            37:37: `associate.agreement.services` names endpoint `cloud`, which `example-ai` runs: an agreement covers its own associate's endpoints, and those of whom it is a subprocessor
            45:18: `associate.subprocessors` names associate `chip`, which there is not; did you mean `chips`?
            45:26: `associate.subprocessors` names the associate itself; name those who work for it
            46:14: `associate.residency` must be a region: 1 to 64 letters, digits and `-`, such as "US", "US-VA" or "eu-central-1"
            47:15: `associate.soc2-report` must be a day of the calendar since 1970, written as in 2026-01-01"#]],
    );
    change(
        "\"example-ai\"\nagreement",
        "\"example-ai\"\nrole = \"none\"\nagreement",
        &expect![
            "40:13: `associate.agreement` stands at an associate whose `role` is `none`, which no agreement makes one that may see protected health information; remove one of the two"
        ],
    );
    let bad = GOOD.replace("\"signed\"", "\"sined\"");
    check(
        &bad.replace(
            "id = \"BAA-1\",",
            "id = \"BAA-1\", document = \"sha256:0\", no-training = 1, breach-notice = \"90d\",",
        ),
        &expect![[r#"
            39:40: `associate.agreement.document`: expected `sha256:` and 64 lower-case hex digits
            39:66: `associate.agreement.no-training` must be `true` or `false`, but is an integer
            39:85: `associate.agreement.breach-notice` must be between "1h" and "60d"
            39:164: `associate.agreement.status` cannot be `sined`; did you mean `signed`?"#]],
    );
    change(
        ", status = \"signed\"",
        "",
        &expect![[r#"39:13: missing key `associate.agreement.status`; write `status = "signed"`"#]],
    );
    change(
        "[chain]",
        "[egress]\nregions = \"US\"\n\n[chain]",
        &expect!["34:11: `egress.regions` must be a list of regions, but is text"],
    );
}

#[test]
fn routes_name_endpoints_and_endpoints_their_certificates() {
    let route = "model = \"*\"\nendpoint = \"cloud\"";
    for (to, expected) in [
        ("endpoints = [\"cloud\"]", expect!["right"]),
        (
            "endpoints = []",
            expect![[r#"
            42:8: endpoint `cloud` is used by nothing; name it in a `[[route]]`, or remove it
            48:1: `route` names no endpoint; name at least one"#]],
        ),
        (
            "endpoints = [\"cloud\", \"cloud\"]",
            expect![
                "50:23: `route.endpoints` names endpoint `cloud` twice; `retries` of the endpoint asks it again"
            ],
        ),
        (
            "endpoints = [{ name = \"cloud\", upstream-model = \"llama3\" }]",
            expect!["right"],
        ),
        (
            "endpoints = [{ name = \"cloud\", model = \"llama3\" }, 7]",
            expect![[r#"
                50:32: unknown key `route.endpoints.model`; remove it, or use one of `name`, `upstream-model`
                50:52: `route.endpoints` must be a table, but is an integer"#]],
        ),
        (
            "endpoint = \"cloud\"\nendpoints = [\"cloud\"]",
            expect![[r#"
                42:8: endpoint `cloud` is used by nothing; name it in a `[[route]]`, or remove it
                51:13: `route.endpoints` cannot stand beside `endpoint`; remove one of the two"#]],
        ),
        (
            "",
            expect![[r#"48:1: missing key `route.endpoint`; write `endpoint = "local"`"#]],
        ),
    ] {
        change(route, &format!("model = \"*\"\n{to}"), &expected);
    }
    let url = "url = \"https://models.ai.example\"";
    for (to, expected) in [
        (
            "retries = 4",
            expect!["45:11: `endpoint.retries` must be between 0 and 3"],
        ),
        (
            "answer-time = \"2h\"",
            expect![[r#"45:15: `endpoint.answer-time` must be between "1ms" and "1h""#]],
        ),
        (
            "tls = { ca = \"ca.pem\", certificate = \"a.pem\", key = \"a.key\" }",
            expect!["right"],
        ),
        (
            "tls = { certificate = \"a.pem\" }",
            expect![[r#"45:7: missing key `endpoint.tls.key`; write `key = "pki/gateway.key"`"#]],
        ),
        (
            "tls = { key = \"a.key\", allow-tls-1-2 = 1 }",
            expect![[r#"
                45:7: missing key `endpoint.tls.certificate`; write `certificate = "pki/gateway.pem"`
                45:40: `endpoint.tls.allow-tls-1-2` must be `true` or `false`, but is an integer"#]],
        ),
    ] {
        change(url, &format!("{url}\n{to}"), &expected);
    }
    change(
        url,
        "url = \"http://127.0.0.1:1\"\ntls = {}",
        &expect![
            "45:7: `endpoint.tls` stands at an endpoint that is reached by `http://`; use `https://`, or remove it"
        ],
    );
}

#[test]
fn exports_and_requests_are_held_to_their_ranges() {
    for name in ["../audit.jsonl", "a/b", "", ".hidden", "a b"] {
        let report = report(&parse(
            &GOOD.replace("\"audit.jsonl\"", &format!("{name:?}")),
        ));
        assert!(
            report.starts_with("54:8: `export.file` must be a plain file name"),
            "{name}: {report}"
        );
    }
    change(
        "file = \"audit.jsonl\"",
        "file = \"audit.jsonl\"\nbatch = 0",
        &expect!["55:9: `export.batch` must be between 1 and 10000"],
    );
    change(
        "[chain]",
        "[limits]\nrequest = \"17MiB\"\nmessages = 0\n\n[chain]",
        &expect![[r#"
        34:11: `limits.request` must be between "1B" and "16MiB"
        35:12: `limits.messages` must be between 1 and 100000"#]],
    );
}

#[test]
fn one_caller_has_no_more_places_than_its_tenant() {
    let listen = "[listen]\naddress = \"127.0.0.1:1\"\nrequests-per-tenant = 8";
    check(
        &format!("{GOOD}\n{listen}\nrequests-per-caller = 9\n"),
        &expect!["59:23: `listen.requests-per-caller` must be between 1 and 8"],
    );
    check(
        &format!("{GOOD}\n{listen}\nconnections = 2\nconnections-per-source = 3\n"),
        &expect!["60:26: `listen.connections-per-source` must be between 1 and 2"],
    );
    check(
        &format!("{GOOD}\n{listen}\ndrain-delay = \"2h\"\n"),
        &expect![[r#"59:15: `listen.drain-delay` must be between "0ms" and "1h""#]],
    );
    check(
        &format!("{GOOD}\n{listen}\nidle-time = \"0s\"\n"),
        &expect![[r#"59:13: `listen.idle-time` must be between "1s" and "1h""#]],
    );
    let read = parse(&format!("{GOOD}\n{listen}\nconnections = 7\n")).unwrap();
    let read = read.listen.unwrap();
    assert_eq!(
        (read.requests_per_caller, read.connections_per_source),
        (4, 4)
    );
}

#[test]
fn callers_are_described_once_and_soundly() {
    let with = |more: &str| format!("{GOOD}\n{more}");
    let holder = "tenant = \"st-marys\"\ncaller = \"a\"\nroles = [\"b\"]\npurposes = [\"TREAT\"]\nexpires = 2030-01-01";
    let listen = "[listen]\naddress = \"127.0.0.1:1\"";
    check(
        &with(&format!(
            "{listen}\n[listen.tls]\ncertificate = \"a\"\nkey = \"b\"\nclient-crl = \"c\"\n\
             [[client-certificate]]\nid = \"a\"\nuri = \"u\"\ndns = \"d\"\n{holder}\n\
             [[client-certificate]]\nid = \"a\"\n{holder}\n"
        )),
        &expect![[r#"
        61:14: `listen.tls.client-crl` stands without `client-ca`, which says whose certificates are meant; add it, or remove this
        62:1: `client-certificate` is never looked at: add `client-ca` to `[listen.tls]`, so that clients are asked for certificates
        64:7: `client-certificate.uri` stands beside another mark; a certificate is known by one of `key`, `uri` and `dns`: remove the others
        71:1: `client-certificate` is never looked at: add `client-ca` to `[listen.tls]`, so that clients are asked for certificates
        71:1: missing key `client-certificate.key`; write `key = "sha256:…"`, `uri = "…"` or `dns = "…"`
        72:6: `client-certificate.id` gives id `a` again, as line 63 does; remove one"#]],
    );
    let oidc = |more: &str| format!("[[oidc]]\nid = \"a\"\naudiences = [\"n\"]\n{more}\n");
    check(
        &with(&oidc(
            "issuer = \"http://login.example\"\ntenant = \"st-marys\"\ntenant-claim = \"t\"\npurposes = [\"treat\"]",
        )),
        &expect![[r#"
        59:10: `oidc.issuer` would fetch keys unencrypted from another machine, and believe whoever answers; use `https://`
        60:10: `oidc.tenant` stands beside `tenant-claim`; a token's tenant comes from one of the two: remove the other
        62:13: `oidc.purposes`: `treat` is no purpose of use: expected an HL7 v3 PurposeOfUse code: 1 to 16 of `A-Z`"#]],
    );
    check(
        &with(&oidc(
            "issuer = \"https://10.0.0.1\"\ntenant-claim = \"t\"\nalgorithms = [\"HS256\"]",
        )),
        &expect![[r#"
        56:1: missing key `oidc.purposes`; write `purposes = ["TREAT"]`
        56:1: missing key `oidc.tenants`; write `tenants = ["st-marys"]`
        59:10: `oidc.issuer` is an address of a private network; if it is meant, set `private-addresses = true`
        61:15: `oidc.algorithms` cannot be `HS256`; did you mean `ES256`?"#]],
    );
    let two = ["https://a.example", "https://b.example"].map(|issuer| {
        let table = oidc(&format!(
            "issuer = \"{issuer}\"\ntenant = \"st-marys\"\npurposes = [\"TREAT\"]"
        ));
        table.replace(
            "id = \"a\"",
            if issuer.contains("a.") {
                "id = \"a\""
            } else {
                "id = \"b\""
            },
        )
    });
    check(
        &with(&two.concat()),
        &expect![[r#"
        65:10: `oidc.issuer` and the provider of line 59 name callers of `st-marys` alike, and one name may be two people's; give each its `caller-prefix`"#]],
    );
    // With the one before it the provider of the other could name a caller `staff:…` of its own.
    let [first, second] = &two;
    let prefixed = format!("{first}caller-prefix = \"st\"\n{second}caller-prefix = \"staff:\"\n");
    check(
        &with(&prefixed),
        &expect![[r#"
        66:10: `oidc.issuer` and the provider of line 59 name callers of `st-marys` alike, and one name may be two people's; give each its `caller-prefix`"#]],
    );
    let apart = prefixed.replace("\"st\"", "\"vendor:\"");
    assert!(parse(&with(&apart)).is_ok());
    // A key's caller of the same name would be the same caller, and have the other's conversations.
    let key = format!(
        "[[api-key]]\nid = \"k\"\ndigest = \"sha256:{}\"\ntenant = \"st-marys\"\ncaller = \"b\"\nroles = [\"r\"]\n\
         purposes = [\"TREAT\"]\nexpires = 2027-01-01\n",
        "0".repeat(64)
    );
    check(
        &with(&format!("{first}{key}")),
        &expect![[r#"
        59:10: `oidc.issuer` names callers of `st-marys`, as API keys or certificates of this file do, and one name may be two people's; give it a `caller-prefix`, or write `caller-prefix = ""` if one name is one caller"#]],
    );
    for prefix in ["", "staff:"] {
        let written = format!("{first}caller-prefix = \"{prefix}\"\n{key}");
        assert!(parse(&with(&written)).is_ok(), "{prefix:?}");
    }
    check(
        &with("[emergency]\npurposes = [\"btg\"]\n"),
        &expect![[r#"
        57:13: `emergency.purposes`: `btg` is no purpose of use: expected an HL7 v3 PurposeOfUse code: 1 to 16 of `A-Z`"#]],
    );
}

#[test]
fn a_hardware_module_is_read_whole_and_its_faults_at_once() {
    let pkcs11 = |lines: &str| {
        let file = "provider = \"file\"\npassphrase = { file = \"passphrase\" }";
        assert_eq!(GOOD.matches(file).count(), 1);
        parse(&GOOD.replace(file, &format!("provider = \"pkcs11\"\n{lines}")))
    };
    let good = "module = \"/opt/hsm.so\"\npin = { file = \"pin\" }\n";
    for (token, expected) in [
        (
            "token-label = \"nephron\"",
            Pkcs11Token::Labelled("nephron".to_owned()),
        ),
        ("slot = 3", Pkcs11Token::InSlot(3)),
    ] {
        let config = pkcs11(&format!("{good}{token}")).unwrap();
        let expected = RootKey::Pkcs11 {
            module: PathBuf::from("/opt/hsm.so"),
            token: expected,
            pin: SecretRef::File(PathBuf::from("etc/pin")),
        };
        assert_eq!(config.root_key, expected);
    }
    let faults = report(&pkcs11("pin = \"1234\"\npassphrase = 1\n"));
    expect![[r#"
        3:1: missing key `root-key.module`; write `module = "/usr/lib/vendor/libpkcs11.so"`
        3:1: missing key `root-key.token-label`; write `token-label = "nephron"`
        5:7: `root-key.pin` is a secret and must not stand here; write `{ file = "…" }` or `{ environment = "NAME" }`, and change the secret if others have seen this file
        6:1: unknown key `root-key.passphrase`; remove it, or use one of `module`, `pin`, `provider`, `slot`, `token-label`"#]]
    .assert_eq(&faults);
    let both = format!("{good}token-label = \"a\"\nslot = 0");
    expect!["8:8: `root-key.slot` cannot stand beside `token-label`: one of them says which token; remove the other"]
        .assert_eq(&report(&pkcs11(&both)));
}

#[test]
fn a_key_service_is_read_whole_and_none_is_asked_in_plain_text() {
    let service = |lines: &str| {
        let file = "provider = \"file\"\npassphrase = { file = \"passphrase\" }";
        parse(&GOOD.replace(file, lines))
    };
    let kms = "provider = \"aws-kms\"\naccess-key-id = \"AKIDEXAMPLE000000000\"\n\
               secret = { environment = \"S\" }\nregion = \"eu-central-1\"\n";
    let RootKey::AwsKms {
        key,
        service: there,
    } = service(kms).unwrap().root_key
    else {
        panic!("KMS")
    };
    assert_eq!(
        there.url.to_string(),
        "https://kms.eu-central-1.amazonaws.com"
    );
    assert_eq!(key.session_token, None);
    let vault = "provider = \"vault-transit\"\nurl = \"https://vault.example:8200\"\ntoken = { file = \"t\" }\n";
    let RootKey::Transit {
        mount, namespace, ..
    } = service(vault).unwrap().root_key
    else {
        panic!("transit")
    };
    assert_eq!((mount.as_str(), namespace), ("transit", None));
    let plain = vault.replace("https", "http");
    expect!["5:7: `root-key.url` would send keys unencrypted to another machine; use `https://`"]
        .assert_eq(&report(&service(&plain)));
    let odd = format!("{vault}mount = \"../sys\"\n");
    expect![
        "7:9: `root-key.mount` must be names of `a-z`, `A-Z`, `0-9`, `-` and `_`, parted by `/`"
    ]
    .assert_eq(&report(&service(&odd)));
    let nowhere = vault.replace("url = \"https://vault.example:8200\"\n", "");
    expect![r#"3:1: missing key `root-key.url`; write `url = "https://vault.example:8200"`"#]
        .assert_eq(&report(&service(&nowhere)));
}

#[test]
fn keys_last_a_quarter_of_a_year_unless_told_otherwise() {
    assert_eq!(parse(GOOD).unwrap().key_rotation, Schedule::DEFAULT);
    let longer = format!("{GOOD}\n[key-rotation]\nfield = \"7d\"\nkeep-retired = \"400d\"\n");
    let rotation = parse(&longer).unwrap().key_rotation;
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(
        rotation,
        Schedule {
            field: day * 7,
            retired: day * 400,
            ..Schedule::DEFAULT
        }
    );
    let short = format!("{GOOD}\n[key-rotation]\nvault = \"1h\"\n");
    assert!(report(&parse(&short)).contains("`key-rotation.vault`"));
}

#[test]
fn what_is_sealed_is_kept_for_six_years_at_the_least() {
    assert_eq!(parse(GOOD).unwrap().log.retention, None);
    let kept = |text: &str| parse(&format!("{GOOD}\n[log]\nretention = \"{text}\"\n"));
    let seven = kept("7y").unwrap().log.retention;
    assert_eq!(seven.map(nephron_audit::Retention::years), Some(7));
    for (text, remedy) in [("5y", "write \"6y\" or more"), ("2192d", "such as \"6y\"")] {
        let report = report(&kept(text));
        assert!(
            report.contains("`log.retention`") && report.contains(remedy),
            "{report}"
        );
    }
}

#[test]
fn a_classification_says_what_is_wrong_with_it() {
    let text = r#"
[[field]]
path = "patient.**"
class = "phy"
[[field]]
path = "patient.mrn"
class = "phi"
kind = "record-number"
[[field]]
path = "a..b"
class = "public"
kind = "name"
purposes = []
"#;
    let faults = Classification::parse(text, Path::new("fields.toml")).unwrap_err();
    let expected = expect![[r#"
        fields.toml:4:9: `field.class` cannot be `phy`; did you mean `phi`?
        fields.toml:6:8: `field.path` is never looked at: `patient.**` of line 3 stands for it too, and the first counts; put this one before it
        fields.toml:8:8: `field.kind` must be a kind of identifier of 45 CFR 164.514(b)(2)(i), such as `mrn` or `name`, or `other`
        fields.toml:10:8: `field.path`: must be names of letters, digits and `_:/-@` joined by dots, such as `contacts.*.phone`: `*` alone is any one of them, and `**`, at the end, one or more
        fields.toml:12:8: `field.kind` says what is sealed, and what is public is not; leave it out
        fields.toml:13:12: `field.purposes` must name 1 to 32
        fields.toml:13:12: `field.purposes` says for what is sealed, and what is public is not; leave it out"#]];
    expected.assert_eq(&faults.to_string());
    let none = Classification::parse("", Path::new("fields.toml")).unwrap_err();
    assert!(none.to_string().contains("[[field]]"), "{none}");
}
