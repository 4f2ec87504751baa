//! `nephron check`: everything that is wrong with a configuration, at once.

use std::io::{self, Write};
use std::path::PathBuf;

use nephron_model::{Clock as _, SystemClock, Timestamp};

use super::api_key::State;
use super::text::{plural, visible};
use super::{Failure, Globals, style};
use crate::config::{Config, Faults, Trust};

/// Check a configuration and report everything that is wrong with it, one `file:line:column: message` a line.
///
/// Nothing is opened or made: neither keys nor tenants nor plugins are touched.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, short, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object: `faults`, and where there are none what was found
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, _: &Globals) -> Result<(), Failure> {
    if args.json {
        check(&args, &mut io::stdout().lock())
    } else {
        check(&args, &mut anstream::stdout().lock())
    }
}

fn check(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    match Config::load(&args.config) {
        Ok(config) => {
            write_found(args, &Found::of(&config, SystemClock.now()), out).map_err(Failure::output)
        }
        Err(faults) => {
            // That there are faults outweighs that nobody reads them to the end.
            let _unwritten = write_faults(args, &faults, out);
            let found = plural(faults.as_slice().len(), "fault");
            Err(Failure::check(anyhow::anyhow!(
                "{found} in `{}`",
                args.config.display()
            )))
        }
    }
}

/// What a sound configuration holds.
#[derive(serde::Serialize)]
struct Found {
    tenants: usize,
    plugins: usize,
    deciders: usize,
    detectors: usize,
    associates: usize,
    endpoints: usize,
    routes: usize,
    exports: usize,
    /// Whether who made a plugin matters: `enforced`, `unsigned-accepted` or `not-enforced`.
    trust: &'static str,
    api_keys: usize,
    client_certificates: usize,
    identity_providers: usize,
    /// Ids of keys that are not taken any more, or not for long.
    expired_api_keys: Vec<String>,
    api_keys_that_end_soon: Vec<String>,
}

impl Found {
    fn of(config: &Config, now: Timestamp) -> Self {
        let in_state = |state| {
            let keys = config.api_keys.iter();
            let keys = keys.filter(|key| State::at(key.holder.expires, now) == state);
            keys.map(|key| key.id.clone()).collect()
        };
        Self {
            tenants: config.tenants.len(),
            plugins: config.plugins.len(),
            deciders: config.chain.deciders.len(),
            detectors: config.chain.detectors.len(),
            associates: config.associates.len(),
            endpoints: config.endpoints.len(),
            routes: config.routes.len(),
            exports: config.exports.len(),
            trust: Trust::word(config.trust.as_ref()),
            api_keys: config.api_keys.len(),
            client_certificates: config.client_certificates.len(),
            identity_providers: config.oidc.len(),
            expired_api_keys: in_state(State::Expired),
            api_keys_that_end_soon: in_state(State::EndsSoon),
        }
    }
}

fn write_found(args: &Args, found: &Found, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let report = serde_json::json!({ "config": args.config, "faults": [], "found": found });
        return writeln!(out, "{report}");
    }
    let good = style::GOOD;
    let words = [
        plural(found.tenants, "tenant"),
        plural(found.plugins, "plugin"),
        plural(found.deciders, "decider"),
        plural(found.detectors, "detector"),
        plural(found.associates, "associate"),
        plural(found.endpoints, "endpoint"),
        plural(found.routes, "route"),
        plural(found.exports, "export"),
        plural(found.api_keys, "API key"),
        plural(found.client_certificates, "client certificate"),
        plural(found.identity_providers, "identity provider"),
    ];
    let path = visible(&args.config.display().to_string());
    writeln!(out, "{good}ok{good:#}  {path}: {}", words.join(", "))?;
    let bad = style::BAD;
    let warning = style::WARNING;
    let trust = match found.trust {
        "enforced" => None,
        "unsigned-accepted" => {
            Some("plugins are loaded that no vendor signed: `accept-unsigned-plugins`")
        }
        _ => Some("plugins are loaded whoever made them: there is no `[trust]`"),
    };
    if let Some(trust) = trust {
        writeln!(out, "{warning}!{warning:#}   {trust}")?;
    }
    let expired = found.expired_api_keys.iter().map(|id| (id, "has expired"));
    let ending = found.api_keys_that_end_soon.iter();
    for (id, what) in expired.chain(ending.map(|id| (id, "ends within 30 days"))) {
        let remedy = format!("`nephron api-key new --rotate {id}`");
        writeln!(out, "{bad}!{bad:#}   API key `{id}` {what}; {remedy}")?;
    }
    Ok(())
}

fn write_faults(args: &Args, faults: &Faults, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        let report = serde_json::json!({ "config": args.config, "faults": faults });
        return writeln!(out, "{report}");
    }
    for fault in faults.as_slice() {
        let quiet = style::QUIET;
        let place = visible(&fault.place());
        let message = visible(&fault.message);
        writeln!(out, "{quiet}{place}:{quiet:#} {message}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(config: &Path, json: bool) -> (String, u8) {
        let args = Args {
            config: config.to_owned(),
            json,
        };
        let mut out = anstream::StripStream::new(Vec::new());
        let code = check(&args, &mut out)
            .err()
            .map_or(0, |failure| failure.code());
        (String::from_utf8(out.into_inner()).unwrap(), code)
    }

    #[test]
    fn a_sound_configuration_says_what_it_holds() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gateway.toml");
        let config = Config::load(&example).unwrap();
        let (text, code) = checked(&example, false);
        assert_eq!(code, 0, "{text}");
        let plugins = plural(config.plugins.len(), "plugin");
        assert!(
            text.starts_with("ok  ") && text.contains(&plugins),
            "{text}"
        );
        let (text, _) = checked(&example, true);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["found"]["plugins"], config.plugins.len());
        assert_eq!(report["faults"], serde_json::json!([]));
    }

    #[test]
    fn a_file_that_is_not_there_has_no_line_in_it() {
        let (text, code) = checked(Path::new("/nowhere/gateway.toml"), false);
        assert_eq!(code, 3);
        assert!(
            text.starts_with("/nowhere/gateway.toml: cannot read"),
            "{text}"
        );
        let (json, _) = checked(Path::new("/nowhere/gateway.toml"), true);
        assert!(!json.contains("\"line\""), "{json}");
    }

    #[test]
    fn every_fault_is_a_line_with_its_place_and_the_exit_code_is_3() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, "unheard-of = 1\n[[tenant]]\nid = \"\u{e5}/..\"\n").unwrap();
        let (text, code) = checked(&path, false);
        assert_eq!(code, 3);
        assert!(text.lines().count() >= 2, "{text}");
        let prefix = format!("{}:", path.display());
        for line in text.lines() {
            let (place, message) = line.split_once(": ").unwrap();
            let place: Vec<&str> = place.strip_prefix(&prefix).unwrap().split(':').collect();
            assert!(
                place.len() == 2 && place.iter().all(|n| n.parse::<usize>().is_ok()),
                "{line}"
            );
            assert!(!message.is_empty(), "{line}");
        }
        let (json, code) = checked(&path, true);
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (report["faults"].as_array().unwrap().len(), code),
            (text.lines().count(), 3)
        );
    }
}
