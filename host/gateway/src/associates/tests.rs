use super::*;
use crate::config::Upstream;

const DAY: u64 = 86_400;
const NOW: Timestamp = at(100);

const fn at(day: u64) -> Timestamp {
    Timestamp {
        seconds: day * DAY,
        nanoseconds: 0,
    }
}

/// How an agreement may stand, and the code of why it does not count.
const STANDINGS: [(&str, Option<&str>); 7] = [
    ("in force", None),
    ("none", Some("no-agreement")),
    ("draft", Some("agreement-unsigned")),
    ("terminated", Some("agreement-terminated")),
    ("not yet", Some("agreement-not-begun")),
    ("lapsed", Some("agreement-lapsed")),
    ("other service", Some("service-not-covered")),
];

fn agreement(standing: &str, excludes_training: bool) -> Option<Agreement> {
    let (from, until) = match standing {
        "none" => return None,
        "not yet" => (101, 200),
        "lapsed" => (1, 100),
        _ => (100, 101),
    };
    Some(Agreement {
        id: "BAA-1".to_owned(),
        status: match standing {
            "draft" => Status::Draft,
            "terminated" => Status::Terminated,
            _ => Status::Signed,
        },
        services: vec![
            if standing == "other service" {
                "b"
            } else {
                "a"
            }
            .to_owned(),
        ],
        from: at(from),
        until: at(until),
        document: None,
        excludes_training,
        allows_audit: false,
        breach_notice: None,
    })
}

fn associate(name: &str, agreement: Option<Agreement>, residency: &[&str]) -> Associate {
    Associate {
        name: name.to_owned(),
        role: Role::BusinessAssociate,
        agreement,
        subprocessors: Vec::new(),
        residency: residency.iter().map(|&region| region.to_owned()).collect(),
        soc2_report: None,
    }
}

fn upstream() -> Upstream {
    Upstream {
        name: "a".to_owned(),
        url: "https://models.ai.example".parse().unwrap(),
        credential: None,
        aws_sigv4: None,
        timeout: std::time::Duration::from_secs(1),
        answer_time: std::time::Duration::from_secs(1),
        tls: crate::config::UpstreamTls::default(),
        allows_private: false,
    }
}

fn endpoint(region: Option<&str>) -> Endpoint {
    Endpoint {
        name: "a".to_owned(),
        connector: "connector".to_owned(),
        upstream: Some(upstream()),
        associate: Some("cloud".to_owned()),
        may_see_phi: false,
        region: region.map(str::to_owned),
        retries: 0,
    }
}

fn policy(regions: &[&str]) -> Egress {
    Egress {
        regions: regions.iter().map(|&region| region.to_owned()).collect(),
        ..Egress::default()
    }
}

/// The codes of why not, or the ground.
fn found(result: Result<Ground, NoGround>) -> String {
    result.map_or_else(
        |why| why.reasons().join(" "),
        |ground| ground.as_str().to_owned(),
    )
}

