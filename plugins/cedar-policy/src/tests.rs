use cedar_policy::{AuthorizationError, Authorizer, PolicyId, PolicySet};
use nephron_sdk::decider::{
    Attribute, Decider, Decision, Effect, Query, Reason, RequestInfo, Value,
};
use nephron_sdk::types::{Caller, Instant, Sensitivity};
use nephron_sdk::{Plugin, Problem};

use crate::rules::Rule;
use crate::{
    CedarPolicy, EntitiesSetting, Settings, because, code, denied, indeterminate, request, rules,
};

const ACCESS: &str = include_str!("../../../examples/policies/access.cedar");
const SCHEMA: &str = include_str!("../../../examples/policies/access.cedarschema");
const PURPOSES: &str = include_str!("../../../examples/policies/purposes.json");

fn settings(policies: &str) -> Settings {
    Settings {
        policies: policies.to_owned(),
        schema: None,
        entities: None,
        points: None,
    }
}

fn plugin(policies: &str) -> CedarPolicy {
    CedarPolicy::configure(settings(policies))
        .map_err(messages)
        .unwrap()
}

fn messages(problems: Vec<Problem>) -> Vec<String> {
    problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.key.unwrap_or_default(), problem.message))
        .collect()
}

fn faults(settings: Settings) -> Vec<String> {
    CedarPolicy::configure(settings)
        .err()
        .map(messages)
        .unwrap_or_default()
}

fn example() -> CedarPolicy {
    let settings = Settings {
        policies: ACCESS.to_owned(),
        schema: Some(SCHEMA.to_owned()),
        entities: Some(EntitiesSetting::Text(PURPOSES.to_owned())),
        points: Some(vec![
            "ingress".to_owned(),
            "egress".to_owned(),
            "rehydrate".to_owned(),
        ]),
    };
    CedarPolicy::configure(settings).map_err(messages).unwrap()
}

fn query(role: &str, purpose: &str, point: &str, action: &str, facts: &[(&str, Value)]) -> Query {
    Query {
        info: RequestInfo {
            id: "01JD8Z2V5S0000000000000000".to_owned(),
            tenant: "st-marys".to_owned(),
            received_at: Instant {
                seconds: 1_795_305_802,
                nanoseconds: 0,
            },
            caller: Caller {
                id: "caller-17".to_owned(),
                roles: vec![role.to_owned()],
                attributes: vec![],
            },
            purpose: purpose.to_owned(),
            sensitivity: Sensitivity::Phi,
            attributes: vec![],
        },
        point: point.to_owned(),
        action: action.to_owned(),
        target: "ward-model".to_owned(),
        facts: facts
            .iter()
            .map(|(name, value)| Attribute {
                name: (*name).to_owned(),
                value: value.clone(),
            })
            .collect(),
    }
}

fn chat(role: &str, purpose: &str) -> Query {
    query(
        role,
        purpose,
        "ingress",
        "chat",
        &[
            ("messages", Value::Number(2)),
            ("bytes", Value::Number(2048)),
        ],
    )
}

fn send(role: &str, purpose: &str, cleared: bool, baa: bool) -> Query {
    let facts = [
        ("associate", Value::Text("example-ai".to_owned())),
        ("baa", Value::Boolean(baa)),
        ("in-sandbox", Value::Boolean(false)),
        ("cleared", Value::Boolean(cleared)),
        ("method", Value::Text("safe-harbor".to_owned())),
        ("identifiers", Value::Number(7)),
    ];
    query(role, purpose, "egress", "send", &facts)
}

fn restore(role: &str, purpose: &str) -> Query {
    let facts = [
        ("tokens", Value::Number(3)),
        (
            "kinds",
            Value::Texts(vec!["name".to_owned(), "mrn".to_owned()]),
        ),
        ("grant", Value::Boolean(false)),
    ];
    query(role, purpose, "rehydrate", "restore", &facts)
}

