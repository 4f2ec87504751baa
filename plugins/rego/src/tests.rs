use nephron_sdk::decider::{Attribute, Caller, Effect, RequestInfo, Value};
use nephron_sdk::types::{Instant, Sensitivity};

use super::*;

/// The example, file by file, as an operator names them.
const EXAMPLE: [(&str, &str); 7] = [
    (
        ".manifest",
        include_str!("../../../examples/policies/rego/.manifest"),
    ),
    (
        "access.rego",
        include_str!("../../../examples/policies/rego/access.rego"),
    ),
    (
        "data.yaml",
        include_str!("../../../examples/policies/rego/data.yaml"),
    ),
    (
        "decision.rego",
        include_str!("../../../examples/policies/rego/decision.rego"),
    ),
    (
        "hours.rego",
        include_str!("../../../examples/policies/rego/hours.rego"),
    ),
    (
        "purposes/data.json",
        include_str!("../../../examples/policies/rego/purposes/data.json"),
    ),
    (
        "roles/data.json",
        include_str!("../../../examples/policies/rego/roles/data.json"),
    ),
];

fn settings(files: &[(&str, &str)]) -> Settings {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    Settings {
        policy: None,
        bundle: files.iter().map(owned).collect(),
        data: None,
        decision: default_decision(),
        rego_version: None,
        strict_builtin_errors: true,
    }
}

fn configured(settings: Settings) -> Rego {
    Rego::configure(settings).map_err(told_problems).unwrap()
}

/// A plugin whose one module is the package `nephron` with `rules`.
fn of(rules: &str) -> Rego {
    configured(single(rules))
}

fn single(rules: &str) -> Settings {
    Settings {
        policy: Some(format!("package nephron\n{rules}")),
        ..settings(&[])
    }
}

fn told_problems(problems: Vec<Problem>) -> String {
    let told = problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.key.unwrap_or_default(), problem.message));
    told.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused(settings: Settings) -> String {
    Rego::configure(settings)
        .map_err(told_problems)
        .err()
        .unwrap()
}

fn query(role: &str, purpose: &str, point: &str, action: &str, facts: Vec<Attribute>) -> Query {
    Query {
        info: RequestInfo {
            id: "01M8BF3PTSBP1N1625HSJKEHCE".to_owned(),
            tenant: "st-marys".to_owned(),
            received_at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 250_000_000,
            },
            caller: Caller {
                id: "dr.okafor".to_owned(),
                roles: vec![role.to_owned()],
                attributes: vec![fact("mfa", Value::Boolean(true))],
            },
            purpose: purpose.to_owned(),
            sensitivity: Sensitivity::Phi,
            attributes: vec![fact("emergency", Value::Boolean(false))],
        },
        point: point.to_owned(),
        action: action.to_owned(),
        target: "ward-model".to_owned(),
        facts,
    }
}

fn fact(name: &str, value: Value) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value,
    }
}

fn chat(role: &str, purpose: &str) -> Query {
    query(role, purpose, "ingress", "chat", Vec::new())
}

/// A decision on one line: `permit(codes) owes obligations`.
fn told(decision: &Decision) -> String {
    let effect = match decision.effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
        Effect::NotApplicable => "not-applicable",
        Effect::Indeterminate => "indeterminate",
    };
    let codes: Vec<String> = decision
        .reasons
        .iter()
        .map(|reason| match &reason.text {
            Some(text) => format!("{}: {text}", reason.code),
            None => reason.code.clone(),
        })
        .collect();
    let owed = decision.obligations.iter().map(|obligation| {
        let arguments = obligation.arguments.iter();
        let arguments: Vec<_> = arguments
            .map(|argument| format!("{}={:?}", argument.name, argument.value))
            .collect();
        format!(" owes {}({})", obligation.id, arguments.join(","))
    });
    format!("{effect}({}){}", codes.join(","), owed.collect::<String>())
}

fn answer(plugin: &Rego, query: Query) -> String {
    told(&plugin.decide(query).unwrap())
}

