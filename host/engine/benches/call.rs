//! What a call costs: a fresh instance from the frozen image beside a warm one. Asked are a decider that does nothing,
//! Cedar's own authorizer with 200 policies (the spike that the bound of 1.5 comes from), and our `cedar-policy`, which
//! sorts policies beforehand, with the same 200 policies and with 200 that it must evaluate one by one. Ratios are taken
//! from calls that alternate in one run.
//!
//! `cargo bench -p nephron-engine`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unreachable,
    reason = "a benchmark prints, and stops at the first surprise"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use nephron_engine::compile::Compiler;
use nephron_engine::contract::{Caller, Query, RequestInfo, Sensitivity};
use nephron_engine::vet::{Grants, vet};
use nephron_engine::warm::Warm;
use nephron_engine::{Engine, Judgement, Limits, Plugin};

const CALLS: usize = 4_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let workspace = nephron_forge::find_workspace(Path::new(".")).expect("the workspace");
    let folders = [
        "tests/guests/does-nothing",
        "tests/guests/whole-cedar",
        "plugins/cedar-policy",
    ]
    .map(|folder| workspace.join(folder));
    let mut progress = nephron_forge::report_to_stderr();
    let built = nephron_forge::build(&folders, &mut nephron_forge::Options::new(&mut progress))
        .expect("guests");
    let engine = Engine::new().expect("an engine");
    let policies = |one: fn(usize) -> String| {
        let policies: String = (0..200).map(one).collect();
        serde_json::json!({ "policies": policies }).to_string()
    };
    let conditions = policies(|n| {
        format!(
            "permit(principal, action == Action::\"chat\", resource) when {{ context.tenant == \"t{n}\" || context.purpose in Purpose::\"P{n}\" }};\n"
        )
    });
    let heads = policies(|n| {
        format!(
            "permit(principal == Caller::\"u{n}\", action == Action::\"chat\", resource == Target::\"m\");\n"
        )
    });
    let [nothing, whole, cedar] = built.as_slice() else {
        unreachable!("a component for each folder")
    };
    let cases = [
        ("does nothing", nothing, "{}".to_owned()),
        ("Cedar whole, 200 heads", whole, heads.clone()),
        ("cedar-policy, 200 heads", cedar, heads),
        ("same, 200 conditions", cedar, conditions),
    ];

    println!("{CALLS} alternating calls each, µs                    p50      p99      fuel");
    for (case, built, settings) in &cases {
        let bytes = std::fs::read(&built.component).expect("the component");
        let limits = Limits::default();
        let vetted = vet(bytes, None, None, Grants::default(), &limits).expect("a good component");
        let load = engine.load(
            &built.name,
            &vetted,
            settings,
            &limits,
            &Compiler::InProcess,
            None,
        );
        let plugin = load.await.expect("a plugin");
        let (fresh, warm) = alternate(case, &engine, &plugin).await;
        for (what, (mut micros, fuel)) in [("fresh instance", fresh), ("warm instance", warm)] {
            micros.sort_by(f64::total_cmp);
            let at = |share: f64| percentile(&micros, share);
            println!(
                "{case:<24} {what:<20} {:>8.1} {:>8.1} {fuel:>9}",
                at(0.5),
                at(0.99)
            );
        }
    }
}

type Series = (Vec<f64>, u64);

async fn alternate(case: &str, engine: &Engine, plugin: &Plugin) -> (Series, Series) {
    let mut warm = Warm::new(engine, plugin).await.expect("an instance");
    let (mut fresh_series, mut warm_series) = ((Vec::new(), 0), (Vec::new(), 0));
    let mut ratios = Vec::new();
    for n in 0..CALLS {
        let query = query(n % 300);
        let judgement = Judgement::Decide(query.clone());
        // By the clock outside, so that taking the instance down counts too.
        let began = Instant::now();
        let fresh = engine.call(plugin, &judgement, None).await;
        let (fresh_took, began) = (began.elapsed(), Instant::now());
        let again = warm.decide(&query).await;
        let again_took = began.elapsed();
        assert!(fresh.answer.is_ok() && again.answer.is_ok(), "both answer");
        if n < CALLS / 10 {
            continue;
        }
        let micros = |took: Duration| took.as_secs_f64() * 1e6;
        ratios.push(micros(fresh_took) / micros(again_took));
        fresh_series.0.push(micros(fresh_took));
        warm_series.0.push(micros(again_took));
        (fresh_series.1, warm_series.1) = (fresh.fuel, again.fuel);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{case:<24} fresh / warm, p50    {:>8.2}",
        percentile(&ratios, 0.5)
    );
    (fresh_series, warm_series)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index"
)]
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn query(n: usize) -> Query {
    Query {
        info: RequestInfo {
            id: "01JD0000000000000000000000".to_owned(),
            tenant: "st-marys".to_owned(),
            received_at: nephron_engine::contract::Instant {
                seconds: 1_795_305_802,
                nanoseconds: 0,
            },
            caller: Caller {
                id: format!("u{n}"),
                roles: vec!["physician".to_owned()],
                attributes: vec![],
            },
            purpose: "TREAT".to_owned(),
            sensitivity: Sensitivity::Phi,
            attributes: vec![],
        },
        point: "ingress".to_owned(),
        action: "chat".to_owned(),
        target: "m".to_owned(),
        facts: vec![],
    }
}