#[test]
fn a_policy_may_forbid_by_the_class_of_fields() {
    let more = "@id(\"no-internals\") forbid (principal, action == Action::\"open\", resource) \
                when { context.facts.classes.contains(\"internal\") };";
    let settings = Settings {
        policies: format!("{ACCESS}\n{more}"),
        schema: Some(SCHEMA.to_owned()),
        entities: Some(EntitiesSetting::Text(PURPOSES.to_owned())),
        points: None,
    };
    let plugin = CedarPolicy::configure(settings).map_err(messages).unwrap();
    let open = |classes: &[&str]| {
        let classes = classes.iter().map(|class| (*class).to_owned()).collect();
        let facts = [
            ("classes", Value::Texts(classes)),
            ("fields", Value::Number(1)),
            ("grant", Value::Boolean(false)),
            ("kinds", Value::Texts(vec!["mrn".to_owned()])),
        ];
        let asked = query("physician", "TREAT", "key-use", "open", &facts);
        plugin.decide(asked).unwrap().effect
    };
    assert_eq!(open(&["phi"]), Effect::Permit);
    assert_eq!(open(&[]), Effect::Permit);
    assert_eq!(open(&["internal", "phi"]), Effect::Deny);
}

/// `permit(policy:code,…) +obligation{name=value}`
fn told(decision: &Decision) -> String {
    let effect = match decision.effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
        Effect::NotApplicable => "not-applicable",
        Effect::Indeterminate => "indeterminate",
    };
    let reasons: Vec<String> = decision
        .reasons
        .iter()
        .map(|reason| {
            assert!(reason.text.is_none());
            reason.policy.as_ref().map_or_else(
                || reason.code.clone(),
                |policy| format!("{policy}:{}", reason.code),
            )
        })
        .collect();
    let obligations: String = decision
        .obligations
        .iter()
        .map(|obligation| {
            let arguments: Vec<String> = obligation
                .arguments
                .iter()
                .map(|argument| format!("{}={:?}", argument.name, argument.value))
                .collect();
            format!(" +{}{{{}}}", obligation.id, arguments.join(","))
        })
        .collect();
    format!("{effect}({}){obligations}", reasons.join(","))
}

#[track_caller]
fn check(plugin: &CedarPolicy, query: Query, expected: &str) {
    assert_eq!(told(&plugin.decide(query).unwrap()), expected);
}

#[test]
fn the_example_policies_decide_as_their_words_say() {
    let plugin = example();
    for (query, expected) in [
        (
            chat("physician", "TREAT"),
            "permit(clinicians-treat:treatment-by-clinician)",
        ),
        (
            chat("nurse", "TREAT"),
            "permit(clinicians-treat:treatment-by-clinician)",
        ),
        // Break-glass is emergency treatment, which is treatment.
        (
            chat("nurse", "BTG"),
            "permit(clinicians-treat:treatment-by-clinician)",
        ),
        (
            chat("pharmacist", "PATSFTY"),
            "permit(clinicians-operate:operations-by-clinician)",
        ),
        (
            chat("billing", "ELIGVER"),
            "permit(billing-pays:payment-by-billing) +withhold-identities{}",
        ),
        (
            chat("researcher", "HRESCH"),
            "permit(researchers-research:research-without-identities) +withhold-identities{}",
        ),
        (
            chat("researcher", "CLINTRCH"),
            "permit(researchers-research:research-without-identities) +withhold-identities{}",
        ),
        (chat("researcher", "TREAT"), "deny(no-policy-permits)"),
        (chat("physician", "HRESCH"), "deny(no-policy-permits)"),
        (
            chat("physician", "HMARKT"),
            "deny(no-marketing:marketing-needs-authorization)",
        ),
        (chat("volunteer", "TREAT"), "deny(no-policy-permits)"),
        (chat("physician", "TREATMENT"), "deny(no-policy-permits)"),
        (
            send("physician", "TREAT", true, true),
            "permit(cleared-text-leaves:cleared,baa-covers:associate-agreement)",
        ),
        (
            send("physician", "TREAT", true, false),
            "permit(cleared-text-leaves:cleared)",
        ),
        (
            send("physician", "TREAT", false, true),
            "permit(baa-covers:associate-agreement)",
        ),
        (
            send("physician", "TREAT", false, false),
            "deny(no-policy-permits)",
        ),
        (
            send("researcher", "HRESCH", true, false),
            "permit(cleared-text-leaves:cleared)",
        ),
        (
            send("researcher", "HRESCH", false, true),
            "deny(research-leaves-cleared-only:research-needs-cleared-text)",
        ),
        (
            restore("physician", "TREAT"),
            "permit(clinicians-see-identities:identities-for-care)",
        ),
        (
            restore("nurse", "HQUALIMP"),
            "permit(clinicians-see-identities:identities-for-care)",
        ),
        (restore("physician", "HPAYMT"), "deny(no-policy-permits)"),
        (restore("researcher", "HRESCH"), "deny(no-policy-permits)"),
        (restore("billing", "HPAYMT"), "deny(no-policy-permits)"),
        (
            query("physician", "TREAT", "key-use", "open", &[]),
            "not-applicable()",
        ),
        // An action that the policies do not know is nobody's to permit.
        (
            query("physician", "TREAT", "ingress", "embed", &[]),
            "deny(no-policy-permits)",
        ),
    ] {
        check(&plugin, query, expected);
    }
}