#[test]
fn a_bundle_of_several_modules_and_data_decides_as_it_stands() {
    let plugin = configured(settings(&EXAMPLE));
    let sent = |name: &str| {
        let facts = ["baa", "in-sandbox", "cleared"];
        let facts = facts.map(|fact_name| fact(fact_name, Value::Boolean(fact_name == name)));
        query("nurse", "TREAT", "egress", "send", facts.to_vec())
    };
    for (query, expected) in [
        (chat("physician", "TREAT"), "permit(treatment)"),
        (chat("nurse", "BTG"), "permit(treatment)"),
        (
            chat("researcher", "CLINTRCHPC"),
            "permit(research-without-identities) owes withhold-identities()",
        ),
        (chat("researcher", "TREAT"), "deny(no-rule-allows)"),
        (chat("visitor", "HMARKT"), "deny(no-rule-allows)"),
        (sent("baa"), "permit(treatment)"),
        (sent("cleared"), "permit(treatment)"),
        (sent("none"), "deny(not-under-agreement)"),
        (
            query("nurse", "TREAT", "rehydrate", "restore", Vec::new()),
            "permit(treatment)",
        ),
        (
            query("nurse", "TREAT", "admin", "mint-grant", Vec::new()),
            "not-applicable()",
        ),
    ] {
        assert_eq!(answer(&plugin, query), expected);
    }
    let mut early = chat("researcher", "HRESCH");
    early.info.received_at.seconds += 7 * 3600;
    assert_eq!(answer(&plugin, early), "deny(not-in-these-hours)");
    let mut no_factor = query("nurse", "TREAT", "rehydrate", "restore", Vec::new());
    no_factor.info.caller.attributes.clear();
    assert_eq!(answer(&plugin, no_factor), "deny(second-factor-needed)");
}

#[test]
fn the_value_of_the_rule_is_the_decision() {
    for (rules, expected) in [
        ("decision := true", "permit()"),
        ("decision := false", "deny(not-allowed)"),
        ("decision if input.point == \"egress\"", "not-applicable()"),
        ("decision := \"not-applicable\"", "not-applicable()"),
        ("decision := \"permit\"", "permit()"),
        (
            "decision := \"allow\"",
            "indeterminate(unreadable-decision)",
        ),
        ("decision := 1", "indeterminate(unreadable-decision)"),
        (
            "decision contains \"a\"",
            "indeterminate(unreadable-decision)",
        ),
        ("decision := {}", "indeterminate(unreadable-decision)"),
        (
            "decision := {\"allow\": true, \"effect\": \"permit\"}",
            "indeterminate(unreadable-decision)",
        ),
        // A misspelt obligation must not become a permission without conditions.
        (
            "decision := {\"allow\": true, \"obligation\": [\"a\"]}",
            "indeterminate(unreadable-decision)",
        ),
        (
            "decision := {\"allow\": true, \"obligations\": [\"a\"]}",
            "permit() owes a()",
        ),
        (
            "decision := {\"allow\": false, \"obligations\": [\"a\"]}",
            "deny()",
        ),
        (
            "decision := {\"allow\": true, \"obligations\": [{\"id\": \"a\", \"arguments\": {\"kinds\": {\"name\", \"mrn\"}, \"n\": 2, \"x\": 1.5}}]}",
            "permit() owes a(kinds=Value::Texts([\"mrn\", \"name\"]),n=Value::Number(2),x=Value::Json(\"1.5\"))",
        ),
        (
            "decision := {\"effect\": \"deny\", \"reasons\": {\"b.2\", \"in plain words\", \"a-1\"}}",
            "deny(a-1,b.2,message: in plain words)",
        ),
        (
            "decision := {\"effect\": \"deny\", \"reasons\": [{\"code\": \"c\", \"text\": \"t\", \"policy\": \"p\"}]}",
            "deny(c: t)",
        ),
        // Two values for one rule, and a builtin that fails.
        (
            "decision := 1 if true\ndecision := 2 if true",
            "indeterminate(evaluation-error)",
        ),
        (
            "decision if to_number(input.target) > 1",
            "indeterminate(evaluation-error)",
        ),
    ] {
        assert_eq!(
            answer(&of(rules), chat("nurse", "TREAT")),
            expected,
            "{rules}"
        );
    }
}

#[test]
fn a_builtin_that_fails_is_undefined_where_that_is_asked_for() {
    let plugin = configured(Settings {
        strict_builtin_errors: false,
        ..single(
            "default decision := \"deny\"\ndecision := \"permit\" if to_number(input.target) > 1",
        )
    });
    assert_eq!(answer(&plugin, chat("nurse", "TREAT")), "deny()");
}

