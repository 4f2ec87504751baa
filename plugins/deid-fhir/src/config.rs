//! Microsoft's configuration of "Tools for Health Data Anonymization" (MIT), as it is published: its rules in order, its
//! parameters.

use std::collections::BTreeMap;

use nephron_sdk::Problem;
use serde::Deserialize;

use crate::expression::Expression;
use crate::path::Path;
use crate::tree::Node;

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    #[serde(default)]
    fhir_version: String,
    /// `raise` and none else: what cannot be processed is an error here, whatever is said.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "it is read so that a published file is taken as it is"
    )]
    processing_errors: Option<String>,
    fhir_path_rules: Vec<Written>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    path: String,
    method: String,
    replace_with: Option<serde_json::Value>,
    cases: Option<serde_json::Map<String, serde_json::Value>>,
    other_values: Option<String>,
    span: Option<f64>,
    range_type: Option<String>,
    round_to: Option<u32>,
}

/// What holds for all rules.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Parameters {
    date_shift_key: String,
    date_shift_scope: Option<String>,
    date_shift_fixed_offset_in_days: Option<i64>,
    crypto_hash_key: String,
    encrypt_key: String,
    enable_partial_ages_for_redact: bool,
    enable_partial_dates_for_redact: bool,
    enable_partial_zip_codes_for_redact: bool,
    restricted_zip_code_tabulation_areas: Vec<String>,
    custom_settings: Option<serde_json::Value>,
}

/// Whose dates move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Patient,
    Resource,
    /// A bundle, or what else comes in one piece.
    File,
}

/// What becomes of a node.
pub(crate) enum Method {
    Keep,
    Redact,
    DateShift,
    CryptoHash,
    Encrypt,
    Substitute(Node),
    Perturb {
        span: f64,
        is_proportional: bool,
        round_to: usize,
    },
    Generalize {
        cases: Vec<(Expression, Expression)>,
        keeps_others: bool,
    },
}

pub(crate) struct Rule {
    pub(crate) path: Path,
    pub(crate) method: Method,
}

/// The configuration, ready to be applied.
pub(crate) struct Config {
    pub(crate) rules: Vec<Rule>,
    pub(crate) scope: Scope,
    /// Days, where they are the same for everybody.
    pub(crate) offset: Option<i64>,
    /// Microsoft's key for the offset; without it the offset comes of the lent key.
    pub(crate) date_shift_key: String,
    pub(crate) keeps_ages: bool,
    pub(crate) keeps_years: bool,
    pub(crate) keeps_zips: bool,
    pub(crate) restricted: Vec<String>,
}

impl Config {
    pub(crate) fn of(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if !matches!(settings.fhir_version.as_str(), "" | "R4" | "r4") {
            problems.push(Problem::at("fhirVersion", "only R4 is read here"));
        }
        let mut rules = Vec::new();
        for (place, written) in settings.fhir_path_rules.into_iter().enumerate() {
            let at = |name: &str| format!("fhirPathRules[{place}].{name}");
            let path = Path::parse(&written.path).map_err(|what| Problem::at(at("path"), what));
            let method = method(written).map_err(|(name, what)| Problem::at(at(name), what));
            match (path, method) {
                (Ok(path), Ok(method)) => rules.push(Rule { path, method }),
                (path, method) => problems.extend(path.err().into_iter().chain(method.err())),
            }
        }
        let parameters = settings.parameters;
        let held = [
            ("cryptoHashKey", &parameters.crypto_hash_key),
            ("encryptKey", &parameters.encrypt_key),
        ];
        for (name, key) in held {
            if !key.is_empty() {
                problems.push(Problem::at(
                    format!("parameters.{name}"),
                    "keys are the host's here, and none stands in a configuration; leave it empty",
                ));
            }
        }
        if parameters.custom_settings.is_some() {
            problems.push(Problem::at(
                "parameters.customSettings",
                "there are no processors of your own here",
            ));
        }
        let scope = match parameters
            .date_shift_scope
            .as_deref()
            .map(str::to_lowercase)
            .as_deref()
        {
            // Microsoft's default is `resource`, which tears a patient's visits apart.
            None | Some("patient") => Scope::Patient,
            Some("resource") => Scope::Resource,
            Some("file" | "folder") => Scope::File,
            Some(_) => {
                problems.push(Problem::at(
                    "parameters.dateShiftScope",
                    "expected `patient`, `resource`, `file` or `folder`",
                ));
                Scope::Patient
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            rules,
            scope,
            offset: parameters.date_shift_fixed_offset_in_days,
            date_shift_key: parameters.date_shift_key,
            keeps_ages: parameters.enable_partial_ages_for_redact,
            keeps_years: parameters.enable_partial_dates_for_redact,
            keeps_zips: parameters.enable_partial_zip_codes_for_redact,
            restricted: parameters.restricted_zip_code_tabulation_areas,
        })
    }
}

/// The method, or the key at fault and what is wrong.
fn method(written: Written) -> Result<Method, (&'static str, String)> {
    Ok(match written.method.to_lowercase().as_str() {
        "keep" => Method::Keep,
        "redact" => Method::Redact,
        "dateshift" => Method::DateShift,
        "cryptohash" => Method::CryptoHash,
        "encrypt" => Method::Encrypt,
        "substitute" => {
            let value = written
                .replace_with
                .ok_or_else(|| ("replaceWith", "`substitute` needs it".to_owned()))?;
            Method::Substitute(Node::from(&value))
        }
        "perturb" => {
            let span = written.span.filter(|span| *span >= 0.0);
            let round_to = written.round_to.unwrap_or(2);
            if round_to > 28 {
                return Err(("roundTo", "expected at most 28".to_owned()));
            }
            Method::Perturb {
                span: span.ok_or_else(|| {
                    (
                        "span",
                        "`perturb` needs a number that is not negative".to_owned(),
                    )
                })?,
                is_proportional: match written
                    .range_type
                    .as_deref()
                    .map(str::to_lowercase)
                    .as_deref()
                {
                    None | Some("fixed") => false,
                    Some("proportional") => true,
                    Some(_) => {
                        return Err(("rangeType", "expected `fixed` or `proportional`".to_owned()));
                    }
                },
                round_to: usize::try_from(round_to).unwrap_or(2),
            }
        }
        "generalize" => {
            let written_cases = written
                .cases
                .ok_or_else(|| ("cases", "`generalize` needs them".to_owned()))?;
            let cases: Result<Vec<_>, String> = ordered(&written_cases)
                .into_iter()
                .map(|(when, then)| Ok((Expression::parse(&when)?, Expression::parse(&then)?)))
                .collect();
            Method::Generalize {
                cases: cases.map_err(|what| ("cases", what))?,
                keeps_others: match written
                    .other_values
                    .as_deref()
                    .map(str::to_lowercase)
                    .as_deref()
                {
                    None | Some("redact") => false,
                    Some("keep") => true,
                    Some(_) => {
                        return Err(("otherValues", "expected `keep` or `redact`".to_owned()));
                    }
                },
            }
        }
        other => {
            return Err((
                "method",
                format!(
                    "`{other}` is not known; there are keep, redact, dateShift, cryptoHash, encrypt, substitute, perturb and generalize"
                ),
            ));
        }
    })
}

fn ordered(cases: &serde_json::Map<String, serde_json::Value>) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let cases: BTreeMap<_, _> = cases
        .iter()
        .map(|(when, then)| (when.clone(), text(then)))
        .collect();
    cases.into_iter().collect()
}