#[test]
fn i10_text_goes_only_where_every_agreement_region_and_clause_allows_it_or_policy_does() {
    const METHODS: [Option<&str>; 3] = [None, Some("safe-harbor"), Some("expert-determination")];
    let mut seen = 0;
    for (own, own_code) in STANDINGS {
        for (other, other_code) in STANDINGS {
            for has_subprocessor in [false, true] {
                for region in [None, Some("US"), Some("US-VA"), Some("USX"), Some("DE")] {
                    for trains in [false, true] {
                        for (method, cleared) in METHODS
                            .into_iter()
                            .flat_map(|method| METHODS.map(|cleared| (method, cleared)))
                        {
                            for any_region in [false, true] {
                                let mut cloud =
                                    associate("cloud", agreement(own, !trains), &["US-CA"]);
                                if has_subprocessor {
                                    cloud.subprocessors.push("chips".to_owned());
                                }
                                let chips = associate("chips", agreement(other, true), &["US"]);
                                let policy = Egress {
                                    cleared_without_baa: cleared.map(str::to_owned),
                                    cleared_to_any_region: any_region,
                                    requires_no_training: true,
                                    ..policy(&["US"])
                                };
                                let associates = Associates::new(vec![cloud, chips], policy, false);
                                let result = associates.ground(
                                    &endpoint(region),
                                    Shown::Text(method),
                                    &[],
                                    NOW,
                                );

                                let is_placed = matches!(region, Some("US" | "US-VA"));
                                let training = trains.then_some("training-not-excluded");
                                let behind = other_code
                                    .filter(|_| has_subprocessor)
                                    .map(|code| format!("subprocessor-uncovered {code}"));
                                let lacks = (!is_placed)
                                    .then_some("wrong-region")
                                    .or(own_code)
                                    .or(training)
                                    .map(str::to_owned)
                                    .or(behind);
                                let is_cleared = method.is_some() && method == cleared;
                                let expected = match lacks {
                                    None => "agreement".to_owned(),
                                    Some(_) if is_cleared && (is_placed || any_region) => {
                                        "cleared-without-agreement".to_owned()
                                    }
                                    Some(codes) => codes,
                                };
                                assert_eq!(
                                    found(result),
                                    expected,
                                    "{own}, {other}, {has_subprocessor}, {region:?}, {trains}, {method:?}, {cleared:?}, {any_region}"
                                );
                                seen += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(seen, 7 * 7 * 2 * 5 * 2 * 9 * 2);
}

#[test]
fn i10_whoever_stands_at_the_far_end_of_the_chain_counts_too() {
    let ask = |far: &str, residency: &[&str], regions: &[&str]| {
        let mut cloud = associate("cloud", agreement("in force", false), &[]);
        cloud.subprocessors.push("chips".to_owned());
        let mut chips = associate("chips", agreement("in force", false), &["US"]);
        // Whoever names each other is asked about once.
        chips.subprocessors = vec!["cloud".to_owned(), "racks".to_owned()];
        let racks = associate("racks", agreement(far, false), residency);
        let associates = Associates::new(vec![cloud, racks, chips], policy(regions), false);
        let result = associates.ground(&endpoint(Some("US")), Shown::Text(None), &[], NOW);
        result
            .map(|ground| ground.as_str().to_owned())
            .map_err(|why| why.to_string())
    };
    assert_eq!(
        ask("in force", &["US"], &["US"]),
        Ok("agreement".to_owned())
    );
    for (result, why) in [
        (ask("lapsed", &["US"], &[]), "the agreement has lapsed"),
        (
            ask("in force", &["IN"], &["US"]),
            "it is in no region of `egress.regions`",
        ),
        (
            ask("in force", &["US", "IN"], &["US"]),
            "it is in no region of `egress.regions`",
        ),
        // Nobody knows where it keeps things.
        (
            ask("in force", &[], &["US"]),
            "it is in no region of `egress.regions`",
        ),
    ] {
        assert_eq!(
            result.unwrap_err(),
            format!("the subprocessor `racks` may not see it: {why}")
        );
    }
}

#[test]
fn i10_no_agreement_makes_an_associate_of_who_is_none() {
    let mut cloud = associate("cloud", agreement("in force", true), &[]);
    cloud.role = Role::None;
    let mut chips = associate("chips", agreement("in force", true), &[]);
    chips.subprocessors.push("cloud".to_owned());
    let associates = Associates::new(vec![cloud, chips], Egress::default(), false);
    let result = associates.ground(&endpoint(None), Shown::Text(None), &[], NOW);
    assert_eq!(found(result), "no-agreement");
    // As a subprocessor it sees nothing, and so needs none.
    let other = Endpoint {
        associate: Some("chips".to_owned()),
        ..endpoint(None)
    };
    assert_eq!(
        found(associates.ground(&other, Shown::Text(None), &[], NOW)),
        "agreement"
    );
}

#[test]
fn i10_what_cannot_be_searched_goes_only_under_an_agreement_and_only_where_it_may_be_seen() {
    for (standing, expected, marked) in [
        ("in force", "endpoint-not-for-phi", "agreement"),
        ("lapsed", "agreement-lapsed", "agreement-lapsed"),
        ("none", "no-agreement", "no-agreement"),
    ] {
        // That cleared text may go without an agreement says nothing about it.
        let policy = Egress {
            cleared_without_baa: Some("safe-harbor".to_owned()),
            ..Egress::default()
        };
        let cloud = associate("cloud", agreement(standing, true), &[]);
        let associates = Associates::new(vec![cloud], policy, false);
        for (may_see_phi, expected) in [(false, expected), (true, marked)] {
            let endpoint = Endpoint {
                may_see_phi,
                ..endpoint(None)
            };
            let result = associates.ground(&endpoint, Shown::Unsearched, &[], NOW);
            assert_eq!(found(result), expected);
        }
    }
}

#[test]
fn where_nothing_leaves_nothing_is_asked() {
    let associates = Associates::new(Vec::new(), policy(&["US"]), false);
    let inside = Endpoint {
        upstream: None,
        associate: None,
        ..endpoint(None)
    };
    assert_eq!(
        found(associates.ground(&inside, Shown::Text(None), &[], NOW)),
        "in-sandbox"
    );
}

#[test]
fn what_lapses_soon_or_has_lapsed_is_an_alert_and_nothing_else_is() {
    let all = STANDINGS.map(|(standing, _)| associate(standing, agreement(standing, true), &[]));
    let policy = |days| Egress {
        warn_before: std::time::Duration::from_secs(days * DAY),
        ..Egress::default()
    };
    let alerts = |days| -> Vec<(String, &str)> {
        let associates = Associates::new(all.to_vec(), policy(days), false);
        let alerts = associates.alerts(NOW).into_iter();
        alerts
            .map(|one| (one.associate, one.standing.as_str()))
            .collect()
    };
    let lapsed = ("lapsed".to_owned(), "lapsed");
    let soon = |name: &str| (name.to_owned(), "lapsing");
    assert_eq!(alerts(0), vec![lapsed.clone()]);
    assert_eq!(alerts(1), [soon("in force"), lapsed, soon("other service")]);
}

/// A certificate that holds on the day before [`NOW`] and on that day.
fn certificate() -> Vouch {
    let digest = nephron_model::Digest::of(b"");
    Vouch {
        role: Vouching::Certifier,
        by: "lab".to_owned(),
        key: digest,
        statement: digest,
        name: "cloud".to_owned(),
        version: "1.0.0".to_owned(),
        counter: 1,
        from: at(99).to_string(),
        until: at(101).to_string(),
        report: Some(digest),
        associates: vec!["cloud".to_owned()],
        agreements: vec!["BAA-1".to_owned()],
        classes: vec![DataClass::Cleared, DataClass::Identifiable],
    }
}

#[test]
fn i10_where_certificates_are_asked_for_identifiable_text_goes_through_certified_connectors_alone()
{
    let good = certificate();
    let but = |change: fn(&mut Vouch)| {
        let mut changed = certificate();
        change(&mut changed);
        vec![changed]
    };
    let cases = [
        (vec![good], true),
        (Vec::new(), false),
        (but(|it| it.role = Vouching::Vendor), false),
        (but(|it| it.from = at(101).to_string()), false),
        (but(|it| it.until = at(100).to_string()), false),
        (but(|it| it.until = "soon".to_owned()), false),
        (but(|it| it.classes = vec![DataClass::Cleared]), false),
        (but(|it| it.agreements = vec!["BAA-2".to_owned()]), false),
        (but(|it| it.associates = vec!["racks".to_owned()]), false),
    ];
    let cloud = associate("cloud", agreement("in force", true), &[]);
    for (vouched, is_certified) in cases {
        for asks in [false, true] {
            let (all, policy) = (vec![cloud.clone()], Egress::default());
            let associates = Associates::new(all, policy, asks);
            let mut endpoint = endpoint(None);
            endpoint.may_see_phi = true;
            let code = |shown| match associates.ground(&endpoint, shown, &vouched, NOW) {
                Ok(ground) => ground.as_str(),
                Err(why) => why.code(),
            };
            let identifiable = match is_certified || !asks {
                true => "agreement",
                false => "connector-not-certified",
            };
            assert_eq!(code(Shown::Text(None)), identifiable, "{vouched:?}");
            assert_eq!(code(Shown::Unsearched), identifiable, "{vouched:?}");
            // What was cleared goes under the agreement alone.
            assert_eq!(code(Shown::Text(Some("safe-harbor"))), "agreement");
        }
    }
}