#[test]
fn policies_see_the_whole_question() {
    let plugin = of("decision := {\"allow\": true, \"reasons\": [json.marshal(input)]}");
    let facts = vec![
        fact("tokens", Value::Number(3)),
        fact("kinds", Value::Texts(vec!["name".to_owned()])),
        fact("deep", Value::Json("{\"a\": [null, 1.5]}".to_owned())),
        fact("torn", Value::Json("{\"a".to_owned())),
    ];
    let decision = plugin
        .decide(query("nurse", "BTG", "rehydrate", "restore", facts))
        .unwrap();
    let seen: Json = serde_json::from_str(decision.reasons[0].text.as_ref().unwrap()).unwrap();
    let expected = serde_json::json!({
        "point": "rehydrate", "action": "restore", "target": "ward-model", "purpose": "BTG",
        "tenant": "st-marys", "sensitivity": "phi", "received": "2026-11-22T00:03:22.250Z",
        "caller": {"id": "dr.okafor", "roles": ["nurse"], "attributes": {"mfa": true}},
        "attributes": {"emergency": false},
        "facts": {"tokens": 3, "kinds": ["name"], "deep": {"a": [null, 1.5]}, "torn": "{\"a"},
    });
    assert_eq!(seen, expected);
}

#[test]
fn what_has_no_document_is_indeterminate() {
    let plugin = of("decision := true");
    let twice = vec![fact("a", Value::Number(1)), fact("a", Value::Number(2))];
    let asked = query("nurse", "TREAT", "ingress", "chat", twice);
    assert_eq!(answer(&plugin, asked), "indeterminate(repeated-fact-name)");
    let mut late = chat("nurse", "TREAT");
    late.info.received_at.seconds = u64::MAX;
    assert_eq!(answer(&plugin, late), "indeterminate(time-out-of-range)");
}

#[test]
fn time_is_the_requests_and_one_question_leaves_nothing_for_the_next() {
    let plugin = of("decision := {\"allow\": true, \"reasons\": [time.now_ns()]}");
    assert_eq!(
        answer(&plugin, chat("nurse", "TREAT")),
        "indeterminate(unreadable-decision)"
    );
    let plugin =
        of("decision := {\"allow\": true, \"reasons\": [sprintf(\"%d\", [time.now_ns()])]}");
    for seconds in [1_u64, 5, 1] {
        let mut asked = chat("nurse", "TREAT");
        asked.info.received_at.seconds = seconds;
        assert_eq!(
            answer(&plugin, asked),
            format!("permit({seconds}250000000)")
        );
    }
}

#[test]
fn times_are_as_in_go() {
    for (expression, expected) in [
        (
            "time.parse_rfc3339_ns(\"2026-11-22T01:03:22.25+01:00\")",
            "1795305802250000000",
        ),
        ("time.parse_duration_ns(\"1h30m\")", "5400000000000"),
        ("time.parse_duration_ns(\"-1.5s\")", "-1500000000"),
        ("time.date(time.now_ns())", "[2026, 11, 22]"),
        ("time.clock([time.now_ns(), \"UTC\"])", "[0, 3, 22]"),
        ("time.weekday(time.now_ns())", "Sunday"),
        // Go 1.22: time.Date(2026, 10, 31, …).AddDate(0, 1, 0) is 1 December, AddDate(-1, -10, 5) is 5 January 2025.
        (
            "time.date(time.add_date(time.parse_rfc3339_ns(\"2026-10-31T12:00:00Z\"), 0, 1, 0))",
            "[2026, 12, 1]",
        ),
        (
            "time.date(time.add_date(time.parse_rfc3339_ns(\"2026-10-31T12:00:00Z\"), -1, -10, 5))",
            "[2025, 1, 5]",
        ),
        ("yaml.unmarshal(\"a: [1, x]\").a", "[1, \"x\"]"),
        ("yaml.is_valid(\"a: [\")", "false"),
        ("yaml.unmarshal(yaml.marshal({\"a\": 1})).a", "1"),
    ] {
        let rule = format!(
            "decision := {{\"allow\": true, \"reasons\": [sprintf(\"= %v\", [{expression}])]}}"
        );
        assert_eq!(
            answer(&of(&rule), chat("nurse", "TREAT")),
            format!("permit(message: = {expected})"),
            "{expression}"
        );
    }
    for faulty in [
        "time.clock([time.now_ns(), \"Europe/Berlin\"])",
        "time.parse_duration_ns(\"1 day\")",
    ] {
        let plugin = of(&format!("decision if {faulty}"));
        assert_eq!(
            answer(&plugin, chat("nurse", "TREAT")),
            "indeterminate(evaluation-error)",
            "{faulty}"
        );
    }
}

