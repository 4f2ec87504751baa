//! Puts other text in the place of what detectors found: a date some days away, another name, other digits, a coarser age or
//! ZIP code; a label where nothing else may stand. It must never put text into an error.
//!
//! [`date`] moves dates, [`name`] exchanges names, [`number`] digits, [`coarse`] makes ages and places coarser.

mod coarse;
mod date;
mod name;
mod number;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use nephron_sdk::detector::Detector;
use nephron_sdk::keyed::{Key, Message, Outcome, Part, RequestInfo, Span, Transformer};
use nephron_sdk::known::{self, Fact};
use nephron_sdk::{Error, Plugin, Problem, label};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use name::Names;
use number::Numbers;

/// What becomes of dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dates {
    /// Moved by a number of days of the patient's own: intervals stay. Expert Determination.
    Shift,
    /// Their year alone (45 CFR 164.514(b)(2)(i)(C)).
    Year,
    /// A label.
    Label,
}

/// What becomes of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// Another name, the same for each mention. Expert Determination.
    Surrogate,
    /// A label.
    Label,
}

/// What becomes of ages over 89 and of places below the State.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coarse {
    /// `90+`, and the first three digits of a ZIP code where 20,000 people live there (45 CFR 164.514(b)(2)(i)(B), (C)).
    Generalize,
    /// A label.
    Label,
}

/// What an operator may set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    dates: Dates,
    /// The most days that a date is moved by, either way.
    shift_days: u16,
    names: Exchange,
    ages: Coarse,
    places: Coarse,
    /// Kinds whose digits are exchanged by FF1 (NIST SP 800-38G).
    numbers: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dates: Dates::Shift,
            shift_days: 365,
            names: Exchange::Surrogate,
            ages: Coarse::Generalize,
            places: Coarse::Generalize,
            numbers: ["mrn", "account", "health-plan"].map(str::to_owned).into(),
        }
    }
}

/// The transformer, as it is set.
pub struct DeidText {
    settings: Settings,
}

impl Plugin for DeidText {
    type Settings = Settings;
    const NAME: &str = "deid-text";
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if !(1..=3_650).contains(&settings.shift_days) {
            problems.push(Problem {
                key: Some("shift-days".to_owned()),
                message: "take 1 to 3650 days".to_owned(),
            });
        }
        for kind in &settings.numbers {
            if ["name", "date", "age", "geo"].contains(&kind.as_str()) {
                problems.push(Problem {
                    key: Some("numbers".to_owned()),
                    message: format!("`{kind}` is no kind of number; it has a setting of its own"),
                });
            }
        }
        Problem::none_of(problems, Self { settings })
    }
}

impl Detector for DeidText {
    /// It finds nothing by itself: in its world both are exported.
    fn detect(&self, _: RequestInfo, _: Vec<Message>) -> Result<Vec<Span>, Error> {
        Ok(Vec::new())
    }
}

/// The role of the message that says what was done, without values.
const MANIFEST: &str = "manifest";

impl Transformer for DeidText {
    fn deidentify(
        &self,
        info: RequestInfo,
        mut messages: Vec<Message>,
        found: Vec<Span>,
        key: &Key,
    ) -> Result<Outcome, Error> {
        let facts = known::take(&mut messages)?;
        let mac = |data: &[u8]| {
            key.mac(data)
                .map_err(|_| Error::Unavailable("the key does not authenticate".to_owned()))
        };
        let today = day_of(info.received_at.seconds);
        let mut work = Work {
            settings: &self.settings,
            mac: &mac,
            subject: subject(&facts, &info.id),
            today,
            shift: None,
            names: None,
            numbers: None,
            methods: BTreeMap::new(),
        };
        for (message, given) in (0..).zip(&mut messages) {
            for (part, content) in (0..).zip(&mut given.parts) {
                let is_json = matches!(content, Part::Json(_));
                let (Part::Text(text) | Part::Json(text)) = content else {
                    continue;
                };
                let mut spans: Vec<&Span> = found
                    .iter()
                    .filter(|span| (span.message, span.part) == (message, part))
                    .collect();
                spans.sort_by_key(|span| (span.start, span.end));
                *text = work.rewritten(text, &spans, is_json)?;
            }
        }
        let replaced = work.methods.values().sum();
        messages.push(work.manifest());
        Ok(Outcome {
            messages,
            replaced,
            residual_risk: None,
        })
    }

    fn reidentify(&self, _: RequestInfo, _: Vec<Message>, _: &Key) -> Result<Outcome, Error> {
        Err(Error::Unsupported(
            "what was put in their places cannot be told from other text".to_owned(),
        ))
    }
}

/// Whose shift and names these are: the patient's, by the record number that is known or else by all that is; if nobody is known, the
/// run's.
fn subject(facts: &[Fact], request: &str) -> String {
    let of_patient = || facts.iter().filter(|fact| fact.of == "patient");
    if let Some(number) = of_patient().find(|fact| fact.kind == "mrn") {
        let digits = number.value.chars().filter(|c| c.is_alphanumeric());
        return format!("mrn {}", digits.collect::<String>().to_uppercase());
    }
    let mut all: Vec<String> = of_patient()
        .map(|fact| format!("{} {}", fact.kind, fact.value.to_lowercase()))
        .collect();
    if all.is_empty() {
        return format!("request {request}");
    }
    all.sort();
    format!("known {}", all.join("\n"))
}

fn day_of(seconds: u64) -> Date {
    let days = i64::try_from(seconds / 86_400).unwrap_or_default();
    let span = jiff::Span::new().try_days(days);
    let epoch = jiff::civil::date(1970, 1, 1);
    span.and_then(|days| epoch.checked_add(days))
        .unwrap_or(epoch)
}