#[test]
fn every_part_of_a_query_can_be_asked_about() {
    let policies = r#"
        permit (principal == Caller::"caller-17", action == Action::"chat", resource == Target::"ward-model")
        when {
            context.point == "ingress" && context.purpose == Purpose::"TREAT" && context.tenant == "st-marys"
            && context.sensitivity == "phi" && context.received > datetime("2026-11-22T00:00:00Z") && context.received == datetime("2026-11-22T00:03:22Z")
            && context.received.toTime() < duration("1h") && context.attributes.channel == "ward"
            && principal.department == "cardiology" && principal.mfa
            && context.facts["in-sandbox"] && context.facts.bytes < 4096
            && context.facts.kinds.contains("mrn") && context.facts.shape.deep.contains(3)
            && context.facts.odd == "[1.5,null]"
        };"#;
    let facts = [
        ("in-sandbox", Value::Boolean(true)),
        ("bytes", Value::Number(2048)),
        ("kinds", Value::Texts(vec!["mrn".to_owned()])),
        (
            "shape",
            Value::Json(r#"{"deep":[1,2,3],"name":"x","yes":true}"#.to_owned()),
        ),
        // No Cedar value holds a fraction or null: it stays text, and is not dropped.
        ("odd", Value::Json("[1.5,null]".to_owned())),
    ];
    let mut asked = query("physician", "TREAT", "ingress", "chat", &facts);
    asked.info.attributes = vec![Attribute {
        name: "channel".to_owned(),
        value: Value::Text("ward".to_owned()),
    }];
    asked.info.caller.attributes = vec![
        Attribute {
            name: "department".to_owned(),
            value: Value::Text("cardiology".to_owned()),
        },
        Attribute {
            name: "mfa".to_owned(),
            value: Value::Boolean(true),
        },
    ];
    check(&plugin(policies), asked.clone(), "permit(policy0:policy0)");
    for spoil in [
        (|query: &mut Query| query.info.caller.id = "caller-18".to_owned()) as fn(&mut Query),
        |query| query.target = "other-model".to_owned(),
        |query| query.action = "send".to_owned(),
        |query| query.info.tenant = "st-lukes".to_owned(),
        |query| query.info.purpose = "HMARKT".to_owned(),
        |query| query.info.received_at.seconds += 3600,
        |query| query.info.sensitivity = Sensitivity::Pii,
        |query| query.info.caller.attributes[1].value = Value::Boolean(false),
        |query| query.facts[4].value = Value::Json("[1.5]".to_owned()),
    ] {
        let mut spoilt = asked.clone();
        spoil(&mut spoilt);
        check(&plugin(policies), spoilt, "deny(no-policy-permits)");
    }
}

#[test]
fn obligations_carry_arguments_and_come_once() {
    let plugin = plugin(
        r#"
        @id("a") @obligation("withhold-identities log-more")
        @obligation_arguments("{\"withhold-identities\":{\"kinds\":[\"name\",\"mrn\"],\"days\":30,\"strict\":true,\"note\":\"x\",\"map\":{\"k\":1}}}")
        permit (principal, action, resource);
        @id("b") @obligation("log-more")
        permit (principal, action, resource);
        @id("c") @obligation("never")
        permit (principal, action, resource) when { false };"#,
    );
    check(
        &plugin,
        chat("nurse", "TREAT"),
        "permit(a:a,b:b) +withhold-identities{days=Value::Number(30),kinds=Value::Texts([\"name\", \"mrn\"]),\
         map=Value::Json(\"{\\\"k\\\":1}\"),note=Value::Text(\"x\"),strict=Value::Boolean(true)} +log-more{}",
    );
}

#[test]
fn a_policy_that_cannot_be_evaluated_makes_the_answer_indeterminate() {
    let plugin = plugin(
        r#"
        @id("fine") permit (principal, action, resource);
        @id("asks-for-a-missing-fact") forbid (principal, action, resource) when { context.facts.nowhere };
        @id("asks-a-text-for-more") permit (principal, action, resource) when { context.tenant < 3 };"#,
    );
    // Cedar alone would permit here: the forbid that fails would be skipped.
    let decision = plugin.decide(chat("nurse", "TREAT")).unwrap();
    let expected = "indeterminate(asks-for-a-missing-fact:evaluation-error,asks-a-text-for-more:evaluation-error)";
    assert_eq!(told(&decision), expected);
}

#[test]
fn a_query_without_a_cedar_form_is_indeterminate_and_names_no_value() {
    let plugin = plugin("permit (principal, action, resource);");
    let twice = [
        ("cleared", Value::Boolean(true)),
        ("cleared", Value::Boolean(false)),
    ];
    check(
        &plugin,
        query("nurse", "TREAT", "egress", "send", &twice),
        "indeterminate(repeated-fact-name)",
    );
    let mut late = chat("nurse", "TREAT");
    late.info.received_at.seconds = u64::MAX;
    check(&plugin, late, "indeterminate(time-out-of-range)");
}

#[test]
fn ids_that_look_like_cedar_stay_plain_text() {
    let plugin = plugin(r#"permit (principal == Caller::"x\", action) ;//", action, resource);"#);
    let mut asked = chat("nurse", "TREAT");
    asked.info.caller.id = "x\", action) ;//".to_owned();
    check(&plugin, asked.clone(), "permit(policy0:policy0)");
    asked.info.caller.id = "x".to_owned();
    check(&plugin, asked, "deny(no-policy-permits)");
}

#[test]
fn reasons_follow_the_text_not_the_alphabet() {
    let policies: String = (0..12)
        .map(|_| "permit (principal, action, resource);\n")
        .collect();
    let decision = plugin(&policies).decide(chat("nurse", "TREAT")).unwrap();
    let order: Vec<String> = decision
        .reasons
        .into_iter()
        .filter_map(|reason| reason.policy)
        .collect();
    assert_eq!(
        order,
        (0..12).map(|n| format!("policy{n}")).collect::<Vec<_>>()
    );
}

#[test]
fn every_fault_of_the_settings_is_told_at_once() {
    let settings = Settings {
        policies: "permit (principal, action, resource);\npermit (principal, action resource);"
            .to_owned(),
        schema: Some("entity Caller in [Nobody];".to_owned()),
        entities: Some(EntitiesSetting::Text("[{]".to_owned())),
        points: Some(vec!["ingres".to_owned()]),
    };
    let faults = faults(settings);
    for expected in [
        "policies: line 2, column 27: ",
        "schema: line 1, column 19: ",
        "entities: ",
        "points[0]: `ingres`",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "{expected} in {faults:#?}"
        );
    }
}

#[test]
fn what_would_weaken_a_policy_silently_is_refused() {
    let any = "permit (principal, action, resource);";
    for (policies, expected) in [
        (String::new(), "holds no policy"),
        (
            format!("@obligaton(\"withhold-identities\") {any}"),
            "unknown annotation `@obligaton`",
        ),
        (format!("@obligation {any}"), "`@obligation` names none"),
        (
            "@obligation(\"x\") forbid (principal, action, resource);".to_owned(),
            "belongs to a permit",
        ),
        (
            format!("@obligation(\"x\") @obligation_arguments(\"{{\") {any}"),
            "must be JSON",
        ),
        (
            format!("@obligation(\"x\") @obligation_arguments(\"{{\\\"y\\\":{{}}}}\") {any}"),
            "speaks of `y`",
        ),
        (
            format!("@id(\"a\") {any} @id(\"a\") {any}"),
            "two policies have the id `a`",
        ),
        (
            format!("@id(\"policy1\") {any} {any}"),
            "two policies have the id `policy1`",
        ),
        (format!("@id(\"\") {any}"), "`@id` must be"),
        (
            format!("@reason(\"because I say so\") {any}"),
            "`@reason` is a code",
        ),
        (
            "permit (principal == ?principal, action, resource);".to_owned(),
            "is a template",
        ),
    ] {
        let faults = faults(settings(&policies));
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{expected} in {faults:#?}"
        );
    }
}

#[test]
fn policies_are_held_to_the_schema() {
    for (policy, expected) in [
        (
            "permit (principal, action == Action::\"send\", resource) when { context.facts.claered };",
            "claered",
        ),
        (
            "permit (principal, action == Action::\"sned\", resource);",
            "sned",
        ),
        (
            "permit (principal in Rôle::\"nurse\", action, resource);",
            "",
        ),
        (
            "permit (principal, action == Action::\"chat\", resource) when { context.facts.bytes == \"1\" };",
            "Long",
        ),
        (
            "permit (principal, action == Action::\"chat\", resource) when { false };",
            "false",
        ),
    ] {
        let faults = faults(Settings {
            schema: Some(SCHEMA.to_owned()),
            ..settings(policy)
        });
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with("policies: ") && fault.contains(expected)),
            "{policy} {faults:#?}"
        );
    }
}