#[test]
fn faults_are_told_with_their_places() {
    let with = |path: &str, text: &str| {
        settings(&[
            ("a.rego", "package nephron\ndecision := true"),
            (path, text),
        ])
    };
    for (settings, expected) in [
        (
            settings(&[]),
            "bundle: holds no module, so nothing would ever be decided; give a `.rego` file, or a module as `policy`",
        ),
        (
            single("decision := tru("),
            "policy: line 2, column 17: expecting expression",
        ),
        (
            with("b.rego", "package b\n\nallow {"),
            "bundle[\"b.rego\"]: line 3, column 7",
        ),
        (
            with("c/d.rego", "package c\np := http.send({})"),
            "bundle[\"c/d.rego\"]: line 2, column 6: there is no function `http.send`",
        ),
        (
            with("d.rego", "package d\np := undeclared(1)"),
            "bundle[\"d.rego\"]: line 2, column 6: there is no function `undeclared`",
        ),
        (
            with("e.rego", "package e\np if x > 1"),
            "bundle[\"e.rego\"]: line 2, column 6: use of undefined variable `x` is unsafe",
        ),
        (
            with("data.json", "[1]"),
            "bundle[\"data.json\"]: must hold an object",
        ),
        (with("x/data.yaml", "a: [\nb"), "bundle[\"x/data.yaml\"]: "),
        (
            with("policy.wasm", ""),
            "bundle[\"policy.wasm\"]: is neither a module",
        ),
        (
            with(".manifest", "{\"rego_version\": 2}"),
            "rego-version: `2` is no version of Rego",
        ),
        (
            with(".manifest", "{\"wasm\": [1]}"),
            "bundle[\".manifest\"]: `file_rego_versions` and `wasm` are not followed",
        ),
        (
            with("nephron/data.json", "{\"decision\": 1}"),
            "data: `data.nephron.decision` is a rule, and data lie there too",
        ),
        (
            settings(&[
                ("a.rego", "package nephron\ndecision := true"),
                ("a/data.json", "{\"b\": 1}"),
                ("data.json", "{\"a\": {\"b\": 2}}"),
            ]),
            "bundle[\"data.json\"]: `data.a.b` is also in another file",
        ),
        (
            Settings {
                decision: "data.nephron.allow".to_owned(),
                ..single("decision := true\nother := 1")
            },
            "decision: no module has the rule `data.nephron.allow`; there are data.nephron.decision, data.nephron.other",
        ),
        (
            Settings {
                data: Some(Json::from(1)),
                ..single("decision := true")
            },
            "data: must be an object",
        ),
    ] {
        let said = refused(settings);
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
    let said = refused(settings(&[
        ("a.rego", "package a\np :="),
        ("b.rego", "package b\nq :="),
    ]));
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn functions_are_known_wherever_they_are_declared() {
    let bundle = settings(&[
        (
            "a.rego",
            "package nephron\nimport data.lib.text as t\nimport data.lib\ndecision if {\n  not(t.odd(input.target))\n  lib.text.even(input.target)\n  data.lib.text.even(\"a\")\n  own(1)\n  print(\"a\")\n  f.g(1) == 2\n}\nown(x) if x == 1\ndefault own(_) := false\nf.g(x) := x + 1",
        ),
        (
            "b.rego",
            "package lib.text\n\nodd(x) if count(x) == 11\n\neven(x) if not odd(x)\n# http.send(1)\ns := \"http.send(1)\"",
        ),
    ]);
    assert_eq!(
        answer(&configured(bundle), chat("nurse", "TREAT")),
        "permit()"
    );
}

#[test]
fn rego_of_old_is_read_where_the_bundle_says_so() {
    let old = "package nephron\ndecision { input.point == \"ingress\" }";
    let said = refused(settings(&[("a.rego", old)]));
    assert!(
        said.starts_with("bundle[\"a.rego\"]: line 2, column 10"),
        "{said}"
    );
    let plugin = configured(settings(&[
        ("a.rego", old),
        (".manifest", "{\"rego_version\": 0}"),
    ]));
    assert_eq!(answer(&plugin, chat("nurse", "TREAT")), "permit()");
    let plugin = configured(Settings {
        rego_version: Some(0),
        ..settings(&[("a.rego", old)])
    });
    assert_eq!(answer(&plugin, chat("nurse", "TREAT")), "permit()");
}

#[test]
fn data_come_in_place_or_as_text_too() {
    for data in [
        serde_json::json!({"may": ["nurse"]}),
        Json::from("{\"may\": [\"nurse\"]}"),
        Json::from("may: [nurse]"),
    ] {
        let plugin = configured(Settings {
            data: Some(data),
            ..single("decision if input.caller.roles[_] in data.may")
        });
        assert_eq!(answer(&plugin, chat("nurse", "TREAT")), "permit()");
    }
}