/// A keyed pseudo-random function: the lent key's.
type Mac<'k> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'k;

/// One call's work. The key is asked at most once for each of the shift, the names and the numbers.
struct Work<'k> {
    settings: &'k Settings,
    mac: &'k Mac<'k>,
    subject: String,
    today: Date,
    shift: Option<i32>,
    names: Option<Names>,
    numbers: Option<Numbers>,
    /// Stretches by what was done to them.
    methods: BTreeMap<&'static str, u32>,
}

/// What goes beyond Safe Harbor, so that an expert must have determined that the risk is very small (45 CFR 164.514(b)(1)).
const BY_EXPERTS: [&str; 3] = ["date-shift", "ff1", "surrogate"];

impl Work<'_> {
    fn rewritten(&mut self, text: &str, spans: &[&Span], is_json: bool) -> Result<String, Error> {
        let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let mut written = String::with_capacity(text.len());
        let mut from = 0;
        for span in spans {
            let (start, end) = (index(span.start), index(span.end));
            let Some((before, value)) = text.get(from..start).zip(text.get(start..end)) else {
                return Err(Error::InvalidInput(
                    "spans overlap, or end within a character".to_owned(),
                ));
            };
            written.push_str(before);
            let is_bare = is_json && is_bare(text, start, end);
            let (method, new) = match self.instead(&span.kind, value)? {
                // A number of JSON begins with no 0 and is none with a `+`.
                Some(done) if !is_bare => done,
                Some(_) | None => ("label", label(&span.kind)),
            };
            *self.methods.entry(method).or_default() += 1;
            if is_bare {
                written.push_str(&format!("\"{new}\""));
            } else {
                written.push_str(&new);
            }
            from = end;
        }
        written.push_str(text.get(from..).unwrap_or_default());
        Ok(written)
    }

    /// What stands in a value's place, and by which method, if not a label.
    fn instead(
        &mut self,
        kind: &str,
        value: &str,
    ) -> Result<Option<(&'static str, String)>, Error> {
        let settings = self.settings;
        let named = |method| move |new: String| (method, new);
        Ok(match kind {
            "date" => match settings.dates {
                Dates::Shift => {
                    let days = self.shift()?;
                    date::shifted(value, days, self.today).map(named("date-shift"))
                }
                Dates::Year => date::year(value, self.today).map(named("year")),
                Dates::Label => None,
            },
            "name" if settings.names == Exchange::Surrogate => {
                if self.names.is_none() {
                    self.names = Some(Names::new(&(self.mac)(&self.seed("names"))?));
                }
                let names = self.names.as_mut();
                names
                    .and_then(|names| names.instead(value))
                    .map(named("surrogate"))
            }
            "age" if settings.ages == Coarse::Generalize => {
                coarse::age(value).map(named("generalized"))
            }
            "geo" if settings.places == Coarse::Generalize => {
                coarse::place(value).map(named("generalized"))
            }
            kind if settings.numbers.contains(kind) => {
                let numbers = match &self.numbers {
                    Some(numbers) => numbers,
                    // The tenant's and not the patient's: a number is the same everywhere.
                    None => {
                        let key = (self.mac)(b"deid-text/1/numbers")?;
                        self.numbers.insert(Numbers::new(&key)?)
                    }
                };
                numbers.instead(kind, value).map(named("ff1"))
            }
            _ => None,
        })
    }

    /// Days that this patient's dates are moved by; never none.
    fn shift(&mut self) -> Result<i32, Error> {
        if let Some(days) = self.shift {
            return Ok(days);
        }
        let drawn = drawn(&(self.mac)(&self.seed("dates"))?, b"");
        let most = u64::from(self.settings.shift_days);
        let days = i32::try_from(1 + (drawn >> 1) % most).unwrap_or(1);
        let days = if drawn & 1 == 0 { days } else { -days };
        self.shift = Some(days);
        Ok(days)
    }

    fn seed(&self, of: &str) -> Vec<u8> {
        format!("deid-text/1/{of}\0{}", self.subject).into_bytes()
    }

    fn manifest(&self) -> Message {
        let is_by_experts = BY_EXPERTS
            .iter()
            .any(|method| self.methods.contains_key(method));
        let manifest = Manifest {
            method: if is_by_experts {
                "expert-determination"
            } else {
                "safe-harbor"
            },
            methods: &self.methods,
        };
        // A struct of plain words is always written.
        let manifest = serde_json::to_string(&manifest).unwrap_or_default();
        Message {
            role: MANIFEST.to_owned(),
            name: None,
            parts: vec![Part::Json(manifest)],
        }
    }
}

/// A struct and not a map, whose order depends on `serde_json`'s features.
#[derive(Serialize)]
struct Manifest<'w> {
    method: &'static str,
    methods: &'w BTreeMap<&'static str, u32>,
}

/// A number drawn from a seed, for one use of it.
fn drawn(seed: &[u8], of: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(seed).chain_update(of).finalize();
    let bytes = digest.iter().take(8);
    bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// Whether a stretch of JSON stands outside quotes.
fn is_bare(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).unwrap_or_default().trim_end();
    let after = text.get(end..).unwrap_or_default().trim_start();
    before.ends_with([':', ',', '['])
        && (after.is_empty() || after.starts_with([',', ']', '}']))
        && text
            .get(start..end)
            .is_some_and(|value| value.parse::<f64>().is_ok())
}

nephron_sdk::export!(transformer: DeidText);