#[test]
fn entities_are_held_to_the_schema_and_hold_no_callers() {
    let unknown = r#"[{"uid": {"type": "Ward", "id": "3"}, "attrs": {}, "parents": []}]"#;
    let settings = Settings {
        schema: Some(SCHEMA.to_owned()),
        entities: Some(EntitiesSetting::Text(unknown.to_owned())),
        ..settings("permit (principal, action == Action::\"chat\", resource);")
    };
    assert!(faults(settings)[0].starts_with("entities: "));
    let caller =
        serde_json::json!([{"uid": {"type": "Caller", "id": "3"}, "attrs": {}, "parents": []}]);
    let settings = Settings {
        entities: Some(EntitiesSetting::Array(caller.as_array().unwrap().clone())),
        ..self::settings("permit (principal, action, resource);")
    };
    assert!(faults(settings)[0].contains("callers come with each request"));
}

#[test]
fn settings_parse_from_json_and_refuse_unknown_keys() {
    let parsed: Settings =
        serde_json::from_str(r#"{"policies": "", "entities": [], "points": ["ingress"]}"#).unwrap();
    assert!(
        parsed.schema.is_none()
            && matches!(parsed.entities, Some(EntitiesSetting::Array(array)) if array.is_empty())
    );
    assert!(serde_json::from_str::<Settings>(r#"{"policies": "", "polices": ""}"#).is_err());
}

/// Settings' entities in which everything that could go wrong with a cut store is possible.
const TANGLE: &str = r#"[
    {"uid": {"type": "Role", "id": "nurse"}, "attrs": {}, "parents": [{"type": "Role", "id": "clinician"}]},
    {"uid": {"type": "Role", "id": "clinician"}, "attrs": {}, "parents": [{"type": "Role", "id": "staff"}]},
    {"uid": {"type": "Role", "id": "staff"}, "attrs": {"floor": 3}, "tags": {"shift": "day"}, "parents": []},
    {"uid": {"type": "Purpose", "id": "BTG"}, "attrs": {}, "parents": [{"type": "Purpose", "id": "ETREAT"}]},
    {"uid": {"type": "Purpose", "id": "ETREAT"}, "attrs": {}, "parents": [{"type": "Purpose", "id": "TREAT"}]},
    {"uid": {"type": "Target", "id": "ward-model"},
     "attrs": {"keeper": {"__entity": {"type": "Team", "id": "icu"}},
               "deep": {"all": [{"__entity": {"type": "Team", "id": "night"}}]},
               "owner": {"__entity": {"type": "Caller", "id": "caller-17"}}},
     "parents": [{"type": "Group", "id": "small"}]},
    {"uid": {"type": "Group", "id": "small"}, "attrs": {}, "parents": [{"type": "Group", "id": "every"}]},
    {"uid": {"type": "Team", "id": "icu"}, "attrs": {"lead": {"__entity": {"type": "Team", "id": "head"}}},
     "parents": [{"type": "Team", "id": "head"}]},
    {"uid": {"type": "Team", "id": "head"}, "attrs": {"size": 1}, "parents": [{"type": "Team", "id": "top"}]},
    {"uid": {"type": "Team", "id": "night"}, "attrs": {}, "parents": [{"type": "Team", "id": "top"}]},
    {"uid": {"type": "Team", "id": "delegate"}, "attrs": {}, "parents": [{"type": "Caller", "id": "caller-17"}]},
    {"uid": {"type": "Target", "id": "own-desk"}, "attrs": {}, "parents": [{"type": "Team", "id": "delegate"}]},
    {"uid": {"type": "Role", "id": "circular"}, "attrs": {}, "parents": [{"type": "Caller", "id": "caller-17"}]},
    {"uid": {"type": "Action", "id": "chat"}, "attrs": {}, "parents": [{"type": "Action", "id": "use"}]}
]"#;

#[test]
fn any_look_up_ends_as_with_the_whole_store() {
    let tangled = |condition: &str| {
        let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
        Both::of(&policy, TANGLE)
    };
    let allowed = "permit(policy0:policy0)";
    let refused = "deny(no-policy-permits)";
    let failed = "indeterminate(policy0:evaluation-error)";
    for (condition, expected) in [
        // literals, found by nothing in the request
        (r#"Team::"icu" in Team::"top""#, allowed),
        (r#"Team::"top" in Team::"icu""#, refused),
        (r#"Team::"icu" in [Team::"none", Team::"head"]"#, allowed),
        (r#"Team::"head".size == 1"#, allowed),
        (r#"Team::"icu".lead.size == 1"#, allowed),
        (r#"Team::"icu".lead in Team::"top""#, allowed),
        (r#"Role::"staff".getTag("shift") == "day""#, allowed),
        (r#"Team::"none" has size || Team::"top" has size"#, refused),
        (r#"Team::"top".size == 1"#, failed),
        (r#"Team::"none".size == 1"#, failed),
        (
            r#"(if context.tenant == "" then Team::"top" else Team::"night") in Team::"top""#,
            allowed,
        ),
        // what the request names
        (r#"principal in Role::"staff""#, allowed),
        (
            r#"principal in Role::"clinician" && principal in Role::"nurse""#,
            allowed,
        ),
        (r#"principal in Role::"billing""#, refused),
        (r#"context.purpose in Purpose::"TREAT""#, allowed),
        (r#"Purpose::"TREAT" in context.purpose"#, refused),
        (r#"resource in Group::"every""#, allowed),
        (r#"action in Action::"use""#, allowed),
        // by way of attributes
        (r#"resource.keeper in Team::"top""#, allowed),
        (r#"resource.keeper.lead.size == 1"#, allowed),
        (r#"resource.deep.all.contains(Team::"night")"#, allowed),
        (
            r#"resource.owner == principal && resource.owner in Role::"staff""#,
            allowed,
        ),
        // below the caller, whose place is known only now
        (r#"Team::"delegate" in principal"#, allowed),
        (r#"Team::"delegate" in Role::"staff""#, allowed),
        (r#"Role::"circular" in Role::"staff""#, allowed),
    ] {
        assert_eq!(tangled(condition).answer(&chat("nurse", "BTG")), expected);
    }
    let mut desk = chat("nurse", "BTG");
    desk.target = "own-desk".to_owned();
    let staffed = tangled(r#"resource in Role::"staff""#);
    assert_eq!(staffed.answer(&desk), allowed);
    desk.info.caller.id = "caller-18".to_owned();
    assert_eq!(staffed.answer(&desk), refused);
    // A caller below itself has no place, and no store must let it have one.
    let circular = chat("circular", "BTG");
    assert_eq!(
        tangled("true").answer(&circular),
        "indeterminate(unreadable-request)"
    );
}

#[test]
fn the_examples_are_decided_as_cedars_own_authorizer_does() {
    let both = Both::of(ACCESS, PURPOSES);
    for role in ["physician", "nurse", "billing", "researcher", "volunteer"] {
        for purpose in [
            "TREAT",
            "BTG",
            "ELIGVER",
            "HRESCH",
            "CLINTRCHPC",
            "HMARKT",
            "none",
        ] {
            for query in [
                chat(role, purpose),
                send(role, purpose, true, false),
                send(role, purpose, false, true),
                restore(role, purpose),
                query(role, purpose, "ingress", "embed", &[]),
            ] {
                both.answer(&query);
            }
        }
    }
}

#[test]
fn policies_about_another_action_stay_out_and_those_about_any_stay_in() {
    let policies = r#"
        @id("chat") permit (principal, action == Action::"chat", resource);
        @id("send") permit (principal, action == Action::"send", resource);
        @id("either") permit (principal, action in [Action::"chat", Action::"restore"], resource);
        @id("use") permit (principal, action in Action::"use", resource);
        @id("any") permit (principal, action, resource);
        @id("fails") forbid (principal, action == Action::"restore", resource) when { context.facts.nowhere };"#;
    let plugin = CedarPolicy::configure(Settings {
        entities: Some(EntitiesSetting::Text(TANGLE.to_owned())),
        ..settings(policies)
    })
    .map_err(messages)
    .unwrap();
    for (action, expected) in [
        ("chat", "permit(chat:chat,either:either,use:use,any:any)"),
        ("send", "permit(send:send,any:any)"),
        ("restore", "indeterminate(fails:evaluation-error)"),
        ("embed", "permit(any:any)"),
    ] {
        check(
            &plugin,
            query("nurse", "TREAT", "ingress", action, &[]),
            expected,
        );
    }
}

#[test]
fn heads_hold_as_cedars_own_authorizer_says() {
    let principals = [
        "principal",
        r#"principal == Caller::"caller-17""#,
        r#"principal == Role::"nurse""#,
        r#"principal in Role::"nurse""#,
        r#"principal in Role::"staff""#,
        r#"principal in Caller::"caller-17""#,
        "principal is Caller",
        "principal is Role",
        r#"principal is Caller in Role::"clinician""#,
        r#"principal is Role in Role::"clinician""#,
    ];
    let actions = [
        "action",
        r#"action == Action::"chat""#,
        r#"action == Action::"send""#,
        r#"action in Action::"use""#,
        r#"action in [Action::"send", Action::"chat"]"#,
        "action in []",
    ];
    let resources = [
        "resource",
        r#"resource == Target::"ward-model""#,
        r#"resource in Group::"every""#,
        r#"resource in Role::"staff""#,
        "resource is Target",
        r#"resource is Target in Group::"small""#,
        "resource is Team",
    ];
    let bodies = [
        "",
        "when { context.facts.cleared }",
        "when { context.facts.tokens > 1 }",
        "unless { context.facts.missing }",
        "when { context.tenant }",
        r#"when { resource.owner in Role::"staff" }"#,
        r#"when { context.purpose in Purpose::"TREAT" }"#,
    ];
    let mut policies = String::new();
    let mut count = 0;
    for principal in principals {
        for action in actions {
            for resource in resources {
                let effect = if count % 5 == 0 { "forbid" } else { "permit" };
                let body = bodies[count % 11 % bodies.len()];
                policies.push_str(&format!(
                    "{effect} ({principal}, {action}, {resource}) {body};\n"
                ));
                count += 1;
            }
        }
    }
    // Few in each set, since one that fails to evaluate hides what the rest say.
    let policies: Vec<&str> = policies.lines().collect();
    let sets = policies
        .chunks(6)
        .map(|few| Both::of(&few.join("\n"), TANGLE));
    let sets: Vec<Both> = sets.collect();
    let mut asked = Vec::new();
    for role in ["nurse", "clinician", "billing", "circular"] {
        for target in ["ward-model", "own-desk", "other"] {
            for mut one in [
                chat(role, "BTG"),
                send(role, "none", true, true),
                restore(role, "TREAT"),
            ] {
                one.target = target.to_owned();
                asked.push(one.clone());
                one.info.caller.id = "caller-18".to_owned();
                asked.push(one);
            }
        }
    }
    let mut permitted = 0;
    for both in &sets {
        for query in &asked {
            permitted += usize::from(both.answer(query).starts_with("permit"));
        }
    }
    assert!(permitted > 100, "{permitted}");
}

/// A plugin and its policies, for Cedar's own authorizer to decide with all of them and the whole store.
struct Both {
    plugin: CedarPolicy,
    policies: PolicySet,
}

impl Both {
    fn of(policies: &str, entities: &str) -> Self {
        let entities = Some(EntitiesSetting::Text(entities.to_owned()));
        let settings = Settings {
            entities,
            ..settings(policies)
        };
        Self {
            plugin: CedarPolicy::configure(settings).map_err(messages).unwrap(),
            policies: rules::parse(policies, &mut Vec::new()).0,
        }
    }

    /// The answer of the plugin, without obligations, which must be that of the authorizer.
    #[track_caller]
    fn answer(&self, query: &Query) -> String {
        let answer = told(&Decision {
            obligations: Vec::new(),
            ..self.plugin.decide(query.clone()).unwrap()
        });
        assert_eq!(answer, self.authorized(query.clone()), "{query:?}");
        answer
    }

    fn authorized(&self, query: Query) -> String {
        let plugin = &self.plugin;
        let whole = request::build(query, &plugin.types, plugin.needs_time)
            .and_then(|asked| Ok((asked.request(), plugin.store.whole(&asked)?)));
        let (request, entities) = match whole {
            Ok((request, entities)) => (request.into(), entities.into()),
            Err(unexpressed) => return told(&indeterminate(vec![because(unexpressed)])),
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let named = |ids: Vec<&PolicyId>, reason: fn(&Rule) -> Reason| -> Vec<Reason> {
            let rules = plugin.rules.iter();
            rules
                .filter(|rule| ids.contains(&&rule.id))
                .map(reason)
                .collect()
        };
        let errors = response.diagnostics().errors();
        let failed =
            errors.map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id());
        let failed = named(failed.collect(), |rule| {
            rule.reason_with("evaluation-error")
        });
        let determining = named(response.diagnostics().reason().collect(), Rule::reason);
        told(&match response.decision() {
            _ if !failed.is_empty() => indeterminate(failed),
            cedar_policy::Decision::Deny if determining.is_empty() => {
                denied(vec![code("no-policy-permits")])
            }
            cedar_policy::Decision::Deny => denied(determining),
            cedar_policy::Decision::Allow => Decision {
                effect: Effect::Permit,
                reasons: determining,
                obligations: Vec::new(),
            },
        })
    }
}
